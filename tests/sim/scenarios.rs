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

/// The answer to SET OPTION restarts the client's echo check when it *arrives*. If it is held up
/// and the link then falls silent, the client believes in its vote for 2 x HB from the arrival, not
/// from the sending.
#[test]
fn a_late_answer_to_set_option_does_not_stretch_a_vote() {
    for seed in 0..64 {
        let mut setup = Setup::usual(2, Algorithm::FfSplit);
        setup.keep_active = 0;
        setup.heuristics = true;
        let faults = vec![
            (20_000, Fault::Split(vec![0, 1])),
            (40_000, Fault::KillClient(0, 1000)),
            (41_060, Fault::Cut(0, Cut::FromArbiter)),
            (46_000, Fault::Mend(0)),
            (48_990, Fault::Cut(0, Cut::Both)),
            (90_000, Fault::Mend(0)),
        ];
        check_plan(&plan(seed, setup, faults)).unwrap_or_else(|report| panic!("{report}"));
    }
}

/// A node that was told NACK and then "wait for reply" (its partition should have the vote, but a
/// lost holder stands against it) has stopped casting. When the vote goes elsewhere it must be
/// told NACK again, or its device casts nothing for ever and corosync declares it lost.
#[test]
fn a_loser_that_was_told_to_wait_is_told_that_it_lost() {
    for seed in 0..64 {
        let mut setup = Setup::usual(2, Algorithm::Lms);
        setup.max_delay = 900;
        let faults = vec![
            (20_000, Fault::Split(vec![0, 1])),
            (21_200 + 10 * seed, Fault::NetworkLost(0)),
        ];
        check_plan(&plan(seed, setup, faults)).unwrap_or_else(|report| panic!("{report}"));
    }
}

/// H2 of the safety spec: the arbiter is killed during a split, and the half without the vote comes
/// back first.
fn amnesia(journal: bool, seed: u64) -> Plan {
    let mut setup = Setup::usual(2, Algorithm::FfSplit);
    setup.journal = journal;
    let faults = vec![
        (20_000, Fault::Split(vec![0, 1])),
        (30_000 + seed * 500, Fault::Cut(0, Cut::Both)),
        (30_001 + seed * 500, Fault::Restart(false)),
        (80_000, Fault::Mend(0)),
    ];
    plan(seed, setup, faults)
}

#[test]
fn h2_is_there_without_a_journal() {
    let checks = Checks {
        double_vote: true,
        ledger: false,
        liveness: false,
    };
    let found = (0..16)
        .filter_map(|seed| world::run(&amnesia(false, seed), checks, false).err())
        .inspect(|failure| assert_eq!(failure.kind, Kind::DoubleVote))
        .count();
    assert!(found > 0, "H2 was not reproduced");
}

#[test]
fn h2_is_closed_by_the_journal() {
    for seed in 0..16 {
        check_plan(&amnesia(true, seed)).unwrap_or_else(|report| panic!("{report}"));
    }
}
