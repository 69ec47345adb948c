//! qarbiter.

pub mod tls;
