//! What this program was made of.

/// Its version, as in the changelog.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, or `unknown`: nobody said and there was no work tree, or it is
/// no release build.
pub const COMMIT: &str = env!("QARBITER_BUILD_COMMIT");

/// The kind of machine that it was compiled for, by Rust's name.
pub const TARGET: &str = env!("QARBITER_BUILD_TARGET");

/// All of it, the version on the first line, and what it speaks TLS with.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("QARBITER_BUILD_COMMIT"),
    "\ntarget: ",
    env!("QARBITER_BUILD_TARGET"),
    " (",
    env!("QARBITER_BUILD_LINKED"),
    ")\nTLS: rustls ",
    env!("QARBITER_BUILD_RUSTLS"),
    " with ring ",
    env!("QARBITER_BUILD_RING")
);
