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
pub use environment::{CONFIG_VARIABLE, STATE_DIR_VARIABLE};
pub(crate) use environment::{DETACHED_VARIABLE, PASSPHRASE_VARIABLE};
pub use error::{ConfigError, ConfigErrors, Origin, Problem};
pub use policies::{ClusterPolicies, PolicySettings};
pub use settings::{Family, HistorySettings, Settings};
pub use show::example;
pub use sources::{DEFAULT_FILE, Loaded, Sources};
pub use value::Value;

use std::path::PathBuf;

/// The settings of an arbiter for programs whose only option is its directory: from the file and
/// the environment, and with everything in `state_dir` if it is given.
///
/// # Errors
/// All that is wrong with the file and the environment.
pub fn settings_of(state_dir: Option<PathBuf>) -> Result<Settings, ConfigErrors> {
    let mut command_line = CommandLine::default();
    if let Some(dir) = &state_dir {
        command_line.state_dir(dir);
    }
    Ok(Sources::of_process(None, command_line).load()?.settings)
}

/// The control socket of the arbiter that the file and the environment describe.
///
/// # Errors
/// All that is wrong with the file and the environment.
pub fn control_socket() -> Result<PathBuf, ConfigErrors> {
    let loaded = Sources::of_process(None, CommandLine::default()).load()?;
    Ok(loaded.settings.socket)
}
