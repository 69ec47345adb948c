//! Client certificates, made here: one key for all, one certificate per cluster.

use crate::{Failure, KeyKind};
use qarbiter::tls::config::client_config;
use qarbiter::tls::{ClientSettings, Identity};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SerialNumber,
};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Far above what the tools hand out; NSS refuses a number that it has seen.
static SERIAL: AtomicU64 = AtomicU64::new(1_000_000);

/// The server's CA and the key that all clients share.
pub(crate) struct Issuer {
    ca: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, KeyPair>,
    key: KeyPair,
}

impl Issuer {
    /// From PEM text whose last certificate and last key are the CA's.
    pub(crate) fn new(pem: &str, kind: KeyKind) -> Result<Self, Failure> {
        let ca = CertificateDer::pem_slice_iter(pem.as_bytes()).last();
        let ca = ca.ok_or("there is no CA certificate to make client certificates with")??;
        let key = PrivatePkcs8KeyDer::pem_slice_iter(pem.as_bytes()).last();
        let key = key.ok_or("there is no CA key to make client certificates with")??;
        let key = KeyPair::try_from(&key)?;
        Ok(Self {
            issuer: rcgen::Issuer::from_ca_cert_der(&ca, key)?,
            ca,
            key: new_key(kind)?,
        })
    }

    /// The TLS configuration for the nodes of a cluster.
    pub(crate) fn client(&self, cluster: &str) -> Result<Arc<ClientConfig>, Failure> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cluster);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let identity = Identity {
            chain: vec![certificate.der().clone(), self.ca.clone()],
            key: PrivatePkcs8KeyDer::from(self.key.serialize_der()).into(),
        };
        Ok(client_config(ClientSettings {
            identity: Some(identity),
            ..ClientSettings::new(vec![self.ca.clone()])
        })?)
    }
}

fn new_key(kind: KeyKind) -> Result<KeyPair, Failure> {
    match kind {
        KeyKind::P256 => Ok(KeyPair::generate()?),
        KeyKind::Rsa2048 => {
            let made = Command::new("openssl")
                .args(["genpkey", "-quiet", "-algorithm", "RSA"])
                .args(["-pkeyopt", "rsa_keygen_bits:2048"])
                .output()
                .map_err(|error| format!("openssl is needed to make RSA keys: {error}"))?;
            if !made.status.success() {
                let said = String::from_utf8_lossy(&made.stderr);
                return Err(format!("openssl made no RSA key: {said}").into());
            }
            Ok(KeyPair::from_pem(&String::from_utf8(made.stdout)?)?)
        }
    }
}
