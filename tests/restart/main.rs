//! An arbiter that is killed or ended in the middle of a split, and started again: the vote stays
//! with whom it was given (safety spec, sections 2 and 4).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a helper that can't go on fails the test; the helpers are shared"
)]

#[path = "../cli/lab.rs"]
mod lab;
#[path = "../cli/nodes.rs"]
mod nodes;

mod events;
mod full_disk;
mod holders;
