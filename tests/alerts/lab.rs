//! An arbiter in this process that tells of alerts, and nodes that talk to it.

use qarbiter::client::{Connection, Node, NodeSettings, votes};
use qarbiter::config::Settings;
use qarbiter::engine::Verdict;
use qarbiter::http::{HttpAddress, HttpSettings, Sidecar};
use qarbiter::net::Clock;
use qarbiter::net::hub::Hub;
use qarbiter::net::live::{Live, TlsState};
use qarbiter::net::server::{self, Shared};
use qarbiter::notify::settings::Webhooks;
use qarbiter::notify::{AlertSettings, Notifier};
use qarbiter::telemetry::history::Store;
use qarbiter::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker, TlsSupport};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a change must last in these tests.
pub(crate) const SETTLE: Duration = Duration::from_millis(200);

/// A vote server without TLS, with HTTP and alerts.
pub(crate) struct Arbiter {
    pub(crate) votes: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    runtime: Runtime,
    sidecar: Option<Sidecar>,
    notifier: Option<Notifier>,
    store: Option<Store>,
    _dir: TempDir,
}

/// Settings with these webhooks.
pub(crate) fn webhooks(text: &str) -> AlertSettings {
    AlertSettings {
        webhooks: Webhooks::parse(text).unwrap(),
        name: Some("arbiter-1".to_owned()),
        settle: SETTLE,
        ..AlertSettings::default()
    }
}

impl Arbiter {
    /// Without a time in which nodes are expected, and without a past.
    pub(crate) fn start(alerts: AlertSettings) -> Self {
        Self::with_history(alerts, None)
    }

    /// The same with the history in this directory.
    pub(crate) fn with_history(alerts: AlertSettings, history: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.session.tls = TlsSupport::Unsupported;
        settings.socket = dir.path().join("sock");
        settings.alerts = alerts;
        let http = HttpSettings {
            listen: HttpAddress::At((Ipv4Addr::LOCALHOST, 0).into()),
            ..HttpSettings::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let hub = Hub::new(Clock::start(), settings.policies.clone());
        let shared = Shared::new(Live::new(settings, TlsState::Off), hub, Arc::default());
        let store = history.map(|dir| Store::open(&shared.history, dir, 1 << 20).unwrap());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let votes = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        runtime.spawn(server::run(shared.clone(), listener));
        let sidecar = Sidecar::start(&http, shared.clone(), runtime.handle().clone()).unwrap();
        let notifier = Notifier::start(shared.clone(), Duration::ZERO).unwrap();
        drop(inside);
        Self {
            votes,
            http: sidecar.address().unwrap(),
            shared,
            runtime,
            sidecar: Some(sidecar),
            notifier: Some(notifier),
            store,
            _dir: dir,
        }
    }

    /// Stops as the program does.
    pub(crate) fn stop(&mut self) {
        self.shared.stop();
        if let Some(notifier) = self.notifier.take() {
            notifier.join();
        }
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.stop();
        }
        self.store = None;
    }

    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A node of an ffsplit cluster joins.
    pub(crate) fn join(&self, cluster: &[u8], id: u32, configured: &[u32], ring: u64) -> Node {
        let configured: Vec<NodeId> = configured.iter().copied().map(NodeId).collect();
        let settings = NodeSettings {
            node: NodeId(id),
            algorithm: Algorithm::FfSplit,
            tie_breaker: TieBreaker::Lowest,
            heartbeat_ms: 8000,
            members: configured.clone(),
            configured,
            ring: RingId::new(1, ring),
        };
        let cluster = ClusterName::new(cluster);
        self.run(async {
            let connection = Connection::open(self.votes, &cluster, None).await.unwrap();
            Node::join(connection, settings).await.unwrap()
        })
    }

    /// A whole cluster of two nodes that have the vote.
    pub(crate) fn pair(&self, cluster: &[u8]) -> [Node; 2] {
        let mut nodes = [1, 2].map(|id| self.join(cluster, id, &[1, 2], 4));
        for node in &mut nodes {
            assert_eq!(self.vote(node), Verdict::Ack);
        }
        nodes
    }

    /// Both nodes see themselves alone; the votes that come of it.
    pub(crate) fn split(&self, nodes: &mut [Node; 2], ring: u64) -> [Verdict; 2] {
        for node in nodes.iter_mut() {
            let id = node.id();
            self.run(node.see(RingId::new(id.0, ring), &[id])).unwrap();
        }
        self.votes(nodes)
    }

    /// Both nodes see each other again.
    pub(crate) fn heal(&self, nodes: &mut [Node; 2], ring: u64) {
        for node in nodes.iter_mut() {
            let both = [NodeId(1), NodeId(2)];
            self.run(node.see(RingId::new(1, ring), &both)).unwrap();
        }
        assert_eq!(self.votes(nodes), [Verdict::Ack; 2]);
    }

    pub(crate) fn votes(&self, [one, two]: &mut [Node; 2]) -> [Verdict; 2] {
        self.run(async { tokio::time::timeout(PATIENCE, votes(one, two)).await })
            .expect("votes in time")
            .unwrap()
            .into()
    }

    pub(crate) fn vote(&self, node: &mut Node) -> Verdict {
        self.run(async { tokio::time::timeout(PATIENCE, node.vote()).await })
            .expect("a vote in time")
            .unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// The value of a metric; 0 if it is not there.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        self.stop();
    }
}
