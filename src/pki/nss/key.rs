//! A private key as the numbers that a database has and as PKCS #8.

use der::asn1::ObjectIdentifier;
use der::{AnyRef, Decode, Encode};
use rsa::BigUint;
use rsa::pkcs1;
use rsa::pkcs8::{AlgorithmIdentifierRef, PrivateKeyInfo};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sec1::EcPrivateKey;
use sha1::{Digest, Sha1};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use super::error::NssError;
use super::schema::{CERTIFICATES, KEYS, attribute as a};

/// What the signing library takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A secret number.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// A curve on which keys are usable.
struct Curve {
    oid: ObjectIdentifier,
    scalar_bytes: usize,
}

const CURVES: [Curve; 2] = [
    Curve {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        scalar_bytes: 32,
    },
    Curve {
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        scalar_bytes: 48,
    },
];

/// Curves that NSS knows and the signing library does not, for the error's text.
const OTHER_CURVES: [(ObjectIdentifier, &str); 1] =
    [(ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521")];

/// A private key in numbers. The secret ones are in the order of their attributes.
pub(super) enum Numbers {
    /// Modulus and public exponent, and the six secret numbers.
    Rsa {
        modulus: Vec<u8>,
        public_exponent: Vec<u8>,
        secrets: [(u32, Secret); 6],
    },
    /// Curve (encoded), public point and secret number.
    Ec {
        curve: Vec<u8>,
        point: Vec<u8>,
        scalar: Secret,
    },
}

fn broken(reason: impl std::fmt::Display) -> NssError {
    NssError::damaged(KEYS, format_args!("a private key is unusable ({reason})"))
}

/// The identifier that joins a certificate to its key: a hash of the modulus or of the point.
pub(super) fn id_of(certificate: &CertificateDer<'_>) -> Result<[u8; 20], NssError> {
    public_number(certificate).map(|number| Sha1::digest(number).into())
}

/// The modulus without leading zeros, or the point.
fn public_number(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, NssError> {
    let damaged = || {
        NssError::damaged(
            CERTIFICATES,
            "the public key of a certificate is unreadable",
        )
    };
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| damaged())?;
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Ok(unpadded(key.modulus).to_vec()),
        Ok(PublicKey::EC(point)) => Ok(point.data().to_vec()),
        _ => Err(damaged()),
    }
}

fn unpadded(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

impl Numbers {
    /// Takes a key apart. The certificate's public key is the one to look it up by.
    pub(super) fn of(
        key: &PrivatePkcs8KeyDer<'_>,
        certificate: &CertificateDer<'_>,
    ) -> Result<Self, NssError> {
        let info = PrivateKeyInfo::from_der(key.secret_pkcs8_der()).map_err(broken)?;
        let public = public_number(certificate)?;
        if info.algorithm.oid == pkcs1::ALGORITHM_OID {
            let key = pkcs1::RsaPrivateKey::from_der(info.private_key).map_err(broken)?;
            let secret = |attribute, number: pkcs1::UintRef<'_>| {
                (attribute, Zeroizing::new(number.as_bytes().to_vec()))
            };
            return Ok(Self::Rsa {
                modulus: public,
                public_exponent: key.public_exponent.as_bytes().to_vec(),
                secrets: [
                    secret(a::PRIVATE_EXPONENT, key.private_exponent),
                    secret(a::PRIME_1, key.prime1),
                    secret(a::PRIME_2, key.prime2),
                    secret(a::EXPONENT_1, key.exponent1),
                    secret(a::EXPONENT_2, key.exponent2),
                    secret(a::COEFFICIENT, key.coefficient),
                ],
            });
        }
        if info.algorithm.oid != EC_PUBLIC_KEY {
            return Err(NssError::UnsupportedKey(format!(
                "of the kind {}",
                info.algorithm.oid
            )));
        }
        let key = EcPrivateKey::from_der(info.private_key).map_err(broken)?;
        Ok(Self::Ec {
            curve: info.algorithm.parameters.to_der().map_err(broken)?,
            point: public,
            scalar: Zeroizing::new(key.private_key.to_vec()),
        })
    }

    /// Puts an RSA key together from the numbers that determine it. The others follow from them,
    /// which also brings the primes into the order that the signing library demands.
    pub(super) fn rsa_to_pkcs8(
        modulus: &[u8],
        public_exponent: &[u8],
        private_exponent: &[u8],
        primes: [&[u8]; 2],
    ) -> Result<PrivatePkcs8KeyDer<'static>, NssError> {
        let number = BigUint::from_bytes_be;
        let modulus = number(modulus);
        if !RSA_BITS.contains(&modulus.bits()) {
            return Err(NssError::UnsupportedKey(format!(
                "an RSA key of {} bits",
                modulus.bits()
            )));
        }
        let document = crate::pki::rsa::to_pkcs8(
            modulus,
            number(public_exponent),
            number(private_exponent),
            primes.map(number).to_vec(),
        )
        .map_err(broken)?;
        Ok(PrivatePkcs8KeyDer::from(document.as_bytes().to_vec()))
    }

    /// Puts an EC key together. The point is taken from the certificate; a key that does not
    /// belong to it is refused by the signing library.
    pub(super) fn ec_to_pkcs8(
        curve: &[u8],
        scalar: &[u8],
        certificate: &CertificateDer<'_>,
    ) -> Result<PrivatePkcs8KeyDer<'static>, NssError> {
        let curve = AnyRef::from_der(curve).map_err(broken)?;
        let oid: ObjectIdentifier = curve.decode_as().map_err(broken)?;
        let Some(known) = CURVES.iter().find(|curve| curve.oid == oid) else {
            let name = OTHER_CURVES.iter().find(|(other, _)| *other == oid);
            return Err(NssError::UnsupportedKey(match name {
                Some((_, name)) => format!("on the curve {name}"),
                None => format!("on the curve {oid}"),
            }));
        };
        let scalar = unpadded(scalar);
        let zeros = known
            .scalar_bytes
            .checked_sub(scalar.len())
            .ok_or_else(|| broken("its number is too large for the curve"))?;
        let mut padded = Zeroizing::new(vec![0; zeros]);
        padded.extend_from_slice(scalar);
        let point = public_number(certificate)?;
        let key = EcPrivateKey {
            private_key: &padded,
            parameters: None,
            public_key: Some(&point),
        };
        let key = Zeroizing::new(key.to_der().map_err(broken)?);
        let algorithm = AlgorithmIdentifierRef {
            oid: EC_PUBLIC_KEY,
            parameters: Some(curve),
        };
        let info = PrivateKeyInfo::new(algorithm, &key);
        Ok(PrivatePkcs8KeyDer::from(info.to_der().map_err(broken)?))
    }

    /// What the key is looked up by.
    pub(super) fn public(&self) -> &[u8] {
        match self {
            Self::Rsa { modulus, .. } => modulus,
            Self::Ec { point, .. } => point,
        }
    }
}
