//! Which certificate chains are trusted, and at which moment they are judged.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerIdentity, ServerVerifier};
use rustls::crypto::{Identity, SignatureScheme, VerifiedIdentity};
use rustls::error::{ApiMisuse, CertificateError, Error, OtherError};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientIdentity, ClientVerifier, SignatureVerificationInput};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use webpki::{EndEntityCert, ExtendedKeyUsage, ExtendedKeyUsageValidator};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::names::{CertificateNames, UnreadableCertificate, serial_number, shown};

/// No clock that shows less than this has been set: 2026-01-01T00:00:00Z, before this release was
/// made. Seconds since 1970.
pub const CLOCK_FLOOR: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

/// The system's wall clock. A clock before 1970 reads as 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl TimeProvider for SystemClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since.unwrap_or_default()))
    }
}

/// The clock was plainly unset when a client's certificate was judged, so its dates were judged at
/// another moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsetClock {
    /// What the clock showed.
    pub clock: UnixTime,
    /// The moment at which the certificate was judged instead.
    pub judged_at: UnixTime,
}

impl fmt::Display for UnsetClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this machine's clock shows {}, before this program was made, so it is not set; \
             certificate dates are not checked against it (judged as of {}) until it is. \
             Set the clock (NTP, or a real-time clock)",
            date(self.clock),
            date(self.judged_at)
        )
    }
}

/// Called for every client certificate accepted while the clock was unset; the callee decides how
/// often to say so.
pub type OnUnsetClock = Arc<dyn Fn(UnsetClock) + Send + Sync>;

/// Whether the certificate of a serial number was revoked. The number is big-endian and without
/// leading zeros; zero is no byte at all. Asked once for every client certificate that is valid
/// otherwise, in the middle of a handshake: the callee answers from memory.
pub type IsRevoked = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Trusts client certificates of our CA (protocol spec 6.4, "client certificate rules").
///
/// While the clock is unset only the dates are forgiven, never signature, chain or purpose: the
/// whole check runs at a moment at which the certificate is valid, and a certificate that ended
/// before [`CLOCK_FLOOR`] is expired whatever the clock shows.
pub(super) struct ClientPolicy {
    roots: Arc<RootCertStore>,
    signatures: WebPkiClientVerifier,
    on_unset_clock: OnUnsetClock,
    is_revoked: IsRevoked,
}

impl ClientPolicy {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        on_unset_clock: OnUnsetClock,
        is_revoked: IsRevoked,
    ) -> Result<Self, VerifierBuilderError> {
        let provider = rustls_ring::DEFAULT_PROVIDER;
        let signatures = WebPkiClientVerifier::builder(roots.clone(), &provider).build()?;
        Ok(Self {
            roots,
            signatures,
            on_unset_clock,
            is_revoked,
        })
    }
}

impl ClientVerifier for ClientPolicy {
    fn verify_identity<'a>(
        &self,
        presented: &ClientIdentity<'a, '_>,
    ) -> Result<VerifiedIdentity<'a>, Error> {
        let chain = Chain::of(presented.identity)?;
        let clock = presented.now;
        let judged_at = if clock < CLOCK_FLOOR {
            chain.earliest_moment().max(CLOCK_FLOOR)
        } else {
            clock
        };
        chain.verify(&self.roots, judged_at, &ExtendedKeyUsage::client_auth())?;
        let serial = serial_number(chain.end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if (self.is_revoked)(&serial) {
            return Err(CertificateError::Revoked.into());
        }
        if judged_at != clock {
            (self.on_unset_clock)(UnsetClock { clock, judged_at });
        }
        chain.into_verified()
    }

    fn verify_tls12_signature(
        &self,
        input: &SignatureVerificationInput<'_>,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(input)
    }

    fn verify_tls13_signature(
        &self,
        input: &SignatureVerificationInput<'_>,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(input)
    }

    fn root_hint_subjects(&self) -> Arc<[rustls::DistinguishedName]> {
        self.signatures.root_hint_subjects()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPolicy").finish_non_exhaustive()
    }
}

