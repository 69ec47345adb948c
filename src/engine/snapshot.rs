//! What the outside may see of a cluster at one moment: for the status, the tools and the API.
//!
//! Taking it copies numbers and shares lists, and formats nothing: it happens under the cluster's
//! lock, and votes wait for that.

use super::client::{Client, ConfiguredNode, Peer, Verdict};
use super::cluster::{Cluster, Misfit};
use super::explain::{Decision, Rule, Waiting};
use super::policy::ClusterPolicy;
use super::quorum::{self, Arithmetic};
use super::time::Time;
use crate::wire::{Algorithm, ClusterName, Heuristics, NodeId, RingId, TieBreaker, Vote};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct ClientSnapshot {
    /// Node id.
    pub node: NodeId,
    /// Its connection.
    pub peer: Peer,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// How long ago its last heartbeat was answered.
    pub heartbeat_age: Duration,
    /// Keep-active-partition flag.
    pub keep_active: bool,
    /// Last ring id.
    pub ring: RingId,
    /// Configured nodes, empty if not reported.
    pub configured: Arc<[ConfiguredNode]>,
    /// Version of the configuration.
    pub config_version: Option<u64>,
    /// Membership, empty if not reported.
    pub membership: Arc<[NodeId]>,
    /// Heuristics of the last membership message.
    pub membership_heuristics: Option<Heuristics>,
    /// Heuristics of the last change.
    pub regular_heuristics: Option<Heuristics>,
    /// The later of the two.
    pub heuristics: Option<Heuristics>,
    /// Last vote, as sent.
    pub last_vote: Option<Vote>,
    /// Last ACK or NACK.
    pub verdict: Option<Verdict>,
    /// The verdict for its present membership, if it was given one.
    pub standing: Option<Verdict>,
    /// Why.
    pub why: Option<Arc<Rule>>,
    /// Whether it last reported to have quorum in its present membership, if it reported that.
    pub quorate: Option<bool>,
    /// For how long it has both reported this and had the verdict that stands.
    pub quorate_for: Duration,
}

impl ClientSnapshot {
    /// Whether it was told that it has the vote in its present membership.
    pub fn has_vote(&self) -> bool {
        self.standing == Some(Verdict::Ack)
    }
}

/// Nodes that see each other.
#[derive(Debug, Clone)]
pub struct PartitionSnapshot<'a> {
    /// Ring id.
    pub ring: RingId,
    /// Its nodes, connected or not.
    pub nodes: &'a [NodeId],
    /// Those that are connected.
    pub clients: Vec<&'a ClientSnapshot>,
}

impl PartitionSnapshot<'_> {
    /// Connected members that have the vote.
    pub fn holders(&self) -> Vec<NodeId> {
        holders(self.clients.iter().copied()).collect()
    }
}

/// A node that may still cast the vote although it can't be reached.
#[derive(Debug, Clone)]
pub struct LeaseSnapshot {
    /// The node; 0 stands for one, or several, of which nothing else is known.
    pub node: NodeId,
    /// The membership it was given for, if known.
    pub ring: RingId,
    /// How long still; `None` until its return or an operator's word.
    pub remaining: Option<Duration>,
}

/// A configured node that is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsentNode {
    /// The node.
    pub node: NodeId,
    /// How long ago its last connection ended; `None` if it has had none since the arbiter has
    /// known of the cluster.
    pub gone_for: Option<Duration>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct ClusterSnapshot {
    /// Name.
    pub name: ClusterName,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Tie-breaker.
    pub tie_breaker: TieBreaker,
    /// The settings that decide in it.
    pub policy: ClusterPolicy,
    /// Clients in ascending node id order.
    pub clients: Vec<ClientSnapshot>,
    /// Configured nodes that are not connected, in ascending order.
    pub absent: Vec<AbsentNode>,
    /// Nodes that were refused because they don't fit to the connected ones, in ascending order.
    pub misfits: Vec<Misfit>,
    /// The last decision for the cluster; `None` if every node is decided on by itself.
    pub outcome: Option<Decision>,
    /// How long the decision has stood.
    pub decided_ago: Duration,
    /// Unreachable nodes that may still cast the vote.
    pub leases: Vec<LeaseSnapshot>,
    /// Arithmetic of the largest configured node list.
    pub arithmetic: Option<Arithmetic>,
    /// Decisions can't be written down, so nobody gets a vote that he does not have already. The
    /// engine knows nothing of it; whoever carries out what it decides says so.
    pub votes_stay: bool,
}

/// What a decision saw of one connected node.
#[derive(Debug, Clone)]
pub struct Input {
    /// Node id.
    pub node: NodeId,
    /// Ring id.
    pub ring: RingId,
    /// The nodes that it saw, if reported.
    pub membership: Option<Arc<[NodeId]>>,
    /// How many nodes it has configured.
    pub configured: usize,
    /// Heuristics.
    pub heuristics: Option<Heuristics>,
}

