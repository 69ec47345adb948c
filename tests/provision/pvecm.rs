//! Proxmox VE: the commands of `pvecm qdevice setup` and `remove` in their order (provisioning spec 1.1 and 1.5).

use crate::cluster;
use crate::machine::{DB, Machine, NODE_DB, Outcome, Site};
use crate::ssh;

/// How files travel: SFTP since OpenSSH 9.0, the old protocol in Proxmox VE 7.
#[derive(Clone, Copy)]
enum Copying {
    Sftp,
    Old,
}

/// An arbiter and the nodes of a Proxmox VE cluster, which has no device yet.
struct Proxmox {
    arbiter: Machine,
    nodes: Vec<Machine>,
    name: &'static str,
    copying: Copying,
    _site: Site,
}

impl Proxmox {
    fn new(name: &'static str, copying: Copying) -> Self {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        ssh::serve(&arbiter);
        let nodes = vec![site.machine("node1"), site.machine("node2")];
        for node in &nodes {
            // One directory on all nodes, as in Proxmox VE.
            node.sh("mkdir /etc/pve; mount --bind /run/shared /etc/pve");
            ssh::serve(node);
        }
        ssh::key(&nodes[0]);
        for node in &nodes {
            ssh::introduce(&nodes[0], node);
        }
        let proxmox = Self {
            arbiter,
            nodes,
            name,
            copying,
            _site: site,
        };
        proxmox.write_configuration("");
        cluster::boot(&proxmox.all());
        proxmox
    }

    fn all(&self) -> Vec<&Machine> {
        self.nodes.iter().collect()
    }

    fn first(&self) -> &Machine {
        &self.nodes[0]
    }

    fn write_configuration(&self, device: &str) {
        let configuration = cluster::configuration(self.name, &self.all(), device);
        cluster::configure(&self.all(), &configuration);
    }

    fn ssh(&self, to: &Machine, command: &[&str]) -> Outcome {
        let ssh = ["env", "HOME=/root", "ssh", "-oBatchMode=yes", "-lroot"];
        let address = [to.address.as_str()];
        self.first()
            .outcome(&[&ssh[..], &address, command].concat())
    }

    fn scp(&self, from: &str, to: &str) -> Outcome {
        let mut scp = vec!["env", "HOME=/root", "scp", "-oBatchMode=yes"];
        if let Copying::Old = self.copying {
            scp.push("-O");
        }
        self.first().outcome(&[&scp[..], &[from, to]].concat())
    }

    fn on_every_node(&self, command: &[&str]) -> Vec<Outcome> {
        let nodes = self.nodes.iter();
        nodes.map(|node| self.ssh(node, command)).collect()
    }

    /// `pvecm qdevice setup ADDRESS [--force]`. Returns how `corosync-qnetd-certutil -i` ended, which it ignores.
    fn setup(&self, force: bool) -> Outcome {
        let first = self.first();
        let address = &self.arbiter.address;
        let remote = |path: &str| format!("root@[{address}]:{path}");
        let user = format!("root@{address}");
        ssh::with_person(first, &["ssh-copy-id", "-i", "/root/.ssh/id_rsa", &user]).ok();

        if first.exists(NODE_DB) {
            assert!(force, "QDevice certificate store already initialised");
            first.run(&["rm", "-rf", NODE_DB]);
        }
        let init = self.ssh(&self.arbiter, &["corosync-qnetd-certutil", "-i"]);
        self.scp(&remote(&format!("{DB}/qnetd-cacert.crt")), "/etc/pve/")
            .ok();
        let ca = "/etc/pve/qnetd-cacert.crt";
        let inits = self.on_every_node(&["corosync-qdevice-net-certutil", "-i", "-c", ca]);
        for init in inits {
            let again = init.stderr.contains("already exists");
            assert!(init.code == 0 || (force && again), "{init:?}");
        }
        first.run(&["rm", ca]);

        first.run(&["corosync-qdevice-net-certutil", "-r", "-n", self.name]);
        let request = format!("{NODE_DB}/qdevice-net-node.crq");
        self.scp(&request, &remote("/tmp")).ok();
        let request = "/tmp/qdevice-net-node.crq";
        let sign = ["corosync-qnetd-certutil", "-s", "-c", request, "-n"];
        self.ssh(&self.arbiter, &[&sign[..], &[self.name]].concat())
            .ok();
        let certificate = format!("cluster-{}.crt", self.name);
        let from = remote(&format!("{DB}/{certificate}"));
        self.scp(&from, NODE_DB).ok();
        let certificate = format!("{NODE_DB}/{certificate}");
        first.run(&["corosync-qdevice-net-certutil", "-M", "-c", &certificate]);
        let bundle = format!("{NODE_DB}/qdevice-net-node.p12");
        first.run(&["cp", &bundle, "/etc/pve/"]);
        let bundle = "/etc/pve/qdevice-net-node.p12";
        for import in self.on_every_node(&["corosync-qdevice-net-certutil", "-m", "-c", bundle]) {
            import.ok();
        }
        first.run(&["rm", bundle]);

        self.write_configuration(&cluster::device(address, "ffsplit"));
        // The file system of Proxmox VE reloads corosync when its configuration changes.
        first.run(&["corosync-cfgtool", "-R"]);
        for verb in ["start", "enable"] {
            for outcome in self.on_every_node(&["systemctl", verb, "corosync-qdevice"]) {
                outcome.ok();
            }
        }
        first.run(&["corosync-cfgtool", "-R"]);
        init
    }

