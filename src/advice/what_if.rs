//! What a failure would do to a cluster as it is now.

use super::conf::algorithm;
use super::simulate::{Fault, Setup, SetupError, State, Step, Timing, TooLong, run};
use super::words::tie_breaker;
use crate::engine::{ClusterPolicy, LostHolder, Rules};
use crate::ipc::json::{ClusterStatus, NodeStatus};
use crate::wire::{Heuristics, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A failure and what would come of it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The failure, as an operator would say it: `node 1 dies`.
    pub failure: String,
    /// What would come of it.
    pub step: Step,
}

/// What each failure would do.
#[derive(Debug, Clone)]
pub struct WhatIf {
    /// What is so now, by the simulation's own account.
    pub now: State,
    /// Whether that is what the arbiter reports; if not, the answers are about a state that is only
    /// similar.
    pub is_exact: bool,
    /// The answers.
    pub answers: Vec<Answer>,
    /// Nodes whose heuristics pass or fail now; the answers are about failures that change nothing
    /// in that.
    pub heuristics: BTreeMap<NodeId, Heuristics>,
}

/// A cluster's state can't be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhatIfError {
    /// Its nodes have not reported enough yet.
    #[error(
        "its nodes have not reported yet which nodes are configured, or none is connected; see `qarbiter status`"
    )]
    NotReported,
    /// The status has a setting that this program does not know.
    #[error(
        "the arbiter reports {what} {value:?}, which this program does not know; are their versions the same?"
    )]
    Unknown {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// See [`SetupError`].
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// See [`TooLong`].
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// Answers for each node, for the arbiter, and for the links.
///
/// # Errors
/// [`WhatIfError`].
pub fn what_if(cluster: &ClusterStatus) -> Result<WhatIf, WhatIfError> {
    let setup = setup(cluster)?;
    let history = history(cluster, &setup);
    let last = |fault: Fault| {
        let mut faults = history.clone();
        faults.push(fault);
        run(&setup, &faults).map(|mut story| story.steps.pop())
    };
    let before = run(&setup, &history)?;
    let now = before
        .steps
        .last()
        .map_or(before.start, |step| step.state.clone());
    let mut answers = Vec::new();
    for (failure, fault) in questions(&now) {
        if let Some(step) = last(fault)? {
            answers.push(Answer { failure, step });
        }
    }
    Ok(WhatIf {
        is_exact: is_exact(cluster, &now),
        now,
        answers,
        heuristics: setup.heuristics,
    })
}

fn setup(cluster: &ClusterStatus) -> Result<Setup, WhatIfError> {
    let unknown = |what, value: &str| WhatIfError::Unknown {
        what,
        value: value.to_owned(),
    };
    let largest = cluster
        .nodes
        .iter()
        .max_by_key(|node| node.configured.len());
    let configured: Vec<NodeId> = largest
        .map(|node| node.configured.iter().copied().map(NodeId).collect())
        .unwrap_or_default();
    if configured.is_empty() {
        return Err(WhatIfError::NotReported);
    }
    let algorithm = algorithm(&cluster.algorithm)
        .ok_or_else(|| unknown("the algorithm", &cluster.algorithm))?;
    let mut setup = Setup::new(&configured, algorithm)?;
    setup.tie_breaker = tie_breaker(&cluster.tie_breaker_setting)
        .ok_or_else(|| unknown("the tie-breaker", &cluster.tie_breaker_setting))?;
    setup.policy = ClusterPolicy {
        rules: match cluster.rules.as_str() {
            "safe" => Rules::Safe,
            "reference" => Rules::Reference,
            other => return Err(unknown("the rules", other)),
        },
        vote_leases: cluster.vote_leases,
        lost_holder: match cluster.lost_holder.as_str() {
            "timed" => LostHolder::Timed,
            "manual" => LostHolder::Manual,
            other => return Err(unknown("the setting lost_holder", other)),
        },
    };
    for node in &cluster.nodes {
        if let Some(found) = &node.heuristics {
            let mut known = [Heuristics::Pass, Heuristics::Fail].into_iter();
            let heuristics = known
                .find(|one| one.to_string() == *found)
                .ok_or_else(|| unknown("the heuristics", found))?;
            setup.heuristics.insert(NodeId(node.node), heuristics);
        }
    }
    setup.keep_active = cluster.nodes.iter().all(|node| node.keep_active);
    let slowest = cluster.nodes.iter().map(|node| node.heartbeat_ms).max();
    if let Some(ms) = slowest {
        setup.timing = Timing::of_heartbeat(Duration::from_millis(u64::from(ms)));
    }
    Ok(setup)
}

/// Faults that lead from a healthy cluster to one like this.
///
/// The part that holds the vote gets it first, while the others can't reach the arbiter, so that it
/// holds it here too, whatever the tie-breaker says.
fn history(cluster: &ClusterStatus, setup: &Setup) -> Vec<Fault> {
    let of = |ids: &[u32]| -> BTreeSet<NodeId> { ids.iter().copied().map(NodeId).collect() };
    let connected: BTreeSet<NodeId> = cluster.nodes.iter().map(|node| NodeId(node.node)).collect();
    let seen: BTreeSet<NodeId> = cluster
        .nodes
        .iter()
        .flat_map(|n| of(&n.membership))
        .collect();
    let mut parts: Vec<BTreeSet<NodeId>> = Vec::new();
    for node in cluster
        .nodes
        .iter()
        .filter(|node| !node.membership.is_empty())
    {
        let part = of(&node.membership);
        if !parts.iter().any(|known| !known.is_disjoint(&part)) {
            parts.push(part);
        }
    }
    let holders = of(&cluster.vote_held_by);
    let mut faults = Vec::new();
    // Nodes that nobody sees may be dead; if they only lost their links, nothing else follows.
    for node in setup.nodes() {
        if !connected.contains(node) && !seen.contains(node) {
            faults.push(Fault::Kill(*node));
        }
    }
    if parts.len() > 1 {
        let others: Vec<NodeId> = parts
            .iter()
            .filter(|part| part.is_disjoint(&holders))
            .flatten()
            .copied()
            .collect();
        let is_held = !holders.is_empty() && !others.is_empty();
        if is_held {
            faults.push(Fault::LoseArbiter(others));
        }
        let cut: Vec<Vec<NodeId>> = parts
            .iter()
            .map(|part| part.iter().copied().collect())
            .collect();
        faults.push(Fault::Cut(cut));
        if is_held {
            faults.push(Fault::FindArbiter);
        }
    }
    let unreachable: Vec<NodeId> = seen.difference(&connected).copied().collect();
    if !unreachable.is_empty() {
        faults.push(Fault::LoseArbiter(unreachable));
    }
    faults
}

/// What could fail now.
fn questions(now: &State) -> Vec<(String, Fault)> {
    let up: Vec<NodeId> = now
        .nodes
        .iter()
        .filter(|n| n.is_up)
        .map(|n| n.node)
        .collect();
    let mut questions: Vec<(String, Fault)> = up
        .iter()
        .map(|node| (format!("node {node} dies"), Fault::Kill(*node)))
        .collect();
    questions.push((
        "the arbiter dies".to_owned(),
        Fault::LoseArbiter(Vec::new()),
    ));
    for node in &up {
        questions.push((
            format!("node {node} loses its link to the arbiter"),
            Fault::LoseArbiter(vec![*node]),
        ));
    }
    let parts = now.parts();
    let [whole] = parts.as_slice() else {
        return questions;
    };
    match whole.nodes.as_slice() {
        [a, b] => questions.push((
            "the link between the nodes breaks".to_owned(),
            Fault::Cut(vec![vec![*a], vec![*b]]),
        )),
        nodes if nodes.len() > 2 => {
            for node in nodes {
                questions.push((
                    format!("node {node} loses its links to the other nodes"),
                    Fault::Cut(vec![vec![*node]]),
                ));
            }
            let (one, other) = nodes.split_at(nodes.len() / 2);
            if one.len() == other.len() {
                questions.push((
                    "the nodes fall into two halves".to_owned(),
                    Fault::Cut(vec![one.to_vec(), other.to_vec()]),
                ));
            }
        }
        _ => {}
    }
    questions
}

/// Whether the same nodes hold the vote.
fn is_exact(cluster: &ClusterStatus, now: &State) -> bool {
    let told = |node: &NodeStatus| node.verdict.as_deref() == Some("ACK");
    let theirs: BTreeSet<u32> = cluster
        .nodes
        .iter()
        .filter(|node| told(node))
        .map(|node| node.node)
        .collect();
    let ours: BTreeSet<u32> = now
        .nodes
        .iter()
        .filter(|node| node.has_vote)
        .map(|node| node.node.0)
        .collect();
    theirs == ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{FF, LMS, whole};
    use crate::wire::Algorithm;

    /// What is quorate after a failure of a whole cluster in which some heuristics fail.
    fn quorate(algorithm: Algorithm, failing: &[u32], failure: &str) -> Vec<NodeId> {
        let mut cluster = whole(4, algorithm);
        for client in &mut cluster.clients {
            client.heuristics = Some(if failing.contains(&client.node.0) {
                Heuristics::Fail
            } else {
                Heuristics::Pass
            });
        }
        let found = what_if(&ClusterStatus::from(&cluster)).unwrap();
        assert!(found.is_exact, "{algorithm}");
        let failing: Vec<NodeId> = failing.iter().copied().map(NodeId).collect();
        let fails = found
            .heuristics
            .iter()
            .filter(|(_, one)| **one == Heuristics::Fail);
        assert!(fails.map(|(node, _)| node).eq(&failing), "{algorithm}");
        let mut answers = found.answers.iter();
        let answer = answers.find(|answer| answer.failure == failure).unwrap();
        answer.step.state.quorate()
    }

    #[test]
    fn heuristics_count_as_they_do_in_the_arbiter() {
        let halves = "the nodes fall into two halves";
        for algorithm in [FF, LMS] {
            assert_eq!(quorate(algorithm, &[], halves), [NodeId(1), NodeId(2)]);
            assert_eq!(
                quorate(algorithm, &[1, 2], halves),
                [NodeId(3), NodeId(4)],
                "{algorithm}"
            );
        }
    }

    #[test]
    fn unknown_heuristics_are_an_error() {
        let mut status = ClusterStatus::from(&whole(2, FF));
        status.nodes[0].heuristics = Some("Maybe".to_owned());
        let error = what_if(&status).unwrap_err().to_string();
        assert!(error.contains("the heuristics \"Maybe\""), "{error}");
    }

    #[test]
    fn impossible_times_end_with_an_error() {
        let mut setup = Setup::new(&[NodeId(1), NodeId(2)], FF).unwrap();
        setup.timing.device_timeout = Duration::from_secs(1);
        setup.timing.sync_timeout = Duration::from_millis(u64::from(u32::MAX));
        assert_eq!(run(&setup, &[Fault::Kill(NodeId(1))]).err(), Some(TooLong));
    }
}
