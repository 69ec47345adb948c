//! Stories whose end is known.

use super::*;
use crate::engine::{ClusterPolicy, LostHolder};
use crate::wire::{Algorithm, NodeId, TieBreaker};

const FF: Algorithm = Algorithm::FfSplit;
const LMS: Algorithm = Algorithm::Lms;

fn setup(nodes: u32, algorithm: Algorithm) -> Setup {
    let nodes: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
    Setup::new(&nodes, algorithm).unwrap()
}

fn tell(setup: &Setup, faults: &[&str]) -> Story {
    run(setup, &parse(faults, setup.nodes()).unwrap()).unwrap()
}

/// `1,2:3/2 3:1/2!` means that nodes 1 and 2 see each other and count 3 votes of which 2 are needed,
/// and node 3 counts 1 vote and has no quorum; `?` stands for a part in which only some have it.
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

/// Faults, and what is so after each.
fn check(setup: &Setup, start: &str, steps: &[(&str, &str)]) -> Story {
    let faults: Vec<&str> = steps.iter().map(|(fault, _)| *fault).collect();
    let story = tell(setup, &faults);
    assert_eq!(brief(&story.start), start);
    for (step, (fault, expected)) in story.steps.iter().zip(steps) {
        assert_eq!(brief(&step.state), *expected, "{fault} of {faults:?}");
        assert!(step.otherwise.is_empty(), "{fault} of {faults:?}");
    }
    story
}

#[test]
fn two_nodes() {
    for algorithm in [FF, LMS] {
        let story = check(
            &setup(2, algorithm),
            "1,2:3/2",
            &[
                ("cut 1|2", "1:2/2 2:1/2!"),
                ("heal", "1,2:3/2"),
                ("kill 1", "2:2/2"),
                ("restart 1", "1,2:3/2"),
                ("stop 2", "1:2/2"),
                ("lose arbiter", "1:1/2!"),
                ("find arbiter", "1:2/2"),
                ("restart 2", "1,2:3/2"),
                ("lose arbiter", "1,2:2/2"),
                ("kill 2", "1:1/2!"),
            ],
        );
        assert!(story.steps.iter().all(|step| !step.had_conflict));
    }
}

#[test]
fn the_tie_breaker_decides() {
    for (rule, expected) in [
        (TieBreaker::Lowest, "1,2:3/3 3,4:2/3!"),
        (TieBreaker::Highest, "1,2:2/3! 3,4:3/3"),
        (TieBreaker::Node(NodeId(4)), "1,2:2/3! 3,4:3/3"),
    ] {
        let mut setup = setup(4, FF);
        setup.tie_breaker = rule;
        let story = check(&setup, "1,2,3,4:5/3", &[("cut 1,2|3,4", expected)]);
        assert!(
            story.steps[0]
                .state
                .vote
                .contains("because the tie-breaker is")
        );
    }
}

#[test]
fn odd_clusters() {
    check(
        &setup(3, LMS),
        "1,2,3:5/3",
        &[
            ("kill 1", "2,3:4/3"),
            ("kill 2", "3:3/3"),
            ("restart 1", "1,3:4/3"),
            ("restart 2", "1,2,3:5/3"),
            ("lose arbiter", "1,2,3:3/3"),
            ("kill 1", "2,3:2/3!"),
        ],
    );
    check(
        &setup(3, FF),
        "1,2,3:4/3",
        &[
            ("cut 1|2,3", "1:1/3! 2,3:3/3"),
            ("lose arbiter", "1:1/3! 2,3:2/3!"),
        ],
    );
    check(
        &setup(5, LMS),
        "1,2,3,4,5:9/5",
        &[
            ("cut 1,2|3,4,5", "1,2:2/5! 3,4,5:7/5"),
            ("heal", "1,2,3,4,5:9/5"),
            ("isolate 5", "1,2,3,4:8/5 5:1/5!"),
        ],
    );
}

