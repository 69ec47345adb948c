//! Machines in namespaces: a private network, process tree, `/etc`, `/usr/bin`, `/root`, `/tmp`, `/run` and `/var/log`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::namespace::Namespace;

/// The arbiter's database; tools have the path compiled in.
pub(crate) const DB: &str = "/etc/corosync/qnetd/nssdb";

/// The database of a node.
pub(crate) const NODE_DB: &str = "/etc/corosync/qdevice/net/nssdb";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Makes `/etc` and `/usr/bin` copies on write, and gives the machine a file system like a fresh one's. The binary
/// under test is bound before the directories are covered in which it may be.
const PREPARE: &str = r#"
set -e
layers=/run/layers
mkdir -p $layers
mount -t tmpfs layers $layers
touch $layers/qarbiter
mount --bind "$0" $layers/qarbiter
mkdir /run/shared
mount --bind "$1" /run/shared
for dir in etc usr/bin; do
    mkdir -p $layers/$dir/upper $layers/$dir/work
    mount -t overlay overlay -o lowerdir=/$dir,upperdir=$layers/$dir/upper,workdir=$layers/$dir/work /$dir
done
for dir in /etc/corosync /root /tmp /var/log /var/lib/pcsd; do mount -t tmpfs tmpfs "$dir"; done
chmod 700 /root
chmod 1777 /tmp
mkdir -p /etc/corosync/qnetd /var/log/pcsd /var/log/crmsh /run/sshd /run/systemd/system /usr/bin/reference
rm -f /etc/systemd/system/multi-user.target.wants/corosync*
mv /usr/bin/corosync-qnetd /usr/bin/corosync-qnetd-tool /usr/bin/corosync-qnetd-certutil /usr/bin/reference/
touch /usr/bin/qarbiter
mount --bind $layers/qarbiter /usr/bin/qarbiter
"#;

/// The names by which the tools call us.
const NAMES: [&str; 3] = [
    "corosync-qnetd",
    "corosync-qnetd-tool",
    "corosync-qnetd-certutil",
];

/// Which implementation is behind the three names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Theirs,
    Ours,
}

impl Whose {
    /// `QNETD_UNDER_TEST`: `ours`, the default, or `theirs`, to try a test on the reference.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("QNETD_UNDER_TEST").as_deref() {
            Ok("theirs") => Self::Theirs,
            Ok("ours") | Err(std::env::VarError::NotPresent) => Self::Ours,
            other => panic!("QNETD_UNDER_TEST must be `ours` or `theirs`, not {other:?}"),
        }
    }
}

/// A network with machines.
pub(crate) struct Site {
    switches: Namespace,
    machines: AtomicU32,
    scratch: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("qarbiter-provision-")
            .tempdir()
            .unwrap();
        let site = Self {
            switches: Namespace::new("switches", scratch.path()),
            machines: AtomicU32::new(1),
            scratch,
        };
        std::fs::create_dir(site.scratch.path().join("shared")).unwrap();
        site.switch("link add lan type bridge\nlink set lan up\n");
        site
    }

    fn switch(&self, commands: &str) {
        let script = self.scratch.path().join("ip-batch");
        std::fs::write(&script, commands).unwrap();
        self.switches.ip_batch(&script);
    }

    /// A machine on which our three names are installed, and nothing is running.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new(name, self.scratch.path());
        let shared = self.scratch.path().join("shared");
        let shared = shared.to_str().unwrap();
        namespace.run(&["sh", "-c", PREPARE, env!("CARGO_BIN_EXE_qarbiter"), shared]);
        let address = format!("192.0.2.{number}");
        self.switch(&format!(
            "link add port{number} type veth peer name lan netns {}\nlink set port{number} master lan up\n",
            namespace.pid()
        ));
        let network = format!("{address}/24");
        namespace.run(&["ip", "address", "add", &network, "dev", "lan"]);
        namespace.run(&["ip", "link", "set", "lan", "up"]);
        let machine = Machine { namespace, address };
        machine.write_program("/usr/bin/systemctl", include_str!("systemctl.py"));
        machine.install(Whose::from_environment());
        machine
    }
}

/// A machine.
pub(crate) struct Machine {
    namespace: Namespace,
    pub(crate) address: String,
}

impl Machine {
    /// Puts an implementation behind the three names, as a package does: the files change, nothing else.
    pub(crate) fn install(&self, whose: Whose) {
        for name in NAMES {
            let target = match whose {
                Whose::Theirs => format!("reference/{name}"),
                Whose::Ours => "qarbiter".to_owned(),
            };
            self.run(&["ln", "-sfn", &target, &format!("/usr/bin/{name}")]);
        }
    }

    /// Gives the directory to the daemon's group, as our package does. What anybody makes in it has that group then.
    pub(crate) fn package(&self) {
        self.run(&["chgrp", "coroqnetd", "/etc/corosync/qnetd"]);
    }

    /// Makes certificates as the package of Debian does at its installation; the directory around them stays root's.
    pub(crate) fn initialize(&self) {
        self.run(&["corosync-qnetd-certutil", "-i", "-G"]);
        self.sh(&format!("cd {DB}; chgrp coroqnetd . cert9.db key4.db"));
    }

    pub(crate) fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Where a path of this machine is found from outside. Symbolic links on the way lead astray.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.namespace.path(inside)
    }

    /// A command that will run on this machine, for those that need an input or several processes at once.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .arg(format!("--target={}", self.namespace.pid()))
            .args(["--net", "--mount", "--pid", "--"])
            .args(arguments)
            .current_dir("/");
        command
    }

    /// Runs a command that reads this from its input.
    pub(crate) fn feed(&self, input: &[u8], arguments: &[&str]) -> Outcome {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs a command without input; whatever comes of it.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.namespace.output(arguments)
    }

    /// Runs a command and says what came of it.
    pub(crate) fn outcome(&self, arguments: &[&str]) -> Outcome {
        self.output(arguments).into()
    }

    /// Runs a command that has to succeed; its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.namespace.run(arguments)
    }

    /// Runs a shell script that has to succeed; its standard output.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-euc", script])
    }

    /// Starts a program that stays.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) {
        self.namespace.start(name, arguments);
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn write_program(&self, path: &str, text: &str) {
        // Not over what is there: it may be running, or a link to something of the real machine.
        let outside = self.path(path);
        if outside.exists() {
            std::fs::remove_file(&outside).unwrap();
        }
        self.write(path, text);
        std::fs::set_permissions(outside, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        let outside = self.path(path);
        std::fs::read(&outside).unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name()))
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// What services wrote, for the report of a failure.
    pub(crate) fn print_logs(&self) {
        let command = "tail -n 40 /run/systemctl/*.log 2>/dev/null";
        let logs = self.output(&["sh", "-c", command]).stdout;
        println!("--- {}:\n{}", self.name(), String::from_utf8_lossy(&logs));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// Demands success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    until_said(what, || {
        if condition() {
            Ok(())
        } else {
            Err(String::new())
        }
    });
}

/// As [`until`]; an error is what was seen instead, and shown when the patience is at its end.
pub(crate) fn until_said(what: &str, condition: impl Fn() -> Result<(), String>) {
    let begin = Instant::now();
    while let Err(seen) = condition() {
        assert!(
            begin.elapsed() < PATIENCE,
            "it does not happen: {what}\n{seen}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
