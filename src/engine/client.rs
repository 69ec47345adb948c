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

/// NACKs, with nothing else between them, of which the client has not confirmed the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingNack {
    /// The first one that it has not confirmed.
    pub(crate) first: u32,
    /// The last one.
    pub(crate) seq: u32,
    /// Since when nothing of it was confirmed.
    pub(crate) since: Time,
}

/// What we know of a client's check that we answer its heartbeats (safety spec, section 3).
///
/// An echo left the client before we answered it, so its next deadline follows from our answer.
/// But the replies to INIT and SET_OPTION restart the check when they *arrive*, which may be later
/// than we sent them by almost a heartbeat interval. Until something proves that such a reply has
/// arrived, the deadline is that much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeartbeatCheck {
    answered_at: Time,
    restart: Option<Restart>,
}

/// A restart of the check that may not have happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// The reply to INIT: the next message of any kind proves that it has arrived.
    Init,
    /// The reply to SET_OPTION: the confirmation of a later push proves it, or two echoes.
    SetOption { pushes: u32, echoes: u8 },
}

impl HeartbeatCheck {
    /// The reply to INIT is being sent.
    pub(crate) fn init(now: Time) -> Self {
        Self {
            answered_at: now,
            restart: Some(Restart::Init),
        }
    }

    /// The reply to SET_OPTION is being sent, after this many pushes.
    pub(crate) fn options_set(&mut self, now: Time, pushes: u32) {
        self.answered_at = now;
        self.restart = Some(Restart::SetOption { pushes, echoes: 0 });
    }

    /// The reply to an echo is being sent.
    pub(crate) fn echoed(&mut self, now: Time) {
        self.answered_at = now;
        self.restart = match self.restart {
            Some(Restart::SetOption { pushes, echoes: 0 }) => {
                Some(Restart::SetOption { pushes, echoes: 1 })
            }
            _ => None,
        };
    }

    /// A message arrived that is only sent after the reply to INIT.
    pub(crate) fn heard(&mut self, now: Time) {
        if self.restart == Some(Restart::Init) {
            self.answered_at = now;
            self.restart = None;
        }
    }

    /// The client confirmed a push.
    pub(crate) fn confirmed(&mut self, now: Time, seq: u32) {
        if let Some(Restart::SetOption { pushes, .. }) = self.restart {
            if seq > pushes {
                self.answered_at = now;
                self.restart = None;
            }
        }
    }

    /// When the last answer was sent, or is known to have arrived.
    pub(crate) fn answered_at(&self) -> Time {
        self.answered_at
    }

    /// The latest moment from which the client may be counting two heartbeat intervals.
    pub(crate) fn latest_start(&self, heartbeat: Duration) -> Time {
        match self.restart {
            Some(_) => self.answered_at + heartbeat,
            None => self.answered_at,
        }
    }
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
    /// The longest that it has had on this connection.
    pub(crate) longest_heartbeat_ms: u32,
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
    /// Number of the report of its present ring among all such reports of the cluster.
    pub(crate) report: u64,
    /// When its present ring was first reported.
    pub(crate) reported_at: Time,
    /// What is known of the client's check of our heartbeat.
    pub(crate) check: HeartbeatCheck,
    /// A NACK that waits for its confirmation.
    pub(crate) pending_nack: Option<PendingNack>,
    /// For the status: whether it last reported to have quorum in its present ring, and since when
    /// it has reported the same. Decides nothing (protocol spec, section 5.6).
    pub(crate) quorate: Option<(bool, Time)>,
    /// For the status: when it was told what stands now.
    pub(crate) told_at: Time,
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

    /// The interval that its lease must reckon with: our answer to a SET_OPTION that asked for a
    /// shorter one may never have reached it.
    pub(crate) fn lease_heartbeat(&self) -> Duration {
        Duration::from_millis(u64::from(self.longest_heartbeat_ms))
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
