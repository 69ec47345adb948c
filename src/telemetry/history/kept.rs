//! What is kept in memory: the row of events, and the last decisions of each cluster.

use super::Limits;
use super::entry::{Entry, id};
use crate::wire::ClusterName;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Events and decisions with their indexes. The entry of a decision is in both.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By number, with holes where something was lost.
    pub(super) events: VecDeque<Entry>,
    pub(super) event_bytes: usize,
    /// Number of the last event, and of the last decision.
    pub(super) last_event: u64,
    pub(super) last_decision: u64,
    /// This process, among the others.
    pub(super) epoch: u64,
    /// First and last number of an event of each process that events are left of.
    epochs: BTreeMap<u64, (u64, u64)>,
    decisions: BTreeMap<u64, Entry>,
    pub(super) decision_bytes: usize,
    by_cluster: HashMap<ClusterName, VecDeque<u64>>,
    /// Whose turn it is to lose its oldest decision: the last one.
    turns: BTreeSet<Turn>,
}

/// How many decisions a cluster has, and its oldest.
type Turn = (usize, Reverse<u64>, ClusterName);

/// A place in the row of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What follows comes after the event of this number.
    pub cursor: u64,
    /// It is not known what was between the place that was asked for and this one.
    pub lost: bool,
}

impl Kept {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            ..Self::default()
        }
    }

    /// Adds what happened last.
    pub(super) fn add(&mut self, mut entry: Entry, limits: Limits) {
        if entry.number <= self.last_event {
            return;
        }
        // One copy of each name is enough.
        let known = entry.cluster.as_ref();
        if let Some((known, _)) = known.and_then(|name| self.by_cluster.get_key_value(name)) {
            entry.cluster = Some(known.clone());
        }
        if entry.decision.is_some() {
            self.add_decision(entry.clone(), limits);
        }
        self.last_event = entry.number;
        let (first, last) = self
            .epochs
            .entry(entry.epoch)
            .or_insert((entry.number, entry.number));
        *first = (*first).min(entry.number);
        *last = entry.number;
        self.event_bytes += entry.size();
        self.events.push_back(entry);
        while self.event_bytes > limits.event_bytes {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.event_bytes -= oldest.size();
        }
        let first = self.events.front().map_or(u64::MAX, |entry| entry.number);
        while let Some(oldest) = self.epochs.first_entry() {
            if oldest.get().1 >= first {
                break;
            }
            oldest.remove();
        }
    }

    /// Adds a decision, also one that is older than others that are there.
    pub(super) fn add_decision(&mut self, entry: Entry, limits: Limits) {
        let (Some(number), Some(cluster)) = (entry.decision, entry.cluster.clone()) else {
            return;
        };
        self.last_decision = self.last_decision.max(number);
        if self.decisions.contains_key(&number) {
            return;
        }
        self.decision_bytes += entry.size();
        self.decisions.insert(number, entry);
        self.change(&cluster, |numbers| {
            let place = numbers.partition_point(|other| *other < number);
            numbers.insert(place, number);
        });
        let of_cluster = self.by_cluster.get(&cluster);
        if let Some(numbers) = of_cluster.filter(|numbers| numbers.len() > limits.decisions) {
            if let Some(oldest) = numbers.front().copied() {
                self.forget(oldest);
            }
        }
        // A cluster that has many decisions makes room for those that have few.
        while self.decision_bytes > limits.decision_bytes {
            let Some((_, Reverse(oldest), _)) = self.turns.last() else {
                break;
            };
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(entry) = self.decisions.remove(&number) else {
            return;
        };
        self.decision_bytes -= entry.size();
        if let Some(cluster) = entry.cluster {
            self.change(&cluster, |numbers| {
                numbers.retain(|other| *other != number);
            });
        }
    }

    /// Changes the decisions of one cluster, and its turn with them.
    fn change(&mut self, cluster: &ClusterName, change: impl FnOnce(&mut VecDeque<u64>)) {
        let turn = |numbers: &VecDeque<u64>| {
            let oldest = numbers.front().copied()?;
            Some((numbers.len(), Reverse(oldest), cluster.clone()))
        };
        let numbers = self.by_cluster.entry(cluster.clone()).or_default();
        let before = turn(numbers);
        change(numbers);
        let after = turn(numbers);
        if numbers.is_empty() {
            self.by_cluster.remove(cluster);
        }
        if let Some(before) = before {
            self.turns.remove(&before);
        }
        self.turns.extend(after);
    }

    pub(super) fn has_decision(&self, number: u64) -> bool {
        self.decisions.contains_key(&number)
    }

    pub(super) fn knows(&self, cluster: &ClusterName) -> bool {
        self.by_cluster.contains_key(cluster)
            || self
                .events
                .iter()
                .any(|entry| entry.cluster.as_ref() == Some(cluster))
    }

    /// Decisions of one cluster or of all, the latest first.
    pub(super) fn latest(&self, cluster: Option<&ClusterName>, most: usize) -> Vec<Entry> {
        match cluster {
            None => self.decisions.values().rev().take(most).cloned().collect(),
            Some(cluster) => {
                let numbers = self.by_cluster.get(cluster);
                let numbers = numbers.into_iter().flatten().rev().take(most);
                let entries = numbers.filter_map(|number| self.decisions.get(number));
                entries.cloned().collect()
            }
        }
    }

    /// Everything about one cluster or all, the oldest first: events, and before them the decisions
    /// that are kept longer than those.
    pub(super) fn all(&self, cluster: Option<&ClusterName>, only_decisions: bool) -> Vec<Entry> {
        let mut entries = self.latest(cluster, usize::MAX);
        if !only_decisions {
            let first = self.events.front().map_or(u64::MAX, |entry| entry.number);
            entries.retain(|entry| entry.number < first);
        }
        entries.reverse();
        let events = self.events.iter().filter(|_| !only_decisions);
        let events = events.filter(|entry| cluster.is_none() || entry.cluster.as_ref() == cluster);
        entries.extend(events.cloned());
        entries
    }

    /// Entries after number `cursor`; also whether some are missing, and where they end.
    pub(super) fn after(
        &self,
        cursor: u64,
        most: usize,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> (Vec<Entry>, bool, u64) {
        let start = self.events.partition_point(|entry| entry.number <= cursor);
        let (mut entries, mut gap, mut at) = (Vec::new(), false, cursor);
        for entry in self.events.range(start..) {
            if entries.len() >= most {
                return (entries, gap, at);
            }
            gap |= entry.number > at + 1;
            at = entry.number;
            if is_wanted(entry) {
                entries.push(entry.clone());
            }
        }
        gap |= at < self.last_event;
        (entries, gap, at.max(self.last_event))
    }

    /// The id of the event with this number, or of the place before all events.
    pub(super) fn id(&self, number: u64) -> String {
        let mut epochs = self.epochs.iter().rev();
        let epoch = epochs.find(|(_, (first, _))| *first <= number);
        id(epoch.map_or(self.epoch, |(epoch, _)| *epoch), number)
    }

    /// Where to go on after an event. One that is not known stands for the place before all.
    pub(super) fn place(&self, epoch: u64, number: u64) -> Place {
        let at = |cursor, lost| Place { cursor, lost };
        if epoch == self.epoch && number <= self.last_event {
            // Also the place before the first event of this process.
            return at(number, false);
        }
        match self.epochs.get(&epoch) {
            // The last events before a power loss may have been seen and not been kept.
            Some((_, last)) if epoch != self.epoch => at(number.min(*last), false),
            _ => at(0, true),
        }
    }
}
