//! The command line under the name `corosync-qnetd`, beside the reference's.

use std::path::Path;

use crate::lab::{Lab, Outcome, THEIR_QNETD, run};

/// What both do with the same arguments. Nothing here gets as far as a start: where the directory
/// with the identity should be is a file.
pub(crate) struct Both {
    pub(crate) theirs: Outcome,
    pub(crate) ours: Outcome,
}

pub(crate) fn both(arguments: &[&str]) -> Both {
    let lab = Lab::new();
    std::fs::write(lab.state(), "").unwrap();
    let places = lab.places();
    let port = lab.port.to_string();
    let ours = lab.named("corosync-qnetd");
    let run_one = |program: &Path| {
        let mut command = std::process::Command::new(program);
        // Some of the paths in the tests are relative.
        command.current_dir(lab.path(""));
        command.args(["-f", "-l", "127.0.0.1", "-p", &port, "-S", &places]);
        run(command.args(arguments))
    };
    Both {
        theirs: run_one(Path::new(THEIR_QNETD)),
        ours: run_one(&ours),
    }
}

/// What is said after the program's name, which may come with its path.
pub(crate) fn after_name(stderr: &str) -> Vec<String> {
    stderr
        .lines()
        .map(|line| match line.split_once(": ") {
            Some((name, text)) if name.ends_with("corosync-qnetd") => text.to_owned(),
            _ => line.to_owned(),
        })
        .collect()
}

#[test]
fn bad_values_are_refused_as_there() {
    let cases: &[&[&str]] = &[
        &["-s", "maybe"],
        &["-s", ""],
        &["-p", "0"],
        &["-p", "65536"],
        &["-p", "x"],
        &["-p", "54x"],
        &["-p", "-1"],
        &["-p", ""],
        &["-p", "00099999"],
        &["-c", "2"],
        &["-c", "maybe"],
        &["-m", "x"],
        &["-m", "5x"],
        &["-m", "-1"],
        &["-m", "99999999999999999999"],
        &["-S", "a=1"],
        &["-S", "a"],
        &["-S", "dpd_enabled=x"],
        &["-S", "listen_backlog=0"],
        &["-S", "listen_backlog"],
        &["-S", "listen_backlog=1 "],
        &["-S", "LISTEN_BACKLOG=0"],
        &["-S", "listen_backlog=5,max_client_send_buffers=1"],
        &["-S", "max_client_send_size=15"],
        &["-S", "max_client_receive_size=15"],
        &["-S", "heartbeat_interval_min=0"],
        &["-S", "heartbeat_interval_max=4294967296"],
        &["-S", "dpd_interval_coefficient=0"],
        &["-S", "dpd_interval_coefficient=1001"],
        &["-S", "dpd_interval_coefficient=nan"],
        &["-S", "local_socket_backlog=0"],
        &["-S", "ipc_max_clients=-1"],
        &["-S", "ipc_max_receive_size=1023"],
        &["-S", "ipc_max_send_size=1023"],
        &["-S", "keep_active_partition_tie_breaker=2"],
        // The first error ends it, whatever follows.
        &["-p", "0", "-s", "maybe"],
        &["-4dp", "0"],
    ];
    for arguments in cases {
        let Both { theirs, ours } = both(arguments);
        assert_eq!(theirs.code, Some(1), "{arguments:?}: {theirs:?}");
        assert_eq!(ours.code, Some(1), "{arguments:?}: {ours:?}");
        assert_eq!(
            after_name(&ours.stderr),
            after_name(&theirs.stderr),
            "{arguments:?}"
        );
        assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
    }
}

/// What is taken here must be taken there: both get as far as the missing identity.
#[test]
fn good_values_are_taken_as_there() {
    let cases: &[&[&str]] = &[
        &[],
        &["-s", "REQ"],
        &["-sOn"],
        &["-c", "No"],
        &["-c", "1"],
        &["-p", "+5"],
        &["-dd"],
        &["-46"],
        &["-m", "0"],
        &["-S", ""],
        &["-S", "=1"],
        &["-S", "listen_backlog=7,,no_such_thing=1"],
        &["-S", "listen_backlog=+5"],
        &[
            "-S",
            "listen_backlog=5,listen_backlog=6",
            "-S",
            "dpd_enabled=off",
        ],
        &["-S", "dpd_interval=1000"],
        &["-S", "cert_nickname=Some Cert"],
    ];
    for arguments in cases {
        let Both { theirs, ours } = both(arguments);
        assert_eq!(
            (theirs.code, ours.code),
            (Some(1), Some(1)),
            "{arguments:?}"
        );
        let stopped = theirs.stderr.contains("Can't open NSS DB directory");
        assert!(stopped, "{arguments:?}: {}", theirs.stderr);
        let stopped = ours.stderr.contains("Not a directory");
        assert!(stopped, "{arguments:?}: {}", ours.stderr);
    }
}

