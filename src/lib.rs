//! qarbiter: a vote server for corosync clusters, wire-compatible with corosync-qnetd.
//!
//! Bytes become messages in [`wire`]; [`engine`] checks them, decides, and says why. Both are
//! pure.

pub mod engine;
pub mod wire;
