//! Every warning: when it is there, what it says, and that a well-kept cluster has none.

use super::*;
use crate::advice::testing::{ACK, FF, LMS, cluster, whole, with};
use crate::engine::ClusterPolicy;
use crate::engine::client::ConfiguredNode;
use crate::engine::snapshot::ClientSnapshot;

fn changed(
    mut cluster: ClusterSnapshot,
    at: usize,
    change: impl FnOnce(&mut ClientSnapshot),
) -> ClusterSnapshot {
    change(&mut cluster.clients[at]);
    cluster
}

fn misfit(algorithm: Algorithm, tie_breaker: TieBreaker) -> ClusterSnapshot {
    let mut cluster = with(cluster(2, FF), &[1, 2], &[(1, ACK)]);
    cluster.misfits.push(Misfit {
        node: NodeId(2),
        algorithm,
        tie_breaker,
    });
    cluster
}

fn preferring(algorithm: Algorithm, node: u32) -> ClusterSnapshot {
    let mut cluster = whole(2, algorithm);
    cluster.tie_breaker = TieBreaker::Node(NodeId(node));
    cluster
}

#[test]
fn even_clusters_have_none() {
    for nodes in [2, 4, 6, 8] {
        for algorithm in [FF, LMS] {
            assert!(warnings(&whole(nodes, algorithm)).is_empty());
        }
    }
    assert!(warnings(&whole(2, Algorithm::TwoNodeLms)).is_empty());
}

#[test]
fn each_has_its_kind_and_says_what_to_do() {
    let table: Vec<(ClusterSnapshot, &str, &[u32], &[&str])> = vec![
        (
            whole(3, LMS),
            "odd_with_lms",
            &[],
            &[
                "3 nodes is an odd number: the arbiter has 2 votes and is nearly a single point of \
                 failure; while it is down, no node may fail",
                "Without an arbiter one may: remove the device, or add a node and use ffsplit",
            ],
        ),
        (
            whole(5, FF),
            "odd_with_ffsplit",
            &[],
            &[
                "it survives 2 node failures with the arbiter and 1 while the arbiter is down; \
                 without any arbiter 2",
                "Remove the device, or add a node",
            ],
        ),
        (whole(1, FF), "single_node", &[], &["Remove the device"]),
        (
            whole(3, Algorithm::TwoNodeLms),
            "not_two_nodes",
            &[],
            &["2nodelms is for two nodes, and 3 are configured", "ffsplit"],
        ),
        (
            whole(2, Algorithm::Test),
            "test_algorithm",
            &[],
            &[
                "gives every partition the vote",
                "Set the algorithm to ffsplit",
            ],
        ),
        (
            changed(whole(2, FF), 1, |client| client.peer.tls = false),
            "clear_text",
            &[2],
            &[
                "Node 2 is connected in clear text",
                "quorum.device.net.tls: required",
            ],
        ),
        (
            changed(whole(2, FF), 1, |client| {
                client.configured = client.configured.iter().take(1).copied().collect();
            }),
            "node_lists_differ",
            &[1, 2],
            &[
                "Nodes 1 and 2 have different node lists",
                "corosync-cfgtool -R",
            ],
        ),
        (
            changed(
                changed(whole(2, FF), 0, |client| client.config_version = Some(7)),
                1,
                |client| client.config_version = Some(8),
            ),
            "config_versions_differ",
            &[1],
            &[
                "Node 1 has an older corosync.conf than version 8",
                "corosync-cfgtool -R",
            ],
        ),
        (
            misfit(LMS, TieBreaker::Lowest),
            "algorithm_differs",
            &[2],
            &[
                "Node 2 is refused because its algorithm is lms",
                "restart corosync-qdevice",
            ],
        ),
        (
            misfit(LMS, TieBreaker::Node(NodeId(2))),
            "tie_breaker_differs",
            &[2],
            &["its tie-breaker is 2, and that of the connected nodes is lowest"],
        ),
        (
            changed(whole(2, FF), 0, |client| client.heartbeat_ms = 4000),
            "timeouts_differ",
            &[],
            &["(4 s to 8 s)", "make quorum.device.timeout the same"],
        ),
        (
            with(cluster(2, FF), &[1], &[(1, ACK)]),
            "never_connected",
            &[2],
            &[
                "Node 2 is configured and has never connected here",
                "corosync-qdevice there",
            ],
        ),
        (
            changed(whole(2, FF), 1, |client| client.quorate = Some(false)),
            "reports_no_quorum",
            &[2],
            &[
                "Node 2 reports no quorum although it should have it (wait_for_all, votes, \
                 two_node?): look at corosync-quorumtool",
            ],
        ),
        (
            preferring(FF, 9),
            "tie_breaker_unknown",
            &[9],
            &[
                "The tie-breaker is node 9, which is not in the cluster",
                "the one with the lowest connected node id gets the vote",
                "Set quorum.device.net.tie_breaker to lowest, highest or a node id of the cluster",
            ],
        ),
        (
            preferring(LMS, 3),
            "tie_breaker_unknown",
            &[3],
            &["after a split into sides of the same weight, no one gets the vote"],
        ),
        (
            changed(
                changed(whole(2, FF), 0, |client| client.heartbeat_ms = 24_000),
                1,
                |client| client.heartbeat_ms = 24_000,
            ),
            "lease_outlasts_sync",
            &[],
            &[
                "withheld for 53 s",
                "by default sync_timeout 30 s",
                "set quorum.device.sync_timeout",
            ],
        ),
    ];
    for (cluster, kind, nodes, texts) in table {
        let found = warnings(&cluster);
        let kinds: Vec<&str> = found.iter().map(Warning::kind).collect();
        assert_eq!(kinds, [kind]);
        let about: Vec<u32> = found[0].nodes().iter().map(|node| node.0).collect();
        assert_eq!(about, nodes, "{kind}");
        let said = found[0].to_string();
        for text in texts {
            assert!(said.contains(text), "{text:?} is not in {said:?}");
        }
    }
}

