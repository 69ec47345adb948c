//! Certificate requests (PKCS #10), as `corosync-qdevice-net-certutil -r` makes them.

use std::borrow::Cow;

use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SHA1_WITH_RSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo as ParsedKey, X509Name};

/// Smallest RSA key that may vote. NSS makes 2048 bits; TLS libraries of today refuse less.
const MIN_RSA_BITS: usize = 2048;

/// Largest RSA key that the TLS side can verify.
const MAX_RSA_BITS: usize = 8192;

/// A request of which the form, the key's strength and the signature have been checked.
#[derive(Debug)]
pub struct ClusterRequest {
    common_name: String,
    public_key: SubjectPublicKeyInfo,
}

/// Why a request is refused. The text is for the person who brought it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Neither DER nor PEM of a request, or a damaged one.
    #[error(
        "it is not a certificate request, or it is damaged ({0}); \
         make one on a node with `corosync-qdevice-net-certutil -r -n NAME`"
    )]
    NotARequest(String),
    /// The signature uses an algorithm that proves nothing any more.
    #[error("it is signed with {0}, which is too weak; it must be signed with SHA-256 or better")]
    WeakSignature(&'static str),
    /// The signature uses an algorithm that neither NSS nor we expect here.
    #[error(
        "it is signed with an unknown algorithm (object identifier {0}); \
         RSA or ECDSA with SHA-256, SHA-384 or SHA-512 is possible"
    )]
    UnknownSignature(String),
    /// The RSA key is too short or too long.
    #[error(
        "its RSA key has {bits} bits; {min} to {max} are possible",
        min = MIN_RSA_BITS,
        max = MAX_RSA_BITS
    )]
    RsaSize {
        /// Length of the modulus.
        bits: usize,
    },
    /// Another kind of key.
    #[error("its key is of a kind that cannot be used; RSA, P-256 and P-384 keys can")]
    UnknownKey,
    /// The signature does not fit: the request was altered, or its maker does not have the key.
    #[error("its own signature is wrong: it was altered on the way, or made without its key")]
    BadSignature,
    /// There is not exactly one readable common name.
    #[error("its subject `{0}` does not have exactly one common name (CN)")]
    CommonName(String),
}

impl ClusterRequest {
    /// Reads a request, DER as the reference's node tool writes it or PEM, and checks it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse(input: &[u8]) -> Result<Self, RequestError> {
        let der = der(input)?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|error| RequestError::NotARequest(error.to_string()))?;
        if !rest.is_empty() {
            return Err(RequestError::NotARequest("bytes follow its end".to_owned()));
        }
        let key = &request.certification_request_info.subject_pki;
        check_key(key)?;
        check_algorithm(&request.signature_algorithm.algorithm)?;
        request
            .verify_signature()
            .map_err(|_| RequestError::BadSignature)?;
        Ok(Self {
            common_name: common_name(&request.certification_request_info.subject)?,
            public_key: SubjectPublicKeyInfo::from_der(key.raw)
                .map_err(|_| RequestError::UnknownKey)?,
        })
    }

    /// The common name that is asked for.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.public_key
    }
}

/// The public key of a certificate, if a new certificate may be issued for it.
pub(super) fn key_of(
    certificate: &X509Certificate<'_>,
) -> Result<SubjectPublicKeyInfo, RequestError> {
    let key = certificate.public_key();
    check_key(key)?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| RequestError::UnknownKey)
}

fn der(input: &[u8]) -> Result<CertificateSigningRequestDer<'_>, RequestError> {
    // A DER request is a SEQUENCE, which no PEM file starts with: 0x30 is the digit zero.
    if input.first() == Some(&0x30) {
        return Ok(CertificateSigningRequestDer::from(input));
    }
    let text = String::from_utf8_lossy(input);
    // NSS's `certutil -R -a` uses the older of the two labels.
    let text: Cow<'_, str> = if text.contains(" NEW CERTIFICATE REQUEST-----") {
        Cow::Owned(text.replace(" NEW CERTIFICATE REQUEST-----", " CERTIFICATE REQUEST-----"))
    } else {
        text
    };
    CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
        .map_err(|error| RequestError::NotARequest(error.to_string()))
}

fn check_key(key: &ParsedKey<'_>) -> Result<(), RequestError> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err(RequestError::UnknownKey);
        };
        let bits = bit_length(rsa.modulus);
        return if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            Ok(())
        } else {
            Err(RequestError::RsaSize { bits })
        };
    }
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    let known = *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384);
    if known {
        Ok(())
    } else {
        Err(RequestError::UnknownKey)
    }
}

fn bit_length(big_endian: &[u8]) -> usize {
    let mut significant = big_endian.iter().skip_while(|&&byte| byte == 0);
    match significant.next() {
        Some(first) => significant.count() * 8 + (u8::BITS - first.leading_zeros()) as usize,
        None => 0,
    }
}

