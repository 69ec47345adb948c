//! The example and the documentation have every setting.

use super::*;
use crate::config::error::Origin;
use crate::config::keys::Effect;
use crate::config::{Settings, example, reload};

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
    let shipped = include_str!("../../../deploy/qarbiter.toml");
    assert!(
        shipped == example(),
        "write it again: qarbiter config example > deploy/qarbiter.toml"
    );
}

#[test]
fn the_documentation_has_every_setting() {
    let documentation = include_str!("../../../docs/CONFIGURATION.md");
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
