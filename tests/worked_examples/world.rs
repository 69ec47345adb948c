//! One arbiter and its clients in virtual time. What the clients say and hear are bytes.

use crate::client::{Client, HEARTBEAT_MS};
use crate::script::{Deed, Event, Mode, Received};
use qarbiter::engine::{
    Action, ClusterPolicy, ConnId, Engine, LeaveCause, SessionPolicy, Time, TlsView,
};
use qarbiter::wire::{
    Algorithm, ClusterName, DEFAULT_MESSAGE_SIZE, Frame, FrameDecoder, Init, Message, NodeId,
    Options, RingId, TieBreaker, TlsSupport,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// One arbiter, one cluster.
pub(crate) struct World {
    mode: Mode,
    algorithm: Algorithm,
    tie_breaker: TieBreaker,
    engine: Engine,
    now: Time,
    connections: u64,
    nodes: BTreeMap<char, u32>,
    clients: BTreeMap<char, Client>,
    received: Received,
    violations: Vec<String>,
}

impl World {
    /// Nobody is connected.
    pub(crate) fn new(mode: Mode, algorithm: Algorithm, tie_breaker: TieBreaker) -> Self {
        let policy = match mode {
            Mode::Reference => ClusterPolicy::REFERENCE,
            Mode::Safe => ClusterPolicy::SAFE,
            Mode::SafeNoLeases => ClusterPolicy {
                vote_leases: false,
                ..ClusterPolicy::SAFE
            },
        };
        let session_policy = SessionPolicy {
            tls: TlsSupport::Unsupported,
            ..SessionPolicy::default()
        };
        Self {
            mode,
            algorithm,
            tie_breaker,
            engine: Engine::new(session_policy, policy),
            now: Time::from_millis(1000),
            connections: 0,
            nodes: BTreeMap::new(),
            clients: BTreeMap::new(),
            received: Received::new(),
            violations: Vec::new(),
        }
    }

    /// Gives a client a node id that does not follow from its letter.
    pub(crate) fn name_node(&mut self, name: char, node: u32) {
        self.nodes.insert(name, node);
    }

    /// What every client received since the last call.
    pub(crate) fn take_received(&mut self) -> Received {
        std::mem::take(&mut self.received)
    }

    /// What no client may ever see, since the last call.
    pub(crate) fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// Something happens.
    pub(crate) fn happens(&mut self, event: &Event) {
        match event {
            Event::Wait(time) => self.wait(*time),
            Event::Client(name, Deed::Connect { ring, keep_active }) => {
                self.connect(*name, *ring, *keep_active);
            }
            Event::Client(name, Deed::Leave) => {
                let client = self.clients.remove(name).unwrap();
                self.ended(client.conn, LeaveCause::ClosedByPeer);
            }
            Event::Client(name, Deed::FallSilent) => {
                self.clients.get_mut(name).unwrap().next_echo = None;
            }
            Event::Client(name, deed) => self.speaks(*name, deed),
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let echo = self
                .clients
                .values()
                .filter_map(|client| client.next_echo)
                .min();
            let next = [echo, self.engine.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let actions = self.engine.handle_timeout(self.now);
            self.act(actions);
            let due = self
                .clients
                .iter()
                .filter(|(_, c)| c.next_echo.is_some_and(|at| at <= self.now));
            for name in due.map(|(name, _)| *name).collect::<Vec<_>>() {
                self.speaks(name, &Deed::Echo);
                let heard = self.received.get_mut(&name).unwrap();
                assert_eq!(heard.pop().as_deref(), Some("echo"), "heartbeat of {name}");
                if heard.is_empty() {
                    self.received.remove(&name);
                }
            }
        }
        self.now = end;
    }

    fn connect(&mut self, name: char, ring: RingId, keep_active: bool) {
        let usual = name as u32 - 'A' as u32 + 1;
        let node = self.nodes.get(&name).copied().unwrap_or(usual);
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.engine.connect(self.now, conn, "192.0.2.1:1");
        let client = Client::new(conn, node, ring, self.now);
        assert!(
            self.clients.insert(name, client).is_none(),
            "{name} is here"
        );
        let cluster = ClusterName::new(b"worked");
        let greeting = [
            Message::Preinit {
                seq: Some(1),
                cluster,
            },
            Message::Init(Init {
                seq: Some(2),
                node: NodeId(node),
                algorithm: self.algorithm.to_wire(),
                heartbeat_ms: HEARTBEAT_MS,
                tie_breaker: self.tie_breaker,
                ring_id: ring,
            }),
            Message::SetOption {
                seq: Some(3),
                heartbeat_ms: None,
                keep_active: Some(keep_active),
            },
        ];
        for message in greeting {
            self.sends(name, &message);
        }
        let welcome = self.received.remove(&name).unwrap();
        assert_eq!(welcome, ["PREINIT_REPLY", "INIT_REPLY", "SET_OPTION_REPLY"]);
    }

    fn speaks(&mut self, name: char, deed: &Deed) {
        let message = self.clients.get_mut(&name).unwrap().says(deed, self.now);
        self.sends(name, &message);
    }

    /// Bytes leave a client, cut in two to see that nothing depends on how they arrive.
    fn sends(&mut self, name: char, message: &Message) {
        let bytes = message.encode();
        let client = self.clients.get_mut(&name).unwrap();
        let conn = client.conn;
        let (mut head, mut tail) = bytes.split_at(bytes.len() / 2);
        assert_eq!(client.decoder.next(&mut head), None);
        let frame = client.decoder.next(&mut tail).unwrap();
        let actions = self.engine.receive(self.now, conn, frame, TlsView::Clear);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, message } => self.arrives(to, &message),
                Action::Close { conn, .. } => self.closed(conn),
                Action::StartTls { conn } => panic!("TLS on {conn:?}"),
                Action::Record(_) | Action::Event(_) => {}
            }
        }
    }

    fn closed(&mut self, conn: ConnId) {
        let name = self.name_of(conn);
        self.clients.remove(&name);
        let told = self.received.entry(name).or_default();
        told.push("closed".to_owned());
        self.ended(conn, LeaveCause::Dropped);
    }

    fn ended(&mut self, conn: ConnId, cause: LeaveCause) {
        let actions = self.engine.disconnect(self.now, conn, cause);
        self.act(actions);
    }

    fn name_of(&self, conn: ConnId) -> char {
        let mut found = self.clients.iter().filter(|(_, c)| c.conn == conn);
        let (name, _) = found.next().expect("only clients that are here are told");
        *name
    }

    /// Bytes arrive at a client. It checks all that does not depend on the row.
    fn arrives(&mut self, to: ConnId, message: &Message) {
        let name = self.name_of(to);
        let client = self.clients.get_mut(&name).unwrap();
        let bytes = message.encode();
        let mut input = &bytes[..];
        let frame = FrameDecoder::new(DEFAULT_MESSAGE_SIZE).next(&mut input);
        let Some(Frame::Message { kind, body }) = frame else {
            panic!("not a message: {frame:?}");
        };
        let options = Options::decode(&body).unwrap();
        let word = client.hears(kind, &options);
        self.received.entry(name).or_default().push(word);
        self.look_for_two_voters();
    }

    /// Under our rules two partitions never count the vote at the same time.
    fn look_for_two_voters(&mut self) {
        if self.mode == Mode::Reference || self.algorithm == Algorithm::Test {
            return;
        }
        let mut voters = self
            .clients
            .iter()
            .filter_map(|(name, client)| Some((*name, client.casts?)));
        let Some((first, ring)) = voters.next() else {
            return;
        };
        if let Some((other, _)) = voters.find(|(_, other)| *other != ring) {
            self.violations.push(format!(
                "{first} and {other} cast the vote in two partitions"
            ));
        }
    }
}