#[test]
fn an_unusable_directory_is_named_with_the_way_out() {
    let Both { ours, .. } = both(&[]);
    assert_eq!(ours.code, Some(1));
    assert!(ours.stderr.starts_with("corosync-qnetd: cannot open "));
    assert!(ours.stderr.contains("/state: Not a directory"));
}

#[test]
fn help_is_the_references() {
    let Both { theirs, ours } = both(&["-h"]);
    assert_eq!((theirs.code, ours.code), (Some(1), Some(1)));
    assert_eq!(ours.stderr, "");
    assert_eq!(ours.stdout, theirs.stdout);
}

/// The version differs, of course; what is supported does not.
#[test]
fn the_version_text_is_the_references_but_for_the_version() {
    let Both { theirs, ours } = both(&["-v"]);
    assert_eq!((theirs.code, ours.code), (Some(1), Some(1)));
    assert_eq!(ours.stderr, "");
    let rest = |text: &str| {
        let (first, rest) = text.split_once('\n').unwrap();
        let start = "Corosync Qdevice Network Daemon, version '";
        assert!(first.starts_with(start), "{first}");
        rest.to_owned()
    };
    assert_eq!(rest(&ours.stdout), rest(&theirs.stdout));
    assert!(ours.stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_flag_is_refused_as_there() {
    for arguments in [&["-x"][..], &["-4x"], &["--help"], &["--verbose"]] {
        let Both { theirs, ours } = both(arguments);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)));
        assert_eq!(after_name(&ours.stderr), after_name(&theirs.stderr));
        assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
    }
}

#[test]
fn a_flag_without_its_value_is_refused_as_there() {
    for flag in ["-l", "-p", "-s", "-c", "-m", "-S"] {
        let Both { theirs, ours } = both(&[flag]);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)), "{flag}");
        assert_eq!(after_name(&ours.stderr), after_name(&theirs.stderr));
        assert_eq!(ours.stdout, theirs.stdout, "{flag}");
    }
}

/// An equals sign directly behind a flag is part of the value.
#[test]
fn an_equals_sign_belongs_to_the_value() {
    for arguments in [
        ["-s=off", "-p0"],
        ["-p=1", "-p0"],
        ["-S=a", "-p0"],
        ["-m=1", "-p0"],
    ] {
        let Both { theirs, ours } = both(&arguments);
        assert_eq!(
            after_name(&ours.stderr),
            after_name(&theirs.stderr),
            "{arguments:?}"
        );
    }
}

/// The reference ignores words that belong to no flag, so whatever starts it may have some.
#[test]
fn stray_words_are_ignored_as_there() {
    let Both { theirs, ours } = both(&["stray", "-d"]);
    assert!(theirs.stderr.contains("Can't open NSS DB directory"));
    assert!(ours.stderr.contains("Not a directory"), "{}", ours.stderr);
}

/// Differences that are meant (protocol spec, 9.1 and 9.2).
#[test]
fn what_only_ours_takes() {
    // The manual page's word; D13.
    let Both { theirs, ours } = both(&["-s", "required"]);
    let refusal = "corosync-qnetd: tls must be one of on, off, req\n";
    assert_eq!(theirs.stderr, refusal);
    assert!(ours.stderr.contains("Not a directory"));
    // Settings of our own.
    for setting in [
        "rules=safe",
        "rules[a]=reference",
        "vote_leases=off",
        "lost_holder=manual",
        "max_pending_clients=5",
        "init_timeout=1000",
    ] {
        let Both { theirs, ours } = both(&["-S", setting]);
        assert!(theirs.stderr.contains("Unknown option"), "{setting}");
        assert!(
            ours.stderr.contains("Not a directory"),
            "{setting}: {}",
            ours.stderr
        );
    }
    let Both { ours, .. } = both(&["-S", "rules=reference,vote_leases=on"]);
    assert!(ours.stderr.contains("vote_leases=on needs rules=safe"));
}

/// Settings that the reference has since 3.0.4 (protocol spec, 9.2), whichever is installed here.
#[test]
fn settings_of_newer_references_are_taken() {
    for setting in [
        "local_socket_umask=007",
        "local_socket_umask=",
        "local_socket_gid=root",
        "local_socket_gid=0",
        "local_socket_gid=-1",
        "local_socket_gid=",
    ] {
        let Both { ours, .. } = both(&["-S", setting]);
        assert!(
            ours.stderr.contains("Not a directory"),
            "{setting}: {}",
            ours.stderr
        );
    }
}
