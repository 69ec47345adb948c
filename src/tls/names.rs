//! Which names a certificate carries, and whether one of them is the cluster's.
//!
//! The rule is protocol spec 6.5 with its "Better" paragraph: bytes are compared exactly, and names
//! that could be read in two ways never match.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Context tags of the two kinds of GeneralName that count (RFC 5280, 4.2.1.6).
const DNS_NAME: Tag = Tag(2);
const IP_ADDRESS: Tag = Tag(7);

/// Names longer than this many characters are cut in messages; the peer chooses their length.
const SHOWN_CHARACTERS: usize = 80;

/// The names of an end-entity certificate that count for authorisation (protocol spec 6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateNames {
    /// The certificate has a subject alternative name with DNS or IP entries: only those count, the
    /// subject is ignored. An IP entry is kept in its usual textual form.
    Alternative(Vec<Box<[u8]>>),
    /// No such entries: the last common name of the subject counts, if there is one.
    Common(Option<Box<[u8]>>),
}

impl CertificateNames {
    /// Reads the names of a DER certificate.
    ///
    /// # Errors
    /// [`UnreadableCertificate`] if it is not a certificate, or its subject alternative name is
    /// malformed or present twice.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, UnreadableCertificate> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|e| UnreadableCertificate(e.into()))?;
        let alternative = certificate
            .subject_alternative_name()
            .map_err(UnreadableCertificate)?
            .map(|extension| alternative_names(&extension.value.general_names))
            .unwrap_or_default();
        if !alternative.is_empty() {
            return Ok(Self::Alternative(alternative));
        }
        Ok(Self::Common(
            certificate
                .subject()
                .iter_common_name()
                .last()
                .map(|name| name.as_slice().into()),
        ))
    }

    /// Whether one of the names equals `name`, byte for byte.
    ///
    /// An empty name and a name with a NUL or another ASCII control character never match.
    pub fn contain(&self, name: &[u8]) -> bool {
        is_unambiguous(name) && self.iter().any(|presented| presented == name)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (alternative, common) = match self {
            Self::Alternative(names) => (names.as_slice(), None),
            Self::Common(name) => (Default::default(), name.as_deref()),
        };
        alternative.iter().map(AsRef::as_ref).chain(common)
    }
}

/// The serial number of a certificate, big-endian without leading zeros.
///
/// # Errors
/// [`UnreadableCertificate`] if it is not a certificate.
pub fn serial_number(certificate: &CertificateDer<'_>) -> Result<Box<[u8]>, UnreadableCertificate> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|e| UnreadableCertificate(e.into()))?;
    Ok(without_leading_zeros(certificate.raw_serial()).into())
}

/// The same number in the form in which two numbers can be compared.
#[must_use]
pub fn without_leading_zeros(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial {
        serial = rest;
    }
    serial
}

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Common(None) => f.write_str("no common name"),
            Self::Common(Some(name)) => write!(f, "CN {}", shown(name)),
            Self::Alternative(names) => {
                f.write_str("alternative names")?;
                for name in names.iter().take(4) {
                    write!(f, " {}", shown(name))?;
                }
                match names.len().saturating_sub(4) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

fn alternative_names(names: &[GeneralName<'_>]) -> Vec<Box<[u8]>> {
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.as_bytes().into()),
            GeneralName::IPAddress(octets) => Some(textual_address(octets)),
            // An unreadable entry still means that the subject must not count: it becomes the
            // empty name, which matches nothing.
            GeneralName::Invalid(tag, _) if [DNS_NAME, IP_ADDRESS].contains(tag) => {
                Some(Box::default())
            }
            _ => None,
        })
        .collect()
}

fn textual_address(octets: &[u8]) -> Box<[u8]> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| v6())
        .map(|address| address.to_string().into_bytes().into())
        .unwrap_or_default()
}

/// An empty name matches nothing, and a control character (a NUL above all) makes a name that two
/// readers may cut at different places.
fn is_unambiguous(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(u8::is_ascii_control)
}

/// A name as a quoted, escaped and bounded text for logs.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let dots = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}\"{dots}", cut.escape_debug())
}

/// The certificate's structure could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be read ({0}); make a new one for this cluster")]
pub struct UnreadableCertificate(X509Error);

/// Binds connections to one cluster: the peer's certificate must carry the cluster's name.
#[derive(Clone, Copy, Debug)]
pub struct ClusterAuthorisation<'a> {
    cluster: &'a [u8],
}

impl<'a> ClusterAuthorisation<'a> {
    /// For the cluster name exactly as the peer sent it in PREINIT, in bytes.
    pub fn new(cluster: &'a [u8]) -> Self {
        Self { cluster }
    }

