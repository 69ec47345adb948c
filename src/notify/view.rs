//! What alerts look at of one cluster.

use super::alert::Severity;
use crate::advice::health::{Level, health};
use crate::advice::warning::{self, Warning};
use crate::engine::snapshot::ClusterSnapshot;
use crate::engine::{Decision, Rule, Verdict};
use crate::wire::NodeId;

/// One cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name, printable.
    pub cluster: String,
    /// Whether the connected nodes said which nodes there are.
    pub is_listed: bool,
    /// The connected nodes.
    pub connected: Vec<u32>,
    /// The configured nodes that are not connected.
    pub absent: Vec<u32>,
    /// How grave its state is.
    pub severity: Severity,
    /// Its state in a sentence, without its name.
    pub sentence: String,
    /// Whether nodes see each other in separate groups.
    pub is_split: bool,
    /// The nodes that have the vote, connected or not: the part of the cluster that it was given
    /// to. A node that lost its connection to the arbiter alone keeps it with the others.
    pub holders: Vec<u32>,
    /// The nodes that connected ones see.
    pub seen: Vec<u32>,
    /// The reason of the decision.
    pub reason: Option<String>,
    /// Why the vote is nowhere, or not yet where it should be.
    pub withheld: Option<String>,
    /// What is said about an odd number of nodes.
    pub odd: Option<String>,
}

impl View {
    /// A cluster of which nobody is connected.
    pub fn empty(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            is_listed: false,
            connected: Vec::new(),
            absent: Vec::new(),
            severity: Severity::Critical,
            sentence: "no node is connected".to_owned(),
            is_split: false,
            holders: Vec::new(),
            seen: Vec::new(),
            reason: None,
            withheld: None,
            odd: None,
        }
    }

    /// Whether nobody who is connected knows about this node, which still belongs to it.
    pub fn misses(&self, node: u32) -> bool {
        let is_known = self.connected.contains(&node) || self.seen.contains(&node);
        !is_known && (!self.is_listed || self.absent.contains(&node))
    }

    /// What matters of a cluster.
    pub fn of(cluster: &ClusterSnapshot) -> Self {
        let health = health(cluster);
        let numbers = |nodes: &mut dyn Iterator<Item = NodeId>| nodes.map(|node| node.0).collect();
        let odd = warning::of_size(cluster.configured(), cluster.algorithm);
        let odd = odd.filter(|warning| {
            matches!(
                warning,
                Warning::OddWithLms { .. } | Warning::OddWithFfsplit { .. }
            )
        });
        Self {
            cluster: cluster.name.to_string(),
            is_listed: cluster.configured() > 0,
            connected: numbers(&mut cluster.clients.iter().map(|client| client.node)),
            absent: numbers(&mut cluster.absent.iter().map(|absent| absent.node)),
            severity: match health.level {
                Level::Ok => Severity::Info,
                Level::Degraded => Severity::Warning,
                Level::Critical => Severity::Critical,
            },
            sentence: health.sentence,
            is_split: cluster.partitions().len() > 1,
            holders: holders(cluster),
            seen: seen(cluster),
            reason: reason(cluster),
            withheld: withheld(cluster),
            odd: odd.map(|warning| warning.to_string()),
        }
    }
}

/// The part that the decision gave the vote to, as in the API and the events, if one of its nodes
/// was told so. Where every node is decided on by itself, the parts of all that have it.
fn holders(cluster: &ClusterSnapshot) -> Vec<u32> {
    let winner = match &cluster.outcome {
        Some(Decision {
            winner: Some(winner),
            waiting: None,
            ..
        }) => Some(&winner.nodes),
        Some(_) => return Vec::new(),
        None => None,
    };
    let is_in = |node| winner.is_none_or(|nodes| nodes.contains(&node));
    let told = cluster
        .clients
        .iter()
        .filter(|client| client.has_vote() && is_in(client.node));
    let parts = told.flat_map(|client| {
        let part = winner.map_or(&*client.membership, |nodes| nodes.as_slice());
        part.iter().chain([&client.node])
    });
    sorted(parts.map(|node| node.0).collect())
}

fn seen(cluster: &ClusterSnapshot) -> Vec<u32> {
    let memberships = cluster.clients.iter();
    let memberships = memberships.flat_map(|client| client.membership.iter());
    sorted(memberships.map(|node| node.0).collect())
}

