//! A node: its stock client and as much of its corosync as the client talks to
//! (safety spec, section 1; algorithms spec, section 9; protocol spec, 5.7, 7 and 8).

use crate::plan::Setup;
use crate::rng::Rng;
use qarbiter::wire::{
    Algorithm, ClusterName, ErrorCode, Heuristics, Init, ListType, Message, NodeId, NodeInfo,
    Options, RingId, Vote,
};

/// corosync's `quorum.device.sync_timeout`, milliseconds.
const SYNC_TIMEOUT: u64 = 30_000;

/// What a node wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    Connect,
    Send(Message),
    Close,
    /// Call [`Node::timer`] with this kind and generation after so many milliseconds.
    Timer(Timer, u32, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Reconnect,
    ConnectLimit,
    Heartbeat,
    Heuristics,
    Quorum,
    Sync,
    Restart,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Off,
    Connecting,
    Preinit,
    Init,
    /// After INIT, while the first heuristics run.
    Settling,
    Working,
}

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    setup: Setup,
    pub(crate) id: u32,
    /// Whether the node has power.
    pub(crate) alive: bool,
    /// Whether its client process runs.
    running: bool,

    pub(crate) ring: RingId,
    pub(crate) members: Vec<u32>,
    pub(crate) config: Vec<u32>,
    pub(crate) heuristics: Option<Heuristics>,
    quorate: bool,
    waits_for_all: bool,
    /// Whether corosync waits for the first cast with the present ring id.
    syncing: bool,

    pub(crate) link: Link,
    /// What the cast timer casts; `None` if it is stopped.
    pub(crate) vote: Option<bool>,
    vote_since: u64,
    /// Casting is paused while heuristics run for a new membership.
    paused: bool,
    /// Until when votequorum counts a yes that is not repeated any more.
    remembered_until: u64,
    sent_ring: Option<RingId>,
    seq: u32,
    echo_sent: u32,
    echo_got: u32,
    generations: [u32; 7],
}

type Out<'a> = &'a mut Vec<Effect>;

impl Node {
    pub(crate) fn new(setup: &Setup, id: u32) -> Self {
        Self {
            setup: setup.clone(),
            id,
            alive: true,
            running: true,
            ring: RingId::new(id, 0),
            members: vec![id],
            config: (1..=setup.nodes).collect(),
            heuristics: setup.heuristics.then_some(Heuristics::Pass),
            quorate: false,
            waits_for_all: setup.wait_for_all,
            syncing: true,
            link: Link::Off,
            vote: None,
            vote_since: 0,
            paused: false,
            remembered_until: 0,
            sent_ring: None,
            seq: 0,
            echo_sent: 0,
            echo_got: 0,
            generations: [0; 7],
        }
    }

    /// Whether votequorum on this node counts the device's vote.
    pub(crate) fn counts_yes(&self, now: u64) -> bool {
        let casts = self.running && self.vote == Some(true) && !self.paused;
        self.alive && (casts || now < self.remembered_until)
    }

    fn start_timer(&mut self, timer: Timer, delay: u64, out: Out<'_>) {
        let generation = &mut self.generations[timer as usize];
        *generation += 1;
        out.push(Effect::Timer(timer, *generation, delay));
    }

    fn stop_timer(&mut self, timer: Timer) {
        self.generations[timer as usize] += 1;
    }

    fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq
    }

    fn is_on(&self) -> bool {
        matches!(self.link, Link::Settling | Link::Working)
    }

    /// The node and its client start; the membership comes by [`Node::membership`].
    pub(crate) fn boot(&mut self, rng: &mut Rng, out: Out<'_>) {
        self.alive = true;
        self.running = true;
        self.quorate = false;
        self.waits_for_all = self.setup.wait_for_all;
        self.start_timer(Timer::Reconnect, rng.below(2000), out);
    }

    pub(crate) fn die(&mut self) {
        self.alive = false;
        self.forget_process();
        self.remembered_until = 0;
        self.stop_timer(Timer::Restart);
    }

    /// The client process is gone from one moment to the next.
    pub(crate) fn kill(&mut self, now: u64, back_after: u64, out: Out<'_>) {
        if !self.alive || !self.running {
            return;
        }
        if !self.setup.killed_vote_counts {
            self.remembered_until = 0;
        } else if now >= self.remembered_until && self.counts_yes(now) {
            self.remembered_until = self.last_cast(now) + self.setup.device_timeout;
        }
        self.forget_process();
        self.start_timer(Timer::Restart, back_after, out);
    }

    fn forget_process(&mut self) {
        self.running = false;
        self.link = Link::Off;
        self.vote = None;
        self.paused = false;
        self.sent_ring = None;
        for timer in [
            Timer::Reconnect,
            Timer::ConnectLimit,
            Timer::Heartbeat,
            Timer::Heuristics,
        ] {
            self.stop_timer(timer);
        }
    }

    fn last_cast(&self, now: u64) -> u64 {
        let period = self.setup.device_timeout / 2;
        self.vote_since + (now - self.vote_since) / period * period
    }

    fn set_vote(&mut self, now: u64, vote: Option<bool>, out: Out<'_>) {
        if vote == self.vote && !self.syncing {
            return;
        }
        if vote.is_none() && self.vote == Some(true) && !self.paused {
            self.remembered_until = self.last_cast(now) + self.setup.device_timeout;
        } else if vote.is_some() {
            self.remembered_until = 0;
            self.vote_since = now;
        }
        self.vote = vote;
        if vote.is_some() && !self.paused {
            self.start_timer(Timer::Quorum, 5, out);
        }
    }

    /// corosync has a new membership.
    pub(crate) fn membership(
        &mut self,
        now: u64,
        ring: RingId,
        members: &[u32],
        rng: &mut Rng,
        out: Out<'_>,
    ) {
        self.ring = ring;
        self.members = members.to_vec();
        self.remembered_until = 0;
        self.syncing = true;
        self.stop_timer(Timer::Quorum);
        self.start_timer(Timer::Sync, SYNC_TIMEOUT, out);
        match self.link {
            Link::Working if self.setup.heuristics => {
                self.paused = true;
                let pause = self.heuristics_time(rng);
                self.start_timer(Timer::Heuristics, pause, out);
            }
            Link::Working => self.send_membership(now, out),
            _ => self.withdraw(now, out),
        }
    }

    fn heuristics_time(&self, rng: &mut Rng) -> u64 {
        if self.setup.heuristics {
            let longest = rng.pick(&[1, 100, self.setup.device_timeout / 2]);
            rng.below(longest)
        } else {
            0
        }
    }

    /// A kept yes is good for one unchanged membership, quorum and node list.
    fn withdraw(&mut self, now: u64, out: Out<'_>) {
        if self.vote == Some(true) {
            self.set_vote(now, Some(false), out);
        }
    }

    pub(crate) fn reload(&mut self, now: u64, config: &[u32], out: Out<'_>) {
        self.config = config.to_vec();
        match self.link {
            Link::Working => self.send_config(ListType::ChangedConfig, out),
            Link::Settling => {}
            _ => self.withdraw(now, out),
        }
    }

    pub(crate) fn heuristics_changed(&mut self, result: Option<Heuristics>, out: Out<'_>) {
        let changed = self.heuristics != result;
        self.heuristics = result;
        if let (true, Link::Working, Some(heuristics)) = (changed, self.link, result) {
            let seq = self.next_seq();
            out.push(Effect::Send(Message::HeuristicsChange { seq, heuristics }));
        }
    }

    pub(crate) fn timer(
        &mut self,
        now: u64,
        timer: Timer,
        generation: u32,
        rng: &mut Rng,
        out: Out<'_>,
    ) {
        if !self.alive || self.generations[timer as usize] != generation {
            return;
        }
        match timer {
            Timer::Restart => {
                self.running = true;
                self.start_timer(Timer::Reconnect, 0, out);
            }
            Timer::Reconnect => {
                self.link = Link::Connecting;
                self.start_timer(Timer::ConnectLimit, self.setup.heartbeat(), out);
                out.push(Effect::Connect);
            }
            Timer::ConnectLimit => {
                let never_came_up = self.link == Link::Connecting;
                out.push(Effect::Close);
                self.lost(now, rng, out);
                if never_came_up {
                    self.start_timer(Timer::Reconnect, rng.below(100), out);
                }
            }
            Timer::Heartbeat => self.heartbeat(now, rng, out),
            Timer::Heuristics if self.link == Link::Settling => self.send_all(now, out),
            Timer::Heuristics => {
                self.paused = false;
                self.send_membership(now, out);
            }
            Timer::Quorum | Timer::Sync => self.quorum(now, out),
        }
    }

    /// Checks the echo before the last one, so a silent server is noticed after up to 2 x HB.
    fn heartbeat(&mut self, now: u64, rng: &mut Rng, out: Out<'_>) {
        if self.echo_sent != self.echo_got {
            let stays = self.setup.algorithm == Algorithm::Lms && self.keeps_as_lms();
            if !stays {
                out.push(Effect::Close);
                self.lost(now, rng, out);
            }
            return;
        }
        self.echo_sent += 1;
        let seq = Some(self.echo_sent);
        out.push(Effect::Send(Message::EchoRequest { seq }));
        self.start_timer(Timer::Heartbeat, self.setup.heartbeat(), out);
    }

    fn keeps_as_lms(&self) -> bool {
        self.quorate && self.setup.wait_for_all
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, now: u64, rng: &mut Rng, out: Out<'_>) {
        let was_on = self.is_on();
        self.link = Link::Off;
        for timer in [Timer::ConnectLimit, Timer::Heartbeat, Timer::Heuristics] {
            self.stop_timer(timer);
        }
        if was_on {
            let keeps = match self.setup.algorithm {
                Algorithm::FfSplit => false,
                Algorithm::Lms => self.keeps_as_lms(),
                _ => true,
            };
            // A pause means that the membership has changed.
            if !keeps || self.paused {
                self.paused = false;
                self.set_vote(now, Some(false), out);
            }
        }
        self.start_timer(
            Timer::Reconnect,
            rng.below(self.setup.device_timeout * 45 / 100),
            out,
        );
    }

    /// votequorum counts.
    fn quorum(&mut self, now: u64, out: Out<'_>) {
        self.stop_timer(Timer::Sync);
        let n = self.config.len();
        let device = match self.setup.algorithm {
            Algorithm::Lms => n - 1,
            _ => 1,
        };
        let counted = if self.counts_yes(now) { device } else { 0 };
        let total = self.members.len() + counted;
        if total >= n + device {
            self.waits_for_all = false;
        }
        let quorate = total > (n + device) / 2 && !self.waits_for_all;
        let news = quorate != self.quorate || self.syncing;
        self.quorate = quorate;
        self.syncing = false;
        if !news || !self.running {
            return;
        }
        match self.link {
            Link::Working if !self.paused => self.send_quorum(out),
            Link::Working | Link::Settling => {}
            // The notification that follows from an own cast is for the same vote.
            _ if counted == 0 => self.withdraw(now, out),
            _ => {}
        }
    }

    /// TCP is up.
    pub(crate) fn connected(&mut self, out: Out<'_>) {
        self.link = Link::Preinit;
        let seq = Some(self.next_seq());
        let cluster = ClusterName::new(b"sim");
        out.push(Effect::Send(Message::Preinit { seq, cluster }));
    }

    /// A message from the server.
    ///
    /// # Errors
    /// The message would make a stock client exit.
    pub(crate) fn message(
        &mut self,
        now: u64,
        message: &Message,
        rng: &mut Rng,
        out: Out<'_>,
    ) -> Result<(), String> {
        match (message, self.link) {
            (Message::PreinitReply { .. }, Link::Preinit) => {
                self.link = Link::Init;
                let seq = Some(self.next_seq());
                out.push(Effect::Send(Message::Init(Init {
                    seq,
                    node: NodeId(self.id),
                    algorithm: self.setup.algorithm.to_wire(),
                    heartbeat_ms: self.setup.heartbeat() as u32,
                    tie_breaker: self.setup.tie_breaker,
                    ring_id: self.ring,
                })));
            }
            (Message::InitReply(reply), Link::Init) => match reply.code {
                ErrorCode::NoError => self.accepted(now, rng, out),
                ErrorCode::DuplicateNodeId => {
                    out.push(Effect::Close);
                    self.lost(now, rng, out);
                }
                code => return Err(format!("INIT was refused: {code}")),
            },
            (Message::SetOptionReply { .. }, Link::Working) => self.restart_heartbeat(out),
            (Message::EchoReply { body }, Link::Settling | Link::Working) => {
                let number = Options::decode(body).ok().and_then(|options| options.seq);
                if number == Some(self.echo_sent) {
                    self.echo_got = self.echo_sent;
                } else {
                    out.push(Effect::Close);
                    self.lost(now, rng, out);
                }
            }
            (Message::NodeListReply { ring_id, vote, .. }, Link::Working)
            | (Message::HeuristicsChangeReply { ring_id, vote, .. }, Link::Working) => {
                self.told(now, *ring_id, *vote, out);
            }
            (Message::VoteInfo { seq, vote, ring_id }, Link::Working) => {
                out.push(Effect::Send(Message::VoteInfoReply { seq: *seq }));
                self.told(now, *ring_id, *vote, out);
            }
            (message, link) => return Err(format!("{message:?} while {link:?}")),
        }
        Ok(())
    }

    fn accepted(&mut self, now: u64, rng: &mut Rng, out: Out<'_>) {
        self.link = Link::Settling;
        self.stop_timer(Timer::ConnectLimit);
        self.restart_heartbeat(out);
        let pause = self.heuristics_time(rng);
        if pause == 0 {
            self.send_all(now, out);
        } else {
            self.start_timer(Timer::Heuristics, pause, out);
        }
    }

    fn restart_heartbeat(&mut self, out: Out<'_>) {
        self.echo_sent = 0;
        self.echo_got = 0;
        self.start_timer(Timer::Heartbeat, self.setup.heartbeat(), out);
    }

    fn told(&mut self, now: u64, ring: RingId, vote: Vote, out: Out<'_>) {
        if self.sent_ring != Some(ring) {
            return;
        }
        match vote {
            Vote::Ack => self.set_vote(now, Some(true), out),
            Vote::Nack => self.set_vote(now, Some(false), out),
            Vote::WaitForReply | Vote::AskLater => self.set_vote(now, None, out),
            Vote::NoChange => {}
        }
    }

    fn send_all(&mut self, now: u64, out: Out<'_>) {
        self.link = Link::Working;
        let seq = Some(self.next_seq());
        out.push(Effect::Send(Message::SetOption {
            seq,
            heartbeat_ms: None,
            keep_active: Some(self.keeps_active()),
        }));
        self.send_config(ListType::InitialConfig, out);
        self.send_membership(now, out);
        self.send_quorum(out);
    }

    pub(crate) fn keeps_active(&self) -> bool {
        self.setup.keep_active >> (self.id - 1) & 1 == 1
    }

    fn send_config(&mut self, list_type: ListType, out: Out<'_>) {
        let nodes = self.config.iter().copied().map(NodeInfo::new).collect();
        self.send_list(list_type, nodes, out);
    }

    fn send_membership(&mut self, now: u64, out: Out<'_>) {
        self.set_vote(now, None, out);
        if self.syncing {
            self.remembered_until = 0;
        }
        self.sent_ring = Some(self.ring);
        let nodes = self.members.iter().copied().map(NodeInfo::new).collect();
        self.send_list(ListType::Membership, nodes, out);
    }

    fn send_quorum(&mut self, out: Out<'_>) {
        let nodes = self.members.iter().copied().map(NodeInfo::new).collect();
        self.send_list(ListType::Quorum, nodes, out);
    }

    fn send_list(&mut self, list_type: ListType, nodes: Vec<NodeInfo>, out: Out<'_>) {
        let is_membership = list_type == ListType::Membership;
        let seq = self.next_seq();
        out.push(Effect::Send(Message::NodeList {
            seq,
            list_type,
            ring_id: is_membership.then_some(self.ring),
            config_version: None,
            quorate: (list_type == ListType::Quorum).then_some(self.quorate),
            nodes,
            heuristics: self.heuristics.filter(|_| is_membership),
        }));
    }
}
