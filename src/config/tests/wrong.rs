//! What is refused, with which words, and where that is said to be.

use super::*;
use crate::config::error::Origin;
use crate::config::{ConfigError, Settings};
use std::path::Path;

#[test]
fn unknown_names_come_with_the_nearest() {
    for (text, expected) in [
        (
            "[listen]\nprot = 1",
            "2:1: there is no setting listen.prot; the nearest is listen.port",
        ),
        (
            "[tsl]\nmode = \"on\"",
            "1:2: there is no section [tsl]; the nearest is [tls]",
        ),
        (
            "port = 1",
            "1:1: there is no setting port; the nearest is listen.port",
        ),
        (
            "[limits]\nport = 1",
            "there is no setting limits.port; the nearest is listen.port",
        ),
        (
            "[limits]\nmax_clients = 1",
            "the nearest is listen.max_clients",
        ),
        (
            "[identity]\nnss_db_dir = \"/x\"",
            "`-S nss_db_dir` is identity.directory here",
        ),
        (
            "[tls]\nxyzzy = 1",
            "there is no setting tls.xyzzy; there are mode, client_certificates",
        ),
        ("[xyzzy]", "there are listen, tls, identity,"),
        (
            "[cluster.a]\nrule = \"safe\"",
            "there is no setting cluster.rule; the nearest is rules",
        ),
        (
            "[cluster.a]\nport = 1",
            "there are rules, vote_leases, lost_holder",
        ),
        (
            "[cluster]\nrules = \"safe\"",
            "cluster.rules is a section: write [cluster.rules]",
        ),
        (
            "tls = true",
            "1:1: tls is a section: write [tls], and its settings below it",
        ),
        ("[[tls]]", "tls is a section"),
        // No name can pass for something else.
        ("\"a\\nb\" = 1", "there is no setting \"a\\nb\"; there are"),
    ] {
        let errors = from_file(text).unwrap_err().to_string();
        assert!(errors.contains(expected), "{text}:\n{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn unknown_variables_come_with_the_nearest() {
    for (name, expected) in [
        (
            "QARBITER_LISTEN_PROT",
            "the nearest is QARBITER_LISTEN_PORT",
        ),
        ("QARBITER_PORT", "the nearest is QARBITER_LISTEN_PORT"),
        ("QARBITER_STATEDIR", "the nearest is QARBITER_STATE_DIR"),
        (
            "QARBITER_XYZZY",
            "`qarbiter config show` lists all settings",
        ),
    ] {
        let errors = from_environment(&[(name, "1")]).unwrap_err().to_string();
        let text = format!("{name}: there is no such setting; {expected}");
        assert!(errors.starts_with(&text), "{errors}");
    }
}

/// What Kubernetes and Docker set for a service called `qarbiter`, what the tests set, and what
/// the daemon sets for itself.
#[test]
fn variables_of_others_are_left_alone() {
    let loaded = from_environment(&[
        ("QARBITER_SERVICE_HOST", "10.0.0.1"),
        ("QARBITER_SERVICE_PORT", "5403"),
        ("QARBITER_SERVICE_PORT_VOTES", "5403"),
        ("QARBITER_PORT", "tcp://10.0.0.1:5403"),
        ("QARBITER_PORT_5403_TCP", "tcp://10.0.0.1:5403"),
        ("QARBITER_PORT_5403_TCP_PROTO", "tcp"),
        ("QARBITER_PORT_5403_TCP_PORT", "5403"),
        ("QARBITER_PORT_5403_TCP_ADDR", "10.0.0.1"),
        ("QARBITER_LISTEN_PORT", "tcp://10.0.0.1:5403"),
        ("QARBITER_SIM_CASES", "1"),
        ("QARBITER_DETACHED", "1"),
    ]);
    assert_eq!(loaded.unwrap().settings, Settings::default());
}

#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = OsString::from_vec(vec![0xff]);
    let sources = Sources::new(
        None,
        vec![("QARBITER_LOG_LEVEL".to_owned(), value)],
        CommandLine::default(),
    );
    let errors = sources.load().unwrap_err().to_string();
    assert_eq!(errors, "QARBITER_LOG_LEVEL: its value is not UTF-8 text");
}

#[test]
fn every_error_is_reported_in_the_order_of_the_file() {
    let text =
        "[listen]\nport = 0\nprot = 1\nbacklog = \n[tls\nmode = \"x\"\n[log]\nlevel = \"x\"\n";
    let errors = from_file(text).unwrap_err();
    let lines: Vec<usize> = errors
        .iter()
        .map(|error| match error {
            ConfigError::At {
                place: Origin::File { line, .. },
                ..
            } => *line,
            other => panic!("{other}"),
        })
        .collect();
    // Line 4 has no value, of which nothing more is to be said; line 5 has no end.
    assert_eq!(lines, [2, 3, 4, 5, 8], "{errors}");
    let both = load_all("port = 1", &[("QARBITER_FOO", "1")], CommandLine::default());
    assert_eq!(both.unwrap_err().iter().count(), 2);
}

#[test]
fn a_setting_can_be_given_only_once() {
    for text in [
        "[listen]\nport = 1\nport = 2",
        "[listen]\nport = 1\n[listen]\nbacklog = 2",
    ] {
        let errors = from_file(text).unwrap_err().to_string();
        assert!(errors.contains("duplicate key"), "{errors}");
        assert!(errors.contains("qarbiter.toml:3:"), "{errors}");
    }
}

#[test]
fn conflicts_name_the_line() {
    let text = "[votes]\nrules = \"reference\"\n\n[cluster.\"a b\"]\nvote_leases = true\n";
    let errors = from_file(text).unwrap_err().to_string();
    let expected = "qarbiter.toml:5:15: vote_leases=on needs rules=safe (cluster \"a b\")";
    assert!(errors.contains(expected), "{errors}");
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_text() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| {
        let path = Some(path.to_owned());
        let errors = Sources::new(path, Vec::new(), CommandLine::default()).load();
        errors.unwrap_err().to_string()
    };
    let missing = dir.path().join("missing");
    let error = load(&missing);
    assert!(error.contains("missing: No such file"), "{error}");
    assert!(
        error.ends_with("; it was named with --config or QARBITER_CONFIG"),
        "{error}"
    );
    let variable = vec![("QARBITER_CONFIG".to_owned(), missing.into_os_string())];
    let named = Sources::new(None, variable.clone(), CommandLine::default());
    assert!(named.load().is_err());
    // An option wins over the variable.
    let good = TempFile::new("[listen]\nport = 7");
    let sources = Sources::new(Some(good.path()), variable, CommandLine::default());
    assert_eq!(sources.load().unwrap().settings.port, 7);

    assert!(load(dir.path()).contains("Is a directory"));
    let file = dir.path().join("bytes");
    std::fs::write(&file, b"\xff\xfe").unwrap();
    assert!(load(&file).contains("valid UTF-8"));
    std::fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    assert!(load(&file).contains("file too large"), "{}", load(&file));
    // Of an editor on another system.
    std::fs::write(&file, "\u{feff}[listen]\r\nport = 9\r\n").unwrap();
    let sources = Sources::new(Some(file), Vec::new(), CommandLine::default());
    assert_eq!(sources.load().unwrap().settings.port, 9);
}
