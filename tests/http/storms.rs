//! Attacks on HTTP of the real program, in clear text and in TLS, while votes are timed: in the
//! same run before and meanwhile, and with an eye on the program's memory.
//!
//! The attackers yield to everybody else on the machine, as a remote one would, so what votes lose
//! is what the arbiter itself spends on them.

use crate::https::{client_config, make_certificate};
use crate::lab::{Answer, PATIENCE, head};
use qarbiter::client::{Connection, Node, NodeSettings, votes};
use qarbiter::engine::Verdict;
use qarbiter::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustls23::pki_types::ServerName;
use rustls23::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Connections that the arbiter may have; a quarter of that may be readers of events.
const CONNECTIONS: usize = 2048;

/// Clusters besides the one that votes, so that answers are long.
const OTHERS: u32 = 150;

/// For how long votes are timed, and the pause between two of them.
const TIMING: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(3);

/// How long an attack may take to unfold before votes are timed.
const UNFOLDING: Duration = Duration::from_secs(3);

/// Threads of an attack.
const ATTACKERS: usize = 3;

/// A connection to the arbiter's HTTP.
trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// `qarbiter serve` with HTTP, and nodes that vote.
struct Target {
    child: Child,
    http: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// Last byte of the address that the next connection comes from.
    from: AtomicU32,
    dir: TempDir,
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Target {
    fn start(encrypted: bool) -> (Self, SocketAddr) {
        let dir = tempfile::tempdir().unwrap();
        let (votes, http) = (free(), free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_qarbiter"));
        command
            .args(["serve", "--listen", "127.0.0.1", "-s", "off", "--state-dir"])
            .arg(dir.path())
            .args(["--port", &votes.port().to_string()])
            .env("QARBITER_HTTP_ADDRESS", http.to_string())
            .env("QARBITER_HTTP_MAX_CONNECTIONS", CONNECTIONS.to_string())
            .stdout(File::create(dir.path().join("out")).unwrap())
            .stderr(File::create(dir.path().join("log")).unwrap());
        let tls = encrypted.then(|| {
            make_certificate(dir.path());
            command.env("QARBITER_HTTP_CERTIFICATE", dir.path().join("cert.pem"));
            command.env("QARBITER_HTTP_KEY", dir.path().join("key.pem"));
            client_config(dir.path())
        });
        let target = Self {
            child: command.spawn().unwrap(),
            http,
            tls,
            from: AtomicU32::new(0),
            dir,
        };
        target.recovers("start");
        (target, votes)
    }

    /// A connection from one of many addresses, so that the limit for one is not the first that
    /// is reached.
    fn tcp(&self) -> io::Result<TcpStream> {
        let turn = self.from.fetch_add(1, Ordering::Relaxed) % 200;
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(turn).unwrap());
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect_timeout(&self.http.into(), Duration::from_secs(2))?;
        Ok(socket.into())
    }

    fn open(&self) -> io::Result<Box<dyn Wire>> {
        let mut tcp = self.tcp()?;
        let Some(config) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config.clone(), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Box::new(StreamOwned::new(connection, tcp)))
    }

    fn ask(&self, path: &str) -> io::Result<Answer> {
        let mut stream = self.open()?;
        stream.write_all(head("GET", path, &[]).as_bytes())?;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        if bytes.is_empty() {
            read?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Answer::parse(&bytes))
    }

    /// Waits until somebody is served again.
    fn recovers(&self, after: &str) {
        let begin = Instant::now();
        while !self
            .ask("/healthz")
            .is_ok_and(|answer| answer.status == 200)
        {
            let log = std::fs::read_to_string(self.dir.path().join("log"));
            assert!(begin.elapsed() < PATIENCE, "{after}: {log:?}");
            sleep(Duration::from_millis(30));
        }
    }

    /// Memory in use, and the most that ever was, MiB.
    fn memory(&self) -> [f64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().split_whitespace().next().unwrap();
            kib.parse::<f64>().unwrap() / 1024.0
        })
    }

    fn metric(&self, series: &str) -> f64 {
        let text = self.ask("/metrics").unwrap().text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series}"))
            .parse()
            .unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clusters of two; the first one votes.
