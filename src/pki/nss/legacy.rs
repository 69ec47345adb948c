//! The encryption of NSS before 2019: triple DES. A database keeps it per value until its password
//! is changed (provisioning spec 7.3).

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{AnyRef, Sequence};
use des::TdesEde3;
use hmac::{Hmac, Mac};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::crypto::{PassKey, malformed};
use super::error::NssError;

/// The name says PKCS #12's derivation of keys, but NSS has one of its own.
pub(super) const PBE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.5.1.3");

/// The entry salt is filled up to this many bytes in one place of the derivation.
const PADDED_SALT: usize = 20;

#[derive(Sequence)]
struct Parameters<'a> {
    entry_salt: OctetStringRef<'a>,
    iterations: u32,
}

/// Key and initialization vector.
struct Secrets {
    key: Zeroizing<[u8; 24]>,
    iv: Zeroizing<[u8; 8]>,
}

pub(super) fn decrypt(
    pass_key: &PassKey,
    parameters: AnyRef<'_>,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NssError> {
    let parameters: Parameters<'_> = parameters.decode_as().map_err(malformed)?;
    if parameters.iterations != 1 {
        return Err(malformed("its old key derivation has several rounds"));
    }
    let secrets = derive(pass_key, parameters.entry_salt.as_bytes())?;
    cbc::Decryptor::<TdesEde3>::new_from_slices(secrets.key.as_slice(), secrets.iv.as_slice())
        .map_err(malformed)?
        .decrypt_padded_vec_mut::<Pkcs7>(ciphertext)
        .map(Zeroizing::new)
        .map_err(|_| malformed("it does not decrypt"))
}

fn derive(pass_key: &PassKey, entry_salt: &[u8]) -> Result<Secrets, NssError> {
    let mut padded = entry_salt.to_vec();
    padded.resize(PADDED_SALT.max(entry_salt.len()), 0);
    let chained = Zeroizing::new(<[u8; 20]>::from(
        Sha1::new()
            .chain_update(pass_key.as_bytes())
            .chain_update(entry_salt)
            .finalize(),
    ));
    let hmac = |parts: [&[u8]; 2]| -> Result<Zeroizing<[u8; 20]>, NssError> {
        let mut mac = Hmac::<Sha1>::new_from_slice(chained.as_slice()).map_err(malformed)?;
        for part in parts {
            mac.update(part);
        }
        Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
    };
    let first = hmac([&padded, entry_salt])?;
    let middle = hmac([&padded, &[]])?;
    let second = hmac([middle.as_slice(), entry_salt])?;
    let mut secrets = Secrets {
        key: Zeroizing::default(),
        iv: Zeroizing::default(),
    };
    let all = first.iter().chain(second.iter());
    for (to, from) in secrets.key.iter_mut().zip(all.clone()) {
        *to = *from;
    }
    for (to, from) in secrets.iv.iter_mut().zip(all.skip(32)) {
        *to = *from;
    }
    Ok(secrets)
}
