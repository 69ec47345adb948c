//! What the command line says: the flags of `corosync-qnetd` and of `qarbiter serve`, and `-S
//! name=value[,name=value]` (protocol spec, section 9.2), which has our own settings too.
//!
//! In `-S`, settings of single clusters have the cluster in brackets: `rules[site-berlin]=safe`.

use super::error::Origin;
use super::keys::{self, Key};
use super::layers::{Assignment, state_dir};
use super::settings::Family;
use super::value::{Dialect, Field as _, Value};
use crate::wire::ClusterName;
use std::path::{Path, PathBuf};

/// An option that can't be used. The texts are the reference's (protocol spec, section 9.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `-S` names a setting that does not exist.
    #[error("Unknown option '{0}'")]
    Unknown(String),
    /// The value for `-S` is not one of those allowed.
    #[error("Invalid value '{value}' for option '{name}'")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        value: String,
    },
    /// `-s` with something else than a TLS mode.
    #[error("tls must be one of on, off, req")]
    Tls,
    /// `-p` out of range.
    #[error("host port must be in range 1-65535")]
    Port,
    /// `-c` with something else than a yes or no.
    #[error("client_cert_required should be on/yes/1, off/no/0")]
    ClientCert,
    /// `-m` is not a number.
    #[error("max clients value {0} is invalid")]
    MaxClients(String),
}

/// The settings that a command line has. What is said last counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommandLine {
    state_dir: Option<PathBuf>,
    given: Vec<Assignment>,
    warnings: Vec<String>,
}

impl CommandLine {
    /// `--state-dir`: keeps everything in one directory.
    pub fn state_dir(&mut self, dir: &Path) {
        self.state_dir = Some(dir.to_owned());
    }

    /// `-l`: the address or host name to listen on.
    pub fn listen(&mut self, address: &str) {
        self.give("listen", "address", "-l", Value::Text(address.to_owned()));
    }

    /// `-4` and `-6`: the address family.
    pub fn family(&mut self, family: Family) {
        let flag = match family {
            Family::V4 => "-4",
            Family::V6 | Family::Both => "-6",
        };
        if let Some(value) = family.show() {
            self.give("listen", "family", flag, value);
        }
    }

    /// `-p`: the port.
    ///
    /// # Errors
    /// Not a number from 1 to 65535.
    pub fn port(&mut self, text: &str) -> Result<(), FlagError> {
        self.take("listen", "port", "-p", text)
            .ok_or(FlagError::Port)
    }

    /// `-m`: the most connections.
    ///
    /// # Errors
    /// Not a number, or a negative one.
    pub fn max_clients(&mut self, text: &str) -> Result<(), FlagError> {
        self.take("listen", "max_clients", "-m", text)
            .ok_or_else(|| FlagError::MaxClients(text.to_owned()))
    }

    /// `-s`: `on`, `off`, `req` or `required`, case ignored.
    ///
    /// # Errors
    /// Another word.
    pub fn tls(&mut self, text: &str) -> Result<(), FlagError> {
        self.take("tls", "mode", "-s", text).ok_or(FlagError::Tls)
    }

    /// `-c`: whether a client needs a certificate.
    ///
    /// # Errors
    /// Neither a yes nor a no.
    pub fn client_cert(&mut self, text: &str) -> Result<(), FlagError> {
        self.take("tls", "client_certificates", "-c", text)
            .ok_or(FlagError::ClientCert)
    }

    /// `-d`: every message is logged.
    pub fn debug(&mut self) {
        self.give("log", "level", "-d", Value::Text(keys::DEBUG.to_owned()));
    }

    /// `-S`: advanced settings.
    ///
    /// # Errors
    /// The first pair that can't be used.
    pub fn advanced(&mut self, argument: &str) -> Result<(), FlagError> {
        for pair in argument.split(',') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // The reference ends at the first empty name.
            if name.is_empty() {
                break;
            }
            self.advanced_pair(name, value)?;
        }
        Ok(())
    }

    fn advanced_pair(&mut self, name: &str, text: &str) -> Result<(), FlagError> {
        if name.eq_ignore_ascii_case("dpd_interval") {
            let warning = "Option 'dpd_interval' is deprecated and has no effect anymore";
            self.warnings.push(warning.to_owned());
            return Ok(());
        }
        let bracket = name
            .split_once('[')
            .and_then(|(base, rest)| Some((base, rest.strip_suffix(']')?)));
        let (base, cluster) = match bracket {
            Some((base, cluster)) => (base, Some(ClusterName::new(cluster.as_bytes()))),
            None => (name, None),
        };
        let key = keys::find_advanced(base)
            .filter(|key| cluster.is_none() || key.is_for_clusters())
            .ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
        let value = read(key, text).ok_or_else(|| FlagError::Value {
            name: name.to_owned(),
            value: text.to_owned(),
        })?;
        self.given.push(Assignment {
            key,
            cluster,
            value,
            origin: Origin::Flag(format!("-S {}", key.advanced.unwrap_or_default())),
        });
        Ok(())
    }

    /// Reads a value in the reference's way; `None` if it can't be used.
    fn take(&mut self, section: &str, name: &str, flag: &str, text: &str) -> Option<()> {
        let key = keys::find(section, name)?;
        let value = read(key, text)?;
        let origin = Origin::Flag(flag.to_owned());
        self.given.push(Assignment::new(key, value, origin));
        Some(())
    }

    fn give(&mut self, section: &str, name: &str, flag: &str, value: Value) {
        let origin = Origin::Flag(flag.to_owned());
        let key = keys::find(section, name);
        self.given
            .extend(key.map(|key| Assignment::new(key, Some(value), origin)));
    }

    pub(super) fn assignments(&self) -> Vec<Assignment> {
        let origin = Origin::Flag("--state-dir".to_owned());
        let mut all = match &self.state_dir {
            Some(dir) => state_dir(dir, &origin),
            None => Vec::new(),
        };
        all.extend(self.given.iter().cloned());
        all
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A value in the reference's way, if the setting can have it.
fn read(key: &Key, text: &str) -> Option<Option<Value>> {
    let value = key.kind.parse(text, Dialect::Reference).ok()?;
    key.check(value.as_ref()).ok()?;
    Some(value)
}

#[cfg(test)]
mod tests;
