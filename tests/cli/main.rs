//! The program as a user meets it: started by its names, on loopback, in a directory of its own.
//!
//! Needs `corosync-qnetd` for the comparisons, `resource-agents` for the resource agent, `setpriv`,
//! `unshare` and `nsenter` (util-linux), `ip` (iproute2), and root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that can't go on fails the test"
)]

mod advanced;
mod background;
mod config;
mod flags;
mod lab;
mod nodes;
mod provisioned;
mod qnetd;
mod release;
mod report;
mod serve;
mod status;
mod tool;
mod upkeep;
mod version;
