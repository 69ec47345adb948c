//! The program itself: settings, `qarbiter alert test`, reload, and nothing secret anywhere.

use crate::lab::PATIENCE;
use crate::receiver::Receiver;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const QARBITER: &str = env!("CARGO_BIN_EXE_qarbiter");

fn alert_test(webhooks: &str) -> (bool, String, Output) {
    let output = Command::new(QARBITER)
        .args(["alert", "test"])
        .env("QARBITER_ALERTS_WEBHOOKS", webhooks)
        .env("QARBITER_ALERTS_NAME", "arbiter-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said, output)
}

#[test]
fn every_format_can_be_tried() {
    let receiver = Receiver::start();
    let webhooks = [
        "json /hook",
        "slack /services/x",
        "ntfy /topic",
        "alertmanager /",
    ]
    .map(|hook| {
        let (format, path) = hook.split_once(' ').unwrap();
        format!("{format} {}", receiver.url(path))
    })
    .join("\n");
    let (is_good, said, output) = alert_test(&webhooks);
    assert!(is_good, "{output:?}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[2].starts_with("ok      webhook3 ("), "{said}");
    assert!(lines[2].ends_with(" ms): ntfy answered 200: ok"), "{said}");
    let got = receiver.all();
    let paths: Vec<&str> = got
        .iter()
        .map(|got| got.line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(paths, ["/hook", "/services/x", "/", "/api/v2/alerts"]);
    let message = "this is a test: if you can read it, alerts arrive";
    let bodies: Vec<Value> = got.iter().map(crate::receiver::Got::json).collect();
    assert_eq!(bodies[0]["alerts"][0]["message"], message);
    assert_eq!(bodies[0]["alerts"][0]["kind"], "test");
    assert_eq!(bodies[1]["text"], format!("[info] {message} - arbiter-1"));
    assert_eq!(
        (&bodies[2]["topic"], &bodies[2]["priority"]),
        (&"topic".into(), &3.into())
    );
    assert_eq!(bodies[3][0]["labels"]["alertname"], "QarbiterTest");
}

#[test]
fn what_fails_is_said_without_secrets() {
    let echo = "HTTP/1.1 404 Not Found\r\nContent-Length: 42\r\n\r\n\
                The URL /services/GEHEIM was not found ...";
    let receiver = Receiver::with(&[Some(echo)]);
    let (is_good, said, output) =
        alert_test(&format!("slack {}", receiver.url("/services/GEHEIM")));
    assert!(!is_good);
    assert!(said.starts_with("FAILED  webhook1 ("), "{output:?}");
    assert!(
        said.contains("slack answered 404: The URL *** was not found"),
        "{said}"
    );
    let (is_good, said, _) = alert_test("json http://127.0.0.1:9/GEHEIM token=GEHEIM");
    assert!(
        !is_good && said.contains("http://127.0.0.1:9: no connection"),
        "{said}"
    );
    let (is_good, _, output) = alert_test("slack hooks.example/GEHEIM");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !is_good && error.contains("QARBITER_ALERTS_WEBHOOKS"),
        "{error}"
    );
    assert!(!format!("{output:?}{said}").contains("GEHEIM"));
    let none = Command::new(QARBITER)
        .args(["alert", "test"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        !none.status.success() && error.contains("no hook is set"),
        "{error}"
    );
}

/// `qarbiter serve` with TLS and a configuration file.
struct Daemon {
    child: Child,
    dir: TempDir,
}

impl Daemon {
    fn spawn(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("qarbiter.toml");
        std::fs::write(&file, config).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let child = Command::new(QARBITER)
            .args([
                "serve",
                "--debug",
                "--listen",
                "127.0.0.1",
                "--port",
                &port,
                "--state-dir",
            ])
            .arg(dir.path().join("state"))
            .arg("--config")
            .arg(file)
            .env("QARBITER_HTTP_ADDRESS", "off")
            .stdout(File::create(dir.path().join("out")).unwrap())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn wait_for_log(&self, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "{text}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self) -> String {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        self.log()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_tells_of_itself_and_of_its_certificates_and_takes_up_changes() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let config = |receiver: &Receiver| {
        format!(
            "[alerts]\nsettle = 100\nwebhooks = \"\"\"\njson {} secret=GEHEIM token=GEHEIM\n\"\"\"\n\
             [certificates]\nwarn_days = 36500\n",
            receiver.url("/GEHEIM")
        )
    };
    let mut daemon = Daemon::spawn(&config(&first));
    let started = first.wait_for("arbiter_started", "event");
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    assert_eq!(started["arbiter"], host);
    let is_server = |alert: &Value| {
        alert["key"]
            .as_str()
            .unwrap()
            .starts_with("certificate_ending/server/")
    };
    let begin = Instant::now();
    while !first.alerts().iter().any(is_server) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", first.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let ending = first.alerts().into_iter().find(is_server).unwrap();
    let message = ending["message"].as_str().unwrap();
    assert!(
        message.contains("Renew it: qarbiter certs renew server"),
        "{message}"
    );

    std::fs::write(daemon.dir.path().join("qarbiter.toml"), config(&second)).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("settings and certificates were read again");
    // It is somewhere else, and hears of what goes on there already.
    second.wait_for("certificate_ending", "firing");
    let before = first.all().len();
    let log = daemon.end();
    assert_eq!(first.all().len(), before);
    assert!(
        second.said().contains(&"arbiter_stopping event".to_owned()),
        "{log}"
    );
    assert!(!log.contains("GEHEIM"), "{log}");

    let shown = Command::new(QARBITER)
        .args(["config", "show", "--origin", "--config"])
        .arg(daemon.dir.path().join("qarbiter.toml"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = format!("json http://{}/*** secret=*** token=***", second.address);
    assert!(
        !shown.contains("GEHEIM") && shown.contains(&line),
        "{line}\n{shown}"
    );
}

#[test]
fn a_hook_that_is_mended_tells_what_waited() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let (bad, good) = (Receiver::with(&[Some(BUSY); 100]), Receiver::start());
    let quiet = Receiver::start();
    let mut daemon = Daemon::spawn(&format!("[alerts]\nwebhooks = \"json {}\"\n", bad.url("/")));
    bad.wait_for_requests(2);
    let config = format!(
        "[alerts]\nwebhooks = \"slack {}; json {} name=ours\"\n",
        quiet.url("/"),
        bad.url("/other")
    );
    let file = daemon.dir.path().join("qarbiter.toml");
    std::fs::write(&file, config).unwrap();
    daemon.signal(Signal::HUP);
    let begin = Instant::now();
    while !bad.all().iter().any(|got| got.line.contains("/other")) {
        assert!(begin.elapsed() < PATIENCE, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let config = format!(
        "[alerts]\nwebhooks = \"json {} name=ours\"\n",
        good.url("/")
    );
    std::fs::write(&file, config).unwrap();
    daemon.signal(Signal::HUP);
    good.wait_for("arbiter_started", "event");
    let log = daemon.end();
    assert!(!log.contains("are lost"), "{log}");
}

/// A program with the setuid bit belongs to root, and only root can kill it.
#[test]
fn a_program_that_can_not_be_killed_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(dir.path(), 0o755);
    let copy = |from: &str, name: &str, mode| {
        let to = dir.path().join(name);
        std::fs::copy(from, &to).unwrap();
        open(&to, mode);
        to
    };
    let own = copy(QARBITER, "qarbiter", 0o755);
    let id = copy("/usr/bin/id", "id", 0o4755);
    // It ends when nobody reads what it says.
    let program = copy("/usr/bin/yes", "yes", 0o4755);
    let nobody = |program: &std::path::Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program).current_dir("/");
        command
    };
    let root = nobody(&id).arg("-u").output().unwrap();
    assert_eq!(
        root.stdout, b"0\n",
        "needs root, and a /tmp without nosuid: {root:?}"
    );
    let begin = Instant::now();
    let output = nobody(&own)
        .args(["alert", "test"])
        .env("QARBITER_ALERTS_EXEC", program)
        .env("QARBITER_ALERTS_EXEC_TIMEOUT", "300")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("did not end within 300 ms"), "{output:?}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn the_end_does_not_wait_for_a_receiver_that_hangs() {
    let silent = Receiver::silent();
    let mut daemon = Daemon::spawn(&format!(
        "[alerts]\nwebhooks = \"json {}\"\n",
        silent.url("/")
    ));
    silent.wait_for_requests(1);
    let begin = Instant::now();
    let log = daemon.end();
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    assert!(log.contains("could not be told before the end"), "{log}");
}
