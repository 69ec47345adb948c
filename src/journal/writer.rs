//! The threads that write the journal: votes wait for them, but no thread that serves votes does.
//!
//! One thread writes, and says at once that a record is in the kernel's hands. Another one waits
//! for the disk, so that a slow one delays only what must be on it.

use super::file::Log;
use super::{Done, JournalError, Order};
use crate::engine::Grant;
use crate::wire::ClusterName;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Orders that are written together at most.
const BATCH: usize = 4096;

/// A record that takes longer to write is one of a disk that hangs.
const STUCK: Duration = Duration::from_secs(2);

/// What is said of such a disk.
const HANGS: &str = "the disk does not answer";

/// How long the disk may take to follow where nobody waits for it.
const LEISURE: Duration = Duration::from_secs(1);

/// Whether the journal can be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It can.
    #[default]
    Good,
    /// It can't, for this reason. Votes stay where they are until it can.
    Failing(String),
}

/// What the journal has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that votes wait for.
    pub pending: u64,
    /// Attempts to write that failed or hang.
    pub failures: u64,
    /// When something was last written, seconds since 1970; 0 if nothing was.
    pub written_unix: u64,
    /// Length of the file, bytes.
    pub bytes: u64,
}

/// The same while it changes.
#[derive(Debug, Default)]
struct Counters {
    failures: AtomicU64,
    written_unix: AtomicU64,
    bytes: AtomicU64,
}

/// A handle to the journal; it ends in good order when dropped.
#[derive(Debug)]
pub struct Journal {
    orders: Sender<Order>,
    report: Report,
    pending: Pending,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Starts the threads. With a failure the file could not be written when it was opened; it is
    /// tried again.
    pub(super) fn start(log: Log, failure: Option<io::Error>) -> Result<Self, JournalError> {
        let (orders, receiver) = channel();
        let path = log.path();
        let failed = |error| JournalError::Io {
            path: path.clone(),
            error,
        };
        let counters = Arc::new(Counters::default());
        let disk = Disk::start(orders.clone(), counters.clone()).map_err(failed)?;
        let report = Report {
            path: path.clone(),
            health: Arc::default(),
            counters: counters.clone(),
        };
        match failure {
            Some(error) => report.failed(&error),
            None => report.written(&log),
        }
        let writer = Writer {
            log,
            disk,
            health: report.clone(),
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(failed)?;
        Ok(Self {
            orders,
            report,
            pending: Pending::default(),
            thread: Some(thread),
        })
    }

    /// Writes a grant down, on the disk itself if it is to be `durable`, and then calls `done` on
    /// the journal's thread. As long as it can't be written it is tried again.
    pub fn record(&self, grant: Grant, durable: bool, done: impl FnOnce() + Send + 'static) {
        let ticket = self.pending.add();
        let done: Done = Box::new(move || {
            drop(ticket);
            done();
        });
        // The thread lives as long as this handle.
        let _ = self.orders.send(Order::Record {
            grant,
            durable,
            done,
        });
    }

    /// Writes down that nobody of a cluster can be casting its vote.
    pub fn clear(&self, cluster: ClusterName) {
        // As above.
        let _ = self.orders.send(Order::Clear(cluster));
    }

    /// Whether it can be written.
    pub fn health(&self) -> Health {
        lock(&self.report.health).clone()
    }

    /// Notices a disk that does not answer at all, which the threads that wait for it can't say. To
    /// be called every second or so.
    pub fn look(&self) {
        let waits = self.pending.oldest().map(|since| since.elapsed());
        let hangs = waits.is_some_and(|waits| waits >= STUCK);
        match (self.health(), hangs) {
            (Health::Good, true) => self.report.failing(HANGS),
            // What is written later says so by itself, but there may be nothing more to write.
            (Health::Failing(why), false) if why.ends_with(HANGS) => self.report.set(Health::Good),
            _ => {}
        }
    }
}

impl Journal {
    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        let Counters {
            failures,
            written_unix,
            bytes,
        } = &*self.report.counters;
        Figures {
            pending: self.pending.count(),
            failures: failures.load(Ordering::Relaxed),
            written_unix: written_unix.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let told = self.orders.send(Order::End).is_ok();
        // The thread can't wait for itself.
        let waits =
            |thread: &JoinHandle<()>| told && thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(waits) {
            if thread.join().is_err() {
                tracing::error!("the journal's thread failed");
            }
        }
    }
}

struct Writer {
    log: Log,
    disk: Disk,
    health: Report,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match orders.recv_timeout(LEISURE) {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => {
                    self.tidy_up();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut batch = vec![first];
            batch.extend(orders.try_iter().take(BATCH));
            if self.write(batch, orders) {
                self.disk.stop();
                if let Err(error) = self.log.sync() {
                    self.health.failed(&error);
                }
                return;
            }
        }
    }

