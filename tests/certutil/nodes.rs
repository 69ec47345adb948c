//! Real nodes and other TLS libraries accept what was made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use pem::Pem;
use qarbiter::pki::Store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsage};

use crate::sandbox::{NODE_CERTUTIL, NODE_DB, Sandbox, Whose};

const CA: &str = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";

/// A server with one cluster, of which one node has its certificate imported.
fn joined(name: &str) -> Sandbox {
    let sandbox = Sandbox::new(Whose::Ours);
    sandbox.certutil(&["-i"]).ok();
    let request = sandbox.node_request(name);
    sandbox.certutil(&["-s", "-c", &request, "-n", name]).ok();
    let certificate = format!("/etc/corosync/qnetd/nssdb/cluster-{name}.crt");
    sandbox.run(NODE_CERTUTIL, &["-M", "-c", &certificate]).ok();
    sandbox
}

/// Our server certificate.
fn server_certificate(sandbox: &Sandbox) -> CertificateDer<'static> {
    Store::open(&sandbox.db())
        .unwrap()
        .server()
        .certificate
        .clone()
}

/// Imports our server certificate into the node's database, as what a peer would have sent.
fn show_server_to_node(sandbox: &Sandbox) {
    let server = server_certificate(sandbox);
    fs::write(sandbox.outside("/etc/corosync/server.der"), &server).unwrap();
    sandbox
        .run(
            "certutil",
            &[
                "-A",
                "-d",
                NODE_DB,
                "-n",
                "server",
                "-t",
                ",,",
                "-i",
                "/etc/corosync/server.der",
            ],
        )
        .ok();
}

#[test]
fn nss_accepts_both_certificates_for_their_purpose_only() {
    let sandbox = joined("Alpha");
    show_server_to_node(&sandbox);
    let verify = |nickname: &str, usage: &str| {
        let arguments = ["-V", "-d", NODE_DB, "-n", nickname, "-u", usage, "-e"];
        sandbox.run("certutil", &arguments)
    };
    let valid = |nickname, usage| {
        let outcome = verify(nickname, usage);
        assert_eq!(
            outcome.stdout, "certutil: certificate is valid\n",
            "{outcome:?}"
        );
    };
    // C: TLS client, V: TLS server, L: certificate authority.
    valid("Cluster Cert", "C");
    valid("server", "V");
    valid("QNet CA", "L");
    for (nickname, usage) in [
        ("Cluster Cert", "V"),
        ("server", "C"),
        ("Cluster Cert", "L"),
    ] {
        let outcome = verify(nickname, usage);
        assert_ne!(outcome.code, 0, "{nickname} for {usage}: {outcome:?}");
    }
}

#[test]
fn all_nodes_import_the_certificate_and_the_key() {
    let sandbox = joined("Alpha");
    let bundle = fs::read(sandbox.outside(&format!("{NODE_DB}/qdevice-net-node.p12"))).unwrap();
    // The second node is the same machine with an empty database.
    fs::rename(
        sandbox.outside(NODE_DB),
        sandbox.outside("/etc/corosync/first"),
    )
    .unwrap();
    fs::write(sandbox.outside("/etc/corosync/node.p12"), bundle).unwrap();
    sandbox.run(NODE_CERTUTIL, &["-i", "-c", CA]).ok();
    sandbox
        .run(NODE_CERTUTIL, &["-m", "-c", "/etc/corosync/node.p12"])
        .ok();
    let list = sandbox.run("certutil", &["-L", "-d", NODE_DB]).ok().stdout;
    let trust = |nickname: &str| {
        let line = list.lines().find(|line| line.starts_with(nickname));
        line.and_then(|line| line.split_whitespace().last())
    };
    assert_eq!(trust("QNet CA"), Some("CT,c,c"), "{list}");
    assert_eq!(trust("Cluster Cert"), Some("u,u,u"), "{list}");
    let keys = sandbox.run("certutil", &["-K", "-d", NODE_DB]).ok().stdout;
    assert!(keys.contains("Cluster Cert"), "{keys}");
}

