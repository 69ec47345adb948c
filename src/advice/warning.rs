//! What is unwise about a cluster: what it is, why it matters, what to do.

use super::words::{nodes_capital, number, seconds, tie_breaker_setting, verb};
use crate::engine::Misfit;
use crate::engine::cluster::USUAL_SYNC_TIMEOUT;
use crate::engine::lease::lease_time;
use crate::engine::quorum::{Arithmetic, arithmetic};
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot};
use crate::wire::{Algorithm, NodeId, TieBreaker};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How long a node that was given the vote may go on reporting that it has no quorum. A sound one
/// casts the vote at once and reports what comes of it (protocol spec, section 5.7).
pub(super) const TO_REPORT_QUORUM: Duration = Duration::from_secs(10);

/// Something that an operator should know and can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// An odd number of nodes with `lms`: the arbiter is nearly a single point of failure.
    OddWithLms {
        /// What the votes add up to.
        sums: Arithmetic,
    },
    /// An odd number of nodes with `ffsplit`: the arbiter makes it worse.
    OddWithFfsplit {
        /// What the votes add up to.
        sums: Arithmetic,
    },
    /// One node has nothing to decide.
    SingleNode,
    /// `2nodelms` with another number of nodes than two.
    NotTwoNodes {
        /// Configured nodes.
        nodes: u32,
    },
    /// The test algorithm.
    TestAlgorithm,
    /// Nodes are connected without TLS.
    ClearText {
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Two nodes have different node lists in `corosync.conf`.
    NodeListsDiffer {
        /// A node.
        a: NodeId,
        /// A node with another list.
        b: NodeId,
    },
    /// Nodes have loaded different versions of `corosync.conf` (`totem.config_version`).
    ConfigVersionsDiffer {
        /// Nodes with an older version than others.
        behind: Vec<NodeId>,
        /// The newest version.
        newest: u64,
    },
    /// A node was refused because its algorithm is not that of the connected ones.
    AlgorithmDiffers {
        /// The node.
        node: NodeId,
        /// What it wants.
        its: Algorithm,
        /// What the connected nodes have.
        others: Algorithm,
    },
    /// A node was refused because its tie-breaker is not that of the connected ones.
    TieBreakerDiffers {
        /// The node.
        node: NodeId,
        /// What it wants.
        its: TieBreaker,
        /// What the connected nodes have.
        others: TieBreaker,
    },
    /// Nodes have different `quorum.device.timeout`.
    TimeoutsDiffer {
        /// The shortest heartbeat interval.
        shortest: Duration,
        /// The longest.
        longest: Duration,
    },
    /// Configured nodes have not connected since the arbiter has known of the cluster.
    NeverConnected {
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Nodes report no quorum although they should have it with the vote that they were given.
    ReportsNoQuorum {
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// The tie-breaker names a node that is not in the cluster.
    TieBreakerUnknown {
        /// The node.
        node: NodeId,
        /// The cluster's algorithm, which says what is done without it.
        algorithm: Algorithm,
    },
    /// A lost node's vote is withheld for longer than corosync waits for a vote.
    LeaseOutlastsSync {
        /// How long the vote is withheld at most.
        lease: Duration,
        /// `quorum.device.sync_timeout`.
        sync_timeout: Duration,
        /// Whether that is corosync's default, because the nodes do not report theirs.
        assumed: bool,
    },
}

impl Warning {
    /// A short name that does not change, for labels and alerts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OddWithLms { .. } => "odd_with_lms",
            Self::OddWithFfsplit { .. } => "odd_with_ffsplit",
            Self::SingleNode => "single_node",
            Self::NotTwoNodes { .. } => "not_two_nodes",
            Self::TestAlgorithm => "test_algorithm",
            Self::ClearText { .. } => "clear_text",
            Self::NodeListsDiffer { .. } => "node_lists_differ",
            Self::ConfigVersionsDiffer { .. } => "config_versions_differ",
            Self::AlgorithmDiffers { .. } => "algorithm_differs",
            Self::TieBreakerDiffers { .. } => "tie_breaker_differs",
            Self::TimeoutsDiffer { .. } => "timeouts_differ",
            Self::NeverConnected { .. } => "never_connected",
            Self::ReportsNoQuorum { .. } => "reports_no_quorum",
            Self::TieBreakerUnknown { .. } => "tie_breaker_unknown",
            Self::LeaseOutlastsSync { .. } => "lease_outlasts_sync",
        }
    }

    /// The nodes that it is about; empty if it is about the whole cluster.
    pub fn nodes(&self) -> Vec<NodeId> {
        match self {
            Self::ClearText { nodes }
            | Self::NeverConnected { nodes }
            | Self::ReportsNoQuorum { nodes } => nodes.clone(),
            Self::ConfigVersionsDiffer { behind, .. } => behind.clone(),
            Self::NodeListsDiffer { a, b } => vec![*a, *b],
            Self::TieBreakerUnknown { node, .. } => vec![*node],
            Self::AlgorithmDiffers { node, .. } | Self::TieBreakerDiffers { node, .. } => {
                vec![*node]
            }
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OddWithLms { sums } => write!(
                f,
                "{} nodes is an odd number: the arbiter has {} votes and is nearly a single point \
                 of failure; while it is down, no node may fail. Without an arbiter {} may: \
                 remove the device, or add a node and use ffsplit",
                sums.nodes,
                sums.device_votes,
                number(sums.tolerated_with_no_device)
            ),
            Self::OddWithFfsplit { sums } => write!(
                f,
                "{} nodes is an odd number: with ffsplit the arbiter makes it worse (it survives \
                 {} with the arbiter and {} while the arbiter is down; without any arbiter {}). \
                 Remove the device, or add a node",
                sums.nodes,
                failures(sums.tolerated_with_arbiter),
                sums.tolerated_without_arbiter,
                sums.tolerated_with_no_device
            ),
            Self::SingleNode => f.write_str(
                "only one node is configured: an arbiter has nothing to decide. \
                 Remove the device, or add a node",
            ),
            Self::NotTwoNodes { nodes } => write!(
                f,
                "2nodelms is for two nodes, and {nodes} are configured: set the algorithm to \
                 ffsplit (quorum.device.net.algorithm)"
            ),
            Self::TestAlgorithm => f.write_str(
                "the test algorithm gives every partition the vote: after a split all of them \
                 run. Set the algorithm to ffsplit (quorum.device.net.algorithm)",
            ),
            Self::ClearText { nodes } => write!(
                f,
                "{} {} connected in clear text: anybody on the way can read and change votes. \
                 Set quorum.device.net.tls: required on the nodes, then start the arbiter with \
                 -s req",
                nodes_capital(nodes),
                verb(nodes.len(), "is", "are")
            ),
            Self::NodeListsDiffer { a, b } => write!(
                f,
                "Nodes {a} and {b} have different node lists in corosync.conf, so ffsplit decides \
                 nothing until they agree: copy the right file to all nodes, then \
                 corosync-cfgtool -R"
            ),
            Self::ConfigVersionsDiffer { behind, newest } => write!(
                f,
                "{} {} an older corosync.conf than version {newest}: copy the right file there, \
                 then corosync-cfgtool -R",
                nodes_capital(behind),
                verb(behind.len(), "has", "have")
            ),
            Self::AlgorithmDiffers { node, its, others } => write!(
                f,
                "Node {node} is refused because its algorithm is {}, and that of the connected \
                 nodes is {}: make quorum.device.net.algorithm the same on all nodes, then \
                 restart corosync-qdevice",
                its.config_name(),
                others.config_name()
            ),
            Self::TieBreakerDiffers { node, its, others } => write!(
                f,
                "Node {node} is refused because its tie-breaker is {}, and that of the connected \
                 nodes is {}: make quorum.device.net.tie_breaker the same on all nodes, then \
                 restart corosync-qdevice",
                tie_breaker_setting(*its),
                tie_breaker_setting(*others)
            ),
            Self::TimeoutsDiffer { shortest, longest } => write!(
                f,
                "the nodes' heartbeat intervals differ ({} s to {} s), so they notice a failure at \
                 different times: make quorum.device.timeout the same on all nodes",
                shortest.as_secs_f64(),
                longest.as_secs_f64()
            ),
            Self::NeverConnected { nodes } => write!(
                f,
                "{} {} configured and {} never connected here: look at corosync-qdevice there \
                 (is it enabled, has it a certificate, is the arbiter's port reachable?)",
                nodes_capital(nodes),
                verb(nodes.len(), "is", "are"),
                verb(nodes.len(), "has", "have")
            ),
            Self::ReportsNoQuorum { nodes } => {
                f.write_str(&nodes_capital(nodes))?;
                write!(
                    f,
                    " {}: look at corosync-quorumtool -s there, and compare with what the votes \
                     should add up to",
                    no_quorum_although(nodes.len())
                )
            }
            Self::TieBreakerUnknown { node, algorithm } => write!(
                f,
                "The tie-breaker is node {node}, which is not in the cluster: after a split into \
                 sides of the same weight, {}. Set quorum.device.net.tie_breaker to lowest, \
                 highest or a node id of the cluster on all nodes, then restart corosync-qdevice",
                match algorithm {
                    Algorithm::FfSplit => "the one with the lowest connected node id gets the vote",
                    _ => "no one gets the vote",
                }
            ),
            Self::LeaseOutlastsSync {
                lease,
                sync_timeout,
                assumed,
            } => write!(
                f,
                "a silently lost node's vote is withheld for {} s, longer than corosync waits for \
                 a vote ({}sync_timeout {} s), so the others lose their quorum meanwhile: set \
                 quorum.device.sync_timeout above that, or quorum.device.timeout lower",
                seconds(*lease),
                if *assumed { "by default " } else { "" },
                sync_timeout.as_secs_f64()
            ),
        }
    }
}

