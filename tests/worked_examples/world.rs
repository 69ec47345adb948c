//! One arbiter and its clients in virtual time. What the clients say and hear are bytes.

use crate::script::{Deed, Event, Mode, Push, Received};
use qarbiter::engine::{
    Action, CloseReason, ClusterPolicy, ConnId, Engine, LeaveCause, SessionPolicy, Time, TlsView,
};
use qarbiter::wire::{
    Algorithm, ClusterName, DEFAULT_MESSAGE_SIZE, ErrorCode, Frame, FrameDecoder, Init, ListType,
    Message, MessageType, NodeId, NodeInfo, Options, RingId, TieBreaker, TlsSupport, Vote,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Default heartbeat interval of a stock client.
const HEARTBEAT_MS: u32 = 8000;

/// A client's request that waits for its reply.
struct Request {
    seq: u32,
    reply: MessageType,
    list_type: Option<ListType>,
}

/// A client as far as a scripted one needs to think.
struct Client {
    conn: ConnId,
    /// Of what it sends, at the server's end.
    decoder: FrameDecoder,
    node: u32,
    ring: RingId,
    seq: u32,
    pushes: u32,
    request: Option<Request>,
    next_echo: Time,
    /// The ring for which it tells corosync to count our vote, in the worst case: a pushed NACK
    /// takes effect only when the client confirms it.
    casts: Option<RingId>,
    nack_arrived: bool,
}

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
            Event::Client(name, deed) => self.speaks(*name, deed),
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let echo = self.clients.values().map(|client| client.next_echo).min();
            let next = [echo, self.engine.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let actions = self.engine.handle_timeout(self.now);
            self.act(actions);
            let due = self.clients.iter().filter(|(_, c)| c.next_echo <= self.now);
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
        let client = Client {
            conn,
            decoder: FrameDecoder::new(DEFAULT_MESSAGE_SIZE),
            node,
            ring,
            seq: 3,
            pushes: 0,
            request: None,
            next_echo: self.now + Duration::from_millis(u64::from(HEARTBEAT_MS)),
            casts: None,
            nack_arrived: false,
        };
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
        let client = self.clients.get_mut(&name).unwrap();
        client.seq += 1;
        let seq = client.seq;
        let list = |list_type, ring_id, nodes: &[u32], heuristics| Message::NodeList {
            seq,
            list_type,
            ring_id,
            config_version: None,
            quorate: (list_type == ListType::Quorum).then_some(true),
            nodes: nodes.iter().map(|node| NodeInfo::new(*node)).collect(),
            heuristics,
        };
        let (message, reply, list_type) = match deed {
            Deed::Config { initial, nodes } => {
                let list_type = if *initial {
                    ListType::InitialConfig
                } else {
                    ListType::ChangedConfig
                };
                let message = list(list_type, None, nodes, None);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Membership {
                nodes,
                ring,
                heuristics,
            } => {
                let list_type = ListType::Membership;
                if client.ring != *ring {
                    client.casts = None;
                }
                client.ring = *ring;
                let message = list(list_type, Some(*ring), nodes, *heuristics);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Quorum => {
                let list_type = ListType::Quorum;
                let message = list(list_type, None, &[client.node], None);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Ask => (
                Message::AskForVote { seq },
                MessageType::AskForVoteReply,
                None,
            ),
            Deed::Heuristics(heuristics) => {
                let heuristics = *heuristics;
                let message = Message::HeuristicsChange { seq, heuristics };
                (message, MessageType::HeuristicsChangeReply, None)
            }
            Deed::Echo => {
                client.next_echo = self.now + Duration::from_millis(u64::from(HEARTBEAT_MS));
                let message = Message::EchoRequest { seq: Some(seq) };
                (message, MessageType::EchoReply, None)
            }
            Deed::Confirm(push) => {
                let seq = match push {
                    Push::Latest => client.pushes,
                    Push::BeforeLatest => client.pushes - 1,
                    Push::Number(number) => *number,
                };
                if seq == client.pushes && client.nack_arrived {
                    client.casts = None;
                }
                return self.sends(name, &Message::VoteInfoReply { seq });
            }
            Deed::Connect { .. } | Deed::Leave => unreachable!("not a message"),
        };
        client.request = Some(Request {
            seq,
            reply,
            list_type,
        });
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
                Action::Close { conn, reason } => self.closed(conn, reason),
                Action::StartTls { conn } => panic!("TLS on {conn:?}"),
                Action::Record(_) | Action::Event(_) => {}
            }
        }
    }

    fn closed(&mut self, conn: ConnId, reason: CloseReason) {
        let name = self.name_of(conn);
        self.clients.remove(&name);
        let word = format!("closed ({reason})");
        self.received.entry(name).or_default().push(word);
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

impl Client {
    fn hears(&mut self, kind: MessageType, options: &Options) -> String {
        match kind {
            MessageType::VoteInfo => {
                self.pushes += 1;
                let vote = options.vote.unwrap();
                self.obeys(vote, true, options.ring_id);
                let seq = (options.seq, Some(self.pushes));
                let word = format!("push {}", word(vote));
                self.with_oddities(word, seq, options.ring_id)
            }
            MessageType::NodeListReply
            | MessageType::AskForVoteReply
            | MessageType::HeuristicsChangeReply => {
                let request = self.request.take().expect("a reply needs a request");
                assert_eq!(kind, request.reply);
                assert_eq!(options.list_type, request.list_type);
                let vote = options.vote.unwrap();
                self.obeys(vote, false, options.ring_id);
                let seq = (options.seq, Some(request.seq));
                let word = format!("re {}", word(vote));
                self.with_oddities(word, seq, options.ring_id)
            }
            MessageType::ServerError => {
                let request = self.request.take().expect("an error needs a request");
                assert_eq!(options.seq, Some(request.seq));
                let code = options.error_code.map(ErrorCode::to_wire);
                format!("err {}", code.unwrap())
            }
            MessageType::EchoReply => {
                let request = self.request.take().expect("an echo needs a request");
                assert_eq!((kind, options.seq), (request.reply, Some(request.seq)));
                "echo".to_owned()
            }
            MessageType::PreinitReply => "PREINIT_REPLY".to_owned(),
            MessageType::SetOptionReply => "SET_OPTION_REPLY".to_owned(),
            MessageType::InitReply => {
                assert_eq!(options.error_code, Some(ErrorCode::NoError));
                "INIT_REPLY".to_owned()
            }
            other => panic!("a server does not send {other}"),
        }
    }

    /// A number or a ring id that is not the expected one shows up beside the vote.
    fn with_oddities(
        &self,
        word: String,
        (seq, expected): (Option<u32>, Option<u32>),
        ring: Option<RingId>,
    ) -> String {
        let mut word = word;
        if seq != expected {
            word += &format!(" (number {seq:?} instead of {expected:?})");
        }
        if ring != Some(self.ring) {
            word += &format!(" (ring {ring:?} instead of {})", self.ring);
        }
        word
    }

    /// Algorithms specification, section 9: what a vote turns into.
    fn obeys(&mut self, vote: Vote, pushed: bool, ring: Option<RingId>) {
        if ring != Some(self.ring) || vote == Vote::NoChange {
            return;
        }
        self.nack_arrived = pushed && vote == Vote::Nack;
        if vote == Vote::Ack {
            self.casts = Some(self.ring);
        } else if !self.nack_arrived {
            self.casts = None;
        }
    }
}

fn word(vote: Vote) -> &'static str {
    match vote {
        Vote::Ack => "ACK",
        Vote::Nack => "NACK",
        Vote::AskLater => "ASK_LATER",
        Vote::WaitForReply => "WAIT",
        Vote::NoChange => "NO_CHANGE",
    }
}
