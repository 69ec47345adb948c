//! Moments that are too narrow for the simulator to hit often.

use super::*;
use crate::engine::{CloseReason, Verdict};
use crate::wire::{Message, NodeInfo, Vote};

const HEARTBEAT_MS: u32 = 8000;

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn ring(node: u32, seq: u64) -> RingId {
    RingId {
        node: NodeId(node),
        seq,
    }
}

fn cluster(policy: ClusterPolicy) -> Cluster {
    Cluster::new(ClusterName::new(b"Alpha"), policy)
}

fn join(cluster: &mut Cluster, now: Time, conn: u64, node: u32, algorithm: Algorithm) {
    let joining = Joining {
        conn: ConnId(conn),
        node: NodeId(node),
        peer: Peer {
            address: "192.0.2.1:1".into(),
            tls: true,
            verified: true,
        },
        heartbeat_ms: HEARTBEAT_MS,
        algorithm,
        tie_breaker: TieBreaker::Highest,
        ring: ring(node, 1),
        keep_active: false,
    };
    cluster.join(now, joining, &mut Vec::new()).unwrap();
}

fn sees(cluster: &mut Cluster, now: Time, node: u32, seq: u64, nodes: &[u32]) -> Vec<Action> {
    let mut out = Vec::new();
    let nodes: Vec<NodeInfo> = nodes.iter().map(|id| NodeInfo::new(*id)).collect();
    let vote = cluster
        .membership_list(now, NodeId(node), ring(node, seq), &nodes, None, &mut out)
        .unwrap();
    let to = cluster.client(NodeId(node)).unwrap().conn;
    out.push(Action::Send {
        to,
        message: Message::NodeListReply {
            seq: 0,
            list_type: crate::wire::ListType::Membership,
            ring_id: ring(node, seq),
            vote,
        },
    });
    out
}

/// The votes that a connection is sent.
fn votes(actions: &[Action], conn: u64) -> Vec<Vote> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Send { to, message } if *to == ConnId(conn) => Some(message),
        _ => None,
    });
    sent.filter_map(|message| match message {
        Message::VoteInfo { vote, .. } | Message::NodeListReply { vote, .. } => Some(*vote),
        _ => None,
    })
    .collect()
}

/// A holder that came back shortly before its lease runs out is told NACK. The end of the lease
/// is no substitute for its answer, and an answer that does not come is waited for no longer
/// than from any other node.
#[test]
fn a_returned_holder_answers_before_its_lease_runs_out() {
    let mut cluster = cluster(ClusterPolicy::SAFE);
    let mut out = Vec::new();
    join(&mut cluster, at(0), 1, 1, Algorithm::Lms);
    assert_eq!(
        votes(&sees(&mut cluster, at(0), 1, 9, &[1]), 1),
        [Vote::Ack]
    );
    cluster.heard(at(0), NodeId(1));
    cluster.leave(at(12_000), NodeId(1), LeaveCause::DeadPeer, &mut out);
    join(&mut cluster, at(13_000), 2, 2, Algorithm::Lms);
    let actions = sees(&mut cluster, at(13_000), 2, 9, &[2]);
    assert_eq!(votes(&actions, 2), [Vote::WaitForReply]);
    assert_eq!(cluster.poll_timeout(), Some(at(17_600)));

    join(&mut cluster, at(17_400), 3, 1, Algorithm::Lms);
    let actions = sees(&mut cluster, at(17_400), 1, 9, &[1]);
    assert_eq!(votes(&actions, 3), [Vote::Nack, Vote::NoChange]);
    let mut out = Vec::new();
    cluster.handle_timeout(at(17_600), &mut out);
    assert_eq!(votes(&out, 2), [], "node 1 has not answered its NACK");

    let limit = at(17_400 + 2 * u64::from(HEARTBEAT_MS));
    assert_eq!(cluster.poll_timeout(), Some(limit));
    let mut late = Vec::new();
    cluster.handle_timeout(limit, &mut late);
    assert!(late.contains(&Action::Close {
        conn: ConnId(3),
        reason: CloseReason::UnconfirmedNack,
    }));

    cluster.confirmed(limit, NodeId(1), 1, &mut out);
    assert_eq!(votes(&out, 2), [Vote::Ack]);
}