fn failures(count: u32) -> String {
    format!(
        "{count} node {}",
        if count == 1 { "failure" } else { "failures" }
    )
}

/// What is unwise about so many nodes with this algorithm, whatever their state.
pub fn of_size(nodes: u32, algorithm: Algorithm) -> Option<Warning> {
    match algorithm {
        Algorithm::Test => return Some(Warning::TestAlgorithm),
        Algorithm::TwoNodeLms if nodes > 0 && nodes != 2 => {
            return Some(Warning::NotTwoNodes { nodes });
        }
        _ if nodes == 1 => return Some(Warning::SingleNode),
        _ => {}
    }
    let sums = arithmetic(nodes, algorithm).filter(|_| nodes % 2 == 1)?;
    match algorithm {
        Algorithm::FfSplit => Some(Warning::OddWithFfsplit { sums }),
        _ => Some(Warning::OddWithLms { sums }),
    }
}

/// Whether a vote that is withheld for a lost node fits into what corosync waits for it (safety
/// spec, section 3). `heartbeat` is 0.8 x `quorum.device.timeout`.
pub fn of_timeouts(heartbeat: Duration, sync_timeout: Option<Duration>) -> Option<Warning> {
    let lease = lease_time(heartbeat);
    let limit = sync_timeout.unwrap_or(USUAL_SYNC_TIMEOUT);
    (lease > limit).then_some(Warning::LeaseOutlastsSync {
        lease,
        sync_timeout: limit,
        assumed: sync_timeout.is_none(),
    })
}

