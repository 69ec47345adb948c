//! The last things that happened: events in one row, decisions by cluster.
//!
//! They are kept in memory as encoded messages (`proto/qarbiter/v1`), so that what they take is
//! known to the byte, and are put into words by the thread that keeps them, away from votes. A
//! thread of its own ([`Store`]) writes them down, so that a restart does not forget them.

mod disk;
mod entry;
mod kept;
mod queue;
pub mod segment;
mod store;
mod words;

pub use entry::Entry;
pub use kept::Place;
pub use store::{Health, Store};
pub(crate) use words::{decision, heuristics, numbers};

use super::observer::Record;
use crate::proto::v1;
use crate::wire::ClusterName;
use kept::Kept;
use prost::Message;
use queue::Queue;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// How much is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events, bytes.
    pub event_bytes: usize,
    /// Decisions of one cluster.
    pub decisions: usize,
    /// Decisions of all clusters, bytes. Of those with the most decisions the oldest go first.
    pub decision_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 2 << 20,
            decisions: 32,
            decision_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// The limits that go with files of `max_size` bytes: what is in memory is always a part of
    /// what can be on the disk. 0 stands for no files.
    pub fn with_files(max_size: u64) -> Self {
        let usual = Self::default();
        match usize::try_from(max_size) {
            Ok(0) | Err(_) => usual,
            Ok(bytes) => Self {
                event_bytes: bytes / 4,
                decision_bytes: bytes / 2,
                ..usual
            },
        }
    }
}

/// Records taken at once.
const BATCH: usize = 256;

/// Pause after some records were taken, so that a burst does not wake us for each.
const PAUSE: Duration = Duration::from_millis(10);

/// How long somebody who asks waits for what was written down before the start.
const LOADING: Duration = Duration::from_secs(5);

/// The last things that happened.
#[derive(Debug)]
pub struct History {
    started: SystemTime,
    limits: Limits,
    kept: Mutex<Kept>,
    last: watch::Sender<u64>,
    loaded: watch::Sender<bool>,
    queue: OnceLock<Arc<Queue>>,
}

/// Events from a place in the row on.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The events, the oldest first.
    pub events: Vec<v1::Event>,
    /// Number of the last event that was looked at.
    pub cursor: u64,
    /// Events between the place asked for and the last of these are no longer known.
    pub gap: bool,
}

/// A place in the row of events that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of an event")]
pub struct BadId(String);

impl History {
    /// A history in which nothing happened.
    pub fn new(limits: Limits) -> Self {
        let started = SystemTime::now();
        Self {
            started,
            limits,
            kept: Mutex::new(Kept::new(unix_ms(started))),
            last: watch::Sender::new(0),
            loaded: watch::Sender::new(true),
            queue: OnceLock::new(),
        }
    }

    /// When the arbiter started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Waits until what was written down before the start is there too, if that does not take too
    /// long. A slow disk keeps nobody waiting for good.
    pub async fn loaded(&self) {
        let mut loaded = self.loaded.subscribe();
        let is_there = loaded.wait_for(|loaded| *loaded);
        // The sender lives as long as `self`.
        let _ = tokio::time::timeout(LOADING, is_there).await;
    }

