//! How many lines strangers may write into the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may be written at once.
const BURST: u32 = 100;

/// After this long, one more may be written.
const REFILL: Duration = Duration::from_secs(1);

/// A budget for lines that anybody can cause by connecting. Without it, one host could fill the
/// disk, or push the lines that matter out of the log's queue.
#[derive(Debug)]
pub(super) struct Budget {
    spent: Mutex<Spent>,
}

#[derive(Debug)]
struct Spent {
    lines: u32,
    /// When the last line was given back.
    since: Option<Instant>,
    left_out: u64,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            spent: Mutex::new(Spent {
                lines: 0,
                since: None,
                left_out: 0,
            }),
        }
    }

    /// Asks for one line. The answer is how many were left out since the last one, or `None` if
    /// this one is to be left out too.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *spent.since.get_or_insert(now);
        let back = now.saturating_duration_since(since).as_secs() / REFILL.as_secs();
        if back > 0 {
            spent.since = Some(now);
            spent.lines = spent
                .lines
                .saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
        }
        if spent.lines >= BURST {
            spent.left_out += 1;
            return None;
        }
        spent.lines += 1;
        Some(std::mem::take(&mut spent.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let budget = Budget::new();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(budget.take(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(budget.take(start), None);
        }
        assert_eq!(budget.take(start + REFILL), Some(1000));
        assert_eq!(budget.take(start + REFILL), None);
        for _ in 0..BURST {
            assert!(budget.take(start + REFILL * (BURST + 1)).is_some());
        }
    }
}