    /// Checks the end-entity certificate that the handshake accepted; `None` means that the peer
    /// has shown none.
    ///
    /// # Errors
    /// [`AuthorisationError`] says what was presented and what was expected.
    pub fn check(
        &self,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Result<(), AuthorisationError> {
        let certificate = certificate.ok_or(AuthorisationError::NoCertificate)?;
        if !is_unambiguous(self.cluster) {
            return Err(AuthorisationError::UnusableClusterName {
                name: self.cluster.into(),
            });
        }
        let presented = CertificateNames::of(certificate)?;
        if presented.contain(self.cluster) {
            return Ok(());
        }
        Err(AuthorisationError::OtherName {
            presented,
            expected: self.cluster.into(),
        })
    }
}

/// Why a peer may not act for the cluster that it names.
#[derive(Debug, thiserror::Error)]
pub enum AuthorisationError {
    /// The peer presented no certificate.
    #[error(
        "the client presented no certificate, so it cannot prove which cluster it belongs to; \
         import the cluster's certificate on that node (corosync-qdevice-net-certutil)"
    )]
    NoCertificate,
    /// The certificate belongs to another cluster.
    #[error(
        "the client's certificate has {presented}, but it asks to act for cluster {}; \
         use a certificate issued for that exact name", shown(.expected)
    )]
    OtherName {
        /// What the certificate says.
        presented: CertificateNames,
        /// The cluster's name, in bytes.
        expected: Box<[u8]>,
    },
    /// The cluster's name is empty or holds a control character, so no certificate can match it.
    #[error(
        "the client names its cluster {}, which no certificate can match: \
         the name must not be empty or contain control characters", shown(.name)
    )]
    UnusableClusterName {
        /// The name in bytes.
        name: Box<[u8]>,
    },
    /// The certificate's names could not be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableCertificate),
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rcgen::SanType;

    use super::*;
    use crate::tls::testing::{Ca, Leaf};

    fn names(leaf: &Leaf) -> CertificateNames {
        CertificateNames::of(&Ca::new().issue(leaf).0).unwrap()
    }

    /// The table of protocol spec 6.5, with exact comparison.
    #[test]
    fn the_name_must_match_exactly() {
        let table: &[(Leaf, &str, bool)] = &[
            (Leaf::new(&["Alpha"]), "Alpha", true),
            (Leaf::new(&["Alpha"]), "alpha", false),
            (Leaf::new(&["Alpha"]), "ALPHA", false),
            (Leaf::new(&["Alpha"]), "Alpha ", false),
            (Leaf::new(&["Alpha"]), "Alpha.", false),
            (Leaf::new(&["Alpha"]), "Alph", false),
            (Leaf::new(&["Other"]), "Alpha", false),
            (Leaf::new(&["first", "last"]), "last", true),
            (Leaf::new(&["first", "last"]), "first", false),
            (
                Leaf::new(&["sancn"]).dns("sandns").dns("other.dns"),
                "sandns",
                true,
            ),
            (
                Leaf::new(&["sancn"]).dns("sandns").dns("other.dns"),
                "other.dns",
                true,
            ),
            (Leaf::new(&["sancn"]).dns("sandns"), "SANDNS", false),
            (Leaf::new(&["sancn"]).dns("sandns"), "sancn", false),
            (Leaf::new(&["*.ex.am"]), "a.ex.am", false),
            (Leaf::new(&["*.ex.am"]), "*.ex.am", true),
            (Leaf::new(&[]), "Alpha", false),
            (Leaf::new(&["Gr\u{fc}n"]), "Gr\u{fc}n", true),
            (Leaf::new(&["Alpha"]), "Alpha\0x", false),
            (Leaf::new(&["Alpha"]), "Alpha\0", false),
        ];
        for (leaf, cluster, expected) in table {
            let presented = names(leaf);
            assert_eq!(
                presented.contain(cluster.as_bytes()),
                *expected,
                "{presented} for {cluster:?}"
            );
        }
    }

    #[test]
    fn ambiguous_names_match_nothing_even_if_equal() {
        for name in ["Alpha\0x", "Al\tpha", "\u{7f}", ""] {
            let presented = names(&Leaf::new(&[name]));
            assert!(!presented.contain(name.as_bytes()), "{name:?}");
            let (certificate, _) = Ca::new().issue(&Leaf::new(&[name]));
            let refused = ClusterAuthorisation::new(name.as_bytes()).check(Some(&certificate));
            assert!(matches!(
                refused,
                Err(AuthorisationError::UnusableClusterName { .. })
            ));
        }
    }

    #[test]
    fn address_entries_count_in_their_usual_form() {
        for (address, other) in [("192.0.2.7", "192.0.2.07"), ("2001:db8::1", "2001:DB8::1")] {
            let mut leaf = Leaf::new(&["alpha"]);
            let parsed: IpAddr = address.parse().unwrap();
            leaf.alternative.push(SanType::IpAddress(parsed));
            let presented = names(&leaf);
            assert!(presented.contain(address.as_bytes()));
            assert!(!presented.contain(other.as_bytes()));
            assert!(!presented.contain(b"alpha"));
        }
    }

    #[test]
    fn other_kinds_of_alternative_names_leave_the_subject_in_force() {
        let mut leaf = Leaf::new(&["alpha"]);
        let mail = SanType::Rfc822Name("root@example.org".try_into().unwrap());
        leaf.alternative.push(mail);
        assert!(names(&leaf).contain(b"alpha"));
        assert!(!names(&leaf).contain(b"root@example.org"));
    }

    #[test]
    fn unreadable_entries_still_hide_the_subject() {
        let presented = alternative_names(&[GeneralName::Invalid(DNS_NAME, b"\xff")]);
        let presented = CertificateNames::Alternative(presented);
        assert!(!presented.contain(b"\xff"));
        assert!(!presented.contain(b""));
        assert_eq!(textual_address(&[1, 2, 3]), Box::default());
    }

    #[test]
    fn refusals_say_what_was_presented_and_expected() {
        let (certificate, _) = Ca::new().issue(&Leaf::new(&["beta"]));
        let refused = ClusterAuthorisation::new(b"alpha").check(Some(&certificate));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the client's certificate has CN \"beta\", but it asks to act for cluster \
             \"alpha\"; use a certificate issued for that exact name"
        );
        assert_eq!(shown(b"a\x1b[2J\n"), "\"a\\u{1b}[2J\\n\"");
        assert_eq!(shown(&[b'x'; 90]), format!("\"{}\"...", "x".repeat(80)));
        let garbage = CertificateDer::from(b"garbage".to_vec());
        let refused = ClusterAuthorisation::new(b"alpha").check(Some(&garbage));
        assert!(matches!(refused, Err(AuthorisationError::Unreadable(_))));
    }
}
