//! The client against a small server made of the engine, in clear and in TLS, and against a peer
//! that says the wrong thing.

use super::*;
use crate::engine::{
    Action, ClusterPolicy, ConnId, Engine, LeaveCause, SessionPolicy, Time, TlsView, Verdict,
};
use crate::tls::config::{client_config, server_config};
use crate::tls::testing::{Ca, Leaf};
use crate::tls::{
    ClientCertMode, ClientSettings, Identity, ServerSettings, SystemClock, TlsSession,
};
use crate::wire::{
    Algorithm, ClusterName, ErrorCode, FrameDecoder, InitReply, ListType, Message, MessageType,
    NodeId, RingId, TieBreaker, TlsSupport, Vote,
};
use rustls::{ClientConfig, ServerConfig};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection's task is told.
enum Order {
    Send(Message),
    StartTls,
}

/// The engine behind a socket, without any of the real server's care.
struct Server {
    engine: Mutex<Engine>,
    orders: Mutex<HashMap<ConnId, UnboundedSender<Order>>>,
    start: Instant,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    async fn start(mode: TlsSupport, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
        let policy = SessionPolicy {
            tls: mode,
            ..SessionPolicy::default()
        };
        let server = Arc::new(Self {
            engine: Mutex::new(Engine::new(policy, ClusterPolicy::SAFE)),
            orders: Mutex::default(),
            start: Instant::now(),
            tls,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, peer) = listener.accept().await.unwrap();
                let conn = ConnId(number);
                let now = server.now();
                let mut engine = server.engine.lock().unwrap();
                engine.connect(now, conn, &peer.to_string());
                drop(engine);
                tokio::spawn(server.clone().serve(conn, stream));
            }
        });
        address
    }

    fn now(&self) -> Time {
        Time::from_duration(self.start.elapsed())
    }

    fn perform(&self, actions: Vec<Action>) {
        let orders = self.orders.lock().unwrap();
        for action in actions {
            let (conn, order) = match action {
                Action::Send { to, message } => (to, Order::Send(message)),
                Action::StartTls { conn } => (conn, Order::StartTls),
                Action::Close { .. } | Action::Record(_) | Action::Event(_) => continue,
            };
            orders[&conn].send(order).ok();
        }
    }

    async fn serve(self: Arc<Self>, conn: ConnId, mut stream: TcpStream) {
        let (orders, mut inbox) = unbounded_channel();
        self.orders.lock().unwrap().insert(conn, orders);
        let mut decoder = FrameDecoder::new(32_768);
        let mut tls: Option<TlsSession> = None;
        let mut buffer = [0; 500];
        loop {
            let mut out = Vec::new();
            tokio::select! {
                biased;
                order = inbox.recv() => match order.unwrap() {
                    Order::Send(message) => match &mut tls {
                        Some(tls) => tls.send(&message.encode(), &mut out).unwrap(),
                        None => out = message.encode(),
                    },
                    Order::StartTls => {
                        tls = Some(TlsSession::new(self.tls.clone().unwrap()).unwrap());
                    }
                },
                count = stream.read(&mut buffer) => {
                    let wire = &buffer[..count.unwrap_or(0)];
                    if wire.is_empty() {
                        let now = self.now();
                        let left = LeaveCause::Dropped;
                        let actions = self.engine.lock().unwrap().disconnect(now, conn, left);
                        return self.perform(actions);
                    }
                    let mut plain = Vec::new();
                    match &mut tls {
                        Some(tls) => drop(tls.receive(wire, &mut plain, &mut out)),
                        None => plain.extend_from_slice(wire),
                    }
                    self.hear(conn, &mut decoder, &mut tls, &plain, &mut out);
                }
            }
            stream.write_all(&out).await.ok();
        }
    }

    fn hear(
        &self,
        conn: ConnId,
        decoder: &mut FrameDecoder,
        tls: &mut Option<TlsSession>,
        mut plain: &[u8],
        out: &mut Vec<u8>,
    ) {
        while let Some(frame) = decoder.next(&mut plain) {
            let view = match tls {
                Some(_) => TlsView::Active(&|_| Ok(())),
                None => TlsView::Clear,
            };
            let mut engine = self.engine.lock().unwrap();
            let actions = engine.receive(self.now(), conn, frame, view);
            drop(engine);
            if actions == [Action::StartTls { conn }] {
                // What is left of this segment is TLS already.
                let session = tls.insert(TlsSession::new(self.tls.clone().unwrap()).unwrap());
                session.receive(plain, &mut Vec::new(), out).unwrap();
                return;
            }
            self.perform(actions);
        }
    }
}

