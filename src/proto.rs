//! What leaves the process in a form with a schema: the messages of `proto/`.

/// The package `qarbiter.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/qarbiter.v1.rs"));
}
