//! Why a vote went where it went: the rule that fired and the facts it saw.

use super::time::Time;
use crate::wire::{NodeId, RingId, TieBreaker};
use std::fmt;

/// The rule that chose a partition, or that chose none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// ffsplit: more than half of the configured nodes.
    Majority {
        /// Nodes in the partition.
        members: usize,
        /// Configured nodes.
        configured: usize,
    },
    /// ffsplit: exactly half of the configured nodes, and no other half has a connected node.
    OnlyHalf {
        /// Configured nodes.
        configured: usize,
    },
    /// A higher score (connected nodes, plus passed heuristics, minus failed ones).
    Score {
        /// Score of the winner.
        score: i64,
        /// Best score of the others.
        rival: i64,
    },
    /// ffsplit: scores are equal, more nodes are connected to the arbiter.
    Connected {
        /// Connected nodes of the winner.
        connected: usize,
        /// Connected nodes of the best other one.
        rival: usize,
    },
    /// ffsplit: an exact tie goes to the partition that was active before.
    KeepActive,
    /// An exact tie goes to the partition that the tie-breaker names.
    TieBreaker {
        /// The tie-breaker.
        rule: TieBreaker,
        /// The node that it names here.
        node: Option<NodeId>,
    },
    /// ffsplit: an exact tie, and the tie-breaker's node is in none of the partitions: it goes to
    /// the one with the lowest connected node id (algorithms spec, section 5.4).
    FirstOfTie {
        /// The tie-breaker.
        rule: TieBreaker,
    },
    /// ffsplit: no connected partition has half of the configured nodes.
    NoHalf {
        /// Configured nodes.
        configured: usize,
    },
    /// lms, 2nodelms: all connected nodes are in one partition.
    OnlyPartition {
        /// Connected nodes.
        connected: usize,
    },
    /// lms: scores are equal, the partition has more connected nodes.
    Largest {
        /// Connected nodes of the winner.
        size: usize,
        /// Connected nodes of the best other one.
        rival: usize,
    },
    /// lms, 2nodelms: it had the vote, and the others are newcomers that never had a decision.
    Incumbent,
    /// lms, 2nodelms: the node is new, and a node of another partition holds the vote.
    Newcomer {
        /// The node that holds the vote.
        holder: NodeId,
    },
    /// The tie-breaker's node is in none of the partitions.
    TieBreakerAbsent {
        /// The tie-breaker.
        rule: TieBreaker,
    },
    /// 2nodelms: the membership has both nodes.
    BothNodes,
    /// 2nodelms: the heuristics of one node are better.
    BetterHeuristics,
    /// The test algorithm gives everybody the vote.
    Test,
    /// Nothing was decided yet.
    Undecided,
}

impl Rule {
    /// A name for programs. Names stay what they are.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Majority { .. } => "majority",
            Self::OnlyHalf { .. } => "only_half",
            Self::Score { .. } => "score",
            Self::Connected { .. } => "connected",
            Self::KeepActive => "keep_active",
            Self::TieBreaker { .. } => "tie_breaker",
            Self::FirstOfTie { .. } => "first_of_tie",
            Self::NoHalf { .. } => "no_half",
            Self::OnlyPartition { .. } => "only_partition",
            Self::Largest { .. } => "largest",
            Self::Incumbent => "incumbent",
            Self::Newcomer { .. } => "newcomer",
            Self::TieBreakerAbsent { .. } => "tie_breaker_absent",
            Self::BothNodes => "both_nodes",
            Self::BetterHeuristics => "better_heuristics",
            Self::Test => "test",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Majority {
                members,
                configured,
            } => {
                write!(f, "it has {members} of {configured} configured nodes")
            }
            Self::OnlyHalf { configured } => write!(
                f,
                "it has half of the {configured} configured nodes and no other half is connected"
            ),
            Self::Score { score, rival } => {
                write!(
                    f,
                    "its score is {score} against {rival} (connected nodes and heuristics)"
                )
            }
            Self::Connected { connected, rival } => {
                write!(
                    f,
                    "scores are equal and {connected} of its nodes are connected against {rival}"
                )
            }
            Self::KeepActive => {
                f.write_str("an exact tie stays with the partition that was active")
            }
            Self::TieBreaker {
                rule,
                node: Some(node),
            } if !matches!(rule, TieBreaker::Node(_)) => {
                write!(f, "an exact tie goes to the {rule}, which is {node}")
            }
            Self::TieBreaker { rule, .. } => write!(f, "an exact tie goes to {rule}"),
            Self::FirstOfTie { rule } => write!(
                f,
                "an exact tie, and no partition has the tie-breaker ({rule}), so it goes to the \
                 one with the lowest connected node id"
            ),
            Self::NoHalf { configured } => {
                write!(
                    f,
                    "no connected partition has half of the {configured} configured nodes"
                )
            }
            Self::OnlyPartition { connected: 1 } => f.write_str("it is the only node connected"),
            Self::OnlyPartition { connected } => {
                write!(f, "all {connected} connected nodes are in one partition")
            }
            Self::Largest { size, rival } => {
                write!(
                    f,
                    "scores are equal and it has {size} connected nodes against {rival}"
                )
            }
            Self::Incumbent => f.write_str("it had the vote before, and the others are newcomers"),
            Self::Newcomer { holder } => {
                write!(
                    f,
                    "it is new here while node {holder} of another partition holds the vote"
                )
            }
            Self::TieBreakerAbsent { rule } => {
                write!(
                    f,
                    "an exact tie, and no partition has the tie-breaker ({rule})"
                )
            }
            Self::BothNodes => f.write_str("both nodes are in its membership"),
            Self::BetterHeuristics => f.write_str("its heuristics are better"),
            Self::Test => f.write_str("the test algorithm gives everybody the vote"),
            Self::Undecided => f.write_str("nothing was decided yet"),
        }
    }
}

