//! Keeps many alerts of one kind from becoming a storm: the first are told one by one, the rest is
//! summed up. A state that was told by itself is never part of a sum: its end is told, and if it
//! becomes graver while too much is told already, that is told a little later.

use super::alert::{Alert, Fact, Kind, Severity, Status};
use super::derive::Now;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

/// Alerts of one kind that can be told at once.
const BURST: f64 = 20.0;

/// Alerts of one kind that can be told in the long run, per second: 20 in a minute.
const RATE: f64 = 20.0 / 60.0;

/// Time between two sums of one kind.
const BETWEEN_SUMS: Duration = Duration::from_secs(60);

/// Clusters that a sum names.
const NAMED: usize = 5;

/// Alerts that wait to be taken.
#[derive(Debug)]
pub(super) struct Outbox {
    ready: Vec<Alert>,
    grace: Duration,
    budgets: BTreeMap<Kind, Budget>,
    states: BTreeMap<Kind, Sum>,
    events: BTreeMap<Kind, Sum>,
    /// Keys of states that are so and were told by themselves.
    alone: HashSet<String>,
    /// Of those, what they became since, by key.
    late: BTreeMap<String, Alert>,
}

#[derive(Debug)]
struct Budget {
    left: f64,
    at: Duration,
}

/// Alerts that are told together.
#[derive(Debug, Default)]
struct Sum {
    /// By key, with their clusters.
    members: BTreeMap<String, Option<String>>,
    severity: Option<Severity>,
    since_unix_ms: u64,
    is_news: bool,
    /// When it was told, and what its severity was then.
    told: Option<(Duration, Severity)>,
}

impl Outbox {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            ready: Vec::new(),
            grace,
            budgets: BTreeMap::new(),
            states: BTreeMap::new(),
            events: BTreeMap::new(),
            alone: HashSet::new(),
            late: BTreeMap::new(),
        }
    }

    /// Whether this state was told by itself and not in a sum.
    pub(super) fn told_alone(&self, key: &str) -> bool {
        self.alone.contains(key)
    }

    /// The sums of states that were told and are not over.
    pub(super) fn sums(&self, now: Now) -> impl Iterator<Item = Alert> {
        let all = self.states.iter();
        all.filter(|(_, sum)| !sum.members.is_empty())
            .filter_map(move |(kind, sum)| {
                let (_, severity) = sum.told?;
                let text = sum.text(*kind);
                Some(sum.alert(*kind, severity, text, Some(Status::Firing), now))
            })
    }

    /// Something happened.
    pub(super) fn event(&mut self, fact: Fact, now: Now) {
        let is_expected = fact.kind == Kind::NodeConnected && now.up < self.grace;
        if !is_expected && self.pay(fact.kind, now) {
            self.ready.push(Alert {
                fact,
                status: None,
                unix_ms: now.unix_ms,
                since_unix_ms: None,
                count: None,
            });
        } else {
            self.events.entry(fact.kind).or_default().add(fact, now);
        }
    }

    /// Something began to be so, or is over.
    pub(super) fn state(&mut self, fact: Fact, status: Status, since_unix_ms: u64, now: Now) {
        let kind = fact.kind;
        let key = fact.key.clone();
        let alert = |fact| Alert {
            fact,
            status: Some(status),
            unix_ms: now.unix_ms,
            since_unix_ms: Some(since_unix_ms),
            count: None,
        };
        match status {
            Status::Firing if self.alone.contains(&key) => {
                self.late.insert(key, alert(fact));
                return;
            }
            Status::Firing => {
                let summed = self.states.get(&kind);
                let is_summed = summed.is_some_and(|sum| sum.members.contains_key(&key));
                if is_summed || !self.pay(kind, now) {
                    return self.states.entry(kind).or_default().add(fact, now);
                }
                self.alone.insert(key);
            }
            Status::Resolved => {
                self.late.remove(&key);
                let was_alone = self.alone.remove(&key);
                let summed = self.states.get_mut(&kind).filter(|_| !was_alone);
                if summed.is_some_and(|sum| sum.members.remove(&key).is_some()) {
                    return;
                }
            }
        }
        self.ready.push(alert(fact));
    }

    /// What is due now.
    pub(super) fn take(&mut self, now: Now) -> Vec<Alert> {
        for (key, alert) in std::mem::take(&mut self.late) {
            if self.pay(alert.fact.kind, now) {
                self.ready.push(alert);
            } else {
                self.late.insert(key, alert);
            }
        }
        for (kind, sum) in &mut self.states {
            self.ready.extend(sum.state(*kind, now));
        }
        self.states.retain(|_, sum| !sum.members.is_empty());
        for (kind, sum) in &mut self.events {
            if *kind == Kind::NodeConnected && now.up < self.grace {
                continue;
            }
            self.ready.extend(sum.event(*kind, now));
        }
        std::mem::take(&mut self.ready)
    }

    /// Whether one more alert of this kind can be told by itself.
    fn pay(&mut self, kind: Kind, now: Now) -> bool {
        let budget = self.budgets.entry(kind).or_insert(Budget {
            left: BURST,
            at: now.up,
        });
        let gained = now.up.saturating_sub(budget.at).as_secs_f64() * RATE;
        budget.left = (budget.left + gained).min(BURST);
        budget.at = now.up;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }
}

