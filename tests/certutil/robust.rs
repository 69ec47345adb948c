//! Several calls at once, killed calls, other users, other directories.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::sandbox::{access_of, ours_in};

/// Ours, working in a directory of its own.
fn ours(program: &Path, state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .env("QARBITER_STATE_DIR", state)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn request(directory: &Path, name: &str) -> String {
    let path = directory.join(format!("{name}.crq"));
    let made = Command::new("openssl")
        .args(["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-keyout", "/dev/null", "-subj"])
        .arg(format!("/CN={name}"))
        .arg("-out")
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    path.into_os_string().into_string().unwrap()
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn calls_at_the_same_time_do_not_disturb_each_other() {
    let around = tempfile::tempdir().unwrap();
    let program = ours_in(around.path());
    let state = around.path().join("state");
    let spawn = |arguments: &[&str]| {
        ours(&program, &state, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let starts: Vec<_> = (0..8).map(|_| spawn(&["-i"])).collect();
    let mut created = 0;
    for start in starts {
        let output = start.wait_with_output().unwrap();
        if output.status.success() {
            created += 1;
        } else {
            assert_eq!(output.status.code(), Some(1));
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains("already exists"), "{text}");
        }
    }
    assert_eq!(created, 1);

    let names: Vec<_> = (0..12).map(|number| format!("c{number}")).collect();
    let signers: Vec<_> = names
        .iter()
        .map(|name| (name, request(around.path(), name)))
        .map(|(name, request)| spawn(&["-s", "-c", &request, "-n", name]))
        .collect();
    for signer in signers {
        let output = signer.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let mut serials: Vec<_> = names
        .iter()
        .map(|name| {
            let shown = Command::new("openssl")
                .args(["x509", "-inform", "DER", "-noout", "-serial", "-in"])
                .arg(state.join(format!("cluster-{name}.crt")))
                .output()
                .unwrap();
            String::from_utf8(shown.stdout).unwrap()
        })
        .collect();
    serials.sort();
    let expected: Vec<_> = (103..115).map(|n| format!("serial={n:02X}\n")).collect();
    assert_eq!(serials, expected);
}

#[test]
fn a_killed_call_leaves_nothing_half_done() {
    let around = tempfile::tempdir().unwrap();
    let program = ours_in(around.path());
    let request = request(around.path(), "A");
    let sign = ["-s", "-c", &request, "-n", "A"];
    let (mut killed_in_between, mut completed) = (0, 0);
    let start = Instant::now();
    let whole = run(ours(&program, &around.path().join("whole"), &["-i"]));
    assert!(whole.status.success(), "{whole:?}");
    let step = start.elapsed() / 30;
    // Later and later, until the middle of the work was hit a few times.
    for attempt in 0..120 {
        let state = around.path().join(format!("state{attempt}"));
        let mut child = ours(&program, &state, &["-i"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(step * attempt);
        child.kill().unwrap();
        child.wait().unwrap();
        let complete = state.join("cert9.db").exists();
        if complete {
            completed += 1;
        } else if state.exists() {
            killed_in_between += 1;
        }
        let again = run(ours(&program, &state, &["-i"]));
        assert_eq!(again.status.success(), !complete, "{again:?}");
        let signed = run(ours(&program, &state, &sign));
        assert!(signed.status.success(), "{signed:?}");
        let verified = Command::new("openssl")
            .args(["verify", "-CAfile"])
            .arg(state.join("qnetd-cacert.crt"))
            .arg(state.join("cluster-A.crt"))
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
        if killed_in_between >= 5 && completed >= 1 {
            return;
        }
    }
    panic!("killed in between: {killed_in_between}, too late: {completed}");
}

#[test]
fn the_unprivileged_owner_of_the_directory_can_do_everything() {
    let around = tempfile::tempdir().unwrap();
    fs::set_permissions(around.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // A copy: the build directory may be closed to others.
    let program = around.path().join("corosync-qnetd-certutil");
    fs::copy(env!("CARGO_BIN_EXE_qarbiter"), &program).unwrap();
    let own = around.path().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(4711), Some(4712)).unwrap();
    let state = own.join("nssdb");
    let request = request(around.path(), "A");
    let as_user = |state: &Path, arguments: &[&str]| {
        let mut command = ours(&program, state, arguments);
        command.uid(4711).gid(4712);
        run(command)
    };
    let made = as_user(&state, &["-i"]);
    assert!(made.status.success(), "{made:?}");
    let signed = as_user(&state, &["-s", "-c", &request, "-n", "A"]);
    assert!(signed.status.success(), "{signed:?}");
    assert_eq!(access_of(&state), (0o770, 4711, 4712));
    let refused = as_user(&around.path().join("closed"), &["-i"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("Permission denied"), "{text}");

    // Root signs in between, and the owner goes on.
    let by_root = run(ours(&program, &state, &["-s", "-c", &request, "-n", "A"]));
    assert!(by_root.status.success(), "{by_root:?}");
    assert_eq!(access_of(&state.join("serial.txt")), (0o660, 4711, 4712));
    let signed = as_user(&state, &["-s", "-c", &request, "-n", "A"]);
    assert!(signed.status.success(), "{signed:?}");
    assert_eq!(fs::read(state.join("serial.txt")).unwrap(), b"105\n");
}

#[test]
fn a_key_that_may_not_be_read_is_said_to_be() {
    let around = tempfile::tempdir().unwrap();
    fs::set_permissions(around.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = around.path().join("corosync-qnetd-certutil");
    fs::copy(env!("CARGO_BIN_EXE_qarbiter"), &program).unwrap();
    let state = around.path().join("state");
    let request = request(around.path(), "A");
    let sign = ["-s", "-c", &request, "-n", "A"];
    assert!(run(ours(&program, &state, &["-i"])).status.success());
    for file in ["key4.db", "cert9.db"] {
        // The directory and everything but this file are the user's.
        for entry in fs::read_dir(&state).unwrap() {
            chown(entry.unwrap().path(), Some(4711), Some(4712)).unwrap();
        }
        chown(&state, Some(4711), Some(4712)).unwrap();
        chown(state.join(file), Some(0), Some(0)).unwrap();
        let mut command = ours(&program, &state, &sign);
        command.uid(4711).gid(4712);
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(1));
        let text = String::from_utf8(refused.stderr).unwrap();
        let reason = format!("{file}: Permission denied");
        assert!(text.contains(&reason), "{text}");
        assert!(!state.join("cluster-A.crt").exists());
    }
}

#[test]
fn a_result_that_nobody_could_read_is_a_failure() {
    let around = tempfile::tempdir().unwrap();
    let program = ours_in(around.path());
    let mut command = ours(&program, &around.path().join("state"), &["-h"]);
    command.stdout(fs::File::create("/dev/full").unwrap());
    let output = run(command);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot write to the standard output"),
        "{text}"
    );
}
