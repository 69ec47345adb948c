//! Stories whose end is known.

use super::*;
use crate::wire::{Algorithm, NodeId, TieBreaker};
use std::time::Duration;

fn setup(nodes: u32, algorithm: Algorithm) -> Setup {
    let nodes: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
    Setup::new(&nodes, algorithm).unwrap()
}

fn tell(setup: &Setup, faults: &[&str]) -> Story {
    run(setup, &parse(faults, setup.nodes()).unwrap())
}

/// `1,2:3/2 3:1!` means that nodes 1 and 2 see each other, count 3 votes of which 2 are needed, and
/// have quorum, and node 3 counts 1 vote and has none.
fn brief(state: &State) -> String {
    let parts = state.parts();
    let parts = parts.iter().map(|part| {
        let ids: Vec<String> = part.nodes.iter().map(ToString::to_string).collect();
        let mark = match part.quorate.len() {
            0 => "!",
            all if all == part.nodes.len() => "",
            _ => "?",
        };
        format!("{}:{}/{}{mark}", ids.join(","), part.votes, part.quorum)
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[test]
fn print() {
    for (n, a, f) in [
        (2, Algorithm::FfSplit, &["cut 1|2", "heal", "lose arbiter", "kill 2", "find arbiter", "restart 2"][..]),
        (3, Algorithm::Lms, &["cut 1|2,3", "heal", "kill 1", "kill 2", "lose arbiter"]),
        (3, Algorithm::FfSplit, &["cut 1|2,3", "heal", "kill 1", "kill 2", "lose arbiter"]),
        (4, Algorithm::FfSplit, &["cut 1,2|3,4", "heal", "lose arbiter", "cut 1,2|3,4", "find arbiter"]),
        (5, Algorithm::Lms, &["cut 1,2|3,4,5", "heal", "lose arbiter", "kill 5", "restart arbiter", "find arbiter"]),
        (2, Algorithm::TwoNodeLms, &["cut 1|2", "lose arbiter 1", "heal", "isolate 1"]),
        (2, Algorithm::FfSplit, &["isolate 1", "heal", "stop 2", "restart 2", "kill arbiter", "restart arbiter"]),
    ] {
        let start = std::time::Instant::now();
        let s = setup(n, a);
        let story = tell(&s, f);
        println!("== {n} {a:?}: {} | {}", brief(&story.start), story.start.vote);
        for step in &story.steps {
            println!("{}: {} | {} | {:?} conflict {}", step.fault, brief(&step.state), step.state.vote, step.settled_within, step.had_conflict);
            for o in &step.otherwise { println!("   or {} | {}", brief(o), o.vote); }
        }
        println!("   {:?}", start.elapsed());
    }
}
