mod damage;
mod takeover;

use super::serial::SERIAL;
use super::*;
use crate::pki::ca::serial_of;
use crate::pki::profile::{KeyKind, Years};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;

const CERTIFICATES: &str = "cert9.db";
const KEYS: &str = "key4.db";
const FILES: [&str; 8] = [
    ".qarbiter-lock",
    "cert9.db",
    "key4.db",
    "noise.txt",
    "pkcs11.txt",
    "pwdfile.txt",
    "qnetd-cacert.crt",
    "serial.txt",
];

fn create(path: &Path) -> Store {
    Store::create(path, Access::Owner, Profile::default(), now()).unwrap()
}

fn sign(store: &Store, cluster: &str) -> Result<SignedCluster, StoreError> {
    let request = request(cluster);
    store.sign(&request, &name(cluster), Years::DEFAULT, now())
}

fn open_or_create(path: &Path) -> Result<(Store, Origin), StoreError> {
    Store::open_or_create(path, ServerNickname::default(), Profile::default(), now())
}

/// 2026-11-23 03:00 UTC.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_402_800)
}

fn request(name: &str) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn name(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

fn names_in(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode_of(path: PathBuf) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_was_created_is_what_is_opened() {
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("db");
        let profile = Profile {
            key,
            ..Profile::default()
        };
        let created = Store::create(&path, Access::GroupWrite, profile, now()).unwrap();
        let opened = Store::open(&path).unwrap();
        let (one, other) = (created.identity(), opened.identity());
        assert_eq!(one.chain, other.chain);
        assert_eq!(one.ca, other.ca);
        assert_eq!(one.key.secret_pkcs8_der(), other.key.secret_pkcs8_der());
        assert_eq!(one.chain[1], one.ca);
        assert_eq!(serial_of(&one.ca).unwrap(), Some(101));
        assert_eq!(serial_of(&one.chain[0]).unwrap(), Some(102));
        assert_eq!(opened.authority().unwrap().certificate, one.ca);
        assert_eq!(names_in(&path), FILES);
        assert_eq!(fs::read(path.join(SERIAL)).unwrap(), b"102\n");
    }
}

#[test]
fn the_export_is_one_pem_block_with_plain_line_ends() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let text = fs::read_to_string(store.ca_path()).unwrap();
    assert!(!text.contains('\r'));
    assert_eq!(text.matches("-----BEGIN").count(), 1);
    assert_eq!(text.matches("\n-----BEGIN CERTIFICATE-----\n").count(), 1);
    assert!(text.ends_with("\n-----END CERTIFICATE-----\n"));
    let exported = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    assert_eq!(exported, store.identity().ca);
}

#[test]
fn modes_follow_the_access() {
    for (access, directory, files) in [
        (Access::Owner, 0o700, 0o600),
        (Access::GroupRead, 0o750, 0o640),
        (Access::GroupWrite, 0o770, 0o660),
    ] {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("db");
        let store = Store::create(&path, access, Profile::default(), now()).unwrap();
        let signed = sign(&store, "a").unwrap();
        Store::renew_server(&path, &ServerNickname::default(), Profile::default(), now()).unwrap();
        assert_eq!(mode_of(path.clone()), directory);
        for file in [
            CERTIFICATES,
            KEYS,
            SERIAL,
            PASSWORD,
            "noise.txt",
            "pkcs11.txt",
        ] {
            assert_eq!(mode_of(path.join(file)), files, "{file}");
        }
        assert_eq!(mode_of(path.join(CA_EXPORT)), 0o644);
        assert_eq!(mode_of(signed.path), 0o640);
    }
}

#[test]
fn a_second_identity_is_refused() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    let before = fs::read(around.path().join(CERTIFICATES)).unwrap();
    let again = Store::create(around.path(), Access::Owner, Profile::default(), now());
    let error = again.unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists(_)), "{error}");
    assert!(Store::exists(around.path()).unwrap());
    assert_eq!(fs::read(around.path().join(CERTIFICATES)).unwrap(), before);
}

#[test]
fn a_database_that_cannot_be_used_is_left_alone() {
    for (file, reason) in [("cert9.db", "key4.db"), ("cert8.db", "certutil -N -d sql:")] {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join(file), "").unwrap();
        assert!(Store::exists(around.path()).unwrap());
        let again = Store::create(around.path(), Access::Owner, Profile::default(), now());
        let error = again.unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists(_)), "{error}");
        let error = open_or_create(around.path()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(names_in(around.path()), [file]);
    }
}

#[test]
fn open_or_create_says_which_it_was() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("a/b");
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert!(!Store::exists(&path).unwrap());
    let (created, origin) = open_or_create(&path).unwrap();
    assert_eq!(origin, Origin::Created);
    let (opened, origin) = open_or_create(&path).unwrap();
    assert_eq!(origin, Origin::Existing);
    assert_eq!(created.identity().ca, opened.identity().ca);
    assert_eq!(mode_of(path), 0o700);
}

