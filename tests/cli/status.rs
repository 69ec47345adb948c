//! `qarbiter status`, for people and for programs.

use std::process::Command;

use qarbiter::ipc::json::{ClusterStatus, Status};
use qarbiter::wire::Algorithm;

use crate::lab::{Lab, Outcome, QARBITER, Running, run};
use crate::nodes::{Cluster, ids, in_time, ring, settle, split};

fn ask(lab: &Lab, more: &[&str]) -> Outcome {
    let mut command = Command::new(QARBITER);
    command.arg("status").arg("--state-dir").arg(lab.state());
    run(command.args(more))
}

/// The table, and what `--json` says of the same moment.
fn status(lab: &Lab) -> (String, Status) {
    let table = ask(lab, &[]);
    let json = ask(lab, &["--json"]);
    assert_eq!((table.code, json.code), (Some(0), Some(0)), "{table:?}");
    (table.stdout, serde_json::from_str(&json.stdout).unwrap())
}

/// The table's lines for one cluster, blanks reduced to one.
fn part(table: &str, cluster: &str) -> Vec<String> {
    let start = format!("Cluster {cluster}  (");
    table
        .lines()
        .skip_while(|line| !line.starts_with(&start))
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn cluster<'a>(status: &'a Status, name: &str) -> &'a ClusterStatus {
    let mut found = status.clusters.iter().filter(|one| one.name == name);
    let cluster = found.next().unwrap();
    assert!(found.next().is_none(), "{name} is there twice");
    cluster
}

fn has(lines: &[String], wanted: &str) {
    assert!(
        lines.iter().any(|line| line == wanted),
        "{wanted:?} is not in {lines:#?}"
    );
}

fn arbiter(lab: &Lab) -> Running {
    lab.start(&lab.serve(&["-s", "on"]))
}

#[tokio::test]
async fn nobody_is_there_yet() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let (table, json) = status(&lab);
    let first = format!(
        "qarbiter {} on {}, TLS supported, client certificates required; connections: 0, clusters: 0\n",
        env!("CARGO_PKG_VERSION"),
        arbiter.address
    );
    assert_eq!(table, first);
    assert_eq!(json.address, arbiter.address.to_string());
    assert!(json.client_cert_required && json.clusters.is_empty());
    assert_eq!((json.tls.as_str(), json.connections), ("supported", 0));
}

