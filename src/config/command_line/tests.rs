use super::*;
use crate::config::{ConfigErrors, Settings, Sources};
use crate::engine::{ClusterPolicy, LostHolder, Rules};

fn line(argument: &str) -> Result<CommandLine, FlagError> {
    let mut line = CommandLine::default();
    line.advanced(argument)?;
    Ok(line)
}

fn load(argument: &str) -> Result<Settings, ConfigErrors> {
    let loaded = Sources::alone(line(argument).unwrap()).load()?;
    Ok(loaded.settings)
}

#[test]
fn an_empty_name_ends_the_list() {
    let settings = load("listen_backlog=7,,listen_backlog=9,nonsense").unwrap();
    assert_eq!(settings.listen_backlog, 7);
    assert_eq!(load("").unwrap(), load("=1").unwrap());
}

#[test]
fn unknown_names_are_repeated_as_they_were_written() {
    for name in [
        "a",
        "port[x]",
        "listen_backlog[x]",
        "rules[x",
        "listen_backlog ",
    ] {
        let error = line(&format!("{name}=1")).unwrap_err();
        assert_eq!(error, FlagError::Unknown(name.to_owned()));
    }
}

#[test]
fn the_last_one_counts_and_case_does_not() {
    let settings = load("listen_backlog=3,LISTEN_Backlog=4").unwrap();
    assert_eq!(settings.listen_backlog, 4);
}

/// The reference knows no upper bounds for these.
#[test]
fn very_large_counts_are_as_good_as_the_largest() {
    let settings = load("max_client_send_size=9223372036854775807").unwrap();
    assert_eq!(settings.session.max_send, i32::MAX as u32);
}

#[test]
fn detection_and_its_coefficient_are_two_settings() {
    let dpd = |argument: &str| load(argument).unwrap().session.dpd_coefficient;
    assert_eq!(dpd("dpd_enabled=off,dpd_interval_coefficient=3"), None);
    assert_eq!(dpd("dpd_interval_coefficient=3,dpd_enabled=off"), None);
    let on_again = "dpd_enabled=off,dpd_interval_coefficient=3,dpd_enabled=on";
    assert_eq!(dpd(on_again), Some(3.0));
}

#[test]
fn rules_by_cluster() {
    let settings = load("rules[old]=reference,lost_holder=manual,vote_leases[x]=off").unwrap();
    let policy = |name: &str| settings.policies.policy(&ClusterName::new(name.as_bytes()));
    let manual = ClusterPolicy {
        lost_holder: LostHolder::Manual,
        ..ClusterPolicy::SAFE
    };
    assert_eq!(policy("new"), manual);
    assert!(!policy("x").vote_leases);
    assert_eq!(policy("old").rules, Rules::Reference);
    assert!(!policy("old").vote_leases);
}

#[test]
fn leases_need_the_safe_rules() {
    for (argument, text) in [
        (
            "rules=reference,vote_leases=on",
            "-S vote_leases: vote_leases=on needs rules=safe: with",
        ),
        (
            "rules[a]=reference,vote_leases[a]=on",
            "-S vote_leases: vote_leases=on needs rules=safe (cluster \"a\")",
        ),
        (
            "rules=reference,vote_leases[a]=on",
            "-S vote_leases: vote_leases=on needs rules=safe (cluster \"a\")",
        ),
    ] {
        let error = load(argument).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert!(load("rules[a]=reference,vote_leases=on").is_ok());
}

#[test]
fn an_interval_that_has_no_effect_is_warned_about() {
    let loaded = Sources::alone(line("dpd_interval=x").unwrap())
        .load()
        .unwrap();
    let text = "Option 'dpd_interval' is deprecated and has no effect anymore";
    assert_eq!(loaded.warnings, [text]);
}

#[test]
fn intervals_that_let_nobody_in_are_warned_about() {
    let line = line("heartbeat_interval_min=9,heartbeat_interval_max=8").unwrap();
    let loaded = Sources::alone(line).load().unwrap();
    assert!(loaded.warnings[0].contains("no node can join"));
}

#[test]
fn one_directory_for_everything_is_weaker_than_a_path() {
    let mut line = line("lock_file=/elsewhere").unwrap();
    line.state_dir(Path::new("/state"));
    let settings = Sources::alone(line).load().unwrap().settings;
    let mut expected = Settings::default();
    expected.use_state_dir(Path::new("/state"));
    expected.lock_file = "/elsewhere".into();
    assert_eq!(settings, expected);
}

#[test]
fn a_directory_that_is_too_long_for_a_socket_is_named() {
    let mut line = CommandLine::default();
    line.state_dir(Path::new(&format!("/{}", "x".repeat(107))));
    let error = Sources::alone(line).load().unwrap_err().to_string();
    assert!(
        error.starts_with("--state-dir: control.socket = "),
        "{error}"
    );
    assert!(error.contains("at most 107 bytes"), "{error}");
}
