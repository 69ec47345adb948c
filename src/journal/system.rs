//! What the operating system says about itself.

use std::fs;
use std::time::Duration;

/// The machine that the arbiter runs on, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct System {
    /// Id of the running kernel; empty if unknown, which equals nothing.
    pub(super) boot: String,
    /// Id of the machine, empty if it has none.
    pub(super) machine: String,
    /// Since the kernel was started, suspended or not.
    pub(super) uptime: Duration,
}

impl System {
    pub(super) fn current() -> Self {
        // Without an id every start looks like one after a power loss, which is safe.
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            boot: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            machine: read("/etc/machine-id").trim().to_owned(),
            uptime: uptime(),
        }
    }
}

/// Time since the kernel was started.
pub(super) fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
