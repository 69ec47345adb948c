//! The options that settings can have on a command line, for `qarbiter serve` and for those who
//! ask what it would do.

use crate::config::{CommandLine, Family, FlagError, Sources};
use std::path::PathBuf;

/// Settings on the command line; they win over the environment and the configuration file.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Configuration file [default: /etc/qarbiter/qarbiter.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep certificates, data, lock and control socket here [default: where corosync-qnetd has
    /// them]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Address or host name to listen on [default: all addresses]
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Port to listen on [default: 5403]
    #[arg(short, long)]
    port: Option<String>,
    /// Listen on IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Listen on IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Whether nodes must, may or can't use TLS: req, on or off [default: req]
    #[arg(short = 's', long, value_name = "MODE")]
    tls: Option<String>,
    /// Whether a node needs a certificate for its cluster: on or off [default: on]
    #[arg(short = 'c', long, value_name = "ON|OFF")]
    client_cert: Option<String>,
    /// Most connections, 0 for no limit [default: 0]
    #[arg(short, long, value_name = "N")]
    max_clients: Option<String>,
    /// Advanced settings, those of corosync-qnetd and our own:
    /// rules=safe|reference, vote_leases=on|off, lost_holder=timed|manual,
    /// each also for one cluster (rules[NAME]=reference);
    /// max_pending_clients=N, init_timeout=MS
    #[arg(
        short = 'S',
        long = "set",
        value_name = "NAME=VALUE[,...]",
        verbatim_doc_comment
    )]
    set: Vec<String>,
    /// Log every message
    #[arg(short, long)]
    debug: bool,
}

/// An option that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {error}")]
pub(crate) struct OptionError {
    flag: &'static str,
    error: FlagError,
}

impl Options {
    /// Where the settings come from.
    ///
    /// # Errors
    /// The first option that can't be used.
    pub(crate) fn sources(&self) -> Result<Sources, OptionError> {
        let mut line = CommandLine::default();
        if let Some(dir) = &self.state_dir {
            line.state_dir(dir);
        }
        if let Some(address) = &self.listen {
            line.listen(address);
        }
        match (self.ipv4, self.ipv6) {
            (true, _) => line.family(Family::V4),
            (_, true) => line.family(Family::V6),
            _ => {}
        }
        if let Some(text) = &self.port {
            line.port(text).map_err(of("--port"))?;
        }
        if let Some(text) = &self.tls {
            line.tls(text).map_err(of("--tls"))?;
        }
        if let Some(text) = &self.client_cert {
            line.client_cert(text).map_err(of("--client-cert"))?;
        }
        if let Some(text) = &self.max_clients {
            line.max_clients(text).map_err(of("--max-clients"))?;
        }
        for text in &self.set {
            line.advanced(text).map_err(of("-S"))?;
        }
        if self.debug {
            line.debug();
        }
        Ok(Sources::of_process(self.config.clone(), line))
    }
}

fn of(flag: &'static str) -> impl FnOnce(FlagError) -> OptionError {
    move |error| OptionError { flag, error }
}
