//! What the server says of itself: TLS, limits, addresses.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;

use crate::lab::{Lab, run};
use crate::nodes::Cluster;
use crate::pair::Pair;

/// The same kind of certificates for both; each its own.
fn certificates(lab: &Lab) {
    let certutil = lab.named("corosync-qnetd-certutil");
    let made = run(Command::new(certutil)
        .arg("-i")
        .env("QARBITER_STATE_DIR", lab.state()));
    assert_eq!(made.code, Some(0), "{made:?}");
}

#[tokio::test]
async fn tls_required_supported_and_off() {
    for (flags, line) in [
        (&["-s", "off"][..], "Unsupported"),
        (&["-s", "off", "-c", "on"], "Unsupported"),
        (&["-s", "on", "-c", "off"], "Supported"),
        (&["-s", "on"], "Supported (client certificate required)"),
        (&["-s", "req", "-c", "off"], "Required"),
        (
            &["-s", "req", "-c", "on"],
            "Required (client certificate required)",
        ),
    ] {
        let pair = Pair::prepared(flags, certificates);
        let status = pair.ask(&["-s"]).stdout;
        assert!(
            status.contains(&format!("TLS:\t\t\t\t{line}\n")),
            "{status}"
        );
        assert_eq!(pair.compare(&[]), "");
    }
}

#[tokio::test]
async fn clients_with_and_without_certificates() {
    let pair = Pair::prepared(&["-s", "on", "-c", "on"], certificates);
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        let encrypted = daemon.cluster("Alpha", &[1, 2]);
        nodes.push(
            encrypted
                .with_certificates(&daemon.lab.state())
                .whole()
                .await,
        );
        // With TLS supported, whoever does not ask for it is let in.
        nodes.push(daemon.cluster("Clear", &[1]).whole().await);
    }
    let seen = pair.compare(&["Alpha", "Clear"]);
    assert_eq!(
        seen.matches("Yes (client certificate verified)\n").count(),
        2,
        "{seen}"
    );
    assert_eq!(seen.matches("TLS active:\t\tNo\n").count(), 1, "{seen}");

    // Nobody is asked for a certificate.
    let pair = Pair::prepared(&["-s", "req", "-c", "off"], certificates);
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        let encrypted = daemon.cluster("Alpha", &[1]);
        nodes.push(
            encrypted
                .with_certificates(&daemon.lab.state())
                .whole()
                .await,
        );
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(seen.contains("TLS active:\t\tYes\n"), "{seen}");
}

#[tokio::test]
async fn limits() {
    for (flags, lines) in [
        (
            &["-m", "0"][..],
            "Maximum send/receive size:\t32768/32768 bytes\n",
        ),
        (
            &["-m", "1"],
            "Maximum allowed clients:\t1\nMaximum send/receive size:\t32768/32768 bytes\n",
        ),
        (
            &[
                "-m",
                "2147483647",
                "-S",
                "max_client_send_size=40000,max_client_receive_size=50000",
            ],
            "Maximum allowed clients:\t2147483647\nMaximum send/receive size:\t40000/50000 bytes\n",
        ),
    ] {
        let pair = Pair::with_flags(&[&["-s", "off"], flags].concat());
        let status = pair.ask(&["-sv"]).stdout;
        assert!(status.ends_with(lines), "{status}");
    }
}

/// The address is shown as it was given; a client's as the socket has it.
#[tokio::test]
async fn addresses() {
    for (listen, client) in [
        ("::", "::ffff:127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
    ] {
        let pair = Pair::with_flags(&["-s", "off", "-l", listen]);
        let mut nodes = Vec::new();
        for daemon in pair.daemons() {
            let port = daemon.running.address.port();
            let address = match listen {
                "::1" => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
                _ => daemon.running.address,
            };
            nodes.push(Cluster::new(address, "Alpha", &[1]).whole().await);
        }
        let seen = pair.compare(&["Alpha"]);
        let line = format!("Client address:\t\t{client}:PORT\n");
        assert!(seen.contains(&line), "{seen}");
        let status = pair.ask(&["-s"]).stdout;
        assert!(
            status.starts_with(&format!("QNetd address:\t\t\t{listen}:PORT\n")),
            "{status}"
        );
    }
}
