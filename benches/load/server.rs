//! A server of our own: identity, process, port, all in a temporary directory.

use crate::Failure;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the reference's tool is; it knows only one directory, so it and ours run in a mount
/// namespace of their own.
const THEIR_CERTUTIL: &str = "/usr/bin/corosync-qnetd-certutil";

const PROVISION: &str = r#"
set -e
mount -t tmpfs none /etc/corosync
mkdir /etc/corosync/qnetd
"$1" -i
cp -a /etc/corosync/qnetd/nssdb "$2"
"#;

/// The CA in PEM out of an NSS database, certificate and key.
const EXPORT: &str = r#"
set -e
pk12util -d "$1" -k "$1/pwdfile.txt" -n "QNet CA" -W "" -o "$1/load.p12" >&2
openssl pkcs12 -in "$1/load.p12" -nodes -passin pass:
"#;

/// A running server. It ends with this value.
pub(crate) struct Server {
    dir: TempDir,
    child: Child,
    address: SocketAddr,
    /// Where ours has its metrics.
    http: Option<SocketAddr>,
}

impl Server {
    /// Makes an identity with the program's own tool and starts the program.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        clear: bool,
    ) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let is_theirs = program
            .file_name()
            .is_some_and(|name| name == "corosync-qnetd");
        let (daemon, certutil) = if is_theirs {
            (program.to_owned(), PathBuf::from(THEIR_CERTUTIL))
        } else {
            let program = program.canonicalize()?;
            let daemon = dir.path().join("corosync-qnetd");
            let certutil = dir.path().join("corosync-qnetd-certutil");
            symlink(&program, &daemon)?;
            symlink(&program, &certutil)?;
            (daemon, certutil)
        };
        let identity = dir.path().join("nssdb");
        shell(
            Command::new("unshare").args(["-m", "sh"]),
            PROVISION,
            &[&certutil, &identity],
        )?;
        let address = free_address()?;
        let http = free_address()?;
        let file = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "nss_db_dir={},lock_file={},local_socket_file={}",
            identity.display(),
            file("pid"),
            file("socket"),
        );
        // If this process is killed the server must not stay behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&daemon)
            .args(["-f", "-4", "-l", "127.0.0.1", "-p"])
            .arg(address.port().to_string())
            .args(["-s", if clear { "off" } else { "req" }, "-S", &settings])
            .args(arguments)
            .env("QARBITER_PATHS_DATA_DIR", dir.path().join("data"))
            .env("QARBITER_HTTP_ADDRESS", http.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log"))?)
            .spawn()
            .map_err(|error| format!("setpriv (util-linux) can't be run: {error}"))?;
        let mut server = Self {
            dir,
            child,
            address,
            http: (!is_theirs).then_some(http),
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its CA, certificate and key, in PEM.
    pub(crate) fn ca_pem(&self) -> Result<String, Failure> {
        let identity = self.dir.path().join("nssdb");
        shell(&mut Command::new("sh"), EXPORT, &[&identity])
    }

    fn wait_until_it_listens(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline && self.child.try_wait()?.is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.dir.path().join("log"))?;
        Err(format!(
            "the server does not listen on {}; it said:\n{log}",
            self.address
        )
        .into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("load: the server can't be stopped: {error}");
        }
    }
}

/// The port is free now and will most likely be so when the server takes it.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Runs a script; what it printed.
fn shell(command: &mut Command, script: &str, arguments: &[&Path]) -> Result<String, Failure> {
    let output = command
        .args(["-c", script, "load"])
        .args(arguments)
        .output()
        .map_err(|error| format!("{command:?} can't be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "no identity could be made (needs root, unshare, openssl and pk12util):\n{said}"
        )
        .into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
