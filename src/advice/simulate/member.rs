//! A node: a model of its stock client (safety spec, section 1; algorithms spec, section 9;
//! protocol spec, 5.7, 7 and 8) on top of its votequorum. Its heuristics find the same at all times.
//!
//! Where the client waits for a time of its own choosing it waits the longest, because what is
//! asked is how long a change takes at most.

use super::setup::Setup;
use super::votequorum::Votequorum;
use crate::wire::{
    Algorithm, ClusterName, ErrorCode, Init, ListType, Message, NodeId, NodeInfo, Options, RingId,
    Vote,
};
use std::collections::BTreeMap;

/// Name of every simulated cluster.
pub(super) const CLUSTER: &[u8] = b"simulated";

/// What a node wants done.
#[derive(Debug)]
pub(super) enum Effect {
    Connect,
    Send(Message),
    Close,
    /// Call [`Member::timer`] with this after so many milliseconds.
    Timer(Timer, u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Reconnect,
    /// A connection has to get as far as the reply to INIT.
    ConnectLimit,
    Heartbeat,
    /// A vote that was cast reaches votequorum.
    Count,
    /// Votequorum gives up waiting for a vote: `sync_timeout` in a change of membership, else
    /// `timeout`.
    GiveUp,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Off,
    Connecting,
    Preinit,
    Init,
    Working,
}

/// One node that runs.
#[derive(Debug)]
pub(super) struct Member {
    setup: Setup,
    node: NodeId,
    pub(super) corosync: Votequorum,
    link: Link,
    /// What the cast timer casts; `None` if it is stopped.
    vote: Option<bool>,
    sent_ring: Option<RingId>,
    seq: u32,
    echo_sent: u32,
    echo_got: u32,
    /// The number of the timer that counts; a later one replaces an earlier one.
    timers: BTreeMap<Timer, u64>,
    serial: u64,
}

type Out<'a> = &'a mut Vec<Effect>;

impl Member {
    /// A node that boots; its client connects after `delay` milliseconds.
    pub(super) fn boot(setup: &Setup, node: NodeId, delay: u64, out: Out<'_>) -> Self {
        let mut member = Self {
            setup: setup.clone(),
            node,
            corosync: Votequorum::new(setup, node),
            link: Link::Off,
            vote: None,
            sent_ring: None,
            seq: 0,
            echo_sent: 0,
            echo_got: 0,
            timers: BTreeMap::new(),
            serial: 0,
        };
        member.start(Timer::Reconnect, delay, out);
        member
    }

    /// Whether the arbiter has its lists.
    pub(super) fn is_connected(&self) -> bool {
        self.link == Link::Working
    }

    fn heartbeat_ms(&self) -> u64 {
        millis(self.setup.timing.heartbeat())
    }

    fn start(&mut self, timer: Timer, delay: u64, out: Out<'_>) {
        self.serial += 1;
        self.timers.insert(timer, self.serial);
        out.push(Effect::Timer(timer, self.serial, delay));
    }

    fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }

    /// The cast timer: runs with a vote, or stops.
    fn cast(&mut self, vote: Option<bool>, out: Out<'_>) {
        let same = vote == self.vote && !self.corosync.syncing;
        self.vote = vote;
        match vote {
            _ if same => {}
            // The first cast is immediate.
            Some(_) => self.start(Timer::Count, 1, out),
            None if self.corosync.syncing => {}
            None => self.start(Timer::GiveUp, millis(self.setup.timing.device_timeout), out),
        }
    }

    /// Corosync has a new membership.
    pub(super) fn membership(
        &mut self,
        ring: RingId,
        members: &[NodeId],
        expected: u32,
        out: Out<'_>,
    ) {
        self.corosync.joined(ring, members, expected);
        self.timers.remove(&Timer::Count);
        self.start(Timer::GiveUp, millis(self.setup.timing.sync_timeout), out);
        if self.link == Link::Working {
            self.send_membership(out);
        } else if self.vote == Some(true) {
            // A kept vote is good for one membership.
            self.cast(Some(false), out);
        } else if self.vote == Some(false) {
            // The next turn of the cast timer brings the first cast for this membership.
            let period = millis(self.setup.timing.device_timeout) / 2;
            self.start(Timer::Count, period, out);
        }
    }

    pub(super) fn timer(&mut self, timer: Timer, number: u64, out: Out<'_>) {
        if self.timers.get(&timer) != Some(&number) {
            return;
        }
        self.timers.remove(&timer);
        match timer {
            Timer::Reconnect => {
                self.link = Link::Connecting;
                self.start(Timer::ConnectLimit, self.heartbeat_ms(), out);
                out.push(Effect::Connect);
            }
            Timer::ConnectLimit => {
                let never_came_up = self.link == Link::Connecting;
                out.push(Effect::Close);
                self.lost(out);
                if never_came_up {
                    self.start(Timer::Reconnect, 0, out);
                }
            }
            Timer::Heartbeat => self.heartbeat(out),
            Timer::Count => self.count(out),
            Timer::GiveUp => {
                let late = self.vote.is_none();
                if late || self.corosync.syncing {
                    self.count(out);
                }
            }
        }
    }

    /// Checks that the echo before was answered, so a silent arbiter is noticed after up to two
    /// heartbeat intervals.
    fn heartbeat(&mut self, out: Out<'_>) {
        if self.echo_sent != self.echo_got {
            if !self.keeps_as_lms() {
                out.push(Effect::Close);
                self.lost(out);
            }
            return;
        }
        self.echo_sent += 1;
        let seq = Some(self.echo_sent);
        out.push(Effect::Send(Message::EchoRequest { seq }));
        self.start(Timer::Heartbeat, self.heartbeat_ms(), out);
    }

