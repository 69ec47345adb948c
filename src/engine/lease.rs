//! Vote leases (safety spec, section 3): who may still be casting a vote that we gave.
//!
//! A lease exists from the moment a node is sent an ACK until there is proof that it no longer
//! casts it. Nothing that we merely *sent* is proof.

use super::explain::Waiting;
use super::policy::{ClusterPolicy, LostHolder};
use super::time::{Time, earlier};
use crate::wire::{Algorithm, NodeId, RingId};
use std::sync::Arc;
use std::time::Duration;

/// Leases of unreachable holders that are kept apart; beyond that they are merged into one that
/// nobody can satisfy before the latest deadline. A corosync cluster has at most 384 nodes.
const MAX_ORPHANS: usize = 384;

/// How the connection of a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaveCause {
    /// The peer closed or reset it.
    ClosedByPeer,
    /// Nothing was heard for the dead-peer interval.
    DeadPeer,
    /// The network reported that the peer can't be reached.
    NetworkLost,
    /// We closed it because of what the peer did or did not do.
    Dropped,
    /// The server is going down.
    Shutdown,
}

/// What became of the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Connected; its deadline moves with every answer to a heartbeat.
    Connected,
    /// The client ended the connection: an `lms` or `2nodelms` client may go on casting, but only
    /// while its membership stays what it was (safety spec, section 1).
    Closed { deadline: Option<Time> },
    /// The connection was lost, or we ended it.
    Lost { deadline: Option<Time> },
}

/// The right to cast the vote that one node got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// The membership it was given for.
    pub ring: RingId,
    /// The nodes of that membership.
    pub membership: Arc<[NodeId]>,
    /// The algorithm that the node runs, which says what it does when it loses us.
    pub algorithm: Algorithm,
    holder: Holder,
}

impl Lease {
    /// When the node must have stopped casting; `None` while it is connected, or if no time limit
    /// applies to it.
    pub fn deadline(&self) -> Option<Time> {
        match self.holder {
            Holder::Connected => None,
            Holder::Closed { deadline } | Holder::Lost { deadline } => deadline,
        }
    }

    /// Whether the node is connected.
    pub fn is_connected(&self) -> bool {
        self.holder == Holder::Connected
    }

    fn allows(&self, ring: RingId, nodes: &[NodeId]) -> bool {
        self.ring == ring && nodes.contains(&self.node)
    }
}

/// How long after an answered heartbeat a client with heartbeat interval `heartbeat` may still
/// believe in its connection: 2 x HB and a margin of 10 %, at least 1 s.
pub fn lease_time(heartbeat: Duration) -> Duration {
    let bound = heartbeat * 2;
    bound + (bound / 10).max(Duration::from_secs(1))
}

/// All leases of one cluster, at most one per node.
#[derive(Debug, Default)]
pub struct LeaseBook {
    leases: Vec<Lease>,
    merged: Option<Merged>,
}

/// What is left of leases that were too many to keep apart.
#[derive(Debug, Clone, Copy)]
struct Merged {
    /// The latest of their deadlines; `None` if one of them had none.
    until: Option<Time>,
}

/// Something that stands against a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocker {
    /// The node that may still cast; node 0 stands for several.
    pub node: NodeId,
    /// See [`Lease::deadline`].
    pub until: Option<Time>,
    /// Whether the node is connected.
    pub connected: bool,
}

impl Blocker {
    /// What is waited for, in words.
    pub(crate) fn waiting(&self) -> Waiting {
        if self.connected {
            Waiting::Confirmation { node: self.node }
        } else {
            Waiting::Lease {
                node: self.node,
                until: self.until,
            }
        }
    }
}

impl LeaseBook {
    /// Notes that `node` is being sent an ACK.
    pub fn grant(
        &mut self,
        node: NodeId,
        ring: RingId,
        membership: Arc<[NodeId]>,
        algorithm: Algorithm,
    ) {
        self.release(node);
        self.leases.push(Lease {
            node,
            ring,
            membership,
            algorithm,
            holder: Holder::Connected,
        });
    }

    /// Takes up a lease of before a restart. Nothing is known about the holder's connection but
    /// that it is gone.
    pub fn restore(
        &mut self,
        node: NodeId,
        ring: RingId,
        membership: Arc<[NodeId]>,
        algorithm: Algorithm,
        deadline: Option<Time>,
    ) {
        self.release(node);
        self.leases.push(Lease {
            node,
            ring,
            membership,
            algorithm,
            holder: Holder::Lost { deadline },
        });
        self.merge_surplus();
    }

