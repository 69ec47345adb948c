//! The log: one line for each thing that an operator cares about, and none for the rest.

use std::process::Command;

use qarbiter::client::{ClientError, Connection, Node};
use qarbiter::wire::{ClusterName, ErrorCode};
use rustix::process::Signal;

use crate::lab::{Lab, QARBITER, Running, run};
use crate::nodes::{Cluster, in_time, ring, settle, split};

/// The log's lines without the time.
fn lines(arbiter: &Running) -> Vec<String> {
    let log = arbiter.log();
    let text = |line: &str| line.split_once(' ').map(|(_, text)| text.to_owned());
    log.lines().filter_map(text).collect()
}

fn count(lines: &[String], words: &[&str]) -> usize {
    lines
        .iter()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

#[tokio::test]
async fn each_thing_has_its_line() {
    let lab = Lab::new();
    let mut arbiter = lab.start(&lab.serve(&[]));
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = alpha.whole().await;
    split(&mut nodes).await;
    drop(nodes.pop());
    arbiter.logged(&["node 2", "left"]);
    arbiter.end_with(Signal::TERM);

    let lines = lines(&arbiter);
    for node in [1, 2] {
        let words = [
            "info",
            "\"alpha\"",
            &format!("node {node} connected from 127.0.0.1:"),
        ];
        assert_eq!(count(&lines, &words), 1, "{lines:#?}");
    }
    assert_eq!(count(&lines, &["TLS, certificate verified", "ffsplit"]), 2);
    assert_eq!(
        count(
            &lines,
            &["\"alpha\"", "node 2", "left: it closed the connection"]
        ),
        1
    );
    // In the split, node 1 keeps the vote and node 2 loses it; each is told once, with the reason.
    let why = "an exact tie goes to the lowest node id, which is 1";
    let kept = ["info", "node 1 has the vote in ring 1.2", why];
    assert_eq!(count(&lines, &kept), 1, "{lines:#?}");
    let lost = ["info", "node 2 does not have the vote in ring 2.2", why];
    assert_eq!(count(&lines, &lost), 1, "{lines:#?}");
    assert_eq!(count(&lines, &["SIGTERM received"]), 1, "{lines:#?}");
    assert_eq!(lines.last().map(|line| line.trim()), Some("info  stopped"));
    let bad = |line: &&String| !line.starts_with("info ");
    assert!(!lines.iter().any(|line| bad(&line)), "{lines:#?}");
}

#[tokio::test]
async fn the_rest_is_quiet() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&[]));
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = alpha.whole().await;
    let before = lines(&arbiter);
    for _ in 0..10 {
        settle(&mut nodes).await;
    }
    // A port scanner, and someone who asks.
    for _ in 0..5 {
        drop(std::net::TcpStream::connect(arbiter.address).unwrap());
    }
    let mut status = Command::new(QARBITER);
    run(status.arg("status").arg("--state-dir").arg(lab.state()));
    settle(&mut nodes).await;
    assert_eq!(lines(&arbiter), before);
}

#[tokio::test]
async fn with_d_there_is_detail() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&["-d", "-s", "off"]));
    let _nodes = Cluster::new(arbiter.address, "alpha", &[1, 2])
        .whole()
        .await;
    arbiter.logged(&["debug", "node 1 answered"]);
}

#[tokio::test]
async fn clear_text_is_refused_with_the_settings_name() {
    let lab = Lab::new();
    let mut arbiter = lab.start(&lab.serve(&[]));
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]);
    let address = arbiter.address;
    let refused = tokio::task::spawn_blocking(move || init_in_clear(address, &alpha));
    assert_eq!(
        in_time(refused).await.unwrap(),
        ErrorCode::TlsRequired.to_wire()
    );
    let line = arbiter.logged(&["warn", "TLS is required"]);
    for word in ["127.0.0.1:", "setting -s", "quorum.device.net.tls"] {
        assert!(line.contains(word), "{line}");
    }
    arbiter.end_with(Signal::TERM);
    let all = lines(&arbiter);
    assert_eq!(count(&all, &["127.0.0.1:", "client"]), 1, "{all:#?}");
}