/// What our client does about a server certificate whose time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExpiredServer {
    /// Refuse it.
    #[default]
    Refuse,
    /// Accept it, as the stock client does with a warning (protocol spec 6.6).
    Accept,
}

/// Trusts a server of our CA whose certificate carries the expected name, by the name rules of
/// protocol spec 6.5 and not by host name (protocol spec 6.6).
#[derive(Debug)]
pub(super) struct ServerPolicy {
    roots: Arc<RootCertStore>,
    signatures: WebPkiServerVerifier,
    name: Box<[u8]>,
    expired: ExpiredServer,
}

impl ServerPolicy {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        name: Box<[u8]>,
        expired: ExpiredServer,
    ) -> Result<Self, VerifierBuilderError> {
        let provider = rustls_ring::DEFAULT_PROVIDER;
        let signatures = WebPkiServerVerifier::builder(roots.clone(), &provider).build()?;
        Ok(Self {
            roots,
            signatures,
            name,
            expired,
        })
    }
}

impl ServerVerifier for ServerPolicy {
    fn verify_identity<'a>(
        &self,
        presented: &ServerIdentity<'a, '_>,
    ) -> Result<VerifiedIdentity<'a>, Error> {
        let chain = Chain::of(presented.identity)?;
        let usage = ExtendedKeyUsage::server_auth();
        match chain.verify(&self.roots, presented.now, &usage) {
            Err(CertificateError::ExpiredContext { not_after, .. })
                if self.expired == ExpiredServer::Accept =>
            {
                chain.verify(&self.roots, not_after, &usage)?;
            }
            outcome => outcome?,
        }
        let names = CertificateNames::of(chain.end_entity).map_err(refused)?;
        if !names.contain(&self.name) {
            return Err(refused(OtherServer {
                presented: names,
                expected: self.name.clone(),
            }));
        }
        chain.into_verified()
    }

    fn verify_tls12_signature(
        &self,
        input: &SignatureVerificationInput<'_>,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(input)
    }

    fn verify_tls13_signature(
        &self,
        input: &SignatureVerificationInput<'_>,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(input)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }

    fn request_ocsp_response(&self) -> bool {
        false
    }

    fn hash_config(&self, h: &mut dyn Hasher) {
        self.signatures.hash_config(h);
        h.write(&self.name);
        h.write_u8(u8::from(self.expired == ExpiredServer::Accept));
    }
}

/// The server is one of our CA's, but not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the server's certificate has {presented}, expected {}", shown(.expected))]
struct OtherServer {
    presented: CertificateNames,
    expected: Box<[u8]>,
}

/// A presented chain: the peer's own certificate and what it sent along.
struct Chain<'a, 'b> {
    end_entity: &'b CertificateDer<'a>,
    others: &'b [CertificateDer<'a>],
}

impl<'a, 'b> Chain<'a, 'b> {
    fn of(identity: &'b Identity<'a>) -> Result<Self, Error> {
        match identity {
            Identity::X509(chain) => Ok(Self {
                end_entity: &chain.end_entity,
                others: &chain.intermediates,
            }),
            _ => Err(ApiMisuse::UnverifiableCertificateType.into()),
        }
    }

    fn verify(
        &self,
        roots: &RootCertStore,
        at: UnixTime,
        usage: &dyn ExtendedKeyUsageValidator,
    ) -> Result<(), CertificateError> {
        EndEntityCert::try_from(self.end_entity)
            .and_then(|end_entity| {
                end_entity
                    .verify_for_usage(
                        rustls_ring::ALL_VERIFICATION_ALGS,
                        &roots.roots,
                        self.others,
                        at,
                        usage,
                        None,
                        None,
                    )
                    .map(drop)
            })
            .map_err(|error| match chain_error(error) {
                CertificateError::UnknownIssuer if self.names_issuer_of(roots) => {
                    CertificateError::Other(OtherError::new(ChainFault::ForeignCa))
                }
                other => other,
            })
    }

