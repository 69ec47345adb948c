//! What the outside may see of a cluster at one moment: for the status, the tools and the API.

use super::client::{Client, ConfiguredNode, Verdict};
use super::cluster::{Cluster, Misfit};
use super::explain::Decision;
use super::policy::ClusterPolicy;
use super::quorum::{self, Arithmetic};
use super::time::Time;
use crate::wire::{Algorithm, ClusterName, Heuristics, NodeId, RingId, TieBreaker, Vote};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct ClientSnapshot {
    /// Node id.
    pub node: NodeId,
    /// Address and port.
    pub address: Arc<str>,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Whether a certificate was checked against the cluster's name.
    pub verified: bool,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// Keep-active-partition flag.
    pub keep_active: bool,
    /// Last ring id.
    pub ring: RingId,
    /// Configured nodes, empty if not reported.
    pub configured: Vec<ConfiguredNode>,
    /// Version of the configuration.
    pub config_version: Option<u64>,
    /// Membership, empty if not reported.
    pub membership: Vec<NodeId>,
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
    /// Why, in words.
    pub why: Option<String>,
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
    /// `reference` or `safe`.
    pub rules: &'static str,
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
    /// The last decision in words, and since when it stands.
    pub decision: String,
    /// How long the decision has stood.
    pub decided_ago: Duration,
    /// Whether a winner waits for something.
    pub waiting: Option<String>,
    /// Unreachable nodes that may still cast the vote.
    pub leases: Vec<LeaseSnapshot>,
    /// Arithmetic of the largest configured node list.
    pub arithmetic: Option<Arithmetic>,
}

impl Cluster {
    /// What can be seen of the cluster at `now`.
    pub fn snapshot(&self, now: Time) -> ClusterSnapshot {
        let configured = self
            .clients
            .iter()
            .map(|c| c.configured().len())
            .max()
            .unwrap_or(0);
        let configured = u32::try_from(configured).unwrap_or(u32::MAX);
        let as_a_whole = self.algorithm == Algorithm::FfSplit || self.decides_as_a_whole();
        ClusterSnapshot {
            name: self.name.clone(),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            rules: self.policy.rules.name(),
            policy: self.policy,
            clients: self.clients.iter().map(client_snapshot).collect(),
            absent: self.absent(now),
            misfits: self.misfits.values().copied().collect(),
            outcome: as_a_whole.then(|| self.decision.clone()),
            decision: if as_a_whole {
                self.decision.to_string()
            } else {
                "every node is decided on by itself; see the nodes".to_owned()
            },
            decided_ago: now.since(self.decision.at),
            waiting: self.decision.waiting.as_ref().map(ToString::to_string),
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
        }
    }

    fn absent(&self, now: Time) -> Vec<AbsentNode> {
        let configured: BTreeSet<NodeId> = self
            .clients
            .iter()
            .flat_map(|client| client.configured())
            .map(|node| node.id)
            .collect();
        configured
            .into_iter()
            .filter(|node| self.client(*node).is_none())
            .map(|node| AbsentNode {
                node,
                gone_for: self.departed.get(&node).map(|at| now.since(*at)),
            })
            .collect()
    }
}

fn client_snapshot(client: &Client) -> ClientSnapshot {
    ClientSnapshot {
        node: client.node,
        address: client.peer.address.clone(),
        tls: client.peer.tls,
        verified: client.peer.verified,
        heartbeat_ms: client.heartbeat_ms,
        keep_active: client.keep_active,
        ring: client.ring,
        configured: client.configured().to_vec(),
        config_version: client.config_version,
        membership: client.members().to_vec(),
        membership_heuristics: client.membership_heuristics,
        regular_heuristics: client.regular_heuristics,
        heuristics: client.heuristics,
        last_vote: client.last_vote,
        verdict: client.last_verdict,
        standing: client.standing_verdict(),
        why: client.why.as_ref().map(|rule| rule.to_string()),
    }
}
