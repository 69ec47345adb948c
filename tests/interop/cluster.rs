//! A corosync cluster: its nodes, their certificates, and the cables that a test can cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certs;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::quorum::Views;
use crate::server::Flavour;
use crate::spec::{Identity, Spec, ring_address};
use crate::watch::Watch;

/// No wait takes longer. A vote lease that was lost silently holds a hand-over back for 2 x 2.4 s plus 1 s here; the
/// rest is room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// The command line of a node's vote client, with its debug log.
const QDEVICE: &[&str] = &["corosync-qdevice", "-f", "-d"];

/// A running cluster.
pub(crate) struct Cluster<'lab> {
    lab: &'lab Lab,
    spec: Spec,
    number: u32,
    nodes: BTreeMap<u32, Arc<Namespace>>,
    pkcs12: Option<Vec<u8>>,
    watch: Watch,
}

impl<'lab> Cluster<'lab> {
    /// Makes the nodes, provisions them, connects them and starts corosync and qdevice on each.
    pub(crate) fn start(lab: &'lab Lab, spec: Spec) -> Self {
        let number = lab.next_cluster();
        let nodes: BTreeMap<_, _> = spec
            .nodes
            .iter()
            .map(|id| {
                let name = format!("{}-{number}-node{id}", spec.name);
                (*id, Arc::new(Namespace::new(&name, lab.scratch())))
            })
            .collect();
        let watch = Watch::start(nodes.iter().map(|(id, n)| (*id, Arc::clone(n))).collect());
        let mut cluster = Self {
            lab,
            spec,
            number,
            nodes,
            pkcs12: None,
            watch,
        };
        cluster.connect();
        cluster.provision();
        cluster.note("certificates are in place");
        cluster.boot();
        cluster.note("corosync and qdevice run");
        cluster
    }

    fn connect(&self) {
        let number = self.number;
        let mut commands = Vec::new();
        for group in 0..self.nodes.len() {
            commands.push(format!("link add {} type bridge", self.group(group)));
            commands.push(format!("link set {} up", self.group(group)));
        }
        for (id, node) in &self.nodes {
            let pid = node.pid();
            let (ring, arbiter) = (self.ring_port(*id), self.arbiter_port(*id));
            commands.extend([
                format!("link add {ring} type veth peer name ring netns {pid}"),
                format!("link add {arbiter} type veth peer name arbiter netns {pid}"),
                format!("link set {ring} master {} up", self.group(0)),
                format!("link set {arbiter} master arbiter up"),
            ]);
        }
        self.lab.switch(&commands);
        for (id, node) in &self.nodes {
            let ring = format!("{}/24", ring_address(number, *id));
            let arbiter = format!("10.0.{}.{id}/16", number + 1);
            node.run(&["ip", "address", "add", &ring, "dev", "ring"]);
            let v6 = format!("fd00::{}:{id}/64", number + 1);
            node.run(&["ip", "address", "add", &arbiter, "dev", "arbiter"]);
            node.run(&["ip", "address", "add", &v6, "dev", "arbiter", "nodad"]);
            node.run(&["ip", "link", "set", "ring", "up"]);
            node.run(&["ip", "link", "set", "arbiter", "up"]);
        }
    }

    fn provision(&mut self) {
        if matches!(self.spec.identity, Identity::Plaintext) {
            return;
        }
        for node in self.nodes.values() {
            certs::trust(node, &self.lab.ca());
        }
        match &self.spec.identity {
            Identity::Own => {
                let mut nodes = self.nodes.values();
                let first = nodes.next().unwrap();
                let request = certs::request(first, self.spec.name);
                let certificate = self.lab.sign(&request, self.spec.name);
                let pkcs12 = certs::complete(first, &certificate);
                for node in nodes {
                    certs::import(node, &pkcs12);
                }
                self.pkcs12 = Some(pkcs12);
            }
            Identity::Pkcs12(pkcs12) => {
                for node in self.nodes.values() {
                    certs::import(node, pkcs12);
                }
            }
            Identity::Nothing | Identity::Plaintext => {}
        }
    }

