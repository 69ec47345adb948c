//! The local control socket (protocol spec, section 10): what `corosync-qnetd-tool` and
//! `qarbiter status` talk to.

pub mod client;
pub mod command;
pub mod events;
pub mod json;
pub mod lines;
pub mod render;
pub mod server;
