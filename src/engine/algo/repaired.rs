//! lms and 2nodelms with the repairs A1 to A9 (algorithms spec, sections 8.4 and 12): one
//! selection for the whole cluster, over what every client reports now.

use super::lms::{Group, groups};
use super::two_node_lms::{preferred, rank};
use crate::engine::client::{Client, Verdict};
use crate::engine::explain::{Partition, Rule, Waiting};
use crate::engine::time::{Time, earlier};
use crate::wire::{Algorithm, NodeId, RingId, TieBreaker};
use std::sync::Arc;

/// Which partition should have the vote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Somebody's report is still missing; it is waited for until then (A8).
    Unsettled { waiting: Waiting, until: Time },
    /// The partition that wins, and why, or why none does; and the nodes that are newcomers, each
    /// with the holder that it stands back for.
    Settled {
        winner: Option<Partition>,
        rule: Rule,
        newcomers: Vec<(NodeId, NodeId)>,
    },
}

/// Selects for `lms` and `2nodelms`; the leaving client, if any, is already gone.
pub(crate) fn select(
    clients: &[Client],
    algorithm: Algorithm,
    tie_breaker: TieBreaker,
    now: Time,
) -> Selection {
    let reported: Vec<&Client> = clients
        .iter()
        .filter(|c| c.membership.is_some() && c.ring.seq != 0)
        .collect();
    let absent = match absent(&reported, algorithm, now) {
        Ok(absent) => absent,
        Err((waiting, until)) => return Selection::Unsettled { waiting, until },
    };
    let present: Vec<&Client> = reported
        .into_iter()
        .filter(|client| !absent.contains(&client.node))
        .collect();

    let all = groups(present.iter().copied());
    if all.is_empty() {
        return settled(&present, None, Rule::Undecided, Vec::new());
    }
    if let [only] = all.as_slice() {
        let rule = Rule::OnlyPartition {
            connected: only.size,
        };
        return settled(&present, Some(only.ring), rule, Vec::new());
    }

    let newcomers = newcomers(&present);
    let contenders: Vec<&Client> = present
        .iter()
        .copied()
        .filter(|client| !newcomers.iter().any(|(node, _)| *node == client.node))
        .collect();
    let (ring, rule) = match algorithm {
        Algorithm::TwoNodeLms => choose_node(&contenders, tie_breaker),
        _ => choose_group(&contenders, tie_breaker),
    };
    let rule = match rule {
        Rule::OnlyPartition { .. } if !newcomers.is_empty() => Rule::Incumbent,
        rule => rule,
    };
    settled(&present, ring, rule, newcomers)
}

/// Nodes whose report of a change that another node reported has been missing for too long, or
/// the first one that is still waited for.
fn absent(
    reported: &[&Client],
    algorithm: Algorithm,
    now: Time,
) -> Result<Vec<NodeId>, (Waiting, Time)> {
    let mut absent = Vec::new();
    let mut missing: Option<(Waiting, Time)> = None;
    for x in reported {
        for y in reported
            .iter()
            .filter(|y| y.node > x.node && y.ring != x.ring)
        {
            let (behind, ahead) = if x.report < y.report { (x, y) } else { (y, x) };
            let expected = match algorithm {
                // Two nodes decide at once when the one that reports last sees itself alone.
                Algorithm::TwoNodeLms => ahead.members().contains(&behind.node),
                _ => {
                    ahead.members().contains(&behind.node) || behind.members().contains(&ahead.node)
                }
            };
            if !expected {
                continue;
            }
            let until = ahead.reported_at + behind.heartbeat() * 2;
            if until <= now {
                absent.push(behind.node);
            } else if missing.as_ref().is_none_or(|(_, soonest)| until < *soonest) {
                let waiting = Waiting::MembershipDiffers {
                    a: ahead.node,
                    b: behind.node,
                };
                let soonest = earlier(Some(until), missing.map(|(_, at)| at)).unwrap_or(until);
                missing = Some((waiting, soonest));
            }
        }
    }
    missing.map_or(Ok(absent), Err)
}

/// Nodes that were never decided on and are in another partition than a holder, with the holder:
/// they don't take the vote away from it (section 6, A6).
fn newcomers(present: &[&Client]) -> Vec<(NodeId, NodeId)> {
    let holder = present
        .iter()
        .find(|c| c.standing_verdict() == Some(Verdict::Ack));
    let Some(holder) = holder else {
        return Vec::new();
    };
    let has_history = |ring: RingId| {
        present
            .iter()
            .any(|c| c.ring == ring && c.settled.is_some())
    };
    present
        .iter()
        .filter(|c| c.ring != holder.ring && !has_history(c.ring))
        .map(|c| (c.node, holder.node))
        .collect()
}

