//! The files of the history: a directory of segments that grow one after the other.
//!
//! When there is too much, the oldest segment goes. What it has of the last decisions of a cluster
//! is written again before, so that a cluster about which much is written does not push out what
//! is known of others.

use super::entry::Entry;
use super::segment::{self, Found, MAGIC};
use crate::ownership::give;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Segments in a full history.
const SEGMENTS: u64 = 8;

/// Numbers that are passed over because something else has them.
const SKIPPED: u64 = 100;

/// What a segment's name ends with.
const SUFFIX: &str = ".seg";

/// More of one file is not read; a full segment of the largest history has an eighth of this.
const MAX_FILE: u64 = 256 << 20;

/// How long a former arbiter may take to let go of the files.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The files.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    /// `None` until it could be made.
    dir: Option<OwnedFd>,
    /// Bytes that all files together may have.
    max: u64,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, if something was appended to it.
    file: Option<File>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Bytes that are known to be good, in a segment that can be appended to.
    length: u64,
    is_appendable: bool,
}

/// Damage that was found when the files were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) file: PathBuf,
    pub(super) what: String,
}

impl Disk {
    /// Opens the directory, or makes it. One that can't be made is tried again later; what is there
    /// and can't be used is an error.
    pub(super) fn open(path: &Path, max: u64) -> io::Result<Self> {
        let mut disk = Self {
            path: path.to_owned(),
            dir: None,
            max,
            segments: VecDeque::new(),
            file: None,
        };
        match make_directory(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // To be tried again when there is something to write.
            Err(_) if !path.is_symlink() && !path.exists() => return Ok(disk),
            Err(error) => return Err(error),
        }
        let dir = open_directory(path)?;
        disk.segments = list(&dir)?;
        disk.dir = Some(dir);
        Ok(disk)
    }

    /// Reads all records, each with whether it was carried over.
    pub(super) fn load(&mut self, mut take: impl FnMut(Entry, bool)) -> Vec<Damage> {
        let mut damages = Vec::new();
        let Some(dir) = &self.dir else { return damages };
        let last = self.segments.len().saturating_sub(1);
        let mut bytes = Vec::new();
        for (place, segment) in self.segments.iter_mut().enumerate() {
            let file = self.path.join(name(segment.number));
            if let Err(error) = read_file(dir, segment.number, &mut bytes) {
                let what = error.to_string();
                damages.push(Damage { file, what });
                continue;
            }
            let found = segment::read(&bytes, &mut take);
            segment.length = bytes.len() as u64;
            let is_torn = found.holes == 0 && !found.is_foreign;
            if place == last && is_torn {
                // What the former process did not write to its end is overwritten.
                segment.length = found.intact as u64;
                segment.is_appendable = true;
            }
            if let Some(what) = damage(&found, place == last) {
                damages.push(Damage { file, what });
            }
        }
        damages
    }

    /// Appends entries, and takes those that were written out of the queue. `is_kept` says which
    /// decisions still count.
    ///
    /// # Errors
    /// The system refused. What was written in part is overwritten by the next call.
    pub(super) fn append(
        &mut self,
        entries: &mut VecDeque<Entry>,
        is_kept: &dyn Fn(u64) -> bool,
    ) -> io::Result<()> {
        while !entries.is_empty() {
            let mut bytes = Vec::new();
            let mut count = 0;
            for entry in &*entries {
                segment::encode(entry, false, &mut bytes);
                count += 1;
                // Far less than a segment, so that none gets much longer than it should.
                if bytes.len() as u64 >= self.segment_size() / 4 {
                    break;
                }
            }
            if (bytes.len() as u64) < self.max / 2 {
                self.make_room(bytes.len() as u64, is_kept)?;
                self.write(&bytes)?;
            } else {
                tracing::warn!(
                    "an event of {} bytes is too long for the history's files (setting \
                     history.max_size)",
                    bytes.len()
                );
            }
            entries.drain(..count);
        }
        Ok(())
    }

    fn segment_size(&self) -> u64 {
        self.max / SEGMENTS
    }

