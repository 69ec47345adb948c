//! The commands as a user meets them.

use std::process::Command;

use qarbiter::ipc::json::Status;
use qarbiter::wire::Algorithm;
use serde_json::Value;

use crate::daemon::{Lab, Outcome, QARBITER, Running, run};
use crate::nodes::{Cluster, ids, in_time, ring, settle, split};

fn ask(arguments: &[&str]) -> Outcome {
    run(Command::new(QARBITER).args(arguments))
}

fn json(arguments: &[&str]) -> Value {
    let outcome = ask(arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// Blanks reduced to one.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_line(outcome: &Outcome, wanted: &str) {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let found = outcome.stdout.lines().any(|line| squeezed(line) == wanted);
    assert!(found, "{wanted:?} is not in\n{}", outcome.stdout);
}

#[test]
fn advise_shows_the_table_and_the_stanza() {
    let four = ask(&["advise", "--nodes", "4", "--host", "192.0.2.10"]);
    for line in [
        "no arbiter 4 3 - 1 1",
        "ffsplit 5 3 1 2 1",
        "lms 7 4 3 3 0",
        "votes: 1",
        "host: 192.0.2.10",
        "algorithm: ffsplit",
        "While the arbiter is down both halves stop.",
    ] {
        has_line(&four, line);
    }
    assert!(!four.stdout.contains("Warning"), "{}", four.stdout);
    let tie = "Split in halves (2 and 2): the half with more nodes connected";
    assert!(four.stdout.contains(tie), "{}", four.stdout);
}

#[test]
fn advise_warns_of_an_odd_number() {
    let three = ask(&["advise", "--nodes", "3"]);
    has_line(&three, "lms 5 3 2 2 0");
    has_line(&three, "algorithm: lms");
    for text in [
        "Warning: 3 nodes is an odd number: the arbiter has 2 votes and is nearly a single point",
        "while it is down, no node may fail. Without an arbiter one may",
        "If the one failure that 3 nodes bear without an arbiter is not enough, use lms",
        "ARBITER is the arbiter's address (option --host).",
    ] {
        assert!(three.stdout.contains(text), "{text}: {}", three.stdout);
    }
    assert!(!three.stdout.contains("votes:"), "{}", three.stdout);
    let ffsplit = json(&["advise", "--nodes", "3", "--algorithm", "ffsplit", "--json"]);
    let warning = ffsplit["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("with ffsplit the arbiter makes it worse"),
        "{warning}"
    );
    assert_eq!(ffsplit["half_survives_with_arbiter"], Value::Null);
    assert_eq!(ffsplit["tolerated_with_arbiter"], 1);
}

#[test]
fn advise_refuses_what_does_not_exist() {
    for (arguments, text) in [
        (&["advise", "--nodes", "1"][..], "1 is not in 2..=384"),
        (
            &["advise", "--nodes", "3", "--algorithm", "2nodelms"],
            "2nodelms is not for 3 nodes",
        ),
        (
            &["advise", "--nodes", "2", "--algorithm", "test"],
            "\"test\" is not for",
        ),
        (
            &["advise", "--nodes", "2", "--algorithm", "x"],
            "choose ffsplit, lms or 2nodelms",
        ),
        (
            &["advise", "--nodes", "2", "--tie-breaker", "0"],
            "choose lowest, highest or a node id",
        ),
    ] {
        let outcome = ask(arguments);
        assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
        let text = text.replace("\"test\" is not for", "test is not for");
        assert!(outcome.stderr.contains(&text), "{text}: {}", outcome.stderr);
    }
}

#[test]
fn a_tie_breaker_that_is_no_node_is_warned_of() {
    let advice = ask(&["advise", "--nodes", "2", "--tie-breaker", "9"]);
    let warning = "The tie-breaker is node 9, which is not in the cluster: after a split";
    let conditional = format!("Warning: If no node has that number: {warning}");
    assert!(advice.stdout.contains(&conditional), "{}", advice.stdout);
    let story = ask(&["simulate", "--nodes", "2", "--tie-breaker", "9", "cut 1|2"]);
    let warned = format!("Warning: {warning}");
    assert!(story.stdout.contains(&warned), "{}", story.stdout);
    has_line(
        &story,
        "node 1 holds the vote because no side has the tie-breaker (node 9) and that side has the \
         lowest connected node id",
    );
    let sound = ask(&["advise", "--nodes", "2", "--tie-breaker", "2"]);
    assert!(!sound.stdout.contains("Warning"), "{}", sound.stdout);
}

#[test]
fn simulate_tells_who_is_quorate_and_why() {
    let story = ask(&[
        "simulate",
        "--nodes",
        "2",
        "cut 1|2",
        "heal",
        "kill 1",
        "lose arbiter",
    ]);
    for line in [
        "1,2 quorate 3 of 3 votes, 2 needed, with the arbiter's",
        "1 quorate 2 of 3 votes, 2 needed, with the arbiter's",
        "2 stopped 1 of 3 votes, 2 needed",
        "node 1 holds the vote because the tie-breaker is lowest",
        "node 2 holds the vote because no node of the other half is connected",
        "1 down",
        "the arbiter can't be reached",
        "settled within 18 s",
    ] {
        has_line(&story, line);
    }
    assert!(!story.stdout.contains("DANGER"), "{}", story.stdout);
}

#[test]
fn simulate_says_the_same_to_programs() {
    let faults = ["lose", "arbiter", "kill", "2"];
    let mut arguments = vec![
        "simulate",
        "--nodes",
        "4",
        "--tie-breaker",
        "highest",
        "--json",
    ];
    arguments.extend(faults);
    let story = json(&arguments);
    assert_eq!(story["algorithm"], "ffsplit");
    assert_eq!(story["tie_breaker"], "highest");
    let steps = story["steps"].as_array().unwrap();
    let quorate: Vec<&Value> = steps.iter().map(|step| &step["quorate"]).collect();
    assert_eq!(
        quorate,
        [
            &serde_json::json!([1, 2, 3, 4]),
            &serde_json::json!([1, 3, 4])
        ]
    );
    assert_eq!(steps[0]["fault"], "lose arbiter");
    // Two heartbeats of 8 s.
    let within = steps[0]["settled_within_ms"].as_u64().unwrap();
    assert!((15_000..=16_000).contains(&within), "{within}");
    assert_eq!(steps[1]["partitions"][0]["votes"], 3);
}

#[test]
fn simulate_finds_the_holes_of_the_reference() {
    // H1 of the safety spec: the half that holds the vote falls silent, and for a while both have it.
    let story = |rules| {
        let faults = ["cut 1|2", "lose arbiter 1"];
        let mut arguments = vec!["simulate", "--nodes", "2", "--rules", rules, "--json"];
        arguments.extend(faults);
        let story = json(&arguments);
        story["steps"][1]["two_sides_were_quorate"]
            .as_bool()
            .unwrap()
    };
    assert!(story("reference"));
    assert!(!story("safe"));
}

#[test]
fn simulate_reads_corosync_conf() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("corosync.conf");
    let stanza = json(&["advise", "--nodes", "2", "--host", "a", "--json"]);
    let stanza = stanza["stanza"].as_str().unwrap();
    let stanza = stanza.replace("model: net\n", "model: net\n timeout: 30000\n");
    let nodes = "nodelist {\n node {\n nodeid: 11\n }\n node {\n nodeid: 12\n }\n}\n";
    std::fs::write(&path, format!("{nodes}{stanza}")).unwrap();
    let path = path.to_str().unwrap();
    let story = ask(&["simulate", "--cluster-file", path, "kill 12"]);
    has_line(
        &story,
        "11 quorate 2 of 3 votes, 2 needed, with the arbiter's",
    );
    // 2 x 24 s and a tenth.
    let warning = "Warning: a silently lost node's vote is withheld for 53 s";
    assert!(story.stdout.contains(warning), "{}", story.stdout);

    // What corosync or the clock does not bear is refused, and not played.
    for (from, to, text) in [
        (
            " timeout: 30000",
            " sync_timeout: 4294967295",
            "quorum.device.sync_timeout is 4294967295 ms; 1000 ms to 300000 ms can be simulated",
        ),
        (
            " timeout: 30000",
            " timeout: 0",
            "quorum.device.timeout is 0 ms; 1000 ms to 150000 ms can be simulated",
        ),
        (
            "quorum {\n",
            "quorum {\n two_node: 1\n",
            "corosync refuses quorum.two_node together with an arbiter: remove it",
        ),
    ] {
        let changed = format!("{nodes}{}", stanza.replace(from, to));
        std::fs::write(path, changed).unwrap();
        let refused = ask(&["simulate", "--cluster-file", path, "kill 12"]);
        let expected = format!("qarbiter simulate: {path}: {text}\n");
        assert_eq!(
            (refused.code, refused.stderr.as_str()),
            (Some(1), expected.as_str())
        );
    }

    std::fs::write(path, "totem {\n").unwrap();
    let broken = ask(&["simulate", "--cluster-file", path, "heal"]);
    let expected = format!("qarbiter simulate: {path}: the braces are not in pairs (line 1)\n");
    assert_eq!(
        (broken.code, broken.stderr.as_str()),
        (Some(1), expected.as_str())
    );
}

