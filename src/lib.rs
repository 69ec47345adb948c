//! qarbiter: a vote server for corosync clusters, wire-compatible with corosync-qnetd.
//!
//! Bytes become messages in [`wire`]; [`engine`] checks them, decides, and says why. Both are
//! pure, and so is [`tls`], one connection without I/O. Around them: [`net`] carries bytes and
//! tells the time, [`journal`] writes down who has a vote, [`pki`] keeps the arbiter's identity,
//! [`config`] is what an operator can set, [`ipc`] is the local control socket, [`http`] what
//! programs and browsers ask, [`notify`] tells of alerts, [`telemetry`] is the log and the service
//! manager, and [`cli`] the commands. [`advice`] says what a cluster's state means and what a failure would do;
//! it is pure, too. [`client`] is a node's side of the protocol, for our own tools and tests.

pub mod advice;
pub mod cli;
pub mod client;
pub mod config;
pub mod engine;
pub mod http;
pub mod ipc;
pub mod journal;
pub mod net;
pub mod notify;
mod ownership;
pub mod pki;
pub mod proto;
pub mod telemetry;
pub mod tls;
pub mod version;
pub mod wire;