/// Only what a node with the vote goes on reporting counts, and only if it should have quorum.
#[test]
fn a_node_without_quorum_may_be_right() {
    let reporting = |cluster, change: fn(&mut ClientSnapshot)| {
        let cluster = changed(cluster, 0, |client| client.quorate = Some(false));
        warnings(&changed(cluster, 0, change))
    };
    assert_eq!(reporting(whole(2, FF), |_| {}).len(), 1);
    let early = |client: &mut ClientSnapshot| client.quorate_for = Duration::from_millis(9999);
    assert_eq!(reporting(whole(2, FF), early), []);
    assert_eq!(reporting(whole(2, FF), |client| client.standing = None), []);
    assert_eq!(reporting(whole(2, FF), |client| client.quorate = None), []);
    // Two of six nodes, with the device's vote: three of four votes that it needs.
    let few = |client: &mut ClientSnapshot| client.membership = [NodeId(1), NodeId(2)].into();
    assert_eq!(reporting(whole(6, FF), few), []);
}

#[test]
fn a_tie_breaker_of_the_cluster_is_no_trouble() {
    assert_eq!(warnings(&preferring(FF, 2)), []);
    // Nobody has said yet which nodes there are.
    let mut unknown = preferring(FF, 9);
    for client in &mut unknown.clients {
        client.configured = [].into();
    }
    unknown.absent.clear();
    assert_eq!(warnings(&unknown), []);
}

/// A node that was connected before is the business of the health sentence, not of a warning.
#[test]
fn an_absent_node_that_was_there_is_no_warning() {
    let mut cluster = with(cluster(2, FF), &[1], &[(1, ACK)]);
    cluster.absent[0].gone_for = Some(Duration::from_secs(5));
    assert!(warnings(&cluster).is_empty());
}

/// The same nodes in another order are the same list.
#[test]
fn the_order_of_a_node_list_does_not_matter() {
    let cluster = changed(whole(2, FF), 1, |client| {
        client.configured = client.configured.iter().rev().copied().collect();
    });
    assert!(warnings(&cluster).is_empty());
    let cluster = changed(whole(2, FF), 1, |client| {
        let more = ConfiguredNode {
            id: NodeId(9),
            data_center: 0,
        };
        client.configured = client.configured.iter().copied().chain([more]).collect();
    });
    let kinds: Vec<&str> = warnings(&cluster).iter().map(Warning::kind).collect();
    // The largest list is what is counted.
    assert_eq!(kinds, ["node_lists_differ", "odd_with_ffsplit"]);
}

/// Without leases nothing is withheld.
#[test]
fn long_leases_matter_only_where_there_are_leases() {
    let mut cluster = whole(2, FF);
    cluster.policy = ClusterPolicy::REFERENCE;
    for client in &mut cluster.clients {
        client.heartbeat_ms = 24_000;
    }
    assert!(warnings(&cluster).is_empty());
}

#[test]
fn times_of_a_file_are_compared_with_its_own_sync_timeout() {
    let second = Duration::from_secs(1);
    let (heartbeat, sync) = (second * 8, second * 17);
    assert_eq!(of_timeouts(heartbeat, None), None);
    let warning = of_timeouts(heartbeat, Some(sync)).unwrap().to_string();
    assert!(
        warning.contains("for 18 s, longer than corosync waits for a vote (sync_timeout 17 s)")
    );
}
