//! The traps of the provisioning spec, section 8, one test for each.
//!
//! | trap | what is shown here | what is shown elsewhere |
//! | --- | --- | --- |
//! | T1 | a real node sends the name `Qnetd Server` and gets in | `tls_peers`, `interop` |
//! | T2 | `-i` and `pcs qdevice setup` on a host whose package made the certificates | `pvecm::setup_force_and_remove` |
//! | T3 | failed signing is a failure, in the same calls in which the reference claims success | `certutil`: `requests` |
//! | T4 | serial numbers across both programs and failed calls | `takeover` |
//! | T5 | the issuer's name is the authority's, byte for byte, whoever made the authority | `takeover` |
//! | T6 | a node with an older authority's database fails at once and says why | |
//! | T7 | the reference's purge deletes the directory; a daemon that runs keeps voting | that our packages do not: the packaging tests |
//! | T8 | the question that tools ask, and who answers it | that our package has the name: the packaging tests |
//! | T9 | signing a request that the daemon cannot see | `pvecm`, `pcs` (requests in `/tmp`, mode 0600) |
//! | T10 | both files stay across a change of program, and their removal is what crmsh expects | `crmsh` |
//! | T11 | the process name in the foreground and in the background, `killall`, the pid file | `ocf`, `pcs` |
//! | T12 | an unknown cluster, with and without others | `tools` |
//! | T13 | the tool asks as soon as `systemctl start` returns | `crmsh` |
//! | T14 | a daemon without certificates loads those that appear | `pvecm`: an arbiter that was never used |
//! | T15 | the text of the authority's file, and the names in all certificates | |

use std::time::Duration;

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::cluster;
use crate::machine::{DB, Machine, NODE_DB, Site, Whose, until};
use crate::requests;

/// An arbiter as Debian's package leaves it, with the daemon running.
fn arbiter(site: &Site) -> Machine {
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
    arbiter
}

fn process_id(machine: &Machine) -> String {
    let pid = machine.read("/run/systemctl/corosync-qnetd.service.pid");
    String::from_utf8(pid).unwrap()
}

#[test]
fn t01_a_server_name_with_a_space_does_not_end_the_handshake() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    arbiter.write("/run/relay.py", include_str!("relay.py"));
    let sent = "/run/sent-by-the-node";
    arbiter.start("relay", &["python3", "/run/relay.py", "5404", "5403", sent]);
    let node = site.machine("node1");
    cluster::provision(&arbiter, &[&node], "Alpha");
    let device = cluster::device(&arbiter.address, "ffsplit");
    let device = device.replace("tls: on\n", "tls: required\n            port: 5404\n");
    let configuration = cluster::configuration("Alpha", &[&node], &device);
    cluster::configure(&[&node], &configuration);
    node.run(&["systemctl", "start", "corosync"]);
    node.run(&["systemctl", "start", "corosync-qdevice"]);
    cluster::wait_for_device(&[&node]);
    let sent = arbiter.read(sent);
    let name = b"\x00\x0cQnetd Server";
    let named = sent.windows(name.len()).any(|bytes| bytes == name);
    assert!(named, "the node did not send the name");
}

#[test]
fn t02_certificates_that_the_package_made_are_left_alone() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let files = || arbiter.sh(&format!("cd {DB}; sha256sum *; stat -c '%a %U %G %n' . *"));
    let before = files();
    for arguments in [&["-i"][..], &["-iG"]] {
        let again = arbiter.outcome(&[&["corosync-qnetd-certutil"], arguments].concat());
        assert_eq!(again.code, 1, "{again:?}");
        let text =
            format!("Certificate database ({DB}) already exists. Delete it to initialize new db\n");
        assert_eq!((&*again.stdout, &*again.stderr), ("", &*text));
    }
    let setup = arbiter.outcome(&["pcs", "qdevice", "setup", "model", "net"]);
    assert_eq!(setup.code, 1, "{setup:?}");
    let text = "Quorum device 'net' has been already initialized";
    assert!(setup.stderr.contains(text), "{setup:?}");
    assert_eq!(files(), before);
    arbiter.run(&["pcs", "qdevice", "destroy", "net"]);
    arbiter.run(&["pcs", "qdevice", "setup", "model", "net"]);
    assert_ne!(files(), before);
}

