//! The journal's file: what is in it, how it grows, and how it is kept short.

use super::record::{decode, encode, grant_entry, grant_of};
use super::system::{System, uptime};
use super::{JournalError, Order};
use crate::engine::Grant;
use crate::proto::v1::journal_entry::Entry;
use crate::proto::v1::{JournalEnd, JournalStart};
use rustix::fs::FlockOperation;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the file begins with.
const MAGIC: &[u8; 8] = b"QARBJRN1";

/// The file is rewritten with what still counts, when there is time, if it is longer than this and
/// than twice what it was after the last time.
const COMPACT_AT: u64 = 64 * 1024;

/// It is rewritten at once when it is longer than that by this factor.
const FAR: u64 = 64;

/// More is not read: 100,000 clusters of two nodes are some 10 MB.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// What was found in the file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) grants: Vec<Grant>,
    /// The last process that wrote.
    pub(super) start: Option<JournalStart>,
    /// When it ended in good order, as time since its kernel was started.
    pub(super) ended_at: Option<Duration>,
    /// Where the intact part ends and where a copy of the whole is.
    pub(super) damage: Option<(u64, PathBuf)>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    name: String,
    file: Arc<File>,
    /// Never replaced, so that it can be locked.
    _lock: File,
    /// Bytes that are known to be good.
    length: u64,
    /// Length after which it is rewritten.
    compact_at: u64,
    start: JournalStart,
}

impl Log {
    /// Opens the file and reads it.
    pub(super) fn open(dir: &Path, name: &str) -> Result<(Self, Loaded), JournalError> {
        let failed = |path: &Path, error| JournalError::Io {
            path: path.to_owned(),
            error,
        };
        if !dir.is_dir() {
            DirBuilder::new()
                .mode(0o750)
                .create(dir)
                .map_err(|error| failed(dir, error))?;
        }
        let path = dir.join(name);
        let lock_path = dir.join(format!("{name}.lock"));
        let lock = private()
            .create(true)
            .open(&lock_path)
            .map_err(|error| failed(&lock_path, error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(JournalError::InUse(path)),
            Err(error) => return Err(failed(&lock_path, error.into())),
        }
        let mut file = private()
            .create(true)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file)
            .take(MAX_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&path, error))?;
        let (mut loaded, good) = interpret(&bytes);
        if let Some(at) = good.filter(|at| (*at as usize) < bytes.len()) {
            let copy = dir.join(format!("{name}.damaged"));
            fs::write(&copy, &bytes).map_err(|error| failed(&copy, error))?;
            loaded.damage = Some((at, copy));
        }
        let log = Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            file: Arc::new(file),
            _lock: lock,
            length: 0,
            compact_at: COMPACT_AT,
            start: JournalStart::default(),
        };
        Ok((log, loaded))
    }

    /// Writes the file anew for this process: what still counts, and who writes.
    pub(super) fn begin(&mut self, grants: &[Grant], system: &System) -> Result<(), JournalError> {
        self.start = JournalStart {
            boot: system.boot.clone(),
            machine: system.machine.clone(),
        };
        self.rewrite(grants).map_err(|error| JournalError::Io {
            path: self.path(),
            error,
        })
    }

    /// Appends entries. What a failed call has written is overwritten by the next one.
    pub(super) fn append<'a>(&mut self, orders: impl Iterator<Item = &'a Order>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for order in orders {
            bytes.extend_from_slice(&encode(match order {
                Order::Record { grant, .. } => grant_entry(grant),
                Order::Clear(cluster) => Entry::ClearedCluster(cluster.as_bytes().to_vec()),
                Order::Rewrite(_) => continue,
                Order::End => Entry::End(JournalEnd {
                    uptime_ms: u64::try_from(uptime().as_millis()).unwrap_or(u64::MAX),
                }),
            }));
        }
        if let Err(error) = self.file.write_all_at(&bytes, self.length) {
            // What is behind the good part would be read as damage.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Waits until what was appended is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file as it is now; it may be replaced by another one.
    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub(super) fn is_long(&self) -> bool {
        self.length > self.compact_at
    }

    pub(super) fn is_far_too_long(&self) -> bool {
        self.length > FAR * self.compact_at
    }

    /// Rewrites the file with what still counts, and waits for the disk. Also after the disk
    /// refused to keep what was written: nobody knows then which part of it is there.
    pub(super) fn rewrite_what_counts(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut file = self.file.as_ref();
        file.seek(SeekFrom::Start(0))?;
        file.take(self.length).read_to_end(&mut bytes)?;
        let (loaded, _) = interpret(&bytes);
        self.rewrite(&loaded.grants)
    }

    /// Puts a new file in the place of the old one, in one step.
    fn rewrite(&mut self, grants: &[Grant]) -> io::Result<()> {
        let temporary = self.dir.join(format!("{}.new", self.name));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&encode(Entry::Start(self.start.clone())));
        for grant in grants {
            bytes.extend_from_slice(&encode(grant_entry(grant)));
        }
        let mut file = private().create(true).truncate(true).open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path())?;
        File::open(&self.dir)?.sync_all()?;
        self.file = Arc::new(file);
        self.length = bytes.len() as u64;
        self.compact_at = COMPACT_AT.max(2 * self.length);
        Ok(())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Reads entries up to the first that is not intact. Returns how many bytes are, or `None` for a
/// file that nothing was written to.
fn interpret(bytes: &[u8]) -> (Loaded, Option<u64>) {
    let mut loaded = Loaded::default();
    if bytes.is_empty() {
        return (loaded, None);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return (loaded, Some(0));
    };
    let mut grants = BTreeMap::new();
    while let Some((entry, length)) = decode(rest) {
        loaded.ended_at = None;
        match entry {
            Entry::Grant(record) => match grant_of(record) {
                Some(grant) => {
                    grants.insert(grant.cluster.clone(), grant);
                }
                // What can't be understood is worth as much as what can't be read.
                None => break,
            },
            Entry::ClearedCluster(name) => {
                grants.remove(&crate::wire::ClusterName::new(&name));
            }
            Entry::Start(start) => loaded.start = Some(start),
            Entry::End(end) => loaded.ended_at = Some(Duration::from_millis(end.uptime_ms)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    loaded.grants = grants.into_values().collect();
    (loaded, Some((bytes.len() - rest.len()) as u64))
}
