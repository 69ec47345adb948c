//! Reading PKCS #12 files (RFC 7292): the CA and the server's certificate as `pk12util -o` and
//! `openssl pkcs12 -export` write them (provisioning spec 7.1).
//!
//! NSS writes BER with open lengths, which no PKCS #12 crate reads, and leaves out parameters that
//! the crate pkcs5 demands; the frame is therefore taken apart here, with yasna, which does read
//! it and is here for rcgen anyway. Keys are derived by ring (PBES2) or the crate pkcs12 (the MAC,
//! and what NSS before 3.60 and `openssl -legacy` write).

use std::num::NonZeroU32;

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, InnerIvInit, KeyInit};
use pkcs12::kdf::{Pkcs12KeyType, derive_key_utf8};
use ring::{hmac, pbkdf2};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag, parse_ber};
use zeroize::Zeroizing;

use super::ca::{self, CA_NAME, CaError, KeyedCertificate, SERVER_NAME};
use super::facts::Facts;

/// More work than any program asks for; NSS asks for 600,000.
const MAX_ITERATIONS: u32 = 10_000_000;

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
const KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 1];
const SHROUDED_KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const SHA1: &[u64] = &[1, 3, 14, 3, 2, 26];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const SHA384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
const SHA512: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 3];
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_SHA1: &[u64] = &[1, 2, 840, 113_549, 2, 7];
const HMAC_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const HMAC_SHA384: &[u64] = &[1, 2, 840, 113_549, 2, 10];
const HMAC_SHA512: &[u64] = &[1, 2, 840, 113_549, 2, 11];
const AES_128_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 2];
const AES_192_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 22];
const AES_256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
const DES_EDE3_CBC: &[u64] = &[1, 2, 840, 113_549, 3, 7];
const PBE_SHA1_3DES: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 3];
const PBE_SHA1_RC2_128: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 5];
const PBE_SHA1_RC2_40: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 6];

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum P12Error {
    /// Something else, or damaged.
    #[error("it is not a PKCS #12 file, or it is damaged")]
    Malformed,
    /// The password does not open it.
    #[error("the password is wrong, or the file is damaged")]
    Password,
    /// It is protected in another way.
    #[error(
        "it is protected in a way that is not known here ({0}); \
         `pk12util -o` and `openssl pkcs12 -export` make files that are"
    )]
    Unknown(&'static str),
    /// There is no CA with a key in it.
    #[error(
        "there is no CA with its key in it; `pk12util -o ca.p12 -d DIR -n 'QNet CA' \
         -k DIR/pwdfile.txt` exports one"
    )]
    NoCa,
    /// A certificate in it cannot be read.
    #[error(transparent)]
    Certificate(#[from] CaError),
}

impl From<ASN1Error> for P12Error {
    fn from(_: ASN1Error) -> Self {
        Self::Malformed
    }
}

/// Keys and certificates of one or more files.
#[derive(Debug, Default)]
pub struct Contents {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivatePkcs8KeyDer<'static>>,
}

/// What the files say about an arbiter.
#[derive(Debug)]
pub struct Found {
    /// The CA.
    pub ca: KeyedCertificate,
    /// The server, if it is there with its key.
    pub server: Option<KeyedCertificate>,
}

impl Contents {
    /// Adds what is in a file.
    ///
    /// # Errors
    /// [`P12Error::Malformed`], [`P12Error::Password`] or [`P12Error::Unknown`].
    pub fn add(&mut self, file: &[u8], password: &str) -> Result<(), P12Error> {
        let frame = Frame::parse(file)?;
        frame.check_mac(password)?;
        for part in parts(&frame.contents)? {
            let bags = match part {
                Part::Plain(bags) => bags.into(),
                Part::Encrypted(protected) => protected.open(password)?,
            };
            for bag in bags_in(&bags)? {
                self.add_bag(&bag, password)?;
            }
        }
        Ok(())
    }

    fn add_bag(&mut self, bag: &Bag, password: &str) -> Result<(), P12Error> {
        if is(&bag.kind, KEY_BAG) {
            self.keys.push(PrivatePkcs8KeyDer::from(bag.value.clone()));
        } else if is(&bag.kind, SHROUDED_KEY_BAG) {
            let protected = parse_ber(&bag.value, |reader| {
                reader.read_sequence(|reader| {
                    Ok(Protected {
                        algorithm: reader.next().read_der()?,
                        ciphertext: reader.next().read_bytes()?,
                    })
                })
            })?;
            let key = protected.open(password)?;
            self.keys.push(PrivatePkcs8KeyDer::from(key.to_vec()));
        } else if is(&bag.kind, CERTIFICATE_BAG) {
            let (kind, der) = parse_ber(&bag.value, |reader| {
                reader.read_sequence(|reader| {
                    Ok((reader.next().read_oid()?, explicit_bytes(reader.next())?))
                })
            })?;
            if is(&kind, X509_CERTIFICATE) {
                self.certificates.push(CertificateDer::from(der));
            }
        }
        Ok(())
    }

