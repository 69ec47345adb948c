//! `qarbiter serve`.

use super::complain;
use super::daemon::{self, Start, StartError};
use crate::config::{Family, SettingError, Settings, advanced};
use crate::pki::{Origin, ServerNickname, Store};
use crate::telemetry::log::{self, Sinks};
use crate::wire::TlsSupport;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

/// Options of `qarbiter serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Keep certificates, lock and control socket here [default: where corosync-qnetd has them]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Address or host name to listen on [default: all addresses]
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Port to listen on
    #[arg(short, long, default_value_t = crate::config::settings::DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Listen on IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Listen on IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Whether nodes must, may or can't use TLS: req, on or off
    #[arg(short = 's', long, default_value = "req", value_name = "MODE")]
    tls: String,
    /// Whether a node needs a certificate for its cluster: on or off
    #[arg(short = 'c', long, default_value = "on", value_name = "ON|OFF")]
    client_cert: String,
    /// Most connections, 0 for no limit
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    max_clients: usize,
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

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        let (settings, warnings) = match self.settings() {
            Ok(settings) => settings,
            Err(error) => {
                complain("qarbiter serve", &error);
                return ExitCode::FAILURE;
            }
        };
        match self.serve(settings, &warnings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain("qarbiter serve", &error);
                ExitCode::FAILURE
            }
        }
    }

    fn settings(&self) -> Result<(Settings, Vec<String>), SettingError> {
        let mut settings = Settings {
            listen: self.listen.clone(),
            port: self.port,
            max_clients: self.max_clients,
            debug: self.debug,
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Both,
            },
            ..Settings::default()
        };
        if let Some(dir) = &self.state_dir {
            settings.use_state_dir(dir);
        }
        settings.set_tls(&self.tls)?;
        settings.set_client_cert(&self.client_cert)?;
        let mut warnings = Vec::new();
        for argument in &self.set {
            warnings.extend(advanced::apply(&mut settings, argument)?);
        }
        settings.policies.check()?;
        Ok((settings, warnings))
    }

    fn serve(&self, settings: Settings, warnings: &[String]) -> Result<(), StartError> {
        let _log = log::start(Sinks {
            stderr: true,
            syslog: None,
            debug: self.debug,
        })?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let identity = match settings.session.tls {
            TlsSupport::Unsupported => None,
            _ => Some(Store::open_or_create(
                &settings.identity_dir,
                ServerNickname::default(),
                super::certutil::profile_from_env().map_err(StartError::Profile)?,
                SystemTime::now(),
            )?),
        };
        if let Some((store, Origin::Created)) = &identity {
            tracing::info!(
                "made a new CA and server certificate in {}",
                store.path().display()
            );
        }
        let help = identity
            .as_ref()
            .map(|(store, _)| joining(&settings, store));
        let ready = Box::new(move || {
            if let Some(help) = help {
                println!("{help}");
            }
            Ok(())
        });
        let again = settings.clone();
        let reload = Box::new(move || Ok(again.clone()));
        daemon::run(settings, Start { reload, ready })
    }
}

/// What to do on the nodes.
fn joining(settings: &Settings, store: &Store) -> String {
    let address = settings.listen.clone().or_else(own_address);
    let address = address.as_deref().unwrap_or("ARBITER");
    let port = match settings.port {
        crate::config::settings::DEFAULT_PORT => String::new(),
        port => {
            format!("\nThe nodes must use port {port}: quorum.device.net.port in corosync.conf.")
        }
    };
    let mut help = format!(
        "The arbiter is running. To join a cluster, run on one of its nodes:\n\
         \n  \
         Proxmox VE:  pvecm qdevice setup {address}\n  \
         corosync:    corosync-qdevice-net-certutil -Q -n CLUSTER {address} NODE1 NODE2\n"
    );
    let program = std::env::current_exe().unwrap_or_else(|_| "qarbiter".into());
    let dir = std::path::absolute(store.path()).unwrap_or_else(|_| store.path().to_owned());
    help += "\nBoth call corosync-qnetd-certutil on this machine over ssh. If it is not here yet, once:\n";
    help += &format!(
        "  ln -s {} /usr/local/bin/corosync-qnetd-certutil\n",
        program.display()
    );
    if dir != std::path::Path::new(super::certutil::DEFAULT_STATE_DIR) {
        help += &format!(
            "  mkdir -p /etc/corosync/qnetd && ln -s {} {}\n",
            dir.display(),
            super::certutil::DEFAULT_STATE_DIR
        );
    }
    help += &format!(
        "Joining by hand: see the README. The nodes' CA certificate:\n  {}{port}",
        store.ca_path().display()
    );
    help
}

/// The address that this machine has towards others. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // A documentation address (RFC 5737): only the route to it is looked up.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then(|| address.to_string())
}
