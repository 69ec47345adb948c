//! Starts the servers that the scenarios ask for, one instance for each set of flags, and stops them at the end.

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::certs::Identity;
use crate::script::{Scenario, Side};

const THEIRS: &str = "/usr/bin/corosync-qnetd";
const THEIR_CERTUTIL: &str = "/usr/bin/corosync-qnetd-certutil";

/// The program that is ours: this package's, or the one that `QARBITER_TEST_SERVER` names.
fn ours() -> PathBuf {
    let named = std::env::var_os("QARBITER_TEST_SERVER");
    named.map_or_else(|| env!("CARGO_BIN_EXE_qarbiter").into(), PathBuf::from)
}

/// A running server; ends with the last scenario that uses it.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Server {
    /// Asks for an orderly end, as systemd does.
    pub(crate) fn terminate(&self) {
        let child = self.child.lock().expect("child");
        let pid = Pid::from_child(&child);
        let _gone = kill_process(pid, Signal::TERM);
    }

    /// Waits for the end; the exit status as text, or none if it still runs.
    pub(crate) fn ended(&self, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self
                .child
                .lock()
                .expect("child")
                .try_wait()
                .expect("own child");
            if status.is_some() || Instant::now() > deadline {
                return status.map(|status| status.to_string());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The end of the log, for reports about a server that is not there any more.
    pub(crate) fn log_tail(&self) -> String {
        let text =
            String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Bytes that the server has sent to the client at `port` and that the client has not taken yet.
    pub(crate) fn unsent(&self, port: u16) -> u64 {
        let wanted = (self.addr.port(), port);
        sockets()
            .into_iter()
            .find(|socket| (socket.local, socket.remote) == wanted)
            .map_or(0, |socket| socket.unsent)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.terminate();
        if self.ended(Duration::from_secs(2)).is_none() {
            let mut child = self.child.lock().expect("child");
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// A line of the kernel's table of IPv4 TCP sockets.
struct Socket {
    local: u16,
    remote: u16,
    listening: bool,
    unsent: u64,
}

fn sockets() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
    let port = |text: &str| {
        text.rsplit(':')
            .next()
            .and_then(|p| u16::from_str_radix(p, 16).ok())
    };
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some(Socket {
            local: port(fields.get(1)?)?,
            remote: port(fields.get(2)?)?,
            listening: *fields.get(3)? == "0A",
            unsent: u64::from_str_radix(fields.get(4)?.split(':').next()?, 16).ok()?,
        })
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// A shared server, started by the first scenario that needs it, or why it does not start.
type Slot = OnceLock<Result<Arc<Server>, String>>;

/// All servers of one side.
pub(crate) struct Fleet {
    pub(crate) side: Side,
    pub(crate) identity: Identity,
    dir: PathBuf,
    program: PathBuf,
    shared: Mutex<HashMap<String, Arc<Slot>>>,
    count: Mutex<u32>,
}

impl Fleet {
    /// Prepares the identity of a side below `dir`.
    pub(crate) fn prepare(side: Side, dir: &Path) -> Self {
        let dir = dir.join(side.name());
        std::fs::create_dir(&dir).expect("new directory");
        let (program, certutil) = match side {
            Side::Theirs => (PathBuf::from(THEIRS), PathBuf::from(THEIR_CERTUTIL)),
            Side::Ours => (
                dir.join("corosync-qnetd"),
                dir.join("corosync-qnetd-certutil"),
            ),
        };
        if side == Side::Ours {
            for link in [&program, &certutil] {
                std::os::unix::fs::symlink(ours(), link).expect("symlink");
            }
        }
        assert!(
            program.exists(),
            "{} is missing: apt-get install corosync-qnetd",
            program.display()
        );
        let identity = Identity::create(&certutil, dir.join("identity"));
        Self {
            side,
            identity,
            dir,
            program,
            shared: Mutex::default(),
            count: Mutex::default(),
        }
    }

    /// The server for a scenario: shared by all scenarios with the same flags, unless it wants its own.
    ///
    /// # Errors
    /// The server does not start; its log says why.
    pub(crate) fn server(&self, scenario: &Scenario) -> Result<Arc<Server>, String> {
        if scenario.own {
            return self.start(scenario).map(Arc::new);
        }
        let key = format!("{} / {}", scenario.server, scenario.ours);
        let slot = Arc::clone(self.shared.lock().expect("servers").entry(key).or_default());
        slot.get_or_init(|| self.start(scenario).map(Arc::new))
            .clone()
    }

    /// The flags and logs of shared servers that have ended although nobody asked them to.
    pub(crate) fn casualties(&self) -> Vec<String> {
        let shared = self.shared.lock().expect("servers");
        let ended = |(key, slot): (&String, &Arc<Slot>)| {
            let server = slot.get()?.as_ref().ok()?;
            let status = server.ended(Duration::ZERO)?;
            Some(format!(
                "{} {key}: {status}\n{}",
                self.side.name(),
                server.log_tail()
            ))
        };
        shared.iter().filter_map(ended).collect()
    }

    fn start(&self, scenario: &Scenario) -> Result<Server, String> {
        let mut log = String::new();
        // The port is free when it is looked up but may be taken before the server has it: try again.
        for _ in 0..3 {
            let server = self.launch(scenario);
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && server.ended(Duration::ZERO).is_none() {
                if sockets()
                    .iter()
                    .any(|socket| socket.listening && socket.local == server.addr.port())
                {
                    return Ok(server);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            log = server.log_tail();
        }
        Err(format!(
            "{} does not listen with flags: {}\n{log}",
            self.side.name(),
            scenario.server
        ))
    }

    fn launch(&self, scenario: &Scenario) -> Server {
        let number = {
            let mut count = self.count.lock().expect("count");
            *count += 1;
            *count
        };
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = probe.local_addr().expect("own address");
        drop(probe);
        let file = |what: &str| self.dir.join(format!("{number}.{what}"));
        // Scenarios connect all at once; a SYN that the default backlog drops comes again only after a second.
        let mut settings = format!(
            "listen_backlog=256,nss_db_dir={},lock_file={},local_socket_file={}",
            self.identity.database().display(),
            file("pid").display(),
            file("sock").display()
        );
        if self.side == Side::Ours && !scenario.ours.is_empty() {
            settings = format!("{settings},{}", scenario.ours);
        }
        let log = file("log");
        let child = Command::new(&self.program)
            .args([
                "-f",
                "-d",
                "-4",
                "-l",
                "127.0.0.1",
                "-p",
                &addr.port().to_string(),
            ])
            .args(scenario.server.split_whitespace())
            .args(["-S", &settings])
            .env("QARBITER_PATHS_DATA_DIR", file("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("log file"))
            .spawn()
            .expect("server program");
        Server {
            addr,
            child: Mutex::new(child),
            log,
        }
    }
}
