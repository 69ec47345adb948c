//! The status page in a real browser.
//!
//! Needs chromium and chromedriver (Debian packages chromium and chromium-driver). Pictures of what
//! it showed are left in target/page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails the test"
)]

mod access;
mod browser;
mod content;
#[path = "../http/lab.rs"]
#[allow(dead_code, reason = "shared with the tests of HTTP")]
mod lab;
mod live;
mod many;
mod operate;
