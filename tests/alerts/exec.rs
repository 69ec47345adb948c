//! The program that is run for alerts.

use crate::lab::{Arbiter, PATIENCE, SETTLE};
use qarbiter::notify::AlertSettings;
use qarbiter::notify::exec::run;
use qarbiter::proto::v1;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Script {
    dir: TempDir,
    program: PathBuf,
}

impl Script {
    /// A script that finds its directory in `$DIR`.
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("hook");
        let text = format!("#!/bin/sh\nDIR={}\n{text}\n", dir.path().display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, program }
    }

    fn settings(&self) -> AlertSettings {
        AlertSettings {
            exec: Some(self.program.clone()),
            settle: SETTLE,
            name: Some("arbiter-1".to_owned()),
            ..AlertSettings::default()
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn wait_for(&self, name: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let text = self.read(name);
            if is_so(&text) {
                return text;
            }
            assert!(begin.elapsed() < PATIENCE, "{name}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn alert() -> v1::Alert {
    v1::Alert {
        kind: "test".to_owned(),
        nodes: vec![1, 2],
        message: "it's \"so\"; $(id)".to_owned(),
        ..v1::Alert::default()
    }
}

/// Runs a script once.
fn once(script: &Script, limit: Duration) -> std::io::Result<qarbiter::notify::exec::Ran> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&script.program, &alert(), limit))
}

#[test]
fn it_gets_variables_and_json_and_nothing_else() {
    let script =
        Script::new("cat >> $DIR/in; env >> $DIR/env; ls /proc/self/fd > $DIR/fds; echo seen");
    let arbiter = Arbiter::start(script.settings());
    let env = script.wait_for("fds", |fds| !fds.is_empty());
    drop(env);
    let env = script.read("env");
    for line in [
        "QARBITER_ALERT_KIND=arbiter_started",
        "QARBITER_ALERT_SEVERITY=info",
        "QARBITER_ALERT_ARBITER=arbiter-1",
    ] {
        assert!(env.lines().any(|other| other == line), "{line}: {env}");
    }
    let foreign = env.lines().filter(|line| {
        let ours = [
            "QARBITER_ALERT_",
            "PATH=",
            "PWD=",
            "_=",
            "SHLVL=",
            "OLDPWD=",
        ];
        !ours.iter().any(|start| line.starts_with(start))
    });
    assert_eq!(foreign.collect::<Vec<_>>(), Vec::<&str>::new());
    // Standard input, output and error, the one that ls opens, and what whoever runs the tests has
    // left open for all below.
    let parent = format!("/proc/{}/fd", std::os::unix::process::parent_id());
    let inherited: Vec<String> = std::fs::read_dir(parent)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let fds = script.read("fds");
    let mut fds: Vec<&str> = fds.split_whitespace().collect();
    fds.retain(|fd| ["0", "1", "2", "3"].contains(fd) || !inherited.iter().any(|own| own == fd));
    assert_eq!(fds, ["0", "1", "2", "3"]);
    let input = script.read("in");
    let first = serde_json::Deserializer::from_str(&input)
        .into_iter::<v1::Alert>()
        .next();
    assert_eq!(first.unwrap().unwrap().kind, "arbiter_started");
    let sent = "qarbiter_alerts_total{hook=\"exec\",outcome=\"sent\"}";
    let begin = Instant::now();
    while arbiter.metric(sent) == 0 {
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn texts_are_not_commands() {
    let script = Script::new("printf '%s' \"$QARBITER_ALERT_MESSAGE|$QARBITER_ALERT_NODES\"");
    let ran = once(&script, PATIENCE).unwrap();
    assert!(ran.is_good());
    assert_eq!(ran.text, "it's \"so\"; $(id)|1 2");
}

#[test]
fn its_time_is_limited_and_the_whole_group_ends() {
    let script = Script::new("echo begun; sleep 300 & echo $! > $DIR/child; wait");
    let begin = Instant::now();
    let ran = once(&script, Duration::from_millis(500)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!((ran.status, &*ran.text), (None, "begun"));
    let child = PathBuf::from(format!("/proc/{}/stat", script.read("child").trim()));
    // Gone, or a zombie that whoever inherited it has not waited for.
    let is_over = || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
    while !is_over() {
        assert!(begin.elapsed() < PATIENCE, "{}", child.display());
    }
}

#[test]
fn what_it_leaves_behind_is_not_waited_for() {
    for (end, is_good) in [(0, true), (3, false)] {
        let script = Script::new(&format!(
            "sleep 30 & echo $! > $DIR/child; echo done; exit {end}"
        ));
        let begin = Instant::now();
        let ran = once(&script, Duration::from_secs(10)).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!((ran.is_good(), &*ran.text), (is_good, "done"));
        assert_eq!(ran.status.unwrap().code(), Some(end));
        let child: i32 = script.read("child").trim().parse().unwrap();
        let child = rustix::process::Pid::from_raw(child).unwrap();
        // It still runs.
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    }
}

/// The example in docs/ALERTS.md.
#[test]
fn the_example_tells_beginnings_from_ends() {
    let documentation = include_str!("../../docs/ALERTS.md");
    let (_, example) = documentation.split_once("```sh script\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let logger = dir.path().join("logger");
    std::fs::write(&logger, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&logger, PermissionsExt::from_mode(0o755)).unwrap();
    for (status, priority) in [("firing", "daemon.crit"), ("resolved", "daemon.notice")] {
        let output = std::process::Command::new("/bin/sh")
            .args(["-euc", example])
            .env("PATH", dir.path())
            .env("QARBITER_ALERT_SEVERITY", "critical")
            .env("QARBITER_ALERT_STATUS", status)
            .env("QARBITER_ALERT_MESSAGE", "c: it is so")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(
            said.contains(priority) && said.contains("c: it is so"),
            "{output:?}"
        );
    }
}

#[test]
fn failures_say_what_and_output_is_bounded() {
    let script = Script::new("head -c 1000000 /dev/zero | tr '\\0' x; exit 3");
    let ran = once(&script, PATIENCE).unwrap();
    assert!(!ran.is_good() && ran.status.unwrap().code() == Some(3));
    assert!(ran.text.len() <= 4096, "{}", ran.text.len());
    let missing = Script {
        program: "/nonexistent/hook".into(),
        dir: tempfile::tempdir().unwrap(),
    };
    let error = once(&missing, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn no_more_run_at_once_than_allowed() {
    let script = Script::new(
        "echo + >> $DIR/log; ls $DIR/running | wc -l >> $DIR/most; \
         f=$(mktemp -p $DIR/running); sleep 0.3; rm $f",
    );
    std::fs::create_dir(script.dir.path().join("running")).unwrap();
    let settings = AlertSettings {
        exec_at_once: 2,
        ..script.settings()
    };
    let arbiter = Arbiter::start(settings);
    let _nodes: Vec<_> = (0..5)
        .map(|n| arbiter.pair(format!("c{n}").as_bytes()))
        .collect();
    script.wait_for("log", |log| log.lines().count() >= 12);
    let most = script.read("most");
    let most: Vec<u32> = most
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert!(most.iter().all(|others| *others <= 1), "{most:?}");
    assert!(most.contains(&1), "two at once: {most:?}");
}
