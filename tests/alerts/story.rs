//! What a cluster's life looks like to whoever gets alerts.

use crate::lab::{Arbiter, SETTLE, webhooks};
use crate::receiver::Receiver;
use qarbiter::engine::Verdict;
use serde_json::Value;

#[test]
fn a_split_is_one_alert_with_the_reason_of_the_api_and_its_end_another() {
    let receiver = Receiver::start();
    let mut arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/hook"))));
    let mut nodes = arbiter.pair(b"site-rom");
    receiver.wait_for("node_connected", "event");
    let whole = receiver.wait_for("vote_granted", "event");
    assert_eq!(whole["severity"], "info");
    assert_eq!(whole["nodes"], serde_json::json!([1, 2]));

    let before = receiver.alerts().len();
    let votes = arbiter.split(&mut nodes, 8);
    assert_eq!(votes, [Verdict::Ack, Verdict::Nack]);
    let split = receiver.wait_for("split", "firing");
    std::thread::sleep(SETTLE * 4);
    let said = &receiver.said()[before..];
    assert_eq!(said, ["split firing", "vote_granted event"]);
    let vote = receiver.alerts()[before + 1].clone();

    let decisions = arbiter.json("/api/v1/clusters/site-rom/decisions");
    let reason = &decisions["decisions"][0]["reason"];
    assert!(
        reason
            .as_str()
            .unwrap()
            .contains("exact tie goes to the lowest"),
        "{reason}"
    );
    assert_eq!((&split["reason"], &vote["reason"]), (reason, reason));
    assert_eq!(vote["nodes"], serde_json::json!([1]));
    assert_eq!(split["key"], "split/site-rom");
    assert_eq!(
        (&split["cluster"], &split["arbiter"]),
        (&"site-rom".into(), &"arbiter-1".into())
    );
    let state = arbiter.json("/api/v1/clusters/site-rom");
    let sentence = format!(
        "site-rom: {}",
        state["health"]["sentence"].as_str().unwrap()
    );
    assert_eq!(split["message"], sentence);

    arbiter.heal(&mut nodes, 16);
    let over = receiver.wait_for("split", "resolved");
    assert_eq!(
        (&over["key"], &over["since_unix_ms"]),
        (&split["key"], &split["since_unix_ms"])
    );
    assert_ne!(over["id"], split["id"]);

    // A node that is gone, and the end of the arbiter.
    let [one, two] = nodes;
    drop(two);
    let lost = receiver.wait_for("node_lost", "firing");
    assert_eq!(lost["nodes"], serde_json::json!([2]));
    let how = lost["reason"].as_str().unwrap();
    assert!(how.ends_with("left: it closed the connection"), "{how}");
    arbiter.stop();
    drop(one);
    let all = receiver.said();
    assert_eq!(all.first().unwrap(), "arbiter_started event");
    assert_eq!(all.last().unwrap(), "arbiter_stopping event");
    let count = |what: &str| all.iter().filter(|said| *said == what).count();
    assert_eq!(count("split firing"), 1, "{all:?}");
    assert_eq!(count("split resolved"), 1, "{all:?}");
    // The arbiter's own end is not a loss of nodes.
    assert_eq!(count("node_lost firing"), 1, "{all:?}");
    let ids: std::collections::HashSet<String> = receiver
        .alerts()
        .iter()
        .map(|alert| alert["id"].to_string())
        .collect();
    assert_eq!(ids.len(), all.len());
}

#[test]
fn a_lost_connection_alone_moves_no_vote() {
    let receiver = Receiver::start();
    let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    let [one, two] = arbiter.pair(b"site");
    receiver.wait_for("vote_granted", "event");
    drop(one);
    receiver.wait_for("node_lost", "firing");
    let mut one = arbiter.join(b"site", 1, &[1, 2], 4);
    assert_eq!(arbiter.vote(&mut one), Verdict::Ack);
    drop(two);
    receiver.wait_for("node_lost", "resolved");
    std::thread::sleep(SETTLE * 5);
    let said = receiver.said();
    let about_votes = said.iter().filter(|said| said.starts_with("vote_"));
    assert_eq!(about_votes.count(), 1, "{said:?}");
}