    /// `pvecm qdevice remove`.
    fn remove(&self) {
        self.write_configuration("");
        for command in [
            &["rm", "-rf", "/etc/corosync/qdevice"][..],
            &["systemctl", "stop", "corosync-qdevice"],
            &["systemctl", "disable", "corosync-qdevice"],
        ] {
            for outcome in self.on_every_node(command) {
                outcome.ok();
            }
        }
        self.first().run(&["corosync-cfgtool", "-R"]);
    }

    fn restart_devices(&self) {
        for node in &self.nodes {
            node.run(&["systemctl", "restart", "corosync-qdevice"]);
        }
    }

    fn serial(&self) -> String {
        let certificate = format!("{DB}/cluster-{}.crt", self.name);
        let show = ["openssl", "x509", "-noout", "-serial", "-inform", "DER"];
        self.arbiter
            .run(&[&show[..], &["-in", &certificate]].concat())
    }
}

/// As on Debian: the package made the certificates and started the daemon.
#[test]
fn setup_force_and_remove() {
    let proxmox = Proxmox::new("pve", Copying::Sftp);
    proxmox.arbiter.initialize();
    proxmox
        .arbiter
        .run(&["systemctl", "start", "corosync-qnetd"]);

    let init = proxmox.setup(false);
    assert_eq!(init.code, 1, "{init:?}");
    let text =
        format!("Certificate database ({DB}) already exists. Delete it to initialize new db\n");
    assert_eq!(init.stderr, text);
    cluster::wait_for_device(&proxmox.all());
    assert_eq!(proxmox.serial(), "serial=67\n");
    let listed = proxmox
        .arbiter
        .run(&["corosync-qnetd-tool", "-lv", "-c", "pve"]);
    let verified = "TLS active:\t\tYes (client certificate verified)";
    assert_eq!(listed.matches(verified).count(), 2, "{listed}");

    // Node 2 keeps its database: only the local one is replaced.
    proxmox.setup(true);
    assert_eq!(proxmox.serial(), "serial=68\n");
    cluster::wait_for_device(&proxmox.all());
    proxmox.restart_devices();
    cluster::wait_for_device(&proxmox.all());

    let files = || proxmox.arbiter.run(&["ls", DB]);
    let before = files();
    proxmox.remove();
    for node in &proxmox.nodes {
        crate::machine::until("the device has gone", || {
            cluster::total_votes(node) == Some(2)
        });
    }
    assert_eq!(files(), before);
    proxmox.setup(false);
    cluster::wait_for_device(&proxmox.all());
}

/// Nothing is prepared on the arbiter but the program, and files travel by the protocol of old scps.
#[test]
fn setup_from_proxmox_ve_7_on_an_arbiter_that_was_never_used() {
    let proxmox = Proxmox::new("pve-7_old", Copying::Old);
    proxmox.arbiter.package();
    let init = proxmox.setup(false);
    assert_eq!(init.code, 0, "{init:?}");
    proxmox
        .arbiter
        .run(&["systemctl", "start", "corosync-qnetd"]);
    cluster::wait_for_device(&proxmox.all());
}
