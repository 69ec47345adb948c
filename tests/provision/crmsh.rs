//! crmsh: Debian's, running its own code for the qdevice stage; and the commands of newer releases as they send them
//! (provisioning spec 1.3).

use crate::cluster;
use crate::machine::{DB, Machine, NODE_DB, Outcome, Site, until};
use crate::ssh;

struct World {
    arbiter: Machine,
    node: Machine,
    _site: Site,
}

impl World {
    /// An arbiter, and a cluster of one node that may log in there.
    fn new(name: &str) -> Self {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        arbiter.package();
        ssh::serve(&arbiter);
        let node = site.machine("node1");
        ssh::serve(&node);
        ssh::key(&node);
        for machine in [&arbiter, &node] {
            ssh::introduce(&node, machine);
        }
        cluster::configure(&[&node], &cluster::configuration(name, &[&node], ""));
        cluster::boot(&[&node]);
        Self {
            arbiter,
            node,
            _site: site,
        }
    }

    fn crmsh(&self, task: &str, name: &str) -> Outcome {
        self.node.write("/run/steps.py", include_str!("crmsh.py"));
        let python = ["env", "HOME=/root", "python3", "/run/steps.py", task];
        let rest = [&*self.arbiter.address, &self.node.address, name];
        self.node.outcome(&[&python[..], &rest].concat())
    }

    /// What newer releases do: the command goes to a bash on the other side.
    fn bash(&self, command: &str) -> Outcome {
        let target = format!("root@{}", self.arbiter.address);
        let ssh = [
            "env",
            "HOME=/root",
            "ssh",
            "-T",
            "-oBatchMode=yes",
            &target,
            "/bin/bash",
        ];
        self.node.feed(command.as_bytes(), &ssh)
    }

    fn sftp(&self, command: &str) {
        let target = format!("root@{}", self.arbiter.address);
        let sftp = [
            "env",
            "HOME=/root",
            "sftp",
            "-oBatchMode=yes",
            "-b",
            "-",
            &target,
        ];
        self.node.feed(command.as_bytes(), &sftp).ok();
    }

    fn start_device(&self) {
        self.node.run(&["corosync-cfgtool", "-R"]);
        self.node.run(&["systemctl", "restart", "corosync-qdevice"]);
        cluster::wait_for_device(&[&self.node]);
    }
}

#[test]
fn debians_release_from_start_to_removal() {
    let world = World::new("crm");
    world.crmsh("validate", "crm").ok();
    world.crmsh("provision", "crm").ok();
    world.crmsh("start", "crm").ok();
    world.start_device();

    let status = world.crmsh("status", "crm").ok().stdout;
    let expected = world
        .arbiter
        .run(&["corosync-qnetd-tool", "-lv", "-c", "crm"]);
    assert!(status.contains(expected.trim_end()), "{status}\n{expected}");
    // The name is in use, which crmsh sees in what the tool prints.
    let again = world.crmsh("validate", "crm");
    assert!(
        again.stderr.contains("already exists on qnetd server"),
        "{again:?}"
    );
    world.crmsh("validate", "another").ok();

    world.crmsh("remove", "crm").ok();
    for file in ["cluster-crm.crt", "qdevice-net-node.crq.crm"] {
        assert!(!world.arbiter.exists(&format!("{DB}/{file}")), "{file}");
    }
}

#[test]
fn newer_releases_from_start_to_removal() {
    let world = World::new("crm5");
    world.bash("true").ok();
    world.bash("mkdir /run/.crmsh_lock_directory").ok();
    let ca = format!("{DB}/qnetd-cacert.crt");
    assert_eq!(world.bash(&format!("test -f {ca}")).code, 1);
    world.bash("corosync-qnetd-certutil -i").ok();
    world.bash("rm -rf /run/.crmsh_lock_directory").ok();

    // Not active: the port goes to the file of options, and the unit reads it.
    let active = world.bash("systemctl is-active 'corosync-qnetd.service'");
    assert_eq!(active.stdout, "inactive\n");
    world
        .bash("sed -i 's/^COROSYNC_QNETD_OPTIONS=.*/COROSYNC_QNETD_OPTIONS=\"-4 -p 5413\"/' /etc/default/corosync-qnetd")
        .ok();
    world
        .bash(
            "systemctl enable --now 'corosync-qnetd.service' && systemctl is-enabled 'corosync-qnetd.service' && \
             systemctl is-active 'corosync-qnetd.service'",
        )
        .ok();
    // At once: the tool has to answer as soon as `start` returns.
    let status = world.bash("corosync-qnetd-tool -s").ok().stdout;
    assert!(
        status.starts_with("QNetd address:\t\t\t*:5413\n"),
        "{status}"
    );
    let unknown = world.bash("corosync-qnetd-tool -l -c crm5").ok();
    assert_eq!((&*unknown.stdout, &*unknown.stderr), ("", ""));

    world.bash("mkdir /run/.crmsh_qdevice_lock_for_crm5").ok();
    world
        .node
        .run(&["mkdir", "-p", "/etc/corosync/qdevice/net/arbiter"]);
    world.sftp(&format!(
        "get -p {ca} /etc/corosync/qdevice/net/arbiter/qnetd-cacert.crt\n"
    ));
    let local_ca = "/etc/corosync/qdevice/net/arbiter/qnetd-cacert.crt";
    world
        .node
        .run(&["corosync-qdevice-net-certutil", "-i", "-c", local_ca]);
    world
        .node
        .run(&["corosync-qdevice-net-certutil", "-r", "-n", "crm5"]);
    let request = format!("{DB}/qdevice-net-node.crq.crm5");
    world.sftp(&format!(
        "put -p {NODE_DB}/qdevice-net-node.crq {request}\n"
    ));
    world
        .bash(&format!("corosync-qnetd-certutil -s -c {request} -n crm5"))
        .ok();
    let certificate = format!("{DB}/cluster-crm5.crt");
    world.sftp(&format!(
        "get -p {certificate} /etc/corosync/qdevice/net/arbiter/cluster-crm5.crt\n"
    ));
    world.bash("rm -rf /run/.crmsh_qdevice_lock_for_crm5").ok();
    let local = "/etc/corosync/qdevice/net/arbiter/cluster-crm5.crt";
    world
        .node
        .run(&["corosync-qdevice-net-certutil", "-M", "-c", local]);

    let device = cluster::device(&world.arbiter.address, "ffsplit");
    let device = device.replace("tls: on\n", "tls: on\n            port: 5413\n");
    let configuration = cluster::configuration("crm5", &[&world.node], &device);
    cluster::configure(&[&world.node], &configuration);
    world.start_device();
    let listed = world.bash("corosync-qnetd-tool -lv -c crm5").ok().stdout;
    assert!(listed.starts_with("Cluster \"crm5\":\n"), "{listed}");
    assert!(
        !world
            .bash("corosync-qnetd-tool -l -c crm5")
            .ok()
            .stdout
            .is_empty()
    );

    world.node.run(&["systemctl", "stop", "corosync-qdevice"]);
    for file in [&certificate, &request] {
        world.bash(&format!("test -f {file} && rm -f {file}")).ok();
    }
    until("the arbiter has forgotten the cluster", || {
        world
            .bash("corosync-qnetd-tool -l -c crm5")
            .ok()
            .stdout
            .is_empty()
    });
}
