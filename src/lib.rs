//! qarbiter.
pub mod cli;
pub mod pki;
