//! pcs and pcsd on the arbiter's host and on nodes (provisioning spec 1.2), as far as they run without pcsd's HTTPS.

use std::io::Write;
use std::process::Stdio;

use crate::machine::{DB, Machine, NODE_DB, Outcome, Site};

fn pcs(machine: &Machine, arguments: &[&str]) -> Outcome {
    machine.outcome(&[&["pcs"], arguments].concat())
}

/// Runs one of pcs' internal commands as pcsd does: data in base64 on its input.
fn pcs_with_input(machine: &Machine, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut child = machine
        .command(&[&["pcs"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

fn refused(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(text), "{outcome:?}");
}
