//! The last things that happened, in memory: events in one row, decisions by cluster.
//!
//! Both are kept as encoded messages (`proto/qarbiter/v1`), so that what they take is known to the
//! byte, and are put into words by the thread that keeps them, away from votes.

use super::events::{Text, plain};
use super::metrics::{cause_name, verdict_name};
use super::observer::{Decided, Record, What, outcome};
use crate::engine::snapshot::Input;
use crate::engine::{Event as EngineEvent, Peer};
use crate::proto::v1;
use crate::wire::{ClusterName, Heuristics, NodeId};
use prost::Message;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events, bytes.
    pub event_bytes: usize,
    /// Decisions of one cluster.
    pub decisions: usize,
    /// Decisions of all clusters, bytes.
    pub decision_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 2 << 20,
            decisions: 32,
            decision_bytes: 8 << 20,
        }
    }
}

/// What one entry takes besides its message.
const OVERHEAD: usize = 96;

/// Nodes of one membership that are kept of a decision; corosync has at most 384.
const SHOWN_NODES: usize = 512;

/// Records taken at once.
const BATCH: usize = 256;

/// Pause after some records were taken, so that a burst does not wake us for each.
const PAUSE: Duration = Duration::from_millis(10);

/// The last things that happened.
#[derive(Debug)]
pub struct History {
    started: SystemTime,
    limits: Limits,
    kept: Mutex<Kept>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Entry>,
    event_bytes: usize,
    /// Number of the last event, and of the last decision.
    last_event: u64,
    last_decision: u64,
    decisions: BTreeMap<u64, Entry>,
    decision_bytes: usize,
    by_cluster: HashMap<ClusterName, VecDeque<u64>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    cluster: Option<ClusterName>,
    message: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        self.message.len() + OVERHEAD
    }
}

/// Events from a place in the row on.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The events, the oldest first.
    pub events: Vec<v1::Event>,
    /// Number of the last event that was looked at.
    pub cursor: u64,
    /// Events between the place asked for and the first of these are no longer known.
    pub gap: bool,
}

/// A place in the row of events that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of an event")]
pub struct BadId(String);

