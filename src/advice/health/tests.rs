//! Every state of a cluster and the sentence for it.

use super::*;
use crate::advice::testing::{
    ACK, FF, LMS, NACK, cluster, decided, earlier, lease, waits, whole, with,
};
use crate::engine::{Misfit, Time};
use crate::wire::TieBreaker;

/// Nodes 1 to `present` of `nodes` are connected and run.
fn reduced(nodes: u32, present: u32, algorithm: Algorithm) -> ClusterSnapshot {
    let all: Vec<u32> = (1..=present).collect();
    let told: Vec<_> = all.iter().map(|node| (*node, ACK)).collect();
    let rule = Rule::OnlyHalf { configured: 2 };
    decided(with(cluster(nodes, algorithm), &all, &told), &all, rule)
}

const TIE: Rule = Rule::TieBreaker {
    rule: TieBreaker::Lowest,
    node: Some(NodeId(1)),
};

#[test]
fn healthy_clusters() {
    let table = [
        (
            2,
            FF,
            "both nodes connected; if one dies the other keeps running",
        ),
        (
            2,
            LMS,
            "both nodes connected; if one dies the other keeps running",
        ),
        (
            2,
            Algorithm::TwoNodeLms,
            "both nodes connected; if one dies the other keeps running",
        ),
        (
            3,
            FF,
            "all 3 nodes connected; if one dies the rest keeps running",
        ),
        (4, FF, "all 4 nodes connected; any two may die"),
        (
            3,
            LMS,
            "all 3 nodes connected; any two may die, none while the arbiter is down",
        ),
        (
            5,
            LMS,
            "all 5 nodes connected; any 4 may die, none while the arbiter is down",
        ),
        (8, FF, "all 8 nodes connected; any 4 may die"),
    ];
    for (nodes, algorithm, sentence) in table {
        let health = health(&whole(nodes, algorithm));
        assert_eq!(health.sentence, sentence);
        assert_eq!(health.level, Level::Ok, "{sentence}");
    }
}

fn check(table: Vec<(ClusterSnapshot, Level, &str)>) {
    for (cluster, level, sentence) in table {
        let health = health(&cluster);
        assert_eq!(health.sentence, sentence);
        assert_eq!(health.level, level, "{sentence}");
    }
}

#[test]
fn nodes_that_are_not_connected() {
    use Level::{Critical, Degraded};
    let both_but_one = with(cluster(2, FF), &[1, 2], &[(1, ACK)]);
    let both_but_one = decided(both_but_one, &[1, 2], TIE);
    let refused = Misfit {
        node: NodeId(2),
        algorithm: LMS,
        tie_breaker: TieBreaker::Lowest,
    };
    let mut misfit = both_but_one.clone();
    misfit.misfits.push(refused);
    let four_see_each_other = with(cluster(4, FF), &[1, 2, 3, 4], &[(1, ACK), (2, ACK)]);
    let three_of_five = with(
        cluster(5, LMS),
        &[1, 2, 3, 4, 5],
        &[(1, ACK), (2, ACK), (3, ACK)],
    );
    check(vec![
        (cluster(2, FF), Critical, "no node is connected"),
        (
            lease(cluster(2, FF), 1, Some(9000)),
            Critical,
            "no node is connected; node 1 may still cast the vote",
        ),
        (
            lease(lease(cluster(2, FF), 0, Some(9000)), 1, None),
            Critical,
            "no node is connected; node 1 and a node that the journal may have lost (power cut or \
             damage) may still cast the vote",
        ),
        (
            reduced(2, 1, FF),
            Degraded,
            "node 2 is not connected; node 1 keeps running, but not without the arbiter",
        ),
        (
            reduced(4, 3, FF),
            Degraded,
            "node 4 is not connected; nodes 1,2,3 keep running; one more may die",
        ),
        (
            reduced(4, 2, FF),
            Degraded,
            "nodes 3,4 are not connected; nodes 1,2 keep running, but not without the arbiter; \
             no other node may die",
        ),
        (
            reduced(5, 3, LMS),
            Degraded,
            "nodes 4,5 are not connected; nodes 1,2,3 keep running, but not without the arbiter; \
             two more may die",
        ),
        (
            both_but_one,
            Degraded,
            "node 2 is not connected to the arbiter, only to the other node; \
             if the other node dies it stops",
        ),
        (
            misfit,
            Degraded,
            "node 2 is refused (see the warnings), so not connected to the arbiter, only to the \
             other node; if the other node dies it stops",
        ),
        (
            decided(four_see_each_other, &[1, 2, 3, 4], TIE),
            Degraded,
            "nodes 3,4 are not connected to the arbiter, only to other nodes; \
             if any two nodes die they stop",
        ),
        (
            decided(three_of_five, &[1, 2, 3, 4, 5], TIE),
            Degraded,
            "nodes 4,5 are not connected to the arbiter, only to other nodes; \
             if another node dies they stop",
        ),
        (
            decided(
                with(cluster(4, FF), &[1, 2, 3, 4], &[(1, ACK)]),
                &[1, 2, 3, 4],
                TIE,
            ),
            Degraded,
            "nodes 2,3,4 are not connected to the arbiter, only to other nodes; \
             if any two nodes die they stop",
        ),
        (
            decided(
                with(
                    cluster(4, FF),
                    &[1, 2, 3, 4],
                    &[(1, ACK), (2, ACK), (3, ACK)],
                ),
                &[1, 2, 3, 4],
                TIE,
            ),
            Degraded,
            "node 4 is not connected to the arbiter, only to the other nodes; \
             if two other nodes die it stops",
        ),
        (
            decided(
                with(cluster(4, FF), &[1], &[(1, NACK)]),
                &[],
                Rule::NoHalf { configured: 4 },
            ),
            Critical,
            "nodes 2,3,4 are not connected; node 1 has no quorum: no connected partition has half \
             of the 4 configured nodes",
        ),
    ]);
}

