//! What is in a database (provisioning spec 7.2 and 7.4).

use rusqlite::OptionalExtension;
use rusqlite::types::{Value, ValueRef};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::crypto::PassKey;
use super::error::NssError;
use super::file::Opened;
use super::key::Numbers;
use super::schema::{self, EMPTY, PRIVATE, PUBLIC, attribute as a, class, column, key_type};

/// What the check value decrypts to with the right password.
pub(super) const PASSWORD_CHECK: &[u8] = b"password-check";

/// Most objects that are read. A stock database has five and two.
const MAX_OBJECTS: usize = 10_000;

/// A certificate and the name that it has in the database.
#[derive(Debug)]
pub(in crate::pki) struct Certificate {
    pub(in crate::pki) nickname: String,
    pub(in crate::pki) der: CertificateDer<'static>,
    key_id: Vec<u8>,
}

impl Certificate {
    /// What joins it to its key.
    pub(in crate::pki) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// Start of the validity in seconds since 1970; the certificate may be damaged.
    fn not_before(&self) -> Option<i64> {
        let (_, parsed) = X509Certificate::from_der(&self.der).ok()?;
        Some(parsed.validity().not_before.timestamp())
    }
}

/// A private key's row. Secret values are still encrypted.
#[derive(Debug)]
struct KeyRow {
    id: Vec<u8>,
    kind: Vec<u8>,
    values: Vec<(u32, Vec<u8>)>,
}

impl KeyRow {
    fn value(&self, attribute: u32) -> Result<&[u8], NssError> {
        self.values
            .iter()
            .find(|(number, _)| *number == attribute)
            .map(|(_, value)| value.as_slice())
            .ok_or_else(|| {
                let reason = format!("a private key lacks its attribute {attribute:x}");
                NssError::damaged(schema::KEYS, reason)
            })
    }
}

/// The contents of a database.
#[derive(Debug)]
pub(in crate::pki) struct Database {
    pass_key: PassKey,
    certificates: Vec<Certificate>,
    keys: Vec<KeyRow>,
}

impl Database {
    /// Reads both files. The empty password is tried before `password`.
    pub(in crate::pki) fn read(
        certificates: &Opened,
        keys: &Opened,
        password: Option<&[u8]>,
    ) -> Result<Self, NssError> {
        Ok(Self {
            pass_key: unlock(keys, password)?,
            certificates: read_certificates(certificates)?,
            keys: read_keys(keys)?,
        })
    }

    /// What encrypts new values.
    pub(in crate::pki) fn pass_key(&self) -> &PassKey {
        &self.pass_key
    }

    /// All certificates.
    pub(in crate::pki) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate of a name. Of several, one that has a key counts more, and then the one
    /// that is valid from the latest moment on (provisioning spec 7.4).
    pub(in crate::pki) fn certificate(&self, nickname: &str) -> Result<&Certificate, NssError> {
        self.certificates
            .iter()
            .filter(|certificate| certificate.nickname == nickname)
            .max_by_key(|certificate| {
                let has_key = self.key_row(certificate).is_some();
                (has_key, certificate.not_before())
            })
            .ok_or_else(|| {
                let present: Vec<_> = self
                    .certificates
                    .iter()
                    .map(|certificate| format!("`{}`", certificate.nickname.escape_debug()))
                    .collect();
                NssError::NoCertificate {
                    wanted: nickname.to_owned(),
                    present: if present.is_empty() {
                        "none".to_owned()
                    } else {
                        present.join(", ")
                    },
                }
            })
    }

    fn key_row(&self, certificate: &Certificate) -> Option<&KeyRow> {
        self.keys.iter().find(|key| key.id == certificate.key_id)
    }

    /// Decrypts a certificate's private key. Whether the two belong together is not checked.
    pub(in crate::pki) fn private_key(
        &self,
        certificate: &Certificate,
    ) -> Result<PrivatePkcs8KeyDer<'static>, NssError> {
        let row = self
            .key_row(certificate)
            .ok_or_else(|| NssError::NoKey(certificate.nickname.clone()))?;
        let secret = |attribute| -> Result<Zeroizing<Vec<u8>>, NssError> {
            self.pass_key.decrypt(row.value(attribute)?)
        };
        match row.kind.as_slice() {
            key_type::RSA => Numbers::rsa_to_pkcs8(
                row.value(a::MODULUS)?,
                row.value(a::PUBLIC_EXPONENT)?,
                &secret(a::PRIVATE_EXPONENT)?,
                [&secret(a::PRIME_1)?, &secret(a::PRIME_2)?],
            ),
            key_type::EC => Numbers::ec_to_pkcs8(
                row.value(a::EC_PARAMETERS)?,
                &secret(a::VALUE)?,
                &certificate.der,
            ),
            _ => Err(NssError::UnsupportedKey("neither RSA nor EC".to_owned())),
        }
    }
}

