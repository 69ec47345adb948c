//! Identities that were made elsewhere, and certificates that are issued again.

use super::*;
use crate::pki::ca::{Authority, CaError, parse};

/// Puts an identity as the first version kept it into a directory.
fn former(path: &Path) -> ServerIdentity {
    let made = tempfile::tempdir().unwrap();
    let store = create(made.path());
    sign(&store, "old").unwrap();
    let ca = store.authority().unwrap();
    let block = |label: &str, der: &[u8]| ::pem::encode(&::pem::Pem::new(label, der));
    let text = format!(
        "# Server\n{}{}# CA\n{}{}",
        block("CERTIFICATE", &store.server().certificate),
        block("PRIVATE KEY", store.server().key.secret_pkcs8_der()),
        block("CERTIFICATE", &ca.certificate),
        block("PRIVATE KEY", ca.key.secret_pkcs8_der()),
    );
    fs::write(path.join(FORMER), text).unwrap();
    for file in [SERIAL, CA_EXPORT, "cluster-old.crt"] {
        fs::copy(made.path().join(file), path.join(file)).unwrap();
    }
    store.identity()
}

fn assert_same(one: &ServerIdentity, other: &ServerIdentity) {
    assert_eq!(one.chain, other.chain);
    assert_eq!(one.key.secret_pkcs8_der(), other.key.secret_pkcs8_der());
}

#[test]
fn the_first_version_s_file_is_read_and_not_changed_by_opening() {
    let around = tempfile::tempdir().unwrap();
    let identity = former(around.path());
    let before = names_in(around.path());
    assert_same(&Store::open(around.path()).unwrap().identity(), &identity);
    assert!(Store::exists(around.path()).unwrap());
    assert_eq!(names_in(around.path()), before);
}

#[test]
fn whatever_writes_makes_a_database_of_the_first_version_s_file() {
    let writers: [fn(&Path); 3] = [
        |path| assert_eq!(open_or_create(path).unwrap().1, Origin::Existing),
        |path| {
            assert_eq!(
                sign(&Store::open(path).unwrap(), "new").unwrap().serial,
                104
            )
        },
        |path| {
            let nickname = ServerNickname::default();
            Store::renew_server(path, &nickname, Profile::default(), now()).unwrap();
        },
    ];
    for (index, write) in writers.iter().enumerate() {
        let around = tempfile::tempdir().unwrap();
        let identity = former(around.path());
        let mode = fs::Permissions::from_mode(0o750);
        fs::set_permissions(around.path(), mode).unwrap();
        write(around.path());
        assert!(!around.path().join(FORMER).exists());
        assert_eq!(mode_of(around.path().join(KEYS)), 0o640);
        let store = Store::open(around.path()).unwrap();
        assert_eq!(store.identity().ca, identity.ca);
        if index < 2 {
            assert_same(&store.identity(), &identity);
        }
    }
}

#[test]
fn an_interrupted_conversion_is_finished_and_a_foreign_file_kept() {
    let around = tempfile::tempdir().unwrap();
    let identity = former(around.path());
    let text = fs::read(around.path().join(FORMER)).unwrap();
    open_or_create(around.path()).unwrap();
    fs::write(around.path().join(FORMER), text).unwrap();
    open_or_create(around.path()).unwrap();
    assert!(!around.path().join(FORMER).exists());

    former(around.path());
    let (store, _) = open_or_create(around.path()).unwrap();
    assert_same(&store.identity(), &identity);
    assert!(around.path().join(FORMER).exists());
}

#[test]
fn an_identity_is_made_of_a_ca_that_exists() {
    let from = tempfile::tempdir().unwrap();
    let store = create(from.path());
    let ca = store.authority().unwrap();
    let made = |server, last| {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("db");
        let profile = Profile::default();
        Store::create_from(
            &path,
            Access::Owner,
            ca.clone(),
            server,
            profile,
            last,
            now(),
        )
        .unwrap();
        let opened = Store::open(&path).unwrap();
        assert_eq!(opened.identity().ca, ca.certificate);
        let serial = serial_of(&opened.server().certificate).unwrap().unwrap();
        let signed = sign(&opened, "a").unwrap().serial;
        (opened, serial, signed)
    };
    let (opened, _, signed) = made(Some(store.server().clone()), Some(700));
    assert_same(&opened.identity(), &store.identity());
    assert_eq!(signed, 702);
    let (opened, serial, signed) = made(None, Some(700));
    assert_ne!(opened.server().certificate, store.server().certificate);
    assert_eq!((serial, signed), (701, 702));
    let (_, serial, signed) = made(None, None);
    assert_eq!((serial, signed), (10_102, 10_103));
}

