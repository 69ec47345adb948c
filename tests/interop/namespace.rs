//! One set of namespaces (network, mounts, processes) that lives exactly as long as the value that stands for it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Directories that corosync and the servers write to. Each namespace gets its own, empty.
const PRIVATE_DIRS: &[&str] = &["/run", "/dev/shm", "/var/lib/corosync", "/etc/corosync"];

/// The first process of the new namespaces. It prints its process id as the outside sees it (the old /proc is still
/// mounted then), prepares the mounts, and waits for the end of its input. When it goes, the kernel kills everything
/// that was started beside it: that is the whole clean-up, and it also happens if the test process is killed.
const HOLDER: &str = r#"
set -e
read pid rest < /proc/self/stat
mount -t proc proc /proc
for dir in "$@"; do mount -t tmpfs tmpfs "$dir"; done
ip link set lo up
echo "$pid"
exec bash -c 'while read -r _; do :; done'
"#;

/// Administrators' programs are not on every caller's path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A private network, file-system view and process tree.
pub(crate) struct Namespace {
    name: String,
    holder: Mutex<Child>,
    pid: u32,
    alive: AtomicBool,
    logs: PathBuf,
    daemons: Mutex<Vec<Daemon>>,
}

/// A program that was started in a namespace and is expected to stay.
struct Daemon {
    name: String,
    entry: Child,
}

impl Namespace {
    /// Makes the namespaces. The output of daemons goes to files `logs/NAME-DAEMON.log`.
    pub(crate) fn new(name: &str, logs: &Path) -> Self {
        let mut holder = Command::new("unshare")
            .env("PATH", PATH)
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", "private", "sh", "-c", HOLDER, "holder"])
            .args(PRIVATE_DIRS)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start unshare for {name}: {error}"));
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| {
            panic!("{name}: no namespaces could be made (are you root, outside of a restricted container?)")
        });
        Self {
            name: name.to_owned(),
            holder: Mutex::new(holder),
            pid,
            alive: AtomicBool::new(true),
            logs: logs.to_owned(),
            daemons: Mutex::new(Vec::new()),
        }
    }

    /// The name that was given to [`Namespace::new`].
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the namespace's first process, as seen from outside.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// False after [`Namespace::destroy`].
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Where a path of this namespace is found from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    /// Runs an `ip` script in the network alone. Process ids in it are those of the outside.
    pub(crate) fn ip_batch(&self, script: &Path) {
        let output = Command::new("nsenter")
            .env("PATH", PATH)
            .arg(format!("--target={}", self.pid))
            .args(["--net", "--", "ip", "-batch"])
            .arg(script)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}: ip -batch failed: {}\n{}",
            self.name,
            String::from_utf8_lossy(&output.stderr),
            std::fs::read_to_string(script).unwrap()
        );
    }

    /// A command that will run inside.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .env("PATH", PATH)
            .arg(format!("--target={}", self.pid))
            .args(["--net", "--mount", "--pid", "--"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command inside and returns what came of it.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{}: cannot run {arguments:?}: {error}", self.name))
    }

    /// Runs a command inside that has to succeed; returns its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "{}: {arguments:?} failed ({}):\n{}{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a program that stays. It may be started again after [`Namespace::kill`]; its log goes on.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path(name))
            .unwrap();
        let mut wrapped = vec!["sh", "-c", r#"echo $$ > "/run/$0.pid"; exec "$@""#, name];
        wrapped.extend(arguments);
        let entry = self
            .command(&wrapped)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: cannot start {name}: {error}", self.name));
        self.daemons.lock().unwrap().push(Daemon {
            name: name.to_owned(),
            entry,
        });
    }

    /// Kills a program that was started by [`Namespace::start`] with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&self, name: &str) {
        let status = self.signal(name, "KILL");
        assert!(
            ended_by_kill(status),
            "{}: {name} had already ended by itself ({status})",
            self.name
        );
    }

    /// Asks a program that was started by [`Namespace::start`] to end, and waits until it has.
    pub(crate) fn stop(&self, name: &str) {
        let status = self.signal(name, "TERM");
        assert!(
            status.success(),
            "{}: {name} did not end in good order ({status})",
            self.name
        );
    }

    fn signal(&self, name: &str, signal: &str) -> ExitStatus {
        let pid = std::fs::read_to_string(self.path(&format!("/run/{name}.pid"))).unwrap();
        self.run(&["kill", "-s", signal, pid.trim()]);
        let mut daemons = self.daemons.lock().unwrap();
        let position = daemons.iter().position(|d| d.name == name).unwrap();
        daemons.remove(position).entry.wait().unwrap()
    }

    /// The programs that should be running and are not, with how they ended.
    pub(crate) fn ended(&self) -> Vec<String> {
        let mut daemons = self.daemons.lock().unwrap();
        daemons
            .iter_mut()
            .filter_map(|daemon| {
                let status = daemon.entry.try_wait().unwrap()?;
                Some(format!("{}: {} ended ({status})", self.name, daemon.name))
            })
            .collect()
    }

    /// Kills everything inside at once; nothing in it gets a chance to say goodbye.
    pub(crate) fn destroy(&self) {
        self.alive.store(false, Ordering::Relaxed);
        let mut holder = self.holder.lock().unwrap();
        drop(holder.stdin.take());
        holder.wait().unwrap();
        for mut daemon in self.daemons.lock().unwrap().drain(..) {
            daemon.entry.wait().unwrap();
        }
    }

    /// Where the output of a daemon goes.
    pub(crate) fn log_path(&self, daemon: &str) -> PathBuf {
        self.logs.join(format!("{}-{daemon}.log", self.name))
    }

    /// The whole log of a daemon; empty if it was never started.
    pub(crate) fn log(&self, daemon: &str) -> String {
        std::fs::read(self.log_path(daemon))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// nsenter ends itself by the signal that ended its child; a shell-like 128+9 counts too.
fn ended_by_kill(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(137)
}
