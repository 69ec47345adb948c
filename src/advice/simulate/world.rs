//! Virtual time: the arbiter, the nodes, and the network between them.

use super::fault::Fault;
use super::member::{CLUSTER, Effect, Member, Timer, millis};
use super::network::{Conn, Item, Way};
use super::setup::Setup;
use super::state::State;
use crate::engine::{Action, ConnId, Engine, Grant, LeaveCause, SessionPolicy, Time, TlsView};
use crate::wire::{
    ClusterName, DEFAULT_MESSAGE_SIZE, FrameDecoder, Message, NodeId, RingId, TlsSupport,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a message takes, milliseconds.
const DELAY: u64 = 1;

/// After how many milliseconds TCP sends again, once a link works again.
const RESEND: u64 = 3000;

/// More steps than any sound story takes between two faults.
const STEP_LIMIT: u32 = 2_000_000;

/// A simulation takes too many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the simulation takes too long, because the shortest and the longest of the cluster's times \
     (quorum.device.timeout, quorum.device.sync_timeout, totem.token) are too far apart"
)]
pub struct TooLong;

#[derive(Debug)]
enum Event {
    Deliver(u64, Way),
    Accept(u64),
    ServerClose(u64),
    Timer(NodeId, u64, Timer, u64),
    Learn(NodeId, u64),
}

/// What a node has of the network.
#[derive(Debug)]
struct Place {
    /// Part of the nodes' network.
    part: usize,
    reaches_arbiter: bool,
    /// The membership that it has learnt or is about to learn, with a number.
    target: (RingId, Vec<NodeId>, u64),
    /// Highest sequence number of its rings.
    ring_seq: u64,
    /// The client's present connection.
    conn: Option<u64>,
    /// Number of its last boot.
    boot: u64,
}

pub(super) struct World<'a> {
    setup: &'a Setup,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    engine: Option<Engine>,
    /// What the arbiter wrote down last.
    recorded: Option<Grant>,
    members: BTreeMap<NodeId, Member>,
    places: BTreeMap<NodeId, Place>,
    conns: BTreeMap<u64, Conn>,
    /// What was last observed, and since when it is so.
    observed: State,
    changed_at: u64,
    /// Whether two parts were quorate at the same time.
    conflict: bool,
    /// Nodes that ran without quorum at one time.
    stopped: BTreeSet<NodeId>,
}

/// What was seen since the last look.
pub(super) struct Seen {
    /// What is so now.
    pub(super) state: State,
    /// Since when nothing has changed for the nodes, milliseconds.
    pub(super) changed_at: u64,
    /// Whether two parts were quorate at the same time.
    pub(super) conflict: bool,
    /// Nodes that ran without quorum at one time.
    pub(super) stopped: BTreeSet<NodeId>,
}