/// Whether a signature of this kind proves anything and is known here.
pub(super) fn check_algorithm(algorithm: &Oid<'_>) -> Result<(), RequestError> {
    const ECDSA_WITH_SHA1: Oid<'static> = x509_parser::der_parser::oid!(1.2.840.10045.4.1);
    const MD5_WITH_RSA: Oid<'static> = x509_parser::der_parser::oid!(1.2.840.113549.1.1.4);
    let strong = [
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
    ];
    if strong.contains(algorithm) {
        return Ok(());
    }
    if [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, ECDSA_WITH_SHA1].contains(algorithm) {
        return Err(RequestError::WeakSignature("SHA-1"));
    }
    if *algorithm == MD5_WITH_RSA {
        return Err(RequestError::WeakSignature("MD5"));
    }
    Err(RequestError::UnknownSignature(algorithm.to_id_string()))
}

/// The one common name of a subject.
pub(super) fn common_name(subject: &X509Name<'_>) -> Result<String, RequestError> {
    let mut names = subject.iter_common_name();
    match (names.next().map(|name| name.as_str()), names.next()) {
        (Some(Ok(name)), None) => Ok(name.to_owned()),
        _ => Err(RequestError::CommonName(subject.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PKCS_ED25519,
        SignatureAlgorithm,
    };

    fn request_for(
        algorithm: &'static SignatureAlgorithm,
        names: &[(DnType, &str)],
    ) -> rcgen::CertificateSigningRequest {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        // An extension that no one here understands must not make a request unusable.
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 99999, 1],
            vec![5, 0],
        )];
        params.serialize_request(&key).unwrap()
    }

    fn request(name: &str) -> rcgen::CertificateSigningRequest {
        request_for(
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &[(DnType::CommonName, name)],
        )
    }

    #[test]
    fn der_and_both_kinds_of_pem_are_read() {
        let request = request("Alpha");
        let pem = request.pem().unwrap();
        let nss = format!(
            "\nCertificate request generated by Netscape certutil\nPhone: (not specified)\n\n{}",
            pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
                .replace('\n', "\r\n")
        );
        for input in [request.der().to_vec(), pem.into_bytes(), nss.into_bytes()] {
            assert_eq!(
                ClusterRequest::parse(&input).unwrap().common_name(),
                "Alpha"
            );
        }
    }

    #[test]
    fn p384_and_further_subject_parts_are_taken() {
        let request = request_for(
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &[
                (DnType::OrganizationName, "Org"),
                (DnType::CommonName, "größe"),
            ],
        );
        let parsed = ClusterRequest::parse(request.der()).unwrap();
        assert_eq!(parsed.common_name(), "größe");
    }

    #[test]
    fn other_input_is_refused_with_a_hint() {
        let mut trailing = request("a").der().to_vec();
        trailing.push(0);
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for input in [
            &b""[..],
            b"0",
            b"\x30\x80",
            b"hello",
            certificate.as_bytes(),
            &trailing,
        ] {
            let error = ClusterRequest::parse(input).unwrap_err();
            assert!(matches!(error, RequestError::NotARequest(_)), "{error}");
            assert!(
                error
                    .to_string()
                    .contains("corosync-qdevice-net-certutil -r")
            );
        }
    }

    #[test]
    fn no_altered_byte_changes_what_is_signed_for() {
        let good = request("Alpha").der().to_vec();
        let original = ClusterRequest::parse(&good).unwrap();
        let mut refused = 0;
        for position in 0..good.len() {
            let mut altered = good.clone();
            altered[position] ^= 1;
            // The frame around the signed part has bytes that mean the same either way.
            match ClusterRequest::parse(&altered) {
                Ok(request) => {
                    assert_eq!(request.common_name, original.common_name);
                    assert_eq!(request.public_key, original.public_key);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused >= good.len() - 2, "{refused} of {}", good.len());
        for length in 0..good.len() {
            assert!(ClusterRequest::parse(&good[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_subject_needs_exactly_one_common_name() {
        let request = request_for(
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &[(DnType::OrganizationName, "Org")],
        );
        assert_eq!(
            ClusterRequest::parse(request.der()).unwrap_err(),
            RequestError::CommonName("O=Org".to_owned())
        );
    }

    #[test]
    fn ed25519_is_refused_because_nodes_cannot_use_it() {
        let request = request_for(&PKCS_ED25519, &[(DnType::CommonName, "a")]);
        assert_eq!(
            ClusterRequest::parse(request.der()).unwrap_err(),
            RequestError::UnknownKey
        );
    }

    #[test]
    fn bit_lengths() {
        for (bytes, bits) in [
            (&[][..], 0),
            (&[0, 0], 0),
            (&[0, 1], 1),
            (&[0x80, 0], 16),
            (&[0, 0x7f, 0], 15),
        ] {
            assert_eq!(bit_length(bytes), bits, "{bytes:?}");
        }
    }
}
