//! Our client against our server through memory, and servers against noise.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose as Purpose;
use rustls::crypto::{Credentials, SingleCredential};
use rustls::enums::ProtocolVersion;
use rustls::error::AlertDescription;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, SideData};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::config::{client_config, server_config};
use super::policy::{CLOCK_FLOOR, date};
use super::stream::MAX_PENDING;
use super::testing::{Ca, Day, Leaf, Pair, clock, moment};
use super::*;

const TODAY: Day = (2027, 1, 1);
const UNSET: Day = (1970, 1, 2);

/// A server with its CA, at a moment.
struct World {
    ca: Ca,
    today: Day,
    mode: ClientCertMode,
    server: Leaf,
    alarms: Arc<Mutex<Vec<UnsetClock>>>,
    /// Serial numbers as the policy asks for them.
    revoked: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl World {
    fn new() -> Self {
        Self {
            ca: Ca::new(),
            today: TODAY,
            mode: ClientCertMode::Required,
            server: Leaf::new(&["Qnetd Server"]),
            alarms: Arc::default(),
            revoked: Arc::default(),
        }
    }

    fn session(&self) -> TlsSession {
        let (certificate, key) = self.ca.issue(&self.server);
        let alarms = self.alarms.clone();
        let revoked = self.revoked.clone();
        let config = server_config(ServerSettings {
            identity: Identity {
                chain: vec![certificate, self.ca.certificate.clone()],
                key,
            },
            client_ca: vec![self.ca.certificate.clone()],
            client_certs: self.mode,
            clock: clock(self.today),
            on_unset_clock: Arc::new(move |alarm| alarms.lock().unwrap().push(alarm)),
            is_revoked: Arc::new(move |serial| revoked.lock().unwrap().iter().any(|n| n == serial)),
        });
        TlsSession::new(config.unwrap()).unwrap()
    }

    fn settings(&self) -> ClientSettings {
        ClientSettings {
            clock: clock(TODAY),
            ..ClientSettings::new(vec![self.ca.certificate.clone()])
        }
    }

    fn client_with(&self, identity: Option<Pair>) -> Arc<ClientConfig> {
        client_config(ClientSettings {
            identity: identity.map(|(certificate, key)| Identity {
                chain: vec![certificate, self.ca.certificate.clone()],
                key,
            }),
            ..self.settings()
        })
        .unwrap()
    }

    fn client(&self, leaf: &Leaf) -> Arc<ClientConfig> {
        self.client_with(Some(self.ca.issue(leaf)))
    }

    fn alarms(&self) -> Vec<UnsetClock> {
        self.alarms.lock().unwrap().clone()
    }
}

/// Both ends after everything that could be carried was carried.
struct Talk {
    client: TlsClient,
    server: TlsSession,
    /// What each end said when it failed.
    client_error: Option<TlsError>,
    server_error: Option<TlsError>,
}

impl Talk {
    /// Carries bytes in pieces of `piece` bytes until both ends are quiet.
    fn carry(config: Arc<ClientConfig>, mut server: TlsSession, piece: usize) -> Self {
        let mut to_server = Vec::new();
        let mut client = TlsClient::new(config, &mut to_server).unwrap();
        let (mut client_error, mut server_error) = (None, None);
        for _ in 0..10 {
            let mut to_client = Vec::new();
            feed(
                &mut server,
                &to_server,
                piece,
                &mut to_client,
                &mut server_error,
            );
            to_server.clear();
            feed(
                &mut client,
                &to_client,
                piece,
                &mut to_server,
                &mut client_error,
            );
        }
        assert!(to_server.is_empty(), "both ends are still talking");
        Self {
            client,
            server,
            client_error,
            server_error,
        }
    }

    fn with(world: &World, config: Arc<ClientConfig>) -> Self {
        Self::carry(config, world.session(), usize::MAX)
    }

    fn assert_established(&mut self) {
        assert_eq!((&self.client_error, &self.server_error), (&None, &None));
        assert!(!self.server.state().handshaking);
        let (mut wire, mut back) = (Vec::new(), Vec::new());
        self.client.send(b"over to you", &mut wire).unwrap();
        let mut plain = Vec::new();
        self.server.receive(&wire, &mut plain, &mut back).unwrap();
        assert_eq!(plain, b"over to you");
        self.server.send(b"and back", &mut back).unwrap();
        plain.clear();
        self.client.receive(&back, &mut plain, &mut wire).unwrap();
        assert_eq!(plain, b"and back");
    }