impl<'a> World<'a> {
    /// All nodes boot together; heartbeats follow one another `stagger` milliseconds apart.
    pub(super) fn boot(setup: &'a Setup, stagger: u64) -> Self {
        let place = |node: &NodeId| Place {
            part: 0,
            reaches_arbiter: true,
            target: (RingId::new(node.0, 0), Vec::new(), 0),
            ring_seq: 0,
            conn: None,
            boot: 0,
        };
        let mut world = Self {
            setup,
            now: 0,
            queue: BTreeMap::new(),
            serial: 0,
            engine: Some(new_engine(setup)),
            recorded: None,
            members: BTreeMap::new(),
            places: setup.nodes().iter().map(|n| (*n, place(n))).collect(),
            conns: BTreeMap::new(),
            observed: State::default(),
            changed_at: 0,
            conflict: false,
            stopped: BTreeSet::new(),
        };
        for (i, node) in (0u64..).zip(setup.nodes()) {
            world.boot_node(*node, i * stagger);
        }
        world.reform();
        world
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn look(&mut self) -> Seen {
        Seen {
            state: self.state(),
            changed_at: self.changed_at,
            conflict: std::mem::take(&mut self.conflict),
            stopped: std::mem::take(&mut self.stopped),
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((at, self.serial), event);
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// Steps until `end`, milliseconds.
    ///
    /// # Errors
    /// It takes too many steps.
    pub(super) fn run_until(&mut self, end: u64) -> Result<(), TooLong> {
        for _ in 0..STEP_LIMIT {
            let event_at = self.queue.keys().next().map(|(at, _)| *at);
            let engine_at = self
                .engine
                .as_ref()
                .and_then(Engine::poll_timeout)
                .map(|at| millis(at.since_start() + Duration::from_micros(999)).max(self.now));
            let next = match (engine_at, event_at) {
                (Some(engine), Some(event)) => engine.min(event),
                (engine, event) => engine.or(event).unwrap_or(end),
            };
            if next >= end {
                self.now = end;
                return Ok(());
            }
            self.now = next;
            if engine_at == Some(next) {
                let now = self.time();
                let actions = self
                    .engine
                    .as_mut()
                    .map(|engine| engine.handle_timeout(now));
                self.perform(actions.unwrap_or_default());
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.handle(event);
            }
            self.observe();
        }
        Err(TooLong)
    }

    fn observe(&mut self) {
        let state = State::of(self.setup, &self.members, None, false);
        self.conflict |= state.has_conflict();
        self.stopped.extend(state.without_quorum());
        if !state.counts_the_same(&self.observed) {
            self.observed = state;
            self.changed_at = self.now;
        }
    }

    fn state(&self) -> State {
        let name = ClusterName::new(CLUSTER);
        let cluster = self
            .engine
            .as_ref()
            .and_then(|engine| engine.cluster(&name));
        let reachable = self.engine.is_some()
            && self
                .members
                .keys()
                .any(|node| self.places.get(node).is_some_and(|p| p.reaches_arbiter));
        State::of(
            self.setup,
            &self.members,
            cluster.map(|cluster| cluster.snapshot(self.time())),
            reachable,
        )
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver(conn, way) => self.deliver(conn, way),
            Event::Accept(conn) => self.accept(conn),
            Event::ServerClose(conn) => {
                if self.server_ends(conn, LeaveCause::Dropped) {
                    self.send(conn, Way::FromArbiter, Item::End);
                }
            }
            Event::Timer(node, boot, timer, number) => {
                let current = self.places.get(&node).is_some_and(|p| p.boot == boot);
                if current {
                    self.with_member(node, |member, out| member.timer(timer, number, out));
                }
            }
            Event::Learn(node, number) => {
                let Some(place) = self.places.get(&node) else {
                    return;
                };
                let (ring, members, current) = place.target.clone();
                if current != number {
                    return;
                }
                let expected = members
                    .iter()
                    .filter_map(|other| self.members.get(other))
                    .map(|other| other.corosync.expected)
                    .max()
                    .unwrap_or(0);
                self.with_member(node, |member, out| {
                    member.membership(ring, &members, expected, out);
                });
            }
        }
    }

    fn with_member(&mut self, node: NodeId, act: impl FnOnce(&mut Member, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        if let Some(member) = self.members.get_mut(&node) {
            act(member, &mut out);
        }
        self.apply(node, out);
    }

    fn apply(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            let Some(place) = self.places.get_mut(&node) else {
                return;
            };
            match effect {
                Effect::Connect => {
                    self.serial += 1;
                    let conn = self.serial;
                    place.conn = Some(conn);
                    self.conns.insert(conn, Conn::new(node));
                    self.schedule(self.now + DELAY, Event::Accept(conn));
                }
                Effect::Send(message) => {
                    if let Some(conn) = place.conn {
                        self.send(conn, Way::ToArbiter, Item::Message(message));
                    }
                }
                Effect::Close => {
                    if let Some(conn) = place.conn.take() {
                        if let Some(connection) = self.conns.get_mut(&conn) {
                            connection.client_open = false;
                        }
                        self.send(conn, Way::ToArbiter, Item::End);
                    }
                }
                Effect::Timer(timer, number, delay) => {
                    let boot = place.boot;
                    self.schedule(self.now + delay, Event::Timer(node, boot, timer, number));
                }
            }
        }
    }

    fn reaches(&self, node: NodeId) -> bool {
        self.places.get(&node).is_some_and(|p| p.reaches_arbiter)
    }

    fn send(&mut self, conn: u64, way: Way, item: Item) {
        let at = self.now + DELAY;
        if let Some(connection) = self.conns.get_mut(&conn) {
            let at = connection.push(way, at, item);
            self.schedule(at, Event::Deliver(conn, way));
        }
    }

    fn accept(&mut self, conn: u64) {
        let now = self.time();
        let Some(node) = self.conns.get(&conn).map(|connection| connection.node) else {
            return;
        };
        let is_current = self.places.get(&node).is_some_and(|p| p.conn == Some(conn));
        if !is_current || !self.reaches(node) {
            return;
        }
        let Some(engine) = &mut self.engine else {
            // Refused: nobody listens.
            self.client_sees_end(node);
            return;
        };
        engine.connect(now, ConnId(conn), &format!("node {node}"));
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.server_open = true;
        }
        self.with_member(node, Member::connected);
    }

    fn client_sees_end(&mut self, node: NodeId) {
        let conn = self
            .places
            .get_mut(&node)
            .and_then(|place| place.conn.take());
        if let Some(connection) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            connection.client_open = false;
        }
        self.with_member(node, Member::lost);
    }

