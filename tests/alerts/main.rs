//! Alerts as receivers and programs get them: from real clusters of simulated nodes, and from the
//! program itself.
//!
//! Needs openssl, and prometheus-alertmanager (Debian package of that name).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails the test"
)]

mod alertmanager;
mod delivery;
mod exec;
mod https;
mod lab;
mod program;
mod receiver;
mod story;
mod voting;
