//! Files that are not what they should be: an error that says what, or the right identity.

use super::*;
use crate::pki::ca::parse;

/// Copies an identity's two files into a directory.
fn copy(from: &Path, to: &Path) {
    for file in [CERTIFICATES, KEYS] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[test]
fn a_shortened_file_is_an_error_unless_nothing_of_it_is_needed() {
    let whole = tempfile::tempdir().unwrap();
    let identity = create(whole.path()).identity();
    let around = tempfile::tempdir().unwrap();
    for file in [CERTIFICATES, KEYS] {
        let contents = fs::read(whole.path().join(file)).unwrap();
        let short = (0..200).chain((200..contents.len()).step_by(997));
        for length in short {
            copy(whole.path(), around.path());
            fs::write(around.path().join(file), &contents[..length]).unwrap();
            match Store::open(around.path()) {
                Err(error) => assert!(error.to_string().contains(file), "{length}: {error}"),
                // Of the last page, only the end may be missing: SQLite fills pages from there.
                Ok(store) => {
                    assert!(length + 4096 > contents.len(), "{length}");
                    assert_eq!(store.identity().chain, identity.chain);
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_or_changes_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let identity = create(whole.path()).identity();
    let around = tempfile::tempdir().unwrap();
    let (mut errors, mut harmless) = (0, 0);
    for file in [CERTIFICATES, KEYS] {
        let contents = fs::read(whole.path().join(file)).unwrap();
        let written: Vec<_> = (0..contents.len())
            .filter(|&at| contents[at] != 0 || at < 128)
            .collect();
        for at in written.into_iter().step_by(13) {
            copy(whole.path(), around.path());
            let mut changed = contents.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(around.path().join(file), &changed).unwrap();
            match Store::open(around.path()) {
                Err(_) => errors += 1,
                Ok(store) => {
                    harmless += 1;
                    let found = store.identity();
                    // The frame around the signed part has bytes that mean the same either way.
                    let signed = |der| parse(der).unwrap().tbs_certificate.as_ref().to_vec();
                    assert_eq!(
                        signed(&found.chain[0]),
                        signed(&identity.chain[0]),
                        "{file} at {at}"
                    );
                    // The name of its own issuer means nothing in a CA that nodes know.
                    let essence = |ca| {
                        let ca = parse(ca).unwrap();
                        let key = ca.public_key().raw.to_vec();
                        (ca.subject().as_raw().to_vec(), key, ca.is_ca())
                    };
                    assert_eq!(essence(&found.ca), essence(&identity.ca), "{file} at {at}");
                    assert_eq!(
                        found.key.secret_pkcs8_der(),
                        identity.key.secret_pkcs8_der()
                    );
                }
            }
        }
    }
    assert!(errors > 50, "{errors} errors");
    assert!(harmless > 50, "{harmless} harmless");
}

#[test]
fn parts_of_different_identities_are_noticed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create(one.path());
    create(other.path());
    fs::copy(one.path().join(KEYS), other.path().join(KEYS)).unwrap();
    let error = Store::open(other.path()).unwrap_err();
    assert!(error.to_string().contains("no private key"), "{error}");
}

#[test]
fn a_foreign_sqlite_file_is_told_apart() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    for (file, table) in [(CERTIFICATES, "nssPublic"), (KEYS, "metaData")] {
        let path = around.path().join(file);
        let good = fs::read(&path).unwrap();
        for statements in [
            "CREATE TABLE other (id)".to_owned(),
            // A view that would never end.
            format!(
                "CREATE VIEW {table} AS WITH RECURSIVE n(a0) AS \
                 (SELECT 1 UNION ALL SELECT a0 + 1 FROM n) SELECT * FROM n"
            ),
        ] {
            fs::remove_file(&path).unwrap();
            let foreign = rusqlite::Connection::open(&path).unwrap();
            foreign.execute_batch(&statements).unwrap();
            drop(foreign);
            let error = Store::open(around.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("no table {table}")), "{error}");
        }
        fs::write(&path, good).unwrap();
    }
    Store::open(around.path()).unwrap();
}

#[test]
fn a_key_that_is_missing_is_said_to_be() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    fs::remove_file(around.path().join(KEYS)).unwrap();
    let error = Store::open(around.path()).unwrap_err();
    assert!(error.to_string().contains("key4.db"), "{error}");
}

#[test]
fn a_writer_is_waited_for() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    let writer = rusqlite::Connection::open(around.path().join(CERTIFICATES)).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| Store::open(around.path()));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!reader.is_finished());
        writer.execute_batch("COMMIT").unwrap();
        reader.join().unwrap().unwrap();
    });
}

#[test]
fn reading_works_where_nothing_can_be_written_and_leaves_no_trace() {
    let around = tempfile::tempdir().unwrap();
    create(around.path());
    let before = names_in(around.path());
    let stamp = crate::pki::Stamp::of(around.path()).unwrap();
    Store::open(around.path()).unwrap();
    assert_eq!(names_in(around.path()), before);
    assert_eq!(crate::pki::Stamp::of(around.path()).unwrap(), stamp);
}

#[test]
fn a_change_that_was_interrupted_is_not_read_past() {
    let (around, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    create(around.path());
    let writer = rusqlite::Connection::open(around.path().join(CERTIFICATES)).unwrap();
    writer
        .execute_batch("PRAGMA cache_size = 1; BEGIN")
        .unwrap();
    for number in 0..200 {
        // More than fits into memory, so that a part is in the file.
        let statement = "INSERT INTO nssPublic (id, a3) VALUES (?1, zeroblob(2000))";
        writer.execute(statement, [number]).unwrap();
    }
    // What the disk has when the machine stops here.
    for file in names_in(around.path()) {
        fs::copy(around.path().join(&file), crashed.path().join(&file)).unwrap();
    }
    assert!(crashed.path().join("cert9.db-journal").exists());
    let error = Store::open(crashed.path()).unwrap_err().to_string();
    assert!(error.contains("`certutil -L -X -d DIRECTORY`"), "{error}");
    drop(
        rusqlite::Connection::open(crashed.path().join(CERTIFICATES)).map(|mender| {
            let count = "SELECT count(*) FROM nssPublic";
            mender.query_row(count, [], |row| row.get::<_, i64>(0))
        }),
    );
    Store::open(crashed.path()).unwrap();
}
