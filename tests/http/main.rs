//! HTTP as programs and browsers see it: the API, metrics, health, events, and what happens when
//! somebody means harm.
//!
//! Needs promtool (Debian package prometheus), and python3 with venv and pip for schemathesis.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails the test"
)]

mod abuse;
mod api;
mod commands;
mod daemon;
mod events;
mod https;
mod lab;
mod metrics;
mod openapi;
mod ready;
mod scale;
mod security;
mod storms;
