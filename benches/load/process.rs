//! What a process uses, from /proc, and what this one may use.

use crate::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::time::Duration;

/// The kernel's unit in /proc/PID/stat, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Time on a processor of all threads that still live, to the nanosecond.
    living: Duration,
    /// Time on a processor of all threads that ever lived, in whole ticks.
    all: Duration,
    /// Resident memory, KiB.
    pub(crate) memory_kib: f64,
}

impl Usage {
    /// Reads it.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let gone = |error| format!("the server (process {pid}) can't be looked at: {error}");
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).map_err(gone)?;
            let first = text.split_whitespace().next().unwrap_or_default();
            nanos += first.parse::<u64>()?;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(gone)?;
        // The name, field 2, may contain anything; user and system time are fields 14 and 15.
        let (_, fields) = stat
            .rsplit_once(')')
            .ok_or("/proc/PID/stat is unreadable")?;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone)?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or("the server has ended")?;
        Ok(Self {
            living: Duration::from_nanos(nanos),
            all: TICK * ticks,
            memory_kib: resident.parse()?,
        })
    }

    /// Time on a processor since `earlier`: the exact figure, unless threads that have ended
    /// account for more than the coarse one can be wrong by.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> Duration {
        let living = self.living.saturating_sub(earlier.living);
        let all = self.all.saturating_sub(earlier.all);
        living.max(all.saturating_sub(TICK * 2))
    }
}

/// Raises the limit of open files for this process and those that it starts.
pub(crate) fn allow_open_files(needed: usize) -> Result<(), Failure> {
    let needed = needed as u64;
    let limit = getrlimit(Resource::Nofile);
    let enough = |bound: Option<u64>| bound.is_none_or(|bound| bound >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    let maximum = if enough(limit.maximum) {
        limit.maximum
    } else {
        Some(needed)
    };
    let wanted = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        format!("{needed} open files are needed and not allowed ({error}); raise `ulimit -n`")
    })?;
    Ok(())
}
