//! When the certificates end that clusters depend on, as numbers for whoever watches over them.
//!
//! [`super::expiry`] says the same in words, for people.

use std::collections::HashMap;

use super::ca::CLOCK_FLOOR;
use super::facts::{Facts, Moment, Serial};

/// The most clusters that are answered for; of more, those whose certificates end first.
pub const MOST: usize = 16_384;

/// Days after which a certificate that no node has shown counts as replaced. Shorter than where
/// people are warned, so that an alert ends soon after the last node has the new certificate.
const IN_USE_DAYS: i64 = 1;

/// A cluster's certificate, as far as its end goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    cluster: String,
    serial: Serial,
    at: Moment,
    seen: Option<Moment>,
}

impl End {
    /// Of a certificate that a node showed last at `seen`.
    #[must_use]
    pub fn new(facts: &Facts, seen: Option<Moment>) -> Self {
        Self {
            cluster: facts.name.clone(),
            serial: facts.serial.clone(),
            at: facts.not_after,
            seen,
        }
    }

    fn is_in_use(&self, now: Moment) -> bool {
        self.seen
            .is_some_and(|seen| seen.days_until(now) < IN_USE_DAYS)
    }
}

/// The first end of each cluster's certificates, the soonest first: of those that its nodes have
/// shown within a day, and of the newest. Revoked ones don't count. The same certificate may be
/// among `all` more than once.
#[must_use]
pub fn ends<'a>(
    all: impl Iterator<Item = &'a End>,
    is_revoked: impl Fn(&Serial) -> bool,
    now: Moment,
) -> Vec<(String, Moment)> {
    // An unset clock must not make everything look as if it had just been seen.
    let now = now.max(Moment(CLOCK_FLOOR));
    let valid: Vec<&End> = all.filter(|end| !is_revoked(&end.serial)).collect();
    let mut newest: HashMap<&str, &Serial> = HashMap::new();
    for end in &valid {
        let serial = newest.entry(&end.cluster).or_insert(&end.serial);
        *serial = (*serial).max(&end.serial);
    }
    let mut first: HashMap<&str, Moment> = HashMap::new();
    for end in valid {
        let is_newest = newest.get(end.cluster.as_str()) == Some(&&end.serial);
        if is_newest || end.is_in_use(now) {
            let at = first.entry(&end.cluster).or_insert(end.at);
            *at = (*at).min(end.at);
        }
    }
    let mut first: Vec<(&str, Moment)> = first.into_iter().collect();
    first.sort_unstable_by_key(|(cluster, at)| (*at, *cluster));
    first.truncate(MOST);
    let owned = first.into_iter();
    owned
        .map(|(cluster, at)| (cluster.to_owned(), at))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_795_402_800);
    const DAY: u64 = 86_400;

    fn end(cluster: &str, serial: u64, days: u64, seen_days_ago: Option<u64>) -> End {
        End {
            cluster: cluster.to_owned(),
            serial: serial.into(),
            at: Moment(NOW.0 + days * DAY),
            seen: seen_days_ago.map(|ago| Moment(NOW.0 - ago * DAY)),
        }
    }

    fn days(all: &[End], revoked: u64) -> Vec<(String, u64)> {
        let ends = ends(all.iter(), |serial| *serial == revoked.into(), NOW);
        let days = |at: Moment| (at.0 - NOW.0) / DAY;
        ends.into_iter()
            .map(|(name, at)| (name, days(at)))
            .collect()
    }

    #[test]
    fn what_nodes_still_show_counts_and_what_was_replaced_does_not() {
        let all = [
            end("renewed", 200, 20, Some(2)),
            end("renewed", 201, 7000, Some(0)),
            end("half", 202, 10, Some(0)),
            end("half", 203, 7000, Some(0)),
            end("never shown", 204, 300, None),
            // Of the index and of what was seen.
            end("never shown", 204, 300, None),
        ];
        let expected = [("half", 10), ("never shown", 300), ("renewed", 7000)];
        let expected = expected.map(|(name, days)| (name.to_owned(), days));
        assert_eq!(days(&all, 0), expected);
    }

    #[test]
    fn revoked_ones_do_not_count() {
        let all = [end("a", 200, 20, Some(5)), end("a", 201, 10, Some(0))];
        assert_eq!(days(&all, 201), [("a".to_owned(), 20)]);
        assert_eq!(days(&all[1..], 201), []);
    }

    #[test]
    fn there_is_a_limit_and_the_soonest_are_kept() {
        let many = 0..MOST as u64 + 5;
        let all: Vec<End> = many
            .map(|n| end(&format!("c{n}"), n, MOST as u64 + 5 - n, None))
            .collect();
        let kept = days(&all, u64::MAX);
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0].1, 1);
    }
}
