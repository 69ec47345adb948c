//! What else decides a split: heuristics, the side that was active before, and the other algorithms.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::lab::Lab;
use crate::quorum::View;
use crate::server::Flavour;
use crate::spec::{Identity, Spec};

const WATCH: Duration = Duration::from_secs(6);

/// The tie-breaker prefers node 1, but only node 2 passes its heuristics.
#[test]
fn heuristics_go_before_the_tie_breaker() {
    let lab = Lab::new();
    let spec = Spec {
        heuristics: Some("/usr/bin/test -e /run/all-is-well"),
        ..Spec::ffsplit("heuristics", &[1, 2])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    std::fs::write(cluster.node(2).path("/run/all-is-well"), "").unwrap();
    let split = cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.hold(WATCH, "only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.assert_never_quorate(&[1], split);
}

/// Node 1 was lost, and comes back to the server before it comes back to node 2. The tie-breaker prefers it; but node 2
/// is the one that is active, and stock clients ask that the active side be kept.
#[test]
fn lost_node_that_reaches_only_the_server_does_not_take_the_vote() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("active", &[1, 2]));
    cluster.wait_complete();
    cluster.cut_arbiter_link(1);
    let split = cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.restore_arbiter_link(1);
    cluster.hold(2 * WATCH, "only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    let state = cluster.node(1).run(&["corosync-qdevice-tool", "-s"]);
    let connected = state
        .lines()
        .any(|line| line.starts_with("State:") && line.ends_with("Connected"));
    assert!(
        connected,
        "node 1 did not come back to the server, so nothing was proved:\n{state}"
    );
    cluster.assert_never_quorate(&[1], split);
    cluster.heal();
    cluster.wait_complete();
}

/// With 2 device votes of 5, the side with more nodes wins although the other one has the lowest node.
#[test]
fn larger_side_of_three_wins_with_lms() {
    let lab = Lab::new();
    let spec = Spec {
        algorithm: "lms",
        device_votes: 2,
        ..Spec::ffsplit("lms", &[1, 2, 3])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    let split = cluster.split(&[&[1], &[2, 3]]);
    cluster.wait("only nodes 2 and 3 are quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2, 3], 4)
    });
    cluster.hold(WATCH, "only nodes 2 and 3 are quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2, 3], 4)
    });
    cluster.assert_never_quorate(&[1], split);
    cluster.heal();
    cluster.wait_complete();
}

/// The reference gives the vote to the named node alone, so that its own half is torn: one of its nodes is quorate, the
/// other one is not (algorithms spec, 8.4, A1). Ours gives it to the whole half.
#[test]
fn tie_with_lms_goes_to_the_named_node_and_its_half() {
    let lab = Lab::new();
    let spec = Spec {
        algorithm: "lms",
        tie_breaker: "2",
        ..Spec::ffsplit("half", &[1, 2, 3, 4])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    let split = cluster.split(&[&[1, 3], &[2, 4]]);
    cluster.wait("the decision is there", |views| match lab.flavour() {
        Flavour::Ours => views.inquorate(&[1, 3]) && views.quorate(&[2, 4], 3),
        Flavour::Theirs => {
            let half = |node, quorate| {
                let view: Option<&View> = views.get(&node);
                view.is_some_and(|v| v.members == [2, 4].into() && v.quorate == quorate)
            };
            views.inquorate(&[1, 3]) && half(2, true) && half(4, false)
        }
    });
    std::thread::sleep(WATCH);
    cluster.assert_never_quorate(&[1, 3], split);
}

#[test]
fn split_with_2nodelms_is_won_by_the_named_node() {
    let lab = Lab::new();
    let spec = Spec {
        algorithm: "2nodelms",
        tie_breaker: "2",
        ..Spec::ffsplit("twonode", &[1, 2])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.hold(WATCH, "only node 2 is quorate", |views| {
        views.inquorate(&[1]) && views.quorate(&[2], 2)
    });
    cluster.assert_never_both_quorate();
}

/// Where TLS is switched off on both sides, a cluster votes without it.
#[test]
fn split_is_decided_without_tls() {
    let lab = Lab::with_flags(&["-s", "off", "-c", "off"]);
    let spec = Spec {
        identity: Identity::Plaintext,
        ..Spec::ffsplit("plain", &[1, 2])
    };
    let cluster = Cluster::start(&lab, spec);
    cluster.wait_complete();
    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    cluster.heal();
    cluster.wait_complete();
    cluster.assert_never_both_quorate();
}