#[test]
fn simulate_refuses_what_does_not_exist() {
    for (arguments, text) in [
        (
            &["simulate", "--nodes", "2", "explode"][..],
            "\"explode\" is no fault; there are: cut",
        ),
        (
            &["simulate", "--nodes", "2", "kill 3"],
            "\"3\" is no node of the cluster, whose nodes are 1,2",
        ),
        (&["simulate", "--nodes", "2"], "<FAULT>"),
        (&["simulate", "heal"], "--nodes"),
        (
            &["simulate", "--nodes", "99", "heal"],
            "a cluster of 99 can't be simulated; choose 2 to 32 nodes",
        ),
        (
            &["simulate", "--nodes", "4294967295", "heal"],
            "a cluster of 4294967295 can't be simulated",
        ),
        (
            &["simulate", "--nodes", "1", "heal"],
            "a cluster of 1 can't be simulated",
        ),
        (
            &[
                "simulate",
                "--nodes",
                "3",
                "--algorithm",
                "2nodelms",
                "heal",
            ],
            "2nodelms is not for 3 nodes",
        ),
        (
            &["simulate", "--cluster-file", "/nonexistent", "heal"],
            "/nonexistent: No such file",
        ),
    ] {
        let outcome = ask(arguments);
        assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
        assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
    }
}