/// Whether the node that a tie-breaker names is one of these.
pub fn of_tie_breaker(
    rule: TieBreaker,
    nodes: impl IntoIterator<Item = NodeId>,
    algorithm: Algorithm,
) -> Option<Warning> {
    let TieBreaker::Node(node) = rule else {
        return None;
    };
    let mut nodes = nodes.into_iter();
    let unknown = Warning::TieBreakerUnknown { node, algorithm };
    (algorithm != Algorithm::Test && !nodes.any(|other| other == node)).then_some(unknown)
}

/// The nodes that were told that they have the vote, should have quorum with it by our arithmetic,
/// and have gone on reporting that they have none.
pub(super) fn without_quorum(cluster: &ClusterSnapshot) -> Vec<NodeId> {
    let Some(sums) = &cluster.arithmetic else {
        return Vec::new();
    };
    let lacks = |client: &&ClientSnapshot| {
        let seen = u32::try_from(client.membership.len()).unwrap_or(u32::MAX);
        client.has_vote()
            && client.quorate == Some(false)
            && client.quorate_for >= TO_REPORT_QUORUM
            && sums.is_quorate(seen, true)
    };
    let lacking = cluster.clients.iter().filter(lacks);
    lacking.map(|client| client.node).collect()
}

/// What [`without_quorum`] says of so many nodes, as a clause.
pub(super) fn no_quorum_although(count: usize) -> String {
    format!(
        "{} no quorum although {} should have it (wait_for_all, votes, two_node?)",
        verb(count, "reports", "report"),
        verb(count, "it", "they")
    )
}