struct Voters {
    runtime: Runtime,
    nodes: Vec<Node>,
    ring: u64,
}

impl Voters {
    fn join(votes: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let both = [NodeId(1), NodeId(2)];
        let nodes = runtime.block_on(async {
            let mut nodes = Vec::new();
            for number in 0..=OTHERS {
                let cluster = ClusterName::new(format!("cluster-{number}").as_bytes());
                for node in both {
                    let opened = Connection::open(votes, &cluster, None).await;
                    let settings = NodeSettings {
                        node,
                        algorithm: Algorithm::FfSplit,
                        tie_breaker: TieBreaker::Lowest,
                        // Nobody has to be kept alive in this test.
                        heartbeat_ms: 120_000,
                        members: both.to_vec(),
                        configured: both.to_vec(),
                        ring: RingId::new(1, 4),
                    };
                    nodes.push(Node::join(opened.unwrap(), settings).await.unwrap());
                }
            }
            for node in &mut nodes {
                assert_eq!(node.vote().await.unwrap(), Verdict::Ack);
            }
            nodes
        });
        Self {
            runtime,
            nodes,
            ring: 4,
        }
    }

    /// How long it takes from a split to both votes, over and over.
    fn time(&mut self) -> Times {
        let begin = Instant::now();
        let mut all = Vec::new();
        while begin.elapsed() < TIMING || all.len() < 100 {
            all.push(self.split());
            sleep(PAUSE);
        }
        all.sort();
        Times {
            p50: all[all.len() / 2],
            p99: all[all.len() * 99 / 100],
            max: all[all.len() - 1],
        }
    }

