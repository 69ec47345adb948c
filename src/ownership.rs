//! To whom new files belong when root runs the arbiter.

use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};

/// Gives a new file or directory to the owner of another, which is the directory that it is in. Root may run the
/// arbiter by hand on directories of the daemon's user, who must be able to go on with them.
///
/// # Errors
/// Whatever the system says; never for anyone but root, who can give nothing away.
pub(crate) fn give(file: impl AsFd, like: &Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() && (like.uid(), like.gid()) != (0, 0) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    Ok(())
}
