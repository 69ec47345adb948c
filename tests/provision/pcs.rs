//! pcs: its commands on the arbiter's host, and a cluster that gets its device by `pcs quorum device add` through real
//! pcsds (provisioning spec 1.2).

use crate::cluster;
use crate::machine::{DB, Machine, NODE_DB, Outcome, Site, until};

fn pcs(machine: &Machine, line: &str) -> Outcome {
    let words: Vec<_> = line.split(' ').collect();
    machine.outcome(&[&["pcs"], &words[..]].concat())
}

fn refused(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(text), "{outcome:?}");
}

fn daemon_runs(machine: &Machine) -> bool {
    machine
        .outcome(&["systemctl", "is-active", "corosync-qnetd"])
        .code
        == 0
}

/// A host on which our package was installed, without the certificates that it makes.
fn arbiter(site: &Site) -> Machine {
    let arbiter = site.machine("arbiter");
    arbiter.package();
    arbiter
}

#[test]
fn the_commands_on_the_arbiters_host() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    refused(
        &pcs(&arbiter, "qdevice start net"),
        "Quorum device 'net' has not been initialized yet",
    );
    refused(
        &pcs(&arbiter, "qdevice status net"),
        "Quorum device 'net' is not running",
    );
    let setup = pcs(&arbiter, "qdevice setup model net --enable --start").ok();
    for text in ["initialized", "enabled", "started"] {
        let text = format!("Quorum device 'net' {text}");
        assert!(
            setup.stderr.contains(&text) || setup.stderr.contains("tarted"),
            "{setup:?}"
        );
    }
    refused(
        &pcs(&arbiter, "qdevice setup model net"),
        "Quorum device 'net' has been already initialized",
    );
    for (line, question) in [
        ("qdevice status net", &["-s"][..]),
        ("qdevice status net --full", &["-s", "-v"]),
        ("qdevice status net --full nobody", &["-s", "-v"]),
    ] {
        let shown = pcs(&arbiter, line).ok().stdout;
        let tool = arbiter.run(&[&["corosync-qnetd-tool"], question].concat());
        assert_eq!(shown.trim_end(), tool.trim_end(), "{line}");
    }

    pcs(&arbiter, "qdevice stop net").ok();
    assert!(!daemon_runs(&arbiter));
    pcs(&arbiter, "qdevice disable net").ok();
    assert_eq!(
        arbiter
            .outcome(&["systemctl", "is-enabled", "corosync-qnetd"])
            .code,
        3
    );
    pcs(&arbiter, "qdevice enable net").ok();
    pcs(&arbiter, "qdevice start net").ok();
    assert!(daemon_runs(&arbiter));
    pcs(&arbiter, "qdevice kill net").ok();
    until("the daemon is killed", || !daemon_runs(&arbiter));

    pcs(&arbiter, "qdevice start net").ok();
    let before = arbiter.read(&format!("{DB}/qnetd-cacert.crt"));
    let destroyed = pcs(&arbiter, "qdevice destroy net").ok();
    assert!(
        destroyed.stderr.contains("configuration files removed"),
        "{destroyed:?}"
    );
    assert!(!daemon_runs(&arbiter) && !arbiter.exists(DB));
    pcs(&arbiter, "qdevice setup model net --enable --start").ok();
    assert_ne!(arbiter.read(&format!("{DB}/qnetd-cacert.crt")), before);
}

fn start_pcsd(machine: &Machine) {
    machine.sh("echo hacluster:cluster-password | chpasswd");
    machine.run(&["systemctl", "start", "pcsd-ruby"]);
    machine.run(&["systemctl", "start", "pcsd"]);
}

#[test]
fn a_device_is_added_and_removed_through_pcsd() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    let nodes = [site.machine("node1"), site.machine("node2")];
    let all: Vec<_> = nodes.iter().collect();
    let first = all[0];
    let hosts = format!(
        "127.0.0.1 localhost\n{} arbiter\n{} node1\n{} node2\n",
        arbiter.address, nodes[0].address, nodes[1].address
    );
    for machine in [&arbiter, &nodes[0], &nodes[1]] {
        machine.write("/etc/hosts", &hosts);
        start_pcsd(machine);
    }
    pcs(&arbiter, "qdevice setup model net --enable --start").ok();
    cluster::configure(&all, &cluster::configuration("pcs cluster", &all, ""));
    cluster::boot(&all);
    pcs(
        first,
        "host auth node1 node2 arbiter -u hacluster -p cluster-password",
    )
    .ok();

    let added = pcs(
        first,
        "quorum device add model net host=arbiter algorithm=ffsplit",
    );
    added.ok();
    cluster::wait_for_device(&all);

    // Ansible's role asks whether the certificates are still those of this arbiter, and for this cluster.
    let check = |name: &str| {
        let question = [
            "pcs",
            "quorum",
            "device",
            "check_local_qnetd_certs",
            "arbiter",
            name,
        ];
        first.outcome(&question).ok().stdout
    };
    assert_eq!(check("pcs cluster"), "certificate present\n");
    assert_eq!(check("pcs"), "certificate missing\n");

    let listed = pcs(&arbiter, "qdevice status net").ok().stdout;
    assert!(listed.contains("Cluster \"pcs cluster\":\n"), "{listed}");
    let in_use = "Quorum device is currently being used by cluster(s): 'pcs cluster', use --force to override";
    refused(&pcs(&arbiter, "qdevice stop net"), in_use);
    refused(&pcs(&arbiter, "qdevice destroy net"), in_use);
    pcs(&arbiter, "qdevice stop net --force").ok();
    assert!(!daemon_runs(&arbiter));
    pcs(&arbiter, "qdevice start net").ok();
    cluster::wait_for_device(&all);

    pcs(first, "quorum device remove").ok();
    for node in &all {
        until("the device has gone", || {
            cluster::total_votes(node) == Some(2)
        });
        assert!(!node.exists(NODE_DB));
    }
    assert!(arbiter.exists(&format!("{DB}/cluster-pcs cluster.crt")));
    pcs(&arbiter, "qdevice destroy net").ok();
    assert!(!arbiter.exists(DB));
}