    /// Bytes of all files.
    fn total(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Removes the oldest segments until there is room, for one segment more than is asked for: what
    /// is carried over needs it before the old segment goes.
    fn make_room(&mut self, wanted: u64, is_kept: &dyn Fn(u64) -> bool) -> io::Result<()> {
        let room = self.max.saturating_sub(self.segment_size());
        // What counts takes less than the half of all, so that one round is enough. Were it not, it
        // would go.
        let mut rounds = self.segments.len();
        while self.total() + wanted > room {
            let Some(oldest) = self.segments.front().map(|segment| segment.number) else {
                break;
            };
            if self.segments.len() == 1 {
                self.close_segment();
            }
            if rounds > 0 {
                rounds -= 1;
                let carried = self.still_counts(oldest, is_kept)?;
                self.write(&carried)?;
            }
            let dir = self.dir()?;
            match rustix::fs::unlinkat(dir, name(oldest), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            self.segments.retain(|segment| segment.number != oldest);
        }
        Ok(())
    }

    /// The records of a segment that must not go with it.
    fn still_counts(&mut self, number: u64, is_kept: &dyn Fn(u64) -> bool) -> io::Result<Vec<u8>> {
        let (mut bytes, mut carried) = (Vec::new(), Vec::new());
        match read_file(self.dir()?, number, &mut bytes) {
            Ok(()) => {}
            // Somebody removed it, or it can't be read: then it can't be kept either.
            Err(error) => {
                let path = self.path.join(name(number));
                tracing::warn!("the history loses {}: {error}", path.display());
                return Ok(carried);
            }
        }
        segment::read(&bytes, |entry, _| {
            if entry.decision.is_some_and(is_kept) {
                segment::encode(&entry, true, &mut carried);
            }
        });
        Ok(carried)
    }

    /// Writes to the end of the last segment, or of a new one if that is full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let size = self.segment_size();
        let has_room = |last: &Segment| {
            last.is_appendable && (last.length == 0 || last.length + bytes.len() as u64 <= size)
        };
        if !self.segments.back().is_some_and(has_room) {
            self.close_segment();
            let number = self.segments.back().map_or(1, |last| last.number + 1);
            let (number, file) = self.create(number)?;
            self.file = Some(file);
            self.segments.push_back(Segment {
                number,
                length: 0,
                is_appendable: true,
            });
        }
        if self.file.is_none() {
            let number = self.segments.back().map_or(0, |last| last.number);
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(self.dir()?, name(number), flags, Mode::empty());
            let file = File::from(opened?);
            // What the former process did not write to its end.
            file.set_len(self.segments.back().map_or(0, |last| last.length))?;
            self.file = Some(file);
        }
        let (Some(file), Some(last)) = (&self.file, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let begin: &[u8] = if last.length == 0 { MAGIC } else { &[] };
        let bytes = [begin, bytes].concat();
        if let Err(error) = file.write_all_at(&bytes, last.length) {
            // What is behind the good part would be read as damage.
            file.set_len(last.length)?;
            return Err(error);
        }
        last.length += bytes.len() as u64;
        Ok(())
    }

    /// The next bytes go into a new segment.
    fn close_segment(&mut self) {
        self.file = None;
        if let Some(last) = self.segments.back_mut() {
            last.is_appendable = false;
        }
    }

    /// Makes a file with this number, or the next one that is free: something that is none of our
    /// files may have one.
    fn create(&mut self, first: u64) -> io::Result<(u64, File)> {
        let dir = self.dir()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o640);
        let like = File::from(dir.try_clone()?).metadata()?;
        let mut number = first;
        let file = loop {
            match rustix::fs::openat(dir, name(number), flags | OFlags::CLOEXEC, mode) {
                Err(Errno::EXIST) if number - first < SKIPPED => number += 1,
                opened => break opened?,
            }
        };
        let file = File::from(file);
        if let Err(error) = give(&file, &like) {
            // It would be in the way of the next attempt.
            rustix::fs::unlinkat(dir, name(number), AtFlags::empty())?;
            return Err(error);
        }
        Ok((number, file))
    }

    fn dir(&mut self) -> io::Result<&OwnedFd> {
        if self.dir.is_none() {
            make_directory(&self.path)?;
            self.dir = Some(open_directory(&self.path)?);
        }
        self.dir.as_ref().ok_or(io::ErrorKind::NotConnected.into())
    }
}

/// What is wrong with a file, in words.
fn damage(found: &Found, is_last: bool) -> Option<String> {
    if found.holes > 0 {
        return Some(format!(
            "damaged in {} places; {} records of it are left",
            found.holes, found.records
        ));
    }
    // The last file ends like this when the power goes.
    (found.tail > 0 && (!is_last || found.is_foreign)).then(|| {
        format!(
            "damaged: its last {} bytes can't be read; {} records of it are left",
            found.tail, found.records
        )
    })
}

fn name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

/// Makes the directory, for the owner of the one that it is in.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o750).create(path)?;
    let above = path.parent().unwrap_or(Path::new("."));
    give(&File::from(open(path)?), &std::fs::metadata(above)?)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens the directory and keeps other arbiters out.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let dir = open(path)?;
    let begin = Instant::now();
    loop {
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(dir),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another arbiter uses it")),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The segments in the order of their numbers.
fn list(dir: &OwnedFd) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let Ok(file) = entry.file_name().to_str() else {
            continue;
        };
        let number = file.strip_suffix(SUFFIX).map(str::parse);
        let Some(Ok(number)) = number.filter(|_| file.starts_with(|c: char| c.is_ascii_digit()))
        else {
            continue;
        };
        let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && file == name(number) {
            segments.push(Segment {
                number,
                length: u64::try_from(stat.st_size).unwrap_or(0),
                is_appendable: false,
            });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.number);
    Ok(segments.into())
}

fn read_file(dir: &OwnedFd, number: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, name(number), flags, Mode::empty())?);
    file.take(MAX_FILE).read_to_end(bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests;