    /// Writes a batch down and says so to those who wait, as often as it takes. Gives up only when
    /// the end is ordered. Returns whether it is.
    fn write(&mut self, mut batch: Vec<Order>, orders: &Receiver<Order>) -> bool {
        let is_end = |batch: &[Order]| batch.iter().any(|order| matches!(order, Order::End));
        while let Err(error) = self.attempt(&batch) {
            self.health.failed(&error);
            if is_end(&batch) {
                return true;
            }
            match orders.recv_timeout(PAUSE) {
                Ok(order) => batch.push(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
            }
            batch.extend(orders.try_iter().take(BATCH));
            batch = self.what_still_counts(batch);
        }
        self.health.written(&self.log);
        let ending = is_end(&batch);
        let mut durable = Vec::new();
        for order in batch {
            match order {
                Order::Record {
                    durable: true,
                    done,
                    ..
                } => durable.push(done),
                Order::Record { done, .. } => done(),
                // They are in the file that was written anew, and that is on the disk.
                Order::Rewrite(waiting) => waiting.into_iter().for_each(|done| done()),
                Order::Clear(_) | Order::End => {}
            }
        }
        if let Some(file) = self.log.file() {
            self.disk.follow(file, durable);
        }
        ending
    }

    /// The last order for each cluster, so that whoever comes and goes while nothing can be written
    /// does not make the batch longer and longer. A cluster has one record at a time: where another
    /// order follows one that was not written, the cluster has ended, and nobody waits for it.
    fn what_still_counts(&self, batch: Vec<Order>) -> Vec<Order> {
        let mut later = HashSet::new();
        let counts = |order: &Order| match order {
            Order::Record { grant, .. } => later.insert(grant.cluster.clone()),
            Order::Clear(cluster) => later.insert(cluster.clone()) && self.log.has_grant(cluster),
            Order::Rewrite(_) | Order::End => true,
        };
        let mut kept: Vec<Order> = batch.into_iter().rev().filter(counts).collect();
        kept.reverse();
        kept
    }

    fn attempt(&mut self, batch: &[Order]) -> io::Result<()> {
        let asked = batch.iter().any(|order| matches!(order, Order::Rewrite(_)));
        if asked || self.log.is_unwritten() || self.log.is_far_too_long() {
            self.log.rewrite()?;
        }
        self.log.append(batch.iter())
    }

    /// What is done when there is time.
    fn tidy_up(&mut self) {
        if !self.log.is_unwritten() && !self.log.is_long() {
            return;
        }
        match self.log.rewrite() {
            Ok(()) => self.health.written(&self.log),
            Err(error) => self.health.failed(&error),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that votes wait for, by the order of their coming, and since when.
#[derive(Debug, Clone, Default)]
struct Pending(Arc<Mutex<(u64, BTreeMap<u64, Instant>)>>);

impl Pending {
    fn add(&self) -> Ticket {
        let (last, waiting) = &mut *lock(&self.0);
        *last += 1;
        waiting.insert(*last, Instant::now());
        Ticket {
            number: *last,
            pending: self.clone(),
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(lock(&self.0).1.len()).unwrap_or(u64::MAX)
    }

    fn oldest(&self) -> Option<Instant> {
        lock(&self.0).1.values().next().copied()
    }
}

/// One of them, until dropped.
struct Ticket {
    number: u64,
    pending: Pending,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.pending.0).1.remove(&self.number);
    }
}

/// Where the health is noted.
#[derive(Debug, Clone)]
struct Report {
    path: PathBuf,
    health: Arc<Mutex<Health>>,
    counters: Arc<Counters>,
}

impl Report {
    fn failed(&self, error: &io::Error) {
        self.failing(&error.to_string());
    }

    fn failing(&self, why: &str) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        let path = self.path.display();
        self.set(Health::Failing(format!("{path}: {why}")));
    }

    fn written(&self, log: &Log) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        self.counters.written_unix.store(now, Ordering::Relaxed);
        self.counters.bytes.store(log.length(), Ordering::Relaxed);
        self.set(Health::Good);
    }

    fn set(&self, health: Health) {
        let mut present = lock(&self.health);
        if *present == health {
            return;
        }
        match &health {
            Health::Good => tracing::info!("the journal can be written again"),
            Health::Failing(why) => tracing::error!(
                "the journal can't be written: {why}; votes stay with whom they are, and nobody \
                 else gets one, until it can be"
            ),
        }
        *present = health;
    }
}

/// The thread that waits for the disk.
struct Disk {
    files: Option<Sender<Follow>>,
    thread: Option<JoinHandle<()>>,
}

/// A file whose contents are to reach the disk, and who waits for it.
struct Follow {
    file: Arc<File>,
    waiting: Vec<Done>,
}

impl Disk {
    fn start(writer: Sender<Order>, counters: Arc<Counters>) -> io::Result<Self> {
        let (files, receiver) = channel();
        let thread = thread::Builder::new()
            .name("journal-disk".to_owned())
            .spawn(move || Self::run(&receiver, &writer, &counters))?;
        Ok(Self {
            files: Some(files),
            thread: Some(thread),
        })
    }

    fn follow(&self, file: Arc<File>, waiting: Vec<Done>) {
        if let Some(files) = &self.files {
            // The thread lives until `stop`.
            let _ = files.send(Follow { file, waiting });
        }
    }

    fn run(files: &Receiver<Follow>, writer: &Sender<Order>, counters: &Counters) {
        while let Ok(mut follow) = files.recv() {
            let by = Instant::now() + LEISURE;
            // More may come, as long as nobody waits.
            loop {
                let patience = if follow.waiting.is_empty() {
                    by.saturating_duration_since(Instant::now())
                } else {
                    Duration::ZERO
                };
                let Ok(next) = files.recv_timeout(patience) else {
                    break;
                };
                follow.file = next.file;
                follow.waiting.extend(next.waiting);
            }
            match follow.file.sync_data() {
                Ok(()) => follow.waiting.into_iter().for_each(|done| done()),
                Err(error) => {
                    counters.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        "the disk did not take what was written to the journal: {error}"
                    );
                    // Nobody knows which part is there, so all of it is written again.
                    let _ = writer.send(Order::Rewrite(follow.waiting));
                }
            }
        }
    }

    fn stop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                tracing::error!("the thread that waits for the journal's disk failed");
            }
        }
    }
}
