//! New and changed databases (provisioning spec 7.6).

use der::Encode;
use der::asn1::OctetStringRef;
use md5::Md5;
use rusqlite::types::Value;
use rustls::pki_types::CertificateDer;
use sha1::{Digest, Sha1};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::crypto::{PassKey, random};
use super::error::NssError;
use super::file::{Image, Opened};
use super::key::{Numbers, id_of};
use super::mac;
use super::read::PASSWORD_CHECK;
use super::rows::{blob, execute, insert, key_objects, new_object, set_meta};
use super::schema::{
    self, CERTIFICATES, EMPTY, KEYS, PRIVATE, PUBLIC, attribute as a, class, column, key_type,
    trust,
};
use crate::pki::ca::KeyedCertificate;

const YES: &[u8] = &[1];
const NO: &[u8] = &[0];

/// What a certificate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pki) enum Role {
    /// Issue certificates of servers and clients: `CT` in certutil's words.
    Authority,
    /// Nothing by itself: it counts because it was issued by an authority.
    Server,
}

/// A certificate with its key, to be stored under a name.
#[derive(Debug, Clone, Copy)]
pub(in crate::pki) struct Entry<'a> {
    pub(in crate::pki) nickname: &'a str,
    pub(in crate::pki) keyed: &'a KeyedCertificate,
    pub(in crate::pki) role: Role,
}

/// Both files of a database.
#[derive(Debug)]
pub(in crate::pki) struct Images {
    pub(in crate::pki) certificates: Image,
    pub(in crate::pki) keys: Image,
}

