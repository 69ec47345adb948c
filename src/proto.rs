//! The messages of `proto/qarbiter/v1`: what the HTTP API answers with and the history keeps.

/// Version 1.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::doc_markdown)] // made by prost
    include!(concat!(env!("OUT_DIR"), "/qarbiter.v1.rs"));
}
