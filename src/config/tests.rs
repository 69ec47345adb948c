//! Every setting by every way, what wins, what is refused with which words, and what a change means.

use super::error::Origin;
use super::keys::{Effect, KEYS, Key};
use super::{CommandLine, ConfigErrors, Loaded, Settings, Sources, Value, example, reload};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A good value of a setting that is not its default, and one that is refused; both as TOML has it.
/// In the environment they are the same without quotes.
const VALUES: &[(&str, &str, &str)] = &[
    ("listen.address", r#""127.0.0.1""#, "127"),
    ("listen.port", "15403", "65536"),
    ("listen.family", r#""ipv6""#, r#""ipv5""#),
    ("listen.max_clients", "7", "-1"),
    ("listen.backlog", "1", "0"),
    ("tls.mode", r#""on""#, r#""maybe""#),
    ("tls.client_certificates", "false", r#""maybe""#),
    ("identity.directory", r#""/x/nssdb""#, "1"),
    ("identity.cert_nickname", r#""Another Cert""#, "1"),
    ("identity.key_type", r#""rsa2048""#, r#""rsa1024""#),
    ("identity.valid_for_years", "100", "101"),
    ("certificates.warn_days", "0", "36501"),
    ("votes.rules", r#""reference""#, r#""fast""#),
    ("votes.vote_leases", "false", r#""maybe""#),
    ("votes.lost_holder", r#""manual""#, r#""never""#),
    ("votes.keep_active_partition_tie_breaker", "true", "2"),
    ("limits.max_pending_clients", "1", "0"),
    ("limits.init_timeout", "600000", "600001"),
    ("limits.max_client_send_buffers", "2", "1"),
    ("limits.max_client_send_size", "16", "15"),
    ("limits.max_client_receive_size", "16", "15"),
    ("limits.heartbeat_interval_min", "1", "0"),
    ("limits.heartbeat_interval_max", "4294967295", "4294967296"),
    ("limits.dpd_interval_coefficient", "1000.0", "1000.1"),
    ("limits.dpd_enabled", "false", r#""maybe""#),
    ("control.socket", r#""/x/socket""#, "1"),
    ("control.umask", r#""007""#, r#""778""#),
    ("control.group", r#""7""#, r#""no such group""#),
    ("control.backlog", "1", "0"),
    ("control.max_clients", "0", "-1"),
    ("control.max_receive_size", "1024", "1023"),
    ("control.max_send_size", "1024", "1023"),
    ("paths.data_dir", r#""/x/data""#, "1"),
    ("paths.lock_file", r#""/x/pid""#, "1"),
    ("log.level", r#""debug""#, r#""loud""#),
];

/// Values that are right in one place and wrong in another: any text is a name or a path in the
/// environment.
fn is_text(key: &Key) -> bool {
    [
        "address",
        "directory",
        "cert_nickname",
        "socket",
        "data_dir",
        "lock_file",
    ]
    .contains(&key.name)
}

fn key(path: &str) -> &'static Key {
    let key = KEYS.iter().find(|key| key.path() == path);
    key.unwrap_or_else(|| panic!("there is no {path}"))
}

fn bare(toml: &str) -> String {
    toml.trim_matches('"').to_owned()
}

/// A file that is gone with this value.
struct TempFile(tempfile::TempDir);

impl TempFile {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("qarbiter.toml")
    }
}

fn variables(all: &[(&str, &str)]) -> Vec<(String, OsString)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
    all.iter().map(pair).collect()
}

fn load_all(
    text: &str,
    environment: &[(&str, &str)],
    line: CommandLine,
) -> Result<Loaded, ConfigErrors> {
    let file = TempFile::new(text);
    Sources::new(Some(file.path()), variables(environment), line).load()
}

fn from_file(text: &str) -> Result<Loaded, ConfigErrors> {
    load_all(text, &[], CommandLine::default())
}

fn from_environment(all: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_all("", all, CommandLine::default())
}

fn defaults() -> Loaded {
    Sources::alone(CommandLine::default()).load().unwrap()
}

#[test]
fn every_setting_is_tested() {
    let tested: Vec<&str> = VALUES.iter().map(|(path, ..)| *path).collect();
    let all: Vec<String> = KEYS.iter().map(Key::path).collect();
    assert_eq!(tested, all);
    assert_eq!(defaults().settings, Settings::default());
}

#[test]
fn every_setting_can_be_in_the_file() {
    for (path, good, bad) in VALUES {
        let key = key(path);
        let text =
            |value: &str| format!("# a comment\n[{}]\n  {} = {value}\n", key.section, key.name);
        let loaded = from_file(&text(good)).unwrap_or_else(|errors| panic!("{path}: {errors}"));
        let changes = reload::compare(&Settings::default(), &loaded.settings);
        let changed: Vec<_> = changes
            .at_once
            .iter()
            .chain(&changes.after_restart)
            .collect();
        // Without detection there is no coefficient.
        assert!(
            !changed.is_empty() && changed.iter().any(|change| change.key == *path),
            "{path}"
        );
        assert!(
            changed.len() == 1 || *path == "limits.dpd_enabled",
            "{path}: {changed:?}"
        );
        let shown = loaded.show(true);
        let line = format!(
            "{} = {good}  # {}:3\n",
            key.name,
            loaded.file.unwrap().display()
        );
        assert!(shown.contains(&line), "{line} is not in:\n{shown}");

        let errors = from_file(&text(bad)).unwrap_err().to_string();
        let column = key.name.len() + 6;
        let place =
            format!("qarbiter.toml:3:{column}: {path} = {bad} is not possible; it must be ");
        assert!(errors.contains(&place), "{path}: {errors}");
        assert!(errors.contains(&key.kind.to_string()), "{path}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{path}: {errors}");
    }
}

#[test]
fn every_setting_can_be_in_the_environment() {
    for (path, good, bad) in VALUES {
        let (key, good_text, bad_text) = (key(path), bare(good), bare(bad));
        let variable = key.variable();
        assert!(variable.starts_with("QARBITER_") && !variable.contains('.'));
        let loaded = from_environment(&[(&variable, &good_text)]).unwrap();
        assert_ne!(loaded.settings, Settings::default(), "{path}");
        let line = format!("{} = {good}  # {variable}\n", key.name);
        assert!(
            loaded.show(true).contains(&line),
            "{line}\n{}",
            loaded.show(true)
        );
        if !is_text(key) {
            let errors = from_environment(&[(&variable, &bad_text)])
                .unwrap_err()
                .to_string();
            let place = format!("{variable}: {path} = \"{bad_text}\" is not possible; it must be ");
            assert!(errors.starts_with(&place), "{errors}");
        }
    }
}

#[test]
fn every_advanced_setting_can_be_on_the_command_line() {
    for (path, good, bad) in VALUES {
        let key = key(path);
        let Some(name) = key.advanced else { continue };
        let good_text = match *good {
            "true" => "on".to_owned(),
            "false" => "off".to_owned(),
            other => bare(other),
        };
        let mut line = CommandLine::default();
        line.advanced(&format!("{name}={good_text}")).unwrap();
        let loaded = Sources::alone(line).load().unwrap();
        let shown = format!("{} = {good}  # -S {name}\n", key.name);
        assert!(
            loaded.show(true).contains(&shown),
            "{shown}\n{}",
            loaded.show(true)
        );
        let bad = bare(bad);
        let refused = CommandLine::default().advanced(&format!("{name}={bad}"));
        let too_large = ["heartbeat_interval_max", "init_timeout"].contains(&name);
        match refused {
            Err(error) => {
                let text = format!("Invalid value '{bad}' for option '{name}'");
                assert_eq!(error.to_string(), text);
            }
            Ok(()) => assert!(is_text(key) && !too_large, "{name}={bad} is taken"),
        }
    }
}

#[test]
fn types_must_fit() {
    for (text, part) in [
        ("[listen]\nport = \"5403\"", "listen.port = \"5403\" is"),
        ("[listen]\nport = 5403.0", "listen.port = 5403.0 is"),
        (
            "[tls]\nclient_certificates = \"on\"",
            "it must be true or false",
        ),
        ("[tls]\nmode = true", "\"required\", \"on\" or \"off\""),
        (
            "[listen]\naddress = [\"::1\"]",
            "an address or host name, or \"\" for all",
        ),
        ("[control]\numask = 7", "an octal number"),
        ("[listen]\nport = 99999999999999999999", "from 1 to 65535"),
        ("[log]\nlevel = 1979-05-27", "\"info\" or \"debug\""),
        ("[limits]\ndpd_interval_coefficient = nan", "from 1 to 1000"),
        (
            "[identity]\ndirectory = \"nssdb\"",
            "the absolute path of a directory",
        ),
        (
            "[identity]\ndirectory = \"\"",
            "the absolute path of a directory",
        ),
        ("[identity]\ncert_nickname = \"\"", "it must be a name"),
    ] {
        let errors = from_file(text).unwrap_err().to_string();
        assert!(errors.contains(part), "{text}: {errors}");
        assert!(errors.contains("qarbiter.toml:2:"), "{text}: {errors}");
    }
    // These are the same number.
    for text in ["port = 0x152B", "port = 5_419", "port = +5419"] {
        let loaded = from_file(&format!("[listen]\n{text}")).unwrap();
        assert_eq!(loaded.settings.port, 5419, "{text}");
    }
    let loaded = from_file("[limits]\ndpd_interval_coefficient = 2").unwrap();
    assert_eq!(loaded.settings.session.dpd_coefficient, Some(2.0));
    // No value, where there may be none.
    let loaded =
        from_file("[listen]\naddress = \"\"\n[control]\numask = \"\"\ngroup = \"\"").unwrap();
    assert_eq!(loaded.settings, Settings::default());
}

#[test]
fn groups_go_by_name_and_by_number() {
    for (group, id) in [("root", 0), ("daemon", 1), ("12345", 12345)] {
        let loaded = from_file(&format!("[control]\ngroup = \"{group}\"")).unwrap();
        assert_eq!(loaded.settings.socket_gid, Some(id), "{group}");
    }
}

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
            super::ConfigError::At {
                place: Origin::File { line, .. },
                ..
            } => *line,
            other => panic!("{other}"),
        })
        .collect();
    assert!(lines.is_sorted(), "{errors}");
    for line in [2, 3, 4, 5, 8] {
        assert!(lines.contains(&line), "line {line}: {errors}");
    }
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
    assert!(load(&missing).contains("missing: No such file"));
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
fn the_example_sets_nothing_and_has_everything() {
    assert_eq!(from_file(&example()).unwrap().settings, Settings::default());
    let uncommented: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = from_file(&uncommented).unwrap_or_else(|errors| panic!("{errors}\n{uncommented}"));
    for key in KEYS {
        let origin = loaded.origin(&key.path()).unwrap();
        assert!(matches!(origin, Origin::File { .. }), "{key:?}: {origin}");
    }
    let changes = reload::compare(&Settings::default(), &loaded.settings);
    assert!(changes.after_restart.is_empty(), "{changes:?}");
    let explicit: Vec<&str> = changes.at_once.iter().map(|change| &*change.key).collect();
    assert_eq!(explicit, ["votes.vote_leases"]);
}

#[test]
fn the_shipped_example_is_the_programs_own() {
    let shipped = include_str!("../../deploy/qarbiter.toml");
    assert!(
        shipped == example(),
        "write it again: qarbiter config example > deploy/qarbiter.toml"
    );
}

#[test]
fn the_documentation_has_every_setting() {
    let documentation = include_str!("../../docs/CONFIGURATION.md");
    let row = |key: &Key| {
        let default = key.default().map(|value| format!("`{value}`"));
        let advanced = key.advanced.map(|name| format!("`{name}`"));
        let effect = match key.effect {
            Effect::AtOnce => "reload",
            Effect::Restart => "restart",
        };
        format!(
            "| `{}` | {} | {} | {} | {effect} | {} |",
            key.path(),
            default.unwrap_or_else(|| key.unset.unwrap_or_default().to_owned()),
            key.kind,
            advanced.unwrap_or_default(),
            key.doc
        )
    };
    let missing: Vec<String> = KEYS
        .iter()
        .map(row)
        .filter(|row| !documentation.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    let rows = documentation
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains('.'));
    let named = rows.filter(|line| {
        KEYS.iter()
            .any(|key| line.starts_with(&format!("| `{}`", key.path())))
    });
    assert_eq!(named.count(), KEYS.len(), "one row for each");
}

#[test]
fn sources_can_be_given_to_another_thread() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Sources>();
}

/// A value for each of some settings, by the index in [`VALUES`], and where it is said.
fn some_settings() -> impl Strategy<Value = BTreeMap<usize, u8>> {
    prop::collection::btree_map(0..VALUES.len(), 0..3_u8, 0..VALUES.len())
}

proptest! {
    /// Whatever is in the file: there are settings, or errors that say where.
    #[test]
    fn any_text_gives_an_answer(text in "[a-z\\[\\]\"'=.,{}#0-9\u{e4}\n\t -]{0,60}", known in 0..VALUES.len()) {
        let (path, good, _) = VALUES[known];
        for text in [text.clone(), format!("{path} = {text}"), format!("{path} = {good}\n{text}")] {
            let Err(errors) = from_file(&text) else { continue };
            for error in &errors {
                let super::ConfigError::At { place: Origin::File { line, column, .. }, .. } = error else {
                    panic!("{error}");
                };
                // The end of the file is a place too.
                prop_assert!((1..=text.matches('\n').count() + 1).contains(line), "{error}");
                let longest = text.split('\n').map(|line| line.chars().count()).max();
                prop_assert!((1..=longest.unwrap_or(0) + 1).contains(column), "{error}");
            }
        }
    }

    #[test]
    fn what_is_shown_means_the_same_in_a_file(
        chosen in some_settings(),
        clusters in prop::collection::btree_map("[^\\]\\[,=\u{0}]{1,12}", any::<(bool, bool)>(), 0..4),
    ) {
        let mut text = String::new();
        let mut environment = Vec::new();
        let mut line = CommandLine::default();
        for (index, place) in chosen {
            let (path, good, _) = VALUES[index];
            let key = key(path);
            match (place, key.advanced) {
                (0, _) => text += &format!("{path} = {good}\n"),
                (1, _) | (_, None) => environment.push((key.variable(), bare(good))),
                (_, Some(name)) => {
                    let value = match good {
                        "true" => "on".to_owned(),
                        "false" => "off".to_owned(),
                        other => bare(other),
                    };
                    line.advanced(&format!("{name}={value}")).unwrap();
                }
            }
        }
        for (name, (manual, reference)) in &clusters {
            let holder = if *manual { "manual" } else { "timed" };
            line.advanced(&format!("lost_holder[{name}]={holder}")).unwrap();
            if *reference {
                text += &format!("cluster.{}.rules = \"reference\"\n", Value::Text(name.clone()));
            }
        }
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let first = load_all(&text, &environment, line).unwrap();
        for origins in [false, true] {
            let second = from_file(&first.show(origins)).unwrap();
            prop_assert_eq!(&second.settings, &first.settings);
            prop_assert_eq!(second.show(false), first.show(false));
        }
    }
}
