//! What happened as messages of `proto/qarbiter/v1`, with its words.

use super::unix_ms;
use crate::engine::snapshot::Input;
use crate::engine::{Event as EngineEvent, Peer};
use crate::proto::v1;
use crate::telemetry::events::{Text, plain};
use crate::telemetry::metrics::{cause_name, verdict_name};
use crate::telemetry::observer::{Decided, Record, What, outcome};
use crate::wire::{ClusterName, Heuristics, NodeId};

/// Nodes of one membership that are kept of a decision; corosync has at most 384.
const SHOWN_NODES: usize = 512;

/// A record as an event without an id, and the cluster that it is about. A decision in it has no
/// number yet.
pub(super) fn event_of(record: &Record) -> (Option<ClusterName>, v1::Event) {
    let at = unix_ms(record.at);
    match &record.what {
        What::Event(event) => event_message(event, at),
        What::Decided(decided) => {
            let decision = decision_message(decided, at);
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
            (Some(decided.cluster.clone()), event)
        }
    }
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
