//! Random clusters in virtual time: the pure engine against a faithful model of the stock client.
//!
//! What is asserted is in `world` (I1, no two partitions cast the vote; I2, none is given while
//! another is not released) and `oracle` (I3, when all is calm the right partition has it).
//!
//! `QARBITER_SIM_CASES=n` runs n random plans per property instead of the default;
//! `QARBITER_SIM_SEED=n cargo test --test sim NAME -- --nocapture` runs only the plan of this seed
//! for one property and prints its whole trace if it fails.

// The lints allow these in tests, but do not recognise the helpers of an integration test.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod client;
mod ledger;
mod network;
mod oracle;
mod plan;
mod rng;
mod runner;
mod scenarios;
mod world;

use plan::{Fault, Plan, Setup};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};
use qarbiter::engine::{LostHolder, Rules};
use qarbiter::wire::Algorithm;
use runner::{cases, check_plan, check_seeds, find_violation};
use world::{Checks, Kind};

#[test]
fn ffsplit_never_votes_twice_and_settles() {
    check_seeds(5000, |setup| setup.algorithm = Algorithm::FfSplit);
}

#[test]
fn ffsplit_with_two_nodes_never_votes_twice_and_settles() {
    check_seeds(5000, |setup| {
        setup.algorithm = Algorithm::FfSplit;
        setup.nodes = 2;
    });
}

#[test]
fn lms_without_wait_for_all_never_votes_twice_and_settles() {
    check_seeds(5000, |setup| {
        setup.algorithm = Algorithm::Lms;
        setup.wait_for_all = false;
    });
}

#[test]
fn lms_with_wait_for_all_never_votes_twice_when_lost_votes_need_an_operator() {
    check_seeds(4000, |setup| {
        setup.algorithm = Algorithm::Lms;
        setup.wait_for_all = true;
        setup.policy.lost_holder = LostHolder::Manual;
    });
}

#[test]
fn lms_with_wait_for_all_settles() {
    check_seeds(2000, |setup| {
        setup.algorithm = Algorithm::Lms;
        setup.wait_for_all = true;
        setup.policy.lost_holder = LostHolder::Timed;
    });
}

#[test]
fn two_node_lms_never_votes_twice_when_lost_votes_need_an_operator() {
    check_seeds(4000, |setup| {
        setup.algorithm = Algorithm::TwoNodeLms;
        setup.policy.lost_holder = LostHolder::Manual;
    });
}

#[test]
fn two_node_lms_settles() {
    check_seeds(2000, |setup| {
        setup.algorithm = Algorithm::TwoNodeLms;
        setup.policy.lost_holder = LostHolder::Timed;
    });
}

/// Teeth: without leases the silent loss H1 is found (safety spec, section 2).
#[test]
fn without_leases_a_silent_loss_votes_twice() {
    find_violation(400, Kind::DoubleVote, |setup| {
        setup.algorithm = Algorithm::FfSplit;
        setup.nodes = 2;
        setup.policy.vote_leases = false;
    });
}

/// Teeth: an arbiter that remembers nothing is found (H2, safety spec, section 2).
#[test]
fn without_a_journal_a_restart_votes_twice() {
    find_violation(2000, Kind::DoubleVote, |setup| {
        setup.algorithm = Algorithm::FfSplit;
        setup.nodes = 2;
        setup.journal = false;
    });
}

/// Teeth: the double vote L19 of the reference is found (algorithms spec, A2).
#[test]
fn the_rules_of_the_reference_vote_twice_with_lms() {
    find_violation(400, Kind::DoubleVote, |setup| {
        setup.algorithm = Algorithm::Lms;
        setup.nodes = 2;
        setup.wait_for_all = false;
        setup.heuristics = true;
        setup.policy.rules = Rules::Reference;
    });
}

/// Teeth: what no time limit can prove is found: a lost 2nodelms node keeps its vote.
#[test]
fn a_kept_vote_outlives_any_time_limit() {
    find_violation(400, Kind::DoubleVote, |setup| {
        setup.algorithm = Algorithm::TwoNodeLms;
        setup.policy.lost_holder = LostHolder::Timed;
    });
}

/// Teeth for I2: without leases the book of the simulator disagrees.
#[test]
fn without_leases_the_book_does_not_balance() {
    find_violation(400, Kind::Ungranted, |setup| {
        setup.algorithm = Algorithm::FfSplit;
        setup.policy.vote_leases = false;
    });
}

/// Teeth for I3: the reference leaves lms clusters without any vote (algorithms spec, A3).
#[test]
fn the_rules_of_the_reference_do_not_settle_with_lms() {
    find_violation(400, Kind::Liveness, |setup| {
        setup.algorithm = Algorithm::Lms;
        setup.wait_for_all = false;
        setup.heuristics = true;
        setup.policy.rules = Rules::Reference;
    });
}

/// A known limit, not a wish: the end of a connection releases an ffsplit vote because the client
/// casts NACK before it closes. One that is killed does not, and votequorum counts its last cast
/// until the device timeout. No arbiter can tell the two apart.
#[test]
fn a_killed_client_is_counted_until_votequorum_forgets_it() {
    find_violation(400, Kind::DoubleVote, |setup| {
        setup.algorithm = Algorithm::FfSplit;
        setup.nodes = 2;
        setup.killed_vote_counts = true;
    });
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let fault = (0u64..20_000, any::<u8>(), any::<u8>(), any::<u16>());
    let faults = proptest::collection::vec(fault, 0..20);
    (any::<u64>(), faults).prop_map(|(seed, faults)| {
        let mut plan = Plan::random(seed, |_| {});
        let mut at = 15_000;
        plan.faults = faults
            .into_iter()
            .map(|(gap, kind, which, detail)| {
                at += gap;
                (at, Fault::decode(&plan.setup, kind, which, detail))
            })
            .collect();
        plan
    })
}

#[test]
fn faults_chosen_by_proptest_change_nothing() {
    let config = ProptestConfig {
        cases: u32::try_from(cases(3000)).unwrap_or(u32::MAX),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // The same plans on every machine; more of them with QARBITER_SIM_CASES.
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&any_plan(), |plan| {
            check_plan(&plan).map(drop).map_err(TestCaseError::fail)
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The model itself: a quiet cluster of any size and algorithm gets the vote and nothing is lost.
#[test]
fn a_quiet_cluster_is_quiet() {
    for algorithm in [Algorithm::FfSplit, Algorithm::Lms, Algorithm::TwoNodeLms] {
        let sizes = if algorithm == Algorithm::TwoNodeLms {
            2..=2
        } else {
            1..=16
        };
        for nodes in sizes {
            let plan = Plan {
                seed: u64::from(nodes),
                setup: Setup::usual(nodes, algorithm),
                faults: Vec::new(),
                boot_all: false,
            };
            let stats = world::run(&plan, Checks::of(&plan.setup), true)
                .unwrap_or_else(|failure| panic!("{}\n{}", failure.trace, failure.what));
            assert_eq!(stats.lost, 0, "{algorithm} {nodes}");
            assert!(stats.acks >= u64::from(nodes), "{algorithm} {nodes}");
        }
    }
}
