//! HTTPS, with clients of another TLS library's release.

use crate::lab::{Answer, Arbiter, PATIENCE, head};
use rustls23::pki_types::{CertificateDer, ServerName};
use rustls23::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn openssl(dir: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl is needed");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// Makes cert.pem and key.pem for localhost.
pub(crate) fn make_certificate(dir: &Path) {
    openssl(
        dir,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem \
         -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE",
    );
}

/// Of a client that trusts cert.pem.
pub(crate) fn client_config(dir: &Path) -> Arc<ClientConfig> {
    let text = std::fs::read(dir.join("cert.pem")).unwrap();
    let certificate = CertificateDer::from(pem::parse(text).unwrap().into_contents());
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn connect(arbiter: &Arbiter, dir: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(client_config(dir), name).unwrap();
    StreamOwned::new(connection, arbiter.connect())
}

#[test]
fn a_renewed_certificate_is_used_after_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let former = tempfile::tempdir().unwrap();
    make_certificate(dir.path());
    std::fs::copy(dir.path().join("cert.pem"), former.path().join("cert.pem")).unwrap();
    let mut settings = None;
    let arbiter = Arbiter::with(|http| {
        http.certificate = Some(dir.path().join("cert.pem"));
        http.key = Some(dir.path().join("key.pem"));
        settings = Some(http.clone());
    });
    let is_shown = |trusted: &Path| {
        let mut stream = connect(&arbiter, trusted);
        stream
            .write_all(head("GET", "/healthz", &[]).as_bytes())
            .is_ok()
    };
    make_certificate(dir.path());
    assert!(is_shown(former.path()) && !is_shown(dir.path()));
    arbiter.keys().reload(&settings.unwrap()).unwrap();
    assert!(is_shown(dir.path()) && !is_shown(former.path()));
}

#[test]
fn everything_works_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    make_certificate(dir.path());
    let arbiter = Arbiter::with(|http| {
        http.certificate = Some(dir.path().join("cert.pem"));
        http.key = Some(dir.path().join("key.pem"));
    });
    let names: Vec<String> = (0..300).map(|n| format!("cluster-{n}")).collect();
    let _nodes: Vec<_> = names
        .iter()
        .map(|name| arbiter.join(name.as_bytes(), 1, &[1, 2], 4))
        .collect();
    // Several hundred kilobytes, in many records.
    let mut stream = connect(&arbiter, dir.path());
    stream
        .write_all(head("GET", "/metrics", &[]).as_bytes())
        .unwrap();
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 200_000);
    let last = "qarbiter_node_certificate_verified{cluster=\"cluster-299\",node=\"1\"} 0";
    assert!(answer.text().contains(last));

    // Several requests on one connection.
    let mut stream = connect(&arbiter, dir.path());
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"]}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        assert_eq!(Answer::parse(&bytes).status, 200);
    }

    // Clear text where TLS is expected ends the connection and nothing else.
    let mut plain = arbiter.connect();
    plain.write_all(head("GET", "/", &[]).as_bytes()).unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let mut stream = connect(&arbiter, dir.path());
    stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(head("GET", "/healthz", &[]).as_bytes())
        .unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
}
