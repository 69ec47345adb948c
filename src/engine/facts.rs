//! The raw state of a cluster at one moment, for the outside to put into words.
//!
//! Taking it copies numbers and shares lists, and formats nothing: it happens under the cluster's
//! lock, and votes wait for that.

use super::client::{Client, ConfiguredNode, Peer, Verdict};
use super::cluster::{Cluster, USUAL_SYNC_TIMEOUT};
use super::explain::{Decision, Rule};
use super::lease::lease_time;
use super::policy::ClusterPolicy;
use super::quorum::{self, Arithmetic};
use super::snapshot::LeaseSnapshot;
use super::time::Time;
use crate::wire::{Algorithm, ClusterName, Heuristics, NodeId, RingId, TieBreaker, Vote};
use std::sync::Arc;
use std::time::Duration;

/// A cluster.
#[derive(Debug, Clone)]
pub struct ClusterFacts {
    /// Name.
    pub name: ClusterName,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Tie-breaker.
    pub tie_breaker: TieBreaker,
    /// The rules that decide in it.
    pub policy: ClusterPolicy,
    /// Clients in ascending node id order.
    pub clients: Vec<ClientFacts>,
    /// The last decision, if it is one for the whole cluster.
    pub decision: Option<Decision>,
    /// Unreachable nodes that may still cast the vote.
    pub leases: Vec<LeaseSnapshot>,
}

/// A connected node.
#[derive(Debug, Clone)]
pub struct ClientFacts {
    /// Node id.
    pub node: NodeId,
    /// Its connection.
    pub peer: Peer,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// How long ago its last heartbeat was answered.
    pub heartbeat_age: Duration,
    /// Ring id of the membership that it reported last.
    pub ring: RingId,
    /// Configured nodes, if reported.
    pub configured: Option<Arc<[ConfiguredNode]>>,
    /// The nodes that it sees, if reported.
    pub membership: Option<Arc<[NodeId]>>,
    /// The later of its heuristics results.
    pub heuristics: Option<Heuristics>,
    /// Last vote, as sent.
    pub last_vote: Option<Vote>,
    /// The verdict for its present membership, if it was given one.
    pub standing: Option<Verdict>,
    /// Why.
    pub why: Option<Arc<Rule>>,
}

/// Nodes that see each other.
#[derive(Debug, Clone)]
pub struct PartitionFacts {
    /// Ring id.
    pub ring: RingId,
    /// Its nodes, connected or not.
    pub nodes: Arc<[NodeId]>,
    /// Whether a node of it has the vote.
    pub has_vote: bool,
}

impl ClusterFacts {
    /// The nodes that have the vote in their present membership.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> {
        let have = self.clients.iter().filter(|client| client.has_vote());
        have.map(|client| client.node)
    }

    /// The sets of nodes that see each other, in the order of their first connected nodes.
    pub fn partitions(&self) -> Vec<PartitionFacts> {
        let mut partitions: Vec<PartitionFacts> = Vec::new();
        for client in &self.clients {
            let Some(nodes) = &client.membership else {
                continue;
            };
            let has_vote = client.has_vote();
            match partitions
                .iter_mut()
                .find(|partition| partition.ring == client.ring)
            {
                Some(partition) => partition.has_vote |= has_vote,
                None => partitions.push(PartitionFacts {
                    ring: client.ring,
                    nodes: nodes.clone(),
                    has_vote,
                }),
            }
        }
        partitions
    }

    /// Nodes that others have configured and that are not connected, in ascending order.
    pub fn absent(&self) -> Vec<NodeId> {
        let lists = self.clients.iter().filter_map(|c| c.configured.as_deref());
        let mut absent: Vec<NodeId> = lists.flatten().map(|node| node.id).collect();
        absent.sort_unstable();
        absent.dedup();
        absent.retain(|node| self.clients.iter().all(|client| client.node != *node));
        absent
    }

    /// Nodes in the longest configured list.
    pub fn configured(&self) -> u32 {
        let lists = self.clients.iter().filter_map(|c| c.configured.as_deref());
        let most = lists.map(<[ConfiguredNode]>::len).max().unwrap_or(0);
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// What the votes add up to.
    pub fn arithmetic(&self) -> Option<Arithmetic> {
        quorum::arithmetic(self.configured(), self.algorithm)
    }

    /// What the operator should know.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(quorum::warning(self.configured(), self.algorithm));
        if self.algorithm == Algorithm::Test {
            warnings.push("the test algorithm gives every partition the vote".to_owned());
        }
        if self.clients.iter().any(|client| !client.peer.tls) {
            warnings.push("a node is connected in clear text".to_owned());
        }
        let heartbeats = self.clients.iter().map(|client| client.heartbeat_ms);
        let longest = heartbeats
            .max()
            .map(|ms| lease_time(Duration::from_millis(u64::from(ms))));
        if let Some(lease) = longest.filter(|lease| *lease > USUAL_SYNC_TIMEOUT) {
            if self.policy.keeps_leases() {
                warnings.push(format!(
                    "a silently lost node's vote is withheld for {} s, longer than corosync waits \
                     by default (sync_timeout 30 s)",
                    lease.as_secs_f64().ceil()
                ));
            }
        }
        warnings
    }
}

