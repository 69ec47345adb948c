//! Compatibility with corosync-qnetd: the same scenarios are played against the live reference and against ours, and
//! the bytes that each client receives are compared.
//!
//! `cargo test --test compat` plays everything. By the environment:
//!
//! | variable | effect |
//! |---|---|
//! | `QNETD_UNDER_TEST=theirs`, `ours`, `both` | which servers; default `both`. One server alone is checked against the expectations that every scenario carries |
//! | `QARBITER_TEST_SERVER=path` | our program, instead of this package's |
//! | `COMPAT_FILTER=text` | only scenarios whose name contains the text |
//! | `COMPAT_SHOW=1` | prints all transcripts, with `-- --nocapture` |
//! | `COMPAT_RANDOM=n` | plays n random sessions and n series of random messages on top; only with both servers |
//!
//! Needs root (mount namespaces for the certificate tools), corosync-qnetd, openssl and libnss3-tools. The scenarios
//! are the `.scn` files; their language is explained in `script.rs`, the verbs in `run.rs`.
//!
//! Nothing is normalised, with two exceptions, both because they depend on timing: whether a TLS refusal is seen as
//! an alert, an end of stream or a reset, and (verb `gone`) whether a closed connection ends orderly or by a reset.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken test set-up should stop the test, with a message"
)]

mod certs;
mod client;
mod describe;
mod garbled;
mod player;
mod random;
mod report;
mod run;
mod script;
mod servers;
mod verbs;
mod wire;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use script::{Scenario, Side};
use servers::Fleet;

/// Most of a scenario's time is waiting, so far more run at once than there are cores.
const WORKERS: usize = 24;

/// Random sessions, and as many series of random messages, on top when both servers run; `COMPAT_RANDOM` plays another
/// number of them.
const RANDOM: u64 = 40;

/// What a change of the suite must not lose by accident.
const FEWEST: usize = 250;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("scenarios/", $name, ".scn")))),+]
    };
}

const FILES: &[(&str, &str)] = files![
    "ffsplit",
    "lms",
    "two_node_lms",
    "framing",
    "decoding",
    "handshake",
    "init",
    "session",
    "timing",
    "limits",
    "tls",
    "tls_certificates",
    "defects",
    "safe",
];

#[test]
fn every_scenario() {
    let sides: &[Side] = match std::env::var("QNETD_UNDER_TEST").as_deref() {
        Err(_) | Ok("both") => &[Side::Theirs, Side::Ours],
        Ok("theirs") => &[Side::Theirs],
        Ok("ours") => &[Side::Ours],
        Ok(other) => panic!("QNETD_UNDER_TEST is theirs, ours or both, not {other}"),
    };
    let mut scenarios = script::parse(FILES).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        scenarios.len() >= FEWEST,
        "only {} scenarios",
        scenarios.len()
    );
    if sides.len() == 2 {
        let count = std::env::var("COMPAT_RANDOM").map_or(RANDOM, |text| {
            text.parse().expect("COMPAT_RANDOM is a number")
        });
        for seed in 1..=count {
            let index = 1000 + 2 * usize::try_from(seed).expect("seed");
            scenarios.push(random::session(seed, index));
            scenarios.push(garbled::messages(seed, index + 1));
        }
    }
    if let Ok(filter) = std::env::var("COMPAT_FILTER") {
        scenarios.retain(|scenario| scenario.name.contains(&filter));
        assert!(!scenarios.is_empty(), "no scenario is called {filter}");
    }
    // Those that wait for timers begin first, so that no long one is left over at the end.
    scenarios.sort_by_key(|scenario| {
        !scenario
            .steps
            .iter()
            .any(|step| matches!(step.verb.as_str(), "wait" | "at"))
    });

    let dir = tempfile::tempdir().unwrap();
    let fleets: Vec<Fleet> = sides
        .iter()
        .map(|side| Fleet::prepare(*side, dir.path()))
        .collect();
    let mut verdicts = play_all(&scenarios, &fleets);
    let unsteady = replay_failed(&mut verdicts, &fleets);

    let failed: Vec<&String> = verdicts
        .iter()
        .filter_map(|(_, problem)| problem.as_ref())
        .collect();
    let casualties: Vec<String> = fleets.iter().flat_map(Fleet::casualties).collect();
    let pinned = verdicts
        .iter()
        .filter(|(s, p)| s.differs.is_some() && p.is_none())
        .count();
    let equal = verdicts.len() - pinned - failed.len();
    let what = if sides.len() == 2 {
        "equal on both servers"
    } else {
        "as expected"
    };
    println!(
        "compat: {} scenarios, {equal} {what}, {pinned} with pinned differences, {} failed",
        verdicts.len(),
        failed.len()
    );
    for problem in &failed {
        eprintln!("{problem}\n");
    }
    for problem in &unsteady {
        eprintln!("passed only when it was played again, alone:\n{problem}\n");
    }
    assert!(
        unsteady.len() <= MOST_UNSTEADY,
        "{} scenarios passed only when they were played again",
        unsteady.len()
    );
    assert!(
        casualties.is_empty(),
        "servers ended on their own:\n{}",
        casualties.join("\n")
    );
    assert!(
        failed.is_empty(),
        "{} scenarios failed, see above",
        failed.len()
    );
}

/// Scenarios that a busy machine may spoil at the first attempt: their timers are the wall
/// clock's. More than that is a fault.
const MOST_UNSTEADY: usize = 2;

/// Plays the failed scenarios again, one at a time; returns what was wrong with those that pass
/// then.
fn replay_failed(verdicts: &mut [(&Scenario, Option<String>)], fleets: &[Fleet]) -> Vec<String> {
    let mut unsteady = Vec::new();
    let failed = verdicts.iter_mut().filter(|(_, problem)| problem.is_some());
    for (scenario, problem) in failed.take(2 * MOST_UNSTEADY) {
        let outcomes: Vec<_> = fleets
            .iter()
            .map(|fleet| (fleet.side, run::play(scenario, fleet)))
            .collect();
        let again = report::judge(scenario, &outcomes);
        if again.is_none() {
            unsteady.extend(problem.take());
        }
    }
    unsteady
}

/// Plays all scenarios; each verdict is none or a report of what went wrong.
fn play_all<'a>(
    scenarios: &'a [Scenario],
    fleets: &[Fleet],
) -> Vec<(&'a Scenario, Option<String>)> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcomes: Vec<_> = fleets
                        .iter()
                        .map(|fleet| (fleet.side, run::play(scenario, fleet)))
                        .collect();
                    verdicts
                        .lock()
                        .unwrap()
                        .push((scenario, report::judge(scenario, &outcomes)));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by_key(|(scenario, _)| scenario.index);
    verdicts
}
