//! Real corosync and corosync-qdevice on a machine.

use crate::machine::{DB, Machine, NODE_DB, until, until_said};

/// Quorum's device section as `pvecm` writes it.
pub(crate) fn device(arbiter: &str, algorithm: &str) -> String {
    format!(
        "    device {{\n        model: net\n        votes: 1\n        timeout: 3000\n        sync_timeout: 4000\n        \
         net {{\n            tls: on\n            host: {arbiter}\n            algorithm: {algorithm}\n        }}\n    }}\n"
    )
}

/// A `corosync.conf`. Real-time priority is off: several corosyncs on two cores would starve each other.
pub(crate) fn configuration(name: &str, nodes: &[&Machine], device: &str) -> String {
    let list: String = (1..)
        .zip(nodes)
        .map(|(id, node)| {
            let address = &node.address;
            format!("    node {{\n        nodeid: {id}\n        name: node{id}\n        ring0_addr: {address}\n    }}\n")
        })
        .collect();
    format!(
        "totem {{\n    version: 2\n    cluster_name: {name}\n    transport: knet\n    crypto_cipher: none\n    \
         crypto_hash: none\n    token: 1000\n}}\nlogging {{\n    to_stderr: yes\n    to_syslog: no\n    to_logfile: no\n}}\n\
         system {{\n    sched_rr: no\n    priority: 0\n    move_to_root_cgroup: no\n}}\nnodelist {{\n{list}}}\n\
         quorum {{\n    provider: corosync_votequorum\n{device}}}\n"
    )
}

/// Gives all nodes a configuration.
pub(crate) fn configure(nodes: &[&Machine], configuration: &str) {
    for node in nodes {
        node.write("/etc/corosync/corosync.conf", configuration);
    }
}

/// Starts corosync on all nodes and waits until they see each other.
pub(crate) fn boot(nodes: &[&Machine]) {
    for node in nodes {
        node.run(&["systemctl", "start", "corosync"]);
    }
    for node in nodes {
        until("the nodes see each other", || {
            total_votes(node) >= Some(nodes.len())
        });
    }
}

/// What a node says of its quorum, and whether it is quorate.
///
/// `corosync-quorumtool` puts its answer together from several questions to corosync: while the membership changes they
/// can be of two moments. So whatever is asked of an answer belongs into one wait.
fn quorum(node: &Machine) -> (String, bool) {
    let output = node.output(&["corosync-quorumtool", "-s"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

fn number(text: &str, name: &str) -> Option<usize> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// The votes that a node counts, the device's among them.
pub(crate) fn total_votes(node: &Machine) -> Option<usize> {
    number(&quorum(node).0, "Total votes")
}

/// Waits until every node sees all others, is quorate and counts the device's vote, and its own tools say so.
pub(crate) fn wait_for_device(nodes: &[&Machine]) {
    for node in nodes {
        let said = || {
            let (quorum, quorate) = quorum(node);
            // What the others' devices do is known some time later.
            let own = quorum.lines().find(|line| line.ends_with("(local)"));
            let right = quorate
                && number(&quorum, "Nodes") == Some(nodes.len())
                && number(&quorum, "Total votes") == Some(nodes.len() + 1)
                && own.is_some_and(|line| line.contains(" A,V,"));
            if right { Ok(()) } else { Err(quorum) }
        };
        until_said("the device's vote is counted", said);
        until_said("the device is connected", || {
            let output = node.output(&["corosync-qdevice-tool", "-s"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let right = output.status.success() && text.contains("State:\t\t\tConnected");
            if right { Ok(()) } else { Err(text) }
        });
    }
}

/// The flow of the man pages, with files carried by hand: the first node makes the request, all get its result.
pub(crate) fn provision(arbiter: &Machine, nodes: &[&Machine], name: &str) {
    let ca = arbiter.read(&format!("{DB}/qnetd-cacert.crt"));
    for node in nodes {
        node.write("/root/ca.crt", &ca);
        node.run(&["corosync-qdevice-net-certutil", "-i", "-c", "/root/ca.crt"]);
    }
    let first = nodes[0];
    let request = request(first, name);
    arbiter.write("/root/node.crq", request);
    arbiter.run(&[
        "corosync-qnetd-certutil",
        "-s",
        "-c",
        "/root/node.crq",
        "-n",
        name,
    ]);
    first.write("/root/cluster.crt", arbiter.read(&certificate(name)));
    first.run(&[
        "corosync-qdevice-net-certutil",
        "-M",
        "-c",
        "/root/cluster.crt",
    ]);
    let bundle = first.read(&format!("{NODE_DB}/qdevice-net-node.p12"));
    for node in &nodes[1..] {
        node.write("/root/node.p12", &bundle);
        node.run(&[
            "corosync-qdevice-net-certutil",
            "-m",
            "-c",
            "/root/node.p12",
        ]);
    }
}

/// Where the arbiter keeps a cluster's certificate.
pub(crate) fn certificate(name: &str) -> String {
    format!("{DB}/cluster-{name}.crt")
}

/// A request of the node's own tool.
pub(crate) fn request(node: &Machine, name: &str) -> Vec<u8> {
    node.run(&["corosync-qdevice-net-certutil", "-r", "-n", name]);
    node.read(&format!("{NODE_DB}/qdevice-net-node.crq"))
}

/// Writes the whole configuration with a device and starts corosync and corosync-qdevice.
pub(crate) fn start(arbiter: &Machine, nodes: &[&Machine], name: &str) {
    let device = device(&arbiter.address, "ffsplit");
    configure(nodes, &configuration(name, nodes, &device));
    for node in nodes {
        node.run(&["systemctl", "start", "corosync"]);
    }
    for node in nodes {
        node.run(&["systemctl", "start", "corosync-qdevice"]);
    }
}