/// A stock node with `tls: off` leaves when the answer to PREINIT says that TLS is required
/// (protocol spec, 6.1); it never says what would be refused.
#[tokio::test]
async fn a_stock_node_in_clear_text_has_the_settings_name_too() {
    let lab = Lab::new();
    let mut arbiter = lab.start(&lab.serve(&[]));
    let name = ClusterName::new(b"alpha");
    let opened = in_time(Connection::open(arbiter.address, &name, None)).await;
    assert!(
        matches!(opened, Err(ClientError::TlsRequired)),
        "{opened:?}"
    );
    arbiter.logged(&["warn", "127.0.0.1:", "alpha"]);
    arbiter.end_with(Signal::TERM);
    let all = lines(&arbiter);
    let named = count(&all, &["warn", "127.0.0.1:", "alpha", "-s"]);
    assert_eq!(named, 1, "{all:#?}");
}

/// Sends PREINIT and INIT without TLS; the code of the refusal.
fn init_in_clear(address: std::net::SocketAddr, cluster: &Cluster) -> u16 {
    use qarbiter::wire::{Frame, FrameDecoder, Init, Message, NodeId, Options, TieBreaker};
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(crate::nodes::PATIENCE))
        .unwrap();
    let preinit = Message::Preinit {
        seq: Some(1),
        cluster: ClusterName::new(cluster.name.as_bytes()),
    };
    let init = Message::Init(Init {
        seq: Some(2),
        node: NodeId(1),
        algorithm: cluster.algorithm.to_wire(),
        heartbeat_ms: cluster.heartbeat_ms,
        tie_breaker: TieBreaker::Lowest,
        ring_id: ring(1, 1),
    });
    stream.write_all(&preinit.encode()).unwrap();
    stream.write_all(&init.encode()).unwrap();
    let mut decoder = FrameDecoder::new(32_768);
    loop {
        let mut buffer = [0; 512];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed without an answer");
        let mut input = &buffer[..read];
        while let Some(frame) = decoder.next(&mut input) {
            let Frame::Message { body, .. } = frame else {
                panic!("{frame:?}");
            };
            if let Some(code) = Options::decode(&body).unwrap().error_code {
                return code.to_wire();
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_cluster_has_its_line() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&[]));
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let intruder = Cluster {
        name: "beta".to_owned(),
        ..alpha
    };
    let settings = intruder.settings(1, ring(1, 1), &[1, 2]);
    let joined = in_time(Node::join(intruder.connect().await, settings)).await;
    assert!(matches!(joined, Err(ClientError::Closed)), "{joined:?}");
    let line = arbiter.logged(&["warn", "127.0.0.1:", "beta", "alpha"]);
    // One thing, one line.
    let all = lines(&arbiter);
    assert_eq!(count(&all, &["127.0.0.1:", "beta"]), 1, "{line}\n{all:#?}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_has_its_line() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&[]));
    // Another arbiter's certificates, except for the trust in the server's.
    let other = Lab::new();
    lab_identity(&other);
    let tls = crate::nodes::foreign_certificates(&other.state(), &lab.state(), "alpha");
    let alpha = Cluster {
        tls: Some(tls),
        ..Cluster::new(arbiter.address, "alpha", &[1, 2])
    };
    let name = ClusterName::new(b"alpha");
    let opened = Connection::open(arbiter.address, &name, alpha.tls.clone());
    if let Ok(connection) = in_time(opened).await {
        // In TLS 1.3 the client believes that it is done before the server has looked.
        let settings = alpha.settings(1, ring(1, 1), &[1, 2]);
        let joined = in_time(Node::join(connection, settings)).await;
        assert!(joined.is_err(), "{joined:?}");
    }
    arbiter.logged(&["warn", "127.0.0.1:", "alpha", "certificate"]);
    assert_eq!(count(&lines(&arbiter), &["127.0.0.1:", "certificate"]), 1);
}

fn lab_identity(lab: &Lab) {
    lab.start(&lab.serve(&[])).end_with(Signal::TERM);
}
