//! What one client does must not delay another cluster: a victim's votes are timed while an
//! attacker does its worst, on one machine with the arbiter.
//!
//! Each test prints what it measured (`--nocapture`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that can't go on fails the test"
)]

mod bytes;
mod floods;
mod handshakes;
mod limits;
mod raw;
mod stuck;
mod victim;

#[path = "../cli/lab.rs"]
#[allow(dead_code, reason = "shared with the cli tests, which use all of it")]
mod lab;
#[path = "../cli/nodes.rs"]
#[allow(dead_code, reason = "shared with the cli tests, which use all of it")]
mod nodes;
