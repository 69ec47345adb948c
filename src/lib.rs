//! qarbiter: a vote server for corosync clusters, wire-compatible with corosync-qnetd.
//!
//! Bytes become messages in [`wire`]; [`engine`] checks them, decides, and says why; [`tls`] is
//! one connection's encryption. All three are pure.
//!
//! [`client`] is the other end: a node's side of the protocol, for our own tools and tests.

pub mod client;
pub mod engine;
pub mod tls;
pub mod wire;
