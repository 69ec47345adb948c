//! A cluster's state as one colour and one sentence, for an operator who is tired.
//!
//! It is what the arbiter can know: what the connected nodes report, and the arithmetic of the
//! votes. A node that has lost the arbiter and the other nodes may be dead or alive.

use super::warning::{TO_REPORT_QUORUM, no_quorum_although, without_quorum};
use super::words::{because, list, nobody, nodes, number, release, seconds, verb};
use crate::engine::explain::{Decision, Lost, Rule, Waiting};
use crate::engine::policy::LostHolder;
use crate::engine::quorum::Arithmetic;
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot, PartitionSnapshot};
use crate::wire::{Algorithm, NodeId};
use std::collections::BTreeSet;
use std::fmt;

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All configured nodes are connected, in one partition, and have the vote.
    Ok,
    /// A part of the cluster runs, as far as the arbiter sees; the next failure may stop it.
    Degraded,
    /// No part of the cluster has quorum as far as the arbiter sees, or more than one.
    Critical,
}

impl Level {
    /// Its word: `OK`, `DEGRADED` or `CRITICAL`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How urgent it is.
    pub level: Level,
    /// What is so, and what the next failure would do. Does not begin with the cluster's name, and
    /// has no full stop at the end.
    pub sentence: String,
}

/// Members that have quorum, by what they see and what they were told.
fn running(part: &PartitionSnapshot<'_>, sums: &Arithmetic) -> Vec<NodeId> {
    let seen = u32::try_from(part.nodes.len()).unwrap_or(u32::MAX);
    let holders = part.holders();
    let mut all = part.nodes.to_vec();
    all.retain(|node| sums.is_quorate(seen, holders.contains(node)));
    all.sort_unstable();
    all
}

/// The state of a cluster.
pub fn health(cluster: &ClusterSnapshot) -> Health {
    let (level, mut sentence) = as_nodes_report(cluster);
    if !cluster.votes_stay || cluster.clients.is_empty() {
        return Health { level, sentence };
    }
    if level == Level::Ok {
        // What it promises needs a vote that moves.
        sentence = "all nodes connected".to_owned();
    }
    sentence += "; the journal can't be written, so nobody gets a vote who has none";
    Health {
        level: level.max(Level::Degraded),
        sentence,
    }
}

/// What follows from the arithmetic, unless nodes that it concerns report otherwise.
fn as_nodes_report(cluster: &ClusterSnapshot) -> (Level, String) {
    let (level, sentence) = judge(cluster);
    let lacking = without_quorum(cluster);
    if lacking.is_empty() || level == Level::Critical {
        return (level, sentence);
    }
    let lack = format!("{} {}", nodes(&lacking), no_quorum_although(lacking.len()));
    let parts = cluster.partitions();
    let others = parts.iter().flat_map(|part| {
        let sums = cluster.arithmetic.as_ref();
        sums.map(|sums| running(part, sums)).unwrap_or_default()
    });
    let runs: Vec<NodeId> = others.filter(|node| !lacking.contains(node)).collect();
    if runs.is_empty() {
        (Level::Critical, lack)
    } else {
        let text = format!("{lack}; as for the others: {sentence}");
        (Level::Degraded, text)
    }
}

