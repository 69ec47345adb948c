//! Input and circumstances that go wrong, as the tools meet them: many calls at once, names that lead elsewhere, requests
//! that cannot be read, a full disk, and a daemon that runs all the while.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::cluster;
use crate::machine::{DB, Machine, Site};
use crate::requests;

/// All files of the directory with their contents and permissions.
fn files(machine: &Machine) -> String {
    machine.sh(&format!(
        "cd {DB}; sha256sum *; stat -c '%a %U %G %s %n' . *"
    ))
}

#[test]
fn a_hundred_signatures_at_once_while_the_daemon_runs() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
    let node = site.machine("node1");
    cluster::provision(&arbiter, &[&node], "Alpha");
    cluster::start(&arbiter, &[&node], "Alpha");
    cluster::wait_for_device(&[&node]);

    let names: Vec<_> = (0..100).map(|number| format!("cluster{number}")).collect();
    let prepared: Vec<_> = names
        .iter()
        .map(|name| requests::make(&arbiter, name))
        .collect();
    let calls: Vec<_> = names
        .iter()
        .zip(&prepared)
        .map(|(name, request)| {
            arbiter
                .command(&["corosync-qnetd-certutil", "-s", "-c", request, "-n", name])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (call, name) in calls.into_iter().zip(&names) {
        let output = call.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let text =
            format!("Signing cluster certificate\nCertificate stored in {DB}/cluster-{name}.crt\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    }
    let serials: BTreeSet<_> = names
        .iter()
        .map(|name| u32::from_str_radix(&requests::serial(&arbiter, name), 16).unwrap())
        .collect();
    assert_eq!(serials, (104..204).collect());
    assert_eq!(arbiter.read(&format!("{DB}/serial.txt")), b"203\n");
    let left = arbiter.run(&["ls", "-A", DB]);
    assert!(left.lines().all(|file| !file.contains("tmp")), "{left}");
    assert_eq!(cluster::total_votes(&node), Some(2));
}

#[test]
fn names_that_lead_elsewhere_or_say_nothing() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let request = requests::make(&arbiter, "Alpha");
    let everything = || arbiter.sh("find /etc /tmp /root /run -xdev -newer /root/Alpha.crq | sort");
    let (before, everywhere) = (files(&arbiter), everything());
    let long = "n".repeat(300);
    for name in [
        "../Alpha",
        "../../../../tmp/Alpha",
        "/tmp/Alpha",
        "Alpha/",
        "Al/pha",
        ".",
        "..",
        "Al\npha",
        "Alpha\n",
        "Al\tpha",
        "Al\x1b[31mpha",
        "Al\x7fpha",
        " ",
        "-n",
        "$(touch /tmp/owned)",
        "`touch /tmp/owned`",
        "Alpha;touch /tmp/owned",
        "%s%n",
        "alpha",
        "Alpha ",
        " Alpha",
        &long,
    ] {
        let sign = ["corosync-qnetd-certutil", "-s", "-c", &request, "-n", name];
        let outcome = arbiter.outcome(&sign);
        assert_eq!(outcome.code, 1, "{name:?}: {outcome:?}");
        assert!(!outcome.stdout.contains("stored in"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        let raw = outcome.stderr.trim_end_matches('\n');
        assert!(!raw.contains(char::is_control), "{outcome:?}");
    }
    let empty = ["corosync-qnetd-certutil", "-s", "-c", &request, "-n", ""];
    assert_eq!(arbiter.outcome(&empty).code, 2);
    assert_eq!(files(&arbiter), before);
    assert_eq!(everything(), everywhere);
}

/// What the node's own tool makes requests for is signed, and kept under exactly that name.
#[test]
fn names_that_are_unusual_and_allowed() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let ca = arbiter.read(&format!("{DB}/qnetd-cacert.crt"));
    let node = site.machine("node1");
    node.write("/root/ca.crt", ca);
    node.run(&["corosync-qdevice-net-certutil", "-i", "-c", "/root/ca.crt"]);
    let names = [
        "two words",
        "under_score",
        "dots.and-dashes",
        "*",
        "k\u{f6}ln",
        "a:b@c",
        "hacluster?",
        "1",
    ];
    for name in names {
        arbiter.write("/root/node.crq", cluster::request(&node, name));
        let sign = [
            "corosync-qnetd-certutil",
            "-s",
            "-c",
            "/root/node.crq",
            "-n",
            name,
        ];
        let signed = arbiter.run(&sign);
        let path = cluster::certificate(name);
        assert!(
            signed.ends_with(&format!("\nCertificate stored in {path}\n")),
            "{signed}"
        );
        node.write("/root/cluster.crt", arbiter.read(&path));
        let import = [
            "corosync-qdevice-net-certutil",
            "-M",
            "-c",
            "/root/cluster.crt",
        ];
        node.run(&import);
    }
}

#[test]
fn requests_that_cannot_be_read() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let request = requests::make(&arbiter, "Alpha");
    arbiter.sh("mkdir /root/directory; ln -s /root/nowhere /root/dangling");
    let before = files(&arbiter);
    for (path, code) in [
        ("/root/directory", 1),
        ("/dev/zero", 1),
        ("/dev/null", 1),
        ("/etc/passwd", 1),
        ("/usr/bin/qarbiter", 1),
        ("/root/dangling", 2),
        ("/root/missing", 2),
        ("", 2),
    ] {
        let sign = ["corosync-qnetd-certutil", "-s", "-c", path, "-n", "Alpha"];
        let outcome = arbiter.outcome(&sign);
        assert_eq!(outcome.code, code, "{path}: {outcome:?}");
        assert!(!outcome.stdout.contains("stored in"), "{outcome:?}");
        assert!(
            outcome.stderr.contains(path) && outcome.stderr.lines().count() == 1,
            "{outcome:?}"
        );
    }
    assert_eq!(files(&arbiter), before);

    // The owner of the directory may sign, but not read root's files.
    arbiter.sh(&format!(
        "chown -R coroqnetd:coroqnetd /etc/corosync/qnetd; install -m 600 {request} /tmp/root.crq"
    ));
    let before = files(&arbiter);
    let user = [
        "runuser",
        "-u",
        "coroqnetd",
        "--",
        "corosync-qnetd-certutil",
        "-s",
    ];
    let sign = |path: &str| arbiter.outcome(&[&user[..], &["-c", path, "-n", "Alpha"]].concat());
    let refused = sign("/tmp/root.crq");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("/tmp/root.crq: Permission denied"),
        "{refused:?}"
    );
    assert_eq!(files(&arbiter), before);
    arbiter.run(&["chmod", "644", "/tmp/root.crq"]);
    sign("/tmp/root.crq").ok();
}

/// Puts the arbiter's directory on a file system of its own, which is soon full.
fn on_a_small_disk(site: &Site) -> Machine {
    let arbiter = site.machine("arbiter");
    arbiter.run(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=512k",
        "small",
        "/etc/corosync/qnetd",
    ]);
    arbiter
}

