//! The commands. One program goes by several names; [`main`] finds out which one was called.

mod advise;
mod alert;
mod certs;
pub mod certutil;
mod check;
mod completions;
mod config;
mod daemon;
mod detach;
mod events;
mod getopt;
mod healthcheck;
mod identity;
mod import;
mod options;
mod own;
mod probe;
mod qnetd;
mod release;
mod secret;
mod serve;
mod simulate;
mod status;
mod tool;
mod upkeep;

use crate::config::ConfigErrors;
use crate::version::LONG;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A vote server for corosync clusters.
#[derive(Debug, Parser)]
#[command(name = "qarbiter", version, long_version = LONG, about, max_term_width = 100)]
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
    /// Check an arbiter from outside, as a node sees it, without joining a cluster.
    ///
    /// The exit status is 0 if a node with the usual `tls: on` would be served, as far as that was
    /// looked at: an arbiter without TLS is one that is warned about. With --ca it has to have TLS.
    Probe(probe::Probe),
    /// Show clusters, nodes, partitions, who holds the vote and why
    Status(status::Status),
    /// Show what happened: who came and went, who got the vote and why; also while it happens
    Events(events::Events),
    /// State that the unreachable nodes of a cluster are down, so that others may have its vote.
    ///
    /// Make sure first that they are down: switch them off. A node that still runs may go on
    /// counting the vote, and then two halves of the cluster are quorate at the same time.
    Release(release::Release),
    /// How many failures a cluster of so many nodes bears, and what to write into corosync.conf
    Advise(advise::Advise),
    /// What failures would do to a cluster: who stays quorate, who holds the vote and why
    Simulate(simulate::Simulate),
    /// What would happen to a connected cluster if a node, the arbiter or a link failed now
    Check(check::Check),
    /// Check or show the settings, and where each comes from
    Config(config::Config),
    /// Try whether alerts arrive
    #[command(alias = "alerts")]
    Alert(alert::Alert),
    /// List, show, revoke and renew certificates
    Certs(certs::Certs),
    /// Move the arbiter to another machine: export and import its identity
    Identity(identity::Identity),
    /// Take up a CA from PKCS #12 files, as pk12util and openssl export it
    Import(import::Import),
    /// Print a file that teaches a shell to complete these commands
    Completions(completions::Completions),
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
        Some("corosync-qnetd-tool") => tool::main(&program, arguments),
        Some("corosync-qnetd") => qnetd::main(&program, arguments.collect()),
        _ => match Cli::parse().command {
            Command::Serve(serve) => serve.run(),
            Command::Healthcheck(healthcheck) => healthcheck.run(),
            Command::Probe(probe) => probe.run(),
            Command::Status(status) => status.run(),
            Command::Events(events) => events.run(),
            Command::Release(release) => release.run(),
            Command::Advise(advise) => advise.run(),
            Command::Simulate(simulate) => simulate.run(),
            Command::Check(check) => check.run(),
            Command::Config(config) => config.run(),
            Command::Alert(alert) => alert.run(),
            Command::Certs(certs) => certs.run(),
            Command::Identity(identity) => identity.run(),
            Command::Import(import) => import.run(),
            Command::Completions(completions) => {
                completions.run(<Cli as CommandFactory>::command())
            }
        },
    }
}

/// Makes a reader of option values from a function that knows the right ones.
fn parsed<T>(
    wanted: &'static str,
    read: fn(&str) -> Option<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| read(text).ok_or_else(|| format!("choose {wanted}"))
}

/// Prints what a command has to say, or why it can't.
fn print(program: &str, result: Result<String, Box<dyn std::error::Error>>) -> ExitCode {
    let text = match result {
        Ok(text) => text,
        Err(error) => {
            complain(program, &error);
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            complain(program, &error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error for a person.
fn complain(program: &str, error: &dyn std::fmt::Display) {
    eprintln!("{program}: {error}");
}
