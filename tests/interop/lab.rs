//! One test's world: the hub with its switches and the server under test.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::server::{DATABASE, Flavour, Server};
use crate::tools;

/// Where the server listens, on the network that joins all nodes with it.
pub(crate) const SERVER_ADDRESS: &str = "10.0.0.1";

/// The hub is both the switch room and the server's machine. It has one bridge (`arbiter`) with the server's address,
/// and per cluster one bridge for each group that a split can make (see `cluster`).
pub(crate) struct Lab {
    hub: Namespace,
    server: Server,
    ca: Vec<u8>,
    clusters: AtomicU32,
    begin: Instant,
    // Last, so that it is removed after everything that writes to it has gone.
    scratch: TempDir,
}

impl Lab {
    /// Makes the hub, creates the CA by the server's own tool, and starts the server.
    pub(crate) fn new() -> Self {
        let flavour = Flavour::from_environment();
        tools::require(flavour);
        let begin = Instant::now();
        let scratch = tempfile::Builder::new()
            .prefix("qarbiter-interop-")
            .tempdir()
            .unwrap();
        let hub = Namespace::new("hub", scratch.path());
        hub.run(&["ip", "link", "add", "arbiter", "type", "bridge"]);
        let address = format!("{SERVER_ADDRESS}/16");
        hub.run(&["ip", "address", "add", &address, "dev", "arbiter"]);
        hub.run(&["ip", "link", "set", "arbiter", "up"]);
        let server = Server::new(flavour, scratch.path());
        server.create_ca(&hub);
        let ca = std::fs::read(hub.path(&format!("{DATABASE}/qnetd-cacert.crt"))).unwrap();
        server.start(&hub);
        Self {
            hub,
            server,
            ca,
            clusters: AtomicU32::new(0),
            begin,
            scratch,
        }
    }

    /// Which server is under test.
    pub(crate) fn flavour(&self) -> Flavour {
        self.server.flavour()
    }

    /// The hub's namespace.
    pub(crate) fn hub(&self) -> &Namespace {
        &self.hub
    }

    /// The certificate that nodes trust.
    pub(crate) fn ca(&self) -> &[u8] {
        &self.ca
    }

    /// A directory for the logs and for files that a test makes.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Has the server's tool sign a cluster's request.
    pub(crate) fn sign(&self, request: &[u8], cluster: &str) -> Vec<u8> {
        self.server.sign(&self.hub, request, cluster)
    }

    /// Kills the server without notice; its database stays.
    pub(crate) fn kill_server(&self) {
        self.note("the server is killed");
        self.server.kill(&self.hub);
    }

    /// Starts the server again.
    pub(crate) fn start_server(&self) {
        self.note("the server is started again");
        self.server.start(&self.hub);
    }

    /// A number for a new cluster; addresses and interface names derive from it.
    pub(crate) fn next_cluster(&self) -> u32 {
        self.clusters.fetch_add(1, Ordering::Relaxed)
    }

    /// Carries out `ip` commands in the hub, all in one go.
    pub(crate) fn switch(&self, commands: &[String]) {
        let script = self.scratch.path().join("ip-batch");
        std::fs::write(&script, commands.join("\n") + "\n").unwrap();
        self.hub.ip_batch(&script);
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
            for text in self.hub.ended() {
                println!("--- {text}");
            }
            Self::print_log(&self.hub, "qnetd", 60);
        } else {
            self.note("done");
        }
    }
}
