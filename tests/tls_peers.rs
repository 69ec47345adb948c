//! Our TLS against independent implementations: OpenSSL, and NSS, which every stock client uses.
//!
//! Needs `openssl`, and `certutil`, `pk12util` and `tstclnt` (libnss3-tools).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that cannot go on fails the test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use qarbiter::tls::config::{client_config, server_config};
use qarbiter::tls::{
    ClientCertMode, ClientSettings, ClusterAuthorisation, Identity, ServerSettings, SystemClock,
    TlsClient, TlsError, TlsSession, Versions,
};
use rustls::enums::ProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

#[path = "../src/tls/testing.rs"]
mod testing;
use testing::{Ca, Leaf, Pair, pem};

/// What stock clients send as server name (protocol spec 6.6).
const SNI: &str = "Qnetd Server";
const PATIENCE: Duration = Duration::from_secs(20);
const VERSIONS: [(Versions, ProtocolVersion); 2] = [
    (Versions::Tls12, ProtocolVersion::TLSv1_2),
    (Versions::Tls13, ProtocolVersion::TLSv1_3),
];

/// What the server saw of one connection.
struct Seen {
    /// The first bytes of the connection: the ClientHello, in clear.
    hello: Vec<u8>,
    session: TlsSession,
    outcome: Result<Vec<u8>, TlsError>,
}

impl Seen {
    fn assert_accepted(&self, version: ProtocolVersion, cluster: &str) {
        assert_eq!(self.outcome.as_deref(), Ok(b"hello\n".as_slice()));
        assert_eq!(self.session.protocol_version(), Some(version));
        ClusterAuthorisation::new(cluster.as_bytes())
            .check(self.session.peer_certificate())
            .unwrap();
        let hello = String::from_utf8_lossy(&self.hello);
        assert!(hello.contains(SNI), "the peer sent another server name");
    }
}

/// A server for one connection: it answers the first line with `got it` and closes.
struct Server {
    port: u16,
    thread: JoinHandle<Seen>,
}

impl Server {
    fn start(identity: Identity, ca: &CertificateDer<'static>) -> Self {
        let config = server_config(ServerSettings {
            identity,
            client_ca: vec![ca.clone()],
            client_certs: ClientCertMode::Required,
            clock: Arc::new(SystemClock),
            on_unset_clock: Arc::new(|_| ()),
            is_revoked: Arc::new(|_| false),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            serve(socket, TlsSession::new(config).unwrap())
        });
        Self { port, thread }
    }

    fn seen(self) -> Seen {
        self.thread.join().unwrap()
    }
}

fn serve(mut socket: TcpStream, mut session: TlsSession) -> Seen {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut hello, mut plain) = (Vec::new(), Vec::new());
    let mut space = [0; 1500];
    let outcome = loop {
        let count = socket.read(&mut space).unwrap();
        let received = &space[..count];
        if hello.is_empty() {
            hello = received.to_vec();
        }
        let mut answer = Vec::new();
        let outcome = session.receive(received, &mut plain, &mut answer);
        let finished = count == 0 || plain.contains(&b'\n');
        if outcome.is_ok() && finished && !plain.is_empty() {
            session.send(b"got it\n", &mut answer).unwrap();
            session.close(&mut answer).unwrap();
        }
        socket.write_all(&answer).unwrap();
        match outcome {
            Err(error) => break Err(error),
            Ok(_) if finished => break Ok(plain),
            Ok(_) => {}
        }
    };
    // The peer closes first, so that no reset overtakes what was sent to it.
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    while socket.read(&mut space).is_ok_and(|count| count > 0) {}
    Seen {
        hello,
        session,
        outcome,
    }
}

/// Runs a tool to its end and fails if that is a failure.
fn run(command: &mut Command, input: &str) -> Output {
    let output = run_any(command, input);
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn run_any(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install openssl, libnss3-tools"));
    // A peer that is refused may be gone before it reads its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn identity((certificate, key): Pair, ca: &Ca) -> Identity {
    Identity {
        chain: vec![certificate, ca.certificate.clone()],
        key,
    }
}

/// A directory with what OpenSSL needs: the CA, and a client's certificate and key.
fn openssl_files(ca: &Ca, (certificate, key): &Pair) -> TempDir {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    write("ca.pem", ca.pem());
    write("own.pem", pem("CERTIFICATE", certificate));
    write("own.key", pem("PRIVATE KEY", key.secret_der()));
    dir
}

fn s_client(port: u16, files: &Path, version: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["20", "openssl", "s_client", "-quiet", "-servername", SNI])
        .args(["-verify_return_error", "-CAfile", "ca.pem", version])
        .arg("-connect")
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(files);
    command
}

