//! What Prometheus and Grafana make of an arbiter: a real Prometheus scrapes a real arbiter through
//! a split of real clients, with the rules and the dashboard of `deploy/`.
//!
//! The clusters live in namespaces, with the laboratory of the interop tests: it needs root and the
//! Debian packages corosync, corosync-qdevice, libnss3-tools, openssl, iproute2 and util-linux, and
//! here also prometheus (which has promtool), chromium and python3. A missing one fails the test and is named.

// A test may fail by any panic; the exceptions in clippy.toml do not reach the helpers of a test target.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/certs.rs"]
mod certs;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "the tests of the program use all of it")]
#[path = "../cli/lab.rs"]
mod daemon;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "the tests of the program use all of it")]
#[path = "../cli/nodes.rs"]
mod nodes;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/quorum.rs"]
mod quorum;
#[path = "../interop/server.rs"]
mod server;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/spec.rs"]
mod spec;
#[path = "../interop/tools.rs"]
mod tools;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/watch.rs"]
mod watch;

mod dashboard;
mod documents;
mod files;
mod journal;
mod page;
mod prometheus;
mod queries;
mod split;
mod text;
mod web;
mod webhook;
mod witnesses;
