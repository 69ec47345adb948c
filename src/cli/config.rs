//! `qarbiter config`: checks and shows the settings without starting anything.

use super::complain;
use super::options::Options;
use crate::config::{self, Loaded};
use std::process::ExitCode;

/// Options of `qarbiter config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check the settings that `qarbiter serve` would have with the same options; names every error
    Check {
        #[command(flatten)]
        options: Options,
    },
    /// Show the settings that `qarbiter serve` would have with the same options, as a
    /// configuration file
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Print a configuration file with every setting, its meaning and its default
    Example,
}

impl Config {
    pub(crate) fn run(self) -> ExitCode {
        let text = match &self.action {
            Action::Check { options } => {
                load("qarbiter config check", options).map(|loaded| good(&loaded))
            }
            Action::Show { origin, options } => {
                load("qarbiter config show", options).map(|loaded| loaded.show(*origin))
            }
            Action::Example => Some(config::example()),
        };
        match text {
            Some(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        }
    }
}

/// The settings; what is wrong with them goes to standard error, and so do doubts.
fn load(command: &str, options: &Options) -> Option<Loaded> {
    let sources = options
        .sources()
        .map_err(|error| complain(command, &error))
        .ok()?;
    match sources.load() {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(command, &format_args!("warning: {warning}"));
            }
            Some(loaded)
        }
        Err(errors) => {
            for error in &errors {
                complain(command, error);
            }
            None
        }
    }
}

fn good(loaded: &Loaded) -> String {
    match &loaded.file {
        Some(path) => format!("The settings are good; {} was read.\n", path.display()),
        None => "The settings are good; there is no configuration file.\n".to_owned(),
    }
}
