//! Noticing that the identity's files changed, cheaply enough to look every second.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::nss;
use super::store::FORMER;

/// The files that make up an identity.
const FILES: [&str; 3] = [nss::CERTIFICATES, nss::KEYS, FORMER];

/// What tells two states of the identity's files apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp([Option<FileStamp>; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The present state of a directory; `None` if there is none of the files.
    ///
    /// # Errors
    /// A file can't be examined.
    pub fn of(dir: &Path) -> io::Result<Option<Self>> {
        let mut files = [None; 3];
        for (file, name) in files.iter_mut().zip(FILES) {
            *file = match std::fs::metadata(dir.join(name)) {
                Ok(found) => Some(FileStamp::from(&found)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(files.iter().any(Option::is_some).then_some(Self(files)))
    }
}

impl From<&Metadata> for FileStamp {
    fn from(found: &Metadata) -> Self {
        Self {
            inode: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_change_is_noticed_and_nothing_else() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path();
        assert_eq!(Stamp::of(&path.join("none")).unwrap(), None);
        fs::write(path.join("key4.db"), "k").unwrap();
        fs::write(path.join("cert9.db"), "c").unwrap();
        let first = Stamp::of(path).unwrap();
        assert!(first.is_some());
        fs::write(path.join("cluster-a.crt"), "other").unwrap();
        assert_eq!(Stamp::of(path).unwrap(), first);
        // Same length, written in place and by renaming.
        for change in ["cert9.db", "key4.db"] {
            let before = Stamp::of(path).unwrap();
            fs::write(path.join("new"), "x").unwrap();
            fs::rename(path.join("new"), path.join(change)).unwrap();
            assert_ne!(Stamp::of(path).unwrap(), before, "{change}");
        }
        let before = Stamp::of(path).unwrap();
        fs::write(path.join("cert9.db"), "longer").unwrap();
        assert_ne!(Stamp::of(path).unwrap(), before);
    }
}
