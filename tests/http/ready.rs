//! Whether nodes can join, as the arbiter itself sees it.

use crate::lab::{Answer, Arbiter};
use std::net::TcpStream;
use std::time::Duration;

/// What was seen a moment ago is good for a second.
fn look_again(arbiter: &Arbiter) -> Answer {
    std::thread::sleep(Duration::from_millis(1100));
    arbiter.get("/readyz")
}

#[test]
fn a_full_arbiter_says_so_and_is_not_asked_for_more() {
    let arbiter = Arbiter::start();
    arbiter.set(|settings| settings.max_clients = 2);
    let port = |answer: &Answer| {
        let health = answer.json();
        let checks = health["checks"].as_array().unwrap().iter();
        let mut port = checks.filter(|check| check["name"] == "vote_port");
        port.next().unwrap()["detail"].as_str().unwrap().to_owned()
    };
    let ready = arbiter.get("/readyz");
    assert_eq!(ready.status, 200, "{}", port(&ready));
    let _nodes = arbiter.pair(b"a");
    let full = look_again(&arbiter);
    assert_eq!(full.status, 503);
    assert!(
        port(&full).starts_with("full: 2 of 2 connections"),
        "{}",
        port(&full)
    );
    // Nobody was refused by this look.
    let none = "qarbiter_connections_refused_total{reason=\"max_clients\"} 0\n";
    assert!(arbiter.get("/metrics").text().contains(none));
    arbiter.set(|settings| settings.max_clients = 3);
    assert_eq!(look_again(&arbiter).status, 200);
    arbiter.set(|settings| {
        settings.max_clients = 0;
        settings.max_pending = 1;
    });
    let _stranger = TcpStream::connect(arbiter.votes).unwrap();
    let full = look_again(&arbiter);
    assert_eq!(full.status, 503);
    assert!(
        port(&full).contains("1 connections have not introduced themselves"),
        "{}",
        port(&full)
    );
}

#[test]
fn nodes_do_not_depend_on_the_end_of_certificates() {
    let arbiter = Arbiter::start();
    for (server, ca, said) in [
        (
            2021,
            2095,
            "warning: the server's certificate ended on 2021-01-01; nodes go on",
        ),
        (2095, 2021, "loaded; the server's certificate is valid for "),
    ] {
        arbiter.certify(server, ca);
        let ready = look_again(&arbiter);
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert!(ready.text().contains(said), "{}", ready.text());
    }
}