fn settings(id: u32, members: &[u32], seq: u64) -> NodeSettings {
    NodeSettings {
        node: NodeId(id),
        algorithm: Algorithm::FfSplit,
        tie_breaker: TieBreaker::Lowest,
        heartbeat_ms: 8000,
        configured: vec![NodeId(1), NodeId(2)],
        ring: RingId::new(members[0], seq),
        members: members.iter().copied().map(NodeId).collect(),
    }
}

fn name() -> ClusterName {
    ClusterName::new(b"alpha")
}

async fn join(address: SocketAddr, tls: Option<Arc<ClientConfig>>, node: NodeSettings) -> Node {
    let connection = Connection::open(address, &name(), tls).await.unwrap();
    Node::join(connection, node).await.unwrap()
}

async fn votes(one: &mut Node, two: &mut Node) -> (Verdict, Verdict) {
    let both = tokio::time::timeout(PATIENCE, super::votes(one, two)).await;
    both.unwrap().unwrap()
}

/// Two nodes join, split and heal.
async fn live_a_little(address: SocketAddr, tls: Option<Arc<ClientConfig>>) {
    let (both, first, second) = ([NodeId(1), NodeId(2)], [NodeId(1)], [NodeId(2)]);
    let mut one = join(address, tls.clone(), settings(1, &[1, 2], 4)).await;
    let mut two = join(address, tls.clone(), settings(2, &[1, 2], 4)).await;
    assert_eq!(one.connection().is_encrypted(), tls.is_some());
    let (ack, nack) = (Verdict::Ack, Verdict::Nack);
    assert_eq!(votes(&mut one, &mut two).await, (ack, ack));
    one.see(RingId::new(1, 8), &first).await.unwrap();
    two.see(RingId::new(2, 8), &second).await.unwrap();
    assert_eq!(votes(&mut one, &mut two).await, (ack, nack));
    one.heartbeat().await.unwrap();
    two.heartbeat().await.unwrap();
    one.see(RingId::new(1, 12), &both).await.unwrap();
    two.see(RingId::new(1, 12), &both).await.unwrap();
    assert_eq!(votes(&mut one, &mut two).await, (ack, ack));
    assert_eq!((two.id(), two.ring()), (NodeId(2), RingId::new(1, 12)));
}

#[tokio::test]
async fn a_cluster_lives_in_clear() {
    live_a_little(Server::start(TlsSupport::Unsupported, None).await, None).await;
}

fn tls_pair() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let ca = Ca::new();
    let identity = |name: &str| {
        let (certificate, key) = ca.issue(&Leaf::new(&[name]));
        let chain = vec![certificate];
        Identity { chain, key }
    };
    let server = server_config(ServerSettings {
        identity: identity("Qnetd Server"),
        client_ca: vec![ca.certificate.clone()],
        client_certs: ClientCertMode::Required,
        clock: Arc::new(SystemClock),
        on_unset_clock: Arc::new(|_| ()),
        is_revoked: Arc::new(|_| false),
    });
    let client = client_config(ClientSettings {
        identity: Some(identity("alpha")),
        ..ClientSettings::new(vec![ca.certificate.clone()])
    });
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn a_cluster_lives_in_tls() {
    let (server, client) = tls_pair();
    let address = Server::start(TlsSupport::Required, Some(server)).await;
    live_a_little(address, Some(client)).await;
}

#[tokio::test]
async fn tls_is_neither_dropped_nor_forced_on_quietly() {
    let (server, client) = tls_pair();
    let clear = Server::start(TlsSupport::Unsupported, None).await;
    let secure = Server::start(TlsSupport::Required, Some(server)).await;
    let error = Connection::open(clear, &name(), Some(client)).await;
    assert!(matches!(error.unwrap_err(), ClientError::TlsNotOffered));
    let error = Connection::open(secure, &name(), None).await;
    assert!(matches!(error.unwrap_err(), ClientError::TlsRequired));
}

#[tokio::test]
async fn a_foreign_server_is_not_believed() {
    let (server, _) = tls_pair();
    let (_, client) = tls_pair();
    let address = Server::start(TlsSupport::Supported, Some(server)).await;
    let error = Connection::open(address, &name(), Some(client)).await;
    assert!(matches!(error.unwrap_err(), ClientError::Tls(_)));
}