fn unlock(keys: &Opened, password: Option<&[u8]>) -> Result<PassKey, NssError> {
    keys.demand_table("metaData")?;
    let row = keys
        .connection()
        .query_row(
            "SELECT item1, item2 FROM metaData WHERE id = 'password'",
            [],
            |row| Ok((bytes(row.get_ref(0)?), bytes(row.get_ref(1)?))),
        )
        .optional()
        .map_err(|error| NssError::sqlite(keys.file(), error))?;
    let Some((Some(salt), Some(check))) = row else {
        let reason = "it was never given a password, not even the empty one";
        return Err(NssError::damaged(keys.file(), reason));
    };
    let mut malformed = None;
    for candidate in [Some(b"".as_slice()), password].into_iter().flatten() {
        let key = PassKey::derive(&salt, candidate);
        match key.decrypt(&check) {
            Ok(plain) if *plain == PASSWORD_CHECK => return Ok(key),
            // With a wrong password the value is other text, or none at all.
            Ok(_) => {}
            Err(error @ NssError::Iterations(_)) => malformed = Some(error),
            Err(_) => {}
        }
    }
    Err(malformed.unwrap_or(NssError::Password))
}

/// The values of some columns of all objects of a class.
fn objects(
    opened: &Opened,
    table: &str,
    class: &[u8],
    attributes: &[u32],
) -> Result<Vec<Vec<Option<Vec<u8>>>>, NssError> {
    opened.demand_table(table)?;
    let failed = |error| NssError::sqlite(opened.file(), error);
    let columns: Vec<_> = attributes.iter().copied().map(column).collect();
    let mut statement = opened
        .connection()
        .prepare(&format!(
            "SELECT {} FROM {table} WHERE {} = ?1 LIMIT {MAX_OBJECTS}",
            columns.join(", "),
            column(a::CLASS),
        ))
        .map_err(failed)?;
    statement
        .query_map([Value::Blob(class.to_vec())], |row| {
            (0..attributes.len())
                .map(|index| Ok(bytes(row.get_ref(index)?)))
                .collect::<Result<Vec<_>, _>>()
        })
        .and_then(Iterator::collect)
        .map_err(failed)
}

/// A value as NSS writes it. Other types are not its own, and as good as absent.
fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Blob(EMPTY) => Some(Vec::new()),
        ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn read_certificates(opened: &Opened) -> Result<Vec<Certificate>, NssError> {
    let rows = objects(
        opened,
        PUBLIC,
        class::CERTIFICATE,
        &[a::LABEL, a::VALUE, a::ID],
    )?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let [label, value, id] = <[_; 3]>::try_from(row).ok()?;
            Some(Certificate {
                nickname: String::from_utf8(label?).ok()?,
                der: CertificateDer::from(value?),
                key_id: id.unwrap_or_default(),
            })
        })
        .collect())
}

fn read_keys(opened: &Opened) -> Result<Vec<KeyRow>, NssError> {
    const NUMBERS: [u32; 7] = [
        a::MODULUS,
        a::PUBLIC_EXPONENT,
        a::PRIVATE_EXPONENT,
        a::PRIME_1,
        a::PRIME_2,
        a::EC_PARAMETERS,
        a::VALUE,
    ];
    let attributes = [&[a::ID, a::KEY_TYPE], NUMBERS.as_slice()].concat();
    let rows = objects(opened, PRIVATE, class::PRIVATE_KEY, &attributes)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let mut row = row.into_iter();
            Some(KeyRow {
                id: row.next()??,
                kind: row.next()??,
                values: NUMBERS
                    .into_iter()
                    .zip(row)
                    .filter_map(|(attribute, value)| Some((attribute, value?)))
                    .collect(),
            })
        })
        .collect())
}
