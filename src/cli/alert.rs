//! `qarbiter alert`: whether alerts arrive.

use super::complain;
use super::options::Options;
use crate::notify::{AlertSettings, Tried, try_all};
use std::process::ExitCode;

const NAME: &str = "qarbiter alert test";

/// Options of `qarbiter alert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Alert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send a test alert through every hook that `qarbiter serve` would have with the same
    /// options, and print what each answers; fails if one of them does
    Test {
        #[command(flatten)]
        options: Options,
    },
}

impl Alert {
    pub(crate) fn run(self) -> ExitCode {
        let Action::Test { options } = self.action;
        match settings(&options).and_then(|settings| try_hooks(&settings)) {
            Ok(all) if all.iter().all(|tried| tried.is_good) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                complain(NAME, &error);
                ExitCode::FAILURE
            }
        }
    }
}

fn settings(options: &Options) -> Result<AlertSettings, Box<dyn std::error::Error>> {
    let settings = options.sources()?.load()?.settings.alerts;
    if settings.is_on() {
        Ok(settings)
    } else {
        Err("no hook is set: set alerts.webhooks or alerts.exec (see docs/ALERTS.md)".into())
    }
}

fn try_hooks(settings: &AlertSettings) -> Result<Vec<Tried>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = runtime.block_on(try_all(settings));
    for tried in &all {
        let mark = if tried.is_good { "ok" } else { "FAILED" };
        let took = tried.took.as_millis();
        println!("{mark:<6}  {} ({took} ms): {}", tried.hook, tried.said);
    }
    Ok(all)
}
