//! One test's world: the switches, and the machine on which the server under test runs.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::server::{DATABASE, Flavour, Server};
use crate::tools;

/// Where the server listens, on the network that joins all nodes with it.
pub(crate) const SERVER_ADDRESS: &str = "10.0.0.1";

/// The same for clusters that prefer IPv6.
pub(crate) const SERVER_ADDRESS_V6: &str = "fd00::1";

/// `switches` has one bridge (`arbiter`) that joins the server's machine with all nodes, and per cluster one bridge for
/// each group that a split can make (see `cluster`). It has no address of its own: otherwise its kernel would answer on
/// a cable that was unplugged from its bridge, and a lost link would lose packets in one direction only.
pub(crate) struct Lab {
    switches: Namespace,
    machine: Namespace,
    server: Server,
    clusters: AtomicU32,
    begin: Instant,
    // Last, so that it is removed after everything that writes to it has gone.
    scratch: TempDir,
}

impl Lab {
    /// A lab whose server requires TLS and client certificates.
    pub(crate) fn new() -> Self {
        Self::with_environment(&[])
    }

    /// The same with settings from the environment (`NAME=VALUE`).
    pub(crate) fn with_environment(environment: &'static [&'static str]) -> Self {
        Self::with(&["-s", "req", "-c", "on"], environment)
    }

    /// A lab whose server has these flags.
    pub(crate) fn with_flags(flags: &'static [&'static str]) -> Self {
        Self::with(flags, &[])
    }

    /// Lays the cables, creates the CA by the server's own tool, and starts the server.
    fn with(flags: &'static [&'static str], environment: &'static [&'static str]) -> Self {
        let flavour = Flavour::from_environment();
        tools::require(flavour);
        let begin = Instant::now();
        let scratch = tempfile::Builder::new()
            .prefix("qarbiter-interop-")
            .tempdir()
            .unwrap();
        let switches = Namespace::new("switches", scratch.path());
        let machine = Namespace::new("server", scratch.path());
        let lab = Self {
            server: Server::new(flavour, scratch.path(), flags, environment),
            switches,
            machine,
            clusters: AtomicU32::new(0),
            begin,
            scratch,
        };
        lab.switch(&[
            "link add arbiter type bridge".to_owned(),
            "link set arbiter up".to_owned(),
            format!(
                "link add server type veth peer name arbiter netns {}",
                lab.machine.pid()
            ),
            "link set server master arbiter up".to_owned(),
        ]);
        let v6 = format!("{SERVER_ADDRESS_V6}/64");
        lab.machine
            .run(&["ip", "address", "add", &v6, "dev", "arbiter", "nodad"]);
        let address = format!("{SERVER_ADDRESS}/16");
        lab.machine
            .run(&["ip", "address", "add", &address, "dev", "arbiter"]);
        lab.machine.run(&["ip", "link", "set", "arbiter", "up"]);
        lab.server.create_ca(&lab.machine);
        lab.server.start(&lab.machine);
        lab
    }

    /// Which server is under test.
    pub(crate) fn flavour(&self) -> Flavour {
        self.server.flavour()
    }

    /// The machine that carries all cables.
    pub(crate) fn switches(&self) -> &Namespace {
        &self.switches
    }

    /// The server's machine.
    pub(crate) fn machine(&self) -> &Namespace {
        &self.machine
    }

    /// The certificate that nodes trust.
    pub(crate) fn ca(&self) -> Vec<u8> {
        std::fs::read(self.machine.path(&format!("{DATABASE}/qnetd-cacert.crt"))).unwrap()
    }

    /// A directory for the logs and for files that a test makes.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Has the server's tool sign a cluster's request.
    pub(crate) fn sign(&self, request: &[u8], cluster: &str) -> Vec<u8> {
        self.server.sign(&self.machine, request, cluster)
    }

    /// Kills the server without notice; its database stays.
    pub(crate) fn kill_server(&self) {
        self.note("the server is killed");
        self.machine.kill("qnetd");
    }

    /// Asks the server to end, which it has to do in good order.
    pub(crate) fn stop_server(&self) {
        self.note("the server is stopped");
        self.machine.stop("qnetd");
    }

    /// Starts the server again.
    pub(crate) fn start_server(&self) {
        self.note("the server is started again");
        self.server.start(&self.machine);
    }

    /// A number for a new cluster; addresses and interface names derive from it.
    pub(crate) fn next_cluster(&self) -> u32 {
        self.clusters.fetch_add(1, Ordering::Relaxed)
    }

    /// Carries out `ip` commands on the switches, all in one go.
    pub(crate) fn switch(&self, commands: &[String]) {
        let script = self.scratch.path().join("ip-batch");
        std::fs::write(&script, commands.join("\n") + "\n").unwrap();
        self.switches.ip_batch(&script);
    }

    /// Says what happens, with the time since the test began (seen upon failure or with `--nocapture`).
    pub(crate) fn note(&self, text: &str) {
        println!("{:7.2} s  {text}", self.begin.elapsed().as_secs_f64());
    }

    /// The end of a daemon's log, for the report of a failure.
    pub(crate) fn print_log(namespace: &Namespace, daemon: &str, lines: usize) {
        let log = namespace.log(daemon);
        let all: Vec<_> = log.lines().collect();
        let start = all.len().saturating_sub(lines);
        println!("--- {} {daemon}, last lines:", namespace.name());
        for line in &all[start..] {
            println!("{line}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for text in self.machine.ended() {
                println!("--- {text}");
            }
            Self::print_log(&self.machine, "qnetd", 60);
        } else {
            let test = std::thread::current();
            self.note(&format!("done: {}", test.name().unwrap_or_default()));
        }
    }
}