    /// Whether the issuer's name reads like that of a trusted CA. All private CAs of the reference
    /// have the same name, so a certificate of another one usually looks like this.
    fn names_issuer_of(&self, roots: &RootCertStore) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(self.end_entity) else {
            return false;
        };
        let issuer = certificate.issuer().to_string();
        roots.subjects().iter().any(|subject| {
            X509Name::from_der(subject.as_ref()).is_ok_and(|(_, name)| name.to_string() == issuer)
        })
    }

    /// The first moment at which every presented certificate has begun; 1970 if none is readable,
    /// in which case the chain check fails anyway.
    fn earliest_moment(&self) -> UnixTime {
        let begins = std::iter::once(self.end_entity)
            .chain(self.others)
            .filter_map(|der| {
                let (_, certificate) = X509Certificate::from_der(der).ok()?;
                u64::try_from(certificate.validity().not_before.timestamp()).ok()
            });
        UnixTime::since_unix_epoch(Duration::from_secs(begins.max().unwrap_or_default()))
    }

    /// Keeps only the peer's own certificate: what it sent along has served its purpose and would
    /// occupy memory for the life of the connection.
    fn into_verified(self) -> Result<VerifiedIdentity<'a>, Error> {
        let identity = Identity::from_cert_chain(vec![self.end_entity.clone()])?;
        Ok(VerifiedIdentity::assertion(identity))
    }
}

/// What is wrong with a chain, where rustls has no fitting error of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChainFault {
    #[error("it is not signed with the key of the CA that it names")]
    ForeignCa,
    #[error("it is a CA's own certificate; use one that the CA issued for the cluster")]
    IsCa,
    #[error("it has an outdated form (not X.509 version 3); issue it again")]
    OldForm,
    #[error("its signature algorithm is not accepted ({0:?}); issue it again with SHA-256")]
    Signature(webpki::Error),
    #[error("its chain of issuers breaks a rule ({0:?}); issue it again")]
    Rule(webpki::Error),
}

/// The errors that have words of their own later, and the alert that fits each.
fn chain_error(error: webpki::Error) -> CertificateError {
    use webpki::Error as E;
    let fault = match error {
        E::CertExpired { time, not_after } => {
            return CertificateError::ExpiredContext { time, not_after };
        }
        E::CertNotValidYet { time, not_before } => {
            return CertificateError::NotValidYetContext { time, not_before };
        }
        E::UnknownIssuer => return CertificateError::UnknownIssuer,
        E::RequiredEkuNotFound(_) => return CertificateError::InvalidPurpose,
        E::BadDer | E::BadDerTime | E::TrailingData(_) => return CertificateError::BadEncoding,
        E::InvalidSignatureForPublicKey => ChainFault::ForeignCa,
        E::CaUsedAsEndEntity => ChainFault::IsCa,
        E::UnsupportedCertVersion => ChainFault::OldForm,
        E::UnsupportedSignatureAlgorithm(_) => ChainFault::Signature(error),
        other => ChainFault::Rule(other),
    };
    CertificateError::Other(OtherError::new(fault))
}

trait Refusal: std::error::Error + Send + Sync + 'static {}
impl Refusal for OtherServer {}
impl Refusal for UnreadableCertificate {}

fn refused(reason: impl Refusal) -> Error {
    CertificateError::Other(OtherError::new(reason)).into()
}

/// A moment as text, in UTC.
pub(super) fn date(moment: UnixTime) -> String {
    i64::try_from(moment.as_secs())
        .ok()
        .and_then(|seconds| x509_parser::time::ASN1Time::from_timestamp(seconds).ok())
        .map(|time| {
            let t = time.to_datetime();
            let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
            let (hour, minute, second) = t.to_hms();
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
        })
        .unwrap_or_else(|| format!("{} seconds after 1970", moment.as_secs()))
}