    /// Takes records until nobody sends them any more or `stopped` says so; then those that are
    /// there.
    pub async fn keep(
        &self,
        mut records: mpsc::Receiver<Record>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let taken = tokio::select! {
                taken = records.recv_many(&mut batch, BATCH) => taken,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            if taken == 0 {
                return;
            }
            self.add_all(&mut batch);
            if taken == BATCH {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
        while let Ok(record) = records.try_recv() {
            batch.push(record);
        }
        self.add_all(&mut batch);
    }

    fn add_all(&self, batch: &mut Vec<Record>) {
        for record in batch.drain(..) {
            let (cluster, event) = words::event_of(&record);
            self.add(event, cluster);
        }
        self.last.send_replace(self.kept().last_event);
    }

    /// Adds something that the arbiter itself does.
    pub fn note(&self, kind: &str, message: String) {
        let event = v1::Event {
            unix_ms: unix_ms(SystemTime::now()),
            kind: kind.to_owned(),
            message,
            ..v1::Event::default()
        };
        self.add(event, None);
        self.last.send_replace(self.kept().last_event);
    }

    fn add(&self, mut event: v1::Event, cluster: Option<ClusterName>) {
        event.id.clear();
        let mut kept = self.kept();
        let decision = event
            .decision
            .as_mut()
            .map(|decision| *decision.number.insert(kept.last_decision + 1));
        let entry = Entry {
            epoch: kept.epoch,
            number: kept.last_event + 1,
            decision,
            cluster,
            message: event.encode_to_vec().into(),
        };
        kept.add(entry.clone(), self.limits);
        // In the order of the numbers, so before others get at them. What comes before the former
        // records are there gets its number later.
        if let Some(queue) = self.queue.get().filter(|_| *self.loaded.borrow()) {
            queue.push(entry);
        }
    }

    /// The id of an event: it tells apart this process and earlier ones.
    pub fn id(&self, number: u64) -> String {
        self.kept().id(number)
    }

    /// Where to go on after the event with this id.
    ///
    /// # Errors
    /// It is not an id.
    pub fn place(&self, id: &str) -> Result<Place, BadId> {
        let bad = || BadId(id.chars().take(64).collect());
        let (epoch, number) = id.split_once('-').ok_or_else(bad)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| bad())?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        Ok(self.kept().place(epoch, number))
    }

    /// Number of the last event.
    pub fn last_event(&self) -> u64 {
        self.kept().last_event
    }

    /// Tells when there are more events.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// At most `most` events after number `cursor`, of one cluster or of all. Few are looked at
    /// at a time, so that nobody who adds events waits long.
    pub fn events(&self, cursor: u64, cluster: Option<&ClusterName>, most: usize) -> Page {
        let is_wanted = |entry: &Entry| cluster.is_none() || entry.cluster.as_ref() == cluster;
        let (entries, gap, cursor) = self.kept().after(cursor, most, is_wanted);
        Page {
            events: entries.iter().filter_map(Entry::event).collect(),
            cursor,
            gap,
        }
    }

    /// Everything that is known of one cluster or of all, the oldest first, and the number of the
    /// last event of all. The decisions of a cluster may go further back than other events.
    pub fn all(&self, cluster: Option<&ClusterName>, only_decisions: bool) -> (Vec<Entry>, u64) {
        let kept = self.kept();
        (kept.all(cluster, only_decisions), kept.last_event)
    }

    /// At most `most` decisions of one cluster or of all, the latest first.
    pub fn decisions(&self, cluster: Option<&ClusterName>, most: usize) -> Vec<v1::Decision> {
        let entries = self.kept().latest(cluster, most);
        let decisions = entries.iter().filter_map(|entry| entry.event()?.decision);
        decisions.collect()
    }

    /// Whether there is something about that cluster.
    pub fn knows(&self, cluster: &ClusterName) -> bool {
        self.kept().knows(cluster)
    }

    /// Whether what happens is written down, and can be; `None` where it is not to be.
    pub fn health(&self) -> Option<Health> {
        self.queue.get().map(|queue| queue.health())
    }

    /// Puts what is known from before in front of what happened since the start. That is something
    /// only where reading took very long.
    fn take_over(&self, before: Kept) {
        let mut kept = self.kept();
        let since = std::mem::replace(&mut *kept, before);
        self.loaded.send_replace(true);
        drop(kept);
        for entry in since.events {
            if let Some(event) = entry.event() {
                self.add(event, entry.cluster);
            }
        }
        self.last.send_replace(self.kept().last_event);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970; 0 for a clock that is before that.
pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
