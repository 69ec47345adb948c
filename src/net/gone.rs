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
    /// The last node of a cluster has left, so long ago. What is known already stays.
    pub(super) fn note(&self, name: &ClusterName, before: Duration) {
        let mut all = lock(&self.since);
        if all.len() < MOST {
            let noted = Instant::now();
            all.entry(name.clone()).or_insert(Since { noted, before });
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
        all.note(&name("before"), 2 * HOUR);
        all.note(&name("now"), Duration::ZERO);
        all.note(&name("old"), FORGET);
        assert_eq!(names(&all), ["now", "before"]);
        // What a former process knew of it does not count any more.
        all.note(&name("now"), 3 * HOUR);
        assert_eq!(names(&all), ["now", "before"]);
        all.is_back(&name("now"));
        assert_eq!(names(&all), ["before"]);
        assert!(all.all()[0].gone_for >= 2 * HOUR);
    }

    #[test]
    fn names_that_nobody_signed_do_not_fill_the_memory() {
        let all = GoneClusters::default();
        all.note(&ClusterName::new(b"site"), HOUR);
        for number in 0..MOST {
            let name = ClusterName::new(format!("c{number}").as_bytes());
            all.note(&name, Duration::ZERO);
        }
        let left = names(&all);
        assert_eq!(left.len(), MOST);
        assert_eq!(left.last().map(String::as_str), Some("site"));
    }
}
