//! When a request is sent again, and when it is given up.

use super::request::{Answer, RequestError};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause that we make by ourselves.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The longest pause that a receiver can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(10 * 60);

/// An alert is given up when it is older than this.
const GIVE_UP: Duration = Duration::from_secs(60 * 60);

/// What to do after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// It was taken.
    Done,
    /// Send it again after this time.
    Again(Duration),
    /// It makes no sense to send it again.
    GiveUp,
}

/// What to do after attempt number `attempt` (from 1), the first of which was `age` ago. `chance`
/// from 0 to 1 spreads the attempts of many senders.
pub(super) fn next(
    outcome: &Result<Answer, RequestError>,
    attempt: u32,
    age: Duration,
    chance: f64,
) -> Next {
    let asked = match outcome {
        Ok(Answer {
            status: 200..300, ..
        }) => return Next::Done,
        Ok(Answer {
            status: 408 | 425 | 429 | 500..600,
            retry_after,
            ..
        }) => *retry_after,
        // Redirects are not followed, and other refusals will be the same the next time.
        Ok(_) => return Next::GiveUp,
        // A file can be mended, and so can a network.
        Err(_) => None,
    };
    let doubled = FIRST
        .saturating_mul(1 << (attempt.max(1) - 1).min(16))
        .min(LONGEST);
    // From half to one and a half of it.
    let pause = doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0));
    let pause = asked.map_or(pause, |asked| pause.max(asked.min(LONGEST_ASKED)));
    if age + pause > GIVE_UP {
        return Next::GiveUp;
    }
    Next::Again(pause)
}

/// A number from 0 to 1 that nobody can foresee.
pub(super) fn chance() -> f64 {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 2];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::address::BadAddress;

    fn answer(status: u16, retry_after: Option<u64>) -> Result<Answer, RequestError> {
        Ok(Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            text: String::new(),
        })
    }

    #[test]
    fn what_is_sent_again_and_when() {
        let ms = Duration::from_millis;
        let young = Duration::ZERO;
        for (outcome, attempt, chance, expected) in [
            (answer(200, None), 1, 0.5, Next::Done),
            (answer(204, Some(9)), 1, 0.5, Next::Done),
            (answer(301, None), 1, 0.5, Next::GiveUp),
            (answer(400, None), 1, 0.5, Next::GiveUp),
            (answer(404, Some(1)), 1, 0.5, Next::GiveUp),
            (answer(500, None), 1, 0.5, Next::Again(ms(1000))),
            (answer(503, None), 1, 0.0, Next::Again(ms(500))),
            (answer(503, None), 4, 1.0, Next::Again(ms(12_000))),
            (answer(503, None), 40, 0.5, Next::Again(ms(300_000))),
            (answer(429, Some(30)), 1, 0.5, Next::Again(ms(30_000))),
            (answer(429, Some(0)), 2, 0.5, Next::Again(ms(2000))),
            (answer(429, Some(86_400)), 1, 0.5, Next::Again(ms(600_000))),
            (Err(BadAddress.into()), 1, 0.5, Next::Again(ms(1000))),
        ] {
            assert_eq!(
                next(&outcome, attempt, young, chance),
                expected,
                "{outcome:?}"
            );
        }
        let old = Duration::from_secs(3599);
        assert_eq!(next(&answer(500, None), 20, old, 0.5), Next::GiveUp);
    }
}
