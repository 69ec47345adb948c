//! lms, last man standing, by the rules of the reference (algorithms spec, section 8).
//!
//! All lists, heuristics and ring ids are those that were stored before the message, the sender's
//! own ones included; only the ring id of the decision is new (section 2.2).

use super::client_of;
use crate::engine::client::{Client, Remembered, Verdict, heuristics_score};
use crate::engine::explain::{Rule, Waiting};
use crate::wire::{NodeId, RingId, TieBreaker};

/// The tie-breaker `lowest` of the reference overlooks node ids from here up (A4).
const REFERENCE_LOWEST_LIMIT: NodeId = NodeId(2_147_483_647);

/// What the reference decides for one client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A verdict, which is remembered.
    Decided(Verdict, Rule),
    /// The client is new: NACK, and nothing is remembered.
    Newcomer(Rule),
    /// Ask again when the timer fires.
    Wait(Option<Waiting>),
}

/// Clients with the same ring id.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) ring: RingId,
    pub(crate) size: usize,
    pub(crate) score: i64,
}

/// The rule for newcomers, shared with 2nodelms (section 6).
pub(crate) fn newcomer(clients: &[Client], x: &Client, ring: RingId) -> Option<Rule> {
    if x.remembered != Remembered::Unset {
        return None;
    }
    clients
        .iter()
        .find(|y| {
            y.node != x.node && y.ring != ring && y.remembered == Remembered::Decided(Verdict::Ack)
        })
        .map(|y| Rule::Newcomer { holder: y.node })
}

/// DECIDE(R) of section 8.2 for the client of `node`.
pub(crate) fn decide(
    clients: &[Client],
    node: NodeId,
    ring: RingId,
    tie_breaker: TieBreaker,
) -> Outcome {
    let Some(x) = client_of(clients, node) else {
        return Outcome::Wait(None);
    };
    for y in clients.iter().filter(|y| y.node != node) {
        let together = x.members().contains(&y.node) || y.members().contains(&node);
        if together && y.ring != ring {
            return Outcome::Wait(Some(Waiting::MembershipDiffers { a: node, b: y.node }));
        }
    }
    let groups = groups(clients.iter());
    match groups.len() {
        0 => return Outcome::Wait(None),
        1 => {
            let connected = clients.len();
            return Outcome::Decided(Verdict::Ack, Rule::OnlyPartition { connected });
        }
        _ => {}
    }
    if let Some(rule) = newcomer(clients, x, ring) {
        return Outcome::Newcomer(rule);
    }
    if let Some((winner, rival)) = sole_leader(&groups, |group| group.score) {
        return verdict(
            winner.ring == ring,
            Rule::Score {
                score: winner.score,
                rival,
            },
        );
    }
    if let Some((winner, rival)) = sole_leader(&groups, |group| group.size) {
        return verdict(
            winner.ring == ring,
            Rule::Largest {
                size: winner.size,
                rival,
            },
        );
    }
    let (preferred, preferred_ring) = match tie_breaker {
        TieBreaker::Lowest => {
            let lowest = clients.first().filter(|c| c.node < REFERENCE_LOWEST_LIMIT);
            (lowest.map(|c| c.node), lowest.map(|c| c.ring))
        }
        TieBreaker::Highest => {
            let highest = clients.last().filter(|c| c.node > NodeId(0));
            (highest.map(|c| c.node), highest.map(|c| c.ring))
        }
        // The reference finds the ring of the named node only when it decides for that node (A1).
        TieBreaker::Node(named) => (Some(named), None),
    };
    let wins = preferred == Some(node) || preferred_ring == Some(ring);
    verdict(
        wins,
        Rule::TieBreaker {
            rule: tie_breaker,
            node: preferred,
        },
    )
}

/// Groups clients by ring id, in order of first appearance; ring ids with sequence 0 don't count.
pub(crate) fn groups<'a>(clients: impl Iterator<Item = &'a Client>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for client in clients.filter(|client| client.ring.seq != 0) {
        let score = 1 + heuristics_score(client.heuristics);
        match groups.iter_mut().find(|group| group.ring == client.ring) {
            Some(group) => {
                group.size += 1;
                group.score += score;
            }
            None => groups.push(Group {
                ring: client.ring,
                size: 1,
                score,
            }),
        }
    }
    groups
}

/// The group with the highest value, and the next value, if no other group has the same one.
pub(crate) fn sole_leader<T: Ord + Copy>(
    groups: &[Group],
    value: impl Fn(&Group) -> T,
) -> Option<(&Group, T)> {
    let leader = groups.iter().max_by_key(|group| value(group))?;
    let rival = groups
        .iter()
        .filter(|group| group.ring != leader.ring)
        .map(&value)
        .max()?;
    (rival < value(leader)).then_some((leader, rival))
}

fn verdict(wins: bool, rule: Rule) -> Outcome {
    Outcome::Decided(if wins { Verdict::Ack } else { Verdict::Nack }, rule)
}
