//! A journal that can't be written shows in the metrics, and so does the time that votes wait.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use qarbiter::client::{ClientError, Node};
use qarbiter::engine::Verdict;
use qarbiter::wire::{ErrorCode, NodeId};

use crate::daemon::{Lab, Running};
use crate::nodes::{Cluster, PATIENCE, in_time, ring};
use crate::web::get_here;

/// How long the disk is full after it was noticed.
const FULL: Duration = Duration::from_millis(1500);

/// A small file system at a place, until dropped.
struct SmallDisk<'a>(&'a Lab);

impl<'a> SmallDisk<'a> {
    fn mount(lab: &'a Lab) -> Self {
        std::fs::create_dir(lab.state()).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(lab.state())
            .status();
        assert!(done.unwrap().success(), "root may mount a tmpfs");
        Self(lab)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // What still uses it goes first; a test that failed should say why it did.
        let _done = Command::new("umount")
            .arg("-l")
            .arg(self.0.state())
            .status();
    }
}

fn value(http: SocketAddr, name: &str) -> f64 {
    let text = get_here(http, "/metrics");
    let of_it = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    let found = text.lines().find_map(of_it);
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Nothing waits for the journal any more.
async fn wait_until_written(http: SocketAddr, arbiter: &Running) {
    let begin = Instant::now();
    while value(http, "qarbiter_journal_pending_records") > 0.0 {
        assert!(begin.elapsed() < PATIENCE, "{}", arbiter.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Both nodes are in a new membership. Whether the journal could be written for it.
async fn changes(nodes: &mut [Node], seq: u64, http: SocketAddr) -> bool {
    for node in nodes.iter_mut() {
        let seen = node.see(ring(1, seq), &[NodeId(1), NodeId(2)]);
        in_time(seen).await.unwrap();
    }
    for node in nodes.iter_mut() {
        in_time(node.heartbeat()).await.unwrap();
    }
    // As a stock node does: who reports on and on while nothing can be answered is disconnected.
    let begin = Instant::now();
    while value(http, "qarbiter_journal_pending_records") > 0.0 {
        if value(http, "qarbiter_journal_up") == 0.0 {
            return false;
        }
        assert!(begin.elapsed() < PATIENCE, "neither written nor refused");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

/// Reports new memberships until the journal can't be written.
async fn until_refused(nodes: &mut [Node], http: SocketAddr) {
    let mut seq = 2;
    while changes(nodes, seq, http).await {
        seq += 1;
        assert!(seq < 500, "the journal is never refused anything");
    }
}

fn fill(filler: &Path) {
    let full = std::fs::write(filler, vec![0; 128 * 1024]);
    assert!(full.is_err(), "the disk is not small");
}

/// An arbiter for clear text, and where its metrics are.
fn start(lab: &Lab) -> (Running, SocketAddr) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let http = free.local_addr().unwrap();
    drop(free);
    let mut serve = lab.serve(&["-s", "off"]);
    serve.env("QARBITER_HTTP_ADDRESS", http.to_string());
    let arbiter = lab.start(&serve);
    (arbiter, http)
}

#[tokio::test]
async fn a_full_disk_and_what_votes_wait_for_it_are_counted() {
    let lab = Lab::new();
    let _disk = SmallDisk::mount(&lab);
    let (arbiter, http) = start(&lab);
    let mut nodes = Cluster::new(arbiter.address, "Alpha", &[1, 2])
        .whole()
        .await;
    wait_until_written(http, &arbiter).await;
    assert_eq!(value(http, "qarbiter_journal_up"), 1.0);
    assert_eq!(value(http, "qarbiter_journal_failures_total"), 0.0);
    assert!(value(http, "qarbiter_journal_size_bytes") > 20.0);
    let written = value(http, "qarbiter_journal_last_write_timestamp_seconds");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - 30.0..=now).contains(&written), "{written}, {now}");

    let filler = lab.state().join("filler");
    fill(&filler);
    until_refused(&mut nodes, http).await;
    assert!(value(http, "qarbiter_journal_failures_total") >= 1.0);
    assert!(value(http, "qarbiter_journal_pending_records") >= 1.0);
    // Nobody is said to have what nobody was told.
    let has_vote = "qarbiter_node_has_vote{cluster=\"Alpha\",node=\"1\"}";
    assert_eq!(value(http, has_vote), 0.0);
    let cluster = get_here(http, "/api/v1/clusters/Alpha");
    assert!(cluster.contains("can't be written"), "{cluster}");
    assert!(!cluster.contains("keeps running"), "{cluster}");
    let waited = |http| value(http, "qarbiter_decision_latency_seconds_sum");
    let before = waited(http);
    let begin = Instant::now();
    while begin.elapsed() < FULL {
        for node in &mut nodes {
            in_time(node.heartbeat()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(waited(http), before, "a vote that waits has not left");

    std::fs::remove_file(&filler).unwrap();
    wait_until_written(http, &arbiter).await;
    assert_eq!(value(http, "qarbiter_journal_up"), 1.0);
    // The count goes down before what waited is let go.
    let begin = Instant::now();
    let other_has_vote = "qarbiter_node_has_vote{cluster=\"Alpha\",node=\"2\"}";
    while value(http, has_vote) + value(http, other_has_vote) < 2.0 {
        assert!(begin.elapsed() < PATIENCE, "{}", arbiter.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Both nodes have waited.
    let grown = waited(http) - before;
    assert!(grown >= 2.0 * FULL.as_secs_f64(), "{grown}");
}

/// Joins as soon as the arbiter has noticed that the former connection is closed.
async fn join_again(cluster: &Cluster) -> Node {
    loop {
        let settings = cluster.settings(1, ring(1, 1), &[1, 2]);
        match Node::join(cluster.connect().await, settings).await {
            Err(ClientError::Refused {
                code: ErrorCode::DuplicateNodeId,
                ..
            }) => tokio::time::sleep(Duration::from_millis(1)).await,
            joined => return joined.unwrap(),
        }
    }
}

/// Where no certificate is needed, anybody can do that, under any number of names.
#[tokio::test]
async fn who_comes_and_goes_while_the_disk_is_full_leaves_nothing_behind() {
    let lab = Lab::new();
    let _disk = SmallDisk::mount(&lab);
    let (arbiter, http) = start(&lab);
    let filler = lab.state().join("filler");
    fill(&filler);
    let alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]);
    let mut nodes = alpha.whole().await;
    until_refused(&mut nodes, http).await;

    for number in 0..1000 {
        for name in ["again".to_owned(), format!("new {number}")] {
            let passing = Cluster::new(arbiter.address, &name, &[1, 2]);
            let mut node = in_time(join_again(&passing)).await;
            in_time(node.heartbeat()).await.unwrap();
        }
    }
    // Those of the nodes that have stayed, and perhaps of who has left just now.
    let begin = Instant::now();
    while value(http, "qarbiter_journal_pending_records") > 2.0 {
        assert!(begin.elapsed() < PATIENCE, "{}", arbiter.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(value(http, "qarbiter_journal_pending_records") >= 1.0);
    for node in &mut nodes {
        in_time(node.heartbeat()).await.unwrap();
        assert_eq!(node.decided(), None, "a vote that was not written down");
    }

    std::fs::remove_file(&filler).unwrap();
    for node in &mut nodes {
        assert_eq!(in_time(node.vote()).await.unwrap(), Verdict::Ack);
    }
    wait_until_written(http, &arbiter).await;
}
