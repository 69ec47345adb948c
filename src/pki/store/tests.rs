use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

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
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("db");
    let created = Store::create(&path, Access::GroupWrite, now()).unwrap();
    let opened = Store::open(&path).unwrap();
    let (one, other) = (created.identity(), opened.identity());
    assert_eq!(one.chain, other.chain);
    assert_eq!(one.ca, other.ca);
    assert_eq!(one.key, other.key);
    assert_eq!(one.chain[1], one.ca);
    assert_eq!(serial_of(&one.ca).unwrap(), Some(101));
    assert_eq!(serial_of(&one.chain[0]).unwrap(), Some(102));
    assert_eq!(
        names_in(&path),
        [
            ".qarbiter-lock",
            "qarbiter-identity.pem",
            "qnetd-cacert.crt",
            "serial.txt"
        ]
    );
    assert_eq!(fs::read(path.join(SERIAL)).unwrap(), b"102\n");
}

#[test]
fn the_export_is_one_pem_block_with_plain_line_ends() {
    let around = tempfile::tempdir().unwrap();
    let store = Store::create(around.path(), Access::Owner, now()).unwrap();
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
    for (access, directory, identity, serial) in [
        (Access::Owner, 0o700, 0o600, 0o600),
        (Access::GroupRead, 0o750, 0o640, 0o640),
        (Access::GroupWrite, 0o770, 0o640, 0o660),
    ] {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("db");
        let store = Store::create(&path, access, now()).unwrap();
        let signed = store.sign(&request("a"), &name("a"), now()).unwrap();
        assert_eq!(mode_of(path.clone()), directory);
        assert_eq!(mode_of(path.join(IDENTITY)), identity);
        assert_eq!(mode_of(path.join(SERIAL)), serial, "kept by signing");
        assert_eq!(mode_of(path.join(CA_EXPORT)), 0o644);
        assert_eq!(mode_of(signed.path), 0o640);
    }
}

#[test]
fn a_second_identity_is_refused() {
    let around = tempfile::tempdir().unwrap();
    Store::create(around.path(), Access::Owner, now()).unwrap();
    let before = fs::read(around.path().join(IDENTITY)).unwrap();
    let error = Store::create(around.path(), Access::Owner, now()).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists(_)), "{error}");
    assert!(Store::exists(around.path()).unwrap());
    assert_eq!(fs::read(around.path().join(IDENTITY)).unwrap(), before);
}

#[test]
fn a_database_of_the_reference_is_left_alone() {
    for file in NSS_DATABASES {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join(file), "").unwrap();
        assert!(Store::exists(around.path()).unwrap());
        let error = Store::create(around.path(), Access::Owner, now()).unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists(_)), "{error}");
        let error = Store::open_or_create(around.path(), now()).unwrap_err();
        assert!(matches!(error, StoreError::NssDatabase(_)), "{error}");
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
    let (created, origin) = Store::open_or_create(&path, now()).unwrap();
    assert_eq!(origin, Origin::Created);
    let (opened, origin) = Store::open_or_create(&path, now()).unwrap();
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
    let (store, origin) = Store::open_or_create(around.path(), now()).unwrap();
    assert_eq!(origin, Origin::Created);
    let exported = CertificateDer::from_pem_file(store.ca_path()).unwrap();
    assert_eq!(exported, store.identity().ca);
    assert_eq!(serial_of(&exported).unwrap(), Some(103), "never reused");
    assert!(!around.path().join(".qarbiter-new").exists());
}

#[test]
fn signing_counts_on_and_replaces_the_cluster_s_former_certificate() {
    let around = tempfile::tempdir().unwrap();
    let store = Store::create(around.path(), Access::Owner, now()).unwrap();
    for (cluster, serial) in [("a", 103), ("b", 104), ("a", 105)] {
        let signed = store
            .sign(&request(cluster), &name(cluster), now())
            .unwrap();
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
    let store = Store::create(around.path(), Access::Owner, now()).unwrap();
    let before = names_in(around.path());
    assert_eq!(before.len(), 4);
    let error = store.sign(b"junk", &name("a"), now()).unwrap_err();
    assert!(matches!(error, StoreError::Request(_)), "{error}");
    for asked in ["b", "A", "a ", "a\0"] {
        let error = store.sign(&request(asked), &name("a"), now()).unwrap_err();
        assert!(matches!(error, StoreError::OtherName { .. }), "{error}");
    }
    assert_eq!(names_in(around.path()), before);
    assert_eq!(fs::read(around.path().join(SERIAL)).unwrap(), b"102\n");
}

#[test]
fn serial_numbers_never_go_back() {
    let around = tempfile::tempdir().unwrap();
    let store = Store::create(around.path(), Access::Owner, now()).unwrap();
    let file = around.path().join(SERIAL);
    let sign = || store.sign(&request("a"), &name("a"), now());
    for (contents, serial) in [("7\n", 103), ("200", 201), (" 300 \n", 301)] {
        fs::write(&file, contents).unwrap();
        assert_eq!(sign().unwrap().serial, serial, "{contents:?}");
    }
    for contents in [
        "",
        "x",
        "-1",
        "0x70",
        "18446744073709551616",
        "18446744073709551615",
    ] {
        fs::write(&file, contents).unwrap();
        let error = sign().unwrap_err();
        assert!(matches!(error, StoreError::Serial { .. }), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), contents);
    }
    fs::remove_file(&file).unwrap();
    let error = sign().unwrap_err();
    assert!(
        error.to_string().contains("serial.txt is missing"),
        "{error}"
    );
    assert!(!file.exists());
}

#[test]
fn damage_to_the_identity_is_noticed() {
    let around = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    Store::create(around.path(), Access::Owner, now()).unwrap();
    Store::create(other.path(), Access::Owner, now()).unwrap();
    let file = around.path().join(IDENTITY);
    let good = fs::read_to_string(&file).unwrap();
    let foreign = fs::read_to_string(other.path().join(IDENTITY)).unwrap();
    let title = "# CA certificate and key";
    let (server, ca) = good.split_once(title).unwrap();
    let (_, foreign_ca) = foreign.split_once(title).unwrap();
    for (damaged, reason) in [
        (String::new(), "two certificates"),
        (server.to_owned(), "two certificates"),
        (format!("{good}{ca}"), "two certificates"),
        (good.replace("BEGIN PRIVATE", "BEGIN PUBLIC"), ""),
        (format!("{ca}{server}"), "not signed by"),
        (format!("{server}{foreign_ca}"), "not signed by"),
        (good.replacen("MI", "MJ", 1), ""),
    ] {
        fs::write(&file, &damaged).unwrap();
        let error = Store::open(around.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    fs::write(&file, &good).unwrap();
    Store::open(around.path()).unwrap();
}

#[test]
fn processes_that_sign_together_get_different_numbers() {
    let around = tempfile::tempdir().unwrap();
    Store::create(around.path(), Access::Owner, now()).unwrap();
    let mut serials: Vec<_> = std::thread::scope(|scope| {
        let signers: Vec<_> = (0..8)
            .map(|number| {
                let path = around.path();
                scope.spawn(move || {
                    let store = Store::open(path).unwrap();
                    let cluster = format!("c{number}");
                    (0..5)
                        .map(|_| {
                            store
                                .sign(&request(&cluster), &name(&cluster), now())
                                .unwrap()
                                .serial
                        })
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
            .map(|_| scope.spawn(|| Store::open_or_create(&path, now()).unwrap()))
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
