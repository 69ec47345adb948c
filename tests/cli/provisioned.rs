//! The daemon as systems start it: with the options of `/etc/default/corosync-qnetd`, in its own
//! places, as its own user, and by Pacemaker's resource agent.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Lab, Outcome, QARBITER, Running, THEIR_QNETD, run};

/// The user of the packages.
const USER: &str = "coroqnetd";

/// Starts the daemon as systemd does (provisioning spec, 5.1), with a file of options and with
/// every path and port where it is by default, in namespaces that have all of them for themselves.
fn start_with_options(lab: &Lab, options: &str) -> Running {
    let defaults = lab.path("default");
    fs::write(&defaults, format!("COROSYNC_QNETD_OPTIONS=\"{options}\"\n")).unwrap();
    let script = "set -e
        ip link set lo up
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /etc
        mount -t tmpfs tmpfs /var/lib
        mkdir /run/corosync-qnetd
        . \"$1\"
        exec \"$0\" -f $COROSYNC_QNETD_OPTIONS";
    let mut command = Command::new("unshare");
    command.args(["-mn", "sh", "-c", script]);
    lab.start(command.arg(lab.named("corosync-qnetd")).arg(defaults))
}

/// Runs a program where the daemon is.
fn inside(running: &Running, program: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("nsenter");
    command.args(["-m", "-n", "-t", &running.pid().to_string()]);
    run(command.arg(program).args(arguments))
}

#[test]
fn options_that_people_have_work() {
    for (options, address, tls) in [
        ("", "*:5403", "Required"),
        // What SUSE used to ship.
        (
            "-4 -l 0.0.0.0 -p 5403 -s off",
            "0.0.0.0:5403",
            "Unsupported",
        ),
        ("-s required", "*:5403", "Required"),
        ("-s req", "*:5403", "Required"),
        ("-s on -c off", "*:5403", "Supported"),
        ("-m 10 -d", "*:5403", "Required"),
        ("-d -d -p 5404", "*:5404", "Required"),
        ("-6", "*:5403", "Required"),
        (
            "-S listen_backlog=5 -S dpd_enabled=on",
            "*:5403",
            "Required",
        ),
    ] {
        let lab = Lab::new();
        let mut running = start_with_options(&lab, options);
        let tool = lab.named("corosync-qnetd-tool");
        let said = inside(&running, &tool, &["-sv"]);
        assert_eq!(said.code, Some(0), "{options}: {}", said.stderr);
        let line = format!("QNetd address:\t\t\t{address}\n");
        assert!(said.stdout.contains(&line), "{options}: {}", said.stdout);
        let line = format!("TLS:\t\t\t\t{tls}");
        assert!(said.stdout.contains(&line), "{options}: {}", said.stdout);
        let limited = said.stdout.contains("Maximum allowed clients:\t10\n");
        assert_eq!(limited, options.contains("-m 10"), "{options}");
        let detail = running.log().contains(" debug ");
        assert!(
            !detail || options.contains("-d"),
            "{options}: {}",
            running.log()
        );
        let lock = Path::new("/run/corosync-qnetd/corosync-qnetd.pid");
        let pid = inside(&running, Path::new("cat"), &[lock.to_str().unwrap()]);
        assert_eq!(pid.stdout, format!("{}\n", running.pid()), "{options}");
        assert_eq!(running.end_with(Signal::TERM).0, Some(0), "{options}");
    }
}

/// A directory that everybody may enter, with the program in it under its names.
struct Site {
    lab: Lab,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new();
        fs::set_permissions(lab.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        // The build directory need not be open to everybody.
        fs::copy(QARBITER, lab.path("qarbiter")).unwrap();
        for name in [
            "corosync-qnetd",
            "corosync-qnetd-tool",
            "corosync-qnetd-certutil",
        ] {
            std::os::unix::fs::symlink("qarbiter", lab.path(name)).unwrap();
        }
        Self { lab }
    }

    /// Makes an identity as Debian's package does (provisioning spec, 5.4).
    fn initialize(&self) {
        let state = self.lab.state();
        let mut certutil = Command::new(self.lab.path("corosync-qnetd-certutil"));
        let made = run(certutil
            .args(["-i", "-G"])
            .env("QARBITER_STATE_DIR", &state));
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let mut command = Command::new("chgrp");
        let given = run(command.args(["-R", USER]).arg(&state));
        assert_eq!(given.code, Some(0), "{}", given.stderr);
        let mode = fs::metadata(&state).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o750);
    }

    /// A directory for lock file and socket, as systemd makes it.
    fn runtime(&self) -> PathBuf {
        let dir = self.lab.path("run");
        fs::create_dir(&dir).unwrap();
        let mut command = Command::new("chown");
        assert_eq!(
            run(command.arg(format!("{USER}:{USER}")).arg(&dir)).code,
            Some(0)
        );
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o770)).unwrap();
        dir
    }
}

