//! The state of a cluster as the API shows it.

use crate::advice::{Health, Level, health, warnings};
use crate::engine::Verdict;
use crate::engine::quorum::Arithmetic;
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot};
use crate::pki::seen::Sighting;
use crate::proto::v1;
use crate::telemetry::events::plain;
use crate::telemetry::history::{decision, heuristics, numbers, unix_ms};
use crate::telemetry::metrics::verdict_name;
use crate::wire::{ClusterName, NodeId, Vote};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::time::{Duration, SystemTime};

/// What stands for itself in a path (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The state of a cluster. `now` is the engine's clock, to turn its moments into dates.
pub(super) fn cluster(cluster: &ClusterSnapshot, now: crate::engine::Time) -> v1::Cluster {
    let decided = cluster.outcome.as_ref().map(|made| {
        let at = SystemTime::now() - now.since(made.at);
        let algorithm = cluster.algorithm.config_name();
        decision(&cluster.name, algorithm, made, None, unix_ms(at))
    });
    let partitions = cluster.partitions();
    let partitions = partitions.iter().map(|partition| v1::Partition {
        ring: partition.ring.to_string(),
        nodes: numbers(partition.nodes),
        has_vote: !partition.holders().is_empty(),
    });
    let leases = cluster.leases.iter().map(|lease| v1::Lease {
        node: lease.node.0,
        ring: lease.ring.to_string(),
        remaining_ms: lease.remaining.map(ms),
    });
    v1::Cluster {
        name: cluster.name.to_string(),
        path: path(&cluster.name),
        algorithm: cluster.algorithm.config_name().to_owned(),
        tie_breaker: cluster.tie_breaker.to_string(),
        rules: cluster.policy.rules.name().to_owned(),
        vote_held_by: cluster.holders().map(|node| node.0).collect(),
        decision: decided,
        partitions: partitions.collect(),
        nodes: nodes(cluster),
        absent_nodes: absent(cluster),
        leases: leases.collect(),
        quorum: cluster.arithmetic.map(quorum),
        warnings: warnings(cluster).iter().map(ToString::to_string).collect(),
        health: Some(cluster_health(health(cluster))),
        absent: cluster
            .absent
            .iter()
            .map(|absent| v1::AbsentNode {
                node: absent.node.0,
                gone_ms: absent.gone_for.map(ms),
            })
            .collect(),
        vote_leases: cluster.policy.keeps_leases(),
        lost_holder: cluster.policy.lost_holder.name().to_owned(),
        certificates: Vec::new(),
    }
}

/// A cluster in few words.
pub(super) fn summary(cluster: &ClusterSnapshot) -> v1::ClusterSummary {
    v1::ClusterSummary {
        name: cluster.name.to_string(),
        path: path(&cluster.name),
        health: Some(cluster_health(health(cluster))),
        connected: count(cluster.clients.len()),
        configured: cluster.configured(),
        warnings: count(warnings(cluster).len()),
    }
}

fn cluster_health(health: Health) -> v1::ClusterHealth {
    v1::ClusterHealth {
        level: level_name(health.level).to_owned(),
        sentence: health.sentence,
    }
}

/// A level as the API has it.
pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Degraded => "degraded",
        Level::Critical => "critical",
    }
}

/// Certificates that nodes have shown, those that end last first.
pub(super) fn certificates(mut seen: Vec<Sighting>) -> Vec<v1::SeenCertificate> {
    seen.sort_by_key(|sighting| std::cmp::Reverse(sighting.facts.not_after));
    let shown = seen.iter().map(|sighting| v1::SeenCertificate {
        serial: sighting.facts.serial.to_string(),
        not_after_unix: sighting.facts.not_after.0,
        first_seen_unix: sighting.first.0,
        last_seen_unix: sighting.last.0,
    });
    shown.collect()
}

/// Where the API has a cluster.
fn path(name: &ClusterName) -> String {
    let encoded = percent_encode(name.as_bytes(), UNRESERVED);
    format!("/api/v1/clusters/{encoded}")
}

/// The configured nodes of a cluster that are not connected.
pub(super) fn absent(cluster: &ClusterSnapshot) -> Vec<u32> {
    cluster.absent.iter().map(|absent| absent.node.0).collect()
}

/// The connected nodes of a cluster.
pub(super) fn nodes(cluster: &ClusterSnapshot) -> Vec<v1::Node> {
    cluster.clients.iter().map(node).collect()
}

fn node(client: &ClientSnapshot) -> v1::Node {
    let configured: Vec<NodeId> = client.configured.iter().map(|node| node.id).collect();
    v1::Node {
        node: client.node.0,
        address: plain(&client.peer.address).to_owned(),
        tls: client.peer.tls,
        certificate_verified: client.peer.verified,
        heartbeat_ms: client.heartbeat_ms,
        heartbeat_age_ms: ms(client.heartbeat_age),
        ring: client.ring.to_string(),
        membership: numbers(&client.membership),
        configured: numbers(&configured),
        heuristics: client
            .heuristics
            .map(|result| heuristics(result).to_owned()),
        last_vote: client.last_vote.map(|vote| vote_name(vote).to_owned()),
        verdict: client
            .standing
            .map(|verdict| verdict_name(verdict).to_owned()),
        reason: client.why.as_ref().map(|why| why.to_string()),
        quorate: client.quorate,
    }
}

fn quorum(sums: Arithmetic) -> v1::Quorum {
    v1::Quorum {
        nodes: sums.nodes,
        device_votes: sums.device_votes,
        expected_votes: sums.expected_votes,
        quorum: sums.quorum,
        tolerated_with_arbiter: sums.tolerated_with_arbiter,
        tolerated_without_arbiter: sums.tolerated_without_arbiter,
        tolerated_with_no_device: sums.tolerated_with_no_device,
    }
}

const fn vote_name(vote: Vote) -> &'static str {
    match vote {
        Vote::Ack => verdict_name(Verdict::Ack),
        Vote::Nack => verdict_name(Verdict::Nack),
        Vote::AskLater => "ask_later",
        Vote::WaitForReply => "wait_for_reply",
        Vote::NoChange => "no_change",
    }
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
