//! The commands. One program goes by several names; [`main`] finds out which one was called.

mod certs;
pub mod certutil;
mod config;
mod daemon;
mod detach;
mod getopt;
mod healthcheck;
mod identity;
mod import;
mod options;
mod probe;
mod qnetd;
mod release;
mod secret;
mod serve;
mod status;
mod tool;
mod upkeep;

use crate::config::ConfigErrors;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A vote server for corosync clusters.
#[derive(Debug, Parser)]
#[command(name = "qarbiter", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the arbiter; makes its certificates on the first start
    Serve(serve::Serve),
    /// Ask a running arbiter on this machine whether it serves; the exit status says it
    Healthcheck(healthcheck::Healthcheck),
    /// Check an arbiter from outside, as a node sees it, without joining a cluster
    Probe(probe::Probe),
    /// Show clusters, nodes, partitions, who holds the vote and why
    Status(status::Status),
    /// State that the unreachable nodes of a cluster are down, so that others may have its vote.
    ///
    /// Make sure first that they are down: switch them off. A node that still runs may go on
    /// counting the vote, and then two halves of the cluster are quorate at the same time.
    Release(release::Release),
    /// Check or show the settings, and where each comes from
    Config(config::Config),
    /// List, show, revoke and renew certificates
    Certs(certs::Certs),
    /// Move the arbiter to another machine: export and import its identity
    Identity(identity::Identity),
    /// Take up a CA from PKCS #12 files, as pk12util and openssl export it
    Import(import::Import),
}

/// Where a running arbiter is found.
#[derive(Debug, clap::Args)]
struct Where {
    /// Directory that the arbiter was started with
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    state_dir: Option<PathBuf>,
    /// Control socket of the arbiter
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

impl Where {
    /// The socket that is named, or the one of the file and the environment.
    fn socket(&self) -> Result<PathBuf, ConfigErrors> {
        match (&self.socket, &self.state_dir) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(dir)) => Ok(crate::config::settings::socket_in(dir)),
            (None, None) => crate::config::control_socket(),
        }
    }
}

/// Runs the command line of the process, under whichever name it was called.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program)
        .file_name()
        .map(OsString::from)
        .unwrap_or_default();
    match name.to_str() {
        Some("corosync-qnetd-certutil") => certutil::main(&program, arguments),
        Some("corosync-qnetd-tool") => tool::main(arguments),
        Some("corosync-qnetd") => qnetd::main(&program, arguments.collect()),
        _ => match Cli::parse().command {
            Command::Serve(serve) => serve.run(),
            Command::Healthcheck(healthcheck) => healthcheck.run(),
            Command::Probe(probe) => probe.run(),
            Command::Status(status) => status.run(),
            Command::Release(release) => release.run(),
            Command::Config(config) => config.run(),
            Command::Certs(certs) => certs.run(),
            Command::Identity(identity) => identity.run(),
            Command::Import(import) => import.run(),
        },
    }
}

/// Prints an error for a person.
fn complain(program: &str, error: &dyn std::fmt::Display) {
    eprintln!("{program}: {error}");
}
