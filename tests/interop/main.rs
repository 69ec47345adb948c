//! Interoperability: unmodified `corosync` and `corosync-qdevice` vote through the server under test.
//!
//! Every test builds its own little world out of Linux namespaces: one for the switches,
//! one for the machine of the server under test, and one for each cluster node. Nothing in it has a name outside of itself, so tests may run side by side, and the
//! kernel removes all of it when a test ends, fails, or is killed.
//!
//! `QNETD_UNDER_TEST` chooses the server: `ours` (the default, this package's binary) or `theirs` (Debian's
//! `corosync-qnetd`); `QARBITER_TEST_SERVER` names another program to be ours. Needs root, and the Debian packages `corosync`, `corosync-qdevice`, `libnss3-tools`, `openssl`,
//! `iproute2` and `util-linux`; `theirs` needs `corosync-qnetd` too. A missing one fails the test and is named.
//!
//! ```text
//! cargo test --test interop -- --test-threads=2
//! QNETD_UNDER_TEST=theirs cargo test --test interop -- --test-threads=2
//! ```

// A test may fail by any panic; the exceptions in clippy.toml do not reach the helpers of a test target.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod certs;
mod cluster;
mod lab;
mod namespace;
mod quorum;
mod server;
mod spec;
mod tools;
mod watch;

mod algorithms;
mod failures;
mod intruders;
mod silent_loss;
mod splits;
