//! Clusters of which no node is connected any more. Nothing of theirs is decided, but an operator must not find a
//! site missing from the list without a word.

use super::lock;
use crate::wire::ClusterName;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most of them that are remembered; further ones are not, so that who invents names, which is
/// possible where clients need no certificate, pushes nobody out.
const MOST: usize = 1000;

/// Longest name that is remembered, bytes. A certificate's is shorter.
const LONGEST_NAME: usize = 255;

/// A cluster that was not seen for so long is forgotten.
const FORGET: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A cluster without a connected node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneCluster {
    /// Its name.
    pub name: ClusterName,
    /// For how long none has been connected.
    pub gone_for: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct GoneClusters {
    since: Mutex<HashMap<ClusterName, Since>>,
}

#[derive(Debug)]
struct Since {
    noted: Instant,
    /// For how long none had been connected by then.
    before: Duration,
}

impl Since {
    fn gone_for(&self) -> Duration {
        self.noted.elapsed() + self.before
    }
}

impl GoneClusters {
    /// The last node of a cluster has left.
    pub(super) fn left(&self, name: &ClusterName) {
        self.note(name, |all, now| {
            all.insert(name.clone(), now);
        });
    }

    /// It had left so long before. What is known already stays.
    pub(super) fn had_left(&self, name: &ClusterName, before: Duration) {
        self.note(name, |all, now| {
            let since = Since { before, ..now };
            all.entry(name.clone()).or_insert(since);
        });
    }

    fn note(&self, name: &ClusterName, how: impl FnOnce(&mut HashMap<ClusterName, Since>, Since)) {
        let mut all = lock(&self.since);
        if all.len() >= MOST {
            all.retain(|_, since| since.gone_for() < FORGET);
        }
        let has_place = all.len() < MOST || all.contains_key(name);
        if has_place && name.as_bytes().len() <= LONGEST_NAME {
            let now = Since {
                noted: Instant::now(),
                before: Duration::ZERO,
            };
            how(&mut all, now);
        }
    }

    /// A node of it is connected.
    pub(super) fn is_back(&self, name: &ClusterName) {
        lock(&self.since).remove(name);
    }

    /// Those that are remembered, who has left last first.
    pub(super) fn all(&self) -> Vec<GoneCluster> {
        let mut all = lock(&self.since);
        all.retain(|_, since| since.gone_for() < FORGET);
        let gone = all.iter().map(|(name, since)| GoneCluster {
            name: name.clone(),
            gone_for: since.gone_for(),
        });
        let mut gone: Vec<GoneCluster> = gone.collect();
        gone.sort_by(|one, other| (one.gone_for, &one.name).cmp(&(other.gone_for, &other.name)));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn names(all: &GoneClusters) -> Vec<String> {
        all.all().iter().map(|gone| gone.name.to_string()).collect()
    }

    #[test]
    fn a_cluster_is_gone_until_it_is_back_or_forgotten() {
        let all = GoneClusters::default();
        let name = |name: &str| ClusterName::new(name.as_bytes());
        all.had_left(&name("before"), 2 * HOUR);
        all.left(&name("now"));
        all.had_left(&name("old"), FORGET);
        assert_eq!(names(&all), ["now", "before"]);
        // What a former process knew of it does not count any more.
        all.had_left(&name("now"), 3 * HOUR);
        assert_eq!(names(&all), ["now", "before"]);
        assert!(all.all()[1].gone_for >= 2 * HOUR);
        all.left(&name("before"));
        assert!(all.all()[1].gone_for < HOUR);
        all.is_back(&name("now"));
        assert_eq!(names(&all), ["before"]);
    }

    #[test]
    fn names_that_nobody_signed_do_not_fill_the_memory() {
        let all = GoneClusters::default();
        all.left(&ClusterName::new(&[b'x'; LONGEST_NAME + 1]));
        assert!(names(&all).is_empty());
        all.had_left(&ClusterName::new(b"old"), FORGET);
        all.had_left(&ClusterName::new(b"site"), HOUR);
        for number in 0..MOST {
            all.left(&ClusterName::new(format!("c{number}").as_bytes()));
        }
        let left = names(&all);
        assert_eq!(left.len(), MOST);
        assert_eq!(left.last().map(String::as_str), Some("site"));
    }
}