#[test]
fn t03_a_failed_signing_is_reported_as_a_failure() {
    for whose in [Whose::Theirs, Whose::Ours] {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        arbiter.install(whose);
        arbiter.initialize();
        let good = requests::make(&arbiter, "Alpha");
        arbiter.write("/root/junk", "no request");
        arbiter.sh(&format!(
            "head -c 100 {good} > /root/short; : > /root/empty"
        ));
        for (request, name) in [
            ("/root/junk", "Alpha"),
            ("/root/short", "Alpha"),
            ("/root/empty", "Alpha"),
            (&*good, "Al/pha"),
        ] {
            let sign = ["corosync-qnetd-certutil", "-s", "-c", request, "-n", name];
            let outcome = arbiter.outcome(&sign);
            let claimed = outcome.stdout.contains("Certificate stored in");
            let is_ours = whose == Whose::Ours;
            assert_eq!(outcome.code == 0, !is_ours, "{whose:?}: {outcome:?}");
            assert_eq!(claimed, !is_ours, "{whose:?}: {outcome:?}");
            let stored = arbiter.exists(&cluster::certificate("Alpha"));
            assert!(!is_ours || !stored, "{request}");
        }
        assert!(!arbiter.exists(&format!("{DB}/Al")));
    }
}

#[test]
fn t04_no_serial_number_is_used_twice() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let sign = |name: &str| {
        requests::sign(&arbiter, name).ok();
        u32::from_str_radix(&requests::serial(&arbiter, name), 16).unwrap()
    };
    let serial_txt = || String::from_utf8(arbiter.read(&format!("{DB}/serial.txt"))).unwrap();
    assert_eq!(serial_txt(), "102\n");
    assert_eq!(sign("Alpha"), 103);
    arbiter.install(Whose::Theirs);
    assert_eq!(sign("Beta"), 104);
    // The reference spends a number on what it fails to sign.
    arbiter.write("/root/junk", "no request");
    let junk = [
        "corosync-qnetd-certutil",
        "-s",
        "-c",
        "/root/junk",
        "-n",
        "Junk",
    ];
    arbiter.outcome(&junk);
    arbiter.install(Whose::Ours);
    let after = sign("Gamma");
    assert_eq!(after, 106);
    assert_eq!(arbiter.outcome(&junk).code, 1);
    let again = sign("Alpha");
    assert!(again > after, "{again}");
    assert_eq!(serial_txt(), format!("{again}\n"));
}

#[test]
fn t05_the_issuers_name_is_the_authoritys_byte_for_byte() {
    for authority in [Whose::Theirs, Whose::Ours] {
        let site = Site::new();
        let arbiter = site.machine("arbiter");
        arbiter.install(authority);
        arbiter.initialize();
        arbiter.install(Whose::Ours);
        requests::sign(&arbiter, "Alpha").ok();
        let export = |nickname: &str| {
            let path = "/root/exported.der";
            arbiter.sh(&format!("certutil -L -d {DB} -n '{nickname}' -r > {path}"));
            arbiter.read(path)
        };
        let (ca, server) = (export("QNet CA"), export("QNetd Cert"));
        let cluster = arbiter.read(&cluster::certificate("Alpha"));
        let [ca, server, cluster] =
            [&ca, &server, &cluster].map(|der| X509Certificate::from_der(der).unwrap().1);
        let name = ca.subject().as_raw();
        assert_eq!(server.issuer().as_raw(), name, "{authority:?}");
        assert_eq!(cluster.issuer().as_raw(), name, "{authority:?}");
        // A PrintableString, as every reference has it.
        assert!(name.ends_with(b"\x13\x07QNet CA"), "{name:?}");
    }
}

#[test]
fn t06_a_node_that_knows_an_older_authority_fails_at_once() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let nodes = [site.machine("node1"), site.machine("node2")];
    cluster::provision(&arbiter, &[&nodes[0], &nodes[1]], "Alpha");
    arbiter.run(&["rm", "-r", DB]);
    arbiter.initialize();
    let ca = format!("{DB}/qnetd-cacert.crt");
    let shown = arbiter.run(&[
        "openssl", "x509", "-noout", "-serial", "-subject", "-in", &ca,
    ]);
    assert_eq!(shown, "serial=65\nsubject=CN = QNet CA\n");

    // `pvecm --force` replaces the database of the local node only.
    nodes[0].run(&["rm", "-r", NODE_DB]);
    cluster::provision(&arbiter, &[&nodes[0]], "Alpha");
    let bundle = nodes[0].read(&format!("{NODE_DB}/qdevice-net-node.p12"));
    nodes[1].write("/root/node.p12", bundle);
    let import = [
        "corosync-qdevice-net-certutil",
        "-m",
        "-c",
        "/root/node.p12",
    ];
    let import = nodes[1].outcome(&import);
    assert_eq!(import.code, 19, "{import:?}");
    let both = import.stdout + &import.stderr;
    assert!(
        both.contains("SEC_ERROR_REUSED_ISSUER_AND_SERIAL"),
        "{both}"
    );
}

