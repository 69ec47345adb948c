//! What to write instead of a name that does not exist.

use super::environment::PREFIX;
use super::keys::{self, CLUSTER_SECTION, KEYS, SECTIONS};

/// Names are taken for misspelt from this similarity on, 0 to 1.
const SIMILAR: f64 = 0.8;

/// How similar two names are if one slip of the finger makes one of the other.
const ONE_SLIP: f64 = 0.9;

/// How much nearer a key is because it is in the section where it was looked for.
const SAME_SECTION: f64 = 0.05;

fn similarity(one: &str, other: &str) -> f64 {
    let one = one.to_ascii_lowercase();
    let similar = strsim::jaro_winkler(&one, other);
    // Short names are very different by that measure as soon as two letters change places.
    match strsim::damerau_levenshtein(&one, other) {
        0 | 1 => similar.max(ONE_SLIP),
        _ => similar,
    }
}

/// What to write instead of an unknown key in a section, or in none.
pub(super) fn advice_for_key(section: Option<&str>, name: &str) -> String {
    if let Some(key) = keys::find_advanced(name) {
        return format!("`-S {name}` is {} here", key.path());
    }
    let in_cluster = section == Some(CLUSTER_SECTION);
    let home = if in_cluster { Some("votes") } else { section };
    let candidates = KEYS
        .iter()
        .filter(|key| !in_cluster || key.is_for_clusters());
    // Of equally near ones the first.
    let nearest = candidates
        .clone()
        .rev()
        .map(|key| {
            let bonus = if Some(key.section) == home {
                SAME_SECTION
            } else {
                0.0
            };
            (key, similarity(name, key.name) + bonus)
        })
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .filter(|(_, score)| *score >= SIMILAR);
    match nearest {
        Some((key, _)) if in_cluster => format!("the nearest is {}", key.name),
        Some((key, _)) => format!("the nearest is {}", key.path()),
        None => {
            let all: Vec<&str> = candidates
                .filter(|key| home.is_none_or(|home| key.section == home))
                .map(|key| key.name)
                .collect();
            format!("there are {}", all.join(", "))
        }
    }
}

/// What to write instead of an unknown section.
pub(super) fn advice_for_section(name: &str) -> String {
    let names = || {
        SECTIONS
            .iter()
            .map(|(name, _)| *name)
            .chain([CLUSTER_SECTION])
    };
    nearest(name, names()).map_or_else(
        || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        |section| format!("the nearest is [{section}]"),
    )
}

/// What to write instead of an unknown environment variable, one of a setting or one of these.
pub(super) fn advice_for_variable(name: &str, others: &[&str]) -> String {
    let rest = |name: &str| {
        name.strip_prefix(PREFIX)
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    let name = rest(name);
    let settings = KEYS.iter().map(|key| {
        let variable = key.variable();
        // The section may have been forgotten.
        let by_name = similarity(&name, key.name);
        (similarity(&name, &rest(&variable)).max(by_name), variable)
    });
    let others = others
        .iter()
        .map(|other| (similarity(&name, &rest(other)), (*other).to_owned()));
    settings
        .chain(others)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(score, _)| *score >= SIMILAR)
        .map_or_else(
            || "`qarbiter config show` lists all settings: QARBITER_SECTION_NAME".to_owned(),
            |(_, near)| format!("the nearest is {near}"),
        )
}

fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (candidate, similarity(name, candidate)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .filter(|(_, score)| *score >= SIMILAR)
        .map(|(candidate, _)| candidate)
}