impl History {
    /// A history in which nothing happened.
    pub fn new(limits: Limits) -> Self {
        Self {
            started: SystemTime::now(),
            limits,
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    /// When the arbiter started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Takes records until nobody sends them any more.
    pub async fn keep(&self, mut records: mpsc::Receiver<Record>) {
        let mut batch = Vec::with_capacity(BATCH);
        while records.recv_many(&mut batch, BATCH).await > 0 {
            let was_full = batch.len() == BATCH;
            for record in batch.drain(..) {
                self.add(&record);
            }
            self.last.send_replace(self.kept().last_event);
            if was_full {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Adds something that the arbiter itself does.
    pub fn note(&self, kind: &str, message: String) {
        let event = v1::Event {
            unix_ms: unix_ms(SystemTime::now()),
            kind: kind.to_owned(),
            message,
            ..v1::Event::default()
        };
        self.add_event(event, None);
        self.last.send_replace(self.kept().last_event);
    }

    fn add(&self, record: &Record) {
        let at = unix_ms(record.at);
        match &record.what {
            What::Event(event) => {
                let (cluster, event) = event_message(event, at);
                self.add_event(event, cluster);
            }
            What::Decided(decided) => {
                let mut decision = decision_message(decided, at);
                let mut kept = self.kept();
                kept.last_decision += 1;
                let number = kept.last_decision;
                decision.number = Some(number);
                kept.add_decision(number, &decided.cluster, &decision, self.limits);
                drop(kept);
                let event = v1::Event {
                    unix_ms: at,
                    kind: "vote_decided".to_owned(),
                    cluster: Some(decided.cluster.to_string()),
                    node: decided.node.map(|node| node.0),
                    message: decided.decision.to_string(),
                    ring: decision.ring.clone(),
                    decision: Some(decision),
                    ..v1::Event::default()
                };
                self.add_event(event, Some(decided.cluster.clone()));
            }
        }
    }

    fn add_event(&self, mut event: v1::Event, cluster: Option<ClusterName>) {
        let mut kept = self.kept();
        kept.last_event += 1;
        let number = kept.last_event;
        event.id = self.id(number);
        let entry = Entry {
            number,
            cluster,
            message: event.encode_to_vec().into(),
        };
        kept.event_bytes += entry.size();
        kept.events.push_back(entry);
        while kept.event_bytes > self.limits.event_bytes {
            let Some(oldest) = kept.events.pop_front() else {
                break;
            };
            kept.event_bytes -= oldest.size();
        }
    }

    /// The id of an event: it tells apart this process and earlier ones.
    pub fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", unix_ms(self.started))
    }

    /// The number in an id; 0, the place before all events, for an id of an earlier process.
    ///
    /// # Errors
    /// It is not an id.
    pub fn number(&self, id: &str) -> Result<u64, BadId> {
        let bad = || BadId(id.chars().take(64).collect());
        let (start, number) = id.split_once('-').ok_or_else(bad)?;
        let start = u64::from_str_radix(start, 16).map_err(|_| bad())?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        let is_ours = start == unix_ms(self.started) && number <= self.kept().last_event;
        Ok(if is_ours { number } else { 0 })
    }

    /// Number of the last event.
    pub fn last_event(&self) -> u64 {
        self.kept().last_event
    }

    /// Tells when there are more events.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// At most `most` events after number `cursor`, of one cluster or of all. Few are looked at
    /// at a time, so that nobody who adds events waits long.
    pub fn events(&self, cursor: u64, cluster: Option<&ClusterName>, most: usize) -> Page {
        let kept = self.kept();
        let first = kept
            .events
            .front()
            .map_or(kept.last_event + 1, |e| e.number);
        let gap = cursor + 1 < first;
        let skipped = (cursor + 1).saturating_sub(first);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut page = Page {
            events: Vec::new(),
            cursor: cursor.max(first.saturating_sub(1)),
            gap,
        };
        for entry in kept.events.iter().skip(skipped) {
            if page.events.len() >= most {
                break;
            }
            page.cursor = entry.number;
            if cluster.is_none() || entry.cluster.as_ref() == cluster {
                page.events.extend(v1::Event::decode(&*entry.message).ok());
            }
        }
        page
    }

    /// At most `most` decisions of one cluster or of all, the latest first.
    pub fn decisions(&self, cluster: Option<&ClusterName>, most: usize) -> Vec<v1::Decision> {
        let kept = self.kept();
        let decode = |entry: &Entry| v1::Decision::decode(&*entry.message).ok();
        match cluster {
            None => kept
                .decisions
                .values()
                .rev()
                .take(most)
                .filter_map(decode)
                .collect(),
            Some(cluster) => {
                let numbers = kept.by_cluster.get(cluster);
                let numbers = numbers.into_iter().flatten().rev().take(most);
                let entries = numbers.filter_map(|number| kept.decisions.get(number));
                entries.filter_map(decode).collect()
            }
        }
    }

    /// Whether there are decisions of that cluster.
    pub fn knows(&self, cluster: &ClusterName) -> bool {
        self.kept().by_cluster.contains_key(cluster)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add_decision(
        &mut self,
        number: u64,
        cluster: &ClusterName,
        decision: &v1::Decision,
        limits: Limits,
    ) {
        let entry = Entry {
            number,
            cluster: Some(cluster.clone()),
            message: decision.encode_to_vec().into(),
        };
        self.decision_bytes += entry.size();
        self.decisions.insert(number, entry);
        let of_cluster = self.by_cluster.entry(cluster.clone()).or_default();
        of_cluster.push_back(number);
        if of_cluster.len() > limits.decisions {
            if let Some(oldest) = of_cluster.front().copied() {
                self.forget(oldest);
            }
        }
        while self.decision_bytes > limits.decision_bytes {
            let Some(oldest) = self.decisions.keys().next().copied() else {
                break;
            };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(entry) = self.decisions.remove(&number) else {
            return;
        };
        self.decision_bytes -= entry.size();
        let Some(cluster) = entry.cluster else { return };
        if let Some(numbers) = self.by_cluster.get_mut(&cluster) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_cluster.remove(&cluster);
            }
        }
    }
}

/// Milliseconds since 1970; 0 for a clock that is before that.
pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn event_message(event: &EngineEvent, at: u64) -> (Option<ClusterName>, v1::Event) {
    let mut message = v1::Event {
        unix_ms: at,
        message: Text(event).to_string(),
        ..v1::Event::default()
    };
    let peer = |message: &mut v1::Event, peer: &Peer| {
        message.address = Some(plain(&peer.address).to_owned());
    };
    let (kind, cluster, node) = match event {
        EngineEvent::Joined {
            cluster,
            node,
            peer: from,
            ..
        } => {
            peer(&mut message, from);
            ("node_joined", Some(cluster), Some(*node))
        }
        EngineEvent::Left {
            cluster,
            node,
            peer: from,
            cause,
        } => {
            peer(&mut message, from);
            message.cause = Some(cause_name(*cause).to_owned());
            ("node_left", Some(cluster), Some(*node))
        }
        EngineEvent::Told {
            cluster,
            node,
            verdict,
            ring,
            ..
        } => {
            message.verdict = Some(verdict_name(*verdict).to_owned());
            message.ring = Some(ring.to_string());
            ("vote_told", Some(cluster), Some(*node))
        }
        EngineEvent::LeaseEnded {
            cluster,
            node,
            ring,
            ..
        } => {
            message.ring = Some(ring.to_string());
            ("lease_ended", Some(cluster), Some(*node))
        }
        EngineEvent::TestAlgorithm { cluster, node } => {
            ("test_algorithm", Some(cluster), Some(*node))
        }
        EngineEvent::ClearText {
            cluster,
            node,
            peer: from,
        } => {
            peer(&mut message, from);
            ("clear_text", Some(cluster), Some(*node))
        }
        EngineEvent::LongLease { cluster, node, .. } => ("long_lease", Some(cluster), Some(*node)),
        EngineEvent::Answered { cluster, node, .. } => ("answered", Some(cluster), Some(*node)),
        EngineEvent::Decided { cluster, .. } => ("vote_decided", Some(cluster), None),
        EngineEvent::Refused { .. } => ("refused", None, None),
    };
    message.kind = kind.to_owned();
    message.cluster = cluster.map(ToString::to_string);
    message.node = node.map(|node| node.0);
    (cluster.cloned(), message)
}

fn decision_message(decided: &Decided, at: u64) -> v1::Decision {
    v1::Decision {
        inputs: decided.inputs.iter().map(input_message).collect(),
        ..decision(
            &decided.cluster,
            decided.algorithm.config_name(),
            &decided.decision,
            decided.node,
            at,
        )
    }
}

/// A decision for others, without what it saw.
pub(crate) fn decision(
    cluster: &ClusterName,
    algorithm: &str,
    decision: &crate::engine::Decision,
    node: Option<NodeId>,
    at: u64,
) -> v1::Decision {
    let winner = decision.winner.as_ref();
    v1::Decision {
        cluster: cluster.to_string(),
        number: None,
        unix_ms: at,
        algorithm: algorithm.to_owned(),
        node: node.map(|node| node.0),
        outcome: outcome(decision).name().to_owned(),
        winner: winner.map_or_else(Vec::new, |winner| numbers(&winner.nodes)),
        ring: winner.map(|winner| winner.ring.to_string()),
        rule: decision.rule.name().to_owned(),
        reason: decision.rule.to_string(),
        waiting_for: decision.waiting.as_ref().map(ToString::to_string),
        inputs: Vec::new(),
    }
}

fn input_message(input: &Input) -> v1::DecisionInput {
    v1::DecisionInput {
        node: input.node.0,
        ring: input.ring.to_string(),
        membership: numbers(input.membership.as_deref().unwrap_or_default()),
        configured: u32::try_from(input.configured).unwrap_or(u32::MAX),
        heuristics: input.heuristics.map(|result| heuristics(result).to_owned()),
    }
}

/// Node ids as numbers, as many as a cluster can have.
pub(crate) fn numbers(nodes: &[NodeId]) -> Vec<u32> {
    nodes.iter().take(SHOWN_NODES).map(|node| node.0).collect()
}

/// Heuristics, for programs.
pub(crate) const fn heuristics(result: Heuristics) -> &'static str {
    match result {
        Heuristics::Pass => "pass",
        Heuristics::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Decision, Rule, Time};
    use crate::wire::{Algorithm, RingId};

    fn decided(cluster: &str) -> Record {
        let decision = Decision {
            at: Time::ZERO,
            winner: None,
            rule: Rule::NoHalf { configured: 4 },
            waiting: None,
        };
        let input = Input {
            node: NodeId(1),
            ring: RingId::new(1, 4),
            membership: None,
            configured: 4,
            heuristics: None,
        };
        Record {
            at: UNIX_EPOCH + Duration::from_secs(7),
            what: What::Decided(Box::new(Decided {
                cluster: ClusterName::new(cluster.as_bytes()),
                algorithm: Algorithm::FfSplit,
                node: None,
                decision,
                inputs: vec![input],
            })),
        }
    }

    #[test]
    fn decisions_are_kept_by_cluster_within_a_limit() {
        let limits = Limits {
            decisions: 3,
            ..Limits::default()
        };
        let history = History::new(limits);
        history.add(&decided("quiet"));
        for _ in 0..10 {
            history.add(&decided("busy"));
        }
        let of = |name: &str| {
            let name = ClusterName::new(name.as_bytes());
            let decisions = history.decisions(Some(&name), 100);
            decisions
                .iter()
                .filter_map(|d| d.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("quiet"), [1]);
        assert_eq!(of("busy"), [11, 10, 9]);
        assert_eq!(history.decisions(None, 2).len(), 2);
        let first = history
            .decisions(Some(&ClusterName::new(b"quiet")), 1)
            .remove(0);
        assert_eq!(first.unix_ms, 7000);
        assert_eq!(
            (first.outcome.as_str(), first.rule.as_str()),
            ("nobody", "no_half")
        );
        assert_eq!(first.inputs.len(), 1);
    }

    #[test]
    fn the_bytes_of_all_decisions_are_bounded() {
        let limits = Limits {
            decision_bytes: 5000,
            event_bytes: 3000,
            ..Limits::default()
        };
        let history = History::new(limits);
        for cluster in 0..1000 {
            history.add(&decided(&format!("c{cluster}")));
        }
        let kept = history.kept();
        assert!(kept.decision_bytes <= 5000 && kept.decisions.len() > 10);
        assert_eq!(kept.by_cluster.len(), kept.decisions.len());
        assert!(kept.event_bytes <= 3000 && kept.events.len() > 3);
        drop(kept);
        assert!(history.knows(&ClusterName::new(b"c999")));
        assert!(!history.knows(&ClusterName::new(b"c0")));
    }

    #[test]
    fn reading_goes_on_where_it_ended_and_tells_of_gaps() {
        let history = History::new(Limits {
            event_bytes: 2000,
            ..Limits::default()
        });
        for _ in 0..3 {
            history.add(&decided("a"));
            history.add(&decided("b"));
        }
        let page = history.events(0, None, 4);
        assert_eq!((page.events.len(), page.cursor, page.gap), (4, 4, false));
        let id = &page.events.last().unwrap().id;
        assert_eq!(history.number(id), Ok(4));
        assert_eq!(history.events(4, None, 100).events.len(), 2);
        let name = ClusterName::new(b"b");
        let page = history.events(0, Some(&name), 100);
        assert_eq!((page.events.len(), page.cursor), (3, 6));
        for _ in 0..100 {
            history.add(&decided("a"));
        }
        assert!(history.events(4, None, 100).gap);
        assert_eq!(history.number("0-4"), Ok(0));
        assert_eq!(history.number(&history.id(10_000)), Ok(0));
        for wrong in ["", "-", "1", "x-1", "1-x", "1-1-1"] {
            assert!(history.number(wrong).is_err(), "{wrong}");
        }
    }
}
