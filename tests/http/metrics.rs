//! Metrics, read back from what the exporter prints.

use crate::lab::Arbiter;
use qarbiter::engine::Verdict;
use qarbiter::version::{COMMIT, TARGET, VERSION};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// The value of every series, by its name and labels as they are printed.
fn series(arbiter: &Arbiter) -> BTreeMap<String, f64> {
    let answer = arbiter.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for line in lines {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let before = all.insert(name.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{name} is there twice");
    }
    all
}

#[test]
fn the_linter_of_prometheus_has_nothing_to_say() {
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"with \"quotes\" and \\");
    let _more = arbiter.pair(b"line\nfeed");
    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian package prometheus)");
    let text = arbiter.get("/metrics").body;
    linter.stdin.take().unwrap().write_all(&text).unwrap();
    let verdict = linter.wait_with_output().unwrap();
    let said = [verdict.stdout, verdict.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(verdict.status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_split_is_seen_in_numbers() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"a");
    let before = series(&arbiter);
    for (name, value) in [
        ("qarbiter_clusters", 1.0),
        ("qarbiter_clusters_gone", 0.0),
        ("qarbiter_nodes", 2.0),
        ("qarbiter_connections", 2.0),
        ("qarbiter_cluster_nodes_connected{cluster=\"a\"}", 2.0),
        ("qarbiter_cluster_nodes_configured{cluster=\"a\"}", 2.0),
        ("qarbiter_cluster_nodes_absent{cluster=\"a\"}", 0.0),
        ("qarbiter_cluster_partitions{cluster=\"a\"}", 1.0),
        ("qarbiter_cluster_vote_held{cluster=\"a\"}", 1.0),
        ("qarbiter_cluster_vote_waiting{cluster=\"a\"}", 0.0),
        ("qarbiter_cluster_leases{cluster=\"a\"}", 0.0),
        (
            "qarbiter_cluster_tolerated_failures{cluster=\"a\",arbiter=\"with\"}",
            1.0,
        ),
        (
            "qarbiter_cluster_tolerated_failures{cluster=\"a\",arbiter=\"without\"}",
            0.0,
        ),
        ("qarbiter_node_connected{cluster=\"a\",node=\"2\"}", 1.0),
        ("qarbiter_node_has_vote{cluster=\"a\",node=\"2\"}", 1.0),
        (
            "qarbiter_node_certificate_verified{cluster=\"a\",node=\"2\"}",
            0.0,
        ),
        ("qarbiter_nodes_joined_total", 2.0),
        ("qarbiter_vote_handovers_total", 0.0),
        ("qarbiter_connections_accepted_total", 2.0),
        ("qarbiter_history_lost_total", 0.0),
        (
            format!(
                "qarbiter_build_info{{commit=\"{COMMIT}\",target=\"{TARGET}\",version=\"{VERSION}\"}}"
            )
            .leak(),
            1.0,
        ),
    ] {
        assert_eq!(before.get(name), Some(&value), "{name}");
    }
    assert!(before["qarbiter_received_bytes_total"] > 100.0);
    assert!(before["qarbiter_sent_bytes_total"] > 100.0);
    assert!(before["process_resident_memory_bytes"] > 1e6);
    assert!(before["process_open_fds"] > 3.0);
    assert!(before["qarbiter_node_heartbeat_age_seconds{cluster=\"a\",node=\"1\"}"] < 20.0);

    assert_eq!(arbiter.split(&mut nodes, 8), [Verdict::Ack, Verdict::Nack]);
    arbiter.settled("a");
    let after = series(&arbiter);
    assert_eq!(after["qarbiter_cluster_partitions{cluster=\"a\"}"], 2.0);
    assert_eq!(before["qarbiter_cluster_health{cluster=\"a\"}"], 0.0);
    assert_eq!(after["qarbiter_cluster_health{cluster=\"a\"}"], 1.0);
    let rule = |rule: &str| {
        format!(
            "qarbiter_cluster_decision_info{{cluster=\"a\",rule=\"{rule}\",outcome=\"granted\"}}"
        )
    };
    assert_eq!(before[&rule("majority")], 1.0);
    assert_eq!(after[&rule("tie_breaker")], 1.0);
    assert!(!after.contains_key(&rule("majority")));
    let warning = "qarbiter_cluster_warning{cluster=\"a\",kind=\"clear_text\"}";
    assert_eq!(after[warning], 1.0);
    assert!(after["qarbiter_cluster_warnings{cluster=\"a\"}"] >= 1.0);
    assert_eq!(
        after["qarbiter_node_has_vote{cluster=\"a\",node=\"1\"}"],
        1.0
    );
    assert_eq!(
        after["qarbiter_node_has_vote{cluster=\"a\",node=\"2\"}"],
        0.0
    );
    let grew = |name: &str| after[name] - before[name];
    assert!(grew("qarbiter_decisions_total{algorithm=\"ffsplit\",outcome=\"granted\"}") >= 1.0);
    assert!(grew("qarbiter_votes_told_total{vote=\"nack\"}") >= 1.0);
    let count = "qarbiter_decision_latency_seconds_count";
    let told = grew("qarbiter_votes_told_total{vote=\"nack\"}")
        + grew("qarbiter_votes_told_total{vote=\"ack\"}");
    assert_eq!(grew(count), told);
    assert!(grew("qarbiter_decision_latency_seconds_sum") < 10.0);

    // The winner goes, and after it the other half gets the vote: a hand-over.
    let [winner, mut loser] = nodes;
    drop(winner);
    arbiter.until("/api/v1/clusters/a", |cluster| {
        cluster["absent_nodes"] == serde_json::json!([1])
    });
    arbiter
        .run(loser.see(qarbiter::wire::RingId::new(2, 12), &[loser.id()]))
        .unwrap();
    assert_eq!(arbiter.vote(&mut loser), Verdict::Ack);
    let end = series(&arbiter);
    assert_eq!(end["qarbiter_vote_handovers_total"], 1.0);
    assert_eq!(end["qarbiter_nodes_left_total{cause=\"closed\"}"], 1.0);
    assert_eq!(
        end["qarbiter_node_connected{cluster=\"a\",node=\"1\"}"],
        0.0
    );
    assert_eq!(end["qarbiter_cluster_nodes_absent{cluster=\"a\"}"], 1.0);
    assert!(!end.contains_key("qarbiter_node_has_vote{cluster=\"a\",node=\"1\"}"));
}

#[test]
fn what_strangers_do_is_counted_by_reason() {
    let arbiter = Arbiter::start();
    // ECHO_REQUEST (type 8) without the options that it needs.
    let mut stranger = std::net::TcpStream::connect(arbiter.votes).unwrap();
    stranger.write_all(&[0, 8, 0, 0, 0, 0]).unwrap();
    stranger.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stranger, &mut answer).unwrap();
    let begin = std::time::Instant::now();
    let closed = "qarbiter_connections_closed_total{reason=\"closed_by_node\"}";
    while series(&arbiter).get(closed) != Some(&1.0) {
        assert!(begin.elapsed() < crate::lab::PATIENCE);
    }
    let all = series(&arbiter);
    let error = "qarbiter_protocol_errors_total{code=\"9\",error=\"ErrorDecodingMsg\"}";
    assert_eq!(all[error], 1.0, "{all:?}");
    assert!(
        !all.keys().any(|name| name.contains("ring")),
        "no ring ids in labels"
    );
}
