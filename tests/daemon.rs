//! The running daemon as its surroundings see it: the listening socket, the sockets of clients, the log. The reference
//! is run in the same way, to show where the two differ (docs/COMPATIBILITY.md).
//!
//! Needs `corosync-qnetd` and `ss` (iproute2), root for the reference's files, and IPv6 on the loopback interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot go on fails the test"
)]

use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use qarbiter::client::{Connection, Node, NodeSettings};
use qarbiter::engine::{
    Action, Cluster, ClusterPolicy, ConnId, Joining, Peer, Session, SessionPolicy, Time, Verdict,
};
use qarbiter::wire::{Algorithm, ClusterName, ErrorCode, NodeId, RingId, TieBreaker};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Theirs,
    Ours,
}

struct Daemon {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Daemon {
    /// Runs `corosync-qnetd -f` without TLS on a free port, with more flags. It may not have come far yet.
    fn start(whose: Whose, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let probe = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("IPv6 is needed");
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let mut command = match whose {
            Whose::Theirs => Command::new("corosync-qnetd"),
            Whose::Ours => Command::new(env!("CARGO_BIN_EXE_qarbiter")),
        };
        let own = dir.path().display();
        let child = command
            .arg0("corosync-qnetd")
            .args(["-f", "-s", "off", "-p", &port.to_string()])
            .args([
                "-S",
                &format!("lock_file={own}/pid,local_socket_file={own}/sock,nss_db_dir={own}"),
            ])
            .args(flags)
            .env("QARBITER_PATHS_DATA_DIR", dir.path().join("data"))
            .stdin(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .expect("corosync-qnetd is needed");
        Self { child, port, dir }
    }

    /// The same, and waits until it listens.
    fn listening(whose: Whose, flags: &[&str]) -> Self {
        let mut daemon = Self::start(whose, flags);
        let begin = Instant::now();
        while daemon.sockets("-ltn").is_empty() {
            let ended = daemon.child.try_wait().unwrap();
            assert_eq!(ended, None, "{whose:?}: {}", daemon.log());
            assert!(begin.elapsed() < PATIENCE, "{whose:?}: {}", daemon.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it still runs: {}", self.log());
    }

    /// What `ss` says of the sockets at our end, one a line.
    fn sockets(&self, options: &str) -> String {
        let filter = format!("sport = :{}", self.port);
        let output = Command::new("ss")
            .args([options, "-H", &filter])
            .output()
            .expect("ss is needed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A node of the cluster Alpha that sees only itself.
async fn join(address: SocketAddr, id: u32) -> Node {
    let name = ClusterName::new(b"Alpha");
    let connection = Connection::open(address, &name, None).await.unwrap();
    let settings = NodeSettings {
        node: NodeId(id),
        algorithm: Algorithm::Lms,
        tie_breaker: TieBreaker::Lowest,
        heartbeat_ms: 8000,
        configured: vec![NodeId(1), NodeId(2)],
        ring: RingId {
            node: NodeId(id),
            seq: 29,
        },
        members: vec![NodeId(id)],
    };
    Node::join(connection, settings).await.unwrap()
}

#[test]
fn only_ours_excludes_ipv4_with_flag_6() {
    for (whose, takes_ipv4) in [(Whose::Theirs, true), (Whose::Ours, false)] {
        let daemon = Daemon::listening(whose, &["-6"]);
        let v6 = TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, daemon.port)));
        let v4 = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port)));
        assert!(v6.is_ok(), "{whose:?}: {v6:?}");
        assert_eq!(v4.is_ok(), takes_ipv4, "{whose:?}: {v4:?}");
    }
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_too() {
    for whose in [Whose::Theirs, Whose::Ours] {
        let daemon = Daemon::listening(whose, &["-l", "::"]);
        let v4 = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port)));
        assert!(v4.is_ok(), "{whose:?}: {v4:?}");
    }
}

#[test]
fn only_ours_takes_required_for_flag_s() {
    // Later flags win, so the last one keeps TLS off.
    let flags = ["-s", "required", "-s", "off"];
    let mut theirs = Daemon::start(Whose::Theirs, &flags);
    assert_eq!(theirs.ended().code(), Some(1));
    assert!(
        theirs.log().contains("tls must be one of"),
        "{}",
        theirs.log()
    );
    Daemon::listening(Whose::Ours, &flags);
}

