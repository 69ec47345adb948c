//! TLS from a peer that sends anything: no panic, nothing without bound, and a failure stays one.
//!
//! The first byte chooses between noise for the server, noise for the client, and a real handshake
//! whose bytes are changed on the way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qarbiter::tls::config::{client_config, server_config};
use qarbiter::tls::{
    ClientCertMode, ClientSettings, Identity, ServerSettings, SystemClock, Tls, TlsClient,
    TlsSession,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig, SideData};
use std::sync::{Arc, LazyLock};

/// More than a handshake's own messages: no answer may be as long as that.
const LONGEST_ANSWER: usize = 16 * 1024;

static CONFIGS: LazyLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = LazyLock::new(configs);

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let (server, client) = &*CONFIGS;
    match choice % 3 {
        0 => noise(TlsSession::new(server.clone()).unwrap(), data),
        1 => noise(
            TlsClient::new(client.clone(), &mut Vec::new()).unwrap(),
            data,
        ),
        _ => tampered(data),
    }
});

/// Feeds pieces, each of a length that its first byte says.
fn noise<Side: SideData>(mut tls: Tls<Side>, mut data: &[u8]) {
    while let Some((length, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length) * 8));
        data = rest;
        if !feed(&mut tls, piece, &mut Vec::new()) {
            return;
        }
    }
}

/// Whether the connection goes on.
fn feed<Side: SideData>(tls: &mut Tls<Side>, piece: &[u8], answer: &mut Vec<u8>) -> bool {
    let before = answer.len();
    let mut plain = Vec::new();
    let outcome = tls.receive(piece, &mut plain, answer);
    assert!(answer.len() - before <= LONGEST_ANSWER);
    match outcome {
        Ok(state) => {
            assert!(!state.handshaking || plain.is_empty());
            true
        }
        Err(error) => {
            let again = tls.receive(&[22], &mut plain, &mut Vec::new());
            assert_eq!(again, Err(error.clone()));
            assert_eq!(tls.send(b"x", &mut Vec::new()), Err(error));
            false
        }
    }
}

/// A handshake in which each three bytes of `data` change one byte of what the client sends: two
/// say which, one how.
fn tampered(data: &[u8]) {
    let (server, client) = &*CONFIGS;
    let mut to_server = Vec::new();
    let mut to_client = Vec::new();
    let mut client = TlsClient::new(client.clone(), &mut to_server).unwrap();
    let mut server = TlsSession::new(server.clone()).unwrap();
    let changes: Vec<(usize, u8)> = data
        .chunks_exact(3)
        .map(|change| {
            (
                usize::from(u16::from_be_bytes([change[0], change[1]])),
                change[2],
            )
        })
        .collect();
    let mut sent = 0;
    while !to_server.is_empty() {
        for (at, change) in &changes {
            let byte = at.checked_sub(sent).and_then(|at| to_server.get_mut(at));
            if let Some(byte) = byte {
                *byte ^= change;
            }
        }
        sent += to_server.len();
        let goes_on = feed(&mut server, &to_server, &mut to_client);
        to_server.clear();
        if !goes_on || !feed(&mut client, &to_client, &mut to_server) {
            return;
        }
        to_client.clear();
    }
    let untouched = changes
        .iter()
        .all(|(at, change)| *at >= sent || *change == 0);
    if untouched {
        assert!(!server.state().handshaking && !client.state().handshaking);
        assert!(server.peer_certificate().is_some());
    }
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut authority = named("QNet CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca: CertificateDer<'static> = authority.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(authority, key);
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name).signed_by(&key, &issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    };
    let server = server_config(ServerSettings {
        identity: identity("Qnetd Server"),
        client_ca: vec![ca.clone()],
        client_certs: ClientCertMode::Required,
        clock: Arc::new(SystemClock),
        on_unset_clock: Arc::new(|_| ()),
        is_revoked: Arc::new(|_| false),
    });
    let client = client_config(ClientSettings {
        identity: Some(identity("alpha")),
        ..ClientSettings::new(vec![ca])
    });
    (server.unwrap(), client.unwrap())
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
