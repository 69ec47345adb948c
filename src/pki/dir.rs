//! The identity directory as a place where files appear whole or not at all.
//!
//! All work goes through one descriptor of the directory, and owner and mode are set on open
//! files: root may run the tool in a directory that belongs to the daemon's user, and must not be
//! led elsewhere by a link that this user put there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// Who may use the files of the identity besides their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Owner,
    /// The group may read: `corosync-qnetd-certutil -G`.
    GroupRead,
    /// The group may read and write: `corosync-qnetd-certutil` without `-G`.
    GroupWrite,
}

impl Access {
    fn directory(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::Owner => 0o700,
            Self::GroupRead => 0o750,
            Self::GroupWrite => 0o770,
        })
    }

    /// Who has access to what is in a directory of this mode.
    fn of_directory(mode: Mode) -> Self {
        if mode.contains(Mode::WGRP) {
            Self::GroupWrite
        } else if mode.contains(Mode::RGRP) {
            Self::GroupRead
        } else {
            Self::Owner
        }
    }

    /// Mode of the files with the keys and of what goes with them, the reference's
    /// (provisioning spec 2.2).
    pub(crate) fn files(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::Owner => 0o600,
            Self::GroupRead => 0o640,
            Self::GroupWrite => 0o660,
        })
    }
}

/// Name of the file that is being written. One is enough: writers hold the lock.
const TEMPORARY: &str = ".qarbiter-new";

/// Name of the empty file that writers lock. It stays: removing it would give two waiting writers
/// different files to lock.
const LOCK: &str = ".qarbiter-lock";

/// Mode of the lock file. Who cannot write the directory cannot get at it either.
const SHARED_LOCK: Mode = Mode::from_raw_mode(0o660);

/// How long a call waits for another one to finish, before it gives up.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// An open identity directory.
#[derive(Debug)]
pub(crate) struct IdentityDir {
    path: PathBuf,
    descriptor: OwnedFd,
}

/// The right to change the directory; ends when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _descriptor: OwnedFd,
}

