//! What a cluster remembers of one of its clients.

use super::ConnId;
use super::explain::Rule;
use super::time::Time;
use crate::wire::{Heuristics, NodeId, RingId, Vote};
use std::sync::Arc;
use std::time::Duration;

/// What the status shows of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Address and port, as text.
    pub address: Arc<str>,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Whether a certificate was checked against the cluster's name.
    pub verified: bool,
}

/// The two votes that decide something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The node has the vote.
    Ack,
    /// The node does not have it.
    Nack,
}

impl Verdict {
    /// The vote on the wire.
    pub const fn vote(self) -> Vote {
        match self {
            Self::Ack => Vote::Ack,
            Self::Nack => Vote::Nack,
        }
    }

    /// The verdict in a vote, if it decides something.
    pub const fn from_vote(vote: Vote) -> Option<Self> {
        match vote {
            Vote::Ack => Some(Self::Ack),
            Vote::Nack => Some(Self::Nack),
            Vote::AskLater | Vote::WaitForReply | Vote::NoChange => None,
        }
    }
}

/// What ffsplit still has to tell a client (algorithms spec, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    Nothing,
    Nack,
    Ack,
}

/// The decision that the reference's lms and 2nodelms remember (algorithms spec, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered {
    Unset,
    Wait,
    Decided(Verdict),
}

/// A NACK that the client has not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingNack {
    pub(crate) seq: u32,
    pub(crate) since: Time,
}

/// One configured node, as the client reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfiguredNode {
    /// Node id.
    pub id: NodeId,
    /// Data centre, 0 if not set.
    pub data_center: u32,
}

/// A client of a cluster: a connection with a successful INIT (protocol spec, section 4.1).
#[derive(Debug)]
pub struct Client {
    pub(crate) conn: ConnId,
    pub(crate) node: NodeId,
    pub(crate) peer: Peer,
    pub(crate) heartbeat_ms: u32,
    pub(crate) keep_active: bool,
    pub(crate) ring: RingId,
    pub(crate) config: Option<Arc<[ConfiguredNode]>>,
    pub(crate) config_version: Option<u64>,
    pub(crate) membership: Option<Arc<[NodeId]>>,
    pub(crate) membership_heuristics: Option<Heuristics>,
    pub(crate) regular_heuristics: Option<Heuristics>,
    pub(crate) heuristics: Option<Heuristics>,
    pub(crate) last_vote: Option<Vote>,
    pub(crate) last_verdict: Option<Verdict>,
    /// Why `last_verdict` is what it is.
    pub(crate) why: Option<Arc<Rule>>,
    /// Number of the last VOTE_INFO.
    pub(crate) pushes: u32,
    /// Number of the last membership report among all of the cluster.
    pub(crate) report: u64,
    /// When the membership was last reported.
    pub(crate) reported_at: Time,
    /// When we last sent something that satisfied or restarted the client's heartbeat check.
    pub(crate) answered_at: Time,
    /// A NACK that waits for its confirmation.
    pub(crate) pending_nack: Option<PendingNack>,
    /// Whether we have asked for the connection to be closed.
    pub(crate) dropped: bool,

    /// ffsplit: what is to be told next.
    pub(crate) todo: Todo,
    /// ffsplit: the push whose confirmation counts.
    pub(crate) expects: Option<u32>,

    /// lms and 2nodelms of the reference: the last decision.
    pub(crate) remembered: Remembered,
    /// lms of the reference: when the timer fires.
    pub(crate) timer: Option<Time>,

    /// Repaired lms and 2nodelms: the verdict for the ring it was given for.
    pub(crate) standing: Option<(Verdict, RingId)>,
    /// Repaired lms and 2nodelms: the last decision that was more than "you are new here".
    pub(crate) settled: Option<Verdict>,
}

impl Client {
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(u64::from(self.heartbeat_ms))
    }

    /// The membership list, empty if none was reported.
    pub(crate) fn members(&self) -> &[NodeId] {
        self.membership.as_deref().unwrap_or_default()
    }

    /// The configured nodes, empty if none were reported.
    pub(crate) fn configured(&self) -> &[ConfiguredNode] {
        self.config.as_deref().unwrap_or_default()
    }

    /// Whether the client has reported which nodes are configured and which it sees. Before that
    /// it must neither count nor be pushed to (protocol spec, D1 and section 5.9).
    pub(crate) fn has_both_lists(&self) -> bool {
        !self.configured().is_empty() && self.membership.is_some()
    }

    /// The verdict for its present ring, if it was given one.
    pub(crate) fn standing_verdict(&self) -> Option<Verdict> {
        self.standing
            .filter(|(_, ring)| *ring == self.ring)
            .map(|(verdict, _)| verdict)
    }
}

/// The contribution of a node's heuristics to a score.
pub(crate) fn heuristics_score(heuristics: Option<Heuristics>) -> i64 {
    match heuristics {
        Some(Heuristics::Pass) => 1,
        Some(Heuristics::Fail) => -1,
        None => 0,
    }
}
