//! What a process uses, from /proc, and what this one may use.

use crate::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::time::Duration;

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Time on a processor, of all threads that still live.
    pub(crate) cpu: Duration,
    /// Resident memory, KiB.
    pub(crate) memory_kib: f64,
}

impl Usage {
    /// Reads it. `schedstat` counts nanoseconds, `stat` only hundredths of a second.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let gone = |error| format!("the server (process {pid}) can't be looked at: {error}");
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).map_err(gone)?;
            let first = text.split_whitespace().next().unwrap_or_default();
            nanos += first.parse::<u64>()?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone)?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or("the server has ended")?;
        Ok(Self {
            cpu: Duration::from_nanos(nanos),
            memory_kib: resident.parse()?,
        })
    }

    /// What came on top of `earlier`; memory as it is now.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            memory_kib: self.memory_kib,
        }
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
