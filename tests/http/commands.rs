//! `qarbiter healthcheck` and `qarbiter probe`.

use crate::lab::Arbiter;
use std::process::{Command, Output};

fn qarbiter(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qarbiter"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(all).unwrap()
}

#[test]
fn a_running_arbiter_is_healthy_and_a_stopped_one_is_not() {
    let arbiter = Arbiter::start();
    let socket = arbiter.shared.live().settings.socket.clone();
    let socket = socket.to_str().unwrap();
    let output = qarbiter(&["healthcheck", "--socket", socket]);
    assert!(output.status.success(), "{}", said(&output));
    let output = qarbiter(&["healthcheck", "--ready", "--socket", socket]);
    assert!(output.status.success(), "{}", said(&output));
    for name in [
        "votes",
        "vote_port",
        "certificates",
        "journal",
        "control_socket",
    ] {
        assert!(said(&output).contains(name), "{}", said(&output));
    }
    drop(arbiter);
    let output = qarbiter(&["healthcheck", "--socket", socket]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is the arbiter running?"));
}

#[test]
fn probing_finds_an_arbiter_and_no_cluster_notices() {
    let arbiter = Arbiter::start();
    let output = qarbiter(&["probe", &arbiter.votes.to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("it has no TLS"), "{}", said(&output));
    assert_eq!(arbiter.json("/api/v1/clusters")["total"], 0);
    // A port where nobody is.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let output = qarbiter(&["probe", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("no connection to"),
        "{}",
        said(&output)
    );
    // One where somebody says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let output = qarbiter(&["probe", &address, "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("no answer within 1 s"),
        "{}",
        said(&output)
    );
}