impl ClientFacts {
    /// Whether it was told that it has the vote in its present membership.
    pub fn has_vote(&self) -> bool {
        self.standing == Some(Verdict::Ack)
    }
}

/// What a decision saw of one connected node.
#[derive(Debug, Clone)]
pub struct Input {
    /// Node id.
    pub node: NodeId,
    /// Ring id.
    pub ring: RingId,
    /// The nodes that it saw, if reported.
    pub membership: Option<Arc<[NodeId]>>,
    /// How many nodes it has configured.
    pub configured: usize,
    /// Heuristics.
    pub heuristics: Option<Heuristics>,
}

impl Cluster {
    /// What can be seen of the cluster at `now`.
    pub fn facts(&self, now: Time) -> ClusterFacts {
        ClusterFacts {
            name: self.name.clone(),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            policy: self.policy,
            clients: self
                .clients
                .iter()
                .map(|client| client_facts(client, now))
                .collect(),
            decision: self.has_one_decision().then(|| self.decision.clone()),
            leases: self
                .leases
                .iter()
                .filter(|lease| !lease.is_connected())
                .map(|lease| LeaseSnapshot {
                    node: lease.node,
                    ring: lease.ring,
                    remaining: lease.deadline().map(|deadline| deadline.since(now)),
                })
                .collect(),
        }
    }

    /// What a decision at this moment sees.
    pub fn inputs(&self) -> Vec<Input> {
        let input = |client: &Client| Input {
            node: client.node,
            ring: client.ring,
            membership: client.membership.clone(),
            configured: client.configured().len(),
            heuristics: client.heuristics,
        };
        self.clients.iter().map(input).collect()
    }

    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The algorithm of its clients.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether there is one decision for the whole cluster, and not one for each node.
    pub fn has_one_decision(&self) -> bool {
        self.algorithm == Algorithm::FfSplit || self.decides_as_a_whole()
    }

    /// When a node last reported another membership, or joined.
    pub fn last_report(&self) -> Option<Time> {
        self.clients.iter().map(|client| client.reported_at).max()
    }
}

fn client_facts(client: &Client, now: Time) -> ClientFacts {
    ClientFacts {
        node: client.node,
        peer: client.peer.clone(),
        heartbeat_ms: client.heartbeat_ms,
        heartbeat_age: now.since(client.check.answered_at()),
        ring: client.ring,
        configured: client.config.clone(),
        membership: client.membership.clone(),
        heuristics: client.heuristics,
        last_vote: client.last_vote,
        standing: client.standing_verdict(),
        why: client.why.clone(),
    }
}