fn arbiter(lab: &Lab) -> Running {
    lab.start(&lab.serve(&["-s", "on"]))
}

fn check(lab: &Lab, cluster: &str, more: &[&str]) -> Outcome {
    let mut command = Command::new(QARBITER);
    command.arg("check").arg("--state-dir").arg(lab.state());
    run(command.arg(cluster).args(more))
}

#[tokio::test]
async fn check_answers_for_a_healthy_cluster() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let _nodes = alpha.whole().await;
    let big = Cluster {
        algorithm: Algorithm::Lms,
        ..Cluster::new(arbiter.address, "big", &[1, 2, 3]).with_certificates(&lab.state())
    };
    let _others = big.whole().await;

    let answers = check(&lab, "alpha", &[]);
    for line in [
        "alpha: OK: both nodes connected; if one dies the other keeps running",
        "node 1 dies 2 - 18 s",
        "node 2 dies 1 - 18 s",
        "the arbiter dies 1,2 - 16 s",
        "node 1 loses its link to the arbiter 1,2 - 16 s",
        "the link between the nodes breaks 1 2 8 s",
    ] {
        has_line(&answers, line);
    }
    assert!(
        !answers.stdout.contains("can't be reproduced"),
        "{}",
        answers.stdout
    );

    let answers = check(&lab, "big", &[]);
    for line in [
        "big: OK: all 3 nodes connected; any two may die, none while the arbiter is down",
        "node 1 dies 2,3 - 18 s",
        "the arbiter dies 1,2,3 - 16 s",
        "node 2 loses its links to the other nodes 1,3 2 10 s",
    ] {
        has_line(&answers, line);
    }

    for (name, instead) in [
        ("nosuch", "there are: alpha, big"),
        ("alhpa", "the nearest is \"alpha\""),
    ] {
        let unknown = check(&lab, name, &[]);
        let expected =
            format!("qarbiter check: no node of a cluster {name:?} is connected; {instead}\n");
        assert_eq!(
            (unknown.code, unknown.stderr.as_str()),
            (Some(1), expected.as_str())
        );
    }
}

