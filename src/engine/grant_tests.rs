//! What the journal would be told (the seam for it: [`super::Action::Record`]).

use super::*;
use crate::wire::{NodeInfo, TieBreaker};

const NOW: Time = Time::ZERO;

fn join(cluster: &mut Cluster, node: u32) {
    let joining = Joining {
        conn: ConnId(u64::from(node)),
        node: NodeId(node),
        peer: Peer {
            address: "192.0.2.1:1".into(),
            tls: true,
            verified: true,
        },
        heartbeat_ms: 8000,
        algorithm: Algorithm::Lms,
        tie_breaker: TieBreaker::Lowest,
        ring: RingId::new(1, 4),
        keep_active: true,
    };
    cluster.join(NOW, joining, &mut Vec::new()).unwrap();
}

fn report(cluster: &mut Cluster, node: u32, members: &[u32]) -> Vec<Action> {
    let mut out = Vec::new();
    let nodes: Vec<NodeInfo> = members.iter().map(|id| NodeInfo::new(*id)).collect();
    let ring = RingId::new(1, 4);
    cluster
        .membership_list(NOW, NodeId(node), ring, &nodes, None, &mut out)
        .unwrap();
    out
}

fn records(actions: &[Action]) -> Vec<&Grant> {
    let mut grants = Vec::new();
    for action in actions {
        if let Action::Record(grant) = action {
            grants.push(grant);
        }
    }
    grants
}

#[test]
fn every_node_that_gets_the_vote_is_recorded_and_a_lost_one_stays_so() {
    let mut cluster = Cluster::new(ClusterName::new(b"c"), ClusterPolicy::SAFE);
    join(&mut cluster, 1);
    join(&mut cluster, 2);
    let first = report(&mut cluster, 1, &[1, 2]);
    let second = report(&mut cluster, 2, &[1, 2]);
    let nodes = |grant: &Grant| {
        grant
            .heartbeats
            .keys()
            .map(|node| node.0)
            .collect::<Vec<_>>()
    };
    let recorded: Vec<Vec<u32>> = records(&[first, second].concat())
        .iter()
        .map(|grant| nodes(grant))
        .collect();
    assert_eq!(recorded, [vec![1, 2]]);

    // Node 2 is lost; node 1 is told the same again: nothing new, and node 2 is not forgotten.
    cluster.leave(NOW, NodeId(2), LeaveCause::DeadPeer, &mut Vec::new());
    assert!(records(&report(&mut cluster, 1, &[1, 2])).is_empty());
    join(&mut cluster, 2);
    assert!(records(&report(&mut cluster, 2, &[1, 2])).is_empty());

    // Another member of the recorded partition is new to the record.
    let mut cluster = Cluster::new(ClusterName::new(b"c"), ClusterPolicy::SAFE);
    join(&mut cluster, 1);
    assert_eq!(nodes(records(&report(&mut cluster, 1, &[1, 2]))[0]), [1]);
    join(&mut cluster, 2);
    let later = report(&mut cluster, 2, &[1, 2]);
    assert_eq!(nodes(records(&later)[0]), [1, 2]);
    assert_eq!(records(&later)[0].epoch, 2);
}
