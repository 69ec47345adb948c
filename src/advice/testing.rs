//! Clusters for the tests of what is said about them.

use crate::engine::client::{ConfiguredNode, Peer};
use crate::engine::explain::{Decision, Partition, Rule, Waiting};
use crate::engine::quorum::arithmetic;
use crate::engine::snapshot::{AbsentNode, ClientSnapshot, ClusterSnapshot, LeaseSnapshot};
use crate::engine::{ClusterPolicy, Time, Verdict};
use crate::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker};
use std::time::Duration;

pub(crate) const ACK: Option<Verdict> = Some(Verdict::Ack);
pub(crate) const NACK: Option<Verdict> = Some(Verdict::Nack);
pub(crate) const FF: Algorithm = Algorithm::FfSplit;
pub(crate) const LMS: Algorithm = Algorithm::Lms;

fn ids(list_of: &[u32]) -> Vec<NodeId> {
    list_of.iter().copied().map(NodeId).collect()
}

/// A cluster whose nodes 1 to `configured` are configured and of which nobody is connected.
pub(crate) fn cluster(configured: u32, algorithm: Algorithm) -> ClusterSnapshot {
    ClusterSnapshot {
        name: ClusterName::new(b"site"),
        algorithm,
        tie_breaker: TieBreaker::Lowest,
        policy: ClusterPolicy::SAFE,
        clients: Vec::new(),
        absent: (1..=configured)
            .map(|node| AbsentNode {
                node: NodeId(node),
                gone_for: None,
            })
            .collect(),
        misfits: Vec::new(),
        outcome: Some(Decision {
            at: Time::ZERO,
            winner: None,
            rule: Rule::Undecided,
            waiting: None,
        }),
        decided_ago: Duration::ZERO,
        leases: Vec::new(),
        arithmetic: arithmetic(configured, algorithm),
        votes_stay: false,
    }
}

/// Its state with this rule, after which `winners` get the vote.
pub(crate) fn decided(
    mut cluster: ClusterSnapshot,
    winners: &[u32],
    rule: Rule,
) -> ClusterSnapshot {
    let outcome = cluster.outcome.as_mut().unwrap();
    outcome.rule = rule;
    outcome.winner = (!winners.is_empty()).then(|| Partition {
        ring: RingId::new(winners[0], 8),
        nodes: ids(winners),
    });
    cluster
}

pub(crate) fn waits(mut cluster: ClusterSnapshot, waiting: Waiting) -> ClusterSnapshot {
    cluster.outcome.as_mut().unwrap().waiting = Some(waiting);
    cluster
}

/// These nodes are connected, see each other, and were told so.
pub(crate) fn with(
    mut cluster: ClusterSnapshot,
    sees: &[u32],
    told: &[(u32, Option<Verdict>)],
) -> ClusterSnapshot {
    let configured = u32::try_from(cluster.clients.len() + cluster.absent.len()).unwrap();
    let config: Vec<ConfiguredNode> = (1..=configured)
        .map(|id| ConfiguredNode {
            id: NodeId(id),
            data_center: 0,
        })
        .collect();
    for (node, standing) in told {
        cluster.absent.retain(|absent| absent.node.0 != *node);
        cluster.clients.push(ClientSnapshot {
            node: NodeId(*node),
            peer: Peer {
                address: "192.0.2.1:4000".into(),
                tls: true,
                verified: true,
            },
            heartbeat_ms: 8000,
            heartbeat_age: Duration::ZERO,
            keep_active: true,
            ring: RingId::new(sees.first().copied().unwrap_or(*node), 8),
            configured: config.clone().into(),
            config_version: None,
            membership: ids(sees).into(),
            membership_heuristics: None,
            regular_heuristics: None,
            heuristics: None,
            last_vote: None,
            verdict: *standing,
            standing: *standing,
            why: None,
            quorate: standing.map(|verdict| verdict == Verdict::Ack),
            quorate_for: Duration::from_secs(60),
        });
    }
    cluster.clients.sort_by_key(|client| client.node);
    cluster
}

/// These nodes reported what they see before the others did.
pub(crate) fn earlier(mut cluster: ClusterSnapshot, nodes: &[u32]) -> ClusterSnapshot {
    let clients = cluster.clients.iter_mut();
    for client in clients.filter(|client| nodes.contains(&client.node.0)) {
        client.ring.seq = 4;
    }
    cluster
}

pub(crate) fn lease(mut cluster: ClusterSnapshot, node: u32, left: Option<u64>) -> ClusterSnapshot {
    cluster.leases.push(LeaseSnapshot {
        node: NodeId(node),
        ring: RingId::new(1, 4),
        remaining: left.map(Duration::from_millis),
    });
    cluster
}

pub(crate) fn whole(nodes: u32, algorithm: Algorithm) -> ClusterSnapshot {
    let all: Vec<u32> = (1..=nodes).collect();
    let told: Vec<_> = all.iter().map(|node| (*node, ACK)).collect();
    let rule = Rule::Majority {
        members: all.len(),
        configured: all.len(),
    };
    decided(with(cluster(nodes, algorithm), &all, &told), &all, rule)
}
