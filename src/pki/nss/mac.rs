//! The codes by which NSS notices that a key or a trust setting was altered (provisioning spec
//! 7.5). Without them it does not use the key and drops the trust.

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{AnyRef, Decode, Encode, Sequence};
use hmac::{Hmac, Mac};
use rsa::pkcs8::AlgorithmIdentifierRef;
use sha2::Sha256;

use super::crypto::{EncryptedValue, HMAC_SHA256, Kdf, PassKey, Salt, malformed, random};
use super::error::NssError;

const PBMAC1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");

#[derive(Sequence)]
struct Pbmac1<'a> {
    kdf: Kdf<'a>,
    mac: AlgorithmIdentifierRef<'a>,
}

/// The code of one attribute. For an encrypted attribute `object` is 0 and `value` the plain text.
pub(super) fn seal(
    pass_key: &PassKey,
    object: u32,
    attribute: u32,
    value: &[u8],
) -> Result<Vec<u8>, NssError> {
    let salt: Salt = random();
    let scheme = Pbmac1 {
        kdf: pass_key.new_kdf(&salt)?,
        mac: AlgorithmIdentifierRef {
            oid: HMAC_SHA256,
            parameters: None,
        },
    };
    let key = pass_key.run_kdf(&scheme.kdf)?;
    let code = Hmac::<Sha256>::new_from_slice(key.as_slice())
        .map_err(malformed)?
        .chain_update(object.to_be_bytes())
        .chain_update(attribute.to_be_bytes())
        .chain_update(value)
        .finalize()
        .into_bytes();
    let parameters = scheme.to_der().map_err(malformed)?;
    // The frame is that of an encrypted value, with the code in the place of the ciphertext.
    EncryptedValue {
        algorithm: AlgorithmIdentifierRef {
            oid: PBMAC1,
            parameters: Some(AnyRef::from_der(&parameters).map_err(malformed)?),
        },
        ciphertext: OctetStringRef::new(&code).map_err(malformed)?,
    }
    .to_der()
    .map_err(malformed)
}