/// Makes a database without a password.
pub(in crate::pki) fn create(entries: &[Entry<'_>]) -> Result<Images, NssError> {
    let certificates = Opened::empty(CERTIFICATES)?;
    certificates.run(&schema::objects(PUBLIC))?;
    let keys = Opened::empty(KEYS)?;
    keys.run(&schema::objects(PRIVATE))?;
    keys.run(schema::META)?;
    let salt: [u8; 20] = random();
    let pass_key = PassKey::derive(&salt, b"");
    set_meta(
        &keys,
        "password",
        &salt,
        Some(pass_key.encrypt(PASSWORD_CHECK)?),
    )?;
    for entry in entries {
        let public = reserve_public_key(&certificates)?;
        add_key(&keys, &pass_key, entry.keyed, public)?;
        add_certificate(&certificates, entry, public)?;
        if entry.role == Role::Authority {
            add_trust(&certificates, &keys, &pass_key, &entry.keyed.certificate)?;
        }
    }
    Ok(Images {
        certificates: certificates.image()?,
        keys: keys.image()?,
    })
}

/// The number that the public key of a new certificate will have. It is needed before the
/// certificate is written, because the codes for the public key are in the file with the keys.
#[derive(Debug, Clone, Copy)]
pub(in crate::pki) struct PublicKeyObject(u32);

/// Chooses such a number.
pub(in crate::pki) fn reserve_public_key(
    certificates: &Opened,
) -> Result<PublicKeyObject, NssError> {
    new_object(certificates, PUBLIC).map(PublicKeyObject)
}

/// Puts a certificate in the place of all those of the same name. `former` are the certificates
/// whose public keys are of no use any more.
pub(in crate::pki) fn replace_certificate(
    certificates: &Opened,
    entry: &Entry<'_>,
    former: &[CertificateDer<'_>],
    public: PublicKeyObject,
) -> Result<(), NssError> {
    let delete = |kind: &[u8], attribute, value: &[u8]| {
        let statement = format!(
            "DELETE FROM {PUBLIC} WHERE {} = ?1 AND {} = ?2",
            column(a::CLASS),
            column(attribute),
        );
        execute(certificates, &statement, [blob(kind), blob(value)])
    };
    delete(class::CERTIFICATE, a::LABEL, entry.nickname.as_bytes())?;
    for certificate in former {
        delete(class::PUBLIC_KEY, a::ID, &id_of(certificate)?)?;
    }
    add_certificate(certificates, entry, public)
}

/// Stores a private key, unless it is there, and the codes for its public key.
pub(in crate::pki) fn add_key(
    keys: &Opened,
    pass_key: &PassKey,
    keyed: &KeyedCertificate,
    public: PublicKeyObject,
) -> Result<(), NssError> {
    let id = id_of(&keyed.certificate)?;
    if !key_objects(keys, &id)?.is_empty() {
        return Ok(());
    }
    let numbers = Numbers::of(&keyed.key, &keyed.certificate)?;
    let object = new_object(keys, PRIVATE)?;
    let (rsa, ec) = match numbers {
        Numbers::Rsa { .. } => (YES, NO),
        Numbers::Ec { .. } => (NO, YES),
    };
    let mut row = vec![
        (a::CLASS, class::PRIVATE_KEY.to_vec()),
        (a::TOKEN, YES.to_vec()),
        (a::PRIVATE, YES.to_vec()),
        (a::LABEL, EMPTY.to_vec()),
        (a::SUBJECT, EMPTY.to_vec()),
        (a::ID, id.to_vec()),
        (a::SENSITIVE, YES.to_vec()),
        (a::DECRYPT, rsa.to_vec()),
        (a::UNWRAP, rsa.to_vec()),
        (a::SIGN, YES.to_vec()),
        (a::SIGN_RECOVER, rsa.to_vec()),
        (a::DERIVE, ec.to_vec()),
        (a::START_DATE, EMPTY.to_vec()),
        (a::END_DATE, EMPTY.to_vec()),
        (a::EXTRACTABLE, YES.to_vec()),
        (a::LOCAL, NO.to_vec()),
        (a::NEVER_EXTRACTABLE, NO.to_vec()),
        (a::ALWAYS_SENSITIVE, YES.to_vec()),
        (a::MODIFIABLE, YES.to_vec()),
        (a::NSS_DB, numbers.public().to_vec()),
    ];
    // The code of an encrypted attribute covers no object's number.
    let sign = |covered_object, attribute, value: &[u8]| {
        let code = mac::seal(pass_key, covered_object, attribute, value)?;
        set_meta(keys, &code_name("key", object, attribute), &code, None)
    };
    match &numbers {
        Numbers::Rsa {
            modulus,
            public_exponent,
            secrets,
        } => {
            row.push((a::KEY_TYPE, key_type::RSA.to_vec()));
            for (attribute, value) in [(a::MODULUS, modulus), (a::PUBLIC_EXPONENT, public_exponent)]
            {
                let code = mac::seal(pass_key, public.0, attribute, value)?;
                set_meta(keys, &code_name("cert", public.0, attribute), &code, None)?;
                sign(object, attribute, value)?;
                row.push((attribute, value.clone()));
            }
            for (attribute, value) in secrets {
                sign(0, *attribute, value)?;
                row.push((*attribute, pass_key.encrypt(value)?));
            }
        }
        Numbers::Ec {
            curve,
            point: _,
            scalar,
        } => {
            row.push((a::KEY_TYPE, key_type::EC.to_vec()));
            row.push((a::EC_PARAMETERS, curve.clone()));
            sign(0, a::VALUE, scalar)?;
            row.push((a::VALUE, pass_key.encrypt(scalar)?));
        }
    }
    insert(keys, PRIVATE, object, row)
}

/// Removes the keys of certificates that are no longer there.
pub(in crate::pki) fn remove_keys(
    keys: &Opened,
    former: &[CertificateDer<'_>],
) -> Result<(), NssError> {
    for certificate in former {
        for object in key_objects(keys, &id_of(certificate)?)? {
            let statement = format!("DELETE FROM {PRIVATE} WHERE id = ?1");
            execute(keys, &statement, [Value::Integer(object.into())])?;
            let codes = format!("sig_key_{object:08x}_*");
            let statement = "DELETE FROM metaData WHERE id GLOB ?1";
            execute(keys, statement, [Value::Text(codes)])?;
        }
    }
    Ok(())
}

fn add_certificate(
    certificates: &Opened,
    entry: &Entry<'_>,
    public: PublicKeyObject,
) -> Result<(), NssError> {
    add_public_key(certificates, entry.keyed, public)?;
    let der = &entry.keyed.certificate;
    let names = Names::of(der)?;
    let object = new_object(certificates, PUBLIC)?;
    let row = vec![
        (a::CLASS, class::CERTIFICATE.to_vec()),
        (a::TOKEN, YES.to_vec()),
        (a::PRIVATE, NO.to_vec()),
        (a::LABEL, entry.nickname.as_bytes().to_vec()),
        (a::VALUE, der.to_vec()),
        (a::CERTIFICATE_TYPE, vec![0; 4]),
        (a::ISSUER, names.issuer),
        (a::SERIAL, names.serial),
        (a::SUBJECT, names.subject),
        (a::ID, id_of(der)?.to_vec()),
        (a::MODIFIABLE, YES.to_vec()),
    ];
    insert(certificates, PUBLIC, object, row)
}

/// Stores a public key. By it, NSS sees that it has a certificate's private key while that is not
/// accessible, because the password was not given yet.
fn add_public_key(
    certificates: &Opened,
    keyed: &KeyedCertificate,
    PublicKeyObject(object): PublicKeyObject,
) -> Result<(), NssError> {
    let numbers = Numbers::of(&keyed.key, &keyed.certificate)?;
    let (rsa, ec) = match numbers {
        Numbers::Rsa { .. } => (YES, NO),
        Numbers::Ec { .. } => (NO, YES),
    };
    let mut row = vec![
        (a::CLASS, class::PUBLIC_KEY.to_vec()),
        (a::TOKEN, YES.to_vec()),
        (a::PRIVATE, NO.to_vec()),
        (a::LABEL, EMPTY.to_vec()),
        (a::SUBJECT, EMPTY.to_vec()),
        (a::ID, id_of(&keyed.certificate)?.to_vec()),
        (a::ENCRYPT, rsa.to_vec()),
        (a::WRAP, rsa.to_vec()),
        (a::VERIFY, YES.to_vec()),
        (a::VERIFY_RECOVER, rsa.to_vec()),
        (a::DERIVE, ec.to_vec()),
        (a::START_DATE, EMPTY.to_vec()),
        (a::END_DATE, EMPTY.to_vec()),
        (a::LOCAL, NO.to_vec()),
        (a::NEVER_EXTRACTABLE, YES.to_vec()),
        (a::MODIFIABLE, YES.to_vec()),
    ];
    match numbers {
        Numbers::Rsa {
            modulus,
            public_exponent,
            secrets: _,
        } => row.extend([
            (a::KEY_TYPE, key_type::RSA.to_vec()),
            (a::MODULUS, modulus),
            (a::PUBLIC_EXPONENT, public_exponent),
        ]),
        Numbers::Ec {
            curve,
            point,
            scalar: _,
        } => row.extend([
            (a::KEY_TYPE, key_type::EC.to_vec()),
            (a::EC_PARAMETERS, curve),
            (a::EC_POINT, octet_string(&point)?),
        ]),
    }
    insert(certificates, PUBLIC, object, row)
}

/// The DER of a string of bytes.
fn octet_string(bytes: &[u8]) -> Result<Vec<u8>, NssError> {
    OctetStringRef::new(bytes)
        .and_then(|string| string.to_der())
        .map_err(|error| NssError::damaged(CERTIFICATES, error))
}

fn add_trust(
    certificates: &Opened,
    keys: &Opened,
    pass_key: &PassKey,
    der: &CertificateDer<'_>,
) -> Result<(), NssError> {
    let names = Names::of(der)?;
    let object = new_object(certificates, PUBLIC)?;
    let covered = vec![
        (a::TRUST_SERVER_AUTH, trust::DELEGATOR.to_vec()),
        (a::TRUST_CLIENT_AUTH, trust::DELEGATOR.to_vec()),
        (a::TRUST_CODE_SIGNING, trust::MUST_VERIFY.to_vec()),
        (a::TRUST_EMAIL, trust::MUST_VERIFY.to_vec()),
        (a::TRUST_STEP_UP, NO.to_vec()),
        (a::CERTIFICATE_SHA1, Sha1::digest(der).to_vec()),
        (a::CERTIFICATE_MD5, Md5::digest(der).to_vec()),
    ];
    for (attribute, value) in &covered {
        let code = mac::seal(pass_key, object, *attribute, value)?;
        set_meta(keys, &code_name("cert", object, *attribute), &code, None)?;
    }
    let mut row = vec![
        (a::CLASS, class::TRUST.to_vec()),
        (a::TOKEN, YES.to_vec()),
        (a::PRIVATE, NO.to_vec()),
        (a::LABEL, EMPTY.to_vec()),
        (a::ISSUER, names.issuer),
        (a::SERIAL, names.serial),
        (a::MODIFIABLE, YES.to_vec()),
    ];
    row.extend(covered);
    insert(certificates, PUBLIC, object, row)
}

/// The encoded parts of a certificate by which NSS looks it up.
struct Names {
    issuer: Vec<u8>,
    serial: Vec<u8>,
    subject: Vec<u8>,
}

impl Names {
    fn of(der: &CertificateDer<'_>) -> Result<Self, NssError> {
        let damaged = |reason: &dyn std::fmt::Display| {
            NssError::damaged(
                CERTIFICATES,
                format_args!("a certificate is damaged ({reason})"),
            )
        };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| damaged(&error))?;
        let number = certificate.raw_serial();
        // Longer ones are not allowed in certificates (RFC 5280, 4.1.2.2) and need a longer frame.
        let length = u8::try_from(number.len())
            .ok()
            .filter(|length| *length < 0x80)
            .ok_or_else(|| damaged(&"its serial number is too long"))?;
        Ok(Self {
            issuer: certificate.issuer().as_raw().to_vec(),
            serial: [&[0x02, length], number].concat(),
            subject: certificate.subject().as_raw().to_vec(),
        })
    }
}

fn code_name(kind: &str, object: u32, attribute: u32) -> String {
    format!("sig_{kind}_{object:08x}_{attribute:08x}")
}