/// Everything that is unwise about a cluster, the gravest first.
pub fn warnings(cluster: &ClusterSnapshot) -> Vec<Warning> {
    let mut found = Vec::new();
    let lacking = without_quorum(cluster);
    if !lacking.is_empty() {
        found.push(Warning::ReportsNoQuorum { nodes: lacking });
    }
    differences(cluster, &mut found);
    let lists = cluster.clients.iter().flat_map(|c| c.configured.iter());
    if cluster.configured() > 1 {
        let nodes = lists.map(|node| node.id);
        found.extend(of_tie_breaker(
            cluster.tie_breaker,
            nodes,
            cluster.algorithm,
        ));
    }
    found.extend(of_size(cluster.configured(), cluster.algorithm));
    let clear: Vec<NodeId> = cluster
        .clients
        .iter()
        .filter(|client| !client.peer.tls)
        .map(|client| client.node)
        .collect();
    if !clear.is_empty() {
        found.push(Warning::ClearText { nodes: clear });
    }
    let never: Vec<NodeId> = cluster
        .absent
        .iter()
        .filter(|absent| absent.gone_for.is_none())
        .map(|absent| absent.node)
        .filter(|node| !cluster.misfits.iter().any(|misfit| misfit.node == *node))
        .collect();
    if !never.is_empty() {
        found.push(Warning::NeverConnected { nodes: never });
    }
    timing(cluster, &mut found);
    found
}

/// What the nodes do not agree on.
fn differences(cluster: &ClusterSnapshot, found: &mut Vec<Warning>) {
    let ids = |client: &ClientSnapshot| -> BTreeSet<NodeId> {
        client.configured.iter().map(|node| node.id).collect()
    };
    let mut with_lists = cluster.clients.iter().filter(|c| !c.configured.is_empty());
    if let Some(first) = with_lists.next() {
        // Lists are usually the same to the last entry, so sets are made only when they are not.
        let other = with_lists
            .filter(|client| client.configured != first.configured)
            .find(|client| ids(client) != ids(first));
        if let Some(other) = other {
            found.push(Warning::NodeListsDiffer {
                a: first.node,
                b: other.node,
            });
        }
    }
    let versions = || cluster.clients.iter().filter_map(|c| c.config_version);
    if let Some(newest) = versions().max() {
        let behind: Vec<NodeId> = cluster
            .clients
            .iter()
            .filter(|client| client.config_version.is_some_and(|own| own < newest))
            .map(|client| client.node)
            .collect();
        if !behind.is_empty() {
            found.push(Warning::ConfigVersionsDiffer { behind, newest });
        }
    }
    for misfit in &cluster.misfits {
        found.push(of_misfit(cluster, misfit));
    }
}

fn of_misfit(cluster: &ClusterSnapshot, misfit: &Misfit) -> Warning {
    // In the order in which INIT is refused.
    if misfit.tie_breaker != cluster.tie_breaker {
        Warning::TieBreakerDiffers {
            node: misfit.node,
            its: misfit.tie_breaker,
            others: cluster.tie_breaker,
        }
    } else {
        Warning::AlgorithmDiffers {
            node: misfit.node,
            its: misfit.algorithm,
            others: cluster.algorithm,
        }
    }
}

fn timing(cluster: &ClusterSnapshot, found: &mut Vec<Warning>) {
    let heartbeats = || {
        let ms = cluster.clients.iter().map(|client| client.heartbeat_ms);
        ms.map(|ms| Duration::from_millis(u64::from(ms)))
    };
    let (Some(shortest), Some(longest)) = (heartbeats().min(), heartbeats().max()) else {
        return;
    };
    if shortest != longest {
        found.push(Warning::TimeoutsDiffer { shortest, longest });
    }
    if cluster.policy.keeps_leases() {
        found.extend(of_timeouts(longest, None));
    }
}

#[cfg(test)]
mod tests;