/// Leaves this many blocks of 4096 bytes.
fn fill(machine: &Machine, free: usize) {
    let filler = "/etc/corosync/qnetd/filler";
    machine.sh(&format!(
        "rm -f {filler}; dd if=/dev/zero of={filler} bs=4096 2>/dev/null || true; \
         size=$(stat -c %s {filler}); truncate -s $((size - {free} * 4096)) {filler}"
    ));
}

fn empty(machine: &Machine) {
    machine.run(&["rm", "/etc/corosync/qnetd/filler"]);
}

#[test]
fn a_full_disk_while_signing() {
    let site = Site::new();
    let arbiter = on_a_small_disk(&site);
    arbiter.initialize();
    requests::sign(&arbiter, "Alpha").ok();
    let request = requests::make(&arbiter, "Beta");
    let sign = [
        "corosync-qnetd-certutil",
        "-s",
        "-c",
        &request,
        "-n",
        "Beta",
    ];
    let before = files(&arbiter);
    let mut failures = 0;
    for free in 0..4 {
        fill(&arbiter, free);
        let outcome = arbiter.outcome(&sign);
        let stored = arbiter.exists(&cluster::certificate("Beta"));
        assert_eq!(outcome.code == 0, stored, "{free}: {outcome:?}");
        assert_eq!(outcome.stdout.contains("stored in"), stored, "{outcome:?}");
        if stored {
            break;
        }
        failures += 1;
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.stderr.contains("No space left on device"),
            "{outcome:?}"
        );
        let serial = String::from_utf8(arbiter.read(&format!("{DB}/serial.txt"))).unwrap();
        let serial: u32 = serial.trim_end().parse().unwrap();
        assert!(serial >= 103, "{serial}");
        let others = |listing: &str| {
            let lines = listing.lines().filter(|line| !line.contains("serial.txt"));
            let lines = lines.filter(|line| !line.ends_with(" ."));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(others(&files(&arbiter)), others(&before), "{free}");
    }
    assert!(failures > 0, "the disk was never full");
    empty(&arbiter);
    requests::sign(&arbiter, "Gamma").ok();
    let [alpha, gamma] = ["Alpha", "Gamma"].map(|name| requests::serial(&arbiter, name));
    assert!(alpha < gamma, "{alpha} {gamma}");
}

#[test]
fn a_full_disk_while_making_the_certificates() {
    let site = Site::new();
    let arbiter = on_a_small_disk(&site);
    let mut failures = 0;
    for free in 0..40 {
        fill(&arbiter, free);
        let outcome = arbiter.outcome(&["corosync-qnetd-certutil", "-i"]);
        if outcome.code == 0 {
            break;
        }
        failures += 1;
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(
            outcome.stderr.contains("No space left on device") || outcome.stderr.contains("full"),
            "{outcome:?}"
        );
        assert!(!outcome.stdout.contains("is exported as"), "{outcome:?}");
        for half in ["cert9.db", "qnetd-cacert.crt"] {
            assert!(!arbiter.exists(&format!("{DB}/{half}")), "{free}: {half}");
        }
    }
    assert!(failures > 0, "the disk was never full");
    empty(&arbiter);
    // What succeeded is whole; what failed does not hinder.
    let again = arbiter.outcome(&["corosync-qnetd-certutil", "-i"]);
    assert!(
        again.code == 0 || again.stderr.contains("already exists"),
        "{again:?}"
    );
    requests::sign(&arbiter, "Alpha").ok();
    arbiter.sh(&format!(
        "openssl verify -CAfile {DB}/qnetd-cacert.crt {DB}/cluster-Alpha.crt"
    ));
}
