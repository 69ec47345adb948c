//! Time as the engine sees it: a parameter, never a clock.

use std::ops::Add;
use std::time::Duration;

/// A moment, in microseconds since an arbitrary start that is the same for a whole process.
///
/// The server derives it from a monotonic clock, tests make it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start.
    pub const ZERO: Self = Self(0);

    /// A moment `since_start` after the start; saturates after some 584,000 years.
    pub fn from_duration(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX))
    }

    /// A moment in milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// The time since the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, delta: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(delta.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// The earlier of two deadlines, where `None` means never.
pub(crate) fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
