//! Writing the history down and reading it back, on a thread of its own: the disk may be slow, full
//! or broken, and nobody waits for it.
//!
//! Nothing is forced onto the disk: this is a record for people, not what votes depend on (that is
//! [`crate::journal`]). The kernel has what was written, so that it outlives the process however
//! that dies; a power loss can cost what the kernel had not written yet, half a minute by default.

use super::disk::Disk;
use super::entry::Entry;
use super::kept::Kept;
use super::queue::Queue;
use super::{History, unix_ms};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the disk may take to follow when the arbiter ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Whether the history is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It is.
    #[default]
    Good,
    /// It is, but a part of what was there at the start could not be read.
    Damaged(String),
    /// It is not, for this reason.
    Failing(String),
}

/// The thread that writes; it ends in good order when this is dropped.
#[derive(Debug)]
pub struct Store {
    queue: Arc<Queue>,
    ended: Receiver<()>,
}

impl Store {
    /// Starts to read what is in the directory into `history`, and then to write down what comes.
    /// The files may take `max_size` bytes. To be called before anything is added.
    ///
    /// # Errors
    /// There can't be a thread. Everything else is told by [`History::health`].
    pub fn open(history: &Arc<History>, dir: &Path, max_size: u64) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (end, ended) = sync_channel(1);
        history.loaded.send_replace(false);
        let writer = Writer {
            history: Arc::downgrade(history),
            queue: queue.clone(),
            path: dir.to_owned(),
            max_size,
            lost: 0,
        };
        let spawned = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || writer.run(&end));
        if let Err(error) = spawned {
            history.loaded.send_replace(true);
            return Err(error);
        }
        // A history has one place at most.
        let _ = history.queue.set(queue.clone());
        Ok(Self { queue, ended })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue.close();
        if self.ended.recv_timeout(GOODBYE).is_err() {
            tracing::warn!("the last events may be missing in the history: the disk is too slow");
        }
    }
}

struct Writer {
    history: Weak<History>,
    queue: Arc<Queue>,
    path: PathBuf,
    max_size: u64,
    /// Entries that were not written.
    lost: u64,
}

impl Writer {
    fn run(mut self, end: &SyncSender<()>) {
        let disk = self.load();
        match disk {
            Some(disk) => self.write(disk),
            None => {
                self.queue.close();
                if let Some(history) = self.history.upgrade() {
                    history.loaded.send_replace(true);
                }
            }
        }
        // Nobody may wait for it any more.
        let _ = end.try_send(());
    }

    /// Reads what is there. Without the lock of the history: whoever asks meanwhile is answered.
    fn load(&self) -> Option<Disk> {
        let begin = Instant::now();
        let path = self.path.display();
        let mut disk = match Disk::open(&self.path, self.max_size) {
            Ok(disk) => disk,
            Err(error) => {
                let why = format!("{path} can't be used: {error}");
                tracing::error!("the history is kept in memory only: {why}");
                self.queue.set_health(Health::Failing(why));
                return None;
            }
        };
        let history = self.history.upgrade()?;
        let mut kept = Kept::default();
        let (mut count, mut epoch) = (0_usize, 0);
        let damages = disk.load(|entry, carried| {
            count += 1;
            epoch = epoch.max(entry.epoch);
            if carried {
                kept.add_decision(entry, history.limits);
            } else {
                kept.add(entry, history.limits);
            }
        });
        for damage in &damages {
            let file = damage.file.display();
            tracing::warn!("a part of the history is lost: {file} is {}", damage.what);
        }
        if let [first, ..] = damages.as_slice() {
            let file = first.file.display();
            let why = format!("{file} is {}", first.what);
            self.queue.set_health(Health::Damaged(why));
        }
        // A clock that was set back must not give an id twice.
        kept.epoch = unix_ms(history.started).max(epoch.saturating_add(1));
        history.take_over(kept);
        tracing::info!(
            "history: {count} records from {path} in {} ms",
            begin.elapsed().as_millis()
        );
        Some(disk)
    }

    fn write(&mut self, mut disk: Disk) {
        let is_kept = {
            let history = self.history.clone();
            move |number| {
                let history = history.upgrade();
                history.is_some_and(|history| history.kept().has_decision(number))
            }
        };
        while let Some(mut entries) = self.queue.take() {
            let result = disk.append(&mut entries, &is_kept);
            self.lost += self.queue.take_lost();
            match result {
                Ok(()) => self.succeeded(),
                Err(error) => self.failed(&error, entries),
            }
        }
    }

    fn succeeded(&mut self) {
        if let Health::Failing(_) = self.queue.health() {
            tracing::info!("the history can be written again");
            self.queue.set_health(Health::Good);
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            tracing::warn!("{lost} events are not in the history's files: they came too fast");
        }
    }

    fn failed(&mut self, error: &io::Error, entries: VecDeque<Entry>) {
        let path = self.path.display();
        let lost = match self.lost {
            0 => String::new(),
            lost => format!("; {lost} events are lost for it already"),
        };
        let why = format!("{path} can't be written: {error}{lost}");
        if !matches!(self.queue.health(), Health::Failing(_)) {
            tracing::error!("the history is kept in memory only, until it can be written: {why}");
        }
        self.queue.set_health(Health::Failing(why));
        if !self.queue.is_closed() {
            self.queue.give_back(entries, PAUSE);
        }
    }
}