    /// The CA and the server among all that was added.
    ///
    /// # Errors
    /// [`P12Error::NoCa`] or [`P12Error::Certificate`].
    pub fn find(&self) -> Result<Found, P12Error> {
        let ca = self.keyed(CA_NAME, None)?.ok_or(P12Error::NoCa)?;
        let server = self.keyed(SERVER_NAME, Some(&ca.certificate))?;
        Ok(Found { ca, server })
    }

    /// A certificate of a name that has its key here and, if an issuer is given, is signed by it.
    fn keyed(
        &self,
        name: &str,
        issuer: Option<&CertificateDer<'_>>,
    ) -> Result<Option<KeyedCertificate>, P12Error> {
        for certificate in &self.certificates {
            let issued = issuer.is_none_or(|ca| ca::check_issued_by(certificate, ca).is_ok());
            if Facts::of(certificate)?.name != name || !issued {
                continue;
            }
            for key in &self.keys {
                let keyed = KeyedCertificate {
                    certificate: certificate.clone(),
                    key: key.clone_key(),
                };
                if keyed.check().is_ok() {
                    return Ok(Some(keyed));
                }
            }
        }
        Ok(None)
    }
}

/// The outermost layer.
struct Frame {
    contents: Vec<u8>,
    mac: Option<Mac>,
}

struct Mac {
    algorithm: ObjectIdentifier,
    digest: Vec<u8>,
    salt: Vec<u8>,
    iterations: u32,
}

impl Frame {
    fn parse(file: &[u8]) -> Result<Self, P12Error> {
        Ok(parse_ber(file, |reader| {
            reader.read_sequence(|reader| {
                let version = reader.next().read_u8()?;
                let (kind, contents) = reader.next().read_sequence(|reader| {
                    Ok((reader.next().read_oid()?, explicit_bytes(reader.next())?))
                })?;
                if version != 3 || !is(&kind, DATA) {
                    return Err(ASN1Error::new(ASN1ErrorKind::Invalid));
                }
                let mac = reader.read_optional(|reader| reader.read_sequence(Mac::read))?;
                Ok(Self { contents, mac })
            })
        })?)
    }

    /// A file without a MAC is as good: every key is checked against its certificate, and every
    /// certificate against the CA.
    fn check_mac(&self, password: &str) -> Result<(), P12Error> {
        let Some(mac) = &self.mac else {
            return Ok(());
        };
        let iterations = checked(mac.iterations)?;
        let key = |length, derive: Derive| {
            derive(password, &mac.salt, iterations, length).ok_or(P12Error::Malformed)
        };
        let (algorithm, key) = match () {
            () if is(&mac.algorithm, SHA1) => (
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                key(20, mac_key::<sha1::Sha1>)?,
            ),
            () if is(&mac.algorithm, SHA256) => {
                (hmac::HMAC_SHA256, key(32, mac_key::<sha2::Sha256>)?)
            }
            () if is(&mac.algorithm, SHA384) => {
                (hmac::HMAC_SHA384, key(48, mac_key::<sha2::Sha384>)?)
            }
            () if is(&mac.algorithm, SHA512) => {
                (hmac::HMAC_SHA512, key(64, mac_key::<sha2::Sha512>)?)
            }
            () => return Err(P12Error::Unknown("the integrity check")),
        };
        hmac::verify(
            &hmac::Key::new(algorithm, &key),
            &self.contents,
            &mac.digest,
        )
        .map_err(|_| P12Error::Password)
    }
}

