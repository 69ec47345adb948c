//! Who gets the vote after a restart.

use std::time::{Duration, Instant};

use qarbiter::client::Node;
use qarbiter::engine::Verdict;
use qarbiter::wire::Algorithm;
use rustix::process::Signal;

use crate::lab::{Lab, Running};
use crate::nodes::{Cluster, in_time, ring, split};

/// Short, so that a lease is: 2 x 2 s and 1 s.
const HEARTBEAT_MS: u32 = 2000;
const LEASE: Duration = Duration::from_secs(5);

pub(crate) fn cluster(arbiter: &Running, algorithm: Algorithm) -> Cluster {
    Cluster {
        algorithm,
        heartbeat_ms: HEARTBEAT_MS,
        ..Cluster::new(arbiter.address, "Alpha", &[1, 2])
    }
}

/// Clear text: this is not about certificates.
pub(crate) fn start(lab: &Lab) -> Running {
    lab.start(&lab.serve(&["-s", "off"]))
}

/// A cluster in two halves, of which node 1 has the vote.
pub(crate) async fn split_cluster(cluster: &Cluster) -> Vec<Node> {
    let mut nodes = cluster.whole().await;
    split(&mut nodes).await;
    let [first, second] = &mut nodes[..] else {
        panic!("two nodes")
    };
    let verdicts = verdicts_within(first, second, LEASE).await;
    assert_eq!(verdicts, [Some(Verdict::Ack), Some(Verdict::Nack)]);
    nodes
}

/// The node of the ring that the split gave it.
async fn back(cluster: &Cluster, node: u32) -> Node {
    cluster.join(node, ring(node, 2), &[node]).await
}

/// The verdict of a node that goes on living meanwhile, if there is one in time.
pub(crate) async fn verdict_within(node: &mut Node, time: Duration) -> Option<Verdict> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let soon = Duration::from_millis(u64::from(HEARTBEAT_MS) / 4);
        if let Ok(verdict) = tokio::time::timeout(soon, node.vote()).await {
            return Some(verdict.unwrap());
        }
        in_time(node.heartbeat()).await.unwrap();
    }
    None
}

/// The same of two nodes at once.
pub(crate) async fn verdicts_within(
    first: &mut Node,
    second: &mut Node,
    time: Duration,
) -> [Option<Verdict>; 2] {
    let (first, second) = tokio::join!(verdict_within(first, time), verdict_within(second, time));
    [first, second]
}

async fn gets_nothing_for(node: &mut Node, time: Duration) {
    let verdict = verdict_within(node, time).await;
    assert_ne!(verdict, Some(Verdict::Ack), "it got the vote");
}

/// H2, and the way out: the loser is back first.
#[tokio::test]
async fn the_loser_that_returns_first_does_not_get_the_vote() {
    for algorithm in [Algorithm::FfSplit, Algorithm::Lms, Algorithm::TwoNodeLms] {
        for signal in [Signal::KILL, Signal::TERM] {
            let lab = Lab::new();
            let mut arbiter = start(&lab);
            let nodes = split_cluster(&cluster(&arbiter, algorithm)).await;
            arbiter.end_with(signal);
            drop(nodes);

            let arbiter = start(&lab);
            let cluster = cluster(&arbiter, algorithm);
            let mut loser = back(&cluster, 2).await;
            gets_nothing_for(&mut loser, Duration::from_millis(1500)).await;
            let mut holder = back(&cluster, 1).await;
            let verdicts = verdicts_within(&mut holder, &mut loser, LEASE).await;
            assert_eq!(
                verdicts,
                [Some(Verdict::Ack), Some(Verdict::Nack)],
                "{algorithm} {signal:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_holder_that_stays_away_is_waited_for_as_long_as_it_may_cast() {
    let lab = Lab::new();
    let mut arbiter = start(&lab);
    let nodes = split_cluster(&cluster(&arbiter, Algorithm::FfSplit)).await;
    arbiter.end_with(Signal::KILL);
    drop(nodes);

    let begin = Instant::now();
    let arbiter = start(&lab);
    let mut loser = back(&cluster(&arbiter, Algorithm::FfSplit), 2).await;
    let verdict = verdict_within(&mut loser, 3 * LEASE).await;
    assert_eq!(verdict, Some(Verdict::Ack));
    let waited = begin.elapsed();
    assert!(
        (LEASE..LEASE + Duration::from_secs(3)).contains(&waited),
        "{waited:?}"
    );
}

/// Where an operator has to say that the holder is down, a restart is no such word.
#[tokio::test]
async fn a_restart_releases_nobody() {
    let lab = Lab::new();
    let manual = ["-s", "off", "-S", "lost_holder=manual"];
    let mut arbiter = lab.start(&lab.serve(&manual));
    let nodes = split_cluster(&cluster(&arbiter, Algorithm::Lms)).await;
    arbiter.end_with(Signal::KILL);
    drop(nodes);

    let arbiter = lab.start(&lab.serve(&manual));
    let mut loser = back(&cluster(&arbiter, Algorithm::Lms), 2).await;
    gets_nothing_for(&mut loser, LEASE + Duration::from_secs(1)).await;
}

/// Nothing happened while the arbiter was away: nobody waits for anything.
#[tokio::test]
async fn a_whole_cluster_has_its_vote_again_at_once() {
    for algorithm in [Algorithm::FfSplit, Algorithm::Lms] {
        let lab = Lab::new();
        let mut arbiter = start(&lab);
        let nodes = cluster(&arbiter, algorithm).whole().await;
        arbiter.end_with(Signal::KILL);
        drop(nodes);

        let arbiter = start(&lab);
        let begin = Instant::now();
        for node in &mut cluster(&arbiter, algorithm).whole().await {
            assert_eq!(in_time(node.vote()).await.unwrap(), Verdict::Ack);
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{algorithm}");
    }
}
