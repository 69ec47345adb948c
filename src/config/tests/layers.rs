//! What wins, and what a change means.

use super::*;
use crate::config::error::Origin;
use crate::config::keys::Effect;
use crate::config::{Settings, reload};
use std::path::Path;

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let file =
        "[listen]\nport = 1001\nmax_clients = 1\nbacklog = 1\n[cluster.a]\nrules = \"safe\"\n";
    let environment = [
        ("QARBITER_LISTEN_PORT", "1002"),
        ("QARBITER_LISTEN_MAX_CLIENTS", "2"),
    ];
    let mut line = CommandLine::default();
    line.port("1003").unwrap();
    line.advanced("rules[a]=reference").unwrap();
    let loaded = load_all(file, &environment, line).unwrap();
    let settings = &loaded.settings;
    assert_eq!(
        (settings.port, settings.max_clients, settings.listen_backlog),
        (1003, 2, 1)
    );
    let origin = |key: &str| loaded.origin(key).unwrap().clone();
    assert_eq!(origin("listen.port"), Origin::Flag("-p".to_owned()));
    let variable = "QARBITER_LISTEN_MAX_CLIENTS".to_owned();
    assert_eq!(origin("listen.max_clients"), Origin::Variable(variable));
    assert!(matches!(
        origin("listen.backlog"),
        Origin::File {
            line: 4,
            column: 11,
            ..
        }
    ));
    assert_eq!(origin("listen.family"), Origin::Default);
    assert!(
        loaded
            .show(true)
            .ends_with("[cluster.\"a\"]\nrules = \"reference\"  # -S rules\n")
    );
}

#[test]
fn a_value_that_does_not_count_must_be_right_too() {
    let mut line = CommandLine::default();
    line.port("1003").unwrap();
    assert!(load_all("[listen]\nport = 0", &[], line).is_err());
}

#[test]
fn one_directory_for_everything_belongs_to_its_place() {
    let file = "[identity]\ndirectory = \"/file\"\n[paths]\nlock_file = \"/file/pid\"";
    let environment = [
        ("QARBITER_STATE_DIR", "/state"),
        ("QARBITER_PATHS_LOCK_FILE", "/variable/pid"),
    ];
    let loaded = load_all(file, &environment, CommandLine::default()).unwrap();
    let mut expected = Settings::default();
    expected.use_state_dir(Path::new("/state"));
    expected.lock_file = "/variable/pid".into();
    assert_eq!(loaded.settings, expected);
    let origin = loaded.origin("control.socket").unwrap();
    assert_eq!(*origin, Origin::Variable("QARBITER_STATE_DIR".to_owned()));
}

#[test]
fn the_file_is_read_anew_each_time() {
    let file = TempFile::new("[listen]\nmax_clients = 1");
    let sources = Sources::new(Some(file.path()), Vec::new(), CommandLine::default());
    let old = sources.load().unwrap().settings;
    std::fs::write(
        file.path(),
        "[listen]\nmax_clients = 2\nport = 9\n[cluster.a]\nrules = \"reference\"",
    )
    .unwrap();
    let new = sources.clone().load().unwrap().settings;
    let changes = reload::compare(&old, &new);
    let at_once: Vec<String> = changes.at_once.iter().map(ToString::to_string).collect();
    let expected = [
        "listen.max_clients = 2, was 1",
        "cluster.\"a\".rules = \"reference\", was not set",
    ];
    assert_eq!(at_once, expected);
    assert_eq!(changes.after_restart.len(), 1);
    assert_eq!(
        changes.after_restart[0].to_string(),
        "listen.port = 9, was 5403"
    );

    let in_force = reload::in_force(&old, &new);
    assert_eq!((in_force.max_clients, in_force.port), (2, 5403));
    assert!(reload::compare(&old, &in_force).after_restart.is_empty());
    assert!(reload::compare(&in_force, &in_force).is_empty());
}

#[test]
fn what_needs_a_restart() {
    let all = KEYS.iter().filter(|key| key.effect == Effect::Restart);
    let paths: Vec<String> = all.map(Key::path).collect();
    let expected = [
        "listen.address",
        "listen.port",
        "listen.family",
        "listen.backlog",
        "identity.directory",
        "control.socket",
        "control.umask",
        "control.group",
        "control.backlog",
        "http.address",
        "http.max_connections",
        "history.max_size",
        "paths.data_dir",
        "paths.lock_file",
    ];
    assert_eq!(paths, expected);
    // Whatever they are, they stay.
    let text: String = VALUES
        .iter()
        .map(|(path, good, _)| format!("{path} = {good}\n"))
        .collect();
    let new = from_file(&text).unwrap().settings;
    let kept = reload::in_force(&Settings::default(), &new);
    let changes = reload::compare(&Settings::default(), &kept);
    assert!(changes.after_restart.is_empty(), "{changes:?}");
    let back = reload::compare(&new, &reload::in_force(&new, &Settings::default()));
    assert!(back.after_restart.is_empty(), "{back:?}");
}

#[test]
fn sources_can_be_given_to_another_thread() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Sources>();
}
