//! The threads that write the journal: votes wait for them, but no thread that serves votes does.
//!
//! One thread writes, and says at once that a record is in the kernel's hands. Another one waits
//! for the disk, so that a slow one delays only what must be on it.

use super::file::Log;
use super::{Done, JournalError, Order};
use crate::engine::Grant;
use crate::wire::ClusterName;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Orders that are written together at most.
const BATCH: usize = 4096;

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

/// A handle to the journal; it ends in good order when dropped.
#[derive(Debug)]
pub struct Journal {
    orders: Sender<Order>,
    health: Arc<Mutex<Health>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    pub(super) fn start(log: Log) -> Result<Self, JournalError> {
        let (orders, receiver) = channel();
        let health = Arc::new(Mutex::new(Health::Good));
        let path = log.path();
        let failed = |error| JournalError::Io {
            path: path.clone(),
            error,
        };
        let disk = Disk::start(orders.clone()).map_err(failed)?;
        let writer = Writer {
            log,
            disk,
            health: Report(health.clone()),
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(failed)?;
        Ok(Self {
            orders,
            health,
            thread: Some(thread),
        })
    }

    /// Writes a grant down, on the disk itself if it is to be `durable`, and then calls `done` on
    /// the journal's thread. As long as it can't be written it is tried again.
    pub fn record(&self, grant: Grant, durable: bool, done: impl FnOnce() + Send + 'static) {
        let done: Done = Box::new(done);
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
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
                    self.compact_at_leisure();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut batch = vec![first];
            batch.extend(orders.try_iter().take(BATCH));
            let ending = batch.iter().any(|order| matches!(order, Order::End));
            self.write(batch, ending);
            if ending {
                self.disk.stop();
                if let Err(error) = self.log.sync() {
                    self.health.failed(&error, &self.log);
                }
                return;
            }
        }
    }

    /// Writes a batch down and says so to those who wait. Gives up only if it is the last one.
    fn write(&mut self, batch: Vec<Order>, ending: bool) {
        let (rewrite, mut batch): (Vec<Order>, Vec<Order>) = batch
            .into_iter()
            .partition(|order| matches!(order, Order::Rewrite(_)));
        while let Err(error) = self.attempt(&batch, !rewrite.is_empty()) {
            self.health.failed(&error, &self.log);
            if ending {
                return;
            }
            thread::sleep(PAUSE);
        }
        self.health.good();
        let mut durable = Vec::new();
        for order in rewrite.into_iter().chain(batch.drain(..)) {
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
        self.disk.follow(self.log.file(), durable);
    }

    fn attempt(&mut self, batch: &[Order], rewrite: bool) -> io::Result<()> {
        if rewrite || self.log.is_far_too_long() {
            self.log.rewrite_what_counts()?;
        }
        self.log.append(batch.iter())
    }

    fn compact_at_leisure(&mut self) {
        if self.log.is_long() {
            // Nobody waits for this; if it matters, the next record will say so.
            if let Err(error) = self.log.rewrite_what_counts() {
                tracing::warn!("can't shorten the journal: {error}");
            }
        }
    }
}

/// Where the health is noted.
#[derive(Clone)]
struct Report(Arc<Mutex<Health>>);

impl Report {
    fn failed(&self, error: &io::Error, log: &Log) {
        self.set(Health::Failing(format!(
            "{}: {error}",
            log.path().display()
        )));
    }

    fn good(&self) {
        self.set(Health::Good);
    }

    fn set(&self, health: Health) {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn start(writer: Sender<Order>) -> io::Result<Self> {
        let (files, receiver) = channel();
        let thread = thread::Builder::new()
            .name("journal-disk".to_owned())
            .spawn(move || Self::run(&receiver, &writer))?;
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

    fn run(files: &Receiver<Follow>, writer: &Sender<Order>) {
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