#[tokio::test]
async fn a_refused_init_says_why() {
    let address = Server::start(TlsSupport::Unsupported, None).await;
    let _one = join(address, None, settings(1, &[1, 2], 4)).await;
    let connection = Connection::open(address, &name(), None).await.unwrap();
    let error = Node::join(connection, settings(1, &[1, 2], 4)).await;
    assert!(matches!(
        error.unwrap_err(),
        ClientError::Refused {
            kind: MessageType::InitReply,
            code: ErrorCode::DuplicateNodeId
        }
    ));
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Connection::open(address, &name(), None).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}

/// A peer that answers whatever is said first with `bytes`, and closes when it is asked to.
async fn scripted(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 500];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    address
}

fn preinit_reply(seq: Option<u32>, tls: TlsSupport) -> Vec<u8> {
    let client_cert_required = true;
    let reply = Message::PreinitReply {
        seq,
        tls,
        client_cert_required,
    };
    reply.encode()
}

async fn opening_error(bytes: Vec<u8>, tls: Option<Arc<ClientConfig>>) -> ClientError {
    let address = scripted(bytes).await;
    let name = name();
    let open = Connection::open(address, &name, tls);
    let outcome = tokio::time::timeout(PATIENCE, open).await.unwrap();
    outcome.unwrap_err()
}

#[tokio::test]
async fn wrong_answers_are_told_apart() {
    let off = TlsSupport::Unsupported;
    let error = opening_error(preinit_reply(Some(7), off), None).await;
    assert!(matches!(
        error,
        ClientError::WrongNumber {
            expected: 1,
            got: 7,
            ..
        }
    ));
    let error = opening_error(preinit_reply(None, off), None).await;
    assert!(matches!(error, ClientError::Missing { .. }));
    let error = opening_error(vec![0, 99, 0, 0, 0, 0], None).await;
    assert!(matches!(error, ClientError::Unacceptable(_)));
    let error = opening_error(vec![0, 1, 0, 0, 0, 0], None).await;
    assert!(matches!(error, ClientError::Undecodable { .. }));
    let error = opening_error(Message::VoteInfoReply { seq: 1 }.encode(), None).await;
    assert!(matches!(error, ClientError::Unexpected { .. }));
    let error = opening_error(Vec::new(), None).await;
    assert!(matches!(error, ClientError::Closed));
    let refusal = Message::ServerError {
        seq: None,
        code: ErrorCode::InternalError,
    };
    let error = opening_error(refusal.encode(), None).await;
    assert!(matches!(
        error,
        ClientError::Refused {
            code: ErrorCode::InternalError,
            ..
        }
    ));
}

#[tokio::test]
async fn no_change_does_not_bring_a_former_vote_back() {
    let init_reply = Message::InitReply(InitReply {
        code: ErrorCode::NoError,
        list_messages: false,
        list_options: false,
        seq: Some(2),
        max_request_size: 32_768,
        max_reply_size: 32_768,
    });
    // The numbers of the membership lists.
    let reply = |seq, ring_id, vote| Message::NodeListReply {
        seq,
        list_type: ListType::Membership,
        ring_id,
        vote,
    };
    let (both, alone) = (RingId::new(1, 4), RingId::new(1, 8));
    let answers = [
        init_reply,
        reply(5, both, Vote::Ack),
        reply(7, alone, Vote::NoChange),
    ];
    let mut bytes = preinit_reply(Some(1), TlsSupport::Unsupported);
    for answer in answers {
        bytes.extend(answer.encode());
    }
    let mut node = join(scripted(bytes).await, None, settings(1, &[1, 2], 4)).await;
    assert_eq!(node.vote().await.unwrap(), Verdict::Ack);
    node.see(alone, &[NodeId(1)]).await.unwrap();
    let nothing_came = node.vote().await.unwrap_err();
    assert!(matches!(nothing_came, ClientError::Closed));
}

#[tokio::test]
async fn clear_text_before_tls_is_refused() {
    let (_, client) = tls_pair();
    let mut bytes = preinit_reply(Some(1), TlsSupport::Supported);
    bytes.extend_from_slice(&[0, 14]);
    let error = opening_error(bytes, Some(client)).await;
    assert!(matches!(error, ClientError::ClearTextBeforeTls));
}
