//! Nodes and the server die.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::lab::Lab;
use crate::server::Flavour;
use crate::spec::Spec;

const WATCH: Duration = Duration::from_secs(6);

/// The one that dies is the one that the tie-breaker prefers.
#[test]
fn survivor_of_a_killed_node_is_quorate() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("killed", &[1, 2]));
    cluster.wait_complete();
    cluster.kill_node(1);
    cluster.wait("node 2 is quorate alone", |views| views.quorate(&[2], 2));
    cluster.hold(WATCH, "node 2 is quorate alone", |views| {
        views.quorate(&[2], 2)
    });
}

/// Without the server two nodes of two are quorate by themselves, with 2 votes of 3.
#[test]
fn killed_server_comes_back_and_gives_its_vote_again() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("comeback", &[1, 2]));
    cluster.wait_complete();
    lab.kill_server();
    cluster.wait(
        "both have lost the device's vote and are quorate",
        |views| views.quorate(&[1, 2], 2),
    );
    lab.start_server();
    cluster.wait_complete();
    cluster.hold(WATCH, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
}

/// As an upgrade does it: the server ends in good order, and another one takes its place.
#[test]
fn restarted_server_gives_its_vote_again() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("upgrade", &[1, 2]));
    cluster.wait_complete();
    let begin = Instant::now();
    lab.stop_server();
    lab.start_server();
    cluster.wait_complete();
    for node in [1, 2] {
        cluster.assert_always_quorate(node, begin);
    }
}

/// The device has 2 votes here, so that one node and the device are 3 of 5.
#[test]
fn last_node_of_three_survives_with_lms() {
    let lab = Lab::new();
    let spec = Spec {
        algorithm: "lms",
        device_votes: 2,
        ..Spec::ffsplit("lastman", &[1, 2, 3])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    cluster.kill_node(1);
    cluster.wait("nodes 2 and 3 are quorate", |views| {
        views.quorate(&[2, 3], 4)
    });
    cluster.kill_node(2);
    cluster.wait("node 3 is quorate alone", |views| views.quorate(&[3], 3));
    cluster.hold(WATCH, "node 3 is quorate alone", |views| {
        views.quorate(&[3], 3)
    });
}

/// A machine that loses its power: it falls silent to the other node and to the server at once, and nothing says so.
/// The tie-breaker prefers the one that is lost.
#[test]
fn survivor_of_a_silently_lost_node_is_quorate() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("power", &[1, 2]));
    cluster.wait_complete();
    cluster.cut_arbiter_link(1);
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.hold(WATCH, "only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.assert_never_both_quorate();
}

/// H2 (safety spec, section 2): the server is killed during a split, and the half without the vote comes back first.
/// The reference gives it the vote. Ours has written down who had it, and waits for that one.
#[test]
fn server_that_is_killed_during_a_split_remembers_who_had_the_vote() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("amnesia", &[1, 2]));
    cluster.wait_complete();
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    lab.kill_server();
    cluster.wait("neither node is quorate", |views| {
        views.inquorate(&[1]) && views.inquorate(&[2])
    });
    cluster.cut_arbiter_link(1);
    lab.start_server();
    if lab.flavour() == Flavour::Theirs {
        cluster.wait("node 2 has the vote", |views| views.quorate(&[2], 2));
        return;
    }
    // Less than the lease, which is 5.8 s here.
    let while_it_may_cast = Duration::from_millis(1400);
    cluster.hold(while_it_may_cast, "node 2 does not get the vote", |views| {
        views.inquorate(&[2])
    });
    cluster.restore_arbiter_link(1);
    cluster.wait("node 1 has the vote again", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    cluster.assert_never_both_quorate();
    cluster.heal();
    cluster.wait_complete();
}

#[test]
fn crashed_node_comes_back() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("return", &[1, 2]));
    cluster.wait_complete();
    cluster.crash(1);
    cluster.wait("node 2 is quorate alone", |views| views.quorate(&[2], 2));
    let alone = Instant::now();
    cluster.restart(1);
    cluster.wait_complete();
    cluster.assert_always_quorate(2, alone);
    cluster.assert_never_both_quorate();
}

/// A planned shutdown must not cost the other node a moment of its quorum.
#[test]
fn node_stays_quorate_while_the_other_one_shuts_down_and_returns() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("planned", &[1, 2]));
    cluster.wait_complete();
    let begin = cluster.shut_down(1);
    cluster.wait("node 2 is quorate alone", |views| views.quorate(&[2], 2));
    cluster.restart(1);
    cluster.wait_complete();
    cluster.assert_always_quorate(2, begin);
}
