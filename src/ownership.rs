//! To whom new files belong when root runs the arbiter.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};

/// Gives what was opened to the owner of another, which is the directory that it is in. Root may run
/// the arbiter by hand on directories of the daemon's user, who must be able to go on with them.
///
/// Whatever is opened for this must not be reached through a link: the daemon's user can put one
/// there. A file that has a second name is left alone for the same reason.
///
/// # Errors
/// Whatever the system says; never for anyone but root, who can give nothing away.
pub(crate) fn give(file: &File, like: &Metadata) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() || (like.uid(), like.gid()) == (0, 0) {
        return Ok(());
    }
    let now = file.metadata()?;
    let is_own = now.is_dir() || (now.is_file() && now.nlink() == 1);
    if is_own && (now.uid(), now.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    Ok(())
}

/// The same where the file is of use to root all the same: a file system may refuse it.
pub(crate) fn try_to_give(file: &File, like: &Metadata, name: &std::path::Path) {
    if let Err(error) = give(file, like) {
        tracing::warn!(
            "{} can't be given to the owner of its directory, who may not be able to use it: {error}",
            name.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    /// As root, like everything here that is about owners.
    #[test]
    fn only_what_has_one_name_is_given_away() {
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(12_345), Some(12_346)).unwrap();
        let like = place.path().metadata().unwrap();
        let make = |name: &str| {
            let path = place.path().join(name);
            (File::create(&path).unwrap(), path)
        };
        let (own, _) = make("own");
        give(&own, &like).unwrap();
        assert_eq!(own.metadata().unwrap().uid(), 12_345);
        let (linked, path) = make("linked");
        std::fs::hard_link(path, place.path().join("second")).unwrap();
        give(&linked, &like).unwrap();
        assert_eq!(linked.metadata().unwrap().uid(), 0);
    }
}
