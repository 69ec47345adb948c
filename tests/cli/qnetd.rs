//! `corosync-qnetd` in the foreground: where it listens, its files, several side by side.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{Lab, THEIR_QNETD, run};
use crate::nodes::Cluster;

fn answers(address: &str, port: u16) -> bool {
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
}

/// Where an instance with these flags answers: 127.0.0.1, 127.0.0.2 and ::1.
fn reach(lab: &Lab, program: &Path, flags: &[&str]) -> [bool; 3] {
    let mut command = Command::new(program);
    command.args(["-f", "-s", "off", "-p", &lab.port.to_string()]);
    command.args(["-S", &lab.places()]).args(flags);
    let _running = lab.start(&command);
    ["127.0.0.1", "127.0.0.2", "[::1]"].map(|address| answers(address, lab.port))
}

#[test]
fn it_listens_where_it_is_told() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    let theirs = Path::new(THEIR_QNETD);
    for (flags, expected) in [
        (&[][..], [true, true, true]),
        (&["-4"], [true, true, false]),
        (&["-l", "127.0.0.1"], [true, false, false]),
        (&["-l", "::1"], [false, false, true]),
        (&["-l", "0.0.0.0"], [true, true, false]),
        // The last one counts.
        (
            &["-6", "-4", "-l", "127.0.0.2", "-l", "127.0.0.1"],
            [true, false, false],
        ),
    ] {
        assert_eq!(reach(&lab, theirs, flags), expected, "theirs {flags:?}");
        assert_eq!(reach(&lab, &ours, flags), expected, "ours {flags:?}");
    }
    // D13: in the reference -6 takes IPv4 too.
    assert_eq!(reach(&lab, theirs, &["-6"]), [true, true, true]);
    assert_eq!(reach(&lab, &ours, &["-6"]), [false, false, true]);
    // The reference does not start with both.
    assert_eq!(
        reach(&lab, &ours, &["-6", "-l", "::1"]),
        [false, false, true]
    );
}

#[test]
fn an_address_of_the_wrong_family_is_refused() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    for (flags, text) in [
        (["-6", "-l", "127.0.0.1"], "it has no IPv6 address"),
        (["-4", "-l", "::1"], "it has no IPv4 address"),
        (
            ["-4", "-l", "nowhere.invalid"],
            "can't listen on nowhere.invalid",
        ),
    ] {
        let mut command = Command::new(&ours);
        command.args(["-f", "-s", "off", "-p", &lab.port.to_string()]);
        let failed = run(command.args(["-S", &lab.places()]).args(flags));
        assert_eq!(failed.code, Some(1), "{flags:?}");
        assert!(failed.stderr.contains(text), "{flags:?}: {}", failed.stderr);
    }
}

#[test]
fn a_failed_start_is_told_once() {
    let lab = Lab::new();
    let _taken = TcpListener::bind(("127.0.0.1", lab.port)).unwrap();
    let ours = lab.named("corosync-qnetd");
    let failed = run(&mut lab.qnetd(&ours, &["-f", "-s", "off"]));
    assert_eq!(failed.code, Some(1));
    let lines = failed.stderr.matches("can't listen on").count();
    assert_eq!(lines, 1, "{}", failed.stderr);
}

#[test]
fn without_tls_no_identity_is_needed() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd");
    let mut running = lab.start(&lab.qnetd(&ours, &["-f", "-s", "off"]));
    assert!(answers("127.0.0.1", lab.port));
    assert!(!lab.state().exists(), "it made an identity");
    assert_eq!(running.end_with(Signal::TERM).0, Some(0));
    // As in the reference (protocol spec, 9.3): the socket goes, the lock file stays.
    assert!(!lab.socket().exists());
    assert!(lab.path("lock").exists());
}

#[test]
fn instances_live_side_by_side() {
    let labs = [Lab::new(), Lab::new(), Lab::new()];
    let mut running = Vec::new();
    for lab in &labs {
        // An identity of its own for each.
        lab.start(&lab.serve(&[])).end_with(Signal::TERM);
        let ours = lab.named("corosync-qnetd");
        running.push(lab.start(&lab.qnetd(&ours, &["-f"])));
    }
    for (lab, instance) in labs.iter().zip(&mut running) {
        assert!(instance.is_running());
        let pid = fs::read_to_string(lab.path("lock")).unwrap();
        assert_eq!(pid, format!("{}\n", instance.pid()));
        let mode = fs::metadata(lab.path("lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
        let tool = lab.named("corosync-qnetd-tool");
        let said = run(Command::new(tool).arg("-sp").arg(lab.socket()));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let address = format!("127.0.0.1:{}", lab.port);
        assert!(said.stdout.contains(&address), "{}", said.stdout);
    }
    // The lock keeps out only who shares it.
    let ours = labs[0].named("corosync-qnetd");
    let second = run(&mut labs[0].qnetd(&ours, &["-f"]));
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("Another instance is running"));
    // The end of one is not the end of the others.
    assert_eq!(running[0].end_with(Signal::TERM).0, Some(0));
    assert!(answers("127.0.0.1", labs[1].port) && answers("127.0.0.1", labs[2].port));
}

/// A stock node sends its options and lists in one go. The least queue that can be set is enough
/// for it, because it reads the answers.
#[tokio::test]
async fn the_least_send_queue_is_enough_for_a_stock_node() {
    let lab = Lab::new();
    for program in [Path::new(THEIR_QNETD), &lab.named("corosync-qnetd")] {
        let flags = ["-f", "-s", "off", "-S", "max_client_send_buffers=2"];
        let running = lab.start(&lab.qnetd(program, &flags));
        let alpha = Cluster::new(running.address, "alpha", &[1, 2]);
        let nodes = tokio::spawn(async move { alpha.whole().await.len() }).await;
        assert_eq!(nodes.ok(), Some(2), "{program:?}:\n{}", running.log());
    }
}
