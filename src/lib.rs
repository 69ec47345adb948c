//! qarbiter: a vote server for corosync clusters.
pub mod wire;