    fn boot(&self) {
        let configuration = self.spec.configuration(self.number);
        for node in self.nodes.values() {
            std::fs::write(node.path("/etc/corosync/corosync.conf"), &configuration).unwrap();
            node.start("corosync", &["corosync", "-f"]);
        }
        self.wait("corosync answers on every node", |views| {
            views.len() == self.nodes.len()
        });
        // Nodes that report one after the other that they see each other now: with 2nodelms the reference compares the
        // first one with what it knew of the second one, says no, and never looks again (algorithms spec, 8.4, A7 and
        // A9). So for the reference that race is avoided.
        if self.lab.flavour() == Flavour::Theirs && self.spec.algorithm != "ffsplit" {
            self.wait("all nodes see each other", |views| {
                let all = self.nodes.len();
                views.len() == all && views.values().all(|view| view.members.len() == all)
            });
        }
        for node in self.nodes.values() {
            node.run(&["mkdir", "-p", "/run/corosync-qdevice"]);
            node.start("qdevice", QDEVICE);
        }
    }

    /// Gives all nodes another configuration while they run.
    pub(crate) fn reconfigure(&self, spec: &Spec) {
        self.note(&format!(
            "the configuration has the nodes {:?} now",
            spec.nodes
        ));
        let configuration = spec.configuration(self.number);
        for node in self.nodes.values() {
            std::fs::write(node.path("/etc/corosync/corosync.conf"), &configuration).unwrap();
        }
        let first = self.nodes.values().next().unwrap();
        first.run(&["corosync-cfgtool", "-R"]);
    }

    /// Kills corosync and qdevice on a node; the node's kernel closes their connections.
    pub(crate) fn crash(&self, node: u32) {
        self.note(&format!("corosync and qdevice crash on node {node}"));
        self.nodes[&node].kill("qdevice");
        self.nodes[&node].kill("corosync");
    }

    /// Ends qdevice and corosync on a node as its service manager does. Returns the moment before.
    pub(crate) fn shut_down(&self, node: u32) -> Instant {
        self.note(&format!("node {node} shuts down"));
        let begin = Instant::now();
        self.nodes[&node].stop("qdevice");
        self.nodes[&node].stop("corosync");
        begin
    }

    /// Starts corosync and qdevice on a node that crashed or was shut down.
    pub(crate) fn restart(&self, node: u32) {
        self.note(&format!("node {node} starts again"));
        self.nodes[&node].start("corosync", &["corosync", "-f"]);
        self.wait("its corosync answers", |views| views.contains_key(&node));
        self.nodes[&node].start("qdevice", QDEVICE);
    }

    /// Key and certificate of this cluster, as its nodes have them.
    pub(crate) fn pkcs12(&self) -> Vec<u8> {
        self.pkcs12.clone().unwrap()
    }

    fn group(&self, group: usize) -> String {
        format!("c{}g{group}", self.number)
    }

    fn ring_port(&self, node: u32) -> String {
        format!("c{}n{node}r", self.number)
    }

    /// The switch port of a node's link to the server.
    pub(crate) fn arbiter_port(&self, node: u32) -> String {
        format!("c{}n{node}a", self.number)
    }

    fn note(&self, text: &str) {
        self.lab.note(&format!("{}: {text}", self.spec.name));
    }

    /// The commands that leave only the nodes of the same group connected with each other; for [`Lab::switch`]. Nodes
    /// see no loss of carrier: what they send is dropped. Their links to the server stay as they are.
    pub(crate) fn split_commands(&self, groups: &[&[u32]]) -> Vec<String> {
        let moves = groups.iter().enumerate().flat_map(|(group, nodes)| {
            nodes.iter().map(move |node| {
                format!(
                    "link set {} master {}",
                    self.ring_port(*node),
                    self.group(group)
                )
            })
        });
        moves.collect()
    }

    /// Splits the cluster; returns the moment before it.
    pub(crate) fn split(&self, groups: &[&[u32]]) -> Instant {
        self.note(&format!("split into {groups:?}"));
        let begin = Instant::now();
        self.lab.switch(&self.split_commands(groups));
        begin
    }

    /// Joins all nodes again.
    pub(crate) fn heal(&self) {
        self.note("the split heals");
        self.lab.switch(&self.split_commands(&[self.spec.nodes]));
    }

    /// Drops everything between a node and the server, silently: no connection is closed, no address is unreachable.
    pub(crate) fn cut_arbiter_link(&self, node: u32) {
        self.note(&format!(
            "node {node} loses its link to the server, silently"
        ));
        let port = self.arbiter_port(node);
        self.lab.switch(&[format!("link set {port} nomaster")]);
    }

