//! How secret values are encrypted (provisioning spec 7.3).

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{AnyRef, Decode, Encode, Sequence};
use rsa::pkcs8::AlgorithmIdentifierRef;
use rsa::pkcs8::spki::AlgorithmIdentifier;
use rsa::rand_core::{OsRng, RngCore};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::NssError;
use super::legacy;
use super::schema::KEYS;

/// Most rounds of key derivation that are done for a value: a hundred times what NSS asks for. It
/// keeps a damaged or hostile file from stopping the program.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Rounds that NSS does for a database without a password, where none would help.
const ITERATIONS_WITHOUT_PASSWORD: u32 = 1;

/// Rounds that NSS does where there is a password.
const ITERATIONS_WITH_PASSWORD: u32 = 10_000;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
pub(super) const HMAC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");

/// An encrypted value as it is stored.
#[derive(Sequence)]
pub(super) struct EncryptedValue<'a> {
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) ciphertext: OctetStringRef<'a>,
}

#[derive(Sequence)]
struct Pbes2<'a> {
    kdf: Kdf<'a>,
    cipher: AlgorithmIdentifier<OctetStringRef<'a>>,
}

/// A key derivation with its parameters.
pub(super) type Kdf<'a> = AlgorithmIdentifier<Pbkdf2<'a>>;

#[derive(Clone, Sequence)]
pub(super) struct Pbkdf2<'a> {
    salt: OctetStringRef<'a>,
    iterations: u32,
    #[asn1(optional = "true")]
    key_length: Option<u16>,
    prf: AlgorithmIdentifierRef<'a>,
}

/// A salt as NSS makes them.
pub(super) type Salt = [u8; 32];

/// A derived key.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// Random bytes from the operating system.
pub(in crate::pki) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

pub(super) fn malformed(error: impl std::fmt::Display) -> NssError {
    NssError::damaged(
        KEYS,
        format_args!("an encrypted value is malformed ({error})"),
    )
}

/// The key from which the keys of all values of a database are derived.
#[derive(Debug)]
pub struct PassKey {
    hash: Zeroizing<[u8; 20]>,
    iterations: u32,
}

impl PassKey {
    /// Derives it from a database's salt and password.
    #[must_use]
    pub fn derive(global_salt: &[u8], password: &[u8]) -> Self {
        let hash = Sha1::new()
            .chain_update(global_salt)
            .chain_update(password)
            .finalize();
        Self {
            hash: Zeroizing::new(hash.into()),
            iterations: if password.is_empty() {
                ITERATIONS_WITHOUT_PASSWORD
            } else {
                ITERATIONS_WITH_PASSWORD
            },
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.hash.as_slice()
    }

    /// The parameters of a new key derivation.
    pub(super) fn new_kdf<'a>(&self, salt: &'a Salt) -> Result<Kdf<'a>, NssError> {
        Ok(AlgorithmIdentifier {
            oid: PBKDF2,
            parameters: Some(Pbkdf2 {
                salt: OctetStringRef::new(salt).map_err(malformed)?,
                iterations: self.iterations,
                key_length: Some(32),
                prf: AlgorithmIdentifierRef {
                    oid: HMAC_SHA256,
                    parameters: None,
                },
            }),
        })
    }

    /// The key that a derivation yields.
    pub(super) fn run_kdf(&self, kdf: &Kdf<'_>) -> Result<Key, NssError> {
        let Some(parameters) = kdf.parameters.as_ref().filter(|_| kdf.oid == PBKDF2) else {
            return Err(malformed("its key is not derived with PBKDF2"));
        };
        if parameters.prf.oid != HMAC_SHA256 || parameters.key_length.unwrap_or(32) != 32 {
            return Err(malformed("its key is not derived with HMAC-SHA-256"));
        }
        if !(1..=MAX_ITERATIONS).contains(&parameters.iterations) {
            return Err(NssError::Iterations(parameters.iterations));
        }
        let mut key = Key::default();
        pbkdf2::pbkdf2_hmac::<Sha256>(
            self.as_bytes(),
            parameters.salt.as_bytes(),
            parameters.iterations,
            key.as_mut_slice(),
        );
        Ok(key)
    }

    /// Decrypts a value, in the present or the former encryption.
    ///
    /// # Errors
    /// [`NssError::Damaged`], also for a wrong password, or [`NssError::Iterations`].
    pub fn decrypt(&self, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, NssError> {
        let value = EncryptedValue::from_der(value).map_err(malformed)?;
        let ciphertext = value.ciphertext.as_bytes();
        let parameters = value
            .algorithm
            .parameters
            .ok_or_else(|| malformed("it has no parameters"))?;
        match value.algorithm.oid {
            PBES2 => self.decrypt_pbes2(parameters, ciphertext),
            legacy::PBE => legacy::decrypt(self, parameters, ciphertext),
            other => Err(malformed(format_args!("its encryption is {other}"))),
        }
    }

    fn decrypt_pbes2(
        &self,
        parameters: AnyRef<'_>,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NssError> {
        let scheme: Pbes2<'_> = parameters.decode_as().map_err(malformed)?;
        if scheme.cipher.oid != AES_256_CBC {
            return Err(malformed("its cipher is not AES-256-CBC"));
        }
        // NSS takes the encoding of the initialization vector for the vector: 14 bytes and their
        // tag and length.
        let iv = scheme
            .cipher
            .parameters
            .ok_or_else(|| malformed("it has no initialization vector"))?
            .to_der()
            .map_err(malformed)?;
        let key = self.run_kdf(&scheme.kdf)?;
        let cipher =
            cbc::Decryptor::<Aes256>::new_from_slices(key.as_slice(), &iv).map_err(malformed)?;
        cipher
            .decrypt_padded_vec_mut::<Pkcs7>(ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| malformed("it does not decrypt"))
    }

    /// Encrypts a value as NSS does today.
    ///
    /// # Errors
    /// [`NssError::Damaged`] for values too long to be encoded.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, NssError> {
        let salt: Salt = random();
        let vector: [u8; 14] = random();
        let scheme = Pbes2 {
            kdf: self.new_kdf(&salt)?,
            cipher: AlgorithmIdentifier {
                oid: AES_256_CBC,
                parameters: Some(OctetStringRef::new(&vector).map_err(malformed)?),
            },
        };
        let iv = scheme.cipher.parameters.to_der().map_err(malformed)?;
        let key = self.run_kdf(&scheme.kdf)?;
        let ciphertext = cbc::Encryptor::<Aes256>::new_from_slices(key.as_slice(), &iv)
            .map_err(malformed)?
            .encrypt_padded_vec_mut::<Pkcs7>(plain);
        let parameters = scheme.to_der().map_err(malformed)?;
        EncryptedValue {
            algorithm: AlgorithmIdentifierRef {
                oid: PBES2,
                parameters: Some(AnyRef::from_der(&parameters).map_err(malformed)?),
            },
            ciphertext: OctetStringRef::new(&ciphertext).map_err(malformed)?,
        }
        .to_der()
        .map_err(malformed)
    }
}
