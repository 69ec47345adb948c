//! What an operator can set, and where: defaults, then a TOML file, then environment variables,
//! then the command line, of which the later ones count.
//!
//! Every setting is one line of the table in `keys.rs`; [`settings`] is what the program works
//! with. [`Sources`] puts the settings together, as often as wanted, and [`reload`] says what a
//! change means for an arbiter that runs. A new section needs an entry in the table of sections,
//! its keys, and the fields that they fill.

mod advice;
mod command_line;
mod environment;
mod error;
mod file;
mod keys;
mod layers;
mod policies;
pub mod reload;
pub mod settings;
mod show;
mod sources;
mod value;

#[cfg(test)]
mod tests;

pub use command_line::{CommandLine, FlagError};
pub(crate) use environment::DETACHED_VARIABLE;
pub use environment::{CONFIG_VARIABLE, STATE_DIR_VARIABLE};
pub use error::{ConfigError, ConfigErrors, Origin, Problem};
pub use policies::{ClusterPolicies, PolicySettings};
pub use settings::{Family, Settings};
pub use show::example;
pub use sources::{DEFAULT_FILE, Loaded, Sources};
pub use value::Value;

use crate::pki::Profile;
use std::path::PathBuf;

/// Where the identity is and what new keys and certificates are like, for programs that have no
/// options for it: from the file and the environment alone.
///
/// # Errors
/// All that is wrong with the file and the environment.
pub fn identity_settings() -> Result<(PathBuf, Profile), ConfigErrors> {
    let loaded = Sources::of_process(None, CommandLine::default()).load()?;
    Ok((loaded.settings.identity_dir, loaded.settings.profile))
}

/// The control socket of the arbiter that the file and the environment describe.
///
/// # Errors
/// All that is wrong with the file and the environment.
pub fn control_socket() -> Result<PathBuf, ConfigErrors> {
    let loaded = Sources::of_process(None, CommandLine::default()).load()?;
    Ok(loaded.settings.socket)
}