fn rsa_key() -> rcgen::KeyPair {
    let made = run(
        Command::new("openssl").args(["genpkey", "-algorithm", "RSA"]),
        "",
    );
    rcgen::KeyPair::from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap()
}

#[test]
fn openssl_clients_of_both_versions_and_key_kinds_are_served() {
    let ca = Ca::with_key("QNet CA", rsa_key());
    for rsa in [false, true] {
        let server = Leaf::new(&["Qnetd Server"]);
        let client = Leaf::new(&["alpha"]);
        let (server, client) = if rsa {
            let server = ca.issue_for(&server, &rsa_key());
            (server, ca.issue_for(&client, &rsa_key()))
        } else {
            (ca.issue(&server), ca.issue(&client))
        };
        let files = openssl_files(&ca, &client);
        for (flag, version) in [
            ("-tls1_2", ProtocolVersion::TLSv1_2),
            ("-tls1_3", ProtocolVersion::TLSv1_3),
        ] {
            let own = (server.0.clone(), server.1.clone_key());
            let server = Server::start(identity(own, &ca), &ca.certificate);
            let output = run(
                s_client(server.port, files.path(), flag)
                    .args(["-cert", "own.pem", "-key", "own.key"]),
                "hello\n",
            );
            assert_eq!(output.stdout, b"got it\n", "{output:?}");
            server.seen().assert_accepted(version, "alpha");
        }
    }
}

#[test]
fn openssl_clients_without_a_certificate_or_with_old_tls_are_refused() {
    let ca = Ca::new();
    let files = openssl_files(&ca, &ca.issue(&Leaf::new(&["alpha"])));
    for (arguments, expected, alert) in [
        (["-tls1_2"].as_slice(), TlsError::NoCertificate, 116),
        (&["-tls1_3"], TlsError::NoCertificate, 116),
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            TlsError::OldVersion,
            40,
        ),
    ] {
        let own = ca.issue(&Leaf::new(&["Qnetd Server"]));
        let server = Server::start(identity(own, &ca), &ca.certificate);
        let (version, more) = arguments.split_first().unwrap();
        let output = run_any(
            s_client(server.port, files.path(), version).args(more),
            "hello\n",
        );
        assert!(!output.stdout.ends_with(b"got it\n"));
        let said = String::from_utf8_lossy(&output.stderr);
        let alert = format!("alert number {alert}\n");
        assert!(said.contains(&alert), "OpenSSL saw another alert: {said}");
        assert_eq!(server.seen().outcome, Err(expected));
    }
}

/// Ends the child that it was given, whatever happens in the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn our_client_talks_to_an_openssl_server() {
    let ca = Ca::new();
    let files = openssl_files(&ca, &ca.issue(&Leaf::new(&["Qnetd Server"])));
    for (versions, expected) in VERSIONS {
        let child = Command::new("timeout")
            .args(["20", "openssl", "s_server", "-accept", "127.0.0.1:0"])
            .args(["-cert", "own.pem", "-key", "own.key", "-CAfile", "ca.pem"])
            .args([
                "-Verify",
                "1",
                "-verify_return_error",
                "-rev",
                "-naccept",
                "1",
            ])
            .current_dir(files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is needed");
        let mut child = Ended(child);
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok())
            .expect("openssl s_server says where it listens");
        let config = client_config(ClientSettings {
            identity: Some(identity(ca.issue(&Leaf::new(&["alpha"])), &ca)),
            versions,
            ..ClientSettings::new(vec![ca.certificate.clone()])
        });
        let (client, answer) = ask(port, config.unwrap());
        assert_eq!(answer, b"olleh\n");
        assert_eq!(client.protocol_version(), Some(expected));
    }
}

