//! Watching the engine: every event is counted, and handed to whoever keeps the history.
//!
//! It is called while a cluster is locked, so that what is kept is in the order in which it
//! happened. It formats nothing and waits for nothing: if the other side can't keep up, records
//! are lost and counted.

use super::metrics::{Metrics, Outcome};
use crate::engine::snapshot::Input;
use crate::engine::{
    Action, Cluster, Decision, Event, Grant, LeaveCause, Partition, Rule, Time, Verdict,
};
use crate::wire::{Algorithm, ClusterName, NodeId, RingId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Records that may wait to be taken into the history. A burst of events of all clusters at once
/// is served by a thread that looks every few milliseconds.
const WAITING: usize = 16_384;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Record {
    /// When, by the wall clock.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// An event of the engine that is no decision.
    Event(Event),
    /// A decision.
    Decided(Box<Decided>),
}

/// A decision with what it saw.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The node, where each is decided on by itself.
    pub node: Option<NodeId>,
    /// The outcome.
    pub decision: Decision,
    /// What the connected nodes had reported.
    pub inputs: Vec<Input>,
}

/// What is remembered of one cluster between two looks at it.
#[derive(Debug)]
pub struct Seen {
    /// When a node left last.
    left_at: Time,
    /// The partition that was given the vote last.
    holders: Vec<NodeId>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            left_at: Time::ZERO,
            holders: Vec::new(),
        }
    }
}

/// Counts, and hands records on.
#[derive(Debug)]
pub struct Observer {
    /// What was counted.
    pub metrics: Metrics,
    is_kept: AtomicBool,
    sender: mpsc::Sender<Record>,
    receiver: Mutex<Option<mpsc::Receiver<Record>>>,
}

impl Observer {
    /// An observer that nobody takes records from.
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self {
            metrics: Metrics::new(),
            is_kept: AtomicBool::new(false),
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// The records from now on; `None` if somebody else has asked for them before.
    pub fn records(&self) -> Option<mpsc::Receiver<Record>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_kept.store(receiver.is_some(), Ordering::Relaxed);
        receiver.take()
    }

    /// Looks at what a cluster, still locked, is about to do. `now` is asked for at most once.
    pub fn cluster(
        &self,
        cluster: &Cluster,
        seen: &mut Seen,
        actions: &[Action],
        now: impl Fn() -> Time,
    ) {
        for action in actions {
            match action {
                Action::Event(event) => self.event(cluster, seen, event, &now),
                Action::Record(grant) => self.grant(seen, grant),
                Action::Send { .. } | Action::StartTls { .. } | Action::Close { .. } => {}
            }
        }
    }

    /// When something was last reported that a vote could be the answer to: what a node sees, or
    /// that a node is gone.
    pub fn asked_at(cluster: &Cluster, seen: &Seen) -> Time {
        let report = cluster.last_report().unwrap_or(Time::ZERO);
        report.max(seen.left_at)
    }

    /// Looks at a vote that leaves now, this long after the report that it answers.
    pub fn told(&self, event: &Event, latency: Duration) {
        if let Event::Told { verdict, .. } = event {
            self.metrics.told(*verdict);
            self.metrics.vote_left(latency);
            self.keep(|| What::Event(event.clone()));
        }
    }

    /// Looks at what a connection without a cluster is about to do.
    pub fn stranger(&self, actions: &[Action]) {
        for action in actions {
            if let Action::Event(Event::Refused { code, .. }) = action {
                self.metrics.protocol_error(*code);
            }
        }
    }

    fn event(&self, cluster: &Cluster, seen: &mut Seen, event: &Event, now: &impl Fn() -> Time) {
        match event {
            Event::Joined { .. } => self.metrics.joined(),
            Event::Left { cause, .. } => {
                self.metrics.left(*cause);
                seen.left_at = now();
                if *cause == LeaveCause::Shutdown {
                    // The whole arbiter goes, and says so once.
                    return;
                }
            }
            // It may have to wait before it is told, see Observer::told.
            Event::Told { .. } => {
                if !cluster.has_one_decision() {
                    self.decided_alone(cluster, event, now);
                }
                return;
            }
            Event::Decided { decision, .. } => self.decided(cluster, None, decision.clone()),
            // The same as Told, and said for every heartbeat.
            Event::Answered { .. } => return,
            // Counted by Observer::stranger, for connections with and without a cluster.
            Event::Refused { .. } => return,
            Event::LeaseEnded { .. }
            | Event::TestAlgorithm { .. }
            | Event::ClearText { .. }
            | Event::LongLease { .. } => {}
        }
        if !matches!(event, Event::Decided { .. }) {
            self.keep(|| What::Event(event.clone()));
        }
    }

    /// Where every node is decided on by itself, what it is told is the decision.
    fn decided_alone(&self, cluster: &Cluster, event: &Event, now: &impl Fn() -> Time) {
        let Event::Told {
            node,
            verdict,
            ring,
            why: Some(why),
            ..
        } = event
        else {
            return;
        };
        let decision = Decision {
            at: now(),
            winner: (*verdict == Verdict::Ack).then(|| winner(cluster, *node, *ring)),
            rule: Rule::clone(why),
            waiting: None,
        };
        self.decided(cluster, Some(*node), decision);
    }

    fn decided(&self, cluster: &Cluster, node: Option<NodeId>, decision: Decision) {
        let algorithm = cluster.algorithm();
        self.metrics.decided(algorithm, outcome(&decision));
        if decision.rule == (Rule::NoHalf { configured: 0 }) {
            // Nobody has said yet which nodes there are.
            return;
        }
        self.keep(|| {
            What::Decided(Box::new(Decided {
                cluster: cluster.name().clone(),
                algorithm,
                node,
                decision,
                inputs: cluster.inputs(),
            }))
        });
    }

    fn grant(&self, seen: &mut Seen, grant: &Grant) {
        let nodes = &grant.partition.nodes;
        if !seen.holders.is_empty() && !seen.holders.iter().any(|node| nodes.contains(node)) {
            self.metrics.handovers.inc();
        }
        seen.holders.clone_from(nodes);
    }

    fn keep(&self, what: impl FnOnce() -> What) {
        if !self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let at = SystemTime::now();
        if self.sender.try_send(Record { at, what: what() }).is_err() {
            self.metrics.lost_records.inc();
        }
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of a computation.
pub fn outcome(decision: &Decision) -> Outcome {
    match (&decision.winner, &decision.waiting) {
        (_, Some(_)) => Outcome::Withheld,
        (Some(_), None) => Outcome::Granted,
        (None, None) => Outcome::Nobody,
    }
}

/// The partition that a node which has the vote by itself is in.
fn winner(cluster: &Cluster, node: NodeId, ring: RingId) -> Partition {
    let inputs = cluster.inputs();
    let input = inputs.into_iter().find(|input| input.node == node);
    let membership: Option<Arc<[NodeId]>> = input.and_then(|input| input.membership);
    Partition {
        ring,
        nodes: membership.map_or_else(|| vec![node], |nodes| nodes.to_vec()),
    }
}
