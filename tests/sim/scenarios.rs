//! Short runs of known stories, the smallest plans that random runs found.

use crate::plan::{Cut, Fault, Plan, Setup};
use crate::runner::check_plan;
use crate::world::{self, Checks, Kind};
use qarbiter::wire::Algorithm;

fn plan(seed: u64, setup: Setup, faults: Vec<(u64, Fault)>) -> Plan {
    Plan {
        seed,
        setup,
        faults,
        boot_all: true,
    }
}

/// H1 of the safety spec: both halves are connected, the cluster splits, and the link of the half
/// that holds the vote falls silent right after an answer.
fn silent_loss(vote_leases: bool, seed: u64) -> Plan {
    let mut setup = Setup::usual(2, Algorithm::FfSplit);
    setup.policy.vote_leases = vote_leases;
    let faults = vec![
        (20_000, Fault::Split(vec![0, 1])),
        (30_000 + seed * 500, Fault::Cut(0, Cut::Both)),
        (80_000, Fault::Mend(0)),
    ];
    plan(seed, setup, faults)
}

/// The hole of the reference, with the timing of its rules.
#[test]
fn h1_is_there_without_leases() {
    let checks = Checks {
        double_vote: true,
        ledger: false,
        liveness: false,
    };
    let found = (0..16)
        .filter_map(|seed| world::run(&silent_loss(false, seed), checks, false).err())
        .inspect(|failure| assert_eq!(failure.kind, Kind::DoubleVote))
        .count();
    assert!(found > 0, "H1 was not reproduced");
}

/// The same plans with leases.
#[test]
fn h1_is_closed_by_leases() {
    for seed in 0..16 {
        check_plan(&silent_loss(true, seed)).unwrap_or_else(|report| panic!("{report}"));
    }
}
