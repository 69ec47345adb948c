//! Noticing that the identity on disk has changed, cheaply enough to look every second.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::nss;
use super::store::FORMER;

/// A file as it was at one moment: inode, seconds and nanoseconds of its last change, size.
type FileStamp = (u64, i64, i64, u64);

/// The files of an identity as they were at one moment. Two stamps are equal if nothing has
/// changed in between; a difference says that it is worth loading the identity again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([Option<FileStamp>; 3]);

impl Stamp {
    /// Looks at a directory. `None` if there is no identity in it, or no directory.
    ///
    /// # Errors
    /// Those of looking at a file.
    pub fn of(directory: &Path) -> io::Result<Option<Self>> {
        let [certificates, keys, former] =
            [nss::CERTIFICATES, nss::KEYS, FORMER].map(|name| stamp(&directory.join(name)));
        let stamp = Self([certificates?, keys?, former?]);
        let [certificates, _, former] = stamp.0;
        // The keys are written first, so without certificates they are not complete yet.
        Ok(certificates.or(former).map(|_| stamp))
    }
}

fn stamp(file: &Path) -> io::Result<Option<FileStamp>> {
    match file.metadata() {
        Ok(found) => Ok(Some((
            found.ino(),
            found.mtime(),
            found.mtime_nsec(),
            found.len(),
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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
        assert_eq!(Stamp::of(path).unwrap(), None);
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
