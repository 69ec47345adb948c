//! The encryption of NSS before 2019, written here from its description, so that ours, which only
//! reads it, is not compared with itself. NSS's own tool says whether it is right.

use std::path::Path;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockEncryptMut, KeyIvInit};
use des::TdesEde3;
use hmac::{Hmac, Mac};
use qarbiter::pki::Store;
use qarbiter::pki::nss::crypto::PassKey;
use rusqlite::{Connection, params};
use sha1::{Digest, Sha1};

use crate::databases::{assert_complete, assert_same_identity, sign};
use crate::sandbox::{Sandbox, Whose};

/// pbeWithSHA1And3-KeyTripleDES-CBC, encoded.
const OID: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x05\x01\x03";

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    Sha1::digest(parts.concat()).to_vec()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(&parts.concat());
    mac.finalize().into_bytes().to_vec()
}

/// A DER element.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut der = vec![tag];
    if length < 0x80 {
        der.push(length as u8);
    } else {
        der.push(0x82);
        der.extend_from_slice(&(length as u16).to_be_bytes());
    }
    der.extend_from_slice(contents);
    if (0x80..0x100).contains(&length) {
        // The shortest form is the only one allowed.
        der.splice(1..4, [0x81, length as u8]);
    }
    der
}

fn encrypt(global_salt: &[u8], entry_salt: &[u8], plain: &[u8]) -> Vec<u8> {
    let hashed = sha1(&[&sha1(&[global_salt]), entry_salt]);
    let mut padded = entry_salt.to_vec();
    padded.resize(20, 0);
    let first = hmac(&hashed, &[&padded, entry_salt]);
    let between = hmac(&hashed, &[&padded]);
    let second = hmac(&hashed, &[&between, entry_salt]);
    let key = [first, second].concat();
    let ciphertext = cbc::Encryptor::<TdesEde3>::new_from_slices(&key[..24], &key[32..])
        .unwrap()
        .encrypt_padded_vec_mut::<Pkcs7>(plain);
    let parameters = [element(4, entry_salt), element(2, &[1])].concat();
    let algorithm = [OID, &element(0x30, &parameters)].concat();
    let all = [element(0x30, &algorithm), element(4, &ciphertext)].concat();
    element(0x30, &all)
}

/// Encrypts all values of a database with an empty password again, in the old way.
fn age(database: &Path, salt_length: usize) -> usize {
    let keys = Connection::open(database).unwrap();
    let (global_salt, check): (Vec<u8>, Vec<u8>) = keys
        .query_row(
            "SELECT item1, item2 FROM metaData WHERE id = 'password'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let pass_key = PassKey::derive(&global_salt, b"");
    let again = |value: &[u8]| {
        let salt = sha1(&[value]);
        let plain = pass_key.decrypt(value).unwrap();
        encrypt(&global_salt, &salt[..salt_length], &plain)
    };
    keys.execute(
        "UPDATE metaData SET item2 = ?1 WHERE id = 'password'",
        [again(&check)],
    )
    .unwrap();
    let mut changed = 0;
    for column in ["a11", "a123", "a124", "a125", "a126", "a127", "a128"] {
        let query = format!("SELECT id, {column} FROM nssPrivate WHERE {column} IS NOT NULL");
        let rows: Vec<(i64, Vec<u8>)> = keys
            .prepare(&query)
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (id, value) in rows {
            let update = format!("UPDATE nssPrivate SET {column} = ?1 WHERE id = ?2");
            keys.execute(&update, params![again(&value), id]).unwrap();
            changed += 1;
        }
    }
    changed
}

#[test]
fn the_old_encryption_is_read() {
    for salt_length in [16, 20] {
        let sandbox = Sandbox::new(Whose::Theirs);
        sandbox.certutil(&["-i"]).ok();
        let before = Store::open(&sandbox.db()).unwrap();
        let changed = age(&sandbox.db().join("key4.db"), salt_length);
        assert_eq!(changed, 12, "six numbers of two keys");
        let after = Store::open(&sandbox.db()).unwrap();
        assert_eq!(
            after.server().key.secret_pkcs8_der(),
            before.server().key.secret_pkcs8_der()
        );
        // NSS agrees that this is how it was written.
        assert_complete(&sandbox);
        assert_same_identity(&sandbox);
        sign(&sandbox, Whose::Theirs, "Alpha", "67");
        sign(&sandbox, Whose::Ours, "Beta", "68");
    }
}