impl Sum {
    fn add(&mut self, fact: Fact, now: Now) {
        if self.members.is_empty() {
            self.since_unix_ms = now.unix_ms;
        }
        self.severity = self.severity.max(Some(fact.severity));
        // Events may have the same key again and again.
        self.members.insert(fact.key, fact.cluster);
        self.is_news = true;
    }

    fn is_due(&self, now: Now) -> bool {
        let waits = |(at, _)| now.up.saturating_sub(at) < BETWEEN_SUMS;
        self.is_news && !self.members.is_empty() && !self.told.is_some_and(waits)
    }

    fn state(&mut self, kind: Kind, now: Now) -> Option<Alert> {
        if let (true, Some((_, severity))) = (self.members.is_empty(), self.told) {
            let message = format!("all over: {}", noun(kind));
            return Some(self.alert(kind, severity, message, Some(Status::Resolved), now));
        }
        let severity = self.severity.filter(|_| self.is_due(now))?;
        self.is_news = false;
        self.told = Some((now.up, severity));
        let text = self.text(kind);
        Some(self.alert(kind, severity, text, Some(Status::Firing), now))
    }

    fn event(&mut self, kind: Kind, now: Now) -> Option<Alert> {
        let severity = self.severity.filter(|_| self.is_due(now))?;
        let text = self.text(kind);
        let alert = self.alert(kind, severity, text, None, now);
        *self = Self {
            told: Some((now.up, severity)),
            ..Self::default()
        };
        Some(alert)
    }

    fn alert(
        &self,
        kind: Kind,
        severity: Severity,
        message: String,
        status: Option<Status>,
        now: Now,
    ) -> Alert {
        let mut fact = Fact::of_arbiter(kind, severity, message);
        fact.key += "/several";
        Alert {
            fact,
            status,
            unix_ms: now.unix_ms,
            since_unix_ms: status.map(|_| self.since_unix_ms),
            count: u32::try_from(self.members.len())
                .ok()
                .filter(|count| *count > 0),
        }
    }

    fn text(&self, kind: Kind) -> String {
        let clusters: BTreeSet<&String> = self.members.values().flatten().collect();
        let first: Vec<&str> = clusters
            .iter()
            .take(NAMED)
            .map(|name| name.as_str())
            .collect();
        let mut text = format!("{}: {}", noun(kind), self.members.len());
        if !first.is_empty() {
            text += &format!(", in clusters: {} ({}", clusters.len(), first.join(", "));
            text += match clusters.len() > NAMED {
                true => ", ...)",
                false => ")",
            };
        }
        text
    }
}

/// What a sum is about.
const fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::NodeConnected => "nodes that connected",
        Kind::NodeLost => "nodes that lost their connection",
        Kind::NodeAbsent => "nodes that have been away for long",
        Kind::Split => "clusters that are split",
        Kind::VoteGranted => "votes given to other nodes",
        Kind::VoteMoved => "votes moved",
        Kind::VoteWithheld => "votes withheld",
        Kind::OddCluster => "clusters with an odd number of nodes",
        Kind::CertificateEnding => "certificates near their end",
        Kind::JournalTrouble => "troubles with the journal",
        Kind::ArbiterStarted | Kind::ArbiterStopping => "starts and stops",
        Kind::Test => "tests",
    }
}
