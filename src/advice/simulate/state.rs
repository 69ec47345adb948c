//! What is so at one moment: who sees whom, who counts what, who holds the vote and why.

use super::member::Member;
use super::setup::Setup;
use crate::advice::words::{because, nobody, nodes, verb};
use crate::engine::snapshot::ClusterSnapshot;
use crate::wire::NodeId;
use std::collections::BTreeMap;

/// One configured node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The node.
    pub node: NodeId,
    /// Whether it runs.
    pub is_up: bool,
    /// Whether its client is connected to the arbiter.
    pub is_connected: bool,
    /// Nodes that it sees, itself included.
    pub members: Vec<NodeId>,
    /// Whether it counts the device's vote.
    pub has_vote: bool,
    /// Votes that it counts.
    pub votes: u32,
    /// Votes that it expects.
    pub expected: u32,
    /// Votes that it needs.
    pub quorum: u32,
    /// Whether it has quorum.
    pub is_quorate: bool,
    /// Whether its corosync still waits for a vote, and nothing of this has reached its services.
    pub is_waiting: bool,
}

/// Nodes that see each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    /// The nodes that run, in ascending order.
    pub nodes: Vec<NodeId>,
    /// Those of them that have quorum.
    pub quorate: Vec<NodeId>,
    /// Those of them that count the device's vote.
    pub with_vote: Vec<NodeId>,
    /// The most votes that one of them counts.
    pub votes: u32,
    /// Votes that they expect.
    pub expected: u32,
    /// Votes that they need.
    pub quorum: u32,
}

/// What is so at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// All configured nodes, in ascending order.
    pub nodes: Vec<NodeState>,
    /// Who holds the vote and why, or why nobody does, as a sentence without a full stop.
    pub vote: String,
}

impl State {
    pub(super) fn of(
        setup: &Setup,
        running: &BTreeMap<NodeId, Member>,
        arbiter: Option<ClusterSnapshot>,
        reachable: bool,
    ) -> Self {
        let nodes = setup.nodes().iter().map(|node| match running.get(node) {
            Some(member) => {
                let corosync = &member.corosync;
                NodeState {
                    node: *node,
                    is_up: true,
                    is_connected: member.is_connected(),
                    members: corosync.members.clone(),
                    has_vote: corosync.device_counted,
                    votes: corosync.votes,
                    expected: corosync.expected,
                    quorum: corosync.quorum,
                    is_quorate: corosync.quorate,
                    is_waiting: corosync.syncing,
                }
            }
            None => NodeState {
                node: *node,
                is_up: false,
                is_connected: false,
                members: Vec::new(),
                has_vote: false,
                votes: 0,
                expected: 0,
                quorum: 0,
                is_quorate: false,
                is_waiting: false,
            },
        });
        Self {
            nodes: nodes.collect(),
            vote: vote(arbiter.as_ref(), reachable),
        }
    }

    /// The parts that running nodes see, the one of the lowest node first.
    pub fn parts(&self) -> Vec<PartState> {
        let mut parts: Vec<PartState> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_up) {
            let known = parts.iter_mut().find(|part| {
                part.nodes.first().is_some_and(|first| {
                    let first = self.node(*first);
                    first.is_some_and(|first| first.members == node.members)
                })
            });
            let part = match known {
                Some(part) => part,
                None => {
                    parts.push(PartState {
                        nodes: Vec::new(),
                        quorate: Vec::new(),
                        with_vote: Vec::new(),
                        votes: 0,
                        expected: node.expected,
                        quorum: node.quorum,
                    });
                    let Some(last) = parts.last_mut() else {
                        continue;
                    };
                    last
                }
            };
            part.nodes.push(node.node);
            part.votes = part.votes.max(node.votes);
            if node.is_quorate {
                part.quorate.push(node.node);
            }
            if node.has_vote {
                part.with_vote.push(node.node);
            }
        }
        parts
    }

    /// A node of the cluster.
    pub fn node(&self, node: NodeId) -> Option<&NodeState> {
        self.nodes.iter().find(|state| state.node == node)
    }

    /// The nodes that have quorum.
    pub fn quorate(&self) -> Vec<NodeId> {
        let quorate = self.nodes.iter().filter(|node| node.is_quorate);
        quorate.map(|node| node.node).collect()
    }

    /// The nodes that run without quorum.
    pub fn without_quorum(&self) -> Vec<NodeId> {
        let stopped = self
            .nodes
            .iter()
            .filter(|node| node.is_up && !node.is_quorate);
        stopped.map(|node| node.node).collect()
    }

    /// Whether two nodes that don't see each other have quorum at the same time.
    pub fn has_conflict(&self) -> bool {
        let settled = || {
            let quorate = self.nodes.iter().filter(|node| node.is_quorate);
            quorate.filter(|node| !node.is_waiting)
        };
        settled().any(|a| settled().any(|b| !a.members.iter().any(|node| b.members.contains(node))))
    }

    /// Whether all nodes see and count the same as in another state.
    pub fn counts_the_same(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|(a, b)| {
                a.is_up == b.is_up
                    && a.members == b.members
                    && a.votes == b.votes
                    && a.is_quorate == b.is_quorate
                    && a.is_waiting == b.is_waiting
            })
    }
}

/// Who was told that it has the vote, and why.
fn vote(arbiter: Option<&ClusterSnapshot>, reachable: bool) -> String {
    let Some(cluster) = arbiter.filter(|_| reachable) else {
        return "the arbiter can't be reached".to_owned();
    };
    let holders: Vec<&crate::engine::snapshot::ClientSnapshot> = cluster
        .clients
        .iter()
        .filter(|client| client.has_vote())
        .collect();
    let names: Vec<NodeId> = holders.iter().map(|client| client.node).collect();
    let holds = || {
        let hold = verb(names.len(), "holds", "hold");
        format!("{} {hold} the vote", nodes(&names))
    };
    let Some(outcome) = &cluster.outcome else {
        let whys = holders.iter().filter_map(|client| client.why.as_ref());
        let mut reasons: Vec<String> = whys.map(ToString::to_string).collect();
        reasons.dedup();
        return match names.is_empty() {
            true => "nobody holds the vote".to_owned(),
            false => format!("{}: {}", holds(), reasons.join("; ")),
        };
    };
    match (&outcome.waiting, names.is_empty()) {
        (Some(waiting), _) => format!("the vote waits: {waiting}"),
        (None, true) => format!("nobody holds the vote: {}", nobody(&outcome.rule)),
        (None, false) => format!("{} {}", holds(), because(&outcome.rule)),
    }
}
