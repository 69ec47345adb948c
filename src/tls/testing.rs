//! Certificates and clocks for the tests. Also included by the integration tests and the bench, so
//! it names nothing of this crate.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;

pub type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);
pub type Day = (i32, u8, u8);

static SERIAL: AtomicU64 = AtomicU64::new(1000);

/// A clock that stands still.
#[derive(Debug)]
pub struct FixedClock(pub UnixTime);

impl TimeProvider for FixedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

pub fn moment((year, month, day): Day) -> UnixTime {
    let seconds = date_time_ymd(year, month, day).unix_timestamp();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

pub fn clock(day: Day) -> Arc<dyn TimeProvider> {
    Arc::new(FixedClock(moment(day)))
}

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
}

impl Ca {
    /// All private CAs of this world have the same name (provisioning: "CN=QNet CA").
    pub fn new() -> Self {
        Self::named("QNet CA")
    }

    pub fn named(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    pub fn with_key(name: &str, key: KeyPair) -> Self {
        let params = Leaf::new(&[name]).authority().params();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub fn issue(&self, leaf: &Leaf) -> Pair {
        self.issue_for(leaf, &KeyPair::generate().unwrap())
    }

    pub fn issue_for(&self, leaf: &Leaf, key: &KeyPair) -> Pair {
        let certificate = leaf.params().signed_by(key, &self.issuer).unwrap();
        (certificate.der().clone(), private(key))
    }

    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

/// What a certificate shall say.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub common_names: Vec<String>,
    pub alternative: Vec<SanType>,
    pub purpose: Option<ExtendedKeyUsagePurpose>,
    pub from: Day,
    pub to: Day,
    pub authority: bool,
}

impl Leaf {
    pub fn new(common_names: &[&str]) -> Self {
        Self {
            common_names: common_names.iter().map(|&name| name.into()).collect(),
            alternative: Vec::new(),
            purpose: None,
            from: (2020, 1, 1),
            to: (2120, 1, 1),
            authority: false,
        }
    }

    pub fn dns(mut self, name: &str) -> Self {
        self.alternative
            .push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    pub fn valid(mut self, from: Day, to: Day) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    pub fn authority(mut self) -> Self {
        self.authority = true;
        self
    }

    pub fn purpose(mut self, purpose: ExtendedKeyUsagePurpose) -> Self {
        self.purpose = Some(purpose);
        self
    }

    pub fn self_signed(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params().self_signed(&key).unwrap();
        (certificate.der().clone(), private(&key))
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (position, name) in self.common_names.iter().enumerate() {
            // rcgen keeps one value per kind; the same kind by its number is another one for it.
            let kind = match position {
                0 => DnType::CommonName,
                1 => DnType::CustomDnType(vec![2, 5, 4, 3]),
                _ => panic!("at most two common names"),
            };
            params.distinguished_name.push(kind, name.as_str());
        }
        params.subject_alt_names = self.alternative.clone();
        params.extended_key_usages = self.purpose.iter().cloned().collect();
        if self.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_before = date_time_ymd(self.from.0, self.from.1, self.from.2);
        params.not_after = date_time_ymd(self.to.0, self.to.1, self.to.2);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        params
    }
}

pub fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// PEM as openssl reads it.
pub fn pem(label: &str, der: &[u8]) -> String {
    use std::fmt::Write;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let mut bits = [0u8; 4];
            bits[1..=group.len()].copy_from_slice(group);
            let value = u32::from_be_bytes(bits);
            for position in 0..4 {
                let sextet = (value >> (18 - 6 * position)) & 63;
                let character = if position <= group.len() {
                    ALPHABET[sextet as usize] as char
                } else {
                    '='
                };
                text.push(character);
            }
        }
        text.push('\n');
    }
    writeln!(text, "-----END {label}-----").unwrap();
    text
}
