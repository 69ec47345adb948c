//! Every setting in every place: good values and bad ones.

use super::*;
use crate::config::{CommandLine, Settings, Sources, reload};

/// Values that are right in one place and wrong in another: any text is a name or a path in the
/// environment.
fn is_text(key: &Key) -> bool {
    [
        "address",
        "directory",
        "cert_nickname",
        "socket",
        "certificate",
        "key",
        "read_token_file",
        "admin_token_file",
        "exec",
        "name",
        "data_dir",
        "lock_file",
    ]
    .contains(&key.name)
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
    // The kernel has room for 107 bytes.
    let socket = |bytes: usize| {
        let path = format!("/{}", "x".repeat(bytes - 1));
        from_file(&format!("[control]\nsocket = \"{path}\"")).is_ok()
    };
    assert!(socket(107) && !socket(108));
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