/// More nodes are lost than leases are kept apart. Nobody is told when the last of them must have
/// stopped, except the cluster itself.
#[test]
fn the_end_of_merged_leases_is_noticed() {
    const ORPHANS: u32 = 385;
    let nodes: Vec<u32> = (1..=ORPHANS + 2).collect();
    let infos: Vec<NodeInfo> = nodes.iter().map(|id| NodeInfo::new(*id)).collect();
    let report = |cluster: &mut Cluster, now, node| {
        let mut out = Vec::new();
        let vote = cluster.membership_list(now, NodeId(node), ring(1, 9), &infos, None, &mut out);
        (vote, out)
    };
    let mut cluster = cluster(ClusterPolicy::SAFE);
    for node in 1..=ORPHANS + 1 {
        join(&mut cluster, at(0), u64::from(node), node, Algorithm::Lms);
        cluster.heard(at(0), NodeId(node));
        assert_eq!(report(&mut cluster, at(0), node).0, Ok(Vote::Ack));
    }
    let mut out = Vec::new();
    for node in 1..=ORPHANS {
        cluster.leave(at(12_000), NodeId(node), LeaveCause::DeadPeer, &mut out);
    }
    let late = ORPHANS + 2;
    join(
        &mut cluster,
        at(12_000),
        u64::from(late),
        late,
        Algorithm::Lms,
    );
    let (vote, _) = report(&mut cluster, at(12_000), late);
    assert_eq!(vote, Ok(Vote::WaitForReply));
    assert_eq!(cluster.poll_timeout(), Some(at(17_600)));
    let seen = cluster.snapshot(at(12_000));
    let lost = seen
        .leases
        .iter()
        .map(|lease| (lease.node, lease.remaining));
    let left = Some(Duration::from_millis(5600));
    assert!(lost.eq([(NodeId(0), left)]), "{:?}", seen.leases);
    let said = seen.waiting().unwrap().to_string();
    assert!(said.starts_with("a node that the journal may have lost (power cut or damage) can't"));
    let mut out = Vec::new();
    cluster.handle_timeout(at(17_600), &mut out);
    assert_eq!(votes(&out, u64::from(late)), [Vote::Ack]);
}

/// It is shown, and decides nothing.
#[test]
fn what_a_node_reports_of_its_quorum_is_kept_for_its_ring() {
    let mut cluster = cluster(ClusterPolicy::SAFE);
    let nodes = [1, 2].map(NodeInfo::new);
    let mut out = Vec::new();
    join(&mut cluster, at(0), 1, 1, Algorithm::FfSplit);
    cluster
        .config_list(at(0), NodeId(1), true, None, &nodes, &mut out)
        .unwrap();
    let now = sees(&mut cluster, at(0), 1, 9, &[1]);
    assert_eq!(votes(&now, 1).first(), Some(&Vote::Ack));
    let shown = |cluster: &Cluster, ms| {
        let client = cluster.snapshot(at(ms)).clients.remove(0);
        (client.quorate, client.quorate_for.as_millis())
    };
    assert_eq!(shown(&cluster, 50), (None, 0));
    for (ms, quorate) in [(100, false), (5000, false)] {
        let vote = cluster.quorum_list(at(ms), NodeId(1), quorate, &mut out);
        assert_eq!(vote, Vote::NoChange);
    }
    assert_eq!(shown(&cluster, 6000), (Some(false), 5900));
    // Told something else meanwhile.
    cluster.push(at(6000), NodeId(1), Verdict::Nack, None, &mut out);
    assert_eq!(shown(&cluster, 7000), (Some(false), 1000));
    cluster.quorum_list(at(8000), NodeId(1), true, &mut out);
    assert_eq!(shown(&cluster, 8500), (Some(true), 500));
    sees(&mut cluster, at(9000), 1, 10, &[1]);
    assert_eq!(shown(&cluster, 9500), (None, 0));
}

