//! What the numbers mean: the state of a cluster in one sentence, what is unwise about it, what to
//! write into `corosync.conf`, and what a failure would do.
//!
//! Pure like [`engine`](crate::engine): no I/O, no clock. [`health`](fn@health) and [`warnings`]
//! work on a [`ClusterSnapshot`](crate::engine::snapshot::ClusterSnapshot), which the daemon takes
//! of each cluster. [`stanza`] and [`conf`] write and read `corosync.conf`; [`simulate`] steps the
//! real engine and model nodes through faults, and [`what_if`] does so from a cluster's present
//! state.

pub mod conf;
pub mod health;
pub mod simulate;
pub mod stanza;
#[cfg(test)]
pub(crate) mod testing;
pub mod warning;
pub mod what_if;
pub(crate) mod words;

pub use health::{Health, Level, health};
pub use warning::{Warning, warnings};