#[test]
fn openssl_accepts_both_chains_for_their_purpose_only() {
    let sandbox = joined("Alpha");
    show_server_to_node(&sandbox);
    let verify = |purpose: &str, file: &str| {
        let arguments = ["verify", "-CAfile", CA, "-purpose", purpose, file];
        sandbox.run("openssl", &arguments)
    };
    let cluster = "/etc/corosync/qnetd/nssdb/cluster-Alpha.crt";
    let server = "/etc/corosync/server.der";
    verify("sslclient", cluster).ok();
    verify("sslserver", server).ok();
    assert_ne!(verify("sslserver", cluster).code, 0);
    assert_ne!(verify("sslclient", server).code, 0);
}

#[test]
fn webpki_accepts_both_chains_for_their_purpose_only() {
    let sandbox = joined("Alpha");
    let ca = CertificateDer::from_pem_file(sandbox.outside(CA)).unwrap();
    let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap();
    let accepts = |certificate: &CertificateDer<'_>, usage: &ExtendedKeyUsage| {
        EndEntityCert::try_from(certificate)
            .unwrap()
            .verify_for_usage(
                rustls_ring::ALL_VERIFICATION_ALGS,
                std::slice::from_ref(&anchor),
                &[],
                UnixTime::now(),
                usage,
                None,
                None,
            )
            .is_ok()
    };
    let cluster = |sandbox: &Sandbox| {
        CertificateDer::from(fs::read(sandbox.db().join("cluster-Alpha.crt")).unwrap())
    };
    let server = server_certificate(&sandbox);
    let (as_client, as_server) = (
        ExtendedKeyUsage::client_auth(),
        ExtendedKeyUsage::server_auth(),
    );
    assert!(accepts(&cluster(&sandbox), &as_client));
    assert!(!accepts(&cluster(&sandbox), &as_server));
    assert!(accepts(&server, &as_server));
    assert!(!accepts(&server, &as_client));
    let of_another_ca = cluster(&joined("Alpha"));
    assert!(!accepts(&of_another_ca, &as_client));
}

/// Ends a process that this test started.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_handshake_with_the_nodes_library_succeeds_in_both_tls_versions() {
    let sandbox = joined("Alpha");
    let identity = "/etc/corosync/server.pem";
    let store = Store::open(&sandbox.db()).unwrap();
    let key = Pem::new("PRIVATE KEY", store.server().key.secret_pkcs8_der());
    let certificate = Pem::new("CERTIFICATE", store.server().certificate.to_vec());
    let text = pem::encode_many(&[certificate, key]);
    fs::write(sandbox.outside(identity), text).unwrap();
    let mut server = sandbox.command("openssl");
    server
        .args(["s_server", "-accept", "127.0.0.1:0"])
        .args(["-cert", identity, "-key", identity])
        .args([
            "-CAfile",
            CA,
            "-Verify",
            "1",
            "-verify_return_error",
            "-www",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = Killed(server.spawn().unwrap());
    let announced = BufReader::new(server.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find_map(|line| Some(line.strip_prefix("ACCEPT 127.0.0.1:")?.to_owned()));
    let port = announced.expect("openssl s_server says where it listens");
    let connect = |version: &str, name: &str, client: &[&str]| {
        // -a is the name that is sent as SNI and compared, -Q ends after the handshake.
        let mut arguments = vec!["-h", "127.0.0.1", "-p", &port, "-d", NODE_DB, "-Q"];
        arguments.extend(["-V", version, "-a", name]);
        arguments.extend(client);
        sandbox.run("tstclnt", &arguments)
    };
    let certificate = ["-n", "Cluster Cert"];
    for version in ["tls1.2:tls1.2", "tls1.3:tls1.3"] {
        connect(version, "Qnetd Server", &certificate).ok();
        let other = connect(version, "Another Server", &certificate);
        assert_ne!(other.code, 0, "{other:?}");
    }
    let without = connect("tls1.2:tls1.2", "Qnetd Server", &["-n", "none"]);
    assert_ne!(without.code, 0, "{without:?}");
}
