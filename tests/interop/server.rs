//! The server under test: the reference or ours, behind the same paths and the same command line.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

/// The directory that `corosync-qnetd-certutil` is built for.
pub(crate) const DATABASE: &str = "/etc/corosync/qnetd/nssdb";

/// Which implementation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Debian's corosync-qnetd.
    Theirs,
    /// This package's binary, called by the reference's names.
    Ours,
}

impl Flavour {
    /// Reads `QNETD_UNDER_TEST`.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("QNETD_UNDER_TEST").as_deref() {
            Ok("theirs") => Self::Theirs,
            Ok("ours") | Err(std::env::VarError::NotPresent) => Self::Ours,
            other => panic!("QNETD_UNDER_TEST must be `ours` or `theirs`, not {other:?}"),
        }
    }
}

/// The program that is ours: this package's, or the one that `QARBITER_TEST_SERVER` names, such as one for another
/// machine behind an emulator.
fn ours() -> PathBuf {
    let named = std::env::var_os("QARBITER_TEST_SERVER");
    named.map_or_else(|| env!("CARGO_BIN_EXE_qarbiter").into(), PathBuf::from)
}

/// The two programs of the server under test.
pub(crate) struct Server {
    flavour: Flavour,
    programs: PathBuf,
    flags: &'static [&'static str],
    environment: &'static [&'static str],
}

impl Server {
    /// Finds the programs; `flags` say what the server demands of its clients, `environment` what else is set
    /// (`NAME=VALUE`). For ours, makes the links by whose names the binary knows its part.
    pub(crate) fn new(
        flavour: Flavour,
        scratch: &Path,
        flags: &'static [&'static str],
        environment: &'static [&'static str],
    ) -> Self {
        let programs = match flavour {
            Flavour::Theirs => PathBuf::from("/usr/bin"),
            Flavour::Ours => {
                let links = scratch.join("bin");
                std::fs::create_dir(&links).unwrap();
                for name in ["corosync-qnetd", "corosync-qnetd-certutil"] {
                    symlink(ours(), links.join(name)).unwrap();
                }
                links
            }
        };
        Self {
            flavour,
            programs,
            flags,
            environment,
        }
    }

    /// Which implementation this is.
    pub(crate) fn flavour(&self) -> Flavour {
        self.flavour
    }

    fn program(&self, name: &str) -> String {
        self.programs.join(name).to_str().unwrap().to_owned()
    }

    /// Creates the CA and the server's certificate, as `pvecm`, `pcs` and `crm` do it.
    pub(crate) fn create_ca(&self, machine: &Namespace) {
        machine.run(&["mkdir", "-p", "/etc/corosync/qnetd", "/run/corosync-qnetd"]);
        machine.run(&[&self.program("corosync-qnetd-certutil"), "-i"]);
    }

    /// Signs a cluster's request; returns the certificate's bytes.
    pub(crate) fn sign(&self, machine: &Namespace, request: &[u8], cluster: &str) -> Vec<u8> {
        let path = format!("/run/{cluster}.crq");
        std::fs::write(machine.path(&path), request).unwrap();
        let certutil = self.program("corosync-qnetd-certutil");
        machine.run(&[&certutil, "-s", "-c", &path, "-n", cluster]);
        std::fs::read(machine.path(&format!("{DATABASE}/cluster-{cluster}.crt"))).unwrap()
    }

    /// Starts the server on its machine and waits until its port listens.
    pub(crate) fn start(&self, machine: &Namespace) {
        let settings = format!(
            "nss_db_dir={DATABASE},lock_file=/run/corosync-qnetd/pid,local_socket_file=/run/corosync-qnetd/socket"
        );
        let program = self.program("corosync-qnetd");
        let data = "QARBITER_PATHS_DATA_DIR=/run/corosync-qnetd/data";
        let arguments = [program.as_str(), "-f", "-d", "-p", "5403", "-S", &settings];
        let command = [&["env", data], self.environment, &arguments, self.flags].concat();
        machine.start("qnetd", &command);
        let limit = Instant::now() + Duration::from_secs(10);
        while !listening(machine) {
            let ended = machine.ended();
            assert!(
                ended.is_empty() && Instant::now() < limit,
                "the server does not listen on port 5403 {ended:?}:\n{}",
                machine.log("qnetd")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Reads the namespace's socket tables, so as not to disturb the server with a connection.
fn listening(machine: &Namespace) -> bool {
    const PORT_5403_LISTENS: &str = ":151B";
    const STATE_LISTEN: &str = "0A";
    ["tcp", "tcp6"].iter().any(|table| {
        std::fs::read_to_string(format!("/proc/{}/net/{table}", machine.pid()))
            .unwrap_or_default()
            .lines()
            .any(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                fields.len() > 3
                    && fields[1].ends_with(PORT_5403_LISTENS)
                    && fields[3] == STATE_LISTEN
            })
    })
}
