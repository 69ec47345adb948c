//! The private certificate authority: which certificates exist and what is in them.
//!
//! | certificate | subject | extensions |
//! | --- | --- | --- |
//! | CA | `CN=QNet CA` | basic constraints critical, CA, path length 0; key usage for signing certificates |
//! | server | `CN=Qnetd Server` | extended key usage: TLS server |
//! | cluster | `CN=` the cluster's name | extended key usage: TLS client |
//!
//! The server certificate has no subject alternative name: nodes compare `Qnetd Server`, which is
//! no host name, with the common name, and only do so while there is no DNS name beside it. The
//! extended key usages are the one difference from the reference, whose certificates have no
//! extensions: they keep a node's key from passing as the arbiter and the other way round. Stock
//! nodes and the stock daemon accept them (provisioning spec 3.3).
//!
//! Keys made here are of the kinds of [`KeyKind`]; NSS refuses Ed25519.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rsa::RsaPrivateKey;
use rsa::rand_core::OsRng;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::name::ClusterName;
use super::profile::{KeyKind, Profile, Years};

/// Common name of the CA.
pub const CA_NAME: &str = "QNet CA";

/// Common name of the server; every stock node compares with this text.
pub const SERVER_NAME: &str = "Qnetd Server";

/// 2026-01-01 00:00 UTC in seconds since 1970. A clock before this was never set: this program
/// did not exist then. Boards without a battery-backed clock start in 1970, or at the time of
/// their last shutdown.
pub const CLOCK_FLOOR: u64 = 1_767_225_600;

/// 2100-01-01 00:00 UTC in seconds since 1970. A clock beyond this is as plainly wrong as one
/// before [`CLOCK_FLOOR`].
pub const CLOCK_CEILING: u64 = 4_102_444_800;

/// As the reference.
const RSA_BITS: usize = 2048;

/// Certificates are valid from this long before they are made, because the clocks of the nodes
/// differ from ours.
pub(super) const BACKDATE: u64 = 24 * 60 * 60;

/// What can go wrong while certificates are made or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaError {
    /// The cryptographic library failed or refused a key.
    #[error("the certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A certificate on disk cannot be read.
    #[error("a certificate is damaged: {0}")]
    Damaged(String),
    /// Certificate and private key do not belong together.
    #[error("the private key does not belong to the certificate of `{subject}`")]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// A certificate is not signed by the CA beside it.
    #[error("the certificate of `{subject}` is not signed by the key of `{issuer}`")]
    OtherIssuer {
        /// The certificate's subject.
        subject: String,
        /// The subject of the one that should have signed it.
        issuer: String,
    },
    /// A certificate that does not allow its key to issue others.
    #[error("the certificate of `{subject}` is not a certificate authority's")]
    NotAnAuthority {
        /// The certificate's subject.
        subject: String,
    },
    /// The issuer's name would not be what the nodes know, byte for byte.
    #[error(
        "the CA's name `{subject}` is encoded in a way that cannot be repeated, \
         so that nodes would not recognize what this CA issues"
    )]
    Name {
        /// The CA's subject.
        subject: String,
    },
    /// An RSA key could not be made.
    #[error("the RSA key could not be made: {0}")]
    Rsa(String),
    /// The dates cannot be expressed.
    #[error("the certificate's dates cannot be calculated from the clock's time")]
    Dates,
}

/// A certificate as PEM, with plain line feeds.
pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    encode("CERTIFICATE", certificate)
}

/// Any object as PEM, with plain line feeds.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let plain = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), plain)
}

/// A certificate with its private key.
#[derive(Debug)]
pub struct KeyedCertificate {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: PrivatePkcs8KeyDer<'static>,
}

impl KeyedCertificate {
    /// Checks that the key is usable and belongs to the certificate.
    ///
    /// # Errors
    /// [`CaError::Damaged`], [`CaError::Make`] for a key that cannot be read, or
    /// [`CaError::KeyMismatch`].
    pub fn check(&self) -> Result<(), CaError> {
        let key = KeyPair::try_from(&self.key)?;
        let certificate = parse(&self.certificate)?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::KeyMismatch {
                subject: certificate.subject().to_string(),
            });
        }
        Ok(())
    }

    /// Checks that the CA's key signed this certificate.
    ///
    /// # Errors
    /// [`CaError::Damaged`] or [`CaError::OtherIssuer`].
    pub fn check_issued_by(&self, issuer: &CertificateDer<'_>) -> Result<(), CaError> {
        check_issued_by(&self.certificate, issuer)
    }
}

