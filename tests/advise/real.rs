//! The same faults in the simulator and in real clusters: after each, every node of the real one must see, count and
//! expect what the simulator said. The clusters run with the `quorum` section that `qarbiter advise` prints.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use qarbiter::advice::simulate::{Fault, Setup, State, Timing, parse, run};
use qarbiter::advice::stanza::Stanza;
use qarbiter::wire::{Algorithm, NodeId, TieBreaker};

use crate::cluster::Cluster;
use crate::lab::{Lab, SERVER_ADDRESS};
use crate::quorum::Views;
use crate::spec::Spec;

/// What a busy machine may add to the time that the simulator gives a change.
const SLACK: Duration = Duration::from_secs(12);

/// How long the last state is watched.
const WATCH: Duration = Duration::from_secs(1);

/// The times of the laboratory's `corosync.conf`.
const TIMING: Timing = Timing {
    device_timeout: Duration::from_millis(3000),
    sync_timeout: Duration::from_millis(4000),
    token: Duration::from_millis(1000),
};

/// A cluster as `qarbiter advise` wants it.
fn spec(name: &'static str, nodes: &'static [u32], setup: &Setup) -> Spec {
    let algorithm = setup.algorithm();
    let stanza = Stanza {
        host: SERVER_ADDRESS.to_owned(),
        port: None,
        algorithm,
        tie_breaker: setup.tie_breaker,
    };
    let mut section = stanza.to_string();
    let model = "model: net\n";
    assert!(section.contains(model), "{section}");
    let mut with_times = format!("{model}        timeout: 3000\n        sync_timeout: 4000\n");
    if setup.votes_written && !section.contains("votes:") {
        with_times += &format!("        votes: {}\n", setup.sums().device_votes);
    }
    section = section.replace(model, &with_times);
    Spec {
        algorithm: algorithm.config_name(),
        device_votes: setup.sums().device_votes,
        quorum: Some(section),
        ..Spec::ffsplit(name, nodes)
    }
}

fn setup(nodes: &[u32], algorithm: Algorithm) -> Setup {
    let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
    let mut setup = Setup::new(&nodes, algorithm).unwrap();
    setup.timing = TIMING;
    setup
}

fn agrees(name: &'static str, nodes: &'static [u32], setup: &Setup, faults: &[&str]) {
    let faults = parse(faults, setup.nodes()).unwrap();
    let story = run(setup, &faults).unwrap();
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, spec(name, nodes, setup));
    // This compares the expected votes too.
    cluster.wait_complete();
    for step in &story.steps {
        assert!(
            step.otherwise.is_empty(),
            "{}: depends on the moment",
            step.fault
        );
        let begin = Instant::now();
        strike(&cluster, nodes, &step.fault);
        let struck = begin.elapsed();
        cluster.wait(
            &format!("{} has the end that was foretold", step.fault),
            |views| is_foretold(views, &step.state),
        );
        let limit = step.settled_within + struck + SLACK;
        let took = begin.elapsed();
        lab.note(&format!(
            "{}: {took:?} of {:?}",
            step.fault, step.settled_within
        ));
        assert!(
            took <= limit,
            "{} took {took:?}, foretold were {limit:?}",
            step.fault
        );
    }
    let last = &story.steps.last().unwrap().state;
    cluster.hold(WATCH, "it is as foretold", |views| is_foretold(views, last));
}

fn is_foretold(views: &Views, state: &State) -> bool {
    state.nodes.iter().all(|node| {
        let Some(view) = views.get(&node.node.0) else {
            return !node.is_up;
        };
        let members: BTreeSet<u32> = node.members.iter().map(|member| member.0).collect();
        node.is_up
            && (view.quorate, view.votes, view.expected)
                == (node.is_quorate, node.votes, node.expected)
            && view.members == members
    })
}

fn strike(cluster: &Cluster<'_>, nodes: &[u32], fault: &Fault) {
    let ids = |part: &[NodeId]| -> Vec<u32> { part.iter().map(|node| node.0).collect() };
    match fault {
        Fault::Cut(parts) => {
            let mut groups: Vec<Vec<u32>> = parts.iter().map(|part| ids(part)).collect();
            let named: Vec<u32> = groups.concat();
            let rest: Vec<u32> = nodes
                .iter()
                .copied()
                .filter(|node| !named.contains(node))
                .collect();
            if !rest.is_empty() {
                groups.push(rest);
            }
            let groups: Vec<&[u32]> = groups.iter().map(Vec::as_slice).collect();
            cluster.split(&groups);
        }
        Fault::Heal => cluster.heal(),
        Fault::LoseArbiter(some) => {
            let lost = if some.is_empty() {
                nodes.to_vec()
            } else {
                ids(some)
            };
            for node in lost {
                cluster.cut_arbiter_link(node);
            }
        }
        Fault::FindArbiter => {
            for node in nodes {
                cluster.restore_arbiter_link(*node);
            }
        }
        Fault::Kill(node) => cluster.kill_node(node.0),
        Fault::Stop(node) => {
            cluster.shut_down(node.0);
        }
        Fault::Restart(node) => cluster.restart(node.0),
        other => panic!("no story here has {other}"),
    }
}

