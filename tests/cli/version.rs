//! What the program says of itself.

use crate::lab::{QARBITER, run};
use qarbiter::version::{COMMIT, TARGET, VERSION};
use std::process::Command;

fn said(option: &str) -> String {
    let outcome = run(Command::new(QARBITER).arg(option));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.stdout
}

#[test]
fn version_commit_target_and_tls() {
    assert_eq!(said("-V"), format!("qarbiter {VERSION}\n"));
    let long = said("--version");
    let [version, commit, target, tls] = long.lines().collect::<Vec<_>>()[..] else {
        panic!("{long}");
    };
    assert_eq!(version, format!("qarbiter {VERSION}"));
    assert_eq!(commit, format!("commit: {COMMIT}"));
    assert!(target.starts_with(&format!("target: {TARGET} (")), "{long}");
    let lock = include_str!("../../Cargo.lock");
    let words: Vec<&str> = tls.split(' ').collect();
    let ["TLS:", "rustls", rustls, "with", "ring", ring] = words[..] else {
        panic!("{long}");
    };
    for (name, version) in [("rustls", rustls), ("ring", ring)] {
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"");
        assert!(lock.contains(&locked), "{long}");
    }
}
