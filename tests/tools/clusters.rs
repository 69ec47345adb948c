//! How many clusters, with which algorithm, and who is in them.

use qarbiter::client::Node;
use qarbiter::wire::{Algorithm, Message, NodeId, TieBreaker};

use crate::nodes::{Cluster, in_time, ring, settle, split};
use crate::pair::{Daemon, Pair};

async fn keep_active(node: &mut Node, on: bool) {
    let connection = node.connection();
    let seq = Some(connection.next_number());
    let change = Message::SetOption {
        seq,
        heartbeat_ms: None,
        keep_active: Some(on),
    };
    in_time(connection.send(&change)).await.unwrap();
    in_time(node.heartbeat()).await.unwrap();
}

/// A single node of an algorithm; its vote has been told.
async fn single(
    daemon: &Daemon,
    name: &str,
    algorithm: Algorithm,
    tie_breaker: TieBreaker,
) -> Node {
    let cluster = Cluster {
        algorithm,
        tie_breaker,
        ..daemon.cluster(name, &[7, 8])
    };
    let mut node = cluster.join(7, ring(7, 40), &[7]).await;
    in_time(node.vote()).await.unwrap();
    settle(std::slice::from_mut(&mut node)).await;
    node
}

#[tokio::test]
async fn nobody() {
    let pair = Pair::new();
    assert_eq!(pair.compare(&[]), "");
    let status = pair.ask(&["-s"]).stdout;
    assert_eq!(
        status,
        "QNetd address:\t\t\t127.0.0.1:PORT\nTLS:\t\t\t\tUnsupported\nConnected clients:\t\t0\nConnected clusters:\t\t0\n"
    );
}

/// It counts as a client, and its cluster does not exist yet.
#[tokio::test]
async fn somebody_who_has_not_introduced_himself() {
    let pair = Pair::new();
    let mut connections = Vec::new();
    for daemon in pair.daemons() {
        connections.push(daemon.cluster("Alpha", &[1]).connect().await);
    }
    assert_eq!(pair.compare(&[]), "");
    let status = pair.ask(&["-s"]).stdout;
    assert!(
        status.ends_with("Connected clients:\t\t1\nConnected clusters:\t\t0\n"),
        "{status}"
    );
}

#[tokio::test]
async fn every_algorithm() {
    let pair = Pair::new();
    let algorithms = [
        ("test", Algorithm::Test),
        ("ffsplit", Algorithm::FfSplit),
        ("2nodelms", Algorithm::TwoNodeLms),
        ("lms", Algorithm::Lms),
    ];
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        for (name, algorithm) in algorithms {
            nodes.push(single(daemon, name, algorithm, TieBreaker::Lowest).await);
        }
    }
    let seen = pair.compare(&algorithms.map(|(name, _)| name));
    for name in ["Test", "Fifty-Fifty split", "2 Node LMS", "LMS"] {
        assert!(seen.contains(&format!("Algorithm:\t\t{name}\n")), "{seen}");
    }
}

#[tokio::test]
async fn every_tie_breaker() {
    let pair = Pair::new();
    let rules = [
        ("lowest", TieBreaker::Lowest),
        ("highest", TieBreaker::Highest),
        ("node", TieBreaker::Node(NodeId(u32::MAX))),
    ];
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        for (name, rule) in rules {
            nodes.push(single(daemon, name, Algorithm::FfSplit, rule).await);
        }
    }
    let seen = pair.compare(&rules.map(|(name, _)| name));
    assert!(seen.contains("Node with node ID 4294967295\n"), "{seen}");
}

#[tokio::test]
async fn keep_active_partition_on_some_and_on_all() {
    let pair = Pair::new();
    let mut clusters = Vec::new();
    for daemon in pair.daemons() {
        clusters.push(daemon.cluster("Alpha", &[1, 2]).whole().await);
    }
    assert!(!pair.compare(&["Alpha"]).contains("KAP"));
    for nodes in &mut clusters {
        keep_active(&mut nodes[0], true).await;
    }
    assert!(!pair.compare(&["Alpha"]).contains("KAP"));
    for nodes in &mut clusters {
        keep_active(&mut nodes[1], true).await;
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(
        seen.contains("Fifty-Fifty split (KAP Tie-breaker)\n"),
        "{seen}"
    );
    for nodes in &mut clusters {
        keep_active(&mut nodes[0], false).await;
    }
    assert!(!pair.compare(&["Alpha"]).contains("KAP"));
}

/// Clusters are listed in the order in which they came, nodes by their ids.
#[tokio::test]
async fn several_in_their_order() {
    let pair = Pair::with_flags(&["-s", "off", "-m", "20"]);
    let mut nodes: [Vec<Node>; 2] = Default::default();
    for (daemon, nodes) in pair.daemons().iter().zip(&mut nodes) {
        for (name, ids) in [
            ("Zulu", &[300, 2, 10][..]),
            ("alpha", &[4, 3]),
            ("Alpha", &[9]),
        ] {
            nodes.extend(daemon.cluster(name, ids).whole().await);
        }
    }
    let names = ["Zulu", "alpha", "Alpha"];
    let seen = pair.compare(&names);
    let places = names.map(|name| seen.find(&format!("Cluster \"{name}\"")).unwrap());
    assert!(places.is_sorted(), "{seen}");
    let ids: Vec<_> = seen
        .lines()
        .filter_map(|line| line.strip_prefix("    Node ID "))
        .collect();
    assert_eq!(ids, ["2:", "10:", "300:", "3:", "4:", "9:"]);

    // The first cluster goes and comes back: it is the last one then.
    for nodes in &mut nodes {
        nodes.drain(..3);
    }
    pair.wait("Zulu goes", |listed| !listed.contains("Zulu"));
    assert_eq!(pair.compare(&names[1..]).matches("Cluster \"").count(), 2);
    for (daemon, nodes) in pair.daemons().iter().zip(&mut nodes) {
        nodes.extend(daemon.cluster("Zulu", &[1]).whole().await);
    }
    let seen = pair.compare(&names);
    assert!(seen.find("\"Zulu\"") > seen.find("\"Alpha\""), "{seen}");
}

#[tokio::test]
async fn a_split_and_its_end() {
    let pair = Pair::new();
    let mut clusters = Vec::new();
    for daemon in pair.daemons() {
        let mut nodes = daemon.cluster("Alpha", &[1, 2]).whole().await;
        split(&mut nodes).await;
        clusters.push(nodes);
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(seen.contains("(ACK)") && seen.contains("(NACK)"), "{seen}");
    for nodes in &mut clusters {
        for node in nodes.iter_mut() {
            in_time(node.see(ring(1, 3), &crate::nodes::ids(&[1, 2])))
                .await
                .unwrap();
            in_time(node.heartbeat()).await.unwrap();
        }
        settle(nodes).await;
    }
    assert!(!pair.compare(&["Alpha"]).contains("(NACK)"));
}
