//! The journal's file: what is in it, how it grows, and how it is kept short.

use super::record::{decode, encode, grant_entry, grant_of};
use super::system::{System, uptime};
use super::{JournalError, Order, Restored};
use crate::engine::Grant;
use crate::ownership::try_to_give;
use crate::proto::v1::journal_entry::Entry;
use crate::proto::v1::{JournalEnd, JournalStart};
use crate::wire::ClusterName;
use rustix::fs::{FlockOperation, OFlags};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
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
    /// Where the intact part ends, and where a copy of the whole is if one could be made.
    pub(super) damage: Option<(u64, Option<PathBuf>)>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    name: String,
    /// `None` until it could be written anew: what was read must not be appended to.
    file: Option<Arc<File>>,
    /// Never replaced, so that it can be locked. There is none on a read-only file system.
    _lock: Option<File>,
    /// What still counts: the bytes of each cluster's last grant.
    grants: BTreeMap<ClusterName, Box<[u8]>>,
    /// Bytes that are known to be good.
    length: u64,
    /// Length after which it is rewritten.
    compact_at: u64,
    start: JournalStart,
}

impl Log {
    /// Opens the file and reads it. Only what can't be read is an error: with a full or read-only
    /// disk, what was written still counts.
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
            .or_else(|_| no_link().read(true).open(&lock_path));
        if let Ok(lock) = &lock {
            let of_dir = fs::metadata(dir).map_err(|error| failed(dir, error))?;
            try_to_give(lock, &of_dir, &lock_path);
            match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(JournalError::InUse(path)),
                Err(error) => return Err(failed(&lock_path, error.into())),
            }
        }
        let mut bytes = Vec::new();
        match no_link().read(true).open(&path) {
            Ok(file) => {
                file.take(MAX_FILE)
                    .read_to_end(&mut bytes)
                    .map_err(|error| failed(&path, error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, error)),
        }
        let (mut loaded, good) = interpret(&bytes);
        if let Some(at) = good.filter(|at| (*at as usize) < bytes.len()) {
            let copy = dir.join(format!("{name}.damaged"));
            let copied = afresh(&copy).and_then(|mut file| file.write_all(&bytes));
            let copied = copied.is_ok();
            loaded.damage = Some((at, copied.then_some(copy)));
        }
        let log = Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            file: None,
            _lock: lock.ok(),
            grants: BTreeMap::new(),
            length: 0,
            compact_at: COMPACT_AT,
            start: JournalStart::default(),
        };
        Ok((log, loaded))
    }

    /// Writes the file anew for this process: what still counts, and who writes.
    ///
    /// # Errors
    /// It can't be written now. Nothing is lost by that, and nothing can be appended before
    /// [`Log::rewrite`] succeeds.
    pub(super) fn begin(&mut self, restored: &Restored, system: &System) -> io::Result<()> {
        let doubt = restored
            .doubt
            .as_ref()
            .map(|(_, left)| system.uptime + *left);
        let doubt_until = doubt.map_or(0, |until| until.as_millis());
        self.start = JournalStart {
            boot: system.boot.clone(),
            machine: system.machine.clone(),
            doubt_until_ms: u64::try_from(doubt_until).unwrap_or(u64::MAX),
        };
        self.grants = restored
            .grants
            .iter()
            .map(|grant| {
                let bytes = encode(grant_entry(grant));
                (grant.cluster.clone(), bytes.into_boxed_slice())
            })
            .collect();
        self.rewrite()
    }

    /// Appends entries. What a failed call has written is overwritten by the next one.
    pub(super) fn append<'a>(
        &mut self,
        orders: impl Iterator<Item = &'a Order> + Clone,
    ) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut bytes = Vec::new();
        for order in orders.clone() {
            bytes.extend_from_slice(&encode(match order {
                Order::Record { grant, .. } => grant_entry(grant),
                Order::Clear(cluster) => Entry::ClearedCluster(cluster.as_bytes().to_vec()),
                Order::Rewrite(_) => continue,
                Order::End => Entry::End(JournalEnd {
                    uptime_ms: u64::try_from(uptime().as_millis()).unwrap_or(u64::MAX),
                }),
            }));
        }
        if let Err(error) = file.write_all_at(&bytes, self.length) {
            // What is behind the good part would be read as damage, or as a grant.
            if file.set_len(self.length).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        self.length += bytes.len() as u64;
        for order in orders {
            match order {
                Order::Record { grant, .. } => {
                    let bytes = encode(grant_entry(grant)).into_boxed_slice();
                    self.grants.insert(grant.cluster.clone(), bytes);
                }
                Order::Clear(cluster) => {
                    self.grants.remove(cluster);
                }
                Order::Rewrite(_) | Order::End => {}
            }
        }
        Ok(())
    }

    /// Waits until what was appended is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data())
    }

    /// The file as it is now; it may be replaced by another one.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Whether it must be written anew before anything can be appended.
    pub(super) fn is_unwritten(&self) -> bool {
        self.file.is_none()
    }

    /// Whether a grant of that cluster was written and counts.
    pub(super) fn has_grant(&self, cluster: &ClusterName) -> bool {
        self.grants.contains_key(cluster)
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn is_long(&self) -> bool {
        self.length > self.compact_at
    }

    pub(super) fn is_far_too_long(&self) -> bool {
        self.length > FAR * self.compact_at
    }

    /// Puts a new file with what still counts in the place of the old one, in one step, and waits
    /// for the disk. What counts comes from memory: after a disk refused to keep what was written,
    /// nobody knows what reading it back gives.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        let temporary = self.dir.join(format!("{}.new", self.name));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&encode(Entry::Start(self.start.clone())));
        for grant in self.grants.values() {
            bytes.extend_from_slice(grant);
        }
        // Before the new file has its name, so that nothing can fail in between.
        let dir = File::open(&self.dir)?;
        let mut file = afresh(&temporary)?;
        file.write_all(&bytes)?;
        try_to_give(&file, &dir.metadata()?, &temporary);
        file.sync_all()?;
        fs::rename(&temporary, self.path())?;
        self.file = Some(Arc::new(file));
        self.length = bytes.len() as u64;
        self.compact_at = COMPACT_AT.max(2 * self.length);
        dir.sync_all()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }
}

fn private() -> OpenOptions {
    let mut options = no_link();
    options.read(true).write(true).mode(0o600);
    options
}

/// A new file in the place of what an interrupted call left, or anybody put there.
fn afresh(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => private().create_new(true).open(path),
    }
}

/// For files in a directory of the daemon's user, that root may open.
fn no_link() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32);
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
                grants.remove(&ClusterName::new(&name));
            }
            Entry::Start(start) => loaded.start = Some(start),
            Entry::End(end) => loaded.ended_at = Some(Duration::from_millis(end.uptime_ms)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    loaded.grants = grants.into_values().collect();
    (loaded, Some((bytes.len() - rest.len()) as u64))
}
