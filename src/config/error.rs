//! What is wrong with settings, where, and what would be right.

use super::keys::Key;
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
            value: key.kind.shown(&value.to_string()),
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

/// A text as it is shown in an error: quoted, so that nothing in it can pass for something else.
pub(super) fn quoted(text: &str) -> String {
    Value::Text(text.to_owned()).to_string()
}
