//! What a certificate says about itself, as far as lists of certificates show it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_parser::time::ASN1Time;

use super::ca::{self, CaError};

/// A serial number of any length: big-endian, without leading zeros; zero has no byte at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// Takes big-endian bytes, with or without leading zeros.
    #[must_use]
    pub fn from_be(bytes: &[u8]) -> Self {
        let significant = bytes.iter().copied().skip_while(|&byte| byte == 0);
        Self(significant.collect())
    }

    /// Big-endian, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn small(&self) -> Option<u128> {
        (self.0.len() <= size_of::<u128>()).then(|| {
            self.0
                .iter()
                .fold(0, |number, &byte| (number << 8) | u128::from(byte))
        })
    }
}

impl From<u64> for Serial {
    fn from(number: u64) -> Self {
        Self::from_be(&number.to_be_bytes())
    }
}

impl Ord for Serial {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// For sets that are asked with bytes; the same hash and equality as the number's.
impl Borrow<[u8]> for Serial {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Decimal, as in `serial.txt`; numbers of more than 16 bytes, which are none of ours, in
/// hexadecimal after `0x`.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.small() {
            Some(number) => number.fmt(f),
            None => write!(f, "0x{}", hex(&self.0)),
        }
    }
}

impl FromStr for Serial {
    type Err = NotASerial;

    /// Reads what is shown; hexadecimal numbers may be of any length.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = match text.strip_prefix("0x") {
            Some(digits) if digits.len() % 2 == 1 => unhex(&format!("0{digits}")),
            Some(digits) => unhex(digits),
            // `parse` alone would take a sign.
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse::<u128>().ok().map(|n| n.to_be_bytes().to_vec())
            }
            None => None,
        };
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        bytes
            .map(|bytes| Self::from_be(&bytes))
            .ok_or_else(|| NotASerial(text.to_owned()))
    }
}

/// A text that is no serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no serial number; decimal numbers, and hexadecimal ones after 0x, are")]
pub struct NotASerial(String);

/// The SHA-256 digest of a certificate's DER form, which is how people and tools name one
/// certificate among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; digest::SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }
}

/// Lower-case hexadecimal, as `sha256sum` shows it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(NotAFingerprint)
    }
}

/// A text that is no SHA-256 fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint of 64 hexadecimal digits")]
pub struct NotAFingerprint;

macro_rules! as_text_in_files {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_text_in_files!(Serial, Fingerprint);

/// A moment of the calendar, in whole seconds since 1970. Earlier ones read as 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Whole days from here to a later moment; negative if it is earlier.
    #[must_use]
    pub fn days_until(self, later: Self) -> i64 {
        let seconds = i128::from(later.0) - i128::from(self.0);
        i64::try_from(seconds.div_euclid(86_400)).unwrap_or(i64::MAX)
    }

    /// The date alone: `2046-11-22`.
    #[must_use]
    pub fn date(self) -> String {
        self.to_string().chars().take_while(|&c| c != 'T').collect()
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

impl From<ASN1Time> for Moment {
    fn from(time: ASN1Time) -> Self {
        Self(u64::try_from(time.timestamp()).unwrap_or(0))
    }
}

/// By RFC 3339, in UTC: `2046-11-22T03:00:00Z`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
        let Some(time) = time.map(|time| time.to_datetime()) else {
            return write!(f, "{} seconds after 1970", self.0);
        };
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute, second) = time.to_hms();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The last common name of the subject, which for a cluster's certificate is the cluster's
    /// name (provisioning spec 1.2); empty if there is none.
    pub name: String,
    /// The serial number.
    pub serial: Serial,
    /// When the validity begins.
    pub not_before: Moment,
    /// When it ends.
    pub not_after: Moment,
    /// Of the whole certificate.
    pub sha256: Fingerprint,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CaError::Damaged`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CaError> {
        let parsed = ca::parse(certificate)?;
        let name = parsed.subject().iter_common_name().last();
        Ok(Self {
            name: name
                .map(|name| String::from_utf8_lossy(name.as_slice()).into_owned())
                .unwrap_or_default(),
            serial: Serial::from_be(parsed.raw_serial()),
            not_before: parsed.validity().not_before.into(),
            not_after: parsed.validity().not_after.into(),
            sha256: Fingerprint::of(certificate),
        })
    }
}

/// The public key that a certificate is for (DER, SubjectPublicKeyInfo).
///
/// # Errors
/// [`CaError::Damaged`].
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, CaError> {
    Ok(ca::parse(certificate)?.public_key().raw.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => {
                let [high, low] = [high, low].map(|&digit| char::from(digit).to_digit(16));
                u8::try_from(high? * 16 + low?).ok()
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_they_are_shown_and_ordered_as_numbers() {
        let mut last: Option<Serial> = None;
        for text in [
            "0",
            "1",
            "101",
            "128",
            "255",
            "256",
            "18446744073709551616",
            "340282366920938463463374607431768211455",
            "0x0100000000000000000000000000000000",
        ] {
            let serial: Serial = text.parse().unwrap();
            assert_eq!(serial.to_string(), text);
            assert!(last.is_none_or(|last| last < serial), "{text}");
            last = Some(serial);
        }
        assert_eq!("0x65".parse(), Ok(Serial::from(101)));
        assert_eq!("0x101".parse(), Ok(Serial::from(257)));
        assert_eq!(Serial::from_be(&[0, 0x80]), Serial::from(128));
        for text in ["", "0x", "-1", "+1", "1 ", "0xg0", "65h"] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_shown_in_utc_and_days_are_counted() {
        // `date -u -d @1795402800`
        let moment = Moment(1_795_402_800);
        assert_eq!(moment.to_string(), "2026-11-23T03:00:00Z");
        assert_eq!(moment.date(), "2026-11-23");
        assert_eq!(moment.days_until(Moment(moment.0 + 86_400 * 3 + 86_399)), 3);
        assert_eq!(moment.days_until(Moment(moment.0 - 1)), -1);
        assert_eq!(Moment(u64::MAX).days_until(Moment(0)), -213_503_982_334_602);
    }

    #[test]
    fn facts_survive_a_file() {
        let ca = super::super::ca::Authority::generate(
            crate::pki::KeyKind::P256,
            200,
            SystemTime::now(),
        )
        .unwrap();
        let facts = Facts::of(&ca.keyed().certificate).unwrap();
        assert_eq!(
            (facts.name.as_str(), facts.serial.to_string()),
            ("QNet CA", "200".to_owned())
        );
        let json = serde_json::to_string(&facts).unwrap();
        assert!(json.contains(r#""serial":"200""#), "{json}");
        assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts);
    }
}