fn sorted(mut nodes: Vec<u32>) -> Vec<u32> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The same text as the decision has in the API.
fn reason(cluster: &ClusterSnapshot) -> Option<String> {
    match &cluster.outcome {
        Some(Decision {
            rule: Rule::Undecided,
            ..
        }) => None,
        Some(decision) => Some(decision.rule.to_string()),
        None => {
            let holder = cluster.clients.iter().find(|client| client.has_vote());
            holder?.why.as_ref().map(ToString::to_string)
        }
    }
}

fn withheld(cluster: &ClusterSnapshot) -> Option<String> {
    if cluster.clients.is_empty() {
        return None;
    }
    match &cluster.outcome {
        Some(decision) => match (&decision.waiting, &decision.winner) {
            (Some(waiting), _) => Some(waiting.to_string()),
            (None, None) if decision.rule != Rule::Undecided => Some(decision.rule.to_string()),
            (None, _) => None,
        },
        None => {
            let refused = |verdict: Option<Verdict>| verdict == Some(Verdict::Nack);
            let all = cluster
                .clients
                .iter()
                .all(|client| refused(client.standing));
            let first = cluster.clients.first().filter(|_| all)?;
            let why = first.why.as_ref().map(ToString::to_string);
            Some(why.unwrap_or_else(|| "no node has been given it".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{ACK, FF, LMS, NACK, cluster, decided, earlier, with};
    use crate::wire::TieBreaker;

    fn halves() -> ClusterSnapshot {
        let one = with(cluster(2, FF), &[1], &[(1, ACK)]);
        let rule = Rule::TieBreaker {
            rule: TieBreaker::Lowest,
            node: Some(NodeId(1)),
        };
        decided(with(one, &[2], &[(2, NACK)]), &[1], rule)
    }

    #[test]
    fn a_split_has_the_reason_of_the_decision() {
        let view = View::of(&halves());
        assert!(view.is_split && view.withheld.is_none());
        assert_eq!((view.holders, view.severity), (vec![1], Severity::Warning));
        let reason = "an exact tie goes to the lowest node id, which is 1";
        assert_eq!(view.reason.as_deref(), Some(reason));
    }

    #[test]
    fn the_vote_stays_with_a_node_that_lost_only_its_connection() {
        let rule = Rule::Majority {
            members: 2,
            configured: 2,
        };
        let both = with(cluster(2, FF), &[1, 2], &[(2, ACK)]);
        let view = View::of(&decided(both, &[1, 2], rule.clone()));
        assert_eq!((view.holders, view.connected), (vec![1, 2], vec![2]));
        assert_eq!(view.seen, [1, 2]);
        // Nobody was told yet.
        let untold = with(cluster(2, FF), &[1, 2], &[(2, None)]);
        let view = View::of(&decided(untold, &[1, 2], rule));
        assert_eq!(view.holders, Vec::<u32>::new());
        // Each is decided on by itself.
        let mut alone = with(cluster(3, LMS), &[1, 2], &[(2, ACK)]);
        alone.outcome = None;
        assert_eq!(View::of(&alone).holders, [1, 2]);
    }

    #[test]
    fn overlapping_memberships_are_no_split() {
        let one = earlier(with(cluster(2, FF), &[1, 2], &[(1, ACK)]), &[1]);
        assert!(!View::of(&with(one, &[2], &[(2, None)])).is_split);
    }

    #[test]
    fn nobody_and_odd() {
        let rule = Rule::NoHalf { configured: 3 };
        let alone = decided(with(cluster(3, FF), &[1], &[(1, NACK)]), &[], rule);
        let view = View::of(&alone);
        let why = "no connected partition has half of the 3 configured nodes";
        assert_eq!(view.withheld.as_deref(), Some(why));
        assert_eq!((view.connected, view.absent), (vec![1], vec![2, 3]));
        assert!(view.odd.unwrap().starts_with("3 nodes is an odd number"));
        let nobody = View::of(&cluster(4, LMS));
        assert_eq!(
            (nobody.odd, nobody.withheld, nobody.is_listed),
            (None, None, false)
        );
        assert_eq!(nobody.severity, Severity::Critical);
    }
}
