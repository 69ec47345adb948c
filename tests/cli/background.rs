//! `corosync-qnetd` without `-f`: it goes to the background.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Lab, THEIR_QNETD, run};

/// A process in the background; it ends with this value.
struct Background(u32);

impl Background {
    /// The one whose id is in the lock file.
    fn of(lab: &Lab) -> Self {
        let text = fs::read_to_string(lab.path("lock")).unwrap();
        Self(text.trim_end().parse().unwrap())
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap()
    }

    /// Its session: field 6 of stat, counted from behind the name.
    fn session(&self) -> u32 {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(3).unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.try_into().unwrap()).unwrap();
        // It may be gone already.
        let _gone = kill_process(pid, signal);
    }

    fn ends(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        // Whoever adopted it may take a while to notice the end.
        let lives = || {
            fs::read_to_string(format!("/proc/{}/stat", self.0))
                .is_ok_and(|stat| !stat.contains(") Z "))
        };
        while lives() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        !lives()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if Path::new(&format!("/proc/{}", self.0)).exists() {
            self.signal(Signal::KILL);
        }
    }
}

#[test]
fn it_returns_when_the_port_answers() {
    let lab = Lab::new();
    for program in [Path::new(THEIR_QNETD), &lab.named("corosync-qnetd")] {
        let started = run(&mut lab.qnetd(program, &["-s", "off"]));
        let answers = || TcpStream::connect(("127.0.0.1", lab.port)).is_ok();
        let at_once = answers();
        if program == Path::new(THEIR_QNETD) {
            // The reference returns earlier.
            let deadline = Instant::now() + Duration::from_secs(10);
            while !answers() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let daemon = Background::of(&lab);
        let is_theirs = program == Path::new(THEIR_QNETD);
        assert!(is_theirs || at_once, "it returned before the port answers");
        assert_eq!(started.code, Some(0), "{}", started.stderr);
        assert_eq!((&*started.stdout, &*started.stderr), ("", ""));
        assert_eq!(daemon.proc("comm"), "corosync-qnetd\n", "{program:?}");
        assert_eq!(daemon.session(), daemon.0, "a session of its own");
        let command = daemon.proc("cmdline");
        assert!(command.starts_with(program.to_str().unwrap()), "{command}");
        for stream in ["0", "1", "2"] {
            let file = fs::read_link(format!("/proc/{}/fd/{stream}", daemon.0)).unwrap();
            assert_eq!(file, Path::new("/dev/null"), "{program:?}: stream {stream}");
        }
        daemon.signal(Signal::TERM);
        assert!(daemon.ends(), "{program:?} goes on after SIGTERM");
        assert!(!lab.socket().exists(), "{program:?} leaves its socket");
    }
}

#[test]
fn a_start_that_fails_is_seen() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    fs::write(lab.state(), "").unwrap();
    let failed = run(&mut lab.qnetd(&ours, &[]));
    assert_eq!(failed.code, Some(1));
    let text = "Not a directory";
    assert!(failed.stderr.contains(text), "{}", failed.stderr);

    let taken = TcpListener::bind(("127.0.0.1", lab.port)).unwrap();
    let failed = run(&mut lab.qnetd(&ours, &["-s", "off"]));
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("can't listen on"),
        "{}",
        failed.stderr
    );
    assert!(!lab.socket().exists(), "a control socket is left behind");
    drop(taken);

    let started = run(&mut lab.qnetd(&ours, &["-s", "off"]));
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    let daemon = Background::of(&lab);
    let second = run(&mut lab.qnetd(&ours, &["-s", "off"]));
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("Another instance is running"));
    let pid = fs::read_to_string(lab.path("lock")).unwrap();
    assert_eq!(pid, format!("{}\n", daemon.0), "the lock file changed");
}

#[test]
fn the_tool_stops_it() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    assert_eq!(run(&mut lab.qnetd(&ours, &["-s", "off"])).code, Some(0));
    let daemon = Background::of(&lab);
    let tool = lab.named("corosync-qnetd-tool");
    let stopped = run(Command::new(tool).arg("-Hp").arg(lab.socket()));
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(daemon.ends());
}

#[test]
fn a_hangup_does_not_end_it() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    assert_eq!(run(&mut lab.qnetd(&ours, &["-s", "off"])).code, Some(0));
    let daemon = Background::of(&lab);
    daemon.signal(Signal::HUP);
    let tool = lab.named("corosync-qnetd-tool");
    for _ in 0..3 {
        let said = run(Command::new(&tool).arg("-sp").arg(lab.socket()));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.signal(Signal::INT);
    assert!(daemon.ends(), "SIGINT ends it in the background too");
}

/// Whoever installs one over the other must not have two arbiters.
#[test]
fn ours_and_theirs_keep_each_other_out() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    let theirs = Path::new(THEIR_QNETD);
    for (first, second) in [(theirs, &*ours), (&*ours, theirs)] {
        assert_eq!(run(&mut lab.qnetd(first, &["-s", "off"])).code, Some(0));
        let daemon = Background::of(&lab);
        // In the foreground, where the reference says what is wrong.
        let kept_out = run(&mut lab.qnetd(second, &["-f", "-s", "off"]));
        assert_eq!(kept_out.code, Some(1), "{second:?}: {}", kept_out.stderr);
        let text = "Another instance is running";
        assert!(kept_out.stderr.contains(text), "{}", kept_out.stderr);
        let pid = fs::read_to_string(lab.path("lock")).unwrap();
        assert_eq!(
            pid,
            format!("{}\n", daemon.0),
            "{second:?} changed the lock file"
        );
        daemon.signal(Signal::TERM);
        assert!(daemon.ends());
    }
}

/// Protocol spec, 9.3.
#[test]
fn the_directory_of_the_lock_file_is_made_as_there() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    let start = |program: &Path, lock: &Path| {
        let mut command = lab.qnetd(program, &["-s", "off"]);
        run(command
            .arg("-S")
            .arg(format!("lock_file={}", lock.display())))
    };
    let modes = [Path::new(THEIR_QNETD), &ours].map(|program| {
        let lock = lab.path("new/lock");
        let started = start(program, &lock);
        assert_eq!(started.code, Some(0), "{program:?}: {}", started.stderr);
        let pid = fs::read_to_string(&lock).unwrap();
        let daemon = Background(pid.trim_end().parse().unwrap());
        let modes = [lab.path("new"), lock].map(|path| fs::metadata(path).unwrap().mode());
        daemon.signal(Signal::TERM);
        assert!(daemon.ends());
        fs::remove_dir_all(lab.path("new")).unwrap();
        modes
    });
    assert_eq!(modes[0], modes[1], "theirs and ours: {modes:?}");
    // One level, no more.
    let failed = start(&ours, &lab.path("new/dir/lock"));
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("Can't acquire lock"),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("lock_file"), "{}", failed.stderr);
}
