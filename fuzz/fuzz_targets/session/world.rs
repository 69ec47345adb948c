//! The arbiter, its connections and the clock.

use crate::casting::{Caster, Lost};
use crate::steps::{Nodes, Step};
use qarbiter::engine::{
    Action, ClusterPolicy, ConnId, Engine, Event, LeaveCause, SessionPolicy, Time, TlsView,
};
use qarbiter::wire::{
    Algorithm, ClusterName, DEFAULT_MESSAGE_SIZE, Frame, FrameDecoder, Heuristics, Init, ListType,
    Message, MessageType, NodeId, NodeInfo, Options, RingId, TieBreaker, TlsSupport,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Enough for several nodes with the same id, and for two clusters at once.
const MOST_CONNECTIONS: usize = 24;

/// Leases that one cluster may keep of nodes that are not there (its own limit is 384).
const MOST_LOST: usize = 384;

const CLUSTERS: u8 = 2;

struct Peer {
    decoder: FrameDecoder,
    cluster: u8,
    pushes: u32,
    caster: Option<Caster>,
}

pub struct World {
    engine: Engine,
    safe: bool,
    now: Time,
    next: u64,
    peers: BTreeMap<ConnId, Peer>,
    lost: Vec<Lost>,
}

impl World {
    pub fn new(safe: bool) -> Self {
        let sessions = SessionPolicy {
            tls: TlsSupport::Unsupported,
            ..SessionPolicy::default()
        };
        let clusters = match safe {
            true => ClusterPolicy::SAFE,
            false => ClusterPolicy::REFERENCE,
        };
        Self {
            engine: Engine::new(sessions, clusters),
            safe,
            now: Time::ZERO,
            next: 0,
            peers: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    pub fn perform(&mut self, step: Step) {
        match step {
            Step::Connect => drop(self.connect()),
            Step::Join {
                cluster,
                node,
                algorithm,
                tie_breaker,
                heartbeat,
            } => self.join(cluster, node, algorithm, tie_breaker, heartbeat),
            Step::Configured {
                place,
                initial,
                nodes,
            } => {
                let list_type = match initial {
                    true => ListType::InitialConfig,
                    false => ListType::ChangedConfig,
                };
                self.send(place, list(list_type, None, nodes, None));
            }
            Step::Membership {
                place,
                ring,
                nodes,
                heuristics,
            } => {
                let ring = RingId::new(u32::from(ring % 4), u64::from(ring / 4));
                let heuristics = heuristics_of(heuristics);
                let message = list(ListType::Membership, Some(ring), nodes, heuristics);
                self.send(place, message);
            }
            Step::Quorum { place } => self.send(place, list(ListType::Quorum, None, 1, None)),
            Step::Heuristics { place, pass } => {
                let heuristics = match pass {
                    true => Heuristics::Pass,
                    false => Heuristics::Fail,
                };
                self.send(place, Message::HeuristicsChange { seq: 1, heuristics });
            }
            Step::AskForVote { place } => self.send(place, Message::AskForVote { seq: 1 }),
            Step::Echo { place } => self.send(place, Message::EchoRequest { seq: Some(1) }),
            Step::SetOption {
                place,
                heartbeat,
                keep_active,
            } => {
                let heartbeat_ms = heartbeat.map(heartbeat_ms);
                self.send(
                    place,
                    Message::SetOption {
                        seq: Some(1),
                        heartbeat_ms,
                        keep_active,
                    },
                );
            }
            Step::Confirm { place, back } => {
                let Some(conn) = self.at(place) else { return };
                let last = self.peers.get(&conn).map_or(0, |peer| peer.pushes);
                let seq = last.wrapping_sub(u32::from(back % 3));
                self.hear(conn, &Message::VoteInfoReply { seq }.encode());
            }
            Step::Raw { place, kind, body } => {
                let Some(conn) = self.at(place) else { return };
                let mut bytes = u16::from(kind % 20).to_be_bytes().to_vec();
                bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&body);
                self.hear(conn, &bytes);
            }
            Step::Bytes { place, bytes } => {
                let Some(conn) = self.at(place) else { return };
                self.hear(conn, &bytes);
            }
            Step::Disconnect { place, cause } => {
                let Some(conn) = self.at(place) else { return };
                let causes = [
                    LeaveCause::ClosedByPeer,
                    LeaveCause::DeadPeer,
                    LeaveCause::NetworkLost,
                    LeaveCause::Dropped,
                ];
                self.end(conn, causes[usize::from(cause) % causes.len()]);
            }
            Step::Wait(units) => self.wait(self.now + Duration::from_millis(16) * u32::from(units)),
            Step::WaitUntilDue => {
                if let Some(due) = self.engine.poll_timeout() {
                    self.wait(due.max(self.now));
                }
            }
        }
    }

    /// What must hold at any moment.
    pub fn check(&self) {
        for number in 0..CLUSTERS {
            let here = self.peers.values().filter(|peer| peer.cluster == number);
            let connections = here.clone().count();
            if let Some(cluster) = self.engine.cluster(&name(number)) {
                let seen = cluster.snapshot(self.now);
                assert!(seen.clients.len() <= connections);
                assert!(seen.leases.len() <= MOST_LOST);
            }
            if !self.safe {
                continue;
            }
            let connected = here.filter_map(|peer| peer.caster.as_ref()?.ring());
            let lost = self.lost.iter();
            let lost = lost.filter(|lost| lost.cluster == number && lost.until > self.now);
            let mut rings: Vec<RingId> = connected.chain(lost.map(|lost| lost.ring)).collect();
            rings.sort_unstable();
            rings.dedup();
            assert!(
                rings.len() <= 1,
                "nodes of several rings may be casting the vote: {rings:?}\n{:#?}\n{:#?}",
                self.lost,
                self.peers
                    .values()
                    .map(|peer| &peer.caster)
                    .collect::<Vec<_>>()
            );
        }
    }

    fn at(&self, place: u8) -> Option<ConnId> {
        let place = usize::from(place).checked_rem(self.peers.len())?;
        self.peers.keys().nth(place).copied()
    }

    fn connect(&mut self) -> Option<ConnId> {
        if self.peers.len() >= MOST_CONNECTIONS {
            return None;
        }
        let conn = ConnId(self.next);
        self.next += 1;
        self.engine.connect(self.now, conn, "peer");
        let peer = Peer {
            decoder: FrameDecoder::new(DEFAULT_MESSAGE_SIZE),
            cluster: u8::MAX,
            pushes: 0,
            caster: None,
        };
        self.peers.insert(conn, peer);
        Some(conn)
    }

    fn join(&mut self, cluster: u8, node: u8, algorithm: u8, tie_breaker: u8, heartbeat: u8) {
        let Some(conn) = self.connect() else { return };
        let cluster = name(cluster % CLUSTERS);
        let seq = Some(1);
        let init = Init {
            seq,
            node: NodeId(u32::from(node % 9)),
            // Most clusters run ffsplit: the invariant is about them.
            algorithm: [1, 1, 1, 1, 1, 0, 2, 3][usize::from(algorithm % 8)],
            heartbeat_ms: heartbeat_ms(heartbeat),
            tie_breaker: match tie_breaker % 8 {
                0 => TieBreaker::Highest,
                1 => TieBreaker::Node(NodeId(2)),
                _ => TieBreaker::Lowest,
            },
            ring_id: RingId::NONE,
        };
        self.hear(conn, &Message::Preinit { seq, cluster }.encode());
        self.hear(conn, &Message::Init(init).encode());
    }

    fn send(&mut self, place: u8, message: Message) {
        if let Some(conn) = self.at(place) {
            self.hear(conn, &message.encode());
        }
    }

    /// Bytes arrive on a connection.
    fn hear(&mut self, conn: ConnId, mut bytes: &[u8]) {
        loop {
            let Some(peer) = self.peers.get_mut(&conn) else {
                return;
            };
            let Some(frame) = peer.decoder.next(&mut bytes) else {
                return;
            };
            self.note_what_it_says(conn, &frame);
            let actions = self.engine.receive(self.now, conn, frame, TlsView::Clear);
            self.note_who_joined(conn, &actions);
            self.carry_out(actions);
        }
    }

    /// What a message says about the vote is true from the moment that it is sent.
    fn note_what_it_says(&mut self, conn: ConnId, frame: &Frame) {
        let Frame::Message { kind, body } = frame else {
            return;
        };
        let Ok(options) = Options::decode(body) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(caster) = &mut peer.caster else {
            return;
        };
        let (cluster, node) = (caster.cluster, caster.node);
        let same = |lost: &Lost| (lost.cluster, lost.node) == (cluster, node);
        match (kind, options.list_type, options.ring_id, options.seq) {
            (MessageType::NodeList, Some(ListType::Membership), Some(ring), _) => {
                caster.sees(ring);
                self.lost.retain(|lost| !same(lost) || lost.ring == ring);
            }
            (MessageType::VoteInfoReply, _, _, Some(seq)) if caster.confirms(seq) => {
                self.lost.retain(|lost| !same(lost));
            }
            (MessageType::SetOption, ..) => {
                let asked = options.heartbeat_ms;
                let allowed = asked.filter(|ms| (1000..=120_000).contains(ms));
                let allowed = allowed.map(|ms| Duration::from_millis(u64::from(ms)));
                caster.heartbeat = allowed.unwrap_or(caster.heartbeat);
            }
            (MessageType::Preinit, ..) | (MessageType::Init, ..) => {}
            _ => {}
        }
    }

    fn note_who_joined(&mut self, conn: ConnId, actions: &[Action]) {
        for action in actions {
            let Action::Event(Event::Joined {
                cluster,
                node,
                algorithm,
                ..
            }) = action
            else {
                continue;
            };
            let peer = self
                .peers
                .get_mut(&conn)
                .expect("only an open connection joins");
            let number = (0..CLUSTERS).find(|number| name(*number) == *cluster);
            peer.cluster = number.unwrap_or(u8::MAX);
            if *algorithm == Algorithm::FfSplit && number.is_some() {
                let seen = self.engine.cluster(cluster).expect("somebody joined it");
                let seen = seen.snapshot(self.now);
                let client = seen.clients.iter().find(|client| client.node == *node);
                let ms = client.expect("it joined").heartbeat_ms;
                let heartbeat = Duration::from_millis(u64::from(ms));
                let caster = Caster::new(peer.cluster, *node, heartbeat, self.now);
                peer.caster = Some(caster);
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut closing = Vec::new();
        for action in actions {
            match action {
                Action::Send { to, message } => {
                    let peer = self.peers.get_mut(&to);
                    let peer = peer.expect("a message goes to an open connection");
                    assert!(message.encode().len() <= DEFAULT_MESSAGE_SIZE as usize);
                    if let Message::VoteInfo { seq, .. } = &message {
                        peer.pushes = *seq;
                    }
                    if let Some(caster) = &mut peer.caster {
                        caster.told(self.now, &message);
                    }
                }
                Action::Close { conn, .. } => closing.push(conn),
                Action::StartTls { .. } => panic!("TLS starts although it is off"),
                Action::Record(_) | Action::Event(_) => {}
            }
        }
        for conn in closing {
            self.end(conn, LeaveCause::Dropped);
        }
    }

    fn end(&mut self, conn: ConnId, cause: LeaveCause) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        if cause != LeaveCause::ClosedByPeer {
            self.lost.extend(peer.caster.and_then(Caster::lose));
        }
        let actions = self.engine.disconnect(self.now, conn, cause);
        self.carry_out(actions);
    }

    /// Time passes, and everything happens when it is due.
    fn wait(&mut self, until: Time) {
        // Connections that end can make something else due at once, but not for ever.
        let mut at_once = 0;
        loop {
            let due = self.engine.poll_timeout().filter(|due| *due <= until);
            let Some(due) = due else { break };
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < MOST_CONNECTIONS, "what was due is still due");
            self.now = due.max(self.now);
            let actions = self.engine.handle_timeout(self.now);
            self.carry_out(actions);
        }
        self.now = until;
        self.lost.retain(|lost| lost.until > until);
    }
}

fn name(number: u8) -> ClusterName {
    ClusterName::new(&[b'a' + number])
}

fn heartbeat_ms(number: u8) -> u32 {
    1000 + 500 * u32::from(number % 4)
}

fn heuristics_of(number: u8) -> Option<Heuristics> {
    match number % 8 {
        0 => Some(Heuristics::Pass),
        1 => Some(Heuristics::Fail),
        _ => None,
    }
}

fn list(
    list_type: ListType,
    ring_id: Option<RingId>,
    nodes: Nodes,
    heuristics: Option<Heuristics>,
) -> Message {
    let nodes = (0..8u32).filter(|bit| nodes & (1 << bit) != 0);
    Message::NodeList {
        seq: 1,
        list_type,
        ring_id,
        config_version: None,
        quorate: (list_type == ListType::Quorum).then_some(true),
        nodes: nodes.map(|bit| NodeInfo::new(bit + 1)).collect(),
        heuristics,
    }
}
