//! Runs many plans, and makes a failing one small before it is shown.

use crate::plan::{Plan, Setup};
use crate::world::{self, Checks, Failure, Kind, Stats};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// How many plans to run.
pub(crate) fn cases(default: u64) -> u64 {
    number("QARBITER_SIM_CASES").unwrap_or(default)
}

/// Runs the plans of many seeds with all checks that apply to them.
pub(crate) fn check_seeds(default: u64, adjust: impl Fn(&mut Setup)) {
    if let Some(seed) = number("QARBITER_SIM_SEED") {
        let plan = Plan::random(seed, &adjust);
        match world::run(&plan, Checks::of(&plan.setup), true) {
            Ok(stats) => println!("seed {seed} holds: {stats:?}\n{plan:#?}"),
            Err(failure) => panic!("{}", report(&plan, &failure)),
        }
        return;
    }
    let mut total = Stats::default();
    for seed in 0..cases(default) {
        let plan = Plan::random(seed, &adjust);
        match check_plan(&plan) {
            Ok(stats) => {
                total.steps += stats.steps;
                total.acks += stats.acks;
                total.lost += stats.lost;
            }
            Err(report) => {
                panic!("seed {seed} (QARBITER_SIM_SEED={seed} runs it in full): {report}")
            }
        }
    }
    println!("{total:?}");
    assert!(
        total.acks > 0 && total.lost > 0,
        "nothing happened: {total:?}"
    );
}

/// Runs one plan.
///
/// # Errors
/// The smallest plan found that fails in the same way, and its trace.
pub(crate) fn check_plan(plan: &Plan) -> Result<Stats, String> {
    let checks = Checks::of(&plan.setup);
    world::run(plan, checks, false).map_err(|failure| {
        let small = minimise(plan, checks, failure.kind);
        match world::run(&small, checks, true) {
            Err(failure) => report(&small, &failure),
            Ok(_) => format!("{failure:?} at first, but not again: {plan:#?}"),
        }
    })
}

/// Asserts that some seed fails in this way: a check that never fails proves nothing.
pub(crate) fn find_violation(seeds: u64, kind: Kind, adjust: impl Fn(&mut Setup)) {
    let checks = Checks {
        double_vote: kind == Kind::DoubleVote,
        ledger: kind == Kind::Ungranted,
        liveness: kind == Kind::Liveness,
    };
    for seed in 0..seeds {
        let plan = Plan::random(seed, &adjust);
        if let Err(failure) = world::run(&plan, checks, false) {
            assert_eq!(failure.kind, kind, "seed {seed}: {}", failure.what);
            println!("found with seed {seed}: {}", failure.what);
            return;
        }
    }
    panic!("the simulator is blind: no {kind:?} in {seeds} seeds");
}

/// Leaves out faults as long as the plan fails in the same way.
fn minimise(plan: &Plan, checks: Checks, kind: Kind) -> Plan {
    let mut small = plan.clone();
    loop {
        let before = small.faults.len();
        let mut i = 0;
        while i < small.faults.len() {
            // Another order of simultaneous events may be needed once something is left out.
            let shorter = (0..8).find_map(|salt| {
                let mut shorter = small.clone();
                shorter.faults.remove(i);
                shorter.seed ^= salt;
                let failure = world::run(&shorter, checks, false).err()?;
                (failure.kind == kind).then_some(shorter)
            });
            match shorter {
                Some(shorter) => small = shorter,
                None => i += 1,
            }
        }
        if small.faults.len() == before {
            return small;
        }
    }
}

fn report(plan: &Plan, failure: &Failure) -> String {
    format!(
        "{:?} at {:.3} s: {}\n{plan:#?}\ntrace:\n{}\n{:?}: {}\n",
        failure.kind,
        failure.at as f64 / 1000.0,
        failure.what,
        failure.trace,
        failure.kind,
        failure.what
    )
}
