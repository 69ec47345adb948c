//! What this program was made of.

/// Its version, as in the changelog.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, or `unknown`: nobody said and there was no work tree, or it is
/// no release build.
pub const COMMIT: &str = env!("VERSION_COMMIT");

/// The kind of machine that it was compiled for, by Rust's name.
pub const TARGET: &str = env!("VERSION_TARGET");

/// All of it, the version on the first line, and what it speaks TLS with.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("VERSION_COMMIT"),
    "\ntarget: ",
    env!("VERSION_TARGET"),
    " (",
    env!("VERSION_LINKED"),
    ")\nTLS: rustls ",
    env!("VERSION_RUSTLS"),
    " with ring ",
    env!("VERSION_RING")
);