/// The side that was active stays so when the other one, which the tie-breaker prefers, comes back.
#[test]
fn what_was_active_stays_active() {
    let steps = [
        ("lose arbiter 1", "1,2:3/2"),
        ("cut 1|2", "1:1/2! 2:2/2"),
        ("find arbiter", "1:1/2! 2:2/2"),
    ];
    let story = check(&setup(2, FF), "1,2:3/2", &steps);
    let vote = &story.steps[2].state.vote;
    assert_eq!(
        vote,
        "node 2 holds the vote because that side was active before"
    );
    // Without the clients' wish to keep it, the tie-breaker decides again.
    let mut fickle = setup(2, FF);
    fickle.keep_active = false;
    let story = tell(&fickle, &["lose arbiter 1", "cut 1|2", "find arbiter"]);
    assert_eq!(brief(&story.steps[2].state), "1:2/2 2:1/2!");
}

/// A silent loss waits for the lease, and a clean end for nothing but corosync's own detection.
#[test]
fn times() {
    let setup = setup(2, FF);
    let within = |faults: &[&str]| tell(&setup, faults).steps.pop().unwrap().settled_within;
    let seconds = |faults: &[&str]| within(faults).as_secs_f64();
    let membership = setup.membership_delay().as_secs_f64();
    assert_eq!(membership, 7.6);
    assert!((17.0..=17.6).contains(&seconds(&["isolate 1"])));
    assert!((17.0..=17.6).contains(&seconds(&["kill 1"])));
    assert!((membership..membership + 0.1).contains(&seconds(&["cut 1|2"])));
    assert!((membership..membership + 0.1).contains(&seconds(&["stop 1"])));
    assert!((15.5..=16.0).contains(&seconds(&["lose arbiter"])));
    assert!(seconds(&["kill arbiter"]) < 0.1);
    // A reconnect after 4.5 s at most.
    assert!(seconds(&["kill arbiter", "restart arbiter"]) < 4.6);
    assert_eq!(seconds(&["heal"]), 0.0);
}

/// A node that has to wait for a vote longer than corosync waits for it loses its quorum meanwhile.
#[test]
fn interruptions_are_seen() {
    let interrupted = |setup: &Setup, faults: &[&str]| {
        let nodes = tell(setup, faults).steps.pop().unwrap().interrupted;
        nodes.iter().map(|node| node.0).collect::<Vec<_>>()
    };
    let usual = setup(2, FF);
    assert!(interrupted(&usual, &["kill 1"]).is_empty());
    assert!(interrupted(&usual, &["stop 1"]).is_empty());
    assert!(interrupted(&usual, &["lose arbiter"]).is_empty());
    let restart = ["kill 1", "restart arbiter"];
    assert_eq!(interrupted(&usual, &restart), [2]);
    let mut hasty = setup(2, FF);
    hasty.timing.sync_timeout = std::time::Duration::from_secs(9);
    assert_eq!(interrupted(&hasty, &["kill 1"]), [2]);
}

/// A restart in the middle of a split: one side gets the vote, and never both.
#[test]
fn a_restart_in_a_split_gives_the_vote_to_one_side() {
    let faults = [
        "isolate 1",
        "kill arbiter",
        "find arbiter",
        "restart arbiter",
    ];
    let story = tell(&setup(2, FF), &faults);
    assert!(story.steps.iter().all(|step| !step.had_conflict));
    let last = &story.steps[3];
    for end in last.otherwise.iter().chain([&last.state]) {
        assert_eq!(end.quorate().len(), 1, "{}", brief(end));
    }
    // While the other side is away, the holder has it again.
    let faults = ["lose arbiter 1", "cut 1|2", "restart arbiter"];
    let story = tell(&setup(2, FF), &faults);
    assert!(story.steps[2].otherwise.is_empty());
    assert_eq!(brief(&story.steps[2].state), "1:1/2! 2:2/2");
}

