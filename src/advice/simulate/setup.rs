//! The cluster that a simulation is about.

use crate::advice::conf::ClusterFile;
use crate::engine::ClusterPolicy;
use crate::engine::quorum::{Arithmetic, arithmetic};
use crate::wire::{Algorithm, Heuristics, NodeId, TieBreaker};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most nodes of a simulated cluster.
const MOST_NODES: usize = 32;

/// Times that a node obeys (`corosync.conf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// `quorum.device.timeout`.
    pub device_timeout: Duration,
    /// `quorum.device.sync_timeout`.
    pub sync_timeout: Duration,
    /// `totem.token`, without what corosync adds for more than two nodes.
    pub token: Duration,
}

impl Timing {
    /// The heartbeat interval: 0.8 x `quorum.device.timeout`, within 1 s and 2 min (protocol spec,
    /// section 7).
    pub fn heartbeat(&self) -> Duration {
        (self.device_timeout * 4 / 5).clamp(Duration::from_secs(1), Duration::from_secs(120))
    }

    /// Whether it can be stepped through. The upper limit of `quorum.device.timeout` is that of the
    /// heartbeat interval, which is 0.8 of it (protocol spec, section 7).
    fn check(&self) -> Result<(), SetupError> {
        for (key, time, within) in [
            ("quorum.device.timeout", self.device_timeout, 1000..=150_000),
            (
                "quorum.device.sync_timeout",
                self.sync_timeout,
                1000..=300_000,
            ),
            ("totem.token", self.token, 30..=60_000),
        ] {
            let written = time.as_millis();
            if !within.contains(&written) {
                return Err(SetupError::Time {
                    key,
                    written,
                    within,
                });
            }
        }
        Ok(())
    }

    /// The times of a cluster whose nodes announced this heartbeat interval; the others are
    /// corosync's defaults.
    pub fn of_heartbeat(heartbeat: Duration) -> Self {
        Self {
            device_timeout: heartbeat * 5 / 4,
            ..Self::default()
        }
    }
}

impl Default for Timing {
    /// Corosync's defaults: 10 s, 30 s, 3 s.
    fn default() -> Self {
        Self {
            device_timeout: Duration::from_secs(10),
            sync_timeout: Duration::from_secs(30),
            token: Duration::from_secs(3),
        }
    }
}

/// A cluster of nodes with one vote each.
#[derive(Debug, Clone)]
pub struct Setup {
    nodes: Vec<NodeId>,
    algorithm: Algorithm,
    sums: Arithmetic,
    /// Who wins an exact tie.
    pub tie_breaker: TieBreaker,
    /// The arbiter's rules for it.
    pub policy: ClusterPolicy,
    /// Whether the nodes ask that the active partition be kept; stock clients do.
    pub keep_active: bool,
    /// `quorum.wait_for_all`.
    pub wait_for_all: bool,
    /// Whether `quorum.device.votes` is written in `corosync.conf`: then a node that starts expects
    /// the votes of the nodes only, until it has counted more (algorithms spec, section 10.1).
    pub votes_written: bool,
    /// Its times.
    pub timing: Timing,
    /// What each node's heuristics find, all the time; nodes without any are not in it.
    pub heuristics: BTreeMap<NodeId, Heuristics>,
}

