//! What the outside may see of a cluster at one moment: for the status, the tools and the API.

use super::client::{Client, ConfiguredNode, Verdict};
use super::cluster::Cluster;
use super::quorum::Arithmetic;
use super::time::Time;
use crate::wire::{Algorithm, ClusterName, Heuristics, NodeId, RingId, TieBreaker, Vote};
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
    /// Clients in ascending node id order.
    pub clients: Vec<ClientSnapshot>,
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
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Cluster {
    /// What can be seen of the cluster at `now`.
    pub fn snapshot(&self, now: Time) -> ClusterSnapshot {
        let facts = self.facts(now);
        let as_a_whole = self.has_one_decision();
        ClusterSnapshot {
            name: self.name.clone(),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            rules: self.policy.rules.name(),
            clients: self.clients.iter().map(client_snapshot).collect(),
            decision: if as_a_whole {
                self.decision.to_string()
            } else {
                "every node is decided on by itself; see the nodes".to_owned()
            },
            decided_ago: now.since(self.decision.at),
            waiting: self.decision.waiting.as_ref().map(ToString::to_string),
            leases: facts.leases.clone(),
            arithmetic: facts.arithmetic(),
            warnings: facts.warnings(),
        }
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
