//! qarbiter: a vote server for corosync clusters, wire-compatible with corosync-qnetd.
//!
//! Bytes become messages in [`wire`]; [`engine`] checks them, decides, and says why. Both are
//! pure, and so is [`tls`], one connection without I/O. [`pki`] keeps the arbiter's identity.

pub mod engine;
pub mod tls;
pub mod wire;
