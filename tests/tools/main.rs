//! `corosync-qnetd-tool`: what it prints for many states of the server, byte for byte.
//!
//! Each state is made twice, in the reference's daemon and in ours, by the same scripted clients; then both tools ask
//! both daemons, and all four outcomes (exit code, standard output and standard error) have to be the same. Only the
//! ports of the clients and of the daemon differ from run to run: they are replaced, and nothing else is. Ours decides
//! as the reference does (`rules=reference`), since votes are printed too.
//!
//! `cli`: `tool` has the first of these comparisons. Needs root and the packages corosync-qnetd and util-linux.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets something unexpected fails there"
)]

mod clusters;
mod errors;
mod fields;
#[allow(dead_code, reason = "the tests of the command line use all of it")]
#[path = "../cli/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the tests of the command line use all of it")]
#[path = "../cli/nodes.rs"]
mod nodes;
mod pair;
mod server;