/// lms: score, then size among those that lead (A5), then who had the vote before (A6), then the
/// tie-breaker, for the whole partition of its node (A1).
fn choose_group(contenders: &[&Client], tie_breaker: TieBreaker) -> (Option<RingId>, Rule) {
    let mut leaders = groups(contenders.iter().copied());
    if leaders.len() > 1 {
        let (score, rival) = keep_leaders(&mut leaders, |group| group.score);
        if let ([winner], Some(rival)) = (leaders.as_slice(), rival) {
            return (Some(winner.ring), Rule::Score { score, rival });
        }
        let (size, rival) = keep_leaders(&mut leaders, |group| group.size);
        if let ([winner], Some(rival)) = (leaders.as_slice(), rival) {
            return (Some(winner.ring), Rule::Largest { size, rival });
        }
    }
    let rings: Vec<RingId> = leaders.iter().map(|group| group.ring).collect();
    break_tie(contenders, &rings, tie_breaker)
}

/// 2nodelms: better heuristics, then who had the vote before, then the tie-breaker.
fn choose_node(contenders: &[&Client], tie_breaker: TieBreaker) -> (Option<RingId>, Rule) {
    let best = contenders
        .iter()
        .map(|client| rank(client.heuristics))
        .max();
    let leaders: Vec<&Client> = contenders
        .iter()
        .copied()
        .filter(|client| Some(rank(client.heuristics)) == best)
        .collect();
    let mut rings: Vec<RingId> = leaders.iter().map(|client| client.ring).collect();
    rings.dedup();
    if let ([ring], true) = (rings.as_slice(), leaders.len() < contenders.len()) {
        return (Some(*ring), Rule::BetterHeuristics);
    }
    break_tie(&leaders, &rings, tie_breaker)
}

fn break_tie(
    contenders: &[&Client],
    rings: &[RingId],
    tie_breaker: TieBreaker,
) -> (Option<RingId>, Rule) {
    let had_it = |ring: &RingId| {
        contenders
            .iter()
            .any(|c| c.ring == *ring && c.settled == Some(Verdict::Ack))
    };
    let is_new = |ring: &RingId| {
        !contenders
            .iter()
            .any(|c| c.ring == *ring && c.settled.is_some())
    };
    // Only newcomers lose against the partition that had the vote; between two that both have
    // a history the tie-breaker decides, as the operator asked for.
    let seasoned: Vec<RingId> = if rings.iter().any(had_it) {
        rings.iter().copied().filter(|ring| !is_new(ring)).collect()
    } else {
        rings.to_vec()
    };
    if let [only] = seasoned.as_slice() {
        if rings.len() > 1 {
            return (Some(*only), Rule::Incumbent);
        }
        let connected = contenders.iter().filter(|c| c.ring == *only).count();
        return (Some(*only), Rule::OnlyPartition { connected });
    }
    let nodes = contenders
        .iter()
        .filter(|c| seasoned.contains(&c.ring))
        .map(|c| c.node);
    match preferred(tie_breaker, nodes) {
        Some(node) => {
            let ring = contenders.iter().find(|c| c.node == node).map(|c| c.ring);
            (
                ring,
                Rule::TieBreaker {
                    rule: tie_breaker,
                    node: Some(node),
                },
            )
        }
        None => (None, Rule::TieBreakerAbsent { rule: tie_breaker }),
    }
}

/// Keeps the groups with the highest value; returns it and the next one.
fn keep_leaders<T: Ord + Copy + Default>(
    groups: &mut Vec<Group>,
    value: impl Fn(&Group) -> T,
) -> (T, Option<T>) {
    let best = groups.iter().map(&value).max().unwrap_or_default();
    let rival = groups.iter().map(&value).filter(|v| *v < best).max();
    groups.retain(|group| value(group) == best);
    (best, rival)
}

fn settled(
    present: &[&Client],
    ring: Option<RingId>,
    rule: Rule,
    newcomers: Vec<(NodeId, NodeId)>,
) -> Selection {
    let winner = ring.map(|ring| {
        // Members of one partition share one list, so it is looked at once.
        let mut lists: Vec<&Arc<[NodeId]>> = Vec::new();
        let mut nodes: Vec<NodeId> = Vec::new();
        for client in present.iter().filter(|client| client.ring == ring) {
            nodes.push(client.node);
            if let Some(list) = &client.membership {
                if !lists.iter().any(|seen| Arc::ptr_eq(seen, list)) {
                    nodes.extend(list.iter().copied());
                    lists.push(list);
                }
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        Partition { ring, nodes }
    });
    Selection::Settled {
        winner,
        rule,
        newcomers,
    }
}