/// Why a decision can't be taken or carried out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// The nodes' configured lists differ.
    ConfigDiffers {
        /// A node.
        a: NodeId,
        /// A node with another list.
        b: NodeId,
    },
    /// Two nodes of one membership report different ones.
    MembershipDiffers {
        /// A node.
        a: NodeId,
        /// A node in its membership that reports another.
        b: NodeId,
    },
    /// A node that loses the vote has not confirmed yet.
    Confirmation {
        /// The node.
        node: NodeId,
    },
    /// A node that can't be reached may still cast the vote.
    Lease {
        /// The node; 0 stands for one, or several, of which nothing else is known.
        node: NodeId,
        /// When its vote must have expired; `None` if only its return or an operator ends it.
        until: Option<Time>,
    },
    /// The vote leaves when it is written down who has it. Never an outcome of the engine itself:
    /// whoever carries out what it decides says so.
    Journal,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigDiffers { a, b } => {
                write!(f, "nodes {a} and {b} do not report the same node list yet")
            }
            Self::MembershipDiffers { a, b } => {
                write!(f, "nodes {a} and {b} do not report the same membership yet")
            }
            Self::Confirmation { node } => {
                write!(f, "node {node} has not confirmed yet that it lost the vote")
            }
            Self::Lease {
                node,
                until: Some(_),
            } => {
                write!(
                    f,
                    "{} can't be reached and may still cast the vote for a while",
                    Lost(*node)
                )
            }
            Self::Lease { node, until: None } => write!(
                f,
                "{} can't be reached and may still cast the vote; \
                 an operator must release it if the node is down",
                Lost(*node)
            ),
            Self::Journal => f.write_str("the vote leaves when it is written to the journal"),
        }
    }
}

/// A node that can't be reached, in words; 0 stands for what the records do not name (safety spec,
/// section 4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost(pub(crate) NodeId);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NodeId(0) => f.write_str("a node that the journal may have lost (power cut or damage)"),
            node => write!(f, "node {node}"),
        }
    }
}

/// A partition that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its ring id.
    pub ring: RingId,
    /// Its nodes, connected or not, as its members report them.
    pub nodes: Vec<NodeId>,
}

/// The outcome of one computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Time,
    /// The partition that gets the vote, if one does.
    pub winner: Option<Partition>,
    /// Why this one, or why none.
    pub rule: Rule,
    /// Why the winner does not have the vote yet; empty if it has.
    pub waiting: Option<Waiting>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.winner {
            Some(partition) => {
                f.write_str("the vote goes to {")?;
                for (i, node) in partition.nodes.iter().take(64).enumerate() {
                    write!(f, "{}{node}", if i > 0 { "," } else { "" })?;
                }
                if partition.nodes.len() > 64 {
                    f.write_str(",...")?;
                }
                write!(f, "}} in ring {}: {}", partition.ring, self.rule)?;
            }
            None if self.rule == Rule::Undecided => f.write_str("undecided")?,
            None => write!(f, "nobody gets the vote: {}", self.rule)?,
        }
        match &self.waiting {
            Some(waiting) => write!(f, "; waiting: {waiting}"),
            None => Ok(()),
        }
    }
}
