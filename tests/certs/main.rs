//! The life of certificates: what was issued is listed, revoked certificates are refused, renewed
//! ones reach real nodes, and an exported identity goes on on another machine.
//!
//! Needs root and the packages corosync-qnetd, corosync-qdevice, libnss3-tools, openssl, age and
//! util-linux; without them the tests fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets something unexpected fails there"
)]

mod arbiter;
mod export;
mod life;
mod nodes;
mod p12;
#[allow(dead_code, reason = "shared with the tests of corosync-qnetd-certutil")]
#[path = "../certutil/sandbox.rs"]
mod sandbox;
mod site;
