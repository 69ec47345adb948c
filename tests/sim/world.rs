//! Virtual time: the arbiter, the nodes, the network between them, and what goes wrong.

mod faults;

use crate::client::{Effect, Link, Node, Timer};
use crate::ledger::Ledger;
use crate::network::{Conn, Item, Path, Way};
use crate::oracle;
use crate::plan::{Plan, Setup};
use crate::rng::Rng;
use qarbiter::engine::{Action, ConnId, Engine, Grant, LeaveCause, SessionPolicy, Time, TlsView};
use qarbiter::wire::{
    ClusterName, ErrorCode, FrameDecoder, Message, NodeId, RingId, TlsSupport, Vote,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// More steps than any sound run takes.
const STEP_LIMIT: u64 = 2_000_000;

/// What was violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// I1: two partitions cast the vote.
    DoubleVote,
    /// I2: a vote was given although another one was not released.
    Ungranted,
    /// I3: the vote is not where it should be, although all is calm.
    Liveness,
    /// A stock client would have exited.
    Protocol,
    /// Time does not advance.
    Livelock,
}

#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
    pub(crate) what: String,
    pub(crate) trace: String,
}

/// What a run is checked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    pub(crate) double_vote: bool,
    pub(crate) ledger: bool,
    pub(crate) liveness: bool,
}

impl Checks {
    /// All that must hold for these settings.
    pub(crate) fn of(setup: &Setup) -> Self {
        Self {
            double_vote: setup.must_be_safe(),
            ledger: setup.policy.keeps_leases(),
            liveness: setup.policy.is_safe(),
        }
    }
}

/// What a run saw, so that tests can tell that it was not an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) steps: u64,
    pub(crate) acks: u64,
    pub(crate) lost: u64,
}

#[derive(Debug)]
enum Event {
    Deliver(u64, Way),
    Accept(u64),
    ServerClose(u64, LeaveCause),
    Timer(usize, Timer, u32),
    Learn(usize, u64),
    Reload(usize, u64, bool),
    Fault(usize),
    Calm,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    checks: Checks,
    rng: Rng,
    now: u64,
    /// Ordered by time; simultaneous events in random order.
    queue: BTreeMap<(u64, u64, u64), Event>,
    serial: u64,
    engine: Engine,
    /// The last record of each cluster.
    journal: BTreeMap<ClusterName, Grant>,
    pub(crate) nodes: Vec<Node>,
    paths: Vec<Path>,
    conns: BTreeMap<u64, Conn>,
    /// The client's present connection.
    current: Vec<Option<u64>>,
    parts: Vec<u8>,
    /// The membership that each node is about to learn or has learnt, with a number.
    target: Vec<(RingId, Vec<u32>, u64)>,
    ring_seq: Vec<u64>,
    /// Number of the reload that each node saw last.
    reloaded: Vec<u64>,
    ledger: Ledger,
    failure: Option<(Kind, String)>,
    trace: String,
    tracing: bool,
    stats: Stats,
}

/// Runs a plan to its end.
pub(crate) fn run(plan: &Plan, checks: Checks, tracing: bool) -> Result<Stats, Failure> {
    let mut world = World::new(plan, checks, tracing);
    world.start();
    match world.run_until(plan.settled_at()) {
        Some((kind, what)) => Err(Failure {
            kind,
            at: world.now,
            what,
            trace: world.trace,
        }),
        None => Ok(world.stats),
    }
}