impl Cluster {
    /// What a decision at this moment sees.
    pub fn inputs(&self) -> Vec<Input> {
        let input = |client: &Client| Input {
            node: client.node,
            ring: client.ring,
            membership: client.membership.clone(),
            configured: client.configured().len(),
            heuristics: client.heuristics,
        };
        self.clients.iter().map(input).collect()
    }

    /// What can be seen of the cluster at `now`.
    pub fn snapshot(&self, now: Time) -> ClusterSnapshot {
        let lists = self.clients.iter().map(|client| client.configured().len());
        let configured = u32::try_from(lists.max().unwrap_or(0)).unwrap_or(u32::MAX);
        ClusterSnapshot {
            name: self.name.clone(),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            policy: self.policy,
            clients: self
                .clients
                .iter()
                .map(|client| client_snapshot(client, now))
                .collect(),
            absent: self.absent(now),
            misfits: self.misfits.values().copied().collect(),
            outcome: self.has_one_decision().then(|| self.decision.clone()),
            decided_ago: now.since(self.decision.at),
            leases: self.lost_leases(now),
            arithmetic: quorum::arithmetic(configured, self.algorithm),
            votes_stay: false,
        }
    }

    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The algorithm of its clients.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether there is one decision for the whole cluster, and not one for each node.
    pub fn has_one_decision(&self) -> bool {
        self.algorithm == Algorithm::FfSplit || self.decides_as_a_whole()
    }

    /// When a node last reported another membership, or joined.
    pub fn last_report(&self) -> Option<Time> {
        self.clients.iter().map(|client| client.reported_at).max()
    }

    fn lost_leases(&self, now: Time) -> Vec<LeaseSnapshot> {
        let left = |until: Option<Time>| until.map(|until| until.since(now));
        let lost = self.leases.iter().filter(|lease| !lease.is_connected());
        let known = lost.map(|lease| LeaseSnapshot {
            node: lease.node,
            ring: lease.ring,
            remaining: left(lease.deadline()),
        });
        let unknown = self.leases.unknown().map(|until| LeaseSnapshot {
            node: NodeId(0),
            ring: RingId::NONE,
            remaining: left(until),
        });
        known.chain(unknown).collect()
    }

    fn absent(&self, now: Time) -> Vec<AbsentNode> {
        let lists = self.clients.iter().flat_map(|client| client.configured());
        let mut absent: Vec<NodeId> = lists.map(|node| node.id).collect();
        absent.sort_unstable();
        absent.dedup();
        absent.retain(|node| self.client(*node).is_none());
        absent
            .into_iter()
            .map(|node| AbsentNode {
                node,
                gone_for: self.departed.get(&node).map(|at| now.since(*at)),
            })
            .collect()
    }
}

impl ClusterSnapshot {
    /// The nodes that have the vote in their present membership.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> {
        holders(&self.clients)
    }

    /// The sets of nodes that see each other, in the order of their first connected nodes.
    ///
    /// No node is in two of them: while a membership changes, or if a node died silently, nodes
    /// report memberships that have nodes in common, and only the newest of these counts. A ring
    /// that a node is in has a higher sequence number than all that it was in before.
    pub fn partitions(&self) -> Vec<PartitionSnapshot<'_>> {
        let views = self.views();
        if views.len() < 2 {
            return views;
        }
        let mut newest_first: Vec<(usize, PartitionSnapshot<'_>)> =
            views.into_iter().enumerate().collect();
        newest_first.sort_by_key(|(index, view)| {
            let seq = Reverse(view.ring.seq);
            (seq, self.has_been_left(view), view.nodes.len(), *index)
        });
        let mut taken: HashSet<&NodeId> = HashSet::new();
        newest_first.retain(|(_, view)| {
            let is_current = !view.nodes.iter().any(|node| taken.contains(node));
            if is_current {
                taken.extend(view.nodes);
            }
            is_current
        });
        newest_first.sort_by_key(|(index, _)| *index);
        newest_first.into_iter().map(|(_, view)| view).collect()
    }

    /// The connected nodes whose last report is older than one of the `partitions`: they have yet
    /// to report the change, or died silently.
    pub fn behind(&self, partitions: &[PartitionSnapshot<'_>]) -> Vec<NodeId> {
        let reported = self.clients.iter().filter(|c| !c.membership.is_empty());
        reported
            .filter(|client| !partitions.iter().any(|part| part.ring == client.ring))
            .map(|client| client.node)
            .collect()
    }

    /// Every membership that is reported, in the order of the first nodes that report it.
    fn views(&self) -> Vec<PartitionSnapshot<'_>> {
        let mut views: Vec<PartitionSnapshot<'_>> = Vec::new();
        for client in self.clients.iter().filter(|c| !c.membership.is_empty()) {
            match views.iter_mut().find(|view| view.ring == client.ring) {
                Some(view) => view.clients.push(client),
                None => views.push(PartitionSnapshot {
                    ring: client.ring,
                    nodes: &client.membership,
                    clients: vec![client],
                }),
            }
        }
        views
    }

    /// Whether a node of it reports another membership itself.
    fn has_been_left(&self, view: &PartitionSnapshot<'_>) -> bool {
        let reports = |node: &NodeId| {
            let at = self
                .clients
                .binary_search_by_key(node, |client| client.node);
            at.ok().and_then(|at| self.clients.get(at))
        };
        let mut reported = view.nodes.iter().filter_map(reports);
        reported.any(|client| !client.membership.is_empty() && client.ring != view.ring)
    }

    /// Nodes in the longest configured list.
    pub fn configured(&self) -> u32 {
        let lists = self.clients.iter().map(|client| client.configured.len());
        u32::try_from(lists.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// What a winner waits for, if it can't have the vote yet.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.outcome.as_ref()?.waiting.as_ref()
    }
}