#[test]
fn two_nodes_with_ffsplit() {
    let story = [
        "cut 1|2",
        "heal",
        "stop 2",
        "restart 2",
        "lose arbiter",
        "kill 2",
    ];
    let setup = setup(&[1, 2], Algorithm::FfSplit);
    agrees("two", &[1, 2], &setup, &story);
}

#[test]
fn three_nodes_with_lms() {
    let story = ["cut 1|2,3", "heal", "kill 1", "kill 2"];
    let setup = setup(&[1, 2, 3], Algorithm::Lms);
    agrees("three", &[1, 2, 3], &setup, &story);
}

/// With `quorum.device.votes` written in the file, nodes that start apart expect fewer votes than usual.
#[test]
fn three_nodes_that_start_apart() {
    let story = [
        "stop 1",
        "stop 2",
        "stop 3",
        "cut 1,2|3",
        "lose arbiter 1,2",
        "restart 3",
        "restart 1",
        "restart 2",
    ];
    let mut setup = setup(&[1, 2, 3], Algorithm::Lms);
    setup.votes_written = true;
    agrees("apart", &[1, 2, 3], &setup, &story);
}

#[test]
fn three_nodes_with_ffsplit_are_worse_off() {
    let story = ["cut 1|2,3", "lose arbiter"];
    let setup = setup(&[1, 2, 3], Algorithm::FfSplit);
    agrees("odd", &[1, 2, 3], &setup, &story);
}

#[test]
fn four_nodes_whose_tie_breaker_is_the_highest() {
    let story = ["cut 1,2|3,4", "heal", "lose arbiter", "kill 4"];
    let mut setup = setup(&[1, 2, 3, 4], Algorithm::FfSplit);
    setup.tie_breaker = TieBreaker::Highest;
    agrees("four", &[1, 2, 3, 4], &setup, &story);
}

#[test]
fn five_nodes_with_lms() {
    let story = ["lose arbiter", "kill 5"];
    let setup = setup(&[1, 2, 3, 4, 5], Algorithm::Lms);
    agrees("five", &[1, 2, 3, 4, 5], &setup, &story);
}

/// What `qarbiter status` says of all clusters.
fn status(lab: &Lab) -> String {
    let program = env!("CARGO_BIN_EXE_qarbiter");
    let socket = "/run/corosync-qnetd/socket";
    lab.machine().run(&[program, "status", "--socket", socket])
}

/// Real nodes report that they have quorum once they have it, and a node that waits for all others reports that it has
/// none although it was given the vote.
#[test]
fn the_arbiter_hears_whether_nodes_have_quorum() {
    const LONGER_THAN_IT_WAITS: Duration = Duration::from_secs(11);
    // With `votes` written in the file, a node that starts alone would expect two votes only, and have them.
    let two = setup(&[1, 2], Algorithm::Lms);
    let waiting = spec("waits", &[1, 2], &two);
    let section = waiting
        .quorum
        .as_ref()
        .map(|section| section.replacen("quorum {\n", "quorum {\n    wait_for_all: 1\n", 1));
    let waiting = Spec {
        quorum: section,
        ..waiting
    };
    let three = setup(&[1, 2, 3], Algorithm::Lms);
    let lab = Lab::new();
    let sound = Cluster::start(&lab, spec("sound", &[1, 2, 3], &three));
    let waiting = Cluster::start(&lab, waiting);
    sound.wait_complete();
    waiting.wait_complete();
    std::thread::sleep(LONGER_THAN_IT_WAITS);
    let said = status(&lab);
    for sentence in ["OK: all 3 nodes connected", "OK: both nodes connected"] {
        assert!(said.contains(sentence), "{said}");
    }
    assert!(!said.contains("no quorum"), "{said}");

    waiting.shut_down(2);
    waiting.shut_down(1);
    waiting.restart(1);
    let limit = Instant::now() + LONGER_THAN_IT_WAITS + SLACK;
    let wanted = "CRITICAL: node 1 reports no quorum although it should have it";
    while !status(&lab).contains(wanted) {
        assert!(Instant::now() < limit, "{}", status(&lab));
        std::thread::sleep(Duration::from_millis(500));
    }
    let said = status(&lab);
    assert!(
        said.contains("Warning:   Node 1 reports no quorum"),
        "{said}"
    );
}