fn new_engine(setup: &Setup) -> Engine {
    let sessions = SessionPolicy {
        tls: TlsSupport::Unsupported,
        client_cert_required: false,
        ..SessionPolicy::default()
    };
    Engine::new(sessions, setup.policy)
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, checks: Checks, tracing: bool) -> Self {
        let setup = &plan.setup;
        let count = setup.nodes as usize;
        Self {
            plan,
            checks,
            rng: Rng::new(plan.seed),
            now: 0,
            queue: BTreeMap::new(),
            serial: 0,
            engine: new_engine(setup),
            journal: BTreeMap::new(),
            nodes: (1..=setup.nodes).map(|id| Node::new(setup, id)).collect(),
            paths: vec![Path::UP; count],
            conns: BTreeMap::new(),
            current: vec![None; count],
            parts: vec![0; count],
            target: (1..=setup.nodes)
                .map(|id| (RingId::new(id, 0), Vec::new(), 0))
                .collect(),
            ring_seq: vec![0; count],
            reloaded: vec![0; count],
            ledger: Ledger::default(),
            failure: None,
            trace: String::new(),
            tracing,
            stats: Stats::default(),
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.tracing {
            let now = self.now;
            let text = text();
            // Writing to a string does not fail.
            let _ = writeln!(self.trace, "{:>9.3} {text}", now as f64 / 1000.0);
        }
    }

    fn fail(&mut self, kind: Kind, what: String) {
        if self.failure.is_none() {
            self.failure = Some((kind, what));
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        let order = self.rng.next();
        self.queue.insert((at, order, self.serial), event);
    }

    fn start(&mut self) {
        for i in 0..self.nodes.len() {
            let mut out = Vec::new();
            self.nodes[i].boot(&mut self.rng, &mut out);
            self.apply(i, out);
        }
        self.reform(&[]);
        for (i, (at, _)) in self.plan.faults.iter().enumerate() {
            self.schedule(*at, Event::Fault(i));
        }
        self.schedule(self.plan.calm_from(), Event::Calm);
    }

    fn run_until(&mut self, end: u64) -> Option<(Kind, String)> {
        loop {
            let event_at = self.queue.keys().next().map(|(at, ..)| *at);
            let engine_at = self.engine.poll_timeout().map(|at| {
                let at = at.since_start().as_micros().div_ceil(1000) as u64;
                at.max(self.now)
            });
            let engine_first = match (engine_at, event_at) {
                (Some(engine), Some(event)) => {
                    engine < event || (engine == event && self.rng.chance(50))
                }
                (engine, _) => engine.is_some(),
            };
            let next = if engine_first { engine_at } else { event_at };
            let next = next.unwrap_or(end);
            if next >= end {
                self.now = end;
                if self.checks.liveness && !self.plan.may_leave_a_client_deaf() {
                    if let Err(what) = oracle::check(&self.plan.setup, &self.nodes) {
                        self.fail(Kind::Liveness, what);
                    }
                }
                return self.failure.take();
            }
            self.now = next;
            if engine_first {
                let actions = self.engine.handle_timeout(Time::from_millis(self.now));
                self.perform(actions);
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.handle(event);
            }
            self.check();
            self.stats.steps += 1;
            if self.stats.steps > STEP_LIMIT {
                self.fail(Kind::Livelock, "too many steps".to_owned());
            }
            if self.failure.is_some() {
                return self.failure.take();
            }
        }
    }

    /// I1.
    fn check(&mut self) {
        if !self.checks.double_vote {
            return;
        }
        let mut casting = self.nodes.iter().filter(|node| node.counts_yes(self.now));
        let Some(first) = casting.next() else { return };
        let casting: Vec<&Node> = casting.collect();
        let mut all = vec![first];
        all.extend(casting);
        for (i, x) in all.iter().enumerate() {
            for y in &all[i + 1..] {
                let disjoint = !x.members.iter().any(|node| y.members.contains(node));
                if x.ring != y.ring && disjoint {
                    let what = format!(
                        "node {} casts yes for ring {} {:?} and node {} for ring {} {:?}",
                        x.id, x.ring, x.members, y.id, y.ring, y.members
                    );
                    self.fail(Kind::DoubleVote, what);
                    return;
                }
            }
        }
    }

    fn delay(&mut self) -> u64 {
        let longest = self.plan.setup.max_delay;
        if self.rng.chance(80) {
            self.rng.below(longest.min(4) + 1)
        } else {
            self.rng.below(longest + 1)
        }
    }

    fn send(&mut self, conn: u64, way: Way, item: Item) {
        let at = self.now + self.delay();
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(at) = connection.pipe(way).push(at, item) {
            self.schedule(at, Event::Deliver(conn, way));
        }
    }

    /// Ends one end of a connection, in order or by RST.
    fn end(&mut self, conn: u64, way: Way) {
        if self.rng.chance(50) {
            self.send(conn, way, Item::End);
            return;
        }
        let at = self.now + self.delay();
        if let Some(connection) = self.conns.get_mut(&conn) {
            let at = connection.pipe(way).reset(at);
            self.schedule(at, Event::Deliver(conn, way));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver(conn, way) => self.deliver(conn, way),
            Event::Accept(conn) => self.accept(conn),
            Event::ServerClose(conn, cause) => self.server_close(conn, cause),
            Event::Timer(i, timer, generation) => {
                let mut out = Vec::new();
                self.nodes[i].timer(self.now, timer, generation, &mut self.rng, &mut out);
                self.apply(i, out);
            }
            Event::Learn(i, number) => {
                let (ring, members, current) = self.target[i].clone();
                if current == number && self.nodes[i].alive {
                    self.note(|| format!("node {} is in ring {ring} {members:?}", i + 1));
                    let mut out = Vec::new();
                    self.nodes[i].membership(self.now, ring, &members, &mut self.rng, &mut out);
                    self.apply(i, out);
                }
            }
            Event::Reload(i, number, more) => {
                if number < self.reloaded[i] {
                    return;
                }
                self.reloaded[i] = number;
                let config: Vec<u32> = (1..=self.plan.setup.nodes + u32::from(more)).collect();
                let mut out = Vec::new();
                if self.nodes[i].alive {
                    self.nodes[i].reload(self.now, &config, &mut out);
                } else {
                    self.nodes[i].config = config;
                }
                self.apply(i, out);
            }
            Event::Fault(i) => self.fault(&self.plan.faults[i].1.clone()),
            Event::Calm => self.calm(),
        }
    }

    fn accept(&mut self, conn: u64) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let i = connection.node;
        if !connection.client_open || !self.paths[i].is_up() || self.current[i] != Some(conn) {
            return;
        }
        connection.server_open = true;
        let address = format!("node{}:{conn}", i + 1);
        let now = Time::from_millis(self.now);
        self.engine.connect(now, ConnId(conn), &address);
        let mut out = Vec::new();
        self.nodes[i].connected(&mut out);
        self.apply(i, out);
    }

    fn deliver(&mut self, conn: u64, way: Way) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let i = connection.node;
        if !self.paths[i].carries(way) {
            return;
        }
        let Some(item) = connection.pipe(way).pop(self.now) else {
            return;
        };
        match (way, item) {
            (Way::ToArbiter, Item::Message(message)) if connection.server_open => {
                self.arbiter_receives(conn, i, &message);
            }
            (Way::ToArbiter, Item::Message(_)) => {
                // A closed socket answers with RST.
                if connection.client_open {
                    self.send(conn, Way::FromArbiter, Item::End);
                }
            }
            (Way::ToArbiter, Item::End) => {
                self.server_ends(conn, LeaveCause::ClosedByPeer);
            }
            (Way::FromArbiter, Item::Message(message)) => {
                if connection.client_open {
                    self.node_receives(i, &message);
                }
            }
            (Way::FromArbiter, Item::End) => {
                if connection.client_open {
                    connection.client_open = false;
                    self.current[i] = None;
                    self.note(|| format!("node {} sees the end of connection {conn}", i + 1));
                    let mut out = Vec::new();
                    self.nodes[i].lost(self.now, &mut self.rng, &mut out);
                    self.apply(i, out);
                }
            }
        }
    }

    fn arbiter_receives(&mut self, conn: u64, i: usize, message: &Message) {
        self.note(|| format!("{} > {}", i + 1, brief(message)));
        let node = i as u32 + 1;
        match message {
            Message::NodeList {
                ring_id: Some(ring),
                nodes,
                ..
            } => {
                let members = nodes.iter().map(|info| info.id.0).collect();
                self.ledger.membership(node, *ring, members);
            }
            Message::VoteInfoReply { seq } => self.ledger.confirmed(node, *seq),
            _ => {}
        }
        let bytes = message.encode();
        let mut input = &bytes[..];
        let mut decoder = FrameDecoder::new(qarbiter::wire::DEFAULT_MESSAGE_SIZE);
        if let Some(frame) = decoder.next(&mut input) {
            let now = Time::from_millis(self.now);
            let actions = self
                .engine
                .receive(now, ConnId(conn), frame, TlsView::Clear);
            self.perform(actions);
        }
    }

    fn node_receives(&mut self, i: usize, message: &Message) {
        let mut out = Vec::new();
        let result = self.nodes[i].message(self.now, message, &mut self.rng, &mut out);
        self.note(|| format!("      {} < {}", i + 1, brief(message)));
        if let Err(what) = result {
            self.fail(Kind::Protocol, format!("client of node {}: {what}", i + 1));
        }
        self.apply(i, out);
    }

    /// Carries the engine's wishes out.
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, message } => {
                    self.watch(to.0, &message);
                    self.send(to.0, Way::FromArbiter, Item::Message(message));
                }
                Action::Close { conn, reason } => {
                    self.note(|| format!("server closes {}: {reason}", conn.0));
                    let at = self.now + self.rng.below(5);
                    self.schedule(at, Event::ServerClose(conn.0, LeaveCause::Dropped));
                }
                Action::Event(event) => {
                    if let qarbiter::engine::Event::Refused { code, why, .. } = &event {
                        if *code != ErrorCode::DuplicateNodeId {
                            self.fail(Kind::Protocol, format!("refused: {why}"));
                        }
                    }
                    if let qarbiter::engine::Event::Decided { decision, .. } = &event {
                        self.note(|| format!("decision: {decision}"));
                    }
                }
                Action::Record(grant) => {
                    self.journal.insert(grant.cluster.clone(), grant);
                }
                Action::StartTls { .. } => {}
            }
        }
    }

    /// I2, from what the server sends.
    fn watch(&mut self, conn: u64, message: &Message) {
        let Some(node) = self.conns.get(&conn).map(|conn| conn.node as u32 + 1) else {
            return;
        };
        let now = self.now;
        let (vote, ring) = match message {
            Message::InitReply(_) | Message::EchoReply { .. } | Message::SetOptionReply { .. } => {
                return self.ledger.answered(now, conn);
            }
            Message::VoteInfo { seq, vote, ring_id } => {
                if *vote == Vote::Nack {
                    self.ledger.nack(node, *seq);
                }
                (*vote, *ring_id)
            }
            Message::NodeListReply { vote, ring_id, .. }
            | Message::HeuristicsChangeReply { vote, ring_id, .. } => (*vote, *ring_id),
            _ => return,
        };
        if vote == Vote::Ack {
            self.stats.acks += 1;
            if let Err(what) = self.ledger.ack(now, node, conn, ring) {
                if self.checks.ledger {
                    self.fail(Kind::Ungranted, what);
                }
            }
        }
    }

    fn server_ends(&mut self, conn: u64, cause: LeaveCause) -> bool {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return false;
        };
        if !connection.server_open {
            return false;
        }
        connection.server_open = false;
        let node = connection.node as u32 + 1;
        self.note(|| format!("server loses connection {conn} of node {node}: {cause:?}"));
        self.stats.lost += 1;
        // A connection that never got as far as INIT says nothing about the node.
        let now = Time::from_millis(self.now);
        let actions = self.engine.disconnect(now, ConnId(conn), cause);
        let was_joined = actions.iter().any(|action| {
            matches!(
                action,
                Action::Event(qarbiter::engine::Event::Left { node: NodeId(left), .. }) if *left == node
            )
        });
        if was_joined {
            self.ledger
                .ended(self.now, &self.plan.setup, node, conn, cause);
        }
        self.perform(actions);
        true
    }

    fn server_close(&mut self, conn: u64, cause: LeaveCause) {
        if self.server_ends(conn, cause) {
            self.end(conn, Way::FromArbiter);
        }
    }

    /// Carries a node's wishes out.
    fn apply(&mut self, i: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect => {
                    self.serial += 1;
                    let conn = self.serial;
                    self.current[i] = Some(conn);
                    self.conns.insert(conn, Conn::new(i));
                    let at = self.now + self.delay();
                    self.schedule(at, Event::Accept(conn));
                }
                Effect::Send(message) => {
                    if let Some(conn) = self.current[i] {
                        self.send(conn, Way::ToArbiter, Item::Message(message));
                    }
                }
                Effect::Close => {
                    self.note(|| format!("node {} closes its connection", i + 1));
                    self.client_closes(i);
                }
                Effect::Timer(timer, generation, delay) => {
                    self.schedule(self.now + delay, Event::Timer(i, timer, generation));
                }
            }
        }
    }

    fn client_closes(&mut self, i: usize) {
        let Some(conn) = self.current[i].take() else {
            return;
        };
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.client_open = false;
            self.end(conn, Way::ToArbiter);
        }
    }
}

fn brief(message: &Message) -> String {
    match message {
        Message::NodeList {
            list_type: qarbiter::wire::ListType::Membership,
            ring_id: Some(ring),
            nodes,
            heuristics,
            ..
        } => {
            let nodes: Vec<u32> = nodes.iter().map(|info| info.id.0).collect();
            format!("membership {nodes:?} ring {ring} heuristics {heuristics:?}")
        }
        Message::NodeList {
            list_type, quorate, ..
        } => format!("{list_type} quorate {quorate:?}"),
        Message::NodeListReply {
            list_type, vote, ..
        } => format!("{list_type} reply: {vote}"),
        Message::VoteInfo { seq, vote, ring_id } => {
            format!("push {seq}: {vote} for ring {ring_id}")
        }
        Message::HeuristicsChangeReply { vote, .. } => format!("heuristics reply: {vote}"),
        Message::InitReply(reply) => format!("Init reply: {}", reply.code),
        Message::Init(init) => format!("Init ring {}", init.ring_id),
        other => format!("{other:?}"),
    }
}

/// Whether the client is fully connected.
pub(crate) fn is_connected(node: &Node) -> bool {
    node.alive && node.link == Link::Working
}