#[test]
fn the_backlog_of_ours_is_longer() {
    for (whose, backlog) in [(Whose::Theirs, "10"), (Whose::Ours, "1024")] {
        let daemon = Daemon::listening(whose, &[]);
        let line = daemon.sockets("-ltn");
        // State, bytes received, and for a listening socket the backlog.
        assert_eq!(
            line.split_whitespace().nth(2),
            Some(backlog),
            "{whose:?}: {line}"
        );
    }
}

#[tokio::test]
async fn only_ours_logs_clients_and_votes_and_probes_silent_ones() {
    for whose in [Whose::Theirs, Whose::Ours] {
        let daemon = Daemon::listening(whose, &[]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port));
        let mut node = join(address, 1).await;
        assert_eq!(node.vote().await.unwrap(), Verdict::Ack);
        // The timer of the last segment's acknowledgement hides that of the probes for a moment.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sockets = daemon.sockets("-tno");
        let probes = sockets.contains("timer:(keepalive,");
        assert_eq!(probes, whose == Whose::Ours, "{whose:?}: {sockets}");
        drop(node);
        let wanted = ["node 1 connected from", "node 1 has the vote", "node 1 at"];
        let begin = Instant::now();
        while whose == Whose::Ours && !wanted.iter().all(|words| daemon.log().contains(words)) {
            assert!(begin.elapsed() < PATIENCE, "{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if whose == Whose::Theirs {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let log = daemon.log();
            assert!(!log.contains("lient") && !log.contains("ote"), "{log}");
        }
    }
}

#[test]
fn a_cluster_has_room_for_512_nodes() {
    let mut cluster = Cluster::new(ClusterName::new(b"Alpha"), ClusterPolicy::SAFE);
    let mut join = |node: u32| {
        let joining = Joining {
            conn: ConnId(u64::from(node)),
            node: NodeId(node),
            peer: Peer {
                address: "test".into(),
                tls: true,
                verified: true,
            },
            heartbeat_ms: 8000,
            algorithm: Algorithm::Lms,
            tie_breaker: TieBreaker::Lowest,
            ring: RingId::NONE,
            keep_active: false,
        };
        cluster.join(Time::ZERO, joining, &mut Vec::new())
    };
    for node in 1..=512 {
        join(node).unwrap();
    }
    assert_eq!(join(513), Err(ErrorCode::InternalError));
    assert_eq!(ErrorCode::InternalError.to_wire(), 10);
}

#[test]
fn a_connection_has_30_seconds_to_introduce_itself() {
    let policy = std::sync::Arc::new(SessionPolicy::default());
    let mut session = Session::new(ConnId(1), "test".into(), policy, Time::ZERO);
    let mut out = Vec::new();
    session.handle_timeout(Time::from_millis(29_999), &mut out);
    assert!(out.is_empty(), "{out:?}");
    session.handle_timeout(Time::from_millis(30_000), &mut out);
    assert!(matches!(*out, [Action::Close { .. }]), "{out:?}");
}

#[tokio::test]
async fn the_reference_tool_prints_the_same_of_both() {
    let mut said = Vec::new();
    for whose in [Whose::Theirs, Whose::Ours] {
        let daemon = Daemon::listening(whose, &["-m", "9"]);
        let port = daemon.port;
        let mut first = join(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), 1).await;
        assert_eq!(first.vote().await.unwrap(), Verdict::Ack);
        let mut second = join(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 2).await;
        assert_eq!(second.vote().await.unwrap(), Verdict::Nack);
        let mut texts = String::new();
        for arguments in [
            ["-s"].as_slice(),
            &["-s", "-v"],
            &["-l"],
            &["-l", "-v", "-c", "Alpha"],
            &["-l", "-c", "Beta"],
        ] {
            let output = Command::new("corosync-qnetd-tool")
                .args(arguments)
                .args(["-p", daemon.dir.path().join("sock").to_str().unwrap()])
                .output()
                .expect("corosync-qnetd-tool is needed");
            assert!(output.status.success(), "{whose:?}: {output:?}");
            texts += &String::from_utf8(output.stdout).unwrap();
        }
        // Ports differ; nothing else may.
        let lines = texts.lines().map(|line| match line.rsplit_once(':') {
            Some((text, number)) if number.parse::<u16>().is_ok() => text,
            _ => line,
        });
        said.push(lines.map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(said.first(), said.last());
    let all = said.concat().join("\n");
    assert!(
        all.contains("address:\t\t::1\n") && all.contains("::ffff:127.0.0.1"),
        "{all}"
    );
}