#[test]
fn splits() {
    use Level::{Critical, Degraded};
    let halves = |one, other| with(with(cluster(2, FF), &[1], &[(1, one)]), &[2], &[(2, other)]);
    let four = with(cluster(4, FF), &[1, 2], &[(1, ACK), (2, ACK)]);
    let four = with(four, &[3, 4], &[(3, NACK), (4, NACK)]);
    let three = with(
        with(cluster(3, LMS), &[1], &[(1, NACK)]),
        &[2, 3],
        &[(2, ACK), (3, ACK)],
    );
    let majority = with(cluster(5, FF), &[1, 2, 3, 4], &[(1, NACK), (2, NACK)]);
    let majority = with(majority, &[5], &[(5, NACK)]);
    check(vec![
        (
            decided(halves(ACK, NACK), &[1], TIE),
            Degraded,
            "split; node 1 holds the vote because the tie-breaker is lowest",
        ),
        (
            decided(
                halves(ACK, NACK),
                &[1],
                Rule::FirstOfTie {
                    rule: TieBreaker::Node(NodeId(9)),
                },
            ),
            Degraded,
            "split; node 1 holds the vote because no side has the tie-breaker (node 9) and that \
             side has the lowest connected node id",
        ),
        (
            decided(four, &[1, 2], Rule::KeepActive),
            Degraded,
            "split into 1,2 | 3,4; nodes 1,2 hold the vote because that side was active before",
        ),
        (
            decided(three, &[2, 3], Rule::Score { score: 2, rival: 1 }),
            Degraded,
            "split into 1 | 2,3; nodes 2,3 hold the vote because that side's score is 2 against 1 \
             (connected nodes and heuristics)",
        ),
        (
            decided(majority, &[], Rule::Undecided),
            Degraded,
            "split into 1,2,3,4 | 5; nodes 1,2,3,4 keep running without the vote",
        ),
        (
            decided(halves(NACK, NACK), &[], Rule::NoHalf { configured: 2 }),
            Critical,
            "split; no side has quorum: no connected partition has half of the 2 configured nodes",
        ),
        (
            decided(halves(ACK, ACK), &[1], TIE),
            Critical,
            "split; more than one side has quorum (1 and 2): switch all but one off",
        ),
    ]);
}