    /// Undoes [`Cluster::cut_arbiter_link`].
    pub(crate) fn restore_arbiter_link(&self, node: u32) {
        self.note(&format!("node {node} has its link to the server again"));
        let port = self.arbiter_port(node);
        self.lab
            .switch(&[format!("link set {port} master arbiter")]);
    }

    /// Kills everything on a node at once.
    pub(crate) fn kill_node(&self, node: u32) {
        self.note(&format!("node {node} is killed"));
        self.nodes[&node].destroy();
    }

    /// A node's namespace.
    pub(crate) fn node(&self, node: u32) -> &Namespace {
        &self.nodes[&node]
    }

    /// Waits until all nodes see each other and have the device's vote.
    pub(crate) fn wait_complete(&self) {
        let votes = u32::try_from(self.spec.nodes.len()).unwrap() + self.spec.device_votes;
        self.wait(
            &format!("all nodes are quorate with {votes} votes"),
            |views| views.quorate(self.spec.nodes, votes),
        );
        for view in self.complete_views().values() {
            assert_eq!(view.expected, votes, "expected votes");
        }
    }

    /// Waits until the nodes' fresh views satisfy the condition, for as long as a slow machine may need.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Views) -> bool) {
        let begin = Instant::now();
        while !condition(&self.watch.latest(begin)) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{}: after {PATIENCE:?} it is still not so that {what}; the nodes say {:#?}",
                self.spec.name,
                self.watch.latest(begin)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self.note(what);
    }

    /// Watches that the condition is true all along.
    pub(crate) fn hold(&self, span: Duration, what: &str, condition: impl Fn(&Views) -> bool) {
        let begin = Instant::now();
        while begin.elapsed() < span {
            let views = self.complete_views();
            assert!(
                condition(&views),
                "{}: for {:?} it was so that {what}, now the nodes say {views:#?}",
                self.spec.name,
                begin.elapsed()
            );
        }
        self.note(&format!("for {span:?}, {what}"));
    }

    /// Views of all living nodes, taken after this call.
    fn complete_views(&self) -> Views {
        let begin = Instant::now();
        let living = self.nodes.values().filter(|n| n.is_alive()).count();
        loop {
            let views = self.watch.latest(begin);
            if views.len() == living {
                return views;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{}: not every node's corosync answers: {views:#?}",
                self.spec.name
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What there is to know about each living node, for the report of a failure.
    fn print_state(&self) {
        for node in self.nodes.values().filter(|n| n.is_alive()) {
            for text in node.ended() {
                println!("--- {text}");
            }
            for command in [
                &["corosync-quorumtool", "-s", "-i"][..],
                &["corosync-qdevice-tool", "-s", "-v"],
            ] {
                let output = node.output(command);
                println!(
                    "--- {} {}:\n{}{}",
                    node.name(),
                    command.join(" "),
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Lab::print_log(node, "corosync", 15);
            Lab::print_log(node, "qdevice", 30);
        }
    }

    /// The moments at which two disjoint memberships were quorate, in words.
    pub(crate) fn both_quorate(&self) -> Vec<String> {
        self.watch.both_quorate()
    }

    /// Fails if these nodes, and no others with them, were quorate at any moment since `begin`.
    pub(crate) fn assert_never_quorate(&self, nodes: &[u32], begin: Instant) {
        let moments = self.watch.quorate_since(nodes, begin);
        assert!(
            moments.is_empty(),
            "{}: the nodes {nodes:?} were quorate, {moments:?} after the split",
            self.spec.name
        );
    }

    /// Fails if this node was not quorate at any moment since `begin`.
    pub(crate) fn assert_always_quorate(&self, node: u32, begin: Instant) {
        let samples = self.watch.samples();
        let own = samples
            .iter()
            .filter(|s| s.node == node && s.begin >= begin);
        for sample in own {
            assert!(
                sample.view.as_ref().is_some_and(|view| view.quorate),
                "{}: node {node} was not quorate for a moment: {sample:?}",
                self.spec.name
            );
        }
    }

    /// Fails if at any moment two disjoint memberships were quorate.
    pub(crate) fn assert_never_both_quorate(&self) {
        let moments = self.both_quorate();
        assert!(
            moments.is_empty(),
            "{}: two halves were quorate together: {moments:#?}",
            self.spec.name
        );
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_state();
        }
    }
}
