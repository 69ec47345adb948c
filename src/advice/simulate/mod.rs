//! What a failure would do: the real engine, and model nodes, stepped through faults in virtual
//! time.
//!
//! [`Setup`] is the cluster, [`Fault`] what goes wrong, [`run`] the story of it. A node is a model
//! of the stock client and of votequorum (`member`, `votequorum`); the arbiter is
//! [`Engine`](crate::engine::Engine) itself, so what it decides here it decides there. When a
//! fault strikes matters (a heartbeat may just have been answered), so a story is run at many
//! moments and the slowest counts.

mod fault;
mod member;
mod network;
mod setup;
mod state;
mod story;
mod votequorum;
mod world;

pub use fault::{Fault, FaultError, parse};
pub use setup::{Setup, SetupError, Timing};
pub use state::{NodeState, PartState, State};
pub use story::{Step, Story, run};
pub use world::TooLong;

#[cfg(test)]
mod tests;