#[test]
fn t07_a_daemon_whose_directory_was_purged_keeps_voting() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    let node = site.machine("node1");
    cluster::provision(&arbiter, &[&node], "Alpha");
    cluster::start(&arbiter, &[&node], "Alpha");
    cluster::wait_for_device(&[&node]);
    let postrm = "/var/lib/dpkg/info/corosync-qnetd.postrm";
    let script = String::from_utf8(arbiter.read(postrm)).unwrap();
    let deletion = script.lines().find(|line| line.contains("rm -rf"));
    let deletion = deletion.expect("the reference's package deletes something when it is purged");
    assert!(deletion.contains(DB), "{deletion}");
    arbiter.sh(deletion);
    assert!(!arbiter.exists(DB));
    // Whoever connects again is let in by what the daemon has in memory, also after it was told to look again.
    arbiter.run(&["kill", "-HUP", &process_id(&arbiter)]);
    node.run(&["systemctl", "restart", "corosync-qdevice"]);
    cluster::wait_for_device(&[&node]);
}

#[test]
fn t08_tools_ask_for_the_package_by_its_name() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    let installed = |database: &str| {
        let query = ["dpkg-query", database, "--status", "corosync-qnetd"];
        arbiter.outcome(&query).code
    };
    assert_eq!(installed("--admindir=/var/lib/dpkg"), 0);
    // A package of another name that provides it does not answer.
    arbiter.write(
        "/root/dpkg/status",
        "Package: other\nStatus: install ok installed\nPriority: optional\nSection: admin\nMaintainer: a <a@example.org>\n\
         Architecture: all\nVersion: 9\nProvides: corosync-qnetd (= 9)\nDescription: other\n",
    );
    assert_eq!(installed("--admindir=/root/dpkg"), 1);
}

#[test]
fn t09_requests_are_signed_that_the_daemon_cannot_see() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    let request = requests::make(&arbiter, "Alpha");
    let path = "/tmp/qdevice-net-node.crq";
    arbiter.sh(&format!("install -m 600 {request} {path}; touch /tmp/here"));
    let seen = format!("/proc/{}/root/tmp/here", process_id(&arbiter).trim());
    assert_eq!(arbiter.outcome(&["test", "-e", &seen]).code, 1);
    arbiter.run(&["corosync-qnetd-certutil", "-s", "-c", path, "-n", "Alpha"]);
    assert_eq!(requests::serial(&arbiter, "Alpha"), "67");
}

#[test]
fn t10_what_crmsh_removes_is_there_after_a_change_of_program() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.install(Whose::Theirs);
    arbiter.initialize();
    let files = [
        format!("{DB}/cluster-Alpha.crt"),
        format!("{DB}/qdevice-net-node.crq.Alpha"),
    ];
    let request = requests::make(&arbiter, "Alpha");
    arbiter.run(&["install", "-m", "640", &request, &files[1]]);
    arbiter.run(&[
        "corosync-qnetd-certutil",
        "-s",
        "-c",
        &files[1],
        "-n",
        "Alpha",
    ]);
    let before = files.each_ref().map(|file| arbiter.read(file));
    arbiter.install(Whose::Ours);
    arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
    requests::sign(&arbiter, "Beta").ok();
    arbiter.run(&["systemctl", "restart", "corosync-qnetd"]);
    assert!(before == files.each_ref().map(|file| arbiter.read(file)));
    for file in &files {
        arbiter.sh(&format!("test -f {file} && rm -f {file}"));
    }
    // Gone files are no trouble to either program.
    arbiter.run(&["systemctl", "restart", "corosync-qnetd"]);
    requests::sign(&arbiter, "Alpha").ok();
}

#[test]
fn t11_the_process_has_the_name_that_tools_kill() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    let processes = || {
        let found = arbiter.outcome(&["pgrep", "-x", "corosync-qnetd"]).stdout;
        found.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(processes(), [process_id(&arbiter).trim()]);
    let kill = [
        "killall",
        "--quiet",
        "--signal",
        "9",
        "--",
        "corosync-qnetd",
    ];
    arbiter.run(&kill);
    until("it is killed", || processes().is_empty());
    assert_eq!(arbiter.outcome(&kill).code, 1);

    // In the background, with the pid file of the reference's default place.
    arbiter.run(&["corosync-qnetd"]);
    let pid = arbiter.run(&["cat", "/run/corosync-qnetd/corosync-qnetd.pid"]);
    assert_eq!(processes(), [pid.trim_end()]);
    arbiter.run(&kill);
    until("it is killed", || processes().is_empty());
    // What is left behind does not hinder the next one.
    arbiter.run(&["corosync-qnetd"]);
    arbiter.run(&["corosync-qnetd-tool", "-s"]);
}

