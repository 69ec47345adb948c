//! Noticing that the identity's files changed, cheaply enough to look every second.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The files that make up an identity.
const FILES: [&str; 3] = ["cert9.db", "key4.db", "qarbiter-identity.pem"];

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