    /// The server refuses, and the client hears of it.
    fn assert_refused(&self, expected: &TlsError, alert: AlertDescription) {
        assert_eq!(self.server_error.as_ref(), Some(expected));
        assert_eq!(self.client_error, Some(TlsError::PeerAlert(alert)));
    }
}

fn feed<Side: SideData>(
    end: &mut Tls<Side>,
    wire: &[u8],
    piece: usize,
    answer: &mut Vec<u8>,
    error: &mut Option<TlsError>,
) {
    for part in wire.chunks(piece) {
        match end.receive(part, &mut Vec::new(), answer) {
            Ok(_) => {}
            Err(failure) => {
                *error = Some(failure);
                return;
            }
        }
    }
}

fn alpha() -> Leaf {
    Leaf::new(&["alpha"])
}

#[test]
fn both_versions_are_spoken_and_the_certificate_is_seen() {
    for (versions, expected) in [
        (Versions::Both, ProtocolVersion::TLSv1_3),
        (Versions::Tls13, ProtocolVersion::TLSv1_3),
        (Versions::Tls12, ProtocolVersion::TLSv1_2),
    ] {
        let world = World::new();
        let (certificate, key) = world.ca.issue(&alpha());
        let config = client_config(ClientSettings {
            identity: Some(Identity {
                chain: vec![certificate.clone()],
                key,
            }),
            versions,
            ..world.settings()
        })
        .unwrap();
        let mut talk = Talk::with(&world, config);
        talk.assert_established();
        assert_eq!(talk.server.protocol_version(), Some(expected));
        assert!(talk.server.cipher_suite().is_some());
        assert_eq!(talk.server.peer_certificate(), Some(&certificate));
        ClusterAuthorisation::new(b"alpha")
            .check(talk.server.peer_certificate())
            .unwrap();
        ClusterAuthorisation::new(b"beta")
            .check(talk.server.peer_certificate())
            .unwrap_err();
        assert!(world.alarms().is_empty());
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let world = World::new();
        let (certificate, key) = world.ca.issue(&alpha());
        let config = client_config(ClientSettings {
            identity: Some(Identity {
                chain: vec![certificate],
                key,
            }),
            versions,
            ..world.settings()
        })
        .unwrap();
        Talk::carry(config, world.session(), 1).assert_established();
    }
}

#[test]
fn nothing_is_held_while_idle() {
    let world = World::new();
    let mut talk = Talk::with(&world, world.client(&alpha()));
    talk.assert_established();
    assert_eq!(talk.server.pending_capacity(), 0);
    assert_eq!(talk.client.pending_capacity(), 0);

    let mut wire = Vec::new();
    talk.client.send(b"12345678", &mut wire).unwrap();
    let (mut plain, mut back) = (Vec::new(), Vec::new());
    let (head, tail) = wire.split_at(9);
    talk.server.receive(head, &mut plain, &mut back).unwrap();
    assert!(plain.is_empty());
    assert!(talk.server.pending_capacity() >= 9);
    talk.server.receive(tail, &mut plain, &mut back).unwrap();
    assert_eq!(plain, b"12345678");
    assert_eq!(talk.server.pending_capacity(), 0);
}

#[test]
fn a_session_is_two_small_blocks() {
    let handle = size_of::<TlsSession>();
    let boxed = size_of::<rustls::Connection<rustls::ServerSide, rustls::Tcp>>();
    println!("TlsSession: {handle} bytes, boxed connection: {boxed} bytes");
    assert!(handle <= 64, "{handle}");
    assert!(boxed <= 1024, "{boxed}");
}

#[test]
fn closing_is_heard_and_what_follows_is_ignored() {
    let world = World::new();
    let mut talk = Talk::with(&world, world.client(&alpha()));
    talk.assert_established();
    let mut wire = Vec::new();
    talk.client.send(b"last words", &mut wire).unwrap();
    talk.client.close(&mut wire).unwrap();
    wire.extend_from_slice(b"noise after the end");
    let (mut plain, mut back) = (Vec::new(), Vec::new());
    let received = talk.server.receive(&wire, &mut plain, &mut back).unwrap();
    assert_eq!(plain, b"last words");
    assert!(received.peer_closed);
    let more = talk.server.receive(b"and more", &mut plain, &mut back);
    assert!(more.unwrap().peer_closed);
    assert_eq!(talk.server.pending_capacity(), 0);

    talk.server.send(b"bye", &mut back).unwrap();
    talk.server.close(&mut back).unwrap();
    plain.clear();
    let received = talk.client.receive(&back, &mut plain, &mut wire).unwrap();
    assert!(received.peer_closed);
    assert_eq!(plain, b"bye");
    let late = talk.server.send(b"too late", &mut back);
    assert_eq!(late, Err(TlsError::NotEstablished));
}

#[test]
fn sending_during_the_handshake_is_an_error_that_does_no_harm() {
    let world = World::new();
    let mut server = world.session();
    let early = server.send(b"early", &mut Vec::new());
    assert_eq!(early, Err(TlsError::NotEstablished));
    Talk::carry(world.client(&alpha()), server, usize::MAX).assert_established();
}

#[test]
fn a_missing_certificate_is_refused_or_not_asked_for() {
    let mut world = World::new();
    let talk = Talk::with(&world, world.client_with(None));
    talk.assert_refused(
        &TlsError::NoCertificate,
        AlertDescription::CertificateRequired,
    );
    world.mode = ClientCertMode::NotRequested;
    for config in [world.client_with(None), world.client(&alpha())] {
        let mut talk = Talk::with(&world, config);
        talk.assert_established();
        assert_eq!(talk.server.peer_certificate(), None);
        let refused = ClusterAuthorisation::new(b"alpha").check(talk.server.peer_certificate());
        assert!(matches!(refused, Err(AuthorisationError::NoCertificate)));
    }
}

#[test]
fn certificates_of_other_issuers_are_refused() {
    let world = World::new();
    for (identity, expected, alert) in [
        (
            Ca::new().issue(&alpha()),
            TlsError::ForeignCa,
            AlertDescription::CertificateUnknown,
        ),
        (
            Ca::named("Other CA").issue(&alpha()),
            TlsError::UnknownCa,
            AlertDescription::UnknownCa,
        ),
        (
            alpha().self_signed(),
            TlsError::UnknownCa,
            AlertDescription::UnknownCa,
        ),
    ] {
        let talk = Talk::with(&world, world.client_with(Some(identity)));
        talk.assert_refused(&expected, alert);
    }
}

#[test]
fn a_cas_certificate_and_a_borrowed_one_are_refused() {
    let world = World::new();
    let own = world.client_with(Some(world.ca.issue(&alpha().authority())));
    let talk = Talk::with(&world, own);
    let Some(TlsError::CertificateRefused(words)) = talk.server_error else {
        panic!("{:?}", talk.server_error);
    };
    assert!(words.starts_with("it is a CA's own certificate"), "{words}");

    let (certificate, _) = world.ca.issue(&alpha());
    let (_, key) = world.ca.issue(&alpha());
    let talk = Talk::with(&world, mismatched(&world, certificate, key));
    talk.assert_refused(&TlsError::KeyNotProven, AlertDescription::DecryptError);
}

/// A client that shows a certificate whose key it does not have.
fn mismatched(
    world: &World,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Arc<ClientConfig> {
    let provider = rustls_ring::DEFAULT_PROVIDER;
    let chain = rustls::crypto::Identity::from_cert_chain(vec![certificate]).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let credentials = Credentials::new_unchecked(Arc::new(chain), key);
    let config = ClientConfig::builder(Arc::new(provider))
        .dangerous()
        .with_custom_certificate_verifier(world.client_with(None).verifier().clone())
        .with_client_credential_resolver(Arc::new(SingleCredential::from(credentials)));
    Arc::new(config.unwrap())
}

#[test]
fn a_certificate_for_servers_only_is_refused_and_one_for_clients_is_taken() {
    let world = World::new();
    let config = world.client(&alpha().purpose(Purpose::ServerAuth));
    Talk::with(&world, config).assert_refused(
        &TlsError::WrongPurpose,
        AlertDescription::UnsupportedCertificate,
    );
    let config = world.client(&alpha().purpose(Purpose::ClientAuth));
    Talk::with(&world, config).assert_established();
}

#[test]
fn a_revoked_certificate_is_refused_until_it_is_taken_off_the_list() {
    let mut world = World::new();
    let pair = world.ca.issue(&alpha());
    let (_, certificate) = X509Certificate::from_der(&pair.0).unwrap();
    let serial = certificate.serial.to_bytes_be();
    let config = world.client_with(Some((pair.0.clone(), pair.1.clone_key())));
    // Neither a prefix nor a longer number is meant.
    *world.revoked.lock().unwrap() =
        vec![vec![], serial[1..].to_vec(), [&serial[..], &[0]].concat()];
    Talk::with(&world, config.clone()).assert_established();
    world.revoked.lock().unwrap().push(serial);
    for today in [TODAY, UNSET] {
        world.today = today;
        Talk::with(&world, config.clone()).assert_refused(
            &TlsError::CertificateRevoked,
            AlertDescription::CertificateRevoked,
        );
    }
    world.today = TODAY;
    Talk::with(&world, world.client(&alpha())).assert_established();
    world.revoked.lock().unwrap().clear();
    Talk::with(&world, config).assert_established();
}

#[test]
fn dates_count_while_the_clock_is_set() {
    let mut world = World::new();
    let past = alpha().valid((2020, 1, 1), (2026, 6, 1));
    let future = alpha().valid((2028, 1, 1), (2030, 1, 1));
    Talk::with(&world, world.client(&past)).assert_refused(
        &TlsError::CertificateExpired {
            not_after: moment((2026, 6, 1)),
            clock: moment(TODAY),
        },
        AlertDescription::CertificateExpired,
    );
    Talk::with(&world, world.client(&future)).assert_refused(
        &TlsError::CertificateNotYetValid {
            not_before: moment((2028, 1, 1)),
            clock: moment(TODAY),
        },
        AlertDescription::CertificateExpired,
    );
    // The first moment that counts as set.
    world.today = (2026, 1, 1);
    assert_eq!(moment(world.today), CLOCK_FLOOR);
    let talk = Talk::with(&world, world.client(&future));
    assert!(talk.server_error.is_some());
    assert!(world.alarms().is_empty());
}

#[test]
fn an_unset_clock_forgives_dates_and_says_so() {
    let mut world = World::new();
    for (today, leaf, judged_at) in [
        (UNSET, alpha(), (2026, 1, 1)),
        ((2025, 12, 31), alpha(), (2026, 1, 1)),
        (
            UNSET,
            alpha().valid((2028, 1, 1), (2030, 1, 1)),
            (2028, 1, 1),
        ),
    ] {
        world.today = today;
        let mut talk = Talk::with(&world, world.client(&leaf));
        talk.assert_established();
        let alarm = UnsetClock {
            clock: moment(today),
            judged_at: moment(judged_at),
        };
        assert_eq!(world.alarms().last(), Some(&alarm));
        assert!(alarm.to_string().contains(&date(moment(today))));
    }
    assert_eq!(world.alarms().len(), 3);
}

#[test]
fn an_unset_clock_forgives_nothing_else() {
    let mut world = World::new();
    world.today = UNSET;
    let over = alpha().valid((2010, 1, 1), (2025, 1, 1));
    let talk = Talk::with(&world, world.client(&over));
    let expired = TlsError::CertificateExpired {
        not_after: moment((2025, 1, 1)),
        clock: CLOCK_FLOOR,
    };
    talk.assert_refused(&expired, AlertDescription::CertificateExpired);
    let foreign = world.client_with(Some(Ca::new().issue(&alpha())));
    Talk::with(&world, foreign)
        .assert_refused(&TlsError::ForeignCa, AlertDescription::CertificateUnknown);
    let self_signed = world.client_with(Some(alpha().self_signed()));
    Talk::with(&world, self_signed)
        .assert_refused(&TlsError::UnknownCa, AlertDescription::UnknownCa);
    let server_only = world.client(&alpha().purpose(Purpose::ServerAuth));
    Talk::with(&world, server_only).assert_refused(
        &TlsError::WrongPurpose,
        AlertDescription::UnsupportedCertificate,
    );
    Talk::with(&world, world.client_with(None)).assert_refused(
        &TlsError::NoCertificate,
        AlertDescription::CertificateRequired,
    );
    assert!(world.alarms().is_empty());
}

#[test]
fn our_client_checks_the_servers_name_ca_and_dates() {
    let mut world = World::new();
    world.server = Leaf::new(&["Qnetd Server", "other"]);
    let talk = Talk::with(&world, world.client(&alpha()));
    let Some(TlsError::CertificateRefused(words)) = talk.client_error else {
        panic!("{:?}", talk.client_error);
    };
    assert_eq!(
        words,
        "the server's certificate has CN \"other\", expected \"Qnetd Server\""
    );
    assert!(matches!(talk.server_error, Some(TlsError::PeerAlert(_))));

    world.server = Leaf::new(&["Qnetd Server"]);
    let stranger = client_config(ClientSettings {
        ca: vec![Ca::new().certificate],
        ..world.settings()
    });
    let talk = Talk::with(&world, stranger.unwrap());
    assert_eq!(talk.client_error, Some(TlsError::ForeignCa));

    world.server = Leaf::new(&["Qnetd Server"]).valid((2020, 1, 1), (2026, 6, 1));
    for (expired_server, accepted) in [
        (ExpiredServer::Refuse, false),
        (ExpiredServer::Accept, true),
    ] {
        let (certificate, key) = world.ca.issue(&alpha());
        let config = client_config(ClientSettings {
            identity: Some(Identity {
                chain: vec![certificate],
                key,
            }),
            expired_server,
            ..world.settings()
        });
        let mut talk = Talk::with(&world, config.unwrap());
        if accepted {
            talk.assert_established();
        } else {
            assert!(matches!(
                talk.client_error,
                Some(TlsError::CertificateExpired { .. })
            ));
        }
    }
}

#[test]
fn something_else_than_tls_is_named() {
    for foreign in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        // A clear PREINIT (protocol spec 5.1).
        b"\x00\x00\x00\x00\x00\x0d\x00\x01\x00\x05alpha",
    ] {
        let mut server = World::new().session();
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        let error = server.receive(foreign, &mut plain, &mut wire).unwrap_err();
        let first = foreign.get(..8).unwrap().into();
        assert_eq!(error, TlsError::NotTls { first });
        assert_eq!(wire.first(), Some(&21), "an alert is sent");
        let again = server.receive(b"more", &mut plain, &mut wire);
        assert_eq!(again, Err(error.clone()));
        assert!(error.to_string().contains("does not speak TLS"));
    }
}

#[test]
fn an_endless_handshake_message_is_refused() {
    let mut server = World::new().session();
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    // A ClientHello that claims 60,000 bytes, in records of 1,000.
    let mut record = vec![22, 3, 1, 0x03, 0xe8, 1, 0, 0xea, 0x60];
    record.resize(1005, 0);
    let mut sent = 0;
    let error = loop {
        match server.receive(&record, &mut plain, &mut wire) {
            Ok(_) => sent += record.len(),
            Err(error) => break error,
        }
        record[5..].fill(0);
        assert!(sent <= MAX_PENDING + 1005);
        assert!(server.pending_capacity() <= 2 * MAX_PENDING);
    };
    assert!(matches!(error, TlsError::TooMuchPending { .. }));
    assert_eq!(wire, [21, 3, 3, 0, 2, 2, 22]);
    assert_eq!(server.pending_capacity(), 0);
    let again = server.receive(&record, &mut plain, &mut wire);
    assert_eq!(again, Err(error.clone()));
    assert_eq!(server.send(b"x", &mut wire), Err(error));
}

#[test]
fn a_record_too_large_is_refused_at_its_header() {
    let mut server = World::new().session();
    let mut wire = Vec::new();
    let error = server.receive(&[22, 3, 1, 0x48, 0x01], &mut Vec::new(), &mut wire);
    assert!(matches!(error, Err(TlsError::Protocol(_))), "{error:?}");
    assert_eq!(server.pending_capacity(), 0);
}

#[test]
fn a_changed_record_is_detected() {
    let world = World::new();
    let mut talk = Talk::with(&world, world.client(&alpha()));
    let mut wire = Vec::new();
    talk.client.send(b"vote for me", &mut wire).unwrap();
    *wire.last_mut().unwrap() ^= 1;
    let mut alert = Vec::new();
    let error = talk.server.receive(&wire, &mut Vec::new(), &mut alert);
    assert_eq!(error, Err(TlsError::Tampered));
    let heard = talk
        .client
        .receive(&alert, &mut Vec::new(), &mut Vec::new());
    let bad_mac = TlsError::PeerAlert(AlertDescription::BadRecordMac);
    assert_eq!(heard, Err(bad_mac));
}

#[test]
fn unusable_identities_are_refused_at_the_start() {
    let ca = Ca::new();
    let build = |chain, key, client_ca| {
        server_config(ServerSettings {
            identity: Identity { chain, key },
            client_ca,
            client_certs: ClientCertMode::Required,
            clock: clock(TODAY),
            on_unset_clock: Arc::new(|_| ()),
            is_revoked: Arc::new(|_| false),
        })
    };
    let (certificate, key) = ca.issue(&Leaf::new(&["Qnetd Server"]));
    let (_, other_key) = ca.issue(&Leaf::new(&["Qnetd Server"]));
    let trusted = || vec![ca.certificate.clone()];
    let own = || vec![certificate.clone()];
    assert!(matches!(
        build(own(), key.clone_key(), vec![]),
        Err(TlsConfigError::NoCa(_))
    ));
    assert!(matches!(
        build(own(), key.clone_key(), vec![b"no DER".to_vec().into()]),
        Err(TlsConfigError::Ca(_))
    ));
    assert!(matches!(
        build(own(), other_key, trusted()),
        Err(TlsConfigError::Identity(_))
    ));
    assert!(matches!(
        build(vec![], key, trusted()),
        Err(TlsConfigError::Identity(_))
    ));
}

/// The first flight of a real client, to be damaged.
fn first_flight() -> Vec<u8> {
    let world = World::new();
    let mut wire = Vec::new();
    TlsClient::new(world.client(&alpha()), &mut wire).unwrap();
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_never_panics_and_never_grows(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..40),
        header in any::<bool>(),
    ) {
        let mut server = NOISE.with(World::session);
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        for mut piece in pieces {
            if let (true, [kind, major, ..]) = (header, piece.as_mut_slice()) {
                (*kind, *major) = (20 + *kind % 4, 3);
            }
            let _ = server.receive(&piece, &mut plain, &mut wire);
            prop_assert!(server.pending_capacity() <= 2 * (MAX_PENDING + 700));
            prop_assert!(plain.is_empty(), "noise became plaintext");
            prop_assert!(wire.len() < 4096);
        }
    }