impl Mac {
    fn read(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Self> {
        let (algorithm, digest) = reader.next().read_sequence(|reader| {
            let algorithm = reader.next().read_sequence(|reader| {
                let algorithm = reader.next().read_oid()?;
                reader.read_optional(|reader| reader.read_null())?;
                Ok(algorithm)
            })?;
            Ok((algorithm, reader.next().read_bytes()?))
        })?;
        Ok(Self {
            algorithm,
            digest,
            salt: reader.next().read_bytes()?,
            iterations: reader.read_default(1, |reader| reader.read_u32())?,
        })
    }
}

/// From password, salt, number of iterations and length.
type Derive = fn(&str, &[u8], i32, usize) -> Option<Vec<u8>>;

fn mac_key<D>(password: &str, salt: &[u8], iterations: i32, length: usize) -> Option<Vec<u8>>
where
    D: sha2::digest::Digest
        + sha2::digest::FixedOutputReset
        + sha2::digest::Update
        + sha2::digest::core_api::BlockSizeUser,
{
    derive_key_utf8::<D>(password, salt, Pkcs12KeyType::Mac, iterations, length).ok()
}

fn checked(iterations: u32) -> Result<i32, P12Error> {
    match i32::try_from(iterations) {
        Ok(number) if (1..=MAX_ITERATIONS).contains(&iterations) => Ok(number),
        _ => Err(P12Error::Unknown("a huge number of iterations")),
    }
}

/// Something encrypted with the password.
struct Protected {
    /// An AlgorithmIdentifier.
    algorithm: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Protected {
    fn open(&self, password: &str) -> Result<Zeroizing<Vec<u8>>, P12Error> {
        let (kind, parameters) = parse_ber(&self.algorithm, |reader| {
            reader
                .read_sequence(|reader| Ok((reader.next().read_oid()?, reader.next().read_der()?)))
        })?;
        if [PBE_SHA1_3DES, PBE_SHA1_RC2_40, PBE_SHA1_RC2_128]
            .iter()
            .any(|known| is(&kind, known))
        {
            return self.open_legacy(&kind, &parameters, password);
        }
        if is(&kind, PBES2) {
            self.open_pbes2(&parameters, password)
        } else {
            Err(P12Error::Unknown("the encryption"))
        }
    }

    /// RFC 8018, sections 6.2 and A.2. NSS leaves the PRF's empty parameters out.
    fn open_pbes2(
        &self,
        parameters: &[u8],
        password: &str,
    ) -> Result<Zeroizing<Vec<u8>>, P12Error> {
        let (kdf, (salt, iterations, prf), (cipher, iv)) = parse_ber(parameters, |reader| {
            reader.read_sequence(|reader| {
                let (kdf, parameters) = reader.next().read_sequence(|reader| {
                    let kdf = reader.next().read_oid()?;
                    Ok((kdf, reader.next().read_sequence(read_pbkdf2)?))
                })?;
                let cipher = reader.next().read_sequence(|reader| {
                    Ok((reader.next().read_oid()?, reader.next().read_bytes()?))
                })?;
                Ok((kdf, parameters, cipher))
            })
        })?;
        let prf = match prf {
            None => pbkdf2::PBKDF2_HMAC_SHA1,
            Some(prf) if is(&prf, HMAC_SHA1) => pbkdf2::PBKDF2_HMAC_SHA1,
            Some(prf) if is(&prf, HMAC_SHA256) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some(prf) if is(&prf, HMAC_SHA384) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some(prf) if is(&prf, HMAC_SHA512) => pbkdf2::PBKDF2_HMAC_SHA512,
            Some(_) => return Err(P12Error::Unknown("the key derivation")),
        };
        let length = match () {
            () if is(&cipher, AES_128_CBC) => 16,
            () if is(&cipher, AES_192_CBC) || is(&cipher, DES_EDE3_CBC) => 24,
            () if is(&cipher, AES_256_CBC) => 32,
            () => return Err(P12Error::Unknown("the cipher")),
        };
        if !is(&kdf, PBKDF2) {
            return Err(P12Error::Unknown("the key derivation"));
        }
        checked(iterations)?;
        let iterations = NonZeroU32::new(iterations).ok_or(P12Error::Malformed)?;
        let mut key = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(prf, iterations, &salt, password.as_bytes(), &mut key);
        match () {
            () if is(&cipher, AES_128_CBC) => self.decrypt::<aes::Aes128>(&key, &iv),
            () if is(&cipher, AES_192_CBC) => self.decrypt::<aes::Aes192>(&key, &iv),
            () if is(&cipher, AES_256_CBC) => self.decrypt::<aes::Aes256>(&key, &iv),
            () => self.decrypt::<des::TdesEde3>(&key, &iv),
        }
    }

    /// With a cipher in CBC mode.
    fn decrypt<C>(&self, key: &[u8], iv: &[u8]) -> Result<Zeroizing<Vec<u8>>, P12Error>
    where
        C: BlockCipher + BlockDecryptMut + KeyInit,
    {
        let cipher = C::new_from_slice(key).map_err(|_| P12Error::Malformed)?;
        let mut text = Zeroizing::new(self.ciphertext.clone());
        let length = cbc::Decryptor::inner_iv_slice_init(cipher, iv)
            .map_err(|_| P12Error::Malformed)?
            .decrypt_padded_mut::<Pkcs7>(&mut text)
            .map_err(|_| P12Error::Password)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    fn open_legacy(
        &self,
        kind: &ObjectIdentifier,
        parameters: &[u8],
        password: &str,
    ) -> Result<Zeroizing<Vec<u8>>, P12Error> {
        let (salt, iterations) = parse_ber(parameters, |reader| {
            reader.read_sequence(|reader| {
                Ok((reader.next().read_bytes()?, reader.next().read_u32()?))
            })
        })?;
        let iterations = checked(iterations)?;
        let derive = |purpose, length| {
            derive_key_utf8::<sha1::Sha1>(password, &salt, purpose, iterations, length)
                .map(Zeroizing::new)
                .map_err(|_| P12Error::Malformed)
        };
        let key = |length| derive(Pkcs12KeyType::EncryptionKey, length);
        let iv = derive(Pkcs12KeyType::Iv, 8)?;
        if is(kind, PBE_SHA1_3DES) {
            self.decrypt::<des::TdesEde3>(&key(24)?, &iv)
        } else {
            let bytes = if is(kind, PBE_SHA1_RC2_40) { 5 } else { 16 };
            self.decrypt::<rc2::Rc2>(&key(bytes)?, &iv)
        }
    }
}

/// Salt, iterations and pseudo-random function.
fn read_pbkdf2(
    reader: &mut BERReaderSeq<'_, '_>,
) -> ASN1Result<(Vec<u8>, u32, Option<ObjectIdentifier>)> {
    let salt = reader.next().read_bytes()?;
    let iterations = reader.next().read_u32()?;
    // The key's length, which the cipher tells too.
    reader.read_optional(|reader| reader.read_u16())?;
    let prf = reader.read_optional(|reader| {
        reader.read_sequence(|reader| {
            let prf = reader.next().read_oid()?;
            reader.read_optional(|reader| reader.read_null())?;
            Ok(prf)
        })
    })?;
    Ok((salt, iterations, prf))
}

/// A part of the contents.
enum Part {
    Plain(Vec<u8>),
    Encrypted(Protected),
}

fn parts(contents: &[u8]) -> Result<Vec<Part>, P12Error> {
    Ok(parse_ber(contents, |reader| {
        reader.collect_sequence_of(|reader| {
            reader.read_sequence(|reader| {
                let kind = reader.next().read_oid()?;
                if is(&kind, DATA) {
                    return Ok(Part::Plain(explicit_bytes(reader.next())?));
                }
                if !is(&kind, ENCRYPTED_DATA) {
                    return Err(ASN1Error::new(ASN1ErrorKind::Invalid));
                }
                reader.next().read_tagged(Tag::context(0), |reader| {
                    reader.read_sequence(|reader| {
                        reader.next().read_u8()?;
                        reader.next().read_sequence(|reader| {
                            reader.next().read_oid()?;
                            let algorithm = reader.next().read_der()?;
                            let ciphertext = reader
                                .next()
                                .read_tagged_implicit(Tag::context(0), |reader| {
                                    reader.read_bytes()
                                })?;
                            Ok(Part::Encrypted(Protected {
                                algorithm,
                                ciphertext,
                            }))
                        })
                    })
                })
            })
        })
    })?)
}

struct Bag {
    kind: ObjectIdentifier,
    value: Vec<u8>,
}

fn bags_in(bags: &[u8]) -> Result<Vec<Bag>, P12Error> {
    Ok(parse_ber(bags, |reader| {
        reader.collect_sequence_of(|reader| {
            reader.read_sequence(|reader| {
                let kind = reader.next().read_oid()?;
                let value = reader
                    .next()
                    .read_tagged(Tag::context(0), |reader| reader.read_der())?;
                // Names and key ids; keys and certificates find each other without them.
                reader.read_optional(|reader| reader.read_der())?;
                Ok(Bag { kind, value })
            })
        })
    })?)
}

/// `[0] EXPLICIT OCTET STRING`.
fn explicit_bytes(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_tagged(Tag::context(0), |reader| reader.read_bytes())
}

fn is(oid: &ObjectIdentifier, known: &[u64]) -> bool {
    oid.components().as_slice() == known
}
