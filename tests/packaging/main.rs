//! What the packages bring along: manual pages, units, completions. The packages themselves are
//! tested by `tests/packaging/run`, in containers.
//!
//! Needs `mandoc`, `systemd-analyze` (systemd) and what the service starts (`corosync-qnetd`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that can't go on fails the test"
)]

mod manuals;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the program prints under one of its names, on both streams.
fn printed(name: &str, arguments: &[&str]) -> String {
    use std::os::unix::process::CommandExt;
    let output = Command::new(env!("CARGO_BIN_EXE_qarbiter"))
        .arg0(name)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Runs a tool that must be there, must succeed and must have nothing to say.
fn silent(tool: &str, arguments: &[&str]) {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {said}");
    assert_eq!(said, "", "{tool} {arguments:?}");
}

#[test]
fn completions_are_for_the_shells_that_they_name() {
    for (shell, mark) in [
        ("bash", "complete -F _qarbiter"),
        ("zsh", "#compdef qarbiter\n"),
        ("fish", "complete -c qarbiter "),
    ] {
        let script = printed("qarbiter", &["completions", shell]);
        assert!(script.contains(mark), "{shell}");
        assert!(script.contains("state-dir"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qarbiter");
    std::fs::write(&path, printed("qarbiter", &["completions", "bash"])).unwrap();
    let source = format!(
        "set -u; source {}; COMP_WORDS=(qarbiter comp); COMP_CWORD=1; \
         _qarbiter qarbiter comp qarbiter; [ \"${{COMPREPLY[*]}}\" = completions ]",
        path.display()
    );
    silent("bash", &["-c", &source]);
}