fn holders<'a>(
    clients: impl IntoIterator<Item = &'a ClientSnapshot>,
) -> impl Iterator<Item = NodeId> {
    let have = clients.into_iter().filter(|client| client.has_vote());
    have.map(|client| client.node)
}

fn client_snapshot(client: &Client, now: Time) -> ClientSnapshot {
    ClientSnapshot {
        node: client.node,
        peer: client.peer.clone(),
        heartbeat_ms: client.heartbeat_ms,
        heartbeat_age: now.since(client.check.answered_at()),
        keep_active: client.keep_active,
        ring: client.ring,
        configured: client.config.clone().unwrap_or_default(),
        config_version: client.config_version,
        membership: client.membership.clone().unwrap_or_default(),
        membership_heuristics: client.membership_heuristics,
        regular_heuristics: client.regular_heuristics,
        heuristics: client.heuristics,
        last_vote: client.last_vote,
        verdict: client.last_verdict,
        standing: client.standing_verdict(),
        why: client.why.clone(),
        quorate: client.quorate.map(|(quorate, _)| quorate),
        quorate_for: client
            .quorate
            .map(|(_, since)| now.since(since).min(now.since(client.told_at)))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{ACK, LMS, cluster, earlier, with};

    /// Which partitions there are, and who is behind, if these nodes report these memberships; the
    /// second number is the ring's sequence number.
    fn seen(reports: &[(u32, u64, &[u32])]) -> (Vec<Vec<u32>>, Vec<u32>) {
        let mut all = cluster(5, LMS);
        for (node, seq, members) in reports {
            all = with(all, members, &[(*node, ACK)]);
            let client = all.clients.iter_mut().find(|c| c.node.0 == *node).unwrap();
            client.ring.seq = *seq;
        }
        let parts = all.partitions();
        let behind = all.behind(&parts).iter().map(|node| node.0).collect();
        let numbers = |part: &PartitionSnapshot<'_>| part.nodes.iter().map(|n| n.0).collect();
        (parts.iter().map(numbers).collect(), behind)
    }

    #[test]
    fn no_node_is_in_two_partitions() {
        // Node 2 died silently.
        let dead = seen(&[(1, 8, &[1]), (2, 4, &[1, 2])]);
        assert_eq!(dead, (vec![vec![1]], vec![2]));
        let dead = seen(&[(1, 8, &[1, 3]), (2, 4, &[1, 2, 3]), (3, 8, &[1, 3])]);
        assert_eq!(dead, (vec![vec![1, 3]], vec![2]));
        // A split that node 4 has not reported yet.
        let split = seen(&[(1, 8, &[1, 2]), (3, 8, &[3, 4]), (4, 4, &[1, 2, 3, 4])]);
        assert_eq!(split, (vec![vec![1, 2], vec![3, 4]], vec![4]));
        // Node 3 joined, which it has not reported yet.
        let joined = seen(&[(1, 12, &[1, 3]), (3, 8, &[3])]);
        assert_eq!(joined, (vec![vec![1, 3]], vec![3]));
        // Rings of the same age: what a node says of itself counts.
        let odd = seen(&[(1, 8, &[1, 2]), (2, 8, &[2])]);
        assert_eq!(odd, (vec![vec![2]], vec![1]));
        let odd = seen(&[(1, 8, &[1]), (2, 8, &[2, 1])]);
        assert_eq!(odd, (vec![vec![1]], vec![2]));
    }

    #[test]
    fn a_split_stays_a_split() {
        let halves = seen(&[(1, 8, &[1, 2]), (3, 8, &[3, 4])]);
        assert_eq!(halves, (vec![vec![1, 2], vec![3, 4]], vec![]));
        let ages = earlier(
            with(with(cluster(2, LMS), &[1], &[(1, ACK)]), &[2], &[(2, ACK)]),
            &[2],
        );
        assert_eq!(ages.partitions().len(), 2);
    }
}
