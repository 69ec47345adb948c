//! What waits to be written down. Nobody who adds something waits for the disk.

use super::entry::Entry;
use super::store::Health;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait. What comes while there are more is not written down.
const MOST: usize = 4 << 20;

/// How long an event may wait for others, so that many are one write. A decision waits less.
const GATHER: Duration = Duration::from_secs(1);

/// How long a decision may wait. A storm of them shall not be a storm of writes.
const GATHER_DECISIONS: Duration = Duration::from_millis(100);

/// What waits to be written down, and whether that goes well.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<State>, Condvar);

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// When the first of them must be written.
    due: Option<Instant>,
    /// What did not fit.
    lost: u64,
    is_closed: bool,
    health: Health,
}

impl Queue {
    /// Adds an entry, if there is room.
    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        if state.bytes + entry.size() > MOST {
            state.lost += 1;
            return;
        }
        let wait = match entry.decision {
            Some(_) => GATHER_DECISIONS,
            None => GATHER,
        };
        let due = Instant::now() + wait;
        let is_sooner = state.due.is_none_or(|before| due < before);
        if is_sooner {
            state.due = Some(due);
        }
        state.bytes += entry.size();
        state.entries.push_back(entry);
        drop(state);
        if is_sooner {
            self.1.notify_one();
        }
    }

    /// Waits until entries are due and takes all there are. `None` after the end.
    pub(super) fn take(&self) -> Option<VecDeque<Entry>> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let wait = state.due.map(|due| due.saturating_duration_since(now));
            if state.is_closed || wait.is_some_and(|wait| wait.is_zero()) {
                state.due = None;
                state.bytes = 0;
                let entries = std::mem::take(&mut state.entries);
                return (!entries.is_empty()).then_some(entries);
            }
            let wait = wait.unwrap_or(Duration::MAX);
            let woken = self
                .1
                .wait_timeout(state, wait.min(Duration::from_secs(3600)));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives back what could not be written, to be taken again after `pause`.
    pub(super) fn give_back(&self, mut entries: VecDeque<Entry>, pause: Duration) {
        let mut state = self.state();
        entries.append(&mut state.entries);
        state.bytes = entries.iter().map(Entry::size).sum();
        state.entries = entries;
        state.due = Some(Instant::now() + pause);
    }

    /// Nothing is added any more; what is there can still be taken, once.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.1.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// How many entries did not fit since this was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.state().lost)
    }

    pub(super) fn health(&self) -> Health {
        self.state().health.clone()
    }

    pub(super) fn set_health(&self, health: Health) {
        self.state().health = health;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