fn owner(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap();
    let uid = uid.split_whitespace().next().unwrap().to_owned();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&*uid));
    user.unwrap().split(':').next().unwrap().to_owned()
}

#[test]
fn it_runs_as_its_own_user() {
    let site = Site::new();
    site.initialize();
    let dir = site.runtime();
    let lab = &site.lab;
    let places = format!(
        "nss_db_dir={},lock_file={dir}/pid,local_socket_file={dir}/sock",
        lab.state().display(),
        dir = dir.display()
    );
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    command.arg(lab.path("corosync-qnetd"));
    command.args([
        "-f",
        "-l",
        "127.0.0.1",
        "-p",
        &lab.port.to_string(),
        "-S",
        &places,
    ]);
    // The package makes a directory for this one.
    command.env("QARBITER_PATHS_DATA_DIR", &dir);
    let mut running = lab.start(&command);
    assert_eq!(owner(&running.pid().to_string()), USER);
    assert!(TcpStream::connect(running.address).is_ok());
    let log = running.log();
    assert!(!log.contains("there are no certificates"), "{log}");
    assert!(!log.contains(" warn ") && !log.contains(" error "), "{log}");
    let mut tool = Command::new(lab.path("corosync-qnetd-tool"));
    let said = run(tool.arg("-sp").arg(dir.join("sock")));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout
            .contains("TLS:\t\t\t\tRequired (client certificate required)")
    );
    assert_eq!(running.end_with(Signal::TERM).0, Some(0));
    assert!(!dir.join("sock").exists());
}

/// The resource agent of Pacemaker's `resource-agents` (provisioning spec, 1.6).
struct Agent<'a> {
    site: &'a Site,
    daemon: PathBuf,
    options: &'a str,
}

const AGENT: &str = "/usr/lib/ocf/resource.d/heartbeat/corosync-qnetd";

/// OCF_NOT_RUNNING.
const NOT_RUNNING: Option<i32> = Some(7);

impl Agent<'_> {
    fn run(&self, action: &str) -> Outcome {
        let lab = &self.site.lab;
        let mut command = Command::new(AGENT);
        command
            .arg(action)
            .env("OCF_ROOT", "/usr/lib/ocf")
            .env("OCF_RESOURCE_INSTANCE", "qnetd")
            // Where agents keep their own files.
            .env("HA_RSCTMP", lab.path("agents"))
            .env("OCF_RESKEY_binary", &self.daemon)
            .env(
                "OCF_RESKEY_qnetd_tool_binary",
                lab.path("corosync-qnetd-tool"),
            )
            .env("QARBITER_PATHS_DATA_DIR", lab.path("rundir"))
            .env("OCF_RESKEY_qnetd_opts", self.options)
            .env("OCF_RESKEY_ip", "127.0.0.1")
            .env("OCF_RESKEY_port", lab.port.to_string())
            .env("OCF_RESKEY_nss_db_dir", lab.state())
            .env("OCF_RESKEY_pid", lab.path("rundir/pid"))
            .env("OCF_RESKEY_ipc_sock", lab.path("rundir/sock"));
        run(&mut command)
    }

    fn pid(&self) -> String {
        let text = fs::read_to_string(self.site.lab.path("rundir/pid")).unwrap();
        text.trim_end().to_owned()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // The daemon is in the background; `stop` of one that is stopped does nothing.
        if self.site.lab.path("rundir/pid").exists() {
            self.run("stop");
        }
    }
}

#[test]
fn the_resource_agent_starts_watches_and_stops_it() {
    assert!(Path::new(AGENT).exists(), "resource-agents is installed");
    for theirs in [true, false] {
        let site = Site::new();
        // The reference needs a database for anything but this; ours has to show TLS.
        let (daemon, options) = if theirs {
            (PathBuf::from(THEIR_QNETD), "-s off")
        } else {
            site.initialize();
            (site.lab.path("corosync-qnetd"), "-4")
        };
        let agent = Agent {
            site: &site,
            daemon,
            options,
        };
        assert_eq!(agent.run("monitor").code, NOT_RUNNING);
        let started = agent.run("start");
        assert_eq!(started.code, Some(0), "theirs {theirs}: {started:?}");
        let pid = agent.pid();
        assert_eq!(owner(&pid), USER, "theirs {theirs}");
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(name, "corosync-qnetd\n");
        assert!(TcpStream::connect(("127.0.0.1", site.lab.port)).is_ok());
        assert_eq!(agent.run("monitor").code, Some(0), "theirs {theirs}");
        // Whoever starts twice gets the same instance.
        assert_eq!(agent.run("start").code, Some(0));
        assert_eq!(agent.pid(), pid, "theirs {theirs}");

        let stopped = agent.run("stop");
        assert_eq!(stopped.code, Some(0), "theirs {theirs}: {stopped:?}");
        assert_eq!(agent.run("monitor").code, NOT_RUNNING, "theirs {theirs}");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Path::new(&format!("/proc/{pid}")).exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(TcpStream::connect(("127.0.0.1", site.lab.port)).is_err());
    }
}