    #[test]
    fn a_damaged_first_flight_never_panics(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        piece in 1usize..600,
    ) {
        let mut flight = first_flight();
        let at = at.index(flight.len());
        flight[at] = byte;
        let mut server = NOISE.with(World::session);
        let mut error = None;
        feed(&mut server, &flight, piece, &mut Vec::new(), &mut error);
        prop_assert!(server.state().handshaking);
    }

    #[test]
    fn noise_never_panics_a_client(noise in prop::collection::vec(any::<u8>(), 1..2000)) {
        let config = NOISE.with(|world| world.client_with(None));
        let mut wire = Vec::new();
        let mut client = TlsClient::new(config, &mut wire).unwrap();
        let mut plain = Vec::new();
        let _ = client.receive(&noise, &mut plain, &mut wire);
        prop_assert!(plain.is_empty(), "noise became plaintext");
        prop_assert!(client.state().handshaking);
    }
}

proptest! {
    // Each case is a whole handshake.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn damaged_records_never_become_plaintext(
        at in any::<prop::sample::Index>(),
        bit in 0u32..8,
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut talk = NOISE.with(|world| Talk::with(world, world.client(&alpha())));
        let mut wire = Vec::new();
        talk.client.send(b"vote for me", &mut wire).unwrap();
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        wire.extend(noise);
        let mut plain = Vec::new();
        let _ = talk.server.receive(&wire, &mut plain, &mut Vec::new());
        // The record's version is not authenticated and not looked at (RFC 8446, 5.1).
        prop_assert!(plain.is_empty() || (1..3).contains(&at), "byte {at}: {plain:?}");
        prop_assert!(talk.server.pending_capacity() <= MAX_PENDING);
    }
}

thread_local! {
    static NOISE: World = World::new();
}
