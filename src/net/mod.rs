//! Sockets: carries bytes between clients and the engine and tells it the time.
//!
//! Each connection is one task, each cluster has one lock, and nothing is shared between
//! clusters that one of them could hold on to.

pub mod connection;
pub mod gone;
pub mod guests;
pub mod handshake;
mod held;
pub mod hub;
pub mod listener;
pub mod live;
pub mod outbox;
pub mod server;

use crate::engine::Time;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The clock of the engine: monotonic, counted from the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        Time::from_duration(self.start.elapsed())
    }

    /// When `time` will be.
    pub fn instant(&self, time: Time) -> Instant {
        self.start + time.since_start()
    }
}

/// Locks, also after another thread panicked while it held the lock: the release build aborts
/// then, and tests should see the first panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