/// Node 2 holds the vote although the tie-breaker prefers node 1, because it had it before.
#[tokio::test]
async fn check_answers_for_a_split_that_history_decided() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let alpha = Cluster {
        algorithm: Algorithm::Lms,
        ..Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state())
    };
    let mut nodes = alpha.whole().await;
    nodes.remove(0);
    in_time(nodes[0].see(ring(2, 2), &ids(&[2]))).await.unwrap();
    settle(&mut nodes).await;

    let answers = check(&lab, "alpha", &[]);
    for line in [
        "alpha: DEGRADED: node 1 is not connected; node 2 keeps running, but not without the arbiter",
        "node 2 dies nobody - at once",
        "the arbiter dies nobody 2 16 s",
    ] {
        has_line(&answers, line);
    }

    nodes.push(alpha.join(1, ring(1, 3), &[1]).await);
    settle(&mut nodes).await;
    let answers = check(&lab, "alpha", &["--json"]);
    let answers: Value = serde_json::from_str(&answers.stdout).unwrap();
    assert_eq!(answers["exact"], true, "{answers:#}");
    assert_eq!(answers["now"]["quorate"], serde_json::json!([2]));
    let health = answers["health"]["sentence"].as_str().unwrap();
    let reason = "because that side had the vote before, and the others are new here";
    assert_eq!(health, format!("split; node 2 holds the vote {reason}"));
    let after = |failure: &str| {
        let all = answers["answers"].as_array().unwrap();
        let found = all.iter().find(|answer| answer["failure"] == failure);
        found.unwrap_or_else(|| panic!("{failure} is not in {answers:#}"))["quorate"].clone()
    };
    assert_eq!(after("node 2 dies"), serde_json::json!([1]));
    assert_eq!(after("node 1 dies"), serde_json::json!([2]));
    assert_eq!(after("the arbiter dies"), serde_json::json!([]));
    assert_eq!(
        after("node 2 loses its link to the arbiter"),
        serde_json::json!([1])
    );
}

/// The words of the status are those of the health.
#[tokio::test]
async fn the_status_has_what_check_needs() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = alpha.whole().await;
    split(&mut nodes).await;
    let mut command = Command::new(QARBITER);
    command
        .args(["status", "--json", "--state-dir"])
        .arg(lab.state());
    let status: Status = serde_json::from_str(&run(&mut command).stdout).unwrap();
    let cluster = &status.clusters[0];
    assert_eq!(cluster.health.level, "DEGRADED");
    assert_eq!(cluster.tie_breaker_setting, "lowest");
    assert_eq!(
        (cluster.vote_leases, cluster.lost_holder.as_str()),
        (true, "timed")
    );
}

/// A node with another tie-breaker is refused, and the status says so.
#[tokio::test]
async fn a_node_that_does_not_fit_is_named() {
    let lab = Lab::new();
    let arbiter = arbiter(&lab);
    let alpha = Cluster::new(arbiter.address, "alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = vec![alpha.join(1, ring(1, 1), &[1]).await];
    settle(&mut nodes).await;
    let other = Cluster {
        algorithm: Algorithm::Lms,
        ..alpha.clone()
    };
    let settings = other.settings(2, ring(2, 1), &[2]);
    let connection = other.connect().await;
    in_time(qarbiter::client::Node::join(connection, settings))
        .await
        .unwrap_err();
    let mut command = Command::new(QARBITER);
    command.args(["status", "--state-dir"]).arg(lab.state());
    let status = run(&mut command);
    has_line(
        &status,
        "Warning: Node 2 is refused because its algorithm is lms, and that of the connected nodes \
         is ffsplit: make quorum.device.net.algorithm the same on all nodes, then restart \
         corosync-qdevice",
    );
    has_line(
        &status,
        "State: DEGRADED: node 2 is refused (see the warnings), so not connected; node 1 keeps \
         running, but not without the arbiter",
    );
    // It fits now.
    nodes.push(alpha.join(2, ring(1, 2), &[1, 2]).await);
    in_time(nodes[0].see(ring(1, 2), &ids(&[1, 2])))
        .await
        .unwrap();
    settle(&mut nodes).await;
    let status = run(&mut command);
    has_line(
        &status,
        "State: OK: both nodes connected; if one dies the other keeps running",
    );
    assert!(!status.stdout.contains("Warning"), "{}", status.stdout);
}
