//! The program as a user meets it: started by its names, on loopback, in a directory of its own.
//!
//! Needs `corosync-qnetd` for the comparisons, `setpriv` (util-linux) and root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that can't go on fails the test"
)]

mod background;
mod flags;
mod lab;
mod nodes;
mod qnetd;
mod release;
mod report;
mod serve;
mod status;
mod tool;
mod upkeep;
