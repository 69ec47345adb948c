//! 2nodelms by the rules of the reference (algorithms spec, section 7).

use super::client_of;
use super::lms::{Outcome, newcomer};
use crate::engine::client::{Client, Verdict};
use crate::engine::explain::Rule;
use crate::wire::{Heuristics, NodeId, RingId, TieBreaker};
use std::cmp::Ordering;

/// What a membership message says.
pub(crate) struct Report {
    pub(crate) ring: RingId,
    /// Entries in the list.
    pub(crate) members: usize,
    pub(crate) heuristics: Option<Heuristics>,
}

/// DECIDE of section 7 for the client of `node`, whose report is not stored yet.
pub(crate) fn decide(
    clients: &[Client],
    node: NodeId,
    report: &Report,
    tie_breaker: TieBreaker,
) -> Outcome {
    let Some(x) = client_of(clients, node) else {
        return Outcome::Wait(None);
    };
    if let Some(rule) = newcomer(clients, x, report.ring) {
        return Outcome::Newcomer(rule);
    }
    if report.members == 2 {
        return Outcome::Decided(Verdict::Ack, Rule::BothNodes);
    }
    let Some(other) = clients.iter().rfind(|y| y.node != node) else {
        return Outcome::Decided(Verdict::Ack, Rule::OnlyPartition { connected: 1 });
    };
    match rank(report.heuristics).cmp(&rank(other.heuristics)) {
        Ordering::Greater => return Outcome::Decided(Verdict::Ack, Rule::BetterHeuristics),
        Ordering::Less => return Outcome::Decided(Verdict::Nack, Rule::BetterHeuristics),
        Ordering::Equal => {}
    }
    let preferred = preferred(tie_breaker, clients.iter().map(|client| client.node));
    let verdict = if preferred == Some(node) {
        Verdict::Ack
    } else {
        Verdict::Nack
    };
    Outcome::Decided(
        verdict,
        Rule::TieBreaker {
            rule: tie_breaker,
            node: preferred,
        },
    )
}

/// fail < undefined < pass.
pub(crate) fn rank(heuristics: Option<Heuristics>) -> i8 {
    match heuristics {
        Some(Heuristics::Fail) => -1,
        None => 0,
        Some(Heuristics::Pass) => 1,
    }
}

/// The node that a tie-breaker prefers among `nodes`.
pub(crate) fn preferred(
    tie_breaker: TieBreaker,
    nodes: impl Iterator<Item = NodeId>,
) -> Option<NodeId> {
    let mut nodes = nodes;
    match tie_breaker {
        TieBreaker::Lowest => nodes.min(),
        TieBreaker::Highest => nodes.max(),
        TieBreaker::Node(named) => nodes.find(|node| *node == named),
    }
}
