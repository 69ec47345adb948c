//! `corosync-qnetd-certutil` beside the reference's script, and with the real tools of the nodes.
//!
//! Every command runs in a mount namespace of its own in which `/etc/corosync` is a temporary
//! directory, so the machine's own certificates are never touched. That takes root, and the
//! packages corosync-qnetd, corosync-qdevice, libnss3-tools, openssl and util-linux; without them
//! the tests fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets something unexpected fails there"
)]

mod databases;
mod disk;
mod keys;
mod legacy;
mod nodes;
mod requests;
mod robust;
mod sandbox;
mod texts;