#[test]
fn t12_an_unknown_cluster_is_silence_and_success() {
    let site = Site::new();
    let arbiter = arbiter(&site);
    let ask = |flags: &str, name: &str| {
        let outcome = arbiter.outcome(&["corosync-qnetd-tool", flags, "-c", name]);
        assert_eq!((outcome.code, &*outcome.stderr), (0, ""), "{outcome:?}");
        outcome.stdout
    };
    assert_eq!(ask("-l", "Alpha"), "");
    let node = site.machine("node1");
    cluster::provision(&arbiter, &[&node], "Alpha");
    cluster::start(&arbiter, &[&node], "Alpha");
    cluster::wait_for_device(&[&node]);
    for flags in ["-l", "-lv"] {
        for unknown in ["Beta", "alpha", "Alph", "Alpha ", "*"] {
            assert_eq!(ask(flags, unknown), "", "{unknown}");
        }
        assert!(ask(flags, "Alpha").starts_with("Cluster \"Alpha\":\n"));
    }
    // Signed, but never seen.
    requests::sign(&arbiter, "Gamma").ok();
    assert_eq!(ask("-l", "Gamma"), "");
}

#[test]
fn t13_the_tool_is_answered_as_soon_as_start_returns() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    for _ in 0..10 {
        arbiter.sh("systemctl start corosync-qnetd && corosync-qnetd-tool -s");
        arbiter.run(&["systemctl", "stop", "corosync-qnetd"]);
    }
    // The resource agent and SysV scripts start it in the background.
    for _ in 0..10 {
        arbiter.sh("corosync-qnetd && corosync-qnetd-tool -s && corosync-qnetd-tool -H");
        until("it has ended", || {
            arbiter.outcome(&["corosync-qnetd-tool", "-s"]).code == 3
        });
    }
}

/// Containers and first installations of RPMs: the daemon is there before its certificates.
#[test]
fn t14_certificates_that_appear_are_loaded() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.package();
    arbiter.run(&["systemctl", "start", "corosync-qnetd"]);
    let daemon = process_id(&arbiter);
    std::thread::sleep(Duration::from_secs(2));
    let runs = || arbiter.run(&["pgrep", "-x", "corosync-qnetd"]);
    assert_eq!(
        runs().trim(),
        daemon.trim(),
        "it ended without certificates"
    );
    let node = site.machine("node1");
    arbiter.run(&["corosync-qnetd-certutil", "-i"]);
    cluster::provision(&arbiter, &[&node], "Alpha");
    cluster::start(&arbiter, &[&node], "Alpha");
    cluster::wait_for_device(&[&node]);
    assert_eq!(runs().trim(), daemon.trim());

    // Others: an administrator deletes them and makes new ones. Nodes with the new ones get in.
    arbiter.run(&["rm", "-r", DB]);
    arbiter.run(&["corosync-qnetd-certutil", "-i"]);
    node.run(&["systemctl", "stop", "corosync-qdevice"]);
    node.run(&["rm", "-r", NODE_DB]);
    cluster::provision(&arbiter, &[&node], "Alpha");
    node.run(&["systemctl", "start", "corosync-qdevice"]);
    cluster::wait_for_device(&[&node]);
    assert_eq!(runs().trim(), daemon.trim());
}

#[test]
fn t15_the_authoritys_file_and_the_names_are_what_scripts_look_for() {
    let site = Site::new();
    let arbiter = site.machine("arbiter");
    arbiter.initialize();
    let node = site.machine("node1");
    cluster::provision(&arbiter, &[&node], "Alpha");
    let file = format!("{DB}/qnetd-cacert.crt");
    let text = String::from_utf8(arbiter.read(&file)).unwrap();
    for marker in ["BEGIN", "END"] {
        let marker = format!("-----{marker} CERTIFICATE-----");
        assert_eq!(text.matches(&marker).count(), 1, "{text}");
        assert!(text.contains(&format!("\n{marker}\n")) || text.starts_with(&marker));
    }
    // Ansible's role: the block between the markers, compared with what NSS says on the node and in the bundle.
    let block = |command: &str| {
        format!(
            "{command} | sed -n '/^-----BEGIN CERTIFICATE-----$/,/^-----END CERTIFICATE-----$/p' | tr -d '\\r'"
        )
    };
    let own = arbiter.sh(&block(&format!("cat {file}")));
    assert!(
        own.starts_with("-----BEGIN") && own.trim_end().ends_with("-----"),
        "{own}"
    );
    let at_node = node.sh(&format!(
        "certutil -L -d {NODE_DB} -n 'QNet CA' -a | tr -d '\\r'"
    ));
    assert_eq!(own, at_node);
    let bundle =
        format!("openssl pkcs12 -in {NODE_DB}/qdevice-net-node.p12 -passin pass: -nokeys -cacerts");
    assert_eq!(own, node.sh(&block(&bundle)));

    for (nickname, subject) in [("Cluster Cert", "CN=Alpha"), ("QNet CA", "CN=QNet CA")] {
        let shown = node.run(&["certutil", "-L", "-d", NODE_DB, "-n", nickname]);
        let line = format!("        Subject: \"{subject}\"\n");
        assert!(shown.contains(&line), "{shown}");
    }
}
