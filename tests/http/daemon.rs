//! HTTP of the real program.

use crate::lab::{Answer, PATIENCE, head};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `qarbiter serve` with TLS.
struct Daemon {
    child: Child,
    votes: SocketAddr,
    http: SocketAddr,
    dir: TempDir,
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Daemon {
    fn spawn(http: SocketAddr) -> Self {
        Self::with(http, |_, _| {})
    }

    fn with(http: SocketAddr, change: impl FnOnce(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let votes = free();
        let mut command = Command::new(env!("CARGO_BIN_EXE_qarbiter"));
        command
            .args(["serve", "--listen", "127.0.0.1", "--state-dir"])
            .arg(dir.path())
            .args(["--port", &votes.port().to_string()])
            .env("QARBITER_HTTP_ADDRESS", http.to_string())
            .stdout(File::create(dir.path().join("out")).unwrap())
            .stderr(File::create(dir.path().join("log")).unwrap());
        change(&mut command, dir.path());
        let child = command.spawn().unwrap();
        Self {
            child,
            votes,
            http,
            dir,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Asks until there is an answer.
    fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    /// The status with this token.
    fn opens(&self, token: &str) -> u16 {
        let value = format!("Bearer {token}");
        let headers = [("Authorization", value.as_str())];
        self.ask("/metrics", &headers).status
    }

    /// Asks for settings to be read again, and waits until the log says so.
    fn reload(&self, outcome: &str) {
        let said = || self.log().matches(outcome).count();
        let before = said();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        let begin = Instant::now();
        while said() == before {
            assert!(begin.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let begin = Instant::now();
        loop {
            if let Ok(mut stream) = TcpStream::connect(self.http) {
                stream
                    .write_all(head("GET", path, headers).as_bytes())
                    .unwrap();
                return Answer::read(stream);
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_shows_its_certificates_and_keeps_its_keys() {
    let daemon = Daemon::spawn(free());
    let ready = daemon.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    let list = daemon.get("/api/v1/certificates").json();
    let certificates = list["certificates"].as_array().unwrap();
    assert_eq!(certificates[0]["role"], "server");
    assert_eq!(certificates[0]["subject"], "CN=Qnetd Server");
    assert_eq!(certificates[1]["role"], "ca");
    let metrics = daemon.get("/metrics").text();
    for (role, certificate) in [("server", &certificates[0]), ("ca", &certificates[1])] {
        let name = "qarbiter_certificate_expiry_timestamp_seconds";
        let end = certificate["not_after_unix"].as_i64().unwrap();
        let line = format!("{name}{{certificate=\"{role}\"}} {end}\n");
        assert!(metrics.contains(&line), "{line}");
    }
    assert!(metrics.contains("qarbiter_journal_up 1\n"));
    for path in [
        "/",
        "/metrics",
        "/api/v1/arbiter",
        "/api/v1/certificates",
        "/api/v1/events",
    ] {
        let text = daemon.get(path).text();
        assert!(!text.to_ascii_lowercase().contains("private"), "{path}");
    }

    let mut probe = Command::new(env!("CARGO_BIN_EXE_qarbiter"));
    probe.args(["probe", &daemon.votes.to_string(), "--ca"]);
    probe.arg(daemon.dir.path().join("qnetd-cacert.crt"));
    let output = probe.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let fingerprint = certificates[0]["sha256"].as_str().unwrap();
    assert!(
        said.contains(fingerprint) && said.contains("turns away"),
        "{said}"
    );
    let begin = Instant::now();
    let handshakes = "qarbiter_tls_handshake_failures_total{reason=\"no_certificate\"} 1\n";
    while !daemon.get("/metrics").text().contains(handshakes) {
        assert!(begin.elapsed() < PATIENCE, "{}", daemon.log());
    }
}

#[test]
fn an_address_that_was_asked_for_must_be_had() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut daemon = Daemon::spawn(taken.local_addr().unwrap());
    let status = daemon.child.wait().unwrap();
    assert!(!status.success());
    assert!(
        daemon.log().contains("setting http.address"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_changed_token_counts_from_the_next_reload_on() {
    let (old, new) = ("old-0123456789abcdef", "new-0123456789abcdef");
    let daemon = Daemon::with(free(), |command, dir| {
        let file = dir.join("token");
        std::fs::write(&file, old).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        command.env("QARBITER_HTTP_READ_TOKEN_FILE", file);
    });
    let file = daemon.dir.path().join("token");
    assert_eq!((daemon.opens(old), daemon.opens(new)), (200, 401));
    std::fs::write(&file, new).unwrap();
    assert_eq!((daemon.opens(old), daemon.opens(new)), (200, 401));
    let exposed = || daemon.log().matches("(mode 0644): chmod 0640").count();
    assert_eq!(exposed(), 1, "{}", daemon.log());
    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    daemon.reload("were read again");
    assert_eq!(exposed(), 1, "{}", daemon.log());
    assert_eq!((daemon.opens(old), daemon.opens(new)), (401, 200));
    // What can't be used changes nothing, and opens nothing.
    std::fs::write(&file, "short").unwrap();
    daemon.reload("the former settings stay in force");
    assert_eq!((daemon.opens("short"), daemon.opens(new)), (401, 200));
    assert!(!daemon.log().contains(new), "{}", daemon.log());
}
