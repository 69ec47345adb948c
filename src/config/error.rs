//! What is wrong with settings, where, and what would be right.

use super::environment::PREFIX;
use super::keys::{CLUSTER_SECTION, KEYS, Key, SECTIONS};
use super::value::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was said.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: Arc<Path>,
        /// Line, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// An option of the command line, such as `-p` or `-S max_pending_clients`.
    Flag(String),
}

/// `FILE:LINE:COLUMN`, the variable's name or the option.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {path}: {reason}{hint}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do, if there is something.
        hint: &'static str,
    },
    /// Anything else has a place.
    #[error("{place}: {problem}")]
    At {
        /// Where it is said.
        place: Origin,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong at some place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// There is no such setting.
    #[error("there is no setting {name}; {advice}")]
    UnknownKey {
        /// What is written.
        name: String,
        /// The nearest that exists.
        advice: String,
    },
    /// There is no such section.
    #[error("there is no section [{name}]; {advice}")]
    UnknownSection {
        /// What is written.
        name: String,
        /// The nearest that exists.
        advice: String,
    },
    /// There is no such environment variable.
    #[error("there is no such setting; {0}")]
    UnknownVariable(String),
    /// A section's name stands for a value.
    #[error("{name} is a section: write [{name}], and its settings below it")]
    NotASection {
        /// The section.
        name: String,
    },
    /// The value is not one of those allowed.
    #[error("{key} = {value} is not possible; it must be {allowed}")]
    Value {
        /// The setting.
        key: String,
        /// The value as it is written.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The value of an environment variable is not text.
    #[error("its value is not UTF-8 text")]
    NotText,
    /// Leases need the repaired rules.
    #[error(
        "vote_leases=on needs rules=safe{0}: with rules=reference votes move as in the reference"
    )]
    LeasesNeedSafeRules(String),
}

impl ConfigError {
    pub(super) fn at(place: Origin, problem: Problem) -> Self {
        Self::At { place, problem }
    }

    pub(super) fn value(place: Origin, key: &Key, value: impl fmt::Display) -> Self {
        let mut allowed = key.kind.to_string();
        let in_file = matches!(place, Origin::File { .. });
        if let Some(meaning) = key.unset.filter(|_| in_file && key.kind.can_be_empty()) {
            allowed += &format!(", or \"\" for {meaning}");
        }
        let problem = Problem::Value {
            key: key.path(),
            value: value.to_string(),
            allowed,
        };
        Self::at(place, problem)
    }
}

/// All that is wrong with the settings: at least one error, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok` if there are none.
    pub(super) fn none_of(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// The errors, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line for each.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

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
    if let Some(key) = super::keys::find_advanced(name) {
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

/// A text as it is shown in an error: quoted, so that nothing in it can pass for something else.
pub(super) fn quoted(text: &str) -> String {
    Value::Text(text.to_owned()).to_string()
}