/// Connects, sends a line and returns the answering line.
fn ask(port: u16, config: Arc<rustls::ClientConfig>) -> (TlsClient, Vec<u8>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut wire, mut plain) = (Vec::new(), Vec::new());
    let mut client = TlsClient::new(config, &mut wire).unwrap();
    let mut asked = false;
    let mut space = [0; 1500];
    while !plain.contains(&b'\n') {
        if !asked && !client.state().handshaking {
            client.send(b"hello\n", &mut wire).unwrap();
            asked = true;
        }
        socket.write_all(&wire).unwrap();
        wire.clear();
        let count = socket.read(&mut space).unwrap();
        assert!(count > 0, "the server closed without an answer");
        client
            .receive(&space[..count], &mut plain, &mut wire)
            .unwrap();
    }
    (client, plain)
}

/// A CA, a server certificate and a client database, made with the same certutil calls that the
/// reference's scripts make.
struct NssWorld {
    dir: TempDir,
    ca: CertificateDer<'static>,
}

impl NssWorld {
    fn new() -> Self {
        Self::with_keys(&[], &[])
    }

    /// `server_key` and `client_key` are certutil's options for the kind of key.
    fn with_keys(server_key: &[&str], client_key: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        for database in ["ca", "client"] {
            std::fs::create_dir(path.join(database)).unwrap();
        }
        std::fs::write(path.join("pwd"), "").unwrap();
        std::fs::write(path.join("request"), "hello\n").unwrap();
        std::fs::write(path.join("noise"), [7; 64]).unwrap();
        let certutil = |arguments: &[&[&str]], input| {
            let mut command = Command::new("certutil");
            command.args(arguments.concat()).current_dir(path);
            run(&mut command, input).stdout
        };
        let ca = ["-d", "ca", "-f", "pwd", "-z", "noise"].as_slice();
        let client = ["-d", "client", "-f", "pwd", "-z", "noise"].as_slice();
        let name = ["-n", "QNet CA"].as_slice();
        let issuer = ["-c", "QNet CA", "-v", "1200"].as_slice();
        let number = |number| ["-m", number];

        certutil(&[&ca[..4], &["-N"]], "");
        let own = ["-s", "CN=QNet CA", "-x", "-t", "CT,,", "-v", "1200", "-2"];
        let answers = "y\n0\ny\n";
        certutil(&[ca, &["-S"], name, &own, &number("101")], answers);
        let server = ["-S", "-n", "QNetd Cert", "-s", "CN=Qnetd Server"];
        let trust = ["-t", "u,u,u"].as_slice();
        certutil(
            &[ca, &server, issuer, trust, &number("102"), server_key],
            "",
        );
        let exported = certutil(&[&ca[..2], &["-L", "-a"], name], "");
        std::fs::write(path.join("ca.crt"), &exported).unwrap();

        certutil(&[&client[..4], &["-N"]], "");
        let authority = ["-t", "CT,c,c", "-i", "ca.crt"];
        certutil(&[&client[..4], &["-A"], name, &authority], "");
        let request = ["-R", "-s", "CN=alpha", "-o", "crq"];
        certutil(&[client, &request, client_key], "");
        let sign = ["-C", "-i", "crq", "-o", "crt"];
        certutil(&[&ca[..2], &sign, issuer, &number("103")], "");
        let import = ["-A", "-n", "Cluster Cert", "-i", "crt"];
        certutil(&[&client[..4], &import, trust], "");
        Self {
            ca: CertificateDer::from_pem_slice(&exported).unwrap(),
            dir,
        }
    }

    fn server(&self) -> Identity {
        run(
            Command::new("pk12util")
                .args(["-o", "server.p12", "-d", "ca", "-n", "QNetd Cert"])
                .args(["-k", "pwd", "-W", "secret"])
                .current_dir(self.dir.path()),
            "",
        );
        let text = run(
            Command::new("openssl")
                .args([
                    "pkcs12",
                    "-in",
                    "server.p12",
                    "-nodes",
                    "-passin",
                    "pass:secret",
                ])
                .current_dir(self.dir.path()),
            "",
        )
        .stdout;
        let own = CertificateDer::pem_slice_iter(&text).map(Result::unwrap);
        let mut chain: Vec<_> = own.collect();
        chain.sort_by_key(|certificate| *certificate == self.ca);
        Identity {
            chain,
            key: PrivateKeyDer::from_pem_slice(&text).unwrap(),
        }
    }

