//! Programs under test: started in a temporary directory, watched, and never left behind.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const QARBITER: &str = env!("CARGO_BIN_EXE_qarbiter");

/// The reference.
pub(crate) const THEIR_QNETD: &str = "/usr/bin/corosync-qnetd";

/// How long a program may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A temporary directory and a port of its own.
pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) port: u16,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
        }
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory for `--state-dir`; it does not exist at first.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The program under another name.
    pub(crate) fn named(&self, name: &str) -> PathBuf {
        let link = self.path(name);
        if !link.exists() {
            symlink(QARBITER, &link).unwrap();
        }
        link
    }

    /// `qarbiter serve` with this directory and port.
    pub(crate) fn serve(&self, more: &[&str]) -> Command {
        let mut command = Command::new(QARBITER);
        command.arg("serve").arg("--state-dir").arg(self.state());
        command.args(["-l", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(more);
        // All instances have the same default, of which only one can be.
        command.env("QARBITER_HTTP_ADDRESS", "off");
        command
    }

    /// What `-S` needs to keep an instance of corosync-qnetd in this directory.
    pub(crate) fn places(&self) -> String {
        format!(
            "nss_db_dir={},lock_file={},local_socket_file={}",
            self.state().display(),
            self.path("lock").display(),
            self.socket().display()
        )
    }

    /// The control socket of an instance of corosync-qnetd.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// A corosync-qnetd, theirs or ours, with files and port here.
    pub(crate) fn qnetd(&self, program: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["-l", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-S", &self.places()]).args(more);
        // It has no flags for these.
        command.env("QARBITER_PATHS_DATA_DIR", self.path("data"));
        command.env("QARBITER_HTTP_ADDRESS", "off");
        command
    }

    /// Starts a program that stays in the foreground and waits until it says that it is ready.
    pub(crate) fn start(&self, command: &Command) -> Running {
        let notify = tempfile::tempdir_in(self.dir.path()).unwrap();
        let socket = UnixDatagram::bind(notify.path().join("s")).unwrap();
        // The program may run as another user.
        for (path, mode) in [
            (notify.path().to_owned(), 0o755),
            (notify.path().join("s"), 0o666),
        ] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let log = notify.path().join("log");
        let out = notify.path().join("out");
        let variables = command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        // If this process is killed nothing must stay behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .envs(variables)
            .arg(command.get_program())
            .args(command.get_args())
            .env("NOTIFY_SOCKET", notify.path().join("s"))
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("setpriv (util-linux) is installed");
        let mut running = Running {
            child,
            address: (Ipv4Addr::LOCALHOST, self.port).into(),
            log,
            out,
            notify: socket,
            _dir: notify,
        };
        running.wait_until_ready();
        running
    }
}

/// A program that runs; it ends with this value.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    out: PathBuf,
    notify: UnixDatagram,
    _dir: TempDir,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything on standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Everything on standard output so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// Waits until the log has a line with all these words; the line.
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let wanted = |line: &&str| words.iter().all(|word| line.contains(word));
            if let Some(line) = log.lines().find(wanted) {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no line with {words:?} in:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal and waits for the end: the exit status and how long it took.
    pub(crate) fn end_with(&mut self, signal: Signal) -> (Option<i32>, Duration) {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!(
            "still running {PATIENCE:?} after {signal:?}:\n{}",
            self.log()
        );
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The next message to the service manager, if there is one.
    pub(crate) fn notified(&self) -> Option<String> {
        let mut buffer = [0; 256];
        let read = self.notify.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.notified() {
                Some(said) if said.lines().any(|line| line == "READY=1") => return,
                Some(said) => panic!("the first message to the service manager is {said:?}"),
                None => {}
            }
            let running = self.is_running();
            assert!(running, "it ended instead of starting:\n{}", self.log());
            assert!(Instant::now() < deadline, "not ready:\n{}", self.log());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; waiting is what matters.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What a program that ends by itself did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_child(&child);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output: Output = match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process(pid, Signal::KILL).unwrap();
            panic!("{command:?} does not end");
        }
    };
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A port below those that the kernel gives to clients, so that none of ours takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        // Processes with neighbouring ids must not try the same ports in the same order.
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(37);
        let port = FIRST + (start.wrapping_mul(101) % COUNT + step % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