#[tokio::test]
async fn a_split_shows_who_has_the_vote_and_why() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = alpha.whole().await;

    let (table, json) = status(&lab);
    let lines = part(&table, "alpha");
    has(
        &lines,
        "Cluster alpha (ffsplit, tie-breaker lowest node id, rules safe)",
    );
    has(&lines, "Vote: nodes 1,2");
    has(&lines, "Partition: {1,2} ring 1.1 has the vote");
    let seen = cluster(&json, "alpha");
    assert_eq!(seen.vote_held_by, [1, 2]);
    assert_eq!(seen.partitions.len(), 1);
    has(
        &lines,
        "State: OK: both nodes connected; if one dies the other keeps running",
    );
    assert_eq!(seen.health.level, "OK");
    assert!(
        seen.decision.contains("it has 2 of 2 configured nodes"),
        "{}",
        seen.decision
    );

    split(&mut nodes).await;
    let (table, json) = status(&lab);
    let lines = part(&table, "alpha");
    has(&lines, "Vote: node 1");
    let state = "State: DEGRADED: split; node 1 holds the vote because the tie-breaker is lowest";
    has(&lines, state);
    let first = table.lines().next().unwrap();
    assert!(first.ends_with("clusters: 1 (1 DEGRADED)"), "{first}");
    let reason =
        "the vote goes to {1} in ring 1.2: an exact tie goes to the lowest node id, which is 1";
    let shown = format!("Reason: {reason} (");
    assert!(
        lines.iter().any(|line| line.starts_with(&shown)),
        "{lines:#?}"
    );
    has(&lines, "Partition: {1} ring 1.2 has the vote");
    has(&lines, "Partition: {2} ring 2.2");
    for (node, vote) in [(1, "yes"), (2, "no")] {
        let row = lines
            .iter()
            .find(|line| line.starts_with(&format!("{node} 127.0.0.1:")));
        let words: Vec<_> = row.unwrap().split(' ').collect();
        assert_eq!(words[2..4], ["verified", vote], "{lines:#?}");
    }
    has(
        &lines,
        "Quorum: 2 of 3 votes, the arbiter has 1; from a complete cluster may fail: 1 with the arbiter, 0 without",
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("Warning:")),
        "{lines:#?}"
    );

    let seen = cluster(&json, "alpha");
    assert_eq!(
        (seen.algorithm.as_str(), seen.rules.as_str()),
        ("ffsplit", "safe")
    );
    assert_eq!(seen.vote_held_by, [1]);
    assert_eq!(seen.decision, reason);
    let partitions: Vec<_> = seen
        .partitions
        .iter()
        .map(|part| (part.ring.as_str(), part.nodes.as_slice(), part.has_vote))
        .collect();
    assert_eq!(
        partitions,
        [("1.2", &[1][..], true), ("2.2", &[2][..], false)]
    );
    let verdicts: Vec<_> = seen
        .nodes
        .iter()
        .map(|node| {
            (
                node.node,
                node.tls,
                node.certificate_verified,
                node.verdict.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        verdicts,
        [(1, true, true, Some("ACK")), (2, true, true, Some("NACK"))]
    );
    assert!(seen.warnings.is_empty() && seen.absent_nodes.is_empty());

    // Healed: both again, and the old rings are gone.
    for node in &mut nodes {
        in_time(node.see(ring(1, 3), &ids(&[1, 2]))).await.unwrap();
    }
    settle(&mut nodes).await;
    let (table, json) = status(&lab);
    has(&part(&table, "alpha"), "Vote: nodes 1,2");
    assert_eq!(cluster(&json, "alpha").partitions.len(), 1);
}

#[tokio::test]
async fn what_is_missing_or_unwise_is_said() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    // Node 3 never comes; three nodes are odd; a heartbeat of 15 s makes a lease of 33 s.
    let odd = Cluster {
        heartbeat_ms: 15_000,
        ..Cluster::new(arbiter.address, "odd", &[1, 2, 3])
    };
    let mut nodes = Vec::new();
    for node in [1, 2] {
        nodes.push(odd.join(node, ring(1, 1), &[1, 2]).await);
    }
    settle(&mut nodes).await;
    let even = Cluster {
        algorithm: Algorithm::Lms,
        ..Cluster::new(arbiter.address, "even", &[1, 2, 3, 4]).with_certificates(&lab.state())
    };
    let _all = even.whole().await;

    let (table, json) = status(&lab);
    let lines = part(&table, "odd");
    has(&lines, "3 not connected");
    has(
        &lines,
        "State: DEGRADED: node 3 is not connected; nodes 1,2 keep running, but not without the \
         arbiter; no other node may die",
    );
    has(&lines, "Vote: nodes 1,2");
    let warnings = [
        "3 nodes is an odd number: with ffsplit the arbiter makes it worse",
        "Nodes 1,2 are connected in clear text",
        "Node 3 is configured and has never connected here",
        "a silently lost node's vote is withheld for 33 s",
    ];
    let seen = cluster(&json, "odd");
    assert_eq!(seen.absent_nodes, [3]);
    assert_eq!(seen.warnings.len(), warnings.len(), "{:#?}", seen.warnings);
    for text in warnings {
        let count = lines
            .iter()
            .filter(|line| line.starts_with("Warning:") && line.contains(text))
            .count();
        assert_eq!(count, 1, "{text:?} in {lines:#?}");
        assert!(
            seen.warnings
                .iter()
                .any(|warning| warning.starts_with(text))
        );
    }
    arbiter.logged(&["warn", "odd", "vote is withheld from others for 33 s"]);

    let lines = part(&table, "even");
    has(&lines, "Vote: nodes 1,2,3,4");
    assert!(
        !lines.iter().any(|line| line.starts_with("Warning:")),
        "{lines:#?}"
    );
    assert!(cluster(&json, "even").warnings.is_empty());

    // One cluster only.
    let only = ask(&lab, &["--cluster", "even"]);
    assert_eq!(only.code, Some(0));
    assert_eq!(part(&only.stdout, "even"), lines);
    assert!(part(&only.stdout, "odd").is_empty());
    let only = ask(&lab, &["--cluster", "even", "--json"]);
    let only: Status = serde_json::from_str(&only.stdout).unwrap();
    assert_eq!(only.clusters.len(), 1);
    let none = ask(&lab, &["--cluster", "nosuch"]);
    assert_eq!(none.code, Some(1));
    let text = "qarbiter status: no node of a cluster \"nosuch\" is connected\n";
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", text));
}

#[test]
fn an_arbiter_that_is_not_there_is_named() {
    let lab = Lab::new();
    let failed = ask(&lab, &[]);
    assert_eq!(failed.code, Some(1));
    let path = lab.state().join("qarbiter.sock").display().to_string();
    for word in [&*path, "is the arbiter running?", "--state-dir", "--socket"] {
        assert!(failed.stderr.contains(word), "{}", failed.stderr);
    }
}

#[tokio::test]
async fn a_cluster_whose_nodes_have_left_is_not_forgotten() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&["-s", "off"]));
    let alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]);
    drop(alpha.whole().await);
    let begin = std::time::Instant::now();
    let table = loop {
        let (table, _) = status(&lab);
        if table.contains("connections: 0, clusters: 0, without a connected node: 1\n") {
            break table;
        }
        assert!(begin.elapsed().as_secs() < 60, "{table}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let line = "\nCluster Alpha\n  State:     CRITICAL: no node has been connected for ";
    assert!(table.contains(line), "{table}");
}