    fn keeps_as_lms(&self) -> bool {
        self.setup.algorithm() == Algorithm::Lms && self.corosync.quorate && self.setup.wait_for_all
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, out: Out<'_>) {
        let was_on = self.link == Link::Working;
        self.link = Link::Off;
        self.timers.remove(&Timer::ConnectLimit);
        self.timers.remove(&Timer::Heartbeat);
        if was_on {
            let keeps = match self.setup.algorithm() {
                Algorithm::FfSplit => false,
                Algorithm::Lms => self.keeps_as_lms(),
                Algorithm::TwoNodeLms | Algorithm::Test => true,
            };
            if !keeps {
                self.cast(Some(false), out);
            }
        }
        let longest = millis(self.setup.timing.device_timeout) * 45 / 100;
        self.start(Timer::Reconnect, longest, out);
    }

    fn count(&mut self, out: Out<'_>) {
        self.timers.remove(&Timer::GiveUp);
        let yes = self.vote == Some(true);
        let news = self.corosync.count(&self.setup, yes);
        if !news {
            return;
        }
        if self.link == Link::Working {
            self.send_quorum(out);
        } else if !yes {
            // A kept vote ends with any other news from corosync than of itself.
            self.vote = self.vote.map(|_| false);
        }
    }

    /// TCP is up.
    pub(super) fn connected(&mut self, out: Out<'_>) {
        self.link = Link::Preinit;
        let seq = Some(self.next_seq());
        let cluster = ClusterName::new(CLUSTER);
        out.push(Effect::Send(Message::Preinit { seq, cluster }));
    }

    /// A message from the arbiter.
    pub(super) fn message(&mut self, message: &Message, out: Out<'_>) {
        match (message, self.link) {
            (Message::PreinitReply { .. }, Link::Preinit) => {
                self.link = Link::Init;
                let heartbeat_ms = u32::try_from(self.heartbeat_ms()).unwrap_or(u32::MAX);
                let seq = Some(self.next_seq());
                out.push(Effect::Send(Message::Init(Init {
                    seq,
                    node: self.node,
                    algorithm: self.setup.algorithm().to_wire(),
                    heartbeat_ms,
                    tie_breaker: self.setup.tie_breaker,
                    ring_id: self.corosync.ring,
                })));
            }
            (Message::InitReply(reply), Link::Init) if reply.code == ErrorCode::NoError => {
                self.link = Link::Working;
                self.timers.remove(&Timer::ConnectLimit);
                self.restart_heartbeat(out);
                self.send_all(out);
            }
            (Message::SetOptionReply { .. }, Link::Working) => self.restart_heartbeat(out),
            (Message::EchoReply { body }, Link::Working) => {
                let number = Options::decode(body).ok().and_then(|options| options.seq);
                if number == Some(self.echo_sent) {
                    self.echo_got = self.echo_sent;
                }
            }
            (Message::NodeListReply { ring_id, vote, .. }, Link::Working) => {
                self.told(*ring_id, *vote, out);
            }
            (Message::VoteInfo { seq, vote, ring_id }, Link::Working) => {
                out.push(Effect::Send(Message::VoteInfoReply { seq: *seq }));
                self.told(*ring_id, *vote, out);
            }
            // Refused, usually because the arbiter still has this node's last connection.
            _ => {
                out.push(Effect::Close);
                self.lost(out);
            }
        }
    }

    fn restart_heartbeat(&mut self, out: Out<'_>) {
        self.echo_sent = 0;
        self.echo_got = 0;
        self.start(Timer::Heartbeat, self.heartbeat_ms(), out);
    }

    fn told(&mut self, ring: RingId, vote: Vote, out: Out<'_>) {
        if self.sent_ring != Some(ring) {
            return;
        }
        match vote {
            Vote::Ack => self.cast(Some(true), out),
            Vote::Nack => self.cast(Some(false), out),
            Vote::WaitForReply | Vote::AskLater => self.cast(None, out),
            Vote::NoChange => {}
        }
    }

    fn send_all(&mut self, out: Out<'_>) {
        let seq = Some(self.next_seq());
        out.push(Effect::Send(Message::SetOption {
            seq,
            heartbeat_ms: None,
            keep_active: Some(self.setup.keep_active),
        }));
        let configured = self.setup.nodes().to_vec();
        self.send_list(ListType::InitialConfig, &configured, out);
        self.send_membership(out);
        self.send_quorum(out);
    }

    fn send_membership(&mut self, out: Out<'_>) {
        self.cast(None, out);
        self.sent_ring = Some(self.corosync.ring);
        let members = self.corosync.members.clone();
        self.send_list(ListType::Membership, &members, out);
    }

    fn send_quorum(&mut self, out: Out<'_>) {
        let members = self.corosync.members.clone();
        self.send_list(ListType::Quorum, &members, out);
    }

    fn send_list(&mut self, list_type: ListType, nodes: &[NodeId], out: Out<'_>) {
        let seq = self.next_seq();
        let is_membership = list_type == ListType::Membership;
        let is_quorum = list_type == ListType::Quorum;
        out.push(Effect::Send(Message::NodeList {
            seq,
            list_type,
            ring_id: is_membership.then_some(self.corosync.ring),
            config_version: None,
            quorate: is_quorum.then_some(self.corosync.quorate),
            nodes: nodes.iter().map(|node| NodeInfo::new(node.0)).collect(),
            heuristics: self
                .setup
                .heuristics
                .get(&self.node)
                .copied()
                .filter(|_| is_membership),
        }));
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