/// A cluster can't be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Too few or too many nodes.
    #[error("a cluster of {0} can't be simulated; choose 2 to {MOST_NODES} nodes")]
    Nodes(usize),
    /// A node id occurs twice, or is 0.
    #[error("node id {0} is 0 or occurs twice")]
    NodeId(NodeId),
    /// The algorithm is not for so many nodes, or for none.
    #[error("{algorithm} is not for {nodes} nodes; choose ffsplit or lms", algorithm = .algorithm.config_name())]
    Algorithm {
        /// The algorithm.
        algorithm: Algorithm,
        /// Number of nodes.
        nodes: usize,
    },
    /// `ffsplit` with other device votes than 1, or `lms` with other than N-1.
    #[error(
        "quorum.device.votes is {written}, but {algorithm} with {nodes} nodes needs {needed}",
        algorithm = .algorithm.config_name()
    )]
    DeviceVotes {
        /// The algorithm.
        algorithm: Algorithm,
        /// Number of nodes.
        nodes: usize,
        /// What the file has.
        written: u32,
        /// What it should have.
        needed: u32,
    },
    /// A time that no cluster has, or that is too long to be stepped through.
    #[error(
        "{key} is {written} ms; {} ms to {} ms can be simulated", within.start(), within.end()
    )]
    Time {
        /// Which time.
        key: &'static str,
        /// What the file has, milliseconds.
        written: u128,
        /// What it may be, milliseconds.
        within: RangeInclusive<u128>,
    },
    /// A node has more or less than one vote.
    #[error(
        "node {node} has {votes} votes; only clusters whose nodes have one vote each can be simulated"
    )]
    NodeVotes {
        /// The node.
        node: NodeId,
        /// Its votes.
        votes: u32,
    },
}

impl Setup {
    /// A cluster of these nodes, everything else as by default.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(nodes: &[NodeId], algorithm: Algorithm) -> Result<Self, SetupError> {
        if !(2..=MOST_NODES).contains(&nodes.len()) {
            return Err(SetupError::Nodes(nodes.len()));
        }
        let mut sorted = nodes.to_vec();
        sorted.sort_unstable();
        let mut before = NodeId(0);
        for node in &sorted {
            if *node == before {
                return Err(SetupError::NodeId(*node));
            }
            before = *node;
        }
        let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        let sums = arithmetic(count, algorithm).ok_or(SetupError::Algorithm {
            algorithm,
            nodes: sorted.len(),
        })?;
        Ok(Self {
            nodes: sorted,
            algorithm,
            sums,
            tie_breaker: TieBreaker::Lowest,
            policy: ClusterPolicy::default(),
            keep_active: true,
            wait_for_all: false,
            votes_written: algorithm != Algorithm::Lms,
            timing: Timing::default(),
            heuristics: BTreeMap::new(),
        })
    }

    /// The cluster of a `corosync.conf`.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn of_file(file: &ClusterFile) -> Result<Self, SetupError> {
        file.timing.check()?;
        if let Some((node, votes)) = file.nodes.iter().find(|(_, votes)| **votes != 1) {
            return Err(SetupError::NodeVotes {
                node: *node,
                votes: *votes,
            });
        }
        let nodes: Vec<NodeId> = file.nodes.keys().copied().collect();
        let mut setup = Self::new(&nodes, file.algorithm)?;
        if let Some(written) = file.device_votes {
            let needed = setup.sums.device_votes;
            if written != needed {
                return Err(SetupError::DeviceVotes {
                    algorithm: file.algorithm,
                    nodes: nodes.len(),
                    written,
                    needed,
                });
            }
        }
        setup.votes_written = file.device_votes.is_some();
        setup.tie_breaker = file.tie_breaker;
        setup.wait_for_all = file.wait_for_all;
        setup.timing = file.timing;
        Ok(setup)
    }

    /// Its nodes, in ascending order.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What its votes add up to.
    pub fn sums(&self) -> &Arithmetic {
        &self.sums
    }

    /// How long corosync takes to notice that a node is gone, at most: the token with what is added
    /// for each node beyond two (650 ms), the consensus of 1.2 x as long, and a second for agreeing
    /// on the new membership (which a real cluster does in some tenths of one).
    pub(super) fn membership_delay(&self) -> Duration {
        let more = u32::try_from(self.nodes.len().saturating_sub(2)).unwrap_or(u32::MAX);
        let token = self.timing.token + Duration::from_millis(650).saturating_mul(more);
        token * 11 / 5 + Duration::from_secs(1)
    }
}
