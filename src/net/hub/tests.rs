//! Timers, and votes that wait for the journal.

use super::*;
use crate::engine::{Joining, LeaveCause, Peer, Waiting};
use crate::wire::{Algorithm, NodeId, NodeInfo, RingId, TieBreaker};
use std::time::Duration;

const NODE: NodeId = NodeId(1);
const RING: RingId = RingId { node: NODE, seq: 9 };

/// A node that sees itself alone among three is told NACK.
fn node_with_a_pending_nack(cluster: &mut Cluster, now: Time, actions: &mut Vec<Action>) {
    let joining = Joining {
        conn: ConnId(1),
        node: NODE,
        peer: Peer {
            address: "192.0.2.1:1".into(),
            tls: true,
            verified: true,
        },
        heartbeat_ms: 120_000,
        algorithm: Algorithm::FfSplit,
        tie_breaker: TieBreaker::Lowest,
        ring: RING,
        keep_active: false,
    };
    cluster.join(now, joining, actions).unwrap();
    let nodes = [1, 2, 3].map(NodeInfo::new);
    cluster
        .config_list(now, NODE, true, None, &nodes, actions)
        .unwrap();
    cluster
        .membership_list(now, NODE, RING, &nodes[..1], None, actions)
        .unwrap();
}

/// Tasks that were ended need a moment to be gone.
async fn left_tasks(expected: usize) {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for _ in 0..1000 {
        if tasks() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks instead of {expected}", tasks());
}

#[tokio::test]
async fn a_cluster_has_one_timer_however_often_its_deadline_moves() {
    let hub = Hub::new(Clock::start(), ClusterPolicies::default());
    let name = ClusterName::new(b"Alpha");
    let now = hub.clock().now();
    hub.with_cluster(&name, |guarded, actions| {
        node_with_a_pending_nack(&mut guarded.cluster, now, actions);
    })
    .unwrap();
    for heartbeat_ms in (100_000..120_000).rev().step_by(10) {
        hub.with_cluster(&name, |guarded, actions| {
            let before = guarded.cluster.poll_timeout().unwrap();
            guarded
                .cluster
                .set_options(now, NODE, Some(heartbeat_ms), None, actions);
            assert!(guarded.cluster.poll_timeout().unwrap() < before);
        })
        .unwrap();
    }
    left_tasks(1).await;

    hub.with_cluster(&name, |guarded, actions| {
        let cluster = &mut guarded.cluster;
        cluster.leave(now, NODE, LeaveCause::ClosedByPeer, actions);
    })
    .unwrap();
    assert!(!hub.knows(&name));
    left_tasks(0).await;
}

/// Both nodes of a cluster join and see each other.
fn two_nodes_see_each_other(cluster: &mut Cluster, now: Time, actions: &mut Vec<Action>) {
    let nodes = [1, 2].map(NodeInfo::new);
    for node in nodes.iter().map(|node| node.id) {
        let joining = Joining {
            conn: ConnId(u64::from(node.0)),
            node,
            peer: Peer {
                address: "192.0.2.1:1".into(),
                tls: true,
                verified: true,
            },
            heartbeat_ms: 8000,
            algorithm: Algorithm::FfSplit,
            tie_breaker: TieBreaker::Lowest,
            ring: RING,
            keep_active: false,
        };
        cluster.join(now, joining, actions).unwrap();
        cluster
            .config_list(now, node, true, None, &nodes, actions)
            .unwrap();
        cluster
            .membership_list(now, node, RING, &nodes, None, actions)
            .unwrap();
    }
}

#[tokio::test]
async fn a_vote_that_waits_for_the_journal_is_not_shown_as_given() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, restored) = crate::journal::open(dir.path(), 1).unwrap();
    let (go_on, blocked) = std::sync::mpsc::channel::<()>();
    let other = Grant {
        cluster: ClusterName::new(b"Other"),
        epoch: 1,
        partition: crate::engine::Partition {
            ring: RING,
            nodes: vec![NODE],
        },
        algorithm: Algorithm::FfSplit,
        heartbeats: [(NODE, 8000)].into(),
    };
    // Whatever keeps the disk from answering.
    journal.record(other, false, move || blocked.recv().unwrap());
    let hub = Hub::resume(
        Clock::start(),
        ClusterPolicies::default(),
        journal,
        &restored,
    );
    let mut records = hub.observer().records().unwrap();
    let name = ClusterName::new(b"Alpha");
    let now = hub.clock().now();
    let outboxes = [1, 2].map(|conn| (ConnId(conn), Arc::new(Outbox::new(10, 32768))));
    let ((), actions) = hub
        .with_cluster(&name, |guarded, actions| {
            for (conn, outbox) in &outboxes {
                guarded.add(*conn, outbox);
            }
            two_nodes_see_each_other(&mut guarded.cluster, now, actions);
        })
        .unwrap();
    let told = |action: &Action| matches!(action, Action::Event(Event::Told { .. }));
    assert!(!actions.iter().any(told), "{actions:?}");
    let snapshot = hub.snapshot(&name).unwrap();
    assert_eq!(snapshot.holders().count(), 0);
    assert_eq!(snapshot.waiting(), Some(&Waiting::Journal));
    assert!(snapshot.clients.iter().all(|node| node.verdict.is_none()));

    go_on.send(()).unwrap();
    let mut verdicts = 0;
    while verdicts < 2 {
        let record = records.recv().await.unwrap();
        let is_told = matches!(
            record.what,
            crate::telemetry::observer::What::Event(Event::Told { .. })
        );
        verdicts += usize::from(is_told);
    }
    let snapshot = hub.snapshot(&name).unwrap();
    assert_eq!(snapshot.holders().count(), 2);
    assert_eq!(snapshot.waiting(), None);
}