/// Checks that the CA's key signed a certificate.
pub(super) fn check_issued_by(
    certificate: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
) -> Result<(), CaError> {
    let certificate = parse(certificate)?;
    let issuer = parse(issuer)?;
    let named = certificate.issuer().as_raw() == issuer.subject().as_raw();
    let signed = certificate.verify_signature(Some(issuer.public_key()));
    if named && signed.is_ok() {
        Ok(())
    } else {
        Err(CaError::OtherIssuer {
            subject: certificate.subject().to_string(),
            issuer: issuer.subject().to_string(),
        })
    }
}

impl Clone for KeyedCertificate {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// Makes a key.
fn new_key(kind: KeyKind) -> Result<KeyPair, CaError> {
    match kind {
        KeyKind::P256 => Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?),
        KeyKind::Rsa2048 => {
            let failed = |error: &dyn std::fmt::Display| CaError::Rsa(error.to_string());
            let made = RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|error| failed(&error))?;
            let (modulus, exponent) = (made.n().clone(), made.e().clone());
            let (secret, primes) = (made.d().clone(), made.primes().to_vec());
            let document = super::rsa::to_pkcs8(modulus, exponent, secret, primes)
                .map_err(|error| failed(&error))?;
            Ok(KeyPair::try_from(&PrivatePkcs8KeyDer::from(
                document.as_bytes(),
            ))?)
        }
    }
}

