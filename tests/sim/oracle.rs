//! Where the vote should be when all is calm, from the algorithms spec alone: everybody who is
//! alive is connected, and the lists of the clients are the truth.

use crate::client::Node;
use crate::plan::Setup;
use crate::world::is_connected;
use qarbiter::wire::{Algorithm, Heuristics, TieBreaker};

/// I3.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(setup: &Setup, nodes: &[Node]) -> Result<(), String> {
    let alive: Vec<&Node> = nodes.iter().filter(|node| node.alive).collect();
    if let Some(node) = alive.iter().find(|node| !is_connected(node)) {
        return Err(format!(
            "node {} is not connected: {:?}",
            node.id, node.link
        ));
    }
    let parts = partitions(&alive);
    let allowed = match setup.algorithm {
        Algorithm::FfSplit => ffsplit(setup, &alive, &parts),
        _ => last_man(setup, &parts),
    };
    let mut holders = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let votes: Vec<Option<bool>> = part.iter().map(|node| node.vote).collect();
        if votes.iter().all(|vote| *vote == Some(true)) {
            holders.push(i);
        } else if !votes.iter().all(|vote| *vote == Some(false)) {
            return Err(format!("{} casts {votes:?}", name(part)));
        }
    }
    let fits = match holders.as_slice() {
        [] => allowed.nobody,
        [one] => allowed.one_of.contains(one),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let names = |list: &[usize]| -> Vec<String> { list.iter().map(|i| name(&parts[*i])).collect() };
    Err(format!(
        "the vote is held by {:?}, expected one of {:?}{}",
        names(&holders),
        names(&allowed.one_of),
        if allowed.nobody { " or nobody" } else { "" }
    ))
}

struct Allowed {
    one_of: Vec<usize>,
    nobody: bool,
}

type Part<'a> = Vec<&'a Node>;

fn name(part: &Part<'_>) -> String {
    let ids: Vec<u32> = part.iter().map(|node| node.id).collect();
    format!("partition {ids:?}")
}

fn partitions<'a>(alive: &[&'a Node]) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    for node in alive {
        match parts.iter_mut().find(|part| part[0].ring == node.ring) {
            Some(part) => part.push(node),
            None => parts.push(vec![node]),
        }
    }
    parts
}

fn score(part: &Part<'_>) -> i64 {
    part.iter()
        .map(|node| match node.heuristics {
            Some(Heuristics::Pass) => 2,
            Some(Heuristics::Fail) => 0,
            None => 1,
        })
        .sum()
}

/// Section 5.4.
fn ffsplit(setup: &Setup, alive: &[&Node], parts: &[Part<'_>]) -> Allowed {
    let configured = alive.first().map_or(0, |node| node.config.len());
    let certain = |one_of: Vec<usize>| Allowed {
        nobody: one_of.is_empty(),
        one_of,
    };
    let big: Vec<usize> = indices(parts, |part| part.len() * 2 > configured);
    if !big.is_empty() {
        return certain(big);
    }
    let halves = indices(parts, |part| part.len() * 2 == configured);
    let best = halves.iter().map(|i| score(&parts[*i])).max();
    let leaders: Vec<usize> = halves
        .into_iter()
        .filter(|i| Some(score(&parts[*i])) == best)
        .collect();
    if leaders.len() < 2 || alive.iter().all(|node| node.keeps_active()) {
        return certain(leaders);
    }
    let preferred = match setup.tie_breaker {
        TieBreaker::Lowest => 1,
        TieBreaker::Highest => configured as u32,
        TieBreaker::Node(node) => node.0,
    };
    let has_it = |i: &usize| parts[*i].iter().any(|node| node.id == preferred);
    // If nobody is preferred, the first candidate stays: the half with the lowest node.
    let winner = leaders.iter().copied().find(has_it).unwrap_or(leaders[0]);
    certain(vec![winner])
}

/// Sections 7 and 8: what happened before may decide between partitions, but exactly one has the
/// vote, unless the tie-breaker names a node that is not there.
fn last_man(setup: &Setup, parts: &[Part<'_>]) -> Allowed {
    let best = parts.iter().map(score).max();
    let leaders = indices(parts, |part| Some(score(part)) == best);
    let absent = match setup.tie_breaker {
        TieBreaker::Node(named) => !leaders
            .iter()
            .any(|i| parts[*i].iter().any(|node| node.id == named.0)),
        _ => false,
    };
    Allowed {
        one_of: (0..parts.len()).collect(),
        nobody: parts.is_empty() || (leaders.len() > 1 && absent),
    }
}

fn indices(parts: &[Part<'_>], test: impl Fn(&Part<'_>) -> bool) -> Vec<usize> {
    (0..parts.len()).filter(|i| test(&parts[*i])).collect()
}
