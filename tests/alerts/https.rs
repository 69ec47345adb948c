//! Webhooks over TLS, against another TLS than ours.

use crate::lab::{Arbiter, webhooks};
use crate::receiver::Receiver;
use qarbiter::notify::settings::Webhooks;
use qarbiter::notify::{AlertSettings, Tried, try_all};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls23::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls23::{ServerConfig, ServerConnection, StreamOwned};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A CA, in a file.
struct Ca {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A receiver with a certificate for that name.
    fn serve(&self, name: &str) -> (Receiver, SocketAddr) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls23::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let receiver = Receiver::start();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let keeper = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                keeper.one(&mut stream);
                stream.conn.send_close_notify();
                let _ = std::io::Write::flush(&mut stream);
            }
        });
        (receiver, address)
    }
}

fn tried(text: &str) -> Tried {
    let settings = AlertSettings {
        webhooks: Webhooks::parse(text).unwrap(),
        ..AlertSettings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(try_all(&settings)).remove(0)
}

#[test]
fn a_private_ca_is_trusted_where_it_is_named_and_only_there() {
    let ca = Ca::new();
    let (receiver, address) = ca.serve("localhost");
    let port = address.port();
    let named = format!(
        "json https://localhost:{port}/x ca_file={}",
        ca.file().display()
    );
    let _arbiter = Arbiter::start(webhooks(&named));
    let got = receiver.wait_for_requests(1);
    assert_eq!(got[0].line, "POST /x HTTP/1.1");
    assert_eq!(got[0].headers["host"], format!("localhost:{port}"));

    let good = tried(&named);
    assert!(good.is_good, "{good:?}");
    // The system's CAs did not sign it, and it is not for that name.
    let count = receiver.all().len();
    let system = tried(&format!("json https://localhost:{port}/GEHEIM"));
    assert!(
        !system.is_good && system.said.contains("name its CA with ca_file="),
        "{system:?}"
    );
    let other = tried(&named.replace("localhost", "127.0.0.1"));
    assert!(
        !other.is_good && other.said.contains("refused"),
        "{other:?}"
    );
    let another = Ca::new();
    let wrong = tried(&format!(
        "json https://localhost:{port}/ ca_file={}",
        another.file().display()
    ));
    assert!(!wrong.is_good, "{wrong:?}");
    assert_eq!(receiver.all().len(), count);
    assert!(!system.said.contains("GEHEIM"));
}

#[test]
fn what_is_no_tls_is_said() {
    let ca = Ca::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 5];
        std::io::Read::read_exact(&mut stream, &mut hello).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad\r\n\r\n").unwrap();
        std::thread::sleep(crate::lab::PATIENCE);
    });
    let said = tried(&format!(
        "json https://localhost:{port}/ ca_file={}",
        ca.file().display()
    ));
    assert!(said.said.contains("use http://?"), "{said:?}");
}