    /// Somebody may hold the vote, and nobody knows who: nobody gets it before this moment.
    pub fn holder_unknown(&mut self, until: Time) {
        let until = match self.merged {
            Some(Merged { until: None }) => None,
            Some(Merged { until: Some(other) }) => Some(other.max(until)),
            None => Some(until),
        };
        self.merged = Some(Merged { until });
    }

    /// `node`, which came back after we had lost it, is being pushed a NACK: from here on its answer
    /// counts, not the deadline of the connection before. If it is lost again, a new one begins.
    pub fn awaits_answer(&mut self, node: NodeId) {
        if let Some(lease) = self.leases.iter_mut().find(|lease| lease.node == node) {
            lease.holder = Holder::Connected;
        }
    }

    /// Ends all leases of nodes that are not connected, on an operator's word.
    pub fn release_lost(&mut self) {
        self.leases.retain(Lease::is_connected);
        self.merged = None;
    }

    /// Ends the lease of `node`: it confirmed a NACK, or an operator says so. Returns it.
    pub fn release(&mut self, node: NodeId) -> Option<Lease> {
        let at = self.leases.iter().position(|lease| lease.node == node)?;
        Some(self.leases.swap_remove(at))
    }

    /// Whether `node` may be casting our vote.
    pub fn holds(&self, node: NodeId) -> bool {
        self.get(node).is_some()
    }

    /// The lease of `node`.
    pub fn get(&self, node: NodeId) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.node == node)
    }

    /// All leases, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter()
    }

    /// Whether somebody may be casting our vote of whom nothing else is known: until when, or until
    /// an operator's word.
    pub fn unknown(&self) -> Option<Option<Time>> {
        self.merged.map(|merged| merged.until)
    }

    /// Whether nobody can be casting our vote.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.merged.is_none()
    }

    /// `node` reports a membership. For a new ring its lease ends, because its client stopped
    /// casting before it sent this. Leases of clients that closed their connection are void
    /// once another node of the same membership has moved on to a later ring: what such a client
    /// may go on casting is bound to that membership.
    pub fn membership_reported(&mut self, node: NodeId, ring: RingId) {
        self.leases.retain(|lease| {
            if lease.node == node {
                lease.ring == ring
            } else {
                !is_void(lease, node, ring)
            }
        });
    }

    /// The connection of `node` ended. `counted_from` is the latest moment from which it may be
    /// counting the two heartbeat intervals after which it gives us up, `rings` are the rings that
    /// the clients which are still there report.
    pub fn disconnected(
        &mut self,
        node: NodeId,
        cause: LeaveCause,
        counted_from: Time,
        heartbeat: Duration,
        policy: &ClusterPolicy,
        rings: impl Iterator<Item = (NodeId, RingId)>,
    ) {
        let Some(at) = self.leases.iter().position(|lease| lease.node == node) else {
            return;
        };
        if !policy.keeps_leases() {
            self.leases.swap_remove(at);
            return;
        }
        let Some(lease) = self.leases.get_mut(at) else {
            return;
        };
        let keeps_vote = lease.algorithm != Algorithm::FfSplit;
        let manual = keeps_vote && policy.lost_holder == LostHolder::Manual;
        let deadline = (!manual).then(|| counted_from + lease_time(heartbeat));
        if cause != LeaveCause::ClosedByPeer {
            // An ffsplit client that came back had cast NACK before: what it was given on an
            // earlier connection does not last longer because it is lost again.
            if keeps_vote || lease.is_connected() {
                lease.holder = Holder::Lost { deadline };
            }
        } else if !keeps_vote {
            // An ffsplit client casts NACK before it closes.
            self.leases.swap_remove(at);
        } else if manual {
            lease.holder = Holder::Lost { deadline };
        } else {
            lease.holder = Holder::Closed { deadline };
            let lease = lease.clone();
            let mut rings = rings;
            if rings.any(|(other, ring)| other != node && is_void(&lease, other, ring)) {
                self.leases.swap_remove(at);
            }
        }
        self.merge_surplus();
    }

    /// Removes leases whose deadline has come. Returns them.
    pub fn expire(&mut self, now: Time) -> Vec<Lease> {
        self.merged = self
            .merged
            .filter(|merged| merged.until.is_none_or(|until| until > now));
        let is_over = |lease: &Lease| lease.deadline().is_some_and(|deadline| deadline <= now);
        let over = self
            .leases
            .iter()
            .filter(|lease| is_over(lease))
            .cloned()
            .collect();
        self.leases.retain(|lease| !is_over(lease));
        over
    }

    /// The next moment at which [`LeaseBook::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        let merged = self.merged.and_then(|merged| merged.until);
        self.leases
            .iter()
            .fold(merged, |at, lease| earlier(at, lease.deadline()))
    }

    /// The grant rule: what stands against giving the vote to the partition `nodes` with `ring`,
    /// the longest wait first.
    pub fn blocker(&self, ring: RingId, nodes: &[NodeId]) -> Option<Blocker> {
        let merged = self.merged.map(|merged| Blocker {
            node: NodeId(0),
            until: merged.until,
            connected: false,
        });
        let held = self
            .leases
            .iter()
            .filter(|lease| !lease.allows(ring, nodes))
            .map(|lease| Blocker {
                node: lease.node,
                until: lease.deadline(),
                connected: lease.is_connected(),
            });
        // A lost holder without a deadline waits longest, a connected one only for its answer.
        held.chain(merged)
            .max_by_key(|blocker| match (blocker.connected, blocker.until) {
                (true, _) => (0, Time::ZERO, blocker.node),
                (false, Some(until)) => (1, until, blocker.node),
                (false, None) => (2, Time::ZERO, blocker.node),
            })
    }

    fn merge_surplus(&mut self) {
        let orphans = self
            .leases
            .iter()
            .filter(|lease| !lease.is_connected())
            .count();
        if orphans <= MAX_ORPHANS {
            return;
        }
        let mut until = match self.merged {
            Some(merged) => merged.until,
            None => Some(Time::ZERO),
        };
        self.leases.retain(|lease| {
            if !lease.is_connected() {
                until = until.zip(lease.deadline()).map(|(a, b)| a.max(b));
            }
            lease.is_connected()
        });
        self.merged = Some(Merged { until });
    }
}

