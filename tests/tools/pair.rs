//! The two daemons, and questions to both of them by both tools.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::lab::{Lab, Outcome, Running, THEIR_QNETD, run};
use crate::nodes::{Cluster, PATIENCE};

/// The reference's tool.
pub(crate) const THEIR_TOOL: &str = "/usr/bin/corosync-qnetd-tool";

/// One of the two.
pub(crate) struct Daemon {
    pub(crate) lab: Lab,
    pub(crate) running: Running,
}

impl Daemon {
    /// A cluster whose nodes connect to this daemon.
    pub(crate) fn cluster(&self, name: &str, configured: &[u32]) -> Cluster {
        Cluster::new(self.running.address, name, configured)
    }

    /// What one of the tools says, with the ports taken out.
    fn ask(&self, tool: &Path, arguments: &[&str]) -> Outcome {
        let socket = self.lab.socket();
        let outcome = run(Command::new(tool).arg("-p").arg(socket).args(arguments));
        Outcome {
            stdout: without_ports(&outcome.stdout, self.running.address),
            ..outcome
        }
    }

    fn tools(&self) -> [PathBuf; 2] {
        [THEIR_TOOL.into(), self.lab.named("corosync-qnetd-tool")]
    }
}

/// The reference's daemon and ours.
pub(crate) struct Pair([Daemon; 2]);

impl Pair {
    /// Without TLS.
    pub(crate) fn new() -> Self {
        Self::with_flags(&["-s", "off"])
    }

    /// With these flags, and no certificates.
    pub(crate) fn with_flags(flags: &[&str]) -> Self {
        Self::prepared(flags, |_| {})
    }

    /// With these flags, after something was done in each daemon's directory.
    pub(crate) fn prepared(flags: &[&str], prepare: impl Fn(&Lab)) -> Self {
        let start = |rules: &[&str], program: &dyn Fn(&Lab) -> PathBuf| {
            let lab = Lab::new();
            prepare(&lab);
            let flags = [&["-f"], flags, rules].concat();
            let command = lab.qnetd(&program(&lab), &flags);
            Daemon {
                running: lab.start(&command),
                lab,
            }
        };
        Self([
            start(&[], &|_| THEIR_QNETD.into()),
            start(&["-S", "rules=reference"], &|lab| {
                lab.named("corosync-qnetd")
            }),
        ])
    }

    pub(crate) fn daemons(&self) -> &[Daemon; 2] {
        &self.0
    }

    /// Asks in all four combinations; the one answer.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Outcome {
        let mut answers = self.0.iter().flat_map(|daemon| {
            let tools = daemon.tools();
            tools.map(|tool| daemon.ask(&tool, arguments))
        });
        let theirs = answers.next().unwrap();
        for (answer, whose) in
            answers.zip(["our tool, their daemon", "their tool, our daemon", "ours"])
        {
            assert_eq!(answer, theirs, "{whose}: {arguments:?}");
        }
        theirs
    }

    /// Asks for everything that there is to know, with and without detail, of all clusters and of each.
    /// Returns the detailed list, for a look at what was compared.
    pub(crate) fn compare(&self, clusters: &[&str]) -> String {
        for question in [
            &["-s"][..],
            &["-s", "-v"],
            &["-sv", "-c", "x"],
            &["-l"],
            &["-lv", "-c", ""],
        ] {
            assert_eq!(self.ask(question).code, Some(0), "{question:?}");
        }
        for cluster in clusters {
            for flags in ["-l", "-lv"] {
                let answer = self.ask(&[flags, "-c", cluster]);
                assert_eq!(answer.code, Some(0));
                let header = format!("Cluster \"{cluster}\":\n");
                assert!(answer.stdout.starts_with(&header), "{answer:?}");
                assert_eq!(answer.stdout.matches("Cluster \"").count(), 1);
            }
        }
        assert_eq!(self.ask(&["-lv", "-c", "no such cluster"]).stdout, "");
        self.ask(&["-lv"]).stdout
    }

    /// Waits until both daemons list what is wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        for daemon in &self.0 {
            let listed = || daemon.ask(Path::new(THEIR_TOOL), &["-lv"]).stdout;
            while !wanted(&listed()) {
                assert!(Instant::now() < deadline, "{what}: {}", listed());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// The text with the daemon's own port and those of clients replaced.
fn without_ports(text: &str, daemon: SocketAddr) -> String {
    let ours = daemon.port().to_string();
    let lines = text.split_inclusive('\n').map(|line| {
        let (start, port) = line.rsplit_once(':').unwrap_or((line, ""));
        let port = port.trim_end_matches('\n');
        let is_client = start.contains("Client address:\t");
        let is_daemon = start.starts_with("QNetd address:\t") && port == ours;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && (is_client || is_daemon) {
            format!("{start}:PORT\n")
        } else {
            line.to_owned()
        }
    });
    lines.collect()
}
