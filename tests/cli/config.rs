//! The configuration: `qarbiter config`, the file and the variables, for the daemon under each of
//! its names.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Lab, Outcome, QARBITER, Running, free_port, run};

fn write(lab: &Lab, text: &str) -> PathBuf {
    let path = lab.path("qarbiter.toml");
    fs::write(&path, text).unwrap();
    path
}

fn config(arguments: &[&str], file: Option<&Path>) -> Command {
    let mut command = Command::new(QARBITER);
    command.arg("config").args(arguments);
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    command
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// What `corosync-qnetd-tool -sv` says.
fn status(lab: &Lab, socket: &Path) -> String {
    let tool = lab.named("corosync-qnetd-tool");
    let said = run(Command::new(tool).arg("-svp").arg(socket));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

#[test]
fn check_says_in_one_line_that_all_is_good() {
    let lab = Lab::new();
    let file = write(&lab, "[listen]\nport = 5404\n");
    let good = run(&mut config(&["check"], Some(&file)));
    let text = format!("The settings are good; {} was read.\n", file.display());
    let expected = Outcome {
        code: Some(0),
        stdout: text,
        stderr: String::new(),
    };
    assert_eq!(good, expected);
}

#[test]
fn check_names_every_error_with_its_line() {
    let lab = Lab::new();
    let text = "[listen]\nprot = 5404\nport = 70000\n\n[votes]\nrules = \"fast\"\n";
    let file = write(&lab, text);
    let bad = run(config(&["check"], Some(&file)).env("QARBITER_LISTEN_FAMILLY", "ipv4"));
    assert_eq!((bad.code, &*bad.stdout), (Some(1), ""));
    let lines: Vec<&str> = bad.stderr.lines().collect();
    let place = |rest: &str| format!("qarbiter config check: {}:{rest}", file.display());
    let variable = "qarbiter config check: QARBITER_LISTEN_FAMILLY: there is no such setting; \
                    the nearest is QARBITER_LISTEN_FAMILY";
    let expected = [
        place("2:1: there is no setting listen.prot; the nearest is listen.port"),
        place(
            "3:8: listen.port = 70000 is not possible; it must be a whole number from 1 to 65535",
        ),
        place("6:9: votes.rules = \"fast\" is not possible; it must be \"safe\" or \"reference\""),
        variable.to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn doubts_are_said_and_are_no_errors() {
    let lab = Lab::new();
    let file = write(&lab, "[limits]\nheartbeat_interval_min = 200000\n");
    let checked = run(&mut config(&["check"], Some(&file)));
    assert_eq!(checked.code, Some(0));
    let text = "qarbiter config check: warning: limits.heartbeat_interval_min (200000 ms) is above";
    assert!(checked.stderr.starts_with(text), "{}", checked.stderr);
}

#[test]
fn show_says_where_each_value_comes_from() {
    let lab = Lab::new();
    let file = write(
        &lab,
        "[listen]\nport = 1\nbacklog = 9\n\n[cluster.\"a b\"]\nrules = \"reference\"\n",
    );
    let mut command = config(&["show", "--origin"], Some(&file));
    command.args([
        "-p",
        "2",
        "--state-dir",
        "/state",
        "-S",
        "init_timeout=1000",
    ]);
    let shown = run(command.env("QARBITER_TLS_MODE", "on"));
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
    let file = file.display();
    for line in [
        "[listen]".to_owned(),
        "# address is not set: all addresses (default)".to_owned(),
        "port = 2  # -p".to_owned(),
        format!("backlog = 9  # {file}:3"),
        "mode = \"on\"  # QARBITER_TLS_MODE".to_owned(),
        "client_certificates = true  # default".to_owned(),
        "directory = \"/state\"  # --state-dir".to_owned(),
        "lock_file = \"/state/qarbiter.pid\"  # --state-dir".to_owned(),
        "init_timeout = 1000  # -S init_timeout".to_owned(),
        "[cluster.\"a b\"]".to_owned(),
        format!("rules = \"reference\"  # {file}:6"),
    ] {
        assert!(
            shown.stdout.lines().any(|shown| shown == line),
            "{line}\n{}",
            shown.stdout
        );
    }
}

#[test]
fn what_is_shown_is_a_configuration_file() {
    let lab = Lab::new();
    let mut command = config(&["show"], None);
    command.args([
        "-p",
        "2",
        "--state-dir",
        "state",
        "-S",
        "rules[a]=reference",
    ]);
    let first = run(command.current_dir(lab.path("")));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    // A path on the command line starts where the program does.
    assert!(
        first
            .stdout
            .contains(&format!("directory = \"{}\"", lab.state().display()))
    );
    assert!(!first.stdout.contains(" # "), "{}", first.stdout);
    let file = write(&lab, &first.stdout);
    assert_eq!(run(&mut config(&["show"], Some(&file))), first);
}

#[test]
fn the_example_can_be_used_as_it_is() {
    let lab = Lab::new();
    let example = run(&mut config(&["example"], None));
    assert_eq!((example.code, &*example.stderr), (Some(0), ""));
    let file = write(&lab, &example.stdout);
    let shown = run(&mut config(&["show"], Some(&file)));
    assert_eq!(shown, run(&mut config(&["show"], None)));
}

/// In a mount namespace, because the real place belongs to the machine.
#[test]
fn the_default_file_need_not_exist_and_is_read_if_it_does() {
    let lab = Lab::new();
    let file = write(&lab, "[listen]\nport = 1234\n");
    let in_other_etc = |prepare: &str| {
        let script = format!(
            "set -e; mount -t tmpfs tmpfs /etc; {prepare}; exec \"$0\" config show --origin"
        );
        run(Command::new("unshare").args(["-m", "sh", "-c", &script, QARBITER]))
    };
    let without = in_other_etc(":");
    assert_eq!(without.code, Some(0), "{}", without.stderr);
    assert!(
        without.stdout.contains("port = 5403  # default\n"),
        "{}",
        without.stdout
    );
    let with = in_other_etc(&format!(
        "mkdir /etc/qarbiter; cp {} /etc/qarbiter/",
        file.display()
    ));
    let line = "port = 1234  # /etc/qarbiter/qarbiter.toml:2\n";
    assert!(with.stdout.contains(line), "{}{}", with.stdout, with.stderr);
}

#[test]
fn a_file_that_the_user_may_not_read_is_named() {
    let lab = Lab::new();
    let file = write(&lab, "");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Root may read everything unless it gives that up, and then it is any other user.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--reuid=65534"]);
    command.args(["--clear-groups", "cat"]).arg(&file);
    assert_ne!(
        run(&mut command).code,
        Some(0),
        "the test needs a file that is out of reach"
    );
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search"]);
    std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
    let refused = run(command
        .args([QARBITER, "config", "check", "--config"])
        .arg(&file));
    assert_eq!(refused.code, Some(1));
    let text = "Permission denied (os error 13); the user that the arbiter runs as must be able";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
}

#[test]
fn serve_goes_by_the_file_and_its_options_win() {
    let lab = Lab::new();
    let port = free_port();
    let text = format!("[listen]\naddress = \"127.0.0.1\"\nport = {port}\nmax_clients = 3\n");
    let file = write(&lab, &text);
    let serve = |more: &[&str]| {
        let mut command = Command::new(QARBITER);
        command.args(["serve", "--config"]).arg(&file);
        command.arg("--state-dir").arg(lab.state()).args(more);
        lab.start(&command)
    };
    let socket = lab.state().join("qarbiter.sock");
    let mut arbiter = serve(&[]);
    assert!(answers(port));
    let said = status(&lab, &socket);
    assert!(said.contains("Maximum allowed clients:\t3\n"), "{said}");
    arbiter.end_with(Signal::TERM);
    let _arbiter = serve(&["-p", &lab.port.to_string(), "-m", "4"]);
    assert!(answers(lab.port) && !answers(port));
    assert!(status(&lab, &socket).contains("Maximum allowed clients:\t4\n"));
}

#[test]
fn serve_refuses_a_file_with_errors_before_anything_is_made() {
    let lab = Lab::new();
    let file = write(&lab, "[listen]\nprot = 1\n[tls]\nmode = 1\n");
    let failed = run(&mut lab.serve(&["--config", file.to_str().unwrap()]));
    assert_eq!(failed.code, Some(1));
    let lines: Vec<&str> = failed.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", failed.stderr);
    let both = lines
        .iter()
        .all(|line| line.starts_with("qarbiter serve: ") && line.contains(".toml:"));
    assert!(both, "{}", failed.stderr);
    assert!(!lab.state().exists(), "it made files");
    // An option that can't be used is named.
    let failed = run(&mut lab.serve(&["-S", "speed=9"]));
    assert_eq!(
        failed.stderr,
        "qarbiter serve: -S: Unknown option 'speed'\n"
    );
}

#[test]
fn corosync_qnetd_goes_by_file_and_variables_and_its_flags_win() {
    let lab = Lab::new();
    let other = free_port();
    let file = write(
        &lab,
        &format!("[listen]\nport = {other}\nmax_clients = 3\n[tls]\nmode = \"off\"\n"),
    );
    let mut command = lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]);
    command.env("QARBITER_CONFIG", &file);
    let mut running = lab.start(&command);
    // The port is a flag here.
    assert!(answers(lab.port) && !answers(other));
    let said = status(&lab, &lab.socket());
    assert!(said.contains("TLS:\t\t\t\tUnsupported\n"), "{said}");
    assert!(said.contains("Maximum allowed clients:\t3\n"), "{said}");
    running.end_with(Signal::TERM);
    let _running = lab.start(command.env("QARBITER_LISTEN_MAX_CLIENTS", "4"));
    assert!(status(&lab, &lab.socket()).contains("Maximum allowed clients:\t4\n"));
}

#[test]
fn corosync_qnetd_says_everything_that_is_wrong_in_the_background_too() {
    let lab = Lab::new();
    let file = write(&lab, "[listen]\nprot = 1\n[tls]\nmode = 1\n");
    for flags in [&["-f"][..], &[]] {
        let mut command = lab.qnetd(&lab.named("corosync-qnetd"), flags);
        let failed = run(command.env("QARBITER_CONFIG", &file));
        assert_eq!(failed.code, Some(1));
        let lines: Vec<&str> = failed.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{flags:?}: {}", failed.stderr);
        let both = lines
            .iter()
            .all(|line| line.starts_with("corosync-qnetd: ") && line.contains(".toml:"));
        assert!(both, "{flags:?}: {}", failed.stderr);
    }
}

#[test]
fn one_variable_keeps_everything_in_one_directory() {
    let lab = Lab::new();
    let mut command = Command::new(QARBITER);
    command.args(["serve", "-l", "127.0.0.1", "-p", &lab.port.to_string()]);
    command.env("QARBITER_STATE_DIR", lab.state());
    let _running = lab.start(&command);
    let said = run(Command::new(QARBITER)
        .arg("status")
        .env("QARBITER_STATE_DIR", lab.state()));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(lab.state().join("qarbiter.pid").exists());
    let mut tool = Command::new(lab.named("corosync-qnetd-tool"));
    let said = run(tool.arg("-s").env("QARBITER_STATE_DIR", lab.state()));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A configuration with an error names no socket.
    let mut tool = Command::new(lab.named("corosync-qnetd-tool"));
    let failed = run(tool.arg("-s").env("QARBITER_CONTROL_SOKET", "/x"));
    assert_eq!(failed.code, Some(2));
    let text = "corosync-qnetd-tool: QARBITER_CONTROL_SOKET: there is no such setting; \
                the nearest is QARBITER_CONTROL_SOCKET\n";
    assert_eq!(failed.stderr, text);
}

fn hang_up(running: &Running) {
    let pid = Pid::from_raw(i32::try_from(running.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

#[test]
fn a_hangup_reads_the_file_again() {
    let lab = Lab::new();
    let file = write(&lab, "[listen]\nmax_clients = 3\n");
    let mut command = lab.qnetd(&lab.named("corosync-qnetd"), &["-f", "-s", "off"]);
    let mut running = lab.start(command.env("QARBITER_CONFIG", &file));
    write(&lab, "[listen]\nmax_clients = 0x\n");
    hang_up(&running);
    running.logged(&[
        "error",
        "reload: ",
        "qarbiter.toml:2:",
        "the former settings stay in force",
    ]);
    assert!(status(&lab, &lab.socket()).contains("Maximum allowed clients:\t3\n"));
    write(&lab, "[listen]\nmax_clients = 5\n");
    hang_up(&running);
    running.logged(&["reload: settings and certificates were read again"]);
    assert!(status(&lab, &lab.socket()).contains("Maximum allowed clients:\t5\n"));
    assert!(running.is_running());
}

/// A slip in the variables must not leave an arbiter with defaults.
#[test]
fn a_misspelt_variable_stops_the_start() {
    let lab = Lab::new();
    let _taken = TcpListener::bind(("127.0.0.1", lab.port)).unwrap();
    let failed = run(lab.serve(&[]).env("QARBITER_TLS_MOED", "required"));
    assert_eq!(failed.code, Some(1));
    let text = "qarbiter serve: QARBITER_TLS_MOED: there is no such setting; \
                the nearest is QARBITER_TLS_MODE\n";
    assert_eq!(failed.stderr, text);
}
