//! An arbiter in this process, nodes that talk to it, and a plain HTTP client.

use qarbiter::client::{Connection, Node, NodeSettings, votes};
use qarbiter::config::Settings;
use qarbiter::engine::Verdict;
use qarbiter::http::{HttpAddress, HttpSettings, Sidecar};
use qarbiter::net::Clock;
use qarbiter::net::hub::Hub;
use qarbiter::net::live::{Live, TlsState};
use qarbiter::net::server::{self, Shared};
use qarbiter::tls::config::server_config;
use qarbiter::tls::{ClientCertMode, Identity, ServerSettings, SystemClock};
use qarbiter::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker, TlsSupport};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A vote server without TLS, with HTTP beside it, both on free ports.
pub(crate) struct Arbiter {
    pub(crate) votes: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    runtime: Runtime,
    sidecar: Option<Sidecar>,
    _dir: TempDir,
}

impl Arbiter {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// What reads tokens and certificate again.
    pub(crate) fn keys(&self) -> qarbiter::http::Keys {
        self.sidecar.as_ref().unwrap().keys()
    }

    pub(crate) fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.session.tls = TlsSupport::Unsupported;
        // The nodes here send no heartbeats while a test looks at something else.
        settings.session.dpd_coefficient = None;
        settings.socket = dir.path().join("sock");
        let mut http = HttpSettings {
            listen: HttpAddress::At((Ipv4Addr::LOCALHOST, 0).into()),
            ..HttpSettings::default()
        };
        change(&mut http);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let hub = Hub::new(Clock::start(), settings.policies.clone());
        let shared = Shared::new(Live::new(settings, TlsState::Off), hub, Arc::default());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let votes = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        runtime.spawn(server::run(shared.clone(), listener));
        let control = qarbiter::ipc::server::bind(&shared.live().settings).unwrap();
        runtime.spawn(qarbiter::ipc::server::run(shared.clone(), control));
        let sidecar = Sidecar::start(&http, shared.clone(), runtime.handle().clone()).unwrap();
        let http = sidecar.address().unwrap();
        drop(_inside);
        Self {
            votes,
            http,
            shared,
            runtime,
            sidecar: Some(sidecar),
            _dir: dir,
        }
    }

    /// Other settings from now on.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        let live = self.shared.live();
        let mut settings = live.settings.clone();
        change(&mut settings);
        self.shared.set_live(Live::new(settings, live.tls.clone()));
    }

    /// TLS from now on, for nodes that want it, with certificates that end at the beginning of
    /// these years.
    pub(crate) fn certify(&self, server_end: i32, ca_end: i32) {
        let made = |name: &str, end: i32| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            let common_name = rcgen::DnType::CommonName;
            params.distinguished_name.push(common_name, name);
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(end, 1, 1);
            params
        };
        let mut ca = made("QNet CA", ca_end);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_der = ca.self_signed(&ca_key).unwrap().der().clone();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let server = made("Qnetd Server", server_end);
        let server = server.signed_by(&key, &issuer).unwrap().der().clone();
        let chain = vec![server, ca_der];
        let config = server_config(ServerSettings {
            identity: Identity {
                chain: chain.clone(),
                key: rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            },
            client_ca: Vec::new(),
            client_certs: ClientCertMode::NotRequested,
            clock: Arc::new(SystemClock),
            on_unset_clock: Arc::new(|_| {}),
            is_revoked: Arc::new(|_| false),
        });
        let mut settings = self.shared.live().settings.clone();
        settings.session.tls = TlsSupport::Supported;
        settings.session.client_cert_required = false;
        let tls = TlsState::Ready {
            config: config.unwrap(),
            certificates: chain.into(),
        };
        self.shared.set_live(Live::new(settings, tls));
    }

    /// The CA of [`Arbiter::certify`], DER.
    pub(crate) fn ca(&self) -> Vec<u8> {
        match &self.shared.live().tls {
            TlsState::Ready { certificates, .. } => certificates[1].to_vec(),
            _ => panic!("there are no certificates"),
        }
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

    /// Waits until node 1 has the vote alone in a split cluster, and returns its state.
    pub(crate) fn settled(&self, cluster: &str) -> Value {
        self.until(&format!("/api/v1/clusters/{cluster}"), |state| {
            state["vote_held_by"] == serde_json::json!([1])
                && state["partitions"].as_array().unwrap().len() == 2
                && state["nodes"][1]["verdict"] == "nack"
        })
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

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    /// `None` if the connection is not taken.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(head("GET", path, &[]).as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        (!bytes.is_empty()).then(|| Answer::parse(&bytes))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.connect();
        stream
            .write_all(head(method, path, headers).as_bytes())
            .unwrap();
        Answer::read(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The JSON of a path that must be there.
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Asks again until something is as it should be: what happens reaches the history a little
    /// later than the nodes.
    pub(crate) fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let value = self.json(path);
            if is_so(&value) {
                return value;
            }
            assert!(begin.elapsed() < PATIENCE, "{path}: {value}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.stop();
        }
    }
}

/// The head of a request, after which the server closes the connection.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
        let mut answer = Self::head(std::str::from_utf8(&bytes[..end]).unwrap());
        let rest = &bytes[end + 4..];
        let encoding = answer.headers.get("transfer-encoding");
        answer.body = match encoding.map(String::as_str) {
            Some("chunked") => unchunked(rest),
            _ => rest.to_vec(),
        };
        answer
    }

    /// Status and headers.
    pub(crate) fn head(text: &str) -> Self {
        let mut lines = text.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        Self {
            status: status.parse().unwrap(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