/// The CA with its key, able to issue.
#[derive(Debug)]
pub struct Authority {
    keyed: KeyedCertificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new self-signed CA.
    ///
    /// # Errors
    /// [`CaError::Make`] or [`CaError::Dates`].
    pub fn generate(kind: KeyKind, serial: u64, now: SystemTime) -> Result<Self, CaError> {
        let key = new_key(kind)?;
        // Nodes cannot be given another CA without being joined again.
        let mut params = params(CA_NAME, serial, Years::REFERENCE, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Self::load(KeyedCertificate {
            certificate,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// Takes up an existing CA. Its name is kept byte for byte in what it issues; nodes compare
    /// it so (provisioning spec, trap T5).
    ///
    /// # Errors
    /// Those of [`KeyedCertificate::check`], and [`CaError::NotAnAuthority`].
    pub fn load(keyed: KeyedCertificate) -> Result<Self, CaError> {
        keyed.check()?;
        let certificate = parse(&keyed.certificate)?;
        if !certificate.is_ca() {
            return Err(CaError::NotAnAuthority {
                subject: certificate.subject().to_string(),
            });
        }
        let issuer = Issuer::from_ca_cert_der(&keyed.certificate, KeyPair::try_from(&keyed.key)?)?;
        Ok(Self { keyed, issuer })
    }

    /// The CA's certificate and key.
    #[must_use]
    pub fn keyed(&self) -> &KeyedCertificate {
        &self.keyed
    }

    /// What signs.
    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Makes the server's key and certificate.
    ///
    /// # Errors
    /// [`CaError::Make`], [`CaError::Rsa`], [`CaError::Name`] or [`CaError::Dates`].
    pub fn issue_server(
        &self,
        profile: Profile,
        serial: u64,
        now: SystemTime,
    ) -> Result<KeyedCertificate, CaError> {
        let key = new_key(profile.key)?;
        let mut params = params(SERVER_NAME, serial, profile.valid_for, now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(KeyedCertificate {
            certificate: self.issue(params, &key)?,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// Issues a cluster's certificate. Only the public key is taken from the request: the name is
    /// the one that the arbiter's administrator gave, and extensions that were asked for are left
    /// out.
    ///
    /// # Errors
    /// [`CaError::Make`], [`CaError::Name`] or [`CaError::Dates`].
    pub fn issue_cluster(
        &self,
        key: &SubjectPublicKeyInfo,
        name: &ClusterName,
        serial: u64,
        valid_for: Years,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, CaError> {
        let mut params = params(name.as_str(), serial, valid_for, now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, key)
    }

    fn issue(
        &self,
        params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CaError> {
        let issued = params.signed_by(key, &self.issuer)?.der().clone();
        let own = parse(&self.keyed.certificate)?;
        if parse(&issued)?.issuer().as_raw() == own.subject().as_raw() {
            Ok(issued)
        } else {
            Err(CaError::Name {
                subject: own.subject().to_string(),
            })
        }
    }
}

/// The serial number of a certificate, if it fits; those of the reference and ours are small.
pub(super) fn serial_of(certificate: &CertificateDer<'_>) -> Result<Option<u64>, CaError> {
    Ok(u64::try_from(&parse(certificate)?.serial).ok())
}

pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CaError> {
    let (rest, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| CaError::Damaged(error.to_string()))?;
    if rest.is_empty() {
        Ok(parsed)
    } else {
        Err(CaError::Damaged("bytes follow its end".to_owned()))
    }
}

/// What all our certificates have in common: `CN=name` and nothing else in the subject
/// (provisioning spec 1.2), number, dates, version 3.
fn params(
    name: &str,
    serial: u64,
    valid_for: Years,
    now: SystemTime,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, directory_string(name));
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(1970, 1, 1) + valid_from(now);
    let begin = params.not_before;
    let year = begin.year() + i32::from(valid_for.get());
    params.not_after = begin
        .replace_year(year)
        // Not every year has a 29th of February.
        .or_else(|_| begin.replace_day(28)?.replace_year(year))
        .map_err(|_| CaError::Dates)?;
    Ok(params)
}

/// The string type that NSS chooses too: printable where possible, except for question marks.
/// They are printable, but the library's writer takes them for a mistake of its caller, and ends
/// the process.
fn directory_string(name: &str) -> DnValue {
    match PrintableString::try_from(name) {
        Ok(printable) if !name.contains('?') => DnValue::PrintableString(printable),
        Ok(_) | Err(_) => DnValue::Utf8String(name.to_owned()),
    }
}

/// Start of the validity, as time since 1970.
///
/// With a clock that is plainly unset the dates start at [`CLOCK_FLOOR`]: a certificate from 1970
/// would have expired in 2070, and one from a random future would be refused until then.
fn valid_from(now: SystemTime) -> Duration {
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Duration::from_secs(if (CLOCK_FLOOR..CLOCK_CEILING).contains(&now) {
        now - BACKDATE
    } else {
        CLOCK_FLOOR
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// 2026-11-23 03:00 UTC.
    const NOW: u64 = 1_795_402_800;

    fn validity(ca: &Authority) -> (i64, i64) {
        let certificate = parse(&ca.keyed().certificate).unwrap();
        let validity = certificate.validity();
        (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        )
    }

    #[test]
    fn the_ca_has_the_profile_of_the_spec() {
        let ca = Authority::generate(KeyKind::P256, 101, at(NOW)).unwrap();
        let certificate = parse(&ca.keyed().certificate).unwrap();
        assert_eq!(certificate.version().0, 2, "2 encodes version 3");
        assert_eq!(certificate.subject().to_string(), "CN=QNet CA");
        assert_eq!(
            certificate.subject().as_raw(),
            certificate.issuer().as_raw()
        );
        assert_eq!(certificate.raw_serial(), [101]);
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert!(constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        certificate.verify_signature(None).unwrap();
    }

    #[test]
    fn the_server_certificate_has_no_alternative_name() {
        let ca = Authority::generate(KeyKind::P256, 101, at(NOW)).unwrap();
        let server = ca.issue_server(Profile::default(), 102, at(NOW)).unwrap();
        server.check().unwrap();
        let certificate = parse(&server.certificate).unwrap();
        let issuer = parse(&ca.keyed().certificate).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=Qnetd Server");
        assert_eq!(certificate.issuer().as_raw(), issuer.subject().as_raw());
        assert_eq!(certificate.raw_serial(), [102]);
        assert_eq!(certificate.subject_alternative_name().unwrap(), None);
        certificate
            .verify_signature(Some(issuer.public_key()))
            .unwrap();
    }

    #[test]
    fn validity_is_a_hundred_years_from_yesterday() {
        let ca = Authority::generate(KeyKind::P256, 101, at(NOW)).unwrap();
        // 2126-11-22 03:00 UTC.
        assert_eq!(validity(&ca), (1_795_316_400, 4_950_990_000));
        // RFC 5280: GeneralizedTime from 2050 on. Tag, length and text of the date.
        let generalized = b"\x18\x0f21261122030000Z";
        assert!(
            ca.keyed()
                .certificate
                .windows(generalized.len())
                .any(|window| window == generalized)
        );
    }

    #[test]
    fn validity_is_as_long_as_asked_for() {
        let ca = Authority::generate(KeyKind::P256, 101, at(NOW)).unwrap();
        for years in [1, 20, 100] {
            let profile = Profile {
                valid_for: Years::try_from(years).unwrap(),
                ..Profile::default()
            };
            let server = ca.issue_server(profile, 102, at(NOW)).unwrap();
            let validity = parse(&server.certificate).unwrap().validity().clone();
            let start = validity.not_before.to_datetime();
            let end = validity.not_after.to_datetime();
            assert_eq!(end.year() - start.year(), i32::from(years));
            assert_eq!(end.date().ordinal(), start.date().ordinal());
        }
    }

    #[test]
    fn an_unset_clock_does_not_get_into_the_certificates() {
        // 1970, the second before the floor, the ceiling, and the year 9999.
        for clock in [0, CLOCK_FLOOR - 1, CLOCK_CEILING, 253_402_300_799] {
            let ca = Authority::generate(KeyKind::P256, 101, at(clock)).unwrap();
            // 2026-01-01 to 2126-01-01.
            assert_eq!(validity(&ca), (1_767_225_600, 4_922_899_200), "{clock}");
        }
        let before_1970 = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(valid_from(before_1970), Duration::from_secs(CLOCK_FLOOR));
        assert_eq!(
            valid_from(at(CLOCK_FLOOR)),
            Duration::from_secs(CLOCK_FLOOR - BACKDATE)
        );
    }

    #[test]
    fn a_leap_day_keeps_its_date() {
        // 2028-03-01 12:00 UTC, so that the backdated start is February 29.
        let ca = Authority::generate(KeyKind::P256, 101, at(1_835_524_800)).unwrap();
        // 2028-02-29 12:00 to 2128-02-29 12:00.
        assert_eq!(validity(&ca), (1_835_438_400, 4_991_112_000));
    }

    #[test]
    fn a_leap_day_ends_on_the_28th_where_there_is_none() {
        let ca = Authority::generate(KeyKind::P256, 101, at(1_835_524_800)).unwrap();
        let years = Years::try_from(5).unwrap();
        let profile = Profile {
            key: KeyKind::P256,
            valid_for: years,
        };
        let server = ca.issue_server(profile, 102, at(1_835_524_800)).unwrap();
        let certificate = parse(&server.certificate).unwrap();
        // 2033-02-28 12:00.
        assert_eq!(certificate.validity().not_after.timestamp(), 1_993_204_800);
    }

    #[test]
    fn serial_numbers_beyond_one_byte_stay_positive() {
        for (serial, encoded) in [
            (127, &[0x7f][..]),
            (128, &[0x00, 0x80]),
            (256, &[0x01, 0x00]),
            (u64::MAX, &[0, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let ca = Authority::generate(KeyKind::P256, serial, at(NOW)).unwrap();
            let certificate = &ca.keyed().certificate;
            assert_eq!(parse(certificate).unwrap().raw_serial(), encoded);
            assert_eq!(serial_of(certificate).unwrap(), Some(serial));
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_noticed() {
        let ca = Authority::generate(KeyKind::P256, 101, at(NOW)).unwrap();
        let server = ca.issue_server(Profile::default(), 102, at(NOW)).unwrap();
        let mixed = KeyedCertificate {
            certificate: ca.keyed().certificate.clone(),
            key: server.key,
        };
        let error = Authority::load(mixed).unwrap_err();
        assert!(matches!(error, CaError::KeyMismatch { .. }), "{error}");
    }
}