fn judge(cluster: &ClusterSnapshot) -> (Level, String) {
    if cluster.clients.is_empty() {
        return (
            Level::Critical,
            format!("no node is connected{}", held(cluster)),
        );
    }
    if cluster.algorithm == Algorithm::Test {
        let text = "every partition gets the vote (test algorithm)";
        return (Level::Degraded, text.to_owned());
    }
    let parts = cluster.partitions();
    let Some(sums) = &cluster.arithmetic else {
        return without_arithmetic(cluster);
    };
    let behind = cluster.behind(&parts);
    if parts.is_empty() {
        let text = "the connected nodes have not reported yet what they see";
        return (Level::Degraded, text.to_owned());
    }
    let running: Vec<(&PartitionSnapshot<'_>, Vec<NodeId>)> = parts
        .iter()
        .map(|part| (part, running(part, sums)))
        .filter(|(_, nodes)| !nodes.is_empty())
        .collect();
    if let Some(answer) = in_between(cluster, !running.is_empty()) {
        return answer;
    }
    match (parts.as_slice(), running.as_slice()) {
        ([only], [(_, running)]) if !behind.is_empty() => (
            Level::Degraded,
            format!("{}; {}", unaware(&behind), holds(cluster, only, running)),
        ),
        ([only], []) if !behind.is_empty() => (
            Level::Critical,
            format!("{}; {}", unaware(&behind), no_quorum(cluster, only)),
        ),
        ([only], [(_, running)]) => together(cluster, sums, only, running),
        ([only], _) => (Level::Critical, no_quorum(cluster, only)),
        (_, []) => {
            let why = cluster
                .outcome
                .as_ref()
                .map(|outcome| nobody(&outcome.rule));
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            (
                Level::Critical,
                format!("{}; no side has quorum{why}", split(&parts, cluster)),
            )
        }
        (_, [(part, running)]) => (
            Level::Degraded,
            format!(
                "{}; {}",
                split(&parts, cluster),
                holds(cluster, part, running)
            ),
        ),
        (_, several) => {
            let sides = several.iter().map(|(_, nodes)| list(nodes));
            let sides = sides.collect::<Vec<_>>().join(" and ");
            let text = format!(
                "{}; more than one side has quorum ({sides}): switch all but one off",
                split(&parts, cluster)
            );
            (Level::Critical, text)
        }
    }
}

/// One node, none reported yet, or a number of nodes that the algorithm is not made for.
fn without_arithmetic(cluster: &ClusterSnapshot) -> (Level, String) {
    match cluster.configured() {
        0 => (
            Level::Degraded,
            "the connected nodes have not reported yet which nodes are configured".to_owned(),
        ),
        1 => (
            Level::Ok,
            "one node is configured, which needs no arbiter".to_owned(),
        ),
        count => (
            Level::Degraded,
            format!(
                "{count} nodes are configured, which {} is not made for",
                cluster.algorithm.config_name()
            ),
        ),
    }
}

/// Whether a side may have quorum though no arithmetic says so: a node keeps its quorum while it forms a membership and
/// asks for the vote, and says whether it still has it when that has come to an end.
fn nodes_may_run(cluster: &ClusterSnapshot) -> bool {
    let silent = |client: &ClientSnapshot| client.quorate != Some(false);
    cluster.decided_ago < TO_REPORT_QUORUM && cluster.clients.iter().any(silent)
}

/// A decision that can't be taken or carried out yet.
fn in_between(cluster: &ClusterSnapshot, runs: bool) -> Option<(Level, String)> {
    let level = if runs {
        Level::Degraded
    } else {
        Level::Critical
    };
    let Decision {
        at,
        winner,
        waiting,
        ..
    } = cluster.outcome.as_ref()?;
    let nobody_runs = if runs {
        ""
    } else {
        ", and no side has quorum meanwhile"
    };
    let unknown = !runs && nodes_may_run(cluster);
    let (before_all_said, nobody_runs) = if unknown {
        (Level::Degraded, "")
    } else {
        (level, nobody_runs)
    };
    let winner = winner
        .as_ref()
        .map_or(&[][..], |partition| &partition.nodes);
    Some(match waiting.as_ref()? {
        Waiting::ConfigDiffers { a, b } => (
            before_all_said,
            format!(
                "nodes {a} and {b} do not report the same node list; nothing is decided until they \
                 do{nobody_runs}"
            ),
        ),
        Waiting::MembershipDiffers { a, b } => (
            before_all_said,
            format!(
                "the membership is changing: nodes {a} and {b} do not report the same \
                 yet{nobody_runs}"
            ),
        ),
        Waiting::Confirmation { node } => (
            level,
            format!(
                "the vote is moving to {}: node {node} has to confirm first that it lost it",
                nodes(winner)
            ),
        ),
        Waiting::Journal => (
            level,
            format!(
                "{} {} for the vote: it leaves when the journal is written",
                nodes(winner),
                verb(winner.len(), "waits", "wait"),
            ),
        ),
        Waiting::Lease { node, until } => {
            let now = *at + cluster.decided_ago;
            let until = until.map_or_else(
                || format!("until it returns or is released ({})", release(cluster)),
                |until| format!("for {} s at most", seconds(until.since(now))),
            );
            let lost = Lost(*node);
            (
                level,
                format!(
                    "{} {} for the vote: {lost} can't be reached and may still cast it {until}",
                    nodes(winner),
                    verb(winner.len(), "waits", "wait"),
                ),
            )
        }
    })
}

/// All connected nodes are in one partition that runs.
fn together(
    cluster: &ClusterSnapshot,
    sums: &Arithmetic,
    part: &PartitionSnapshot<'_>,
    running: &[NodeId],
) -> (Level, String) {
    let connected: Vec<NodeId> = cluster.clients.iter().map(|client| client.node).collect();
    let holders = part.holders();
    let without: Vec<NodeId> = connected
        .iter()
        .copied()
        .filter(|node| !holders.contains(node))
        .collect();
    let absent: Vec<NodeId> = cluster.absent.iter().map(|absent| absent.node).collect();
    if !without.is_empty() {
        let is = verb(without.len(), "does not have", "do not have");
        let text = format!(
            "{} {is} the vote yet; {}",
            nodes(&without),
            holds(cluster, part, running)
        );
        return (Level::Degraded, text);
    }
    if absent.is_empty() {
        return (Level::Ok, complete(cluster, sums));
    }
    (Level::Degraded, incomplete(cluster, sums, part, &absent))
}

/// All nodes are there and have the vote.
fn complete(cluster: &ClusterSnapshot, sums: &Arithmetic) -> String {
    let all = match sums.nodes {
        2 => "both nodes connected".to_owned(),
        count => format!("all {count} nodes connected"),
    };
    if keeps_for_operator(cluster) {
        let rest = if sums.nodes == 2 { "other" } else { "rest" };
        let how = release(cluster);
        return format!("{all}; if one dies the {rest} waits until you release it ({how})");
    }
    match (sums.nodes, sums.tolerated_with_arbiter) {
        (2, _) => format!("{all}; if one dies the other keeps running"),
        (_, 1) => format!("{all}; if one dies the rest keeps running"),
        (_, several) => {
            let without = sums.tolerated_without_arbiter;
            let down = if without == 0 {
                ", none while the arbiter is down"
            } else {
                ""
            };
            format!("{all}; any {} may die{down}", number(several))
        }
    }
}

/// Whether nobody gets the vote of a node that died until an operator says so.
fn keeps_for_operator(cluster: &ClusterSnapshot) -> bool {
    let keeps_vote = matches!(cluster.algorithm, Algorithm::Lms | Algorithm::TwoNodeLms);
    let policy = &cluster.policy;
    keeps_vote && policy.keeps_leases() && policy.lost_holder == LostHolder::Manual
}

/// Nodes that have not reported what others have.
fn unaware(behind: &[NodeId]) -> String {
    let have = verb(behind.len(), "has", "have");
    let they = nodes(behind);
    format!("{they} {have} not reported yet that the membership changed")
}

/// Some nodes are not connected, the others run together.
fn incomplete(
    cluster: &ClusterSnapshot,
    sums: &Arithmetic,
    part: &PartitionSnapshot<'_>,
    absent: &[NodeId],
) -> String {
    let members: BTreeSet<NodeId> = part.nodes.iter().copied().collect();
    let (seen, lost): (Vec<NodeId>, Vec<NodeId>) =
        absent.iter().partition(|node| members.contains(node));
    let present = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let mut said = Vec::new();
    let refused: Vec<NodeId> = cluster.misfits.iter().map(|misfit| misfit.node).collect();
    let gone = |list_of: &[NodeId]| -> String {
        let are = verb(list_of.len(), "is", "are");
        if list_of.iter().all(|node| refused.contains(node)) {
            return format!(
                "{} {are} refused (see the warnings), so not connected",
                nodes(list_of)
            );
        }
        format!("{} {are} not connected", nodes(list_of))
    };
    if !lost.is_empty() {
        said.push(gone(&lost));
    }
    if !seen.is_empty() {
        let spare = present.saturating_sub(sums.quorum);
        let it = verb(seen.len(), "it stops", "they stop");
        let then = match spare {
            0 if sums.nodes == 2 => format!("if the other node dies {it}"),
            0 => format!("if another node dies {it}"),
            more if seen.len() == 1 => format!("if {} other nodes die {it}", number(more + 1)),
            more => format!("if any {} nodes die {it}", number(more + 1)),
        };
        let others = match (seen.len(), members.len()) {
            (1, 2) => "the other node",
            (1, _) => "the other nodes",
            _ => "other nodes",
        };
        said.push(format!(
            "{} to the arbiter, only to {others}; {then}",
            gone(&seen)
        ));
    }
    if seen.is_empty() {
        let rest: Vec<NodeId> = members.into_iter().collect();
        let keep = verb(rest.len(), "keeps", "keep");
        let spare = present.saturating_sub(sums.fewest_with_arbiter());
        let more = match spare {
            0 if rest.len() == 1 => String::new(),
            0 => "; no other node may die".to_owned(),
            _ if keeps_for_operator(cluster) => format!(
                "; if another dies {} until you release it ({})",
                match rest.len() {
                    2 => "the other waits",
                    _ => "the rest waits",
                },
                release(cluster)
            ),
            1 => "; one more may die".to_owned(),
            more => format!("; {} more may die", number(more)),
        };
        let alone = if sums.is_quorate(present, false) {
            ""
        } else {
            ", but not without the arbiter"
        };
        said.push(format!("{} {keep} running{alone}{more}", nodes(&rest)));
    }
    said.join("; ")
}

/// One partition without quorum.
fn no_quorum(cluster: &ClusterSnapshot, part: &PartitionSnapshot<'_>) -> String {
    let why = match &cluster.outcome {
        Some(Decision {
            winner: None, rule, ..
        }) => format!(": {}", nobody(rule)),
        _ if part.holders().is_empty() => ": it has not got the vote".to_owned(),
        _ => ": too few nodes are present".to_owned(),
    };
    let absent: Vec<NodeId> = cluster.absent.iter().map(|absent| absent.node).collect();
    let missing = match absent.as_slice() {
        [] => String::new(),
        list_of => format!(
            "{} {} not connected; ",
            nodes(list_of),
            verb(list_of.len(), "is", "are")
        ),
    };
    let members = part.nodes;
    format!(
        "{missing}{} {} no quorum{why}",
        nodes(members),
        verb(members.len(), "has", "have")
    )
}

/// Who holds the vote and why.
fn holds(cluster: &ClusterSnapshot, part: &PartitionSnapshot<'_>, running: &[NodeId]) -> String {
    let holders = part.holders();
    if holders.is_empty() {
        let keep = verb(running.len(), "keeps", "keep");
        return format!("{} {keep} running without the vote", nodes(running));
    }
    let hold = verb(holders.len(), "holds", "hold");
    let rule = cluster.outcome.as_ref().map(|outcome| &outcome.rule);
    match rule {
        Some(rule) if *rule != Rule::Undecided => {
            format!("{} {hold} the vote {}", nodes(&holders), because(rule))
        }
        _ => format!("{} {hold} the vote", nodes(&holders)),
    }
}

/// `split`, and for more than two nodes how.
fn split(parts: &[PartitionSnapshot<'_>], cluster: &ClusterSnapshot) -> String {
    let sides = parts.iter().map(|part| list(part.nodes));
    let sides = sides.collect::<Vec<_>>().join(" | ");
    match cluster.arithmetic {
        Some(Arithmetic { nodes: 2, .. }) => "split".to_owned(),
        _ => format!("split into {sides}"),
    }
}

/// Who may still cast the vote although nobody is connected.
fn held(cluster: &ClusterSnapshot) -> String {
    let lost = cluster.leases.iter().map(|lease| lease.node);
    let (unknown, known): (Vec<NodeId>, Vec<NodeId>) = lost.partition(|node| *node == NodeId(0));
    let mut who: Vec<String> = unknown.iter().map(|node| Lost(*node).to_string()).collect();
    if !known.is_empty() {
        who.insert(0, nodes(&known));
    }
    match who.as_slice() {
        [] => String::new(),
        who => format!("; {} may still cast the vote", who.join(" and ")),
    }
}

#[cfg(test)]
mod tests;
