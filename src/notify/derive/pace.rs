//! What comes and goes is told ever more rarely.

use super::{Now, Rules};
use std::time::Duration;

/// How long it is remembered that a state was told.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// The longest that a state must last before it is told.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// When something may be told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When it changed last.
    pub(super) changed: Duration,
    /// When it was told last.
    pub(super) told: Duration,
    /// How often it was told of late.
    pub(super) times: u32,
}

impl Pace {
    /// How long a change must have lasted.
    fn needed(&self, settle: Duration, is_end: bool) -> Duration {
        let doublings = self.times.saturating_sub(u32::from(is_end));
        let base = match doublings {
            0 => return settle,
            _ => settle.max(Duration::from_millis(100)),
        };
        base.saturating_mul(1 << doublings.min(16))
            .min(LONGEST.max(settle))
    }

    pub(super) fn is_due(&mut self, rules: Rules, is_end: bool, now: Now) -> bool {
        if self.is_forgotten(now) {
            self.times = 0;
        }
        now.up.saturating_sub(self.changed) >= self.needed(rules.settle, is_end)
    }

    pub(super) fn is_forgotten(&self, now: Now) -> bool {
        now.up.saturating_sub(self.told) > MEMORY
    }

    pub(super) fn tell(&mut self, now: Now, is_end: bool) {
        self.told = now.up;
        self.times += u32::from(!is_end);
    }
}