/// The holes of the reference and of the algorithms, which SAFETY.md names.
#[test]
fn dangers_are_seen() {
    let danger = |setup: &Setup, faults: &[&str]| {
        let story = tell(setup, faults);
        story.steps.iter().any(|step| step.had_conflict)
    };
    let silent = ["cut 1|2", "lose arbiter 1"];
    for (algorithm, policy, expected) in [
        (FF, ClusterPolicy::REFERENCE, true),
        (FF, ClusterPolicy::SAFE, false),
        (LMS, ClusterPolicy::SAFE, false),
        (Algorithm::TwoNodeLms, ClusterPolicy::SAFE, true),
    ] {
        let mut setup = setup(2, algorithm);
        setup.policy = policy;
        assert_eq!(danger(&setup, &silent), expected, "{algorithm} {policy:?}");
    }
    // lms with wait_for_all keeps its vote without limit, unless an operator has to release it.
    let mut waits = setup(2, LMS);
    waits.wait_for_all = true;
    assert!(danger(&waits, &silent));
    waits.policy.lost_holder = LostHolder::Manual;
    assert!(!danger(&waits, &silent));
}

/// With lms and a node as its tie-breaker the reference tears the winning half apart (A1).
#[test]
fn half_of_a_part_may_be_quorate() {
    let mut setup = setup(4, LMS);
    setup.tie_breaker = TieBreaker::Node(NodeId(3));
    check(
        &setup,
        "1,2,3,4:7/4",
        &[("cut 1,2|3,4", "1,2:2/4! 3,4:5/4")],
    );
    setup.policy = ClusterPolicy::REFERENCE;
    check(
        &setup,
        "1,2,3,4:7/4",
        &[("cut 1,2|3,4", "1,2:2/4! 3,4:5/4?")],
    );
}

/// Where a race decides, both ends are shown.
#[test]
fn what_depends_on_the_moment_is_shown_with_all_its_ends() {
    let story = tell(
        &setup(4, FF),
        &["lose arbiter", "cut 1,2|3,4", "find arbiter"],
    );
    let last = &story.steps[2];
    let mut ends: Vec<String> = last.otherwise.iter().map(brief).collect();
    ends.push(brief(&last.state));
    ends.sort();
    assert_eq!(ends, ["1,2:2/3! 3,4:3/3", "1,2:3/3 3,4:2/3!"]);
}

/// In a cluster of any size that runs through a split and back, nothing is lost.
#[test]
fn any_size_comes_back() {
    for nodes in 2..=12 {
        for algorithm in [FF, LMS] {
            let setup = setup(nodes, algorithm);
            let story = tell(&setup, &["cut 1", "heal", "kill 2", "restart 2"]);
            for step in [&story.steps[1], &story.steps[3]] {
                assert_eq!(
                    brief(&step.state),
                    brief(&story.start),
                    "{nodes} {algorithm}"
                );
            }
        }
    }
}

#[test]
fn what_can_not_be_simulated_is_refused() {
    let ids = |range: std::ops::RangeInclusive<u32>| range.map(NodeId).collect::<Vec<_>>();
    let error = |nodes: &[NodeId], algorithm| Setup::new(nodes, algorithm).unwrap_err();
    assert_eq!(error(&ids(1..=1), FF), SetupError::Nodes(1));
    assert_eq!(error(&ids(1..=33), FF), SetupError::Nodes(33));
    assert_eq!(error(&ids(0..=1), FF), SetupError::NodeId(NodeId(0)));
    assert_eq!(
        error(&[NodeId(3), NodeId(3)], FF),
        SetupError::NodeId(NodeId(3))
    );
    let algorithm = Algorithm::TwoNodeLms;
    let nodes = 3;
    assert_eq!(
        error(&ids(1..=3), algorithm),
        SetupError::Algorithm { algorithm, nodes }
    );
}
