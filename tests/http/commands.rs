//! `qarbiter healthcheck` and `qarbiter probe`.

use crate::lab::Arbiter;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
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

/// Says something to whoever comes, and goes.
fn talker(banner: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // What it is asked, so that its end is not a reset.
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(banner);
        }
    });
    address
}

#[test]
fn a_full_arbiter_is_told_from_one_that_is_not_there() {
    let arbiter = Arbiter::start();
    arbiter.set(|settings| settings.max_clients = 1);
    let _node = arbiter.join(b"a", 1, &[1, 2], 4);
    let output = qarbiter(&["probe", &arbiter.votes.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let words = said(&output);
    assert!(
        words.contains("one that takes no more connections"),
        "{words}"
    );
}

#[test]
fn another_ca_is_named_as_what_is_wrong() {
    let arbiter = Arbiter::start();
    arbiter.certify(2090, 2090);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    let probe = || {
        let address = arbiter.votes.to_string();
        qarbiter(&["probe", &address, "--ca", file.to_str().unwrap()])
    };
    let store = |certificate: &[u8]| {
        let text = pem::encode(&pem::Pem::new("CERTIFICATE", certificate));
        std::fs::write(&file, text).unwrap();
    };
    store(&arbiter.ca());
    let output = probe();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("it would let anybody join"));

    // Another of the same name.
    let other = Arbiter::start();
    other.certify(2090, 2090);
    store(&other.ca());
    let output = probe();
    assert_eq!(output.status.code(), Some(1));
    let words = said(&output);
    let wrong = format!(
        "{} is not the CA certificate of this arbiter",
        file.display()
    );
    assert!(words.contains(&wrong), "{words}");
    assert!(!words.contains("certutil"), "{words}");
}

#[test]
fn probing_finds_an_arbiter_and_no_cluster_notices() {
    let arbiter = Arbiter::start();
    let output = qarbiter(&["probe", &arbiter.votes.to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    let no_tls = "\nwarn    it has no TLS: whoever is on the way can read and change votes";
    assert!(said(&output).contains(no_tls), "{}", said(&output));
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
    // One where somebody else is.
    let output = qarbiter(&["probe", &arbiter.http.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let http = format!("{} closed the connection before it said", arbiter.http);
    let words = said(&output);
    assert!(
        words.contains(&http) && words.contains("it is no vote server"),
        "{words}"
    );
    for (banner, expected) in [
        // Taken for the head of a message, the length of which never comes.
        (
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            "closed the connection before it said",
        ),
        (
            b"\x00\x63\x00\x00\x00\x00",
            "answers, but is no vote server",
        ),
    ] {
        let address = talker(banner);
        let output = qarbiter(&["probe", &address.to_string()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
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
