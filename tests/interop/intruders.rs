//! Clients that must not get in, while a cluster goes on voting.
//!
//! Each intruder claims to be another node of the cluster, with a node id of its own: with an id that is taken, the
//! check for duplicate ids would refuse it and hide that its certificate was accepted.

use std::time::{Duration, Instant};

use crate::certs;
use crate::cluster::Cluster;
use crate::lab::{Lab, SERVER_ADDRESS};
use crate::namespace::Namespace;
use crate::spec::{Identity, Spec};

/// Long enough for several attempts: qdevice tries again after 0 to 1.4 s with these time-outs.
const SIEGE: Duration = Duration::from_secs(8);

/// What qdevice logs when it starts an attempt, when TLS has reached the client's certificate, and when the server has
/// let it in.
const ATTEMPT: &str = "Sending preinit msg to qnetd";
const HANDSHAKE: &str = "Sending client auth data";
const LET_IN: &str = "Received init reply msg";

#[test]
fn intruders_are_refused_while_the_cluster_goes_on() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("victim", &[1, 2]));
    cluster.wait_complete();

    let other = other_clusters_pkcs12(&lab);
    let foreign = certs::foreign_pkcs12(lab.scratch(), "victim");
    let intruders = [
        (
            "another cluster's certificate",
            11,
            intrude(&lab, &[11], Identity::Pkcs12(other)),
        ),
        (
            "no certificate",
            12,
            intrude(&lab, &[12], Identity::Nothing),
        ),
        (
            "a foreign CA's certificate",
            13,
            intrude(&lab, &[13], Identity::Pkcs12(foreign)),
        ),
    ];
    cluster.hold(SIEGE, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
    for (what, id, intruder) in &intruders {
        let log = intruder.node(*id).log("qdevice");
        let (attempts, handshakes) = (log.matches(ATTEMPT).count(), log.matches(HANDSHAKE).count());
        assert!(
            attempts >= 3 && handshakes >= 3,
            "{what}: {attempts} attempts with {handshakes} handshakes prove nothing"
        );
        assert!(!log.contains(LET_IN), "{what} was let in");
        let own_vote_only = |views: &crate::quorum::Views| views.inquorate(&[*id]);
        intruder.wait("the intruder has no vote but its own", own_vote_only);
    }
    drop(intruders);

    // The same attempt with the right certificate succeeds: it was the certificate that made the difference.
    let control = intrude(&lab, &[14], Identity::Pkcs12(cluster.pkcs12()));
    let limit = Instant::now() + SIEGE;
    while !control.node(14).log("qdevice").contains(LET_IN) {
        assert!(
            Instant::now() < limit,
            "the cluster's own certificate was refused"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A stock qdevice without TLS gives up by itself when the server's first reply says that TLS is required. So a
/// scripted client goes on after that reply, and it is the server that has to refuse.
#[test]
fn plaintext_is_refused_while_the_cluster_goes_on() {
    /// PREINIT, cluster name "victim".
    const PREINIT: &str = r"\0\0\0\0\0\x0a\0\x01\0\x06victim";
    /// INIT with sequence number 7 and node id 13.
    const INIT: &str = r"\0\x03\0\0\0\x10\0\0\0\x04\0\0\0\x07\0\x09\0\x04\0\0\0\x0d";
    /// SERVER_ERROR with the same sequence number: TLS is required.
    const TLS_REQUIRED: &str = "0005 0000000e 0000 0004 00000007 0006 0002 0003";

    let lab = Lab::new();
    let cluster = Cluster::start(&lab, Spec::ffsplit("victim", &[1, 2]));
    cluster.wait_complete();

    let stock = intrude(&lab, &[13], Identity::Plaintext);
    let script = format!(
        "exec 3<>/dev/tcp/{SERVER_ADDRESS}/5403; printf '{PREINIT}{INIT}' >&3; timeout 2 cat <&3 | od -An -v -tx1"
    );
    let answer = lab.machine().output(&["bash", "-c", &script]).stdout;
    let answer: String = String::from_utf8_lossy(&answer)
        .split_whitespace()
        .collect();
    let expected: String = TLS_REQUIRED.split_whitespace().collect();
    assert!(
        answer.starts_with("0001") && answer.ends_with(&expected),
        "the server answered {answer}"
    );
    cluster.hold(SIEGE, "both are quorate with 3 votes", |views| {
        views.quorate(&[1, 2], 3)
    });
    let log = stock.node(13).log("qdevice");
    assert!(log.contains(ATTEMPT), "the plaintext client has not tried");
    assert!(!log.contains(LET_IN), "a plaintext client was let in");
}

/// A node that claims to belong to the cluster, somewhere else, with a configuration that has only itself in it.
fn intrude<'lab>(lab: &'lab Lab, nodes: &'static [u32], identity: Identity) -> Cluster<'lab> {
    Cluster::start(
        lab,
        Spec {
            identity,
            ..Spec::ffsplit("victim", nodes)
        },
    )
}

/// Key and certificate of a cluster that this server knows as well.
fn other_clusters_pkcs12(lab: &Lab) -> Vec<u8> {
    let node = Namespace::new("other", lab.scratch());
    certs::trust(&node, &lab.ca());
    let request = certs::request(&node, "other");
    certs::complete(&node, &lab.sign(&request, "other"))
}
