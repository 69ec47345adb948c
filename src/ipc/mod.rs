//! The local control socket (protocol spec, section 10): what `corosync-qnetd-tool` and
//! `qarbiter status` talk to.

pub mod client;
pub mod command;
pub mod json;
pub mod render;
pub mod server;
