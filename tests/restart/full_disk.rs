//! A journal that can't be written: nobody gets a vote, and what was recorded before still counts.

use std::process::Command;
use std::time::Duration;

use qarbiter::client::Node;
use qarbiter::engine::Verdict;
use qarbiter::wire::{Algorithm, NodeId};
use rustix::process::Signal;

use crate::holders::{back, cluster, gets_nothing_for, split_cluster, start, verdicts_within};
use crate::lab::Lab;
use crate::nodes::{in_time, ring};

/// A small file system at a place, until dropped.
struct SmallDisk<'a>(&'a Lab);

impl<'a> SmallDisk<'a> {
    fn mount(lab: &'a Lab) -> Self {
        std::fs::create_dir(lab.state()).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(lab.state())
            .status();
        assert!(done.unwrap().success(), "root may mount a tmpfs");
        Self(lab)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // What still uses it goes first; a test that failed should say why it did.
        let _done = Command::new("umount")
            .arg("-l")
            .arg(self.0.state())
            .status();
    }
}

/// Both nodes are in a new membership. Whether they have a vote in it soon.
async fn new_membership(nodes: &mut [Node], seq: u64) -> bool {
    let both = [NodeId(1), NodeId(2)];
    for node in nodes.iter_mut() {
        in_time(node.see(ring(1, seq), &both)).await.unwrap();
    }
    let [first, second] = nodes else {
        panic!("two nodes")
    };
    let time = Duration::from_millis(900);
    verdicts_within(first, second, time).await == [Some(Verdict::Ack); 2]
}

#[tokio::test]
async fn a_vote_that_can_t_be_recorded_is_not_given() {
    let lab = Lab::new();
    let _disk = SmallDisk::mount(&lab);
    let arbiter = start(&lab);
    let mut nodes = cluster(&arbiter, Algorithm::FfSplit).whole().await;

    let filler = lab.state().join("filler");
    let full = std::fs::write(&filler, vec![0; 128 * 1024]);
    assert!(full.is_err(), "the disk is not small");
    // The journal goes on until the page that it has is full.
    let mut seq = 2;
    while new_membership(&mut nodes, seq).await {
        seq += 1;
        assert!(seq < 300, "the journal is never refused anything");
    }
    arbiter.logged(&["error", "the journal can't be written"]);
    std::fs::remove_file(&filler).unwrap();
    let [first, second] = &mut nodes[..] else {
        panic!("two nodes")
    };
    let verdicts = verdicts_within(first, second, Duration::from_secs(10)).await;
    assert_eq!(verdicts, [Some(Verdict::Ack); 2]);
    arbiter.logged(&["info", "the journal can be written again"]);
    assert!(new_membership(&mut nodes, seq + 1).await);
}

/// A restart in the middle of a split, with a disk that has become full: what can be read counts.
#[tokio::test]
async fn a_full_disk_does_not_make_a_restart_forget() {
    let lab = Lab::new();
    let _disk = SmallDisk::mount(&lab);
    let mut arbiter = start(&lab);
    let nodes = split_cluster(&cluster(&arbiter, Algorithm::FfSplit)).await;
    let filler = lab.state().join("filler");
    assert!(std::fs::write(&filler, vec![0; 128 * 1024]).is_err());
    arbiter.end_with(Signal::KILL);
    drop(nodes);

    let mut arbiter = start(&lab);
    arbiter.logged(&["error", "the journal can't be written"]);
    let cluster = cluster(&arbiter, Algorithm::FfSplit);
    let mut loser = back(&cluster, 2).await;
    gets_nothing_for(&mut loser, Duration::from_millis(1500)).await;
    std::fs::remove_file(&filler).unwrap();
    let mut holder = back(&cluster, 1).await;
    let verdicts = verdicts_within(&mut holder, &mut loser, Duration::from_secs(5)).await;
    assert_eq!(verdicts, [Some(Verdict::Ack), Some(Verdict::Nack)]);

    // An order to stop is heard also while the disk is full.
    assert!(std::fs::write(&filler, vec![0; 128 * 1024]).is_err());
    let (code, took) = arbiter.end_with(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
