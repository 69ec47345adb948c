//! What the outside may see of a cluster at one moment: for the status, the tools and the API.
//!
//! Taking it copies numbers and shares lists, and formats nothing: it happens under the cluster's
//! lock, and votes wait for that.

use super::client::{Client, ConfiguredNode, Peer, Verdict};
use super::cluster::{Cluster, Misfit};
use super::explain::{Decision, Rule, Waiting};
use super::policy::ClusterPolicy;
use super::quorum::{self, Arithmetic};
use super::time::Time;
use crate::wire::{Algorithm, ClusterName, Heuristics, NodeId, RingId, TieBreaker, Vote};
use std::sync::Arc;
use std::time::Duration;

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct ClientSnapshot {
    /// Node id.
    pub node: NodeId,
    /// Its connection.
    pub peer: Peer,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// How long ago its last heartbeat was answered.
    pub heartbeat_age: Duration,
    /// Keep-active-partition flag.
    pub keep_active: bool,
    /// Last ring id.
    pub ring: RingId,
    /// Configured nodes, empty if not reported.
    pub configured: Arc<[ConfiguredNode]>,
    /// Version of the configuration.
    pub config_version: Option<u64>,
    /// Membership, empty if not reported.
    pub membership: Arc<[NodeId]>,
    /// Heuristics of the last membership message.
    pub membership_heuristics: Option<Heuristics>,
    /// Heuristics of the last change.
    pub regular_heuristics: Option<Heuristics>,
    /// The later of the two.
    pub heuristics: Option<Heuristics>,
    /// Last vote, as sent.
    pub last_vote: Option<Vote>,
    /// Last ACK or NACK.
    pub verdict: Option<Verdict>,
    /// The verdict for its present membership, if it was given one.
    pub standing: Option<Verdict>,
    /// Why.
    pub why: Option<Arc<Rule>>,
}

impl ClientSnapshot {
    /// Whether it was told that it has the vote in its present membership.
    pub fn has_vote(&self) -> bool {
        self.standing == Some(Verdict::Ack)
    }
}

/// Nodes that see each other.
#[derive(Debug, Clone)]
pub struct PartitionSnapshot<'a> {
    /// Ring id.
    pub ring: RingId,
    /// Its nodes, connected or not.
    pub nodes: &'a [NodeId],
    /// Those that are connected.
    pub clients: Vec<&'a ClientSnapshot>,
}

impl PartitionSnapshot<'_> {
    /// Connected members that have the vote.
    pub fn holders(&self) -> Vec<NodeId> {
        holders(self.clients.iter().copied()).collect()
    }
}

/// A node that may still cast the vote although it can't be reached.
#[derive(Debug, Clone)]
pub struct LeaseSnapshot {
    /// The node; 0 stands for several.
    pub node: NodeId,
    /// The membership it was given for.
    pub ring: RingId,
    /// How long still; `None` until its return or an operator's word.
    pub remaining: Option<Duration>,
}

/// A configured node that is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsentNode {
    /// The node.
    pub node: NodeId,
    /// How long ago its last connection ended; `None` if it has had none since the arbiter has
    /// known of the cluster.
    pub gone_for: Option<Duration>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct ClusterSnapshot {
    /// Name.
    pub name: ClusterName,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Tie-breaker.
    pub tie_breaker: TieBreaker,
    /// The settings that decide in it.
    pub policy: ClusterPolicy,
    /// Clients in ascending node id order.
    pub clients: Vec<ClientSnapshot>,
    /// Configured nodes that are not connected, in ascending order.
    pub absent: Vec<AbsentNode>,
    /// Nodes that were refused because they don't fit to the connected ones, in ascending order.
    pub misfits: Vec<Misfit>,
    /// The last decision for the cluster; `None` if every node is decided on by itself.
    pub outcome: Option<Decision>,
    /// How long the decision has stood.
    pub decided_ago: Duration,
    /// Unreachable nodes that may still cast the vote.
    pub leases: Vec<LeaseSnapshot>,
    /// Arithmetic of the largest configured node list.
    pub arithmetic: Option<Arithmetic>,
    /// Decisions can't be written down, so nobody gets a vote that he does not have already. The
    /// engine knows nothing of it; whoever carries out what it decides says so.
    pub votes_stay: bool,
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

    /// What can be seen of the cluster at `now`.
    pub fn snapshot(&self, now: Time) -> ClusterSnapshot {
        let lists = self.clients.iter().map(|client| client.configured().len());
        let configured = u32::try_from(lists.max().unwrap_or(0)).unwrap_or(u32::MAX);
        ClusterSnapshot {
            name: self.name.clone(),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            policy: self.policy,
            clients: self
                .clients
                .iter()
                .map(|client| client_snapshot(client, now))
                .collect(),
            absent: self.absent(now),
            misfits: self.misfits.values().copied().collect(),
            outcome: self.has_one_decision().then(|| self.decision.clone()),
            decided_ago: now.since(self.decision.at),
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
            arithmetic: quorum::arithmetic(configured, self.algorithm),
            votes_stay: false,
        }
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

    fn absent(&self, now: Time) -> Vec<AbsentNode> {
        let lists = self.clients.iter().flat_map(|client| client.configured());
        let mut absent: Vec<NodeId> = lists.map(|node| node.id).collect();
        absent.sort_unstable();
        absent.dedup();
        absent.retain(|node| self.client(*node).is_none());
        absent
            .into_iter()
            .map(|node| AbsentNode {
                node,
                gone_for: self.departed.get(&node).map(|at| now.since(*at)),
            })
            .collect()
    }
}

impl ClusterSnapshot {
    /// The nodes that have the vote in their present membership.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> {
        holders(&self.clients)
    }

    /// The sets of nodes that see each other, in the order of their first connected nodes.
    pub fn partitions(&self) -> Vec<PartitionSnapshot<'_>> {
        let mut partitions: Vec<PartitionSnapshot<'_>> = Vec::new();
        for client in self.clients.iter().filter(|c| !c.membership.is_empty()) {
            match partitions.iter_mut().find(|part| part.ring == client.ring) {
                Some(partition) => partition.clients.push(client),
                None => partitions.push(PartitionSnapshot {
                    ring: client.ring,
                    nodes: &client.membership,
                    clients: vec![client],
                }),
            }
        }
        partitions
    }

    /// Nodes in the longest configured list.
    pub fn configured(&self) -> u32 {
        let lists = self.clients.iter().map(|client| client.configured.len());
        u32::try_from(lists.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// What a winner waits for, if it can't have the vote yet.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.outcome.as_ref()?.waiting.as_ref()
    }
}

fn holders<'a>(
    clients: impl IntoIterator<Item = &'a ClientSnapshot>,
) -> impl Iterator<Item = NodeId> {
    let have = clients.into_iter().filter(|client| client.has_vote());
    have.map(|client| client.node)
}

fn client_snapshot(client: &Client, now: Time) -> ClientSnapshot {
    ClientSnapshot {
        node: client.node,
        peer: client.peer.clone(),
        heartbeat_ms: client.heartbeat_ms,
        heartbeat_age: now.since(client.check.answered_at()),
        keep_active: client.keep_active,
        ring: client.ring,
        configured: client.config.clone().unwrap_or_default(),
        config_version: client.config_version,
        membership: client.membership.clone().unwrap_or_default(),
        membership_heuristics: client.membership_heuristics,
        regular_heuristics: client.regular_heuristics,
        heuristics: client.heuristics,
        last_vote: client.last_vote,
        verdict: client.last_verdict,
        standing: client.standing_verdict(),
        why: client.why.clone(),
    }
}
