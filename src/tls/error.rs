//! What went wrong on a TLS connection, in the words of an operator.

use std::error::Error as _;

use rustls::error::{
    AlertDescription, ApiMisuse, CertificateError, Error, PeerIncompatible, PeerMisbehaved,
};
use rustls::pki_types::UnixTime;

use super::policy::{ChainFault, date};

/// How many of the first bytes are kept to show what a peer speaks instead of TLS.
pub(super) const OPENING_BYTES: usize = 8;

/// Why a TLS connection ended. Fatal for the connection, whatever the variant, except for
/// [`TlsError::NotEstablished`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The peer speaks something else.
    #[error(
        "the peer does not speak TLS (its first bytes are{}); check that TLS is on at both ends \
         and that nothing else uses this port", hex(.first)
    )]
    NotTls {
        /// The first bytes that it sent, at most 8.
        first: Box<[u8]>,
    },
    /// The peer sent more of an unfinished record or handshake message than any honest one holds.
    #[error(
        "the peer sent {pending} bytes of an unfinished TLS message; at most {limit} are kept. \
         A certificate chain this long is not accepted"
    )]
    TooMuchPending {
        /// The bytes that could not be used so far.
        pending: usize,
        /// The most that is kept, in bytes.
        limit: usize,
    },
    /// A certificate is required and the peer has shown none.
    #[error(
        "the peer presented no certificate and one is required; import a certificate of this \
         server's CA on that node (corosync-qdevice-net-certutil), or do not require them (-c off)"
    )]
    NoCertificate,
    /// The peer's certificate is no longer valid.
    #[error(
        "the peer's certificate expired on {} (the clock here shows {}); issue a new one, or set \
         the clock if it is wrong", date(*.not_after), date(*.clock)
    )]
    CertificateExpired {
        /// When it ended.
        not_after: UnixTime,
        /// The moment at which it was judged.
        clock: UnixTime,
    },
    /// The peer's certificate is not yet valid.
    #[error(
        "the peer's certificate is valid only from {} on (the clock here shows {}); check the \
         clocks of this machine and of the one that issued it", date(*.not_before), date(*.clock)
    )]
    CertificateNotYetValid {
        /// When it begins.
        not_before: UnixTime,
        /// The moment at which it was judged.
        clock: UnixTime,
    },
    /// The peer's certificate was revoked here.
    #[error(
        "the peer's certificate was revoked on this arbiter (qarbiter certs revoke), so it is \
         refused until its cluster has a new one; `qarbiter certs list` shows since when"
    )]
    CertificateRevoked,
    /// The peer's certificate comes from a CA that is not trusted here.
    #[error(
        "the peer's certificate is signed by an unknown CA; it must be issued by this server's \
         own CA (corosync-qnetd-certutil -s)"
    )]
    UnknownCa,
    /// The certificate names a trusted CA as its issuer, but that CA's key did not sign it.
    #[error(
        "the peer's certificate names a CA that is trusted here, but is not signed with that CA's \
         key: it comes from another CA of the same name, perhaps an earlier one. Issue it again \
         (corosync-qnetd-certutil -s)"
    )]
    ForeignCa,
    /// The handshake's signature does not fit the certificate's key.
    #[error(
        "the peer did not prove that it owns the key of its certificate: the key belongs to \
         another certificate, or is an RSA key of fewer than 2048 bits, which is not accepted. \
         Make a new key and certificate for it"
    )]
    KeyNotProven,
    /// The certificate may not be used in this role.
    #[error(
        "the peer's certificate is restricted to another purpose (extended key usage); issue it \
         for TLS client authentication on clients and TLS server authentication on servers"
    )]
    WrongPurpose,
    /// Another fault of the certificate.
    #[error("the peer's certificate is refused: {0}")]
    CertificateRefused(String),
    /// The peer speaks only TLS versions that are not safe.
    #[error("the peer offers no TLS version from 1.2 on; update it or its crypto policy")]
    OldVersion,
    /// The peer and we have no cipher, group or signature in common.
    #[error(
        "the peer and this side have no TLS parameters in common ({0:?}); check the crypto policy \
         of the peer"
    )]
    NothingInCommon(PeerIncompatible),
    /// The peer ended the connection with an alert: it does not accept what we sent.
    #[error("the peer gave up: it reports that it {0}")]
    PeerAlert(AlertDescription),
    /// A record cannot be decrypted: damaged or forged on the way.
    #[error("a record from the peer cannot be decrypted: it was changed on the way, or forged")]
    Tampered,
    /// Data cannot be sent: the handshake has not finished, or the connection is closed.
    #[error("nothing can be sent on a TLS connection that is not established")]
    NotEstablished,
    /// The peer broke another rule of TLS, or the library failed.
    #[error("TLS failed: {0}")]
    Protocol(Error),
}

impl TlsError {
    /// Finds the words for an error of the library. `opening` holds the first bytes of the
    /// connection if none of them has been understood so far.
    pub(super) fn explain(error: Error, opening: &[u8]) -> Self {
        if is_foreign(opening) && matches!(error, Error::InvalidMessage(_)) {
            return Self::NotTls {
                first: opening.into(),
            };
        }
        match error {
            Error::InvalidCertificate(fault) => Self::explain_certificate(fault),
            Error::PeerMisbehaved(PeerMisbehaved::NoCertificatesPresented) => Self::NoCertificate,
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // TLS 1.2 introduced this extension; older clients fail here first.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            ) => Self::OldVersion,
            Error::PeerIncompatible(why) => Self::NothingInCommon(why),
            Error::AlertReceived(alert) => Self::PeerAlert(alert),
            Error::DecryptError => Self::Tampered,
            Error::HandshakeNotComplete
            | Error::ApiMisuse(
                ApiMisuse::WriteBeforeHandshakeComplete | ApiMisuse::WriteAfterSendPathClosed,
            ) => Self::NotEstablished,
            other => Self::Protocol(other),
        }
    }

    fn explain_certificate(fault: CertificateError) -> Self {
        match fault {
            CertificateError::ExpiredContext { time, not_after } => Self::CertificateExpired {
                not_after,
                clock: time,
            },
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::CertificateNotYetValid {
                    not_before,
                    clock: time,
                }
            }
            CertificateError::UnknownIssuer => Self::UnknownCa,
            CertificateError::BadSignature => Self::KeyNotProven,
            CertificateError::Revoked => Self::CertificateRevoked,
            CertificateError::InvalidPurpose => Self::WrongPurpose,
            CertificateError::Other(reason) => match reason.source().map(|e| e.downcast_ref()) {
                Some(Some(ChainFault::ForeignCa)) => Self::ForeignCa,
                _ => Self::CertificateRefused(reason.to_string()),
            },
            other => Self::CertificateRefused(other.to_string()),
        }
    }
}

/// A TLS record begins with its type, 20 to 23, and the major version 3 (RFC 8446, 5.1).
fn is_foreign(opening: &[u8]) -> bool {
    match opening {
        [] => false,
        [kind, major, ..] => !(20..=23).contains(kind) || *major != 3,
        [kind] => !(20..=23).contains(kind),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(" {byte:02x}")).collect()
}
