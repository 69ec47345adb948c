//! A journal that can't be written: nobody loses a vote, and nobody gets one.

use std::process::Command;
use std::time::Duration;

use qarbiter::client::Node;
use qarbiter::engine::Verdict;
use qarbiter::wire::{Algorithm, NodeId};

use crate::holders::{cluster, start, verdicts_within};
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