#[test]
fn what_is_no_ca_makes_no_identity() {
    let from = tempfile::tempdir().unwrap();
    let store = create(from.path());
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("db");
    let make = |ca, server| {
        let profile = Profile::default();
        Store::create_from(&path, Access::Owner, ca, server, profile, None, now()).unwrap_err()
    };
    let error = make(store.server().clone(), None);
    assert!(
        matches!(error, StoreError::Ca(CaError::NotAnAuthority { .. })),
        "{error}"
    );
    let other = Authority::generate(KeyKind::P256, 101, now()).unwrap();
    let error = make(other.keyed().clone(), Some(store.server().clone()));
    assert!(
        matches!(error, StoreError::Ca(CaError::OtherIssuer { .. })),
        "{error}"
    );
    assert!(!path.exists());
}

#[test]
fn a_renewed_server_certificate_is_the_only_thing_that_changes() {
    for (key, keys_before) in [(KeyKind::P256, 2), (KeyKind::Rsa2048, 2)] {
        let around = tempfile::tempdir().unwrap();
        let store = create(around.path());
        let before = store.identity();
        let profile = Profile {
            key,
            valid_for: Years::try_from(1).unwrap(),
        };
        let nickname = ServerNickname::default();
        let renewed = Store::renew_server(around.path(), &nickname, profile, now()).unwrap();
        assert_eq!(renewed.serial, 103);
        let after = Store::open(around.path()).unwrap().identity();
        assert_eq!(after.ca, before.ca);
        assert_eq!(after.chain[0], renewed.der);
        assert_ne!(after.chain[0], before.chain[0]);
        assert_ne!(after.key.secret_pkcs8_der(), before.key.secret_pkcs8_der());
        let validity = parse(&renewed.der).unwrap().validity().clone();
        let days = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(days / 86_400, 365);
        let count = |file: &str, query: &str| -> i64 {
            let path = around.path().join(file);
            let opened = rusqlite::Connection::open(path).unwrap();
            opened.query_row(query, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(KEYS, "SELECT count(*) FROM nssPrivate"), keys_before);
        let codes = "SELECT count(DISTINCT substr(id, 9, 8)) FROM metaData \
                     WHERE id LIKE 'sig_key_%'";
        assert_eq!(count(KEYS, codes), keys_before);
        assert_eq!(count(CERTIFICATES, "SELECT count(*) FROM nssPublic"), 5);
    }
}

#[test]
fn another_nickname_chooses_another_server_certificate() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let other = ServerNickname::from("Other".to_owned());
    let error = Store::open_with(around.path(), other.clone()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`Other`"), "{text}");
    assert!(text.contains("`QNet CA`, `QNetd Cert`"), "{text}");
    let profile = Profile::default();
    let added = Store::renew_server(around.path(), &other, profile, now()).unwrap();
    let opened = Store::open_with(around.path(), other).unwrap();
    assert_eq!(opened.server().certificate, added.der);
    let usual = Store::open(around.path()).unwrap();
    assert_same(&usual.identity(), &store.identity());
}

#[test]
fn a_cluster_s_certificate_is_issued_again_for_its_key() {
    let around = tempfile::tempdir().unwrap();
    let store = create(around.path());
    let first = sign(&store, "a").unwrap();
    let again = store
        .reissue(&first.der, &name("a"), Years::DEFAULT, now())
        .unwrap();
    assert_eq!(again.serial, 104);
    assert_eq!(fs::read(&again.path).unwrap(), again.der.as_ref());
    let key = |der| parse(der).unwrap().public_key().raw.to_vec();
    assert_eq!(key(&again.der), key(&first.der));
    let foreign = tempfile::tempdir().unwrap();
    let foreign = sign(&create(foreign.path()), "a").unwrap();
    for (certificate, cluster, reason) in [
        (&first.der, "b", "it is for `CN=a`"),
        (&foreign.der, "a", "is not signed by"),
        (&CertificateDer::from(vec![0x30, 0]), "a", "damaged"),
    ] {
        let error = store
            .reissue(certificate, &name(cluster), Years::DEFAULT, now())
            .unwrap_err();
        assert!(matches!(error, StoreError::Reissue { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