#[test]
fn a_site_that_is_down_across_a_restart_is_lost_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let history = place.path().join("history");
    let first = Receiver::start();
    let settings = |receiver: &Receiver| webhooks(&format!("json {}", receiver.url("/")));
    let mut arbiter = Arbiter::with_history(settings(&first), Some(&history));
    let [one, two] = arbiter.pair(b"site");
    first.wait_for("vote_granted", "event");
    drop(two);
    first.wait_for("node_lost", "firing");
    // A part of what happens is only written down after a second.
    arbiter.stop();
    drop((one, arbiter));

    let second = Receiver::start();
    let arbiter = Arbiter::with_history(settings(&second), Some(&history));
    let begin = std::time::Instant::now();
    let lost = |node: u32| {
        let alerts = second.alerts();
        let is_it = |alert: &&Value| alert["key"] == format!("node_lost/site/{node}");
        alerts.iter().find(is_it).cloned()
    };
    while lost(1).is_none() || lost(2).is_none() {
        assert!(
            begin.elapsed() < crate::lab::PATIENCE,
            "{:?}",
            second.said()
        );
        std::thread::sleep(SETTLE / 4);
    }
    let overview: Value = arbiter.json("/api/v1/overview");
    assert_eq!(overview["gone"][0]["name"], "site");
    let how = lost(2).unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(how.ends_with("left: it closed the connection"), "{how}");
    let _nodes = arbiter.pair(b"site");
    let back = second.wait_for("node_lost", "resolved");
    assert_eq!(back["reason"], Value::Null);
}

#[test]
fn an_odd_cluster_and_a_withheld_vote() {
    let receiver = Receiver::start();
    let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    let mut node = arbiter.join(b"odd", 1, &[1, 2, 3], 4);
    // It sees itself alone, which is less than half.
    let ring = qarbiter::wire::RingId::new(1, 8);
    arbiter.run(node.see(ring, &[node.id()])).unwrap();
    assert_eq!(arbiter.vote(&mut node), Verdict::Nack);
    let odd = receiver.wait_for("odd_cluster", "firing");
    assert_eq!(odd["severity"], "warning");
    let withheld = receiver.wait_for("vote_withheld", "firing");
    let state: Value = arbiter.json("/api/v1/clusters/odd/decisions");
    assert_eq!(withheld["reason"], state["decisions"][0]["reason"]);
    assert_eq!(withheld["severity"], "critical");
}

#[test]
fn many_clusters_at_once_are_few_requests() {
    let receiver = Receiver::start();
    let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    let nodes: Vec<_> = (0..100)
        .map(|number| arbiter.pair(format!("c{number}").as_bytes()))
        .collect();
    let waits = std::time::Instant::now();
    while arbiter.metric("qarbiter_alerts_total{hook=\"webhook1\",outcome=\"sent\"}") < 40 {
        assert!(
            waits.elapsed() < crate::lab::PATIENCE,
            "{:?}",
            receiver.said()
        );
        std::thread::sleep(SETTLE);
    }
    drop(nodes);
    // Whom a slow machine loses after the first sum is in the next one, a minute later.
    let is_whole = |alert: &Value| alert["key"] == "node_lost/several" && alert["count"] == 180;
    let begin = std::time::Instant::now();
    while !receiver.alerts().iter().any(is_whole) {
        assert!(begin.elapsed().as_secs() < 90, "{:?}", receiver.said());
        std::thread::sleep(SETTLE);
    }
    let alerts = receiver.alerts();
    assert!(alerts.len() < 100, "{} alerts for 200 nodes", alerts.len());
    assert!(
        receiver.all().len() < 60,
        "{} requests",
        receiver.all().len()
    );
}
