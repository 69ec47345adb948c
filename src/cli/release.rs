//! `qarbiter release`.

use super::{Where, complain};
use crate::ipc::client::ask;
use crate::ipc::command::quoted;
use std::process::ExitCode;

/// Options of `qarbiter release`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    #[command(flatten)]
    place: Where,
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    cluster: String,
}

impl Release {
    pub(crate) fn run(self) -> ExitCode {
        let mut command = b"qarbiter-release cluster ".to_vec();
        command.extend(quoted(self.cluster.as_bytes()));
        let answer = match self.place.socket() {
            Ok(socket) => ask(&socket, &command).map_err(|error| error.to_string()),
            Err(errors) => Err(errors.to_string()),
        };
        match answer {
            Ok(_) => {
                println!(
                    "Unreachable nodes of {:?} no longer hold its vote.",
                    self.cluster
                );
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain("qarbiter release", &error);
                ExitCode::FAILURE
            }
        }
    }
}
