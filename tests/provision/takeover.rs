//! One program in place of the other on the same host, with the same directory and port. The nodes run on.

use crate::cluster;
use crate::machine::{DB, Machine, NODE_DB, Site, Whose, until};
use crate::requests;

struct World {
    arbiter: Machine,
    nodes: [Machine; 2],
    _site: Site,
}

impl World {
    /// A cluster that joined an arbiter which one of the two programs made.
    fn joined(whose: Whose) -> Self {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        arbiter.install(whose);
        arbiter.initialize();
        arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
        let world = Self {
            arbiter,
            nodes: [site.machine("node1"), site.machine("node2")],
            _site: site,
        };
        cluster::provision(&world.arbiter, &world.all(), "Alpha");
        cluster::start(&world.arbiter, &world.all(), "Alpha");
        cluster::wait_for_device(&world.all());
        world
    }

    fn all(&self) -> Vec<&Machine> {
        self.nodes.iter().collect()
    }

    /// Puts the other program in place, and waits until the nodes have noticed both changes.
    fn replace(&self, whose: Whose) {
        self.arbiter.run(&["systemctl", "stop", "corosync-qnetd"]);
        for node in &self.nodes {
            until("the device's vote is lost", || {
                cluster::total_votes(node) == Some(2)
            });
        }
        self.arbiter.install(whose);
        self.arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
        cluster::wait_for_device(&self.all());
        let listed = self
            .arbiter
            .run(&["corosync-qnetd-tool", "-lv", "-c", "Alpha"]);
        let verified = "TLS active:\t\tYes (client certificate verified)";
        assert_eq!(listed.matches(verified).count(), 2, "{listed}");
    }

    /// What makes the arbiter who it is, and what the nodes know of it.
    fn identity(&self) -> Vec<Vec<u8>> {
        let own = [
            "cert9.db",
            "key4.db",
            "qnetd-cacert.crt",
            "cluster-Alpha.crt",
        ];
        let own = own.map(|file| self.arbiter.read(&format!("{DB}/{file}")));
        let theirs = self.nodes.iter().flat_map(|node| {
            ["cert9.db", "key4.db"].map(|file| node.read(&format!("{NODE_DB}/{file}")))
        });
        own.into_iter().chain(theirs).collect()
    }

    /// Signs a further cluster's request; its serial number.
    fn sign(&self, name: &str) -> String {
        requests::sign(&self.arbiter, name).ok();
        requests::serial(&self.arbiter, name)
    }

    fn listed(&self) {
        let shown = self.arbiter.run(&["certutil", "-L", "-d", DB]);
        for (nickname, trust) in [("QNet CA", "CTu,u,u"), ("QNetd Cert", "u,u,u")] {
            let right = |line: &str| line.starts_with(nickname) && line.trim_end().ends_with(trust);
            assert!(shown.lines().any(right), "{shown}");
        }
        let keys = [
            "certutil",
            "-K",
            "-d",
            DB,
            "-f",
            &format!("{DB}/pwdfile.txt"),
        ];
        let keys = self.arbiter.run(&keys);
        for nickname in ["QNet CA", "QNetd Cert"] {
            assert!(keys.contains(nickname), "{keys}");
        }
    }
}

#[test]
fn ours_takes_over_from_the_reference_and_gives_back() {
    let world = World::joined(Whose::Theirs);
    let before = world.identity();
    assert_eq!(requests::serial(&world.arbiter, "Alpha"), "67");

    world.replace(Whose::Ours);
    assert!(before == world.identity(), "files changed");
    assert_eq!(world.sign("Beta"), "68");
    world.listed();

    world.replace(Whose::Theirs);
    assert!(before == world.identity(), "files changed");
    assert_eq!(world.sign("Gamma"), "69");
    assert_eq!(world.arbiter.read(&format!("{DB}/serial.txt")), b"105\n");
}

#[test]
fn the_reference_takes_over_from_ours_and_gives_back() {
    let world = World::joined(Whose::Ours);
    world.listed();
    let before = world.identity();
    assert_eq!(requests::serial(&world.arbiter, "Alpha"), "67");

    world.replace(Whose::Theirs);
    assert_eq!(world.sign("Beta"), "68");

    world.replace(Whose::Ours);
    assert!(before == world.identity(), "files changed");
    assert_eq!(world.sign("Gamma"), "69");
}

/// Certificates of clusters that the other program signed are as good as one's own.
#[test]
fn a_cluster_signed_by_one_votes_through_the_other() {
    for (signer, daemon) in [(Whose::Theirs, Whose::Ours), (Whose::Ours, Whose::Theirs)] {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        arbiter.install(daemon);
        arbiter.initialize();
        arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
        arbiter.install(signer);
        let node = site.machine("node1");
        cluster::provision(&arbiter, &[&node], "Alpha");
        cluster::start(&arbiter, &[&node], "Alpha");
        cluster::wait_for_device(&[&node]);
    }
}