#[test]
fn what_an_interrupted_creation_left_is_replaced() {
    let around = tempfile::tempdir().unwrap();
    fs::write(around.path().join(CA_EXPORT), "of a CA that never was").unwrap();
    fs::write(around.path().join(SERIAL), "102\n").unwrap();
    fs::write(around.path().join(".qarbiter-new"), "half").unwrap();
    fs::write(around.path().join(KEYS), "of nobody").unwrap();
    let (store, origin) = open_or_create(around.path()).unwrap();
    assert_eq!(origin, Origin::Created);
    let exported = CertificateDer::from_pem_file(store.ca_path()).unwrap();
    assert_eq!(exported, store.identity().ca);
    assert_eq!(serial_of(&exported).unwrap(), Some(103), "never reused");
    assert!(!around.path().join(".qarbiter-new").exists());
    let aside = fs::read(around.path().join("key4.db.orphaned")).unwrap();
    assert_eq!(aside, b"of nobody", "keys are never lost");
}

#[test]
fn signing_counts_on_and_replaces_the_cluster_s_former_certificate() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    for (cluster, serial) in [("a", 103), ("b", 104), ("a", 105)] {
        let signed = sign(&store, cluster).unwrap();
        assert_eq!(signed.serial, serial);
        assert_eq!(serial_of(&signed.der).unwrap(), Some(serial));
        assert_eq!(
            signed.path,
            around.path().join(format!("cluster-{cluster}.crt"))
        );
        assert_eq!(fs::read(&signed.path).unwrap(), signed.der.as_ref());
    }
}

#[test]
fn refused_requests_change_nothing() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let before = names_in(around.path());
    assert_eq!(before, FILES);
    let error = store
        .sign(b"junk", &name("a"), Years::DEFAULT, now())
        .unwrap_err();
    assert!(matches!(error, StoreError::Request(_)), "{error}");
    for asked in ["b", "A", "a ", "a\0"] {
        let refused = store.sign(&request(asked), &name("a"), Years::DEFAULT, now());
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::OtherName { .. }), "{error}");
    }
    assert_eq!(names_in(around.path()), before);
    assert_eq!(fs::read(around.path().join(SERIAL)).unwrap(), b"102\n");
}

#[test]
fn serial_numbers_never_go_back() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let file = around.path().join(SERIAL);
    for (contents, serial) in [("7\n", 103), ("200", 201), (" 300 \n", 301)] {
        fs::write(&file, contents).unwrap();
        assert_eq!(sign(&store, "a").unwrap().serial, serial, "{contents:?}");
    }
    for contents in [
        "x",
        "-1",
        "0x70",
        "18446744073709551616",
        "18446744073709551615",
    ] {
        fs::write(&file, contents).unwrap();
        let error = sign(&store, "a").unwrap_err();
        assert!(matches!(error, StoreError::Serial { .. }), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), contents);
    }
}

#[test]
fn without_its_file_a_serial_number_leaves_room_for_those_that_are_unknown() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let file = around.path().join(SERIAL);
    fs::write(&file, "499\n").unwrap();
    sign(&store, "a").unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(sign(&store, "b").unwrap().serial, 10_501);
    fs::write(&file, "").unwrap();
    assert_eq!(sign(&store, "c").unwrap().serial, 20_502);
    assert_eq!(fs::read(&file).unwrap(), b"20502\n");
    // Neither a foreign number nor what is no certificate counts.
    fs::write(around.path().join("cluster-d.crt"), "").unwrap();
    fs::create_dir(around.path().join("cluster-e.crt")).unwrap();
    assert_eq!(sign(&store, "d").unwrap().serial, 20_503);
}

#[test]
fn a_certificate_of_another_cluster_is_not_replaced() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let signed = sign(&store, "Alpha").unwrap();
    // As on a volume that does not tell upper and lower case apart.
    fs::rename(&signed.path, around.path().join("cluster-alpha.crt")).unwrap();
    let error = sign(&store, "alpha").unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    assert!(
        error.to_string().contains("of the cluster `Alpha`"),
        "{error}"
    );
    let kept = fs::read(around.path().join("cluster-alpha.crt")).unwrap();
    assert_eq!(kept, signed.der.as_ref());
}

#[test]
fn processes_that_sign_together_get_different_numbers() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    let mut serials: Vec<_> = std::thread::scope(|scope| {
        let signers: Vec<_> = (0..8)
            .map(|number| {
                let path = around.path();
                scope.spawn(move || {
                    let store = Store::open(path).unwrap();
                    let cluster = format!("c{number}");
                    (0..5)
                        .map(|_| sign(&store, &cluster).unwrap().serial)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        signers
            .into_iter()
            .flat_map(|signer| signer.join().unwrap())
            .collect()
    });
    serials.sort_unstable();
    assert_eq!(serials, (103..143).collect::<Vec<_>>());
}

#[test]
fn of_processes_that_create_together_one_wins() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("db");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| open_or_create(&path).unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let created = outcomes
        .iter()
        .filter(|(_, origin)| *origin == Origin::Created);
    assert_eq!(created.count(), 1);
    let ca = Store::open(&path).unwrap().identity().ca;
    assert!(outcomes.iter().all(|(store, _)| store.identity().ca == ca));
}
