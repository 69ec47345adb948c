//! `corosync-qdevice-net-certutil -Q`, which does everything from one node by ssh and scp (provisioning spec 1.4).

use crate::cluster;
use crate::machine::{Machine, NODE_DB, Site};
use crate::ssh;

#[test]
fn one_command_joins_all_nodes() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.package();
    let nodes = [site.machine("node1"), site.machine("node2")];
    let all: Vec<&Machine> = nodes.iter().collect();
    ssh::key(all[0]);
    for machine in [&arbiter, all[0], all[1]] {
        ssh::serve(machine);
        ssh::introduce(all[0], machine);
    }
    let certutil = [
        "env",
        "HOME=/root",
        "corosync-qdevice-net-certutil",
        "-Q",
        "-n",
        "Quick",
    ];
    let hosts = [&*arbiter.address, &all[0].address, &all[1].address];
    let command = [&certutil[..], &hosts].concat();
    all[0].run(&command);
    arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
    cluster::start(&arbiter, &all, "Quick");
    cluster::wait_for_device(&all);

    // Again, with a new key, for the same cluster: what it prints of the existing database is no failure.
    for node in &all {
        node.run(&["systemctl", "stop", "corosync-qdevice"]);
        node.run(&["rm", "-rf", NODE_DB]);
    }
    all[0].run(&command);
    for node in &all {
        node.run(&["systemctl", "start", "corosync-qdevice"]);
    }
    cluster::wait_for_device(&all);
}
