//! Clusters join, split and heal; the device's vote goes to exactly one side.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::lab::{Lab, SERVER_ADDRESS_V6};
use crate::spec::Spec;

/// How long a decided split is watched: longer than two heartbeats, so that every vote is renewed meanwhile.
const WATCH: Duration = Duration::from_secs(6);

#[test]
fn two_nodes_join_and_are_quorate_with_three_votes() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("join", &[1, 2]));
    cluster.wait_complete();
    cluster.hold(WATCH, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
}

#[test]
fn two_nodes_vote_through_ipv6() {
    let lab = Lab::new();
    let spec = Spec {
        server: SERVER_ADDRESS_V6,
        ..Spec::ffsplit("six", &[1, 2])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    cluster.assert_never_both_quorate();
}

/// A third node is written into the configuration, has not joined yet, and is taken out again.
#[test]
fn configuration_changes_while_the_cluster_votes() {
    let lab = Lab::new();
    let two = Spec::ffsplit("grow", &[1, 2]);
    let three = Spec::ffsplit("grow", &[1, 2, 3]);
    let cluster = Cluster::start(&lab, two.clone());
    cluster.wait_complete();
    let begin = Instant::now();
    for (turn, spec) in [(1, &three), (2, &two)] {
        cluster.reconfigure(spec);
        cluster.hold(WATCH, "both are quorate with 3 votes", |views| {
            views.quorate(&[1, 2], 3)
        });
        for node in [1, 2] {
            let log = cluster.node(node).log("qdevice");
            let replies = log.matches("Received changed config node list reply");
            assert_eq!(replies.count(), turn, "node {node}: replies to its lists");
        }
    }
    for node in [1, 2] {
        cluster.assert_always_quorate(node, begin);
    }
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    cluster.assert_never_both_quorate();
}

/// The cable between the nodes has a loose contact. Each change comes while the one before is still being decided.
#[test]
fn flapping_ring_never_makes_both_sides_quorate() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("flapping", &[1, 2]));
    cluster.wait_complete();
    for turn in 0..5 {
        cluster.split(&[&[1], &[2]]);
        std::thread::sleep(Duration::from_millis(1900 + 250 * turn));
        cluster.heal();
        std::thread::sleep(Duration::from_millis(900 - 150 * turn));
    }
    cluster.wait_complete();
    cluster.hold(WATCH, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
    cluster.assert_never_both_quorate();
}

/// Splits a cluster of two, and expects this node to win and the other one to lose.
fn split_two_nodes(tie_breaker: &'static str, winner: u32, loser: u32) {
    let lab = Lab::new();
    let spec = Spec {
        tie_breaker,
        ..Spec::ffsplit("split", &[1, 2])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    let split = cluster.split(&[&[1], &[2]]);
    let decided = format!("only node {winner} is quorate");
    cluster.wait(&decided, |views| {
        views.quorate(&[winner], 2) && views.inquorate(&[loser])
    });
    cluster.hold(WATCH, &decided, |views| {
        views.quorate(&[winner], 2) && views.inquorate(&[loser])
    });
    cluster.assert_never_quorate(&[loser], split);
    cluster.assert_never_both_quorate();
}

#[test]
fn split_of_two_is_won_by_the_lowest_node() {
    split_two_nodes("lowest", 1, 2);
}

#[test]
fn split_of_two_is_won_by_the_highest_node() {
    split_two_nodes("highest", 2, 1);
}

#[test]
fn split_of_two_is_won_by_the_named_node() {
    split_two_nodes("2", 2, 1);
}

#[test]
fn healed_split_gives_both_sides_three_votes_again() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("heal", &[1, 2]));
    cluster.wait_complete();
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    cluster.heal();
    cluster.wait_complete();
    cluster.hold(WATCH, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
    cluster.assert_never_both_quorate();
}

/// A tie of 2:2 goes to the side of the lowest node; after it has healed, 3:1 goes to the majority, although the single
/// node is the lowest.
#[test]
fn four_nodes_split_in_halves_and_three_to_one() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("four", &[1, 2, 3, 4]));
    cluster.wait_complete();

    let split = cluster.split(&[&[1, 3], &[2, 4]]);
    cluster.wait("nodes 1 and 3 have the device's vote", |views| {
        views.quorate(&[1, 3], 3) && views.inquorate(&[2, 4])
    });
    cluster.hold(WATCH, "nodes 1 and 3 have the device's vote", |views| {
        views.quorate(&[1, 3], 3) && views.inquorate(&[2, 4])
    });
    cluster.assert_never_quorate(&[2, 4], split);
    cluster.heal();
    cluster.wait_complete();

    let split = cluster.split(&[&[1], &[2, 3, 4]]);
    cluster.wait("nodes 2, 3 and 4 have the device's vote", |views| {
        views.inquorate(&[1]) && views.quorate(&[2, 3, 4], 4)
    });
    cluster.hold(WATCH, "nodes 2, 3 and 4 have the device's vote", |views| {
        views.inquorate(&[1]) && views.quorate(&[2, 3, 4], 4)
    });
    cluster.assert_never_quorate(&[1], split);
    cluster.assert_never_both_quorate();
}

/// The tie-breakers differ, so an answer that goes to the wrong cluster shows. Node ids are the same in both.
#[test]
fn two_clusters_split_at_the_same_time() {
    let lab = Lab::new();
    let red = Cluster::start(&lab, Spec::ffsplit("red", &[1, 2]));
    let blue = Cluster::start(
        &lab,
        Spec {
            tie_breaker: "highest",
            ..Spec::ffsplit("blue", &[1, 2])
        },
    );
    red.wait_complete();
    blue.wait_complete();
    lab.note("both clusters split");
    let split = Instant::now();
    let mut commands = red.split_commands(&[&[1], &[2]]);
    commands.extend(blue.split_commands(&[&[1], &[2]]));
    lab.switch(&commands);
    red.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    blue.wait("only node 2 is quorate", |views| {
        views.quorate(&[2], 2) && views.inquorate(&[1])
    });
    red.hold(WATCH, "only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    blue.hold(WATCH / 2, "only node 2 is quorate", |views| {
        views.quorate(&[2], 2) && views.inquorate(&[1])
    });
    red.assert_never_quorate(&[2], split);
    blue.assert_never_quorate(&[1], split);
    red.assert_never_both_quorate();
    blue.assert_never_both_quorate();
}
