//! The status as JSON: what `qarbiter status` shows.

use crate::advice::words::tie_breaker_setting;
use crate::advice::{health, warnings};
use crate::engine::quorum::Arithmetic;
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot, PartitionSnapshot};
use crate::net::gone::GoneCluster;
use serde::{Deserialize, Serialize};

/// The arbiter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Where it listens.
    pub address: String,
    /// TLS mode.
    pub tls: String,
    /// Whether clients need a certificate for their cluster.
    pub client_cert_required: bool,
    /// Connections, with those that have not introduced themselves.
    pub connections: usize,
    /// What the operator should do something about, in words.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Clusters in the order in which they came.
    pub clusters: Vec<ClusterStatus>,
    /// Clusters whose nodes have all left, who has left last first.
    #[serde(default)]
    pub gone_clusters: Vec<GoneStatus>,
}

/// A cluster without a connected node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneStatus {
    /// Name, printable.
    pub name: String,
    /// For how long none has been connected, seconds.
    pub gone_seconds: u64,
}

impl From<GoneCluster> for GoneStatus {
    fn from(gone: GoneCluster) -> Self {
        Self {
            name: gone.name.to_string(),
            gone_seconds: gone.gone_for.as_secs(),
        }
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Name, printable.
    pub name: String,
    /// Algorithm, as in corosync.conf.
    pub algorithm: String,
    /// Tie-breaker, in words.
    pub tie_breaker: String,
    /// `reference` or `safe`.
    pub rules: String,
    /// Nodes that were told that they have the vote in their present membership.
    pub vote_held_by: Vec<u32>,
    /// The last decision and its reason.
    pub decision: String,
    /// How long it has stood, seconds.
    pub decided_seconds_ago: u64,
    /// What a decision still waits for.
    pub waiting_for: Option<String>,
    /// Sets of nodes that see each other.
    pub partitions: Vec<PartitionStatus>,
    /// Connected nodes.
    pub nodes: Vec<NodeStatus>,
    /// Configured nodes that are not connected.
    pub absent_nodes: Vec<u32>,
    /// Unreachable nodes that may still cast the vote.
    pub leases: Vec<LeaseStatus>,
    /// What the votes add up to.
    pub quorum: Option<QuorumStatus>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The state in one word and one sentence.
    pub health: HealthStatus,
    /// The tie-breaker as in corosync.conf.
    pub tie_breaker_setting: String,
    /// Whether a lost node's vote is withheld from others until it must have expired.
    pub vote_leases: bool,
    /// `timed` or `manual`.
    pub lost_holder: String,
}

/// The state of a cluster in one word and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// `OK`, `DEGRADED` or `CRITICAL`.
    pub level: String,
    /// What is so, and what the next failure would do.
    pub sentence: String,
}

/// Nodes that see each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Ring id.
    pub ring: String,
    /// Its nodes, connected or not.
    pub nodes: Vec<u32>,
    /// Whether a node of it has the vote.
    pub has_vote: bool,
}

/// A connected node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Node id.
    pub node: u32,
    /// Address and port.
    pub address: String,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Whether its certificate was checked against the cluster's name.
    pub certificate_verified: bool,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// Keep-active-partition flag.
    pub keep_active: bool,
    /// Ring id.
    pub ring: String,
    /// Nodes that it sees.
    pub membership: Vec<u32>,
    /// Nodes that it has configured.
    pub configured: Vec<u32>,
    /// Heuristics.
    pub heuristics: Option<String>,
    /// Last vote as sent.
    pub last_vote: Option<String>,
    /// `ACK` or `NACK` for its present membership; none while it waits for one.
    pub verdict: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A node that may still cast the vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Node id.
    pub node: u32,
    /// Ring id that it was given for.
    pub ring: String,
    /// How long still, milliseconds; none if only its return or an operator ends it.
    pub remaining_ms: Option<u64>,
}

/// What the votes add up to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// Votes of the device.
    pub device_votes: u32,
    /// Expected votes.
    pub expected_votes: u32,
    /// Votes needed.
    pub quorum: u32,
    /// Node failures that the rest survives with the arbiter.
    pub tolerated_with_arbiter: u32,
    /// Node failures that the rest survives without it.
    pub tolerated_without_arbiter: u32,
}

impl From<Arithmetic> for QuorumStatus {
    fn from(sums: Arithmetic) -> Self {
        Self {
            device_votes: sums.device_votes,
            expected_votes: sums.expected_votes,
            quorum: sums.quorum,
            tolerated_with_arbiter: sums.tolerated_with_arbiter,
            tolerated_without_arbiter: sums.tolerated_without_arbiter,
        }
    }
}

impl From<&ClusterSnapshot> for ClusterStatus {
    fn from(cluster: &ClusterSnapshot) -> Self {
        let partition = |part: &PartitionSnapshot<'_>| PartitionStatus {
            ring: part.ring.to_string(),
            nodes: part.nodes.iter().map(|node| node.0).collect(),
            has_vote: !part.holders().is_empty(),
        };
        let health = health(cluster);
        Self {
            name: cluster.name.to_string(),
            algorithm: cluster.algorithm.config_name().to_owned(),
            tie_breaker: cluster.tie_breaker.to_string(),
            rules: cluster.policy.rules.name().to_owned(),
            vote_held_by: cluster.holders().map(|node| node.0).collect(),
            decision: decision(cluster),
            decided_seconds_ago: cluster.decided_ago.as_secs(),
            waiting_for: cluster.waiting().map(ToString::to_string),
            partitions: cluster.partitions().iter().map(partition).collect(),
            nodes: cluster.clients.iter().map(NodeStatus::from).collect(),
            absent_nodes: cluster.absent.iter().map(|absent| absent.node.0).collect(),
            leases: cluster
                .leases
                .iter()
                .map(|lease| LeaseStatus {
                    node: lease.node.0,
                    ring: lease.ring.to_string(),
                    remaining_ms: lease
                        .remaining
                        .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
                })
                .collect(),
            quorum: cluster.arithmetic.map(QuorumStatus::from),
            warnings: warnings(cluster).iter().map(ToString::to_string).collect(),
            health: HealthStatus {
                level: health.level.word().to_owned(),
                sentence: health.sentence,
            },
            tie_breaker_setting: tie_breaker_setting(cluster.tie_breaker),
            vote_leases: cluster.policy.keeps_leases(),
            lost_holder: cluster.policy.lost_holder.name().to_owned(),
        }
    }
}

fn decision(cluster: &ClusterSnapshot) -> String {
    match &cluster.outcome {
        Some(outcome) => outcome.to_string(),
        None => "every node is decided on by itself; see the nodes".to_owned(),
    }
}

impl From<&ClientSnapshot> for NodeStatus {
    fn from(client: &ClientSnapshot) -> Self {
        Self {
            node: client.node.0,
            address: crate::telemetry::events::plain(&client.peer.address).to_owned(),
            tls: client.peer.tls,
            certificate_verified: client.peer.verified,
            heartbeat_ms: client.heartbeat_ms,
            keep_active: client.keep_active,
            ring: client.ring.to_string(),
            membership: client.membership.iter().map(|node| node.0).collect(),
            configured: client.configured.iter().map(|node| node.id.0).collect(),
            heuristics: client.heuristics.map(|heuristics| heuristics.to_string()),
            last_vote: client.last_vote.map(|vote| vote.to_string()),
            verdict: client.standing.map(|verdict| verdict.vote().to_string()),
            reason: client.why.as_ref().map(ToString::to_string),
        }
    }
}