#[test]
fn changes_that_are_under_way() {
    use Level::{Critical, Degraded};
    let alone = |told| decided(with(cluster(2, FF), &[2], &[(2, told)]), &[2], TIE);
    let both = || whole(2, FF);
    let until = Some(Time::from_millis(8_200));
    let node = NodeId(1);
    let differs = Waiting::ConfigDiffers {
        a: node,
        b: NodeId(2),
    };
    let changing = Waiting::MembershipDiffers {
        a: node,
        b: NodeId(2),
    };
    check(vec![
        (
            lease(
                waits(alone(None), Waiting::Lease { node, until }),
                1,
                Some(8_200),
            ),
            Critical,
            "node 2 waits for the vote: node 1 can't be reached and may still cast it \
             for 9 s at most",
        ),
        (
            lease(
                waits(alone(None), Waiting::Lease { node, until: None }),
                1,
                None,
            ),
            Critical,
            "node 2 waits for the vote: node 1 can't be reached and may still cast it \
             until it returns or is released (qarbiter release --cluster site)",
        ),
        // The lease ends at a moment, not so long after the decision.
        (
            {
                let mut later = waits(alone(None), Waiting::Lease { node, until });
                later.decided_ago = std::time::Duration::from_secs(6);
                later
            },
            Critical,
            "node 2 waits for the vote: node 1 can't be reached and may still cast it \
             for 3 s at most",
        ),
        (
            waits(
                alone(None),
                Waiting::Lease {
                    node: NodeId(0),
                    until,
                },
            ),
            Critical,
            "node 2 waits for the vote: a node that the journal may have lost (power cut \
             or damage) can't be reached and may still cast it for 9 s at most",
        ),
        (
            waits(alone(None), Waiting::Confirmation { node }),
            Critical,
            "the vote is moving to node 2: node 1 has to confirm first that it lost it",
        ),
        (
            waits(alone(None), Waiting::Journal),
            Critical,
            "node 2 waits for the vote: it leaves when the journal is written",
        ),
        (
            waits(both(), differs),
            Degraded,
            "nodes 1 and 2 do not report the same node list; nothing is decided until they do",
        ),
        (
            waits(both(), changing),
            Degraded,
            "the membership is changing: nodes 1 and 2 do not report the same yet",
        ),
        (
            decided(
                with(cluster(2, LMS), &[1, 2], &[(1, ACK), (2, NACK)]),
                &[1, 2],
                Rule::OnlyPartition { connected: 2 },
            ),
            Degraded,
            "node 2 does not have the vote yet; node 1 holds the vote because all 2 connected \
             nodes are in one partition",
        ),
        (
            with(cluster(2, FF), &[], &[(1, None), (2, None)]),
            Degraded,
            "the connected nodes have not reported yet what they see",
        ),
    ]);
}

/// What two nodes do not agree on may keep everybody from running. It is said when the nodes report it, or have had the
/// time to.
#[test]
fn nothing_runs_while_nodes_do_not_agree() {
    let halves = with(with(cluster(2, FF), &[1], &[(1, None)]), &[2], &[(2, None)]);
    let (a, b) = (NodeId(1), NodeId(2));
    let differs = Waiting::ConfigDiffers { a, b };
    // Node 3 is silent, and the others have two of three votes.
    let silent = with(cluster(3, LMS), &[1, 2, 3], &[(3, ACK)]);
    let silent = with(earlier(silent, &[3]), &[1, 2], &[(1, None), (2, None)]);
    let changing = Waiting::MembershipDiffers { a, b: NodeId(3) };
    let lists = "nodes 1 and 2 do not report the same node list; nothing is decided until they do";
    let memberships = "the membership is changing: nodes 1 and 3 do not report the same yet";
    for (cluster, waiting, sentence) in [(halves, differs, lists), (silent, changing, memberships)]
    {
        let nobody = format!("{sentence}, and no side has quorum meanwhile");
        let begun = waits(cluster, waiting);
        let mut reported = begun.clone();
        for client in &mut reported.clients {
            client.quorate = Some(false);
            client.quorate_for = std::time::Duration::ZERO;
        }
        let mut one_did_not = reported.clone();
        one_did_not.clients[0].quorate = None;
        let mut later = begun.clone();
        later.decided_ago = std::time::Duration::from_secs(10);
        check(vec![
            (begun, Level::Degraded, sentence),
            (reported, Level::Critical, &nobody),
            (one_did_not, Level::Degraded, sentence),
            (later, Level::Critical, &nobody),
        ]);
    }
}

/// A node that died silently is counted with no side, whatever it had reported.
#[test]
fn what_was_reported_before_is_no_side() {
    let old = |algorithm, told| earlier(with(cluster(2, algorithm), &[1, 2], &[(2, told)]), &[2]);
    let survivor = |told| {
        let two = with(old(Algorithm::TwoNodeLms, ACK), &[1], &[(1, told)]);
        decided(two, &[1], TIE)
    };
    let three = with(cluster(3, LMS), &[1, 2, 3], &[(3, ACK)]);
    let three = with(earlier(three, &[3]), &[1, 2], &[(1, ACK), (2, ACK)]);
    check(vec![
        (
            survivor(ACK),
            Level::Degraded,
            "node 2 has not reported yet that the membership changed; node 1 holds the vote \
             because the tie-breaker is lowest",
        ),
        (
            survivor(None),
            Level::Critical,
            "node 2 has not reported yet that the membership changed; node 1 has no quorum: it has \
             not got the vote",
        ),
        (
            decided(three, &[1, 2], Rule::Score { score: 2, rival: 1 }),
            Level::Degraded,
            "node 3 has not reported yet that the membership changed; nodes 1,2 hold the vote \
             because that side's score is 2 against 1 (connected nodes and heuristics)",
        ),
    ]);
}

