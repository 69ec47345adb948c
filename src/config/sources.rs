//! Putting the settings together: defaults, then the file, then the environment, then the command
//! line. What comes later counts.

use super::command_line::CommandLine;
use super::environment::{self, CONFIG_VARIABLE};
use super::error::{ConfigError, ConfigErrors, Origin, Problem};
use super::file;
use super::keys::{KEYS, Key};
use super::layers::Assignment;
use super::settings::Settings;
use super::value::Value;
use crate::wire::ClusterName;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The configuration file, if no other is named. It need not exist.
pub const DEFAULT_FILE: &str = "/etc/qarbiter/qarbiter.toml";

/// Far above any configuration, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where the settings of this process come from. The environment and the command line stay what
/// they were at the start; the file is read anew each time.
#[derive(Debug, Clone)]
pub struct Sources {
    config: Option<PathBuf>,
    default_file: PathBuf,
    variables: Vec<(String, OsString)>,
    command_line: CommandLine,
}

/// Settings that were put together.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// For the operator; nothing that stops a start.
    pub warnings: Vec<String>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    pub(super) effective: Vec<Effective>,
}

/// A setting as it is in effect.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effective {
    pub(super) key: &'static Key,
    pub(super) cluster: Option<ClusterName>,
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
}

impl Sources {
    /// The environment of this process, a command line, and a configuration file if one is named
    /// there. Without it, `QARBITER_CONFIG` names the file, or it is [`DEFAULT_FILE`].
    pub fn of_process(config: Option<PathBuf>, command_line: CommandLine) -> Self {
        Self::new(config, environment::of_process(), command_line)
    }

    pub(super) fn new(
        config: Option<PathBuf>,
        variables: Vec<(String, OsString)>,
        command_line: CommandLine,
    ) -> Self {
        let named = variables
            .iter()
            .find(|(name, _)| name == CONFIG_VARIABLE)
            .map(|(_, path)| path.into());
        Self {
            config: config.or(named),
            default_file: DEFAULT_FILE.into(),
            variables,
            command_line,
        }
    }

    /// A command line and nothing else, wherever this runs.
    #[cfg(test)]
    pub(crate) fn alone(command_line: CommandLine) -> Self {
        let mut sources = Self::new(None, Vec::new(), command_line);
        sources.default_file = "/nonexistent/qarbiter.toml".into();
        sources
    }

    /// Reads everything and puts it together.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let mut errors = Vec::new();
        let mut layers = Vec::new();
        let mut read_file = None;
        match self.read_file() {
            Ok(None) => {}
            Ok(Some((path, text))) => {
                let (assignments, wrong) = file::read(&Arc::from(path.as_path()), &text);
                read_file = Some(path);
                layers.extend(assignments);
                errors.extend(wrong);
            }
            Err(error) => errors.push(error),
        }
        let (assignments, wrong) = environment::read(&self.variables);
        layers.extend(assignments);
        errors.extend(wrong);
        layers.extend(self.command_line.assignments());

        let effective = in_effect(layers);
        let mut settings = Settings::default();
        for one in &effective {
            let set = one
                .key
                .set(&mut settings, one.cluster.as_ref(), one.value.as_ref());
            if set.is_err() {
                let value = one.value.as_ref().map(ToString::to_string);
                let value = value.unwrap_or_default();
                errors.push(ConfigError::value(one.origin.clone(), one.key, value));
            }
        }
        if errors.is_empty() {
            errors = conflicts(&settings, &effective);
        }
        ConfigErrors::none_of(errors)?;
        let mut warnings = self.command_line.warnings().to_vec();
        warnings.extend(doubts(&settings));
        Ok(Loaded {
            settings,
            warnings,
            file: read_file,
            effective,
        })
    }

    /// The file that is named, which must exist, or the default one, which need not.
    fn read_file(&self) -> Result<Option<(PathBuf, String)>, ConfigError> {
        let path = self.config.as_ref().unwrap_or(&self.default_file);
        match read_text(path) {
            Ok(text) => Ok(Some((path.clone(), text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.config.is_none() => {
                Ok(None)
            }
            Err(error) => Err(ConfigError::Unreadable {
                path: path.clone(),
                hint: match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; the user that the arbiter runs as must be able to read it"
                    }
                    io::ErrorKind::NotFound => "; it was named with --config or QARBITER_CONFIG",
                    _ => "",
                },
                reason: error.to_string(),
            }),
        }
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// What counts of all that is said: general settings in the order of the table, then clusters.
fn in_effect(layers: Vec<Assignment>) -> Vec<Effective> {
    let mut effective = BTreeMap::new();
    for (index, key) in KEYS.iter().enumerate() {
        let default = Effective {
            key,
            cluster: None,
            value: key.default(),
            origin: Origin::Default,
        };
        effective.insert((None, index), default);
    }
    for Assignment {
        key,
        cluster,
        value,
        origin,
    } in layers
    {
        let index = KEYS
            .iter()
            .position(|other| other == key)
            .unwrap_or(KEYS.len());
        let slot = (cluster.clone(), index);
        let one = Effective {
            key,
            cluster,
            value,
            origin,
        };
        effective.insert(slot, one);
    }
    effective.into_values().collect()
}

/// What single settings can't tell.
fn conflicts(settings: &Settings, effective: &[Effective]) -> Vec<ConfigError> {
    let origin = |cluster: Option<&ClusterName>, name: &str| {
        effective
            .iter()
            .find(|one| one.cluster.as_ref() == cluster && one.key.name == name)
            .map(|one| one.origin.clone())
    };
    let conflicts = settings.policies.conflicts();
    conflicts
        .into_iter()
        .map(|cluster| {
            let place = origin(cluster, "vote_leases")
                .or_else(|| origin(cluster, "rules"))
                .or_else(|| origin(None, "vote_leases"));
            let whose = cluster.map_or_else(String::new, |name| format!(" (cluster {name:?})"));
            let problem = Problem::LeasesNeedSafeRules(whose);
            ConfigError::at(place.unwrap_or(Origin::Default), problem)
        })
        .collect()
}

/// What is possible, and hardly meant.
fn doubts(settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    let (least, most) = (
        settings.session.heartbeat_min_ms,
        settings.session.heartbeat_max_ms,
    );
    if least > most {
        doubts.push(format!(
            "limits.heartbeat_interval_min ({least} ms) is above limits.heartbeat_interval_max \
             ({most} ms), so no node can join"
        ));
    }
    doubts
}
