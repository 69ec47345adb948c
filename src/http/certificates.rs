//! The public facts of the arbiter's certificates.

use crate::net::live::TlsState;
use crate::net::server::Shared;
use crate::proto::v1;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The certificates in use, the server's first. Empty without TLS.
pub(super) fn list(shared: &Shared) -> Vec<v1::Certificate> {
    match &shared.live().tls {
        TlsState::Off | TlsState::Waiting => Vec::new(),
        TlsState::Ready { certificates, .. } => {
            let roles = std::iter::once("server").chain(std::iter::repeat("ca"));
            let with_roles = certificates.iter().zip(roles);
            with_roles
                .filter_map(|(certificate, role)| facts(certificate, role))
                .collect()
        }
    }
}

/// `None` for what can't be read; TLS would not have taken it into use.
pub(crate) fn facts(der: &CertificateDer<'_>, role: &str) -> Option<v1::Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(v1::Certificate {
        role: role.to_owned(),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: hex(certificate.raw_serial()),
        not_before_unix: certificate.validity().not_before.timestamp(),
        not_after_unix: certificate.validity().not_after.timestamp(),
        sha256: hex(&Sha256::digest(der)),
        key: key(&certificate),
    })
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size()),
        Ok(PublicKey::DSA(_)) => "DSA".to_owned(),
        _ => "other".to_owned(),
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
