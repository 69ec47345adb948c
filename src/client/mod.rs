//! The node's side of the protocol: what corosync-qdevice does on the wire, without corosync.
//!
//! The load generator, `probe` and the tests use it. It speaks to any qnetd.
//!
//! - [`connection`] brings messages there and back, in clear or in TLS,
//! - [`node`] says what a stock node says, in its order, and keeps the vote,
//! - [`error`] says what went wrong.
//!
//! Nothing in here has a timeout of its own: the caller knows how long an answer may take.

pub mod connection;
pub mod error;
pub mod node;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Offer, Received};
pub use error::ClientError;
pub use node::{Node, NodeSettings, votes};