/// A failed step, in words for a person.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}", path = path.display())]
pub struct DirError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DirError {
    pub(super) fn new(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            action,
            path: path.into(),
            source: source.into(),
        }
    }

    /// The kind of the operating system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl IdentityDir {
    /// Opens an existing directory.
    pub(crate) fn open(path: &Path) -> Result<Self, DirError> {
        let descriptor =
            open_directory(path).map_err(|error| DirError::new("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            descriptor,
        })
    }

    /// Opens the directory and makes it first if it does not exist. A new one gets the owner of
    /// the directory around it, as the reference does it, so that root prepares what an
    /// unprivileged daemon uses.
    pub(crate) fn open_or_create(path: &Path, access: Access) -> Result<Self, DirError> {
        let around = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(around).map_err(|error| DirError::new("create", around, error))?;
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) => {
                let owner = rustix::fs::stat(around)
                    .map_err(|error| DirError::new("examine", around, error))?;
                let new = Self::open(path)?;
                inherit_owner(&new.descriptor, &owner)
                    .and_then(|()| rustix::fs::fchmod(&new.descriptor, access.directory()))
                    .map_err(|error| DirError::new("set owner and mode of", path, error))?;
                Ok(new)
            }
            Err(Errno::EXIST) => Self::open(path),
            Err(error) => Err(DirError::new("create", path, error)),
        }
    }

    /// Where a file of this directory is.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other process changes the directory.
    pub(crate) fn lock(&self) -> Result<Lock, DirError> {
        self.lock_within(LOCK_PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> Result<Lock, DirError> {
        let failed = |error| DirError::new("lock", &self.path, error);
        // A file of its own, open for writing, and not the directory: NFS locks nothing else.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::openat(&self.descriptor, LOCK, flags, SHARED_LOCK).map_err(failed)?;
        self.share_lock_file(&descriptor).map_err(failed)?;
        let give_up = Instant::now() + patience;
        loop {
            match rustix::fs::flock(&descriptor, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Lock {
                        _descriptor: descriptor,
                    });
                }
                Err(Errno::WOULDBLOCK) if Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Lets everyone who may sign here use the lock file. Its maker does that; for others it is
    /// done already, or not theirs to do.
    fn share_lock_file(&self, descriptor: &OwnedFd) -> rustix::io::Result<()> {
        let status = rustix::fs::fstat(descriptor)?;
        let euid = rustix::process::geteuid();
        if !euid.is_root() && status.st_uid != euid.as_raw() {
            return Ok(());
        }
        let owner = rustix::fs::fstat(&self.descriptor)?;
        inherit_owner(descriptor, &owner)?;
        rustix::fs::fchmod(descriptor, SHARED_LOCK)
    }

    /// Whether the directory has an entry of this name.
    pub(crate) fn contains(&self, name: &str) -> Result<bool, DirError> {
        match rustix::fs::statat(&self.descriptor, name, AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(DirError::new("examine", self.path_of(name), error)),
        }
    }

    /// Who has access to the directory.
    pub(crate) fn access(&self) -> Result<Access, DirError> {
        let status = rustix::fs::fstat(&self.descriptor)
            .map_err(|error| DirError::new("examine", &self.path, error))?;
        Ok(Access::of_directory(Mode::from_raw_mode(status.st_mode)))
    }

    /// The permission bits of a file.
    pub(crate) fn mode_of(&self, name: &str) -> Result<Mode, DirError> {
        let status = rustix::fs::statat(&self.descriptor, name, AtFlags::empty())
            .map_err(|error| DirError::new("examine", self.path_of(name), error))?;
        Ok(Mode::from_raw_mode(status.st_mode))
    }

    /// Demands that a file may be read, without opening it: closing it again would end the locks
    /// that another thread has on it.
    pub(crate) fn demand_readable(&self, name: &str) -> Result<(), DirError> {
        let access = rustix::fs::Access::READ_OK;
        rustix::fs::accessat(&self.descriptor, name, access, AtFlags::EACCESS)
            .map_err(|error| DirError::new("read", self.path_of(name), error))
    }

    /// The names of all entries that are valid UTF-8, in no order.
    pub(crate) fn names(&self) -> Result<Vec<String>, DirError> {
        let failed = |error| DirError::new("list", &self.path, error);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Gives a file another name, in the place of what had it, if the file exists.
    pub(crate) fn rename(&self, _lock: &Lock, from: &str, to: &str) -> Result<(), DirError> {
        match rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(DirError::new("rename", self.path_of(from), error)),
        }
    }

    /// Removes a file, if it exists.
    pub(crate) fn remove(&self, _lock: &Lock, name: &str) -> Result<(), DirError> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(DirError::new("remove", self.path_of(name), error)),
        }
    }

    /// The contents of a file of at most `limit` bytes and its mode; `None` if there is none.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, Mode)>, DirError> {
        let failed = |error: io::Error| DirError::new("read", self.path_of(name), error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let status = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        let mut contents = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut contents)
            .map_err(failed)?;
        if contents.len() as u64 > limit {
            let text = format!("it is longer than {limit} bytes");
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        Ok(Some((contents, Mode::from_raw_mode(status.st_mode))))
    }

    /// Writes a file, or replaces it, so that readers and a power failure see the old contents or
    /// the new, never a part. Owner and group become those of the directory.
    pub(crate) fn write(
        &self,
        _lock: &Lock,
        name: &str,
        contents: &[u8],
        mode: Mode,
    ) -> Result<(), DirError> {
        let failed = |error: io::Error| DirError::new("write", self.path_of(name), error);
        self.write_temporary(contents, mode)
            .and_then(|()| {
                rustix::fs::renameat(&self.descriptor, TEMPORARY, &self.descriptor, name)?;
                // Makes the new name itself durable, where directories can be synchronized at all.
                match rustix::fs::fsync(&self.descriptor) {
                    Err(Errno::INVAL) => Ok(()),
                    result => Ok(result?),
                }
            })
            .map_err(failed)
    }

    fn write_temporary(&self, contents: &[u8], mode: Mode) -> io::Result<()> {
        // What a crashed call left. No other call can be using it: we hold the lock.
        match rustix::fs::unlinkat(&self.descriptor, TEMPORARY, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::openat(&self.descriptor, TEMPORARY, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(descriptor);
        let owner = rustix::fs::fstat(&self.descriptor)?;
        inherit_owner(&file, &owner)?;
        rustix::fs::fchmod(&file, mode)?;
        file.write_all(contents)?;
        file.sync_all()
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, directory_flags(), Mode::empty())
}

/// Gives a new file or directory the owner and group of another. Only root can give away what it
/// owns; for anyone else the file stays theirs, as with the reference, and its group is changed
/// where they are a member.
fn inherit_owner(file: impl AsFd, owner: &rustix::fs::Stat) -> rustix::io::Result<()> {
    let now = rustix::fs::fstat(&file)?;
    if (now.st_uid, now.st_gid) == (owner.st_uid, owner.st_gid) {
        return Ok(());
    }
    let uid = rustix::fs::Uid::from_raw(owner.st_uid);
    let gid = rustix::fs::Gid::from_raw(owner.st_gid);
    if rustix::process::geteuid().is_root() {
        return rustix::fs::fchown(&file, Some(uid), Some(gid));
    }
    match rustix::fs::fchown(&file, None, Some(gid)) {
        Err(Errno::PERM) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn mode_of(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_directory_gets_its_mode_and_an_old_one_keeps_it() {
        let around = tempfile::tempdir().unwrap();
        for (access, mode) in [
            (Access::Owner, 0o700),
            (Access::GroupRead, 0o750),
            (Access::GroupWrite, 0o770),
        ] {
            let path = around.path().join(format!("{mode:o}/nested"));
            IdentityDir::open_or_create(&path, access).unwrap();
            assert_eq!(mode_of(&path), mode);
            IdentityDir::open_or_create(&path, Access::Owner).unwrap();
            assert_eq!(mode_of(&path), mode);
        }
    }

    #[test]
    fn files_take_the_directory_s_owner() {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test changes owners and must run as root"
        );
        let around = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(around.path(), Some(4711), Some(4712)).unwrap();
        let path = around.path().join("db");
        let dir = IdentityDir::open_or_create(&path, Access::GroupRead).unwrap();
        let lock = dir.lock().unwrap();
        dir.write(&lock, "a", b"1", Access::GroupRead.files())
            .unwrap();
        for entry in [path.clone(), path.join("a")] {
            let found = entry.metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (4711, 4712), "{entry:?}");
        }
    }

    #[test]
    fn writing_replaces_a_link_instead_of_following_it() {
        let around = tempfile::tempdir().unwrap();
        let victim = around.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let path = around.path().join("db");
        let dir = IdentityDir::open_or_create(&path, Access::Owner).unwrap();
        symlink(&victim, path.join("a")).unwrap();
        symlink(&victim, path.join(TEMPORARY)).unwrap();
        let lock = dir.lock().unwrap();
        dir.write(&lock, "a", b"new", Access::Owner.files())
            .unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(std::fs::read(path.join("a")).unwrap(), b"new");
        assert!(!path.join("a").is_symlink());
        assert_eq!(mode_of(&path.join("a")), 0o600);
        assert!(!path.join(TEMPORARY).exists());
    }

    #[test]
    fn only_one_holds_the_lock() {
        let around = tempfile::tempdir().unwrap();
        let first = IdentityDir::open(around.path()).unwrap();
        let second = IdentityDir::open(around.path()).unwrap();
        let lock = first.lock().unwrap();
        let error = second.lock_within(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        second.lock_within(Duration::ZERO).unwrap();
    }

    #[test]
    fn reading_is_limited_and_tells_absence_apart() {
        let around = tempfile::tempdir().unwrap();
        let dir = IdentityDir::open(around.path()).unwrap();
        assert!(dir.read("a", 3).unwrap().is_none());
        std::fs::write(around.path().join("a"), "abc").unwrap();
        assert_eq!(dir.read("a", 3).unwrap().unwrap().0, b"abc");
        let error = dir.read("a", 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("longer than 2 bytes"), "{error}");
    }
}