/// Both algorithms say so when the tie-breaker can't break a tie.
#[test]
fn a_tie_breaker_that_is_nowhere_is_named() {
    let table = [
        (
            Algorithm::FfSplit,
            vec![1],
            "an exact tie, and no partition has the tie-breaker (node 9), so it goes to the one \
             with the lowest connected node id",
        ),
        (
            Algorithm::Lms,
            vec![],
            "an exact tie, and no partition has the tie-breaker (node 9)",
        ),
    ];
    for (algorithm, winner, reason) in table {
        let mut cluster = cluster(ClusterPolicy::SAFE);
        let nodes = [1, 2].map(NodeInfo::new);
        for node in [1, 2] {
            join(&mut cluster, at(0), u64::from(node), node, algorithm);
            cluster
                .config_list(at(0), NodeId(node), true, None, &nodes, &mut Vec::new())
                .unwrap();
        }
        cluster.tie_breaker = TieBreaker::Node(NodeId(9));
        if algorithm == Algorithm::Lms {
            // Without a common past, lms sees newcomers in those who come second.
            for node in [NodeId(1), NodeId(2)] {
                cluster
                    .membership_list(at(0), node, ring(1, 5), &nodes, None, &mut Vec::new())
                    .unwrap();
            }
        }
        sees(&mut cluster, at(0), 2, 9, &[2]);
        sees(&mut cluster, at(0), 1, 9, &[1]);
        let decision = cluster.snapshot(at(0)).outcome.unwrap();
        let winners: Vec<u32> = decision
            .winner
            .iter()
            .flat_map(|w| w.nodes.iter().map(|n| n.0))
            .collect();
        assert_eq!((winners, &*decision.rule.to_string()), (winner, reason));
    }
}

/// The client may never have got the answer that lets it check more often.
#[test]
fn a_shorter_heartbeat_does_not_shorten_the_lease() {
    let mut cluster = cluster(ClusterPolicy::SAFE);
    join(&mut cluster, at(0), 1, 1, Algorithm::Lms);
    sees(&mut cluster, at(0), 1, 9, &[1]);
    cluster.heard(at(0), NodeId(1));
    cluster.set_options(at(100), NodeId(1), Some(1000), None, &mut Vec::new());
    cluster.leave(at(1600), NodeId(1), LeaveCause::DeadPeer, &mut Vec::new());
    // The answer at 100 ms, up to one interval on its way, and the lease of the longer interval.
    assert_eq!(cluster.poll_timeout(), Some(at(100 + 8000 + 17_600)));
}

/// In a restless cluster a loser is told again before its confirmation arrives. It answers, so it
/// must not be taken for one that does not.
#[test]
fn a_node_that_confirms_is_not_dropped_for_being_told_again() {
    let mut cluster = cluster(ClusterPolicy::SAFE);
    let nodes = [1, 2, 3].map(NodeInfo::new);
    let mut out = Vec::new();
    join(&mut cluster, at(0), 1, 1, Algorithm::FfSplit);
    cluster
        .config_list(at(0), NodeId(1), true, None, &nodes, &mut out)
        .unwrap();
    sees(&mut cluster, at(0), 1, 9, &[1]);
    for push in 1..100 {
        let now = at(u64::from(push) * 1000);
        let mut out = Vec::new();
        cluster.heuristics_change(now, NodeId(1), Heuristics::Pass, &mut out);
        cluster.confirmed(now, NodeId(1), push, &mut out);
        cluster.handle_timeout(now, &mut out);
        assert!(!out.iter().any(|a| matches!(a, Action::Close { .. })));
    }
    let mut out = Vec::new();
    cluster.handle_timeout(at(99_000 + 16_000), &mut out);
    assert!(out.iter().any(|a| matches!(a, Action::Close { .. })));
}
