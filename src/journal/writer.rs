//! The thread that writes the journal: votes wait for it, but no thread that serves them does.

use super::file::Log;
use super::{JournalError, Order};
use crate::engine::Grant;
use crate::wire::ClusterName;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Orders that are written together at most.
const BATCH: usize = 4096;

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
        let writer = Writer {
            log,
            health: health.clone(),
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| JournalError::Io { path, error })?;
        Ok(Self {
            orders,
            health,
            thread: Some(thread),
        })
    }

    /// Writes a grant down, on the disk itself if it is to be `durable`, and then calls `done` on
    /// the journal's thread. As long as it can't be written it is tried again.
    pub fn record(&self, grant: Grant, durable: bool, done: impl FnOnce() + Send + 'static) {
        let done = Box::new(done);
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
    health: Arc<Mutex<Health>>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut batch = vec![first];
            batch.extend(orders.try_iter().take(BATCH));
            let ending = batch.iter().any(|order| matches!(order, Order::End));
            if !self.write(batch, ending) || ending {
                return;
            }
        }
    }

    /// Writes a batch down and says so to those who wait. Gives up only if it is the last one.
    fn write(&mut self, batch: Vec<Order>, ending: bool) -> bool {
        while let Err(error) = self.log.append(batch.iter()) {
            self.failed(&error);
            if ending {
                return false;
            }
            thread::sleep(PAUSE);
        }
        let (durable, others): (Vec<Order>, Vec<Order>) = batch
            .into_iter()
            .partition(|order| matches!(order, Order::Record { durable: true, .. }));
        done(others);
        let mut synced = self.log.sync();
        while let Err(error) = synced {
            self.failed(&error);
            if ending {
                return false;
            }
            thread::sleep(PAUSE);
            synced = self.log.recover();
        }
        done(durable);
        match self.log.compact() {
            Ok(()) => self.report(Health::Good),
            Err(error) => self.failed(&error),
        }
        true
    }

    fn failed(&self, error: &io::Error) {
        self.report(Health::Failing(format!(
            "{}: {error}",
            self.log.path().display()
        )));
    }

    fn report(&self, health: Health) {
        let mut present = self.health.lock().unwrap_or_else(PoisonError::into_inner);
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

fn done(orders: Vec<Order>) {
    for order in orders {
        if let Order::Record { done, .. } = order {
            done();
        }
    }
}
