//! RSA keys in the form that the signing library takes.

use rsa::pkcs8::{EncodePrivateKey, SecretDocument};
use rsa::{BigUint, Error, RsaPrivateKey};

/// A key in PKCS #8, put together from the numbers that determine it. The primes may be in any
/// order: ring refuses keys of which the first prime is not the larger one, so they are sorted.
pub(super) fn to_pkcs8(
    modulus: BigUint,
    public_exponent: BigUint,
    private_exponent: BigUint,
    mut primes: Vec<BigUint>,
) -> Result<SecretDocument, Error> {
    primes.sort_by(|one, other| other.cmp(one));
    let key = RsaPrivateKey::from_components(modulus, public_exponent, private_exponent, primes)?;
    Ok(key.to_pkcs8_der()?)
}