/// Whether `ring`, reported by `other`, proves that the membership of a closed lease is over.
fn is_void(lease: &Lease, other: NodeId, ring: RingId) -> bool {
    matches!(lease.holder, Holder::Closed { .. })
        && ring.seq > lease.ring.seq
        && lease.membership.contains(&other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);
    const RING: RingId = RingId::new(1, 4);
    const HEARTBEAT: Duration = Duration::from_secs(8);

    fn lost(book: &mut LeaseBook, at_ms: u64) {
        let at = Time::from_millis(at_ms);
        let policy = ClusterPolicy::SAFE;
        let nobody = std::iter::empty();
        book.disconnected(NODE, LeaveCause::DeadPeer, at, HEARTBEAT, &policy, nobody);
    }

    fn deadline(book: &LeaseBook) -> Option<Time> {
        book.get(NODE).and_then(Lease::deadline)
    }

    #[test]
    fn a_lease_lasts_two_heartbeats_and_a_margin() {
        assert_eq!(lease_time(HEARTBEAT), Duration::from_millis(17_600));
        assert_eq!(lease_time(Duration::from_secs(1)), Duration::from_secs(3));
    }

    #[test]
    fn an_ffsplit_node_that_returns_without_a_vote_does_not_stretch_its_lease() {
        let mut book = LeaseBook::default();
        book.grant(NODE, RING, Arc::new([NODE]), Algorithm::FfSplit);
        lost(&mut book, 0);
        lost(&mut book, 17_000);
        assert_eq!(deadline(&book), Some(Time::from_millis(17_600)));
        book.grant(NODE, RING, Arc::new([NODE]), Algorithm::FfSplit);
        lost(&mut book, 20_000);
        assert_eq!(deadline(&book), Some(Time::from_millis(37_600)));
    }

    #[test]
    fn many_lost_nodes_are_kept_as_one() {
        let mut book = LeaseBook::default();
        let nobody = std::iter::empty::<(NodeId, RingId)>;
        for id in 1..=2000u32 {
            let node = NodeId(id);
            book.grant(node, RING, Arc::new([node]), Algorithm::FfSplit);
            let at = Time::from_millis(u64::from(id));
            let cause = LeaveCause::DeadPeer;
            book.disconnected(node, cause, at, HEARTBEAT, &ClusterPolicy::SAFE, nobody());
        }
        assert!(book.iter().count() <= MAX_ORPHANS);
        let last = Time::from_millis(2000) + lease_time(HEARTBEAT);
        assert!(book.blocker(RingId::new(9, 9), &[NodeId(9)]).is_some());
        book.expire(Time::from_millis(2000));
        assert!(!book.is_empty());
        book.expire(last);
        assert!(book.is_empty());
    }
}
