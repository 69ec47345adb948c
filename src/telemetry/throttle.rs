//! A limit on log lines that strangers can cause.
//!
//! Whoever can reach the port can make us refuse it, as often as it likes. What operators need of
//! that is a sample and a number, not a full disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lines that strangers may cause in each [`WINDOW`].
const LINES: u64 = 100;

/// The span of time that [`LINES`] holds for.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts lines in windows of time.
#[derive(Debug)]
pub struct Throttle {
    start: std::sync::OnceLock<Instant>,
    /// Number of the window in the upper half, lines in it in the lower half.
    state: AtomicU64,
}

/// Whether a line may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Write it.
    Write,
    /// Write it, after saying that this many were left out before.
    WriteAfter(u64),
    /// Leave it out.
    Skip,
}

impl Throttle {
    /// A throttle that has seen nothing.
    pub const fn new() -> Self {
        Self {
            start: std::sync::OnceLock::new(),
            state: AtomicU64::new(0),
        }
    }

    /// Asks for a line now.
    pub fn ask(&self) -> Verdict {
        let now = Instant::now();
        self.ask_at(now.duration_since(*self.start.get_or_init(|| now)))
    }

    fn ask_at(&self, since_start: Duration) -> Verdict {
        let window = since_start.as_secs() / WINDOW.as_secs();
        let next = |state: u64| {
            if state >> 32 == window {
                state.saturating_add(1)
            } else {
                (window << 32) | 1
            }
        };
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                Some(next(state))
            })
            .unwrap_or_else(|state| state);
        let lines = before & u64::from(u32::MAX);
        match (before >> 32 == window, lines) {
            (true, LINES..) => Verdict::Skip,
            (false, lines) if lines > LINES => Verdict::WriteAfter(lines - LINES),
            _ => Verdict::Write,
        }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_room_for_so_many_lines() {
        let throttle = Throttle::new();
        let at = Duration::from_secs(1);
        for _ in 0..LINES {
            assert_eq!(throttle.ask_at(at), Verdict::Write);
        }
        for _ in 0..7 {
            assert_eq!(throttle.ask_at(at), Verdict::Skip);
        }
        assert_eq!(throttle.ask_at(at + WINDOW), Verdict::WriteAfter(7));
        assert_eq!(throttle.ask_at(at + WINDOW), Verdict::Write);
    }
}
