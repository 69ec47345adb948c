//! `lost_holder=manual` and `qarbiter release`.

use std::process::Command;

use qarbiter::engine::Verdict;
use qarbiter::wire::Algorithm;

use crate::lab::{Lab, Outcome, QARBITER, run};
use crate::nodes::{Cluster, in_time, split};

fn qarbiter(lab: &Lab, command: &str, cluster: &str) -> Outcome {
    run(Command::new(QARBITER)
        .args([command, "--state-dir"])
        .arg(lab.state())
        .args(["--cluster", cluster]))
}

#[tokio::test]
async fn a_lost_holder_keeps_the_vote_until_it_is_released() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&["-s", "off", "-S", "lost_holder=manual"]));
    let lima = Cluster {
        algorithm: Algorithm::Lms,
        heartbeat_ms: 1000,
        ..Cluster::new(arbiter.address, "lima", &[1, 2])
    };
    let mut nodes = lima.whole().await;
    split(&mut nodes).await;
    let mut survivor = nodes.pop().unwrap();
    assert_eq!(in_time(survivor.vote()).await.unwrap(), Verdict::Nack);
    let holder = nodes.pop().unwrap();

    // Nothing is lost yet.
    let refused = qarbiter(&lab, "release", "lima");
    assert_eq!(refused.code, Some(1));
    let text = "no unreachable node of that cluster holds the vote";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);

    drop(holder);
    arbiter.logged(&["node 1", "left"]);
    // Longer than the lease would be, 2 x HB and 1 s, if time ended it. Heartbeats keep node 2.
    for _ in 0..8 {
        tokio::time::sleep(std::time::Duration::from_millis(450)).await;
        in_time(survivor.heartbeat()).await.unwrap();
    }
    let seen = qarbiter(&lab, "status", "lima");
    let lost = "node 1 may still cast the vote until it returns or is released (qarbiter release --cluster lima)";
    assert!(seen.stdout.contains(lost), "{}", seen.stdout);
    assert!(seen.stdout.contains("Vote:      nobody"), "{}", seen.stdout);

    let unknown = qarbiter(&lab, "release", "nosuch");
    assert_eq!(unknown.code, Some(1));
    let text = "there is no cluster of that name";
    assert!(unknown.stderr.contains(text), "{}", unknown.stderr);

    let released = qarbiter(&lab, "release", "lima");
    assert_eq!(released.code, Some(0), "{}", released.stderr);
    assert!(released.stdout.contains("\"lima\""), "{}", released.stdout);
    // The vote is written down before it is told.
    let told = async {
        while survivor.vote().await.unwrap() != Verdict::Ack {
            survivor.heartbeat().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    in_time(told).await;
    arbiter.logged(&[
        "lima",
        "node 1 no longer holds the vote",
        "released by the operator",
    ]);
    arbiter.logged(&["lima", "node 2 has the vote in ring 2.2"]);
    let seen = qarbiter(&lab, "status", "lima");
    assert!(seen.stdout.contains("Vote:      node 2"), "{}", seen.stdout);
    assert!(!seen.stdout.contains("Lost:"), "{}", seen.stdout);
    assert_eq!(qarbiter(&lab, "release", "lima").code, Some(1));
}

#[test]
fn without_an_arbiter_it_fails() {
    let lab = Lab::new();
    let failed = qarbiter(&lab, "release", "lima");
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("is the arbiter running?"));
}
