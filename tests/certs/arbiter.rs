//! Our TLS with an identity directory, for one connection of the nodes' TLS library.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use qarbiter::pki::Store;
use qarbiter::pki::revoked::Revoked;
use qarbiter::tls::config::server_config;
use qarbiter::tls::{
    ClientCertMode, ClusterAuthorisation, Identity, ServerSettings, SystemClock, TlsError,
    TlsSession,
};

use crate::sandbox::{NODE_DB, Sandbox};

/// Lets the node of a sandbox connect to an arbiter with the certificates of a directory. Returns
/// the number of the certificate that it showed, or why it was refused.
pub(crate) fn shown_by_node(sandbox: &Sandbox, db: &Path, cluster: &str) -> Result<u64, TlsError> {
    let identity = Store::open(db).unwrap().identity();
    let revoked = Revoked::load(db, &identity.ca).unwrap();
    let config = server_config(ServerSettings {
        identity: Identity {
            chain: identity.chain,
            key: identity.key.into(),
        },
        client_ca: vec![identity.ca],
        client_certs: ClientCertMode::Required,
        clock: Arc::new(SystemClock),
        on_unset_clock: Arc::new(|_| ()),
        is_revoked: Arc::new(move |serial| revoked.contains(serial)),
    });
    let session = TlsSession::new(config.unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || handshake(listener.accept().unwrap().0, session));
    let node = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-d",
        NODE_DB,
        "-Q",
        "-V",
        "tls1.2:tls1.3",
    ];
    let names = ["-a", "Qnetd Server", "-n", "Cluster Cert"];
    let outcome = sandbox.run("tstclnt", &[&node[..], &names].concat());
    let session = server.join().unwrap()?;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let certificate = session.peer_certificate().unwrap();
    ClusterAuthorisation::new(cluster.as_bytes())
        .check(Some(certificate))
        .unwrap();
    let serial = qarbiter::tls::serial_number(certificate).unwrap();
    Ok(serial
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn handshake(mut socket: TcpStream, mut session: TlsSession) -> Result<TlsSession, TlsError> {
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut space = [0; 4096];
    loop {
        let count = socket.read(&mut space).unwrap();
        let mut answer = Vec::new();
        let outcome = session.receive(&space[..count], &mut Vec::new(), &mut answer);
        // The node may be gone already, which it may after its part of the handshake.
        let _ = socket.write_all(&answer);
        outcome?;
        if session.peer_certificate().is_some() && !session.state().handshaking {
            return Ok(session);
        }
        assert_ne!(count, 0, "the node went away during the handshake");
    }
}
