//! `qarbiter serve`.

use super::complain;
use super::daemon::{self, Start, StartError};
use super::options::Options;
use crate::config::{Loaded, Settings, Sources};
use crate::pki::{Origin, Store};
use crate::telemetry::log::{self, Sinks};
use crate::wire::TlsSupport;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::SystemTime;

const NAME: &str = "qarbiter serve";

/// Options of `qarbiter serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        let sources = match self.options.sources() {
            Ok(sources) => sources,
            Err(error) => {
                complain(NAME, &error);
                return ExitCode::FAILURE;
            }
        };
        let loaded = match sources.load() {
            Ok(loaded) => loaded,
            Err(errors) => {
                for error in &errors {
                    complain(NAME, error);
                }
                return ExitCode::FAILURE;
            }
        };
        match serve(loaded, sources) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(NAME, &error);
                ExitCode::FAILURE
            }
        }
    }
}

fn serve(loaded: Loaded, sources: Sources) -> Result<(), StartError> {
    let settings = loaded.settings;
    let _log = log::start(Sinks {
        stderr: true,
        syslog: None,
        debug: settings.debug,
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let identity = match settings.session.tls {
        TlsSupport::Unsupported => None,
        _ => Some(Store::open_or_create(
            &settings.identity_dir,
            settings.cert_nickname.clone().into(),
            settings.profile,
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
    let reload = daemon::reload_from(sources);
    daemon::run(settings, Start { reload, ready })
}

/// What to do on the nodes.
fn joining(settings: &Settings, store: &Store) -> String {
    // What a container manager sets for the first process, and our image for all: systemd's
    // container interface.
    if std::env::var_os("container").is_some_and(|manager| !manager.is_empty()) {
        return JOINING_A_CONTAINER.to_owned();
    }
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

/// The same where there is neither ssh nor a shell, and where the address is the host's. Nothing
/// has to be copied in or out.
const JOINING_A_CONTAINER: &str = "\
The arbiter is running in a container. To join a cluster, with `docker exec -i CONTAINER` or its like
before what is run here:

  here        qarbiter certs show ca --pem  >qnetd-cacert.crt
  every node  corosync-qdevice-net-certutil -i -c qnetd-cacert.crt
  one node    corosync-qdevice-net-certutil -r -n CLUSTER
  here        corosync-qnetd-certutil -s -c /dev/stdin -n CLUSTER  <qdevice-net-node.crq
  here        qarbiter certs show CLUSTER --pem  >cluster-CLUSTER.crt
  that node   corosync-qdevice-net-certutil -M -c cluster-CLUSTER.crt
  the others  corosync-qdevice-net-certutil -m -c qdevice-net-node.p12

The nodes make the request and the .p12 file in /etc/corosync/qdevice/net/nssdb.";

/// The address that this machine has towards others. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // A documentation address (RFC 5737): only the route to it is looked up.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then(|| address.to_string())
}