    fn tstclnt(&self, port: u16, nickname: &[&str], versions: &str) -> Output {
        run_any(
            Command::new("timeout")
                .args([
                    "20",
                    "tstclnt",
                    "-h",
                    "127.0.0.1",
                    "-d",
                    "client",
                    "-a",
                    SNI,
                ])
                .args(["-p", &port.to_string(), "-V", versions])
                // At the end of its standard input tstclnt spins and misses that the server closed.
                .args(["-A", "request"])
                .args(nickname)
                .current_dir(self.dir.path()),
            "",
        )
    }
}

#[test]
fn nss_clients_with_the_reference_tools_certificates_are_served() {
    let elliptic = ["-k", "ec", "-q", "nistp256"];
    for (server_key, client_key) in [
        // As the reference's scripts do.
        ([].as_slice(), [].as_slice()),
        (&elliptic, &[]),
        (&elliptic, &elliptic),
    ] {
        let world = NssWorld::with_keys(server_key, client_key);
        for (versions, expected) in [
            ("tls1.2:tls1.2", ProtocolVersion::TLSv1_2),
            ("tls1.3:tls1.3", ProtocolVersion::TLSv1_3),
        ] {
            let server = Server::start(world.server(), &world.ca);
            let output = world.tstclnt(server.port, &["-n", "Cluster Cert"], versions);
            server.seen().assert_accepted(expected, "alpha");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("got it\n"), "{output:?}");
        }
    }
}

#[test]
fn nss_clients_with_a_short_rsa_key_are_refused() {
    let world = NssWorld::with_keys(&[], &["-g", "1024"]);
    let server = Server::start(world.server(), &world.ca);
    let output = world.tstclnt(server.port, &["-n", "Cluster Cert"], "tls1.2:tls1.3");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("got it"));
    assert_eq!(server.seen().outcome, Err(TlsError::KeyNotProven));
}

#[test]
fn nss_clients_without_a_certificate_are_refused() {
    let world = NssWorld::new();
    for versions in ["tls1.2:tls1.2", "tls1.3:tls1.3"] {
        let server = Server::start(world.server(), &world.ca);
        let output = world.tstclnt(server.port, &["-n", "no such certificate"], versions);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("got it"));
        assert_eq!(server.seen().outcome, Err(TlsError::NoCertificate));
    }
}

#[test]
fn our_client_accepts_the_reference_tools_server_certificate() {
    let world = NssWorld::new();
    let foreign = Ca::new();
    for (versions, _) in VERSIONS {
        let server = Server::start(world.server(), &world.ca);
        // Without a certificate of that CA the server refuses us, but only after we accepted it.
        let config = client_config(ClientSettings {
            versions,
            ..ClientSettings::new(vec![world.ca.clone()])
        });
        let error = refused(server.port, config.unwrap());
        assert!(matches!(error, TlsError::PeerAlert(_)), "{error:?}");
        assert_eq!(server.seen().outcome, Err(TlsError::NoCertificate));

        let server = Server::start(world.server(), &world.ca);
        let config = client_config(ClientSettings::new(vec![foreign.certificate.clone()]));
        assert_eq!(refused(server.port, config.unwrap()), TlsError::ForeignCa);
        assert!(matches!(server.seen().outcome, Err(TlsError::PeerAlert(_))));
    }
}

/// Connects and returns the error that ends it.
fn refused(port: u16, config: Arc<rustls::ClientConfig>) -> TlsError {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wire = Vec::new();
    let mut client = TlsClient::new(config, &mut wire).unwrap();
    let mut space = [0; 1500];
    loop {
        socket.write_all(&wire).unwrap();
        wire.clear();
        let count = socket.read(&mut space).unwrap();
        assert!(count > 0, "the server closed without an alert");
        if let Err(error) = client.receive(&space[..count], &mut Vec::new(), &mut wire) {
            socket.write_all(&wire).unwrap();
            return error;
        }
    }
}
