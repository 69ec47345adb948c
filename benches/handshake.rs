//! Measures what one TLS client costs the server: CPU per handshake and per heartbeat (TLS alone,
//! without system calls), and memory (RSS) per idle established session.
//!
//! `cargo bench --bench handshake [-- HANDSHAKES [SESSIONS]]`, 500 and 2,000 if not given. Needs
//! `openssl` for the RSA keys and /proc for the memory. It prints, and asserts nothing but that
//! every handshake succeeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that cannot go on stops"
)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use qarbiter::tls::config::{client_config, server_config};
use qarbiter::tls::{
    ClientCertMode, ClientSettings, Identity, ServerSettings, SystemClock, TlsClient, TlsSession,
    Versions,
};
use rcgen::KeyPair;
use rustls::{ClientConfig, ServerConfig};

#[path = "../src/tls/testing.rs"]
mod testing;
use testing::{Ca, Leaf};

#[derive(Clone, Copy, Debug)]
enum Kind {
    P256,
    Rsa2048,
}

impl Kind {
    fn key(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate().unwrap(),
            Self::Rsa2048 => {
                let made = Command::new("openssl")
                    .args(["genpkey", "-algorithm", "RSA"])
                    .args(["-pkeyopt", "rsa_keygen_bits:2048"])
                    .output()
                    .expect("openssl is needed to make RSA keys");
                assert!(made.status.success(), "openssl genpkey failed: {made:?}");
                KeyPair::from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap()
            }
        }
    }
}

struct Setting {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Setting {
    /// Every key of the given kinds; a CA of the reference is RSA, so `ca` is apart.
    fn new(ca: Kind, server: Kind, client: Kind, versions: Versions) -> Self {
        let ca = Ca::with_key("QNet CA", ca.key());
        let identity = |name: &str, kind: Kind| {
            let (certificate, key) = ca.issue_for(&Leaf::new(&[name]), &kind.key());
            Identity {
                chain: vec![certificate, ca.certificate.clone()],
                key,
            }
        };
        let roots = vec![ca.certificate.clone()];
        let server = server_config(ServerSettings {
            identity: identity("Qnetd Server", server),
            client_ca: roots.clone(),
            client_certs: ClientCertMode::Required,
            clock: Arc::new(SystemClock),
            on_unset_clock: Arc::new(|_| ()),
            is_revoked: Arc::new(|_| false),
        });
        let client = client_config(ClientSettings {
            identity: Some(identity("alpha", client)),
            versions,
            ..ClientSettings::new(roots)
        });
        Self {
            server: server.unwrap(),
            client: client.unwrap(),
        }
    }

    /// One full handshake and one small record each way; the CPU time of the server's side.
    fn connect(&self) -> (TlsSession, TlsClient, Duration) {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = TlsClient::new(self.client.clone(), &mut to_server).unwrap();
        let mut plain = Vec::new();
        let start = cpu();
        let mut server = TlsSession::new(self.server.clone()).unwrap();
        let mut spent = cpu() - start;
        while server.state().handshaking || client.state().handshaking {
            let start = cpu();
            server
                .receive(&to_server, &mut plain, &mut to_client)
                .unwrap();
            spent += cpu() - start;
            to_server.clear();
            client
                .receive(&to_client, &mut plain, &mut to_server)
                .unwrap();
            to_client.clear();
        }
        client.send(b"a heartbeat of ours", &mut to_server).unwrap();
        let start = cpu();
        server
            .receive(&to_server, &mut plain, &mut to_client)
            .unwrap();
        server.send(b"and one of theirs", &mut to_client).unwrap();
        spent += cpu() - start;
        client
            .receive(&to_client, &mut plain, &mut to_server)
            .unwrap();
        assert_eq!(plain, b"a heartbeat of oursand one of theirs");
        (server, client, spent)
    }
}

/// The server's CPU time to decrypt one small record and to encrypt its answer.
fn heartbeat(setting: &Setting) -> Duration {
    const ROUNDS: u32 = 5000;
    let (mut server, mut client, _) = setting.connect();
    let (mut to_server, mut to_client, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        client.send(b"a heartbeat of ours", &mut to_server).unwrap();
        let start = cpu();
        server
            .receive(&to_server, &mut plain, &mut to_client)
            .unwrap();
        server.send(b"and one of theirs", &mut to_client).unwrap();
        spent += cpu() - start;
        client
            .receive(&to_client, &mut plain, &mut to_server)
            .unwrap();
        to_server.clear();
        to_client.clear();
        plain.clear();
    }
    spent / ROUNDS
}

/// CPU time of this (only) thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

/// Resident memory of this process that belongs to no file, in bytes.
fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: usize = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u32>().ok());
    let handshakes = numbers.next().unwrap_or(500);
    let sessions = numbers.next().unwrap_or(2000) as usize;
    use Kind::{P256, Rsa2048};
    println!("                                  CPU of the server per      RSS per");
    println!("CA      server  client  version   handshake   heartbeat     idle session");
    for (ca, server, client) in [
        (P256, P256, P256),
        (P256, P256, Rsa2048),
        (Rsa2048, P256, P256),
        (Rsa2048, P256, Rsa2048),
        (Rsa2048, Rsa2048, P256),
        (Rsa2048, Rsa2048, Rsa2048),
    ] {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let setting = Setting::new(ca, server, client, versions);
            // Warms the caches and the allocator, so that growth below is that of the sessions.
            for _ in 0..20 {
                setting.connect();
            }
            let spent: Duration = (0..handshakes).map(|_| setting.connect().2).sum();
            let before = rss();
            let held: Vec<TlsSession> = (0..sessions).map(|_| setting.connect().0).collect();
            let per_session = rss().saturating_sub(before) / held.len();
            println!(
                "{:<8}{:<8}{:<8}{:<10}{:>6.0} us {:>9.2} us {per_session:>10} bytes",
                format!("{ca:?}"),
                format!("{server:?}"),
                format!("{client:?}"),
                format!("{versions:?}"),
                spent.as_secs_f64() * 1e6 / f64::from(handshakes),
                heartbeat(&setting).as_secs_f64() * 1e6,
            );
            // Freed memory would be reused by the next setting and hide its growth.
            std::mem::forget(held);
        }
    }
}
