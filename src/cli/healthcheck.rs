//! `qarbiter healthcheck`: for containers and service managers. It asks over the control socket,
//! so that it works with HTTP off.

use super::{Where, complain};
use crate::ipc::client::ask;
use crate::proto::v1::Health;
use std::process::ExitCode;

/// Options of `qarbiter healthcheck`.
#[derive(Debug, clap::Args)]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    place: Where,
    /// Whether nodes can join, too: the port answers and has room, and there are certificates
    #[arg(long)]
    ready: bool,
}

impl Healthcheck {
    pub(crate) fn run(self) -> ExitCode {
        match self.health() {
            Ok(health) => {
                for check in &health.checks {
                    let mark = if check.ok { "ok" } else { "FAILED" };
                    println!("{:<6}  {}: {}", mark, check.name, check.detail);
                }
                if health.ok {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Err(error) => {
                complain("qarbiter healthcheck", &error);
                ExitCode::FAILURE
            }
        }
    }

    fn health(&self) -> Result<Health, Box<dyn std::error::Error>> {
        let command: &[u8] = if self.ready {
            b"qarbiter-health ready"
        } else {
            b"qarbiter-health"
        };
        let answer = ask(&self.place.socket()?, command)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}
