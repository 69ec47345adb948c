//! The record of who was last given the vote of each cluster, so that an arbiter that is started
//! anew does not give it to somebody else while the former holder may still cast it (safety spec,
//! section 4).
//!
//! An ACK that changes the holder leaves only after the record of it is in the file. The file is
//! append-only: a few hundred bytes for each change, nothing for heartbeats.
//!
//! What "in the file" means depends on what a restart could lose. The kernel keeps what was written
//! when the process dies, however it dies, so the ACK waits for the write, not for the disk; the
//! disk follows at once. When the *machine* dies, the last few records may be lost, and the journal
//! knows it, because it was not closed in the same boot: then nobody gets a vote before every
//! lease of before that could still exist is over ([`Restored::doubt`]). A machine takes about as
//! long to boot. Only where no time limit ends a lease (`lost_holder=manual`) does the ACK wait
//! for the disk itself.
//!
//! - `record`: entries to bytes and back,
//! - `file`: reading, appending, compacting,
//! - `writer`: the threads that do it.

mod file;
mod record;
mod system;
mod writer;

use crate::engine::{Grant, lease_time};
use crate::wire::ClusterName;
use file::{Loaded, Log};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::System;
pub use writer::{Figures, Health, Journal};

/// The heartbeat interval of nodes with default settings, for records that are not there.
pub const USUAL_HEARTBEAT_MS: u32 = 8000;

const USUAL_HEARTBEAT: Duration = Duration::from_millis(USUAL_HEARTBEAT_MS as u64);

/// The journal can't be used. The arbiter can run without it, but forgets when it ends.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("{path} is in use by another arbiter", path = .0.display())]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why records may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The file was damaged at this many bytes.
    Damaged {
        /// Where what is left ends.
        at: u64,
        /// Where a copy of the damaged file is, if one could be made.
        copy: Option<PathBuf>,
    },
    /// The machine went down without the arbiter having ended.
    PowerLoss,
    /// The former arbiter was still waiting for such a reason.
    Before,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at, copy } => {
                write!(f, "the journal was damaged after {at} bytes")?;
                match copy {
                    Some(copy) => write!(f, " (a copy is in {})", copy.display()),
                    None => Ok(()),
                }
            }
            Self::PowerLoss => f.write_str(
                "this machine went down while the arbiter was running, so that the last records \
                 may be missing",
            ),
            Self::Before => f.write_str(
                "the former arbiter ended while it waited because records may be missing",
            ),
        }
    }
}

/// What a former process left.
#[derive(Debug, Default)]
pub struct Restored {
    /// The last grant of each cluster.
    pub grants: Vec<Grant>,
    /// How long ago the former process ended at least; zero if that is not known.
    pub ended_before: Duration,
    /// Why there may have been more, and for how long somebody unknown may still hold a vote.
    pub doubt: Option<(Doubt, Duration)>,
}

/// Opens the journal in a directory, which is made if need be, and starts its thread. The name of
/// the file has the port, because arbiters with different ports are different arbiters.
///
/// # Errors
/// [`JournalError`].
pub fn open(dir: &Path, port: u16) -> Result<(Journal, Restored), JournalError> {
    open_on(dir, port, &System::current())
}

fn open_on(dir: &Path, port: u16, system: &System) -> Result<(Journal, Restored), JournalError> {
    let (mut log, loaded) = Log::open(dir, &format!("grants-{port}.journal"))?;
    let restored = judge(loaded, system);
    let begun = log.begin(&restored, system);
    Ok((Journal::start(log, begun.err())?, restored))
}

/// Says what the entries of former processes are worth.
fn judge(loaded: Loaded, system: &System) -> Restored {
    let longest = loaded
        .grants
        .iter()
        .flat_map(|grant| grant.heartbeats.values())
        .map(|ms| Duration::from_millis(u64::from(*ms)))
        .fold(USUAL_HEARTBEAT, Duration::max);
    let same_boot = loaded
        .start
        .as_ref()
        .is_some_and(|start| !start.boot.is_empty() && start.boot == system.boot);
    let ended_before = match loaded.ended_at {
        Some(at) if same_boot => system.uptime.saturating_sub(at),
        _ => Duration::ZERO,
    };
    let doubt_until = loaded
        .start
        .as_ref()
        .map_or(0, |start| start.doubt_until_ms);
    let doubt_until = Duration::from_millis(doubt_until);
    // What was complete when it ended, unless it was in doubt itself.
    let ended_without_doubt = loaded.ended_at.is_some_and(|at| at >= doubt_until);
    let doubt = if let Some((at, copy)) = loaded.damage {
        Some((Doubt::Damaged { at, copy }, lease_time(longest)))
    } else if same_boot {
        // A restart does not shorten what is waited for.
        let left = doubt_until.saturating_sub(system.uptime);
        (!left.is_zero()).then_some((Doubt::Before, left))
    } else if loaded.start.is_some() && !ended_without_doubt {
        let same_machine = loaded
            .start
            .as_ref()
            .is_some_and(|start| !start.machine.is_empty() && start.machine == system.machine);
        // What a machine promised before it was booted is as old as its boot at least.
        let passed = if same_machine {
            system.uptime
        } else {
            Duration::ZERO
        };
        let left = lease_time(longest).saturating_sub(passed);
        (!left.is_zero()).then_some((Doubt::PowerLoss, left))
    } else {
        None
    };
    Restored {
        grants: loaded.grants,
        ended_before,
        doubt,
    }
}

/// What is done when a record is written.
type Done = Box<dyn FnOnce() + Send>;

/// What the journal is told.
enum Order {
    Record {
        grant: Grant,
        /// Whether it must be on the disk before it counts.
        durable: bool,
        done: Done,
    },
    Clear(ClusterName),
    /// The disk did not keep what was written; these wait until it has.
    Rewrite(Vec<Done>),
    End,
}

#[cfg(test)]
mod tests;