    fn deliver(&mut self, conn: u64, way: Way) {
        let now = self.now;
        let Some(node) = self.conns.get(&conn).map(|connection| connection.node) else {
            return;
        };
        if !self.reaches(node) {
            return;
        }
        let Some(connection) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(item) = connection.pop(way, now) else {
            return;
        };
        let (client_open, server_open) = (connection.client_open, connection.server_open);
        match (way, item) {
            (Way::ToArbiter, Item::Message(message)) if server_open => {
                self.arbiter_receives(conn, &message);
            }
            // A closed socket answers with a reset.
            (Way::ToArbiter, Item::Message(_)) if client_open => {
                self.send(conn, Way::FromArbiter, Item::End);
            }
            (Way::ToArbiter, Item::End) => {
                self.server_ends(conn, LeaveCause::ClosedByPeer);
            }
            (Way::FromArbiter, Item::Message(message)) if client_open => {
                self.with_member(node, |member, out| member.message(&message, out));
            }
            (Way::FromArbiter, Item::End) if client_open => self.client_sees_end(node),
            _ => {}
        }
        let over = self
            .conns
            .get(&conn)
            .is_some_and(|connection| !connection.client_open && !connection.server_open);
        if over {
            self.conns.remove(&conn);
        }
    }

    fn arbiter_receives(&mut self, conn: u64, message: &Message) {
        let now = self.time();
        let bytes = message.encode();
        let mut input = bytes.as_slice();
        let frame = FrameDecoder::new(DEFAULT_MESSAGE_SIZE).next(&mut input);
        if let (Some(engine), Some(frame)) = (&mut self.engine, frame) {
            let actions = engine.receive(now, ConnId(conn), frame, TlsView::Clear);
            self.perform(actions);
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, message } => {
                    self.send(to.0, Way::FromArbiter, Item::Message(message));
                }
                Action::Close { conn, .. } => {
                    self.schedule(self.now, Event::ServerClose(conn.0));
                }
                Action::Record(grant) => self.recorded = Some(grant),
                Action::StartTls { .. } | Action::Event(_) => {}
            }
        }
    }

    /// Returns whether the arbiter still had the connection.
    fn server_ends(&mut self, conn: u64, cause: LeaveCause) -> bool {
        let now = self.time();
        let Some(connection) = self.conns.get_mut(&conn).filter(|c| c.server_open) else {
            return false;
        };
        connection.server_open = false;
        if let Some(engine) = &mut self.engine {
            let actions = engine.disconnect(now, ConnId(conn), cause);
            self.perform(actions);
        }
        true
    }

    /// Nodes that see each other but are in different rings form a new one, and so do rings that
    /// lost a member.
    fn reform(&mut self) {
        let delay = millis(self.setup.membership_delay());
        let parts: BTreeSet<usize> = self.places.values().map(|place| place.part).collect();
        for part in parts {
            let members: Vec<NodeId> = self
                .members
                .keys()
                .copied()
                .filter(|node| self.places.get(node).is_some_and(|p| p.part == part))
                .collect();
            let target = |node: &NodeId| self.places.get(node).map(|place| &place.target);
            let Some(first) = members.first() else {
                continue;
            };
            let ring = target(first).map(|target| target.0);
            let settled = members.iter().all(|node| {
                target(node).is_some_and(|(own, list, _)| Some(*own) == ring && *list == members)
            });
            if settled {
                continue;
            }
            let highest = members.iter().filter_map(|node| self.places.get(node));
            let seq = 4 + highest.map(|place| place.ring_seq).max().unwrap_or(0);
            let ring = RingId::new(first.0, seq);
            for node in &members {
                self.serial += 1;
                let number = self.serial;
                if let Some(place) = self.places.get_mut(node) {
                    place.ring_seq = seq;
                    place.target = (ring, members.clone(), number);
                }
                self.schedule(self.now + delay, Event::Learn(*node, number));
            }
        }
    }

    fn boot_node(&mut self, node: NodeId, delay: u64) {
        self.serial += 1;
        let boot = self.serial;
        if let Some(place) = self.places.get_mut(&node) {
            place.boot = boot;
            place.target.1.clear();
        }
        let mut out = Vec::new();
        let member = Member::boot(self.setup, node, delay, &mut out);
        self.members.insert(node, member);
        self.apply(node, out);
    }

    /// The node is gone; `says_goodbye` if its client closes its connection first.
    fn end_node(&mut self, node: NodeId, says_goodbye: bool) {
        if self.members.remove(&node).is_none() {
            return;
        }
        let Some(place) = self.places.get_mut(&node) else {
            return;
        };
        place.boot = 0;
        place.target.1.clear();
        let Some(conn) = place.conn.take() else {
            return;
        };
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.client_open = false;
            if !says_goodbye {
                connection.forget(Way::ToArbiter);
            }
        }
        if says_goodbye {
            self.send(conn, Way::ToArbiter, Item::End);
        }
    }

    /// Something happens, now.
    pub(super) fn strike(&mut self, fault: &Fault) {
        match fault {
            Fault::Cut(parts) => {
                // Nodes in no part of it stay together.
                for (node, place) in &mut self.places {
                    let part = parts.iter().position(|part| part.contains(node));
                    place.part = part.map_or(0, |part| part + 1);
                }
            }
            Fault::Heal => {
                for place in self.places.values_mut() {
                    place.part = 0;
                }
                self.mend_all();
            }
            Fault::FindArbiter => self.mend_all(),
            Fault::LoseArbiter(nodes) => {
                for (node, place) in &mut self.places {
                    place.reaches_arbiter &= !nodes.is_empty() && !nodes.contains(node);
                }
            }
            Fault::KillArbiter => self.end_arbiter(),
            Fault::RestartArbiter => {
                self.end_arbiter();
                let mut engine = new_engine(self.setup);
                if let Some(grant) = &self.recorded {
                    engine.restore(self.time(), grant);
                }
                self.engine = Some(engine);
            }
            Fault::Kill(node) => self.end_node(*node, false),
            Fault::Stop(node) => self.end_node(*node, true),
            Fault::Restart(node) => {
                self.end_node(*node, false);
                self.boot_node(*node, 0);
            }
            Fault::Isolate(node) => {
                let unused = self.places.values().map(|place| place.part).max();
                if let Some(place) = self.places.get_mut(node) {
                    place.part = unused.unwrap_or(0) + 1;
                    place.reaches_arbiter = false;
                }
            }
        }
        self.reform();
        self.changed_at = self.now;
        self.observed = self.state();
    }

    fn mend_all(&mut self) {
        for node in self.setup.nodes() {
            self.mend(*node);
        }
    }

    fn mend(&mut self, node: NodeId) {
        let Some(place) = self.places.get_mut(&node).filter(|p| !p.reaches_arbiter) else {
            return;
        };
        place.reaches_arbiter = true;
        let at = self.now + RESEND;
        let mut again = Vec::new();
        for (conn, connection) in self.conns.iter_mut().filter(|(_, c)| c.node == node) {
            for way in [Way::ToArbiter, Way::FromArbiter] {
                let count = connection.resend(way, at);
                again.extend((0..count).map(|_| (*conn, way)));
            }
        }
        for (conn, way) in again {
            self.schedule(at, Event::Deliver(conn, way));
        }
    }

    fn end_arbiter(&mut self) {
        if self.engine.take().is_none() {
            return;
        }
        let open: Vec<u64> = self
            .conns
            .iter_mut()
            .filter(|(_, connection)| connection.server_open)
            .map(|(conn, connection)| {
                connection.server_open = false;
                *conn
            })
            .collect();
        for conn in open {
            self.send(conn, Way::FromArbiter, Item::End);
        }
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