    fn split(&mut self) -> Duration {
        self.ring += 4;
        let (ring, nodes) = (self.ring, &mut self.nodes);
        self.runtime.block_on(async {
            let begin = Instant::now();
            for node in &mut nodes[..2] {
                let id = node.id();
                node.see(RingId::new(id.0, ring), &[id]).await.unwrap();
            }
            let [one, two, ..] = &mut nodes[..] else {
                panic!("two nodes");
            };
            let told = tokio::time::timeout(PATIENCE, votes(one, two)).await;
            let told = told.expect("votes in time").unwrap();
            assert_eq!(told, (Verdict::Ack, Verdict::Nack));
            begin.elapsed()
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// Something hostile, done once; what it returns is kept until the end.
type Attack = fn(&Target) -> io::Result<Option<Box<dyn Wire>>>;

/// Attacks with how often they are done before votes are timed.
const ATTACKS: [(&str, usize, Attack); 7] = [
    // Heads that never end.
    ("slowloris", 700, |target| {
        let mut stream = target.open()?;
        stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ")?;
        Ok(Some(stream))
    }),
    ("huge heads", 50, |target| {
        let mut stream = target.open()?;
        stream.write_all(b"GET / HTTP/1.1\r\nX-Huge: ")?;
        stream.write_all(&[b'x'; 64 * 1024])?;
        Ok(None)
    }),
    ("huge bodies", 20, |target| {
        let mut stream = target.open()?;
        stream.write_all(
            b"POST /api/v1/clusters/cluster-0/release HTTP/1.1\r\nHost: localhost\r\n\
              Content-Length: 1000000000\r\n\r\n",
        )?;
        for _ in 0..16 {
            stream.write_all(&[b'x'; 64 * 1024])?;
        }
        Ok(None)
    }),
    // Long answers that nobody reads.
    ("reads that never finish", 100, |target| {
        let mut stream = target.open()?;
        stream.write_all(head("GET", "/metrics", &[]).as_bytes())?;
        Ok(Some(stream))
    }),
    ("event readers", 800, |target| {
        let mut stream = target.open()?;
        let request = head("GET", "/api/v1/events", &[("Accept", "text/event-stream")]);
        stream.write_all(request.as_bytes())?;
        Ok(Some(stream))
    }),
    // With HTTPS, every other one makes the arbiter sign.
    ("connection flood", 200, |target| {
        drop(target.tcp()?);
        target.open().map(|_| None)
    }),
    ("scrape storm", 10, |target| {
        for path in ["/metrics", "/api/v1/clusters?limit=1000"] {
            let answer = target.ask(path)?;
            assert!(answer.status < 500 || answer.status == 503, "{answer:?}");
        }
        Ok(None)
    }),
];

/// Attacks until it is told to stop, and counts.
fn attack(target: &Target, attack: Attack, count: &AtomicUsize, stop: &AtomicBool) {
    // On Linux this is about the calling thread alone.
    setpriority_process(None, 5).unwrap();
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match attack(target) {
            Ok(stream) => kept.extend(stream),
            // Turned away.
            Err(_) => sleep(Duration::from_millis(1)),
        }
        count.fetch_add(1, Ordering::Relaxed);
        // What was ended by the arbiter makes room here.
        if kept.len() > CONNECTIONS / ATTACKERS {
            kept.drain(..kept.len() / 2);
        }
    }
}

fn withstands(encrypted: bool) {
    let wanted = 3 * CONNECTIONS as u64;
    if getrlimit(Resource::Nofile)
        .current
        .is_some_and(|now| now < wanted)
    {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(wanted);
        let raised = setrlimit(Resource::Nofile, Rlimit { current, maximum });
        raised.unwrap_or_else(|e| panic!("{wanted} open files are needed: {e}"));
    }
    let (target, votes) = Target::start(encrypted);
    let mut voters = Voters::join(votes);
    voters.time();
    let [before, _] = target.memory();
    let mut readers = 0.0;
    for (name, often, one) in ATTACKS {
        let calm = voters.time();
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let harmed = scope(|scope| {
            for _ in 0..ATTACKERS {
                scope.spawn(|| attack(&target, one, &count, &stop));
            }
            let begin = Instant::now();
            while count.load(Ordering::Relaxed) < often && begin.elapsed() < UNFOLDING {
                sleep(Duration::from_millis(10));
            }
            let harmed = voters.time();
            if name == "event readers" {
                readers = target.metric("qarbiter_http_event_readers");
            }
            stop.store(true, Ordering::Relaxed);
            harmed
        });
        let count = count.into_inner();
        target.recovers(name);
        let [now, most] = target.memory();
        let ratio = harmed.p50.as_secs_f64() / calm.p50.as_secs_f64();
        println!(
            "{name} ({count} times): votes {:.2?} / {:.2?} / {:.2?} (p50 / p99 / max) before, \
             {:.2?} / {:.2?} / {:.2?} meanwhile: {ratio:.1} times; {now:.0} MiB, at most {most:.0}",
            calm.p50, calm.p99, calm.max, harmed.p50, harmed.p99, harmed.max
        );
        assert!(count >= often / 4, "{name} was done only {count} times");
        // Whatever the machine does besides: below what it takes to notice, or of the same size.
        assert!(
            harmed.p50 < Duration::from_millis(20) || ratio < 10.0,
            "{name}: {calm:?}, then {harmed:?}"
        );
        // A node gives up an arbiter after seconds.
        assert!(
            harmed.max < Duration::from_secs(1),
            "{name}: {calm:?}, then {harmed:?}"
        );
        assert!(most < before + 150.0, "{name}: {before} MiB, then {most}");
    }
    println!("{readers} readers of events at the same time");
    let most = CONNECTIONS as f64 / 4.0;
    assert!((most / 2.0..=most).contains(&readers), "{readers} readers");
    // All of what was taken for the attackers goes again.
    let begin = Instant::now();
    while target.metric("qarbiter_http_connections") > 2.0 {
        assert!(begin.elapsed() < PATIENCE, "connections stay");
        sleep(Duration::from_millis(50));
    }
    assert_eq!(target.metric("qarbiter_http_event_readers"), 0.0);
}

#[test]
fn clear_text_withstands_attacks() {
    withstands(false);
}

#[test]
fn https_withstands_attacks() {
    withstands(true);
}