/// With `lost_holder=manual` the rest of an lms cluster stands still until an operator speaks.
#[test]
fn the_vote_of_a_dead_node_is_the_operators() {
    let manual = |mut cluster: ClusterSnapshot| {
        cluster.name = crate::wire::ClusterName::new(b"my site");
        cluster.policy.lost_holder = LostHolder::Manual;
        cluster
    };
    let table = [
        (
            manual(whole(2, LMS)),
            "both nodes connected; if one dies the other waits until you release it \
             (qarbiter release --cluster 'my site')",
        ),
        (
            manual(whole(2, Algorithm::TwoNodeLms)),
            "both nodes connected; if one dies the other waits until you release it \
             (qarbiter release --cluster 'my site')",
        ),
        (
            manual(whole(3, LMS)),
            "all 3 nodes connected; if one dies the rest waits until you release it \
             (qarbiter release --cluster 'my site')",
        ),
        (
            manual(reduced(5, 3, LMS)),
            "nodes 4,5 are not connected; nodes 1,2,3 keep running, but not without the arbiter; \
             if another dies the rest waits until you release it \
             (qarbiter release --cluster 'my site')",
        ),
        // An ffsplit node gives its vote up by itself.
        (
            manual(whole(2, FF)),
            "both nodes connected; if one dies the other keeps running",
        ),
    ];
    for (cluster, sentence) in table {
        assert_eq!(health(&cluster).sentence, sentence);
    }
}

/// The nodes know better than our arithmetic whether they have quorum.
#[test]
fn nodes_that_report_no_quorum() {
    let reporting = |nodes: &[u32], seconds| {
        let mut two = whole(2, FF);
        let clients = two.clients.iter_mut();
        for client in clients.filter(|client| nodes.contains(&client.node.0)) {
            client.quorate = Some(false);
            client.quorate_for = std::time::Duration::from_secs(seconds);
        }
        two
    };
    let mut alone = reduced(2, 1, FF);
    alone.clients[0].quorate = Some(false);
    check(vec![
        (
            reporting(&[1, 2], 10),
            Level::Critical,
            "nodes 1,2 report no quorum although they should have it (wait_for_all, votes, \
             two_node?)",
        ),
        (
            alone,
            Level::Critical,
            "node 1 reports no quorum although it should have it (wait_for_all, votes, two_node?)",
        ),
        (
            reporting(&[2], 10),
            Level::Degraded,
            "node 2 reports no quorum although it should have it (wait_for_all, votes, two_node?); \
             as for the others: both nodes connected; if one dies the other keeps running",
        ),
        // Just told: what comes of the vote is still to be reported.
        (
            reporting(&[1, 2], 9),
            Level::Ok,
            "both nodes connected; if one dies the other keeps running",
        ),
    ]);
}

#[test]
fn clusters_without_arithmetic() {
    let mut unreported = whole(2, FF);
    unreported.arithmetic = None;
    for client in &mut unreported.clients {
        client.configured = [].into();
    }
    check(vec![
        (
            whole(1, FF),
            Level::Ok,
            "one node is configured, which needs no arbiter",
        ),
        (
            whole(3, Algorithm::TwoNodeLms),
            Level::Degraded,
            "3 nodes are configured, which 2nodelms is not made for",
        ),
        (
            whole(2, Algorithm::Test),
            Level::Degraded,
            "every partition gets the vote (test algorithm)",
        ),
        (
            unreported,
            Level::Degraded,
            "the connected nodes have not reported yet which nodes are configured",
        ),
    ]);
}

/// The worst comes first when levels are sorted downwards.
#[test]
fn levels_have_an_order_and_words() {
    assert!(Level::Ok < Level::Degraded && Level::Degraded < Level::Critical);
    let words = [Level::Ok, Level::Degraded, Level::Critical].map(Level::word);
    assert_eq!(words, ["OK", "DEGRADED", "CRITICAL"]);
}

/// A promise that needs a vote to move is none while no vote can.
#[test]
fn a_journal_that_fails_is_in_every_sentence() {
    use Level::{Critical, Degraded};
    let fails = |mut cluster: ClusterSnapshot| {
        cluster.votes_stay = true;
        cluster
    };
    check(vec![
        (
            fails(whole(2, FF)),
            Degraded,
            "all nodes connected; the journal can't be written, so nobody gets a vote who has none",
        ),
        (
            fails(decided(
                with(cluster(2, FF), &[1], &[(1, ACK)]),
                &[1],
                Rule::OnlyHalf { configured: 2 },
            )),
            Degraded,
            "node 2 is not connected; node 1 keeps running, but not without the arbiter; the \
             journal can't be written, so nobody gets a vote who has none",
        ),
        (fails(cluster(2, FF)), Critical, "no node is connected"),
    ]);
}
