//! Files encrypted with a passphrase, in the age format, version 1 (C2SP, age.md).
//!
//! A standard format, so that a backup can be opened without this program: `age -d FILE`. The
//! parts come from well-kept crates (ring: ChaCha20-Poly1305, HKDF, HMAC; scrypt), put together
//! here because the `age` crate brings more than a hundred others, which would double what there
//! is to review for the sake of recipients and translations that we have no use for.
//!
//! Only passphrases as recipients, no armour.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

const VERSION: &str = "age-encryption.org/v1";
const STANZA: &str = "-> scrypt ";
const MAC_MARK: &str = "---";
const SCRYPT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";

/// Encrypting takes 64 MiB of memory and about a second on a Raspberry Pi, where age's own choice
/// of 18 would take 256 MiB.
const WORK_FACTOR: u8 = 16;

/// The most that decrypting may take: 1 GiB. What age itself writes takes a quarter of that.
const MAX_WORK_FACTOR: u8 = 20;

const FILE_KEY: usize = 16;
const SALT: usize = 16;
const PAYLOAD_NONCE: usize = 16;
const TAG: usize = 16;
const CHUNK: usize = 64 * 1024;

/// Above any header with one passphrase.
const MAX_HEADER: usize = 1024;

/// Why a file cannot be encrypted or decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgeError {
    /// Something else.
    #[error("it is not a file encrypted with a passphrase (age format, version 1)")]
    NotAge,
    /// Its maker asks for too much work.
    #[error(
        "decrypting it would take {} MiB of memory, more than the {} MiB that are allowed; \
         `age -d` has no such limit", mebibytes(.0), mebibytes(&MAX_WORK_FACTOR)
    )]
    WorkFactor(u8),
    /// The passphrase does not open it.
    #[error("the passphrase is wrong (or the beginning of the file was changed)")]
    WrongPassphrase,
    /// It was changed or cut off.
    #[error("it was changed or cut off since it was made; use another copy")]
    Damaged,
    /// The library or the operating system's random numbers failed.
    #[error("the cryptographic library failed")]
    Library,
}

fn mebibytes(work_factor: &u8) -> u64 {
    1_u64
        .checked_shl(u32::from(*work_factor))
        .map_or(u64::MAX, |n| n / 1024)
}

/// Encrypts.
///
/// # Errors
/// [`AgeError::Library`].
pub fn encrypt(plain: &[u8], passphrase: &str) -> Result<Vec<u8>, AgeError> {
    encrypt_with(WORK_FACTOR, plain, passphrase)
}

fn encrypt_with(work_factor: u8, plain: &[u8], passphrase: &str) -> Result<Vec<u8>, AgeError> {
    let random = SystemRandom::new();
    let (mut file_key, mut salt, mut nonce) = ([0; FILE_KEY], [0; SALT], [0; PAYLOAD_NONCE]);
    for bytes in [&mut file_key, &mut salt, &mut nonce] {
        random.fill(bytes).map_err(|_| AgeError::Library)?;
    }
    let mut wrapped = file_key.to_vec();
    wrapping_key(passphrase, &salt, work_factor)?
        .seal_in_place_append_tag(once(), Aad::empty(), &mut wrapped)
        .map_err(|_| AgeError::Library)?;
    let mut header = format!(
        "{VERSION}\n{STANZA}{} {work_factor}\n{}\n{MAC_MARK}",
        BASE64.encode(salt),
        BASE64.encode(wrapped)
    );
    let mac = hmac::sign(&mac_key(&file_key)?, header.as_bytes());
    header += &format!(" {}\n", BASE64.encode(mac.as_ref()));

    let key = payload_key(&file_key, &nonce)?;
    let mut file = header.into_bytes();
    file.extend_from_slice(&nonce);
    let count = plain.len().div_ceil(CHUNK).max(1);
    for number in 0..count {
        let start = number * CHUNK;
        let end = plain.len().min(start + CHUNK);
        let mut chunk = plain.get(start..end).ok_or(AgeError::Library)?.to_vec();
        key.seal_in_place_append_tag(
            chunk_nonce(number, number + 1 == count),
            Aad::empty(),
            &mut chunk,
        )
        .map_err(|_| AgeError::Library)?;
        file.append(&mut chunk);
    }
    Ok(file)
}

/// Decrypts, all or nothing.
///
/// # Errors
/// See [`AgeError`].
pub fn decrypt(file: &[u8], passphrase: &str) -> Result<Vec<u8>, AgeError> {
    let header = Header::parse(file).ok_or(AgeError::NotAge)?;
    if header.work_factor > MAX_WORK_FACTOR {
        return Err(AgeError::WorkFactor(header.work_factor));
    }
    let mut wrapped = header.wrapped;
    let file_key: [u8; FILE_KEY] = wrapping_key(passphrase, &header.salt, header.work_factor)?
        .open_in_place(once(), Aad::empty(), &mut wrapped)
        .map_err(|_| AgeError::WrongPassphrase)?
        .try_into()
        .map_err(|_| AgeError::NotAge)?;
    hmac::verify(&mac_key(&file_key)?, header.signed, &header.mac)
        .map_err(|_| AgeError::Damaged)?;
    let (nonce, payload) = header
        .payload
        .split_first_chunk::<PAYLOAD_NONCE>()
        .ok_or(AgeError::Damaged)?;
    let key = payload_key(&file_key, nonce)?;
    let mut plain = Vec::with_capacity(payload.len());
    let mut chunks = payload.chunks(CHUNK + TAG).enumerate().peekable();
    if chunks.peek().is_none() {
        return Err(AgeError::Damaged);
    }
    while let Some((number, chunk)) = chunks.next() {
        let is_last = chunks.peek().is_none();
        let mut chunk = chunk.to_vec();
        let opened = key
            .open_in_place(chunk_nonce(number, is_last), Aad::empty(), &mut chunk)
            .map_err(|_| AgeError::Damaged)?;
        // An empty last chunk would let one file have two forms.
        if opened.is_empty() && number > 0 {
            return Err(AgeError::Damaged);
        }
        plain.extend_from_slice(opened);
    }
    Ok(plain)
}

struct Header<'a> {
    salt: [u8; SALT],
    work_factor: u8,
    wrapped: Vec<u8>,
    /// What the MAC is over.
    signed: &'a [u8],
    mac: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// Only what [`encrypt`] and age write for a single passphrase.
    fn parse(file: &'a [u8]) -> Option<Self> {
        let mut rest = file;
        let mut position = 0;
        let mut line = || {
            let end = rest
                .iter()
                .take(MAX_HEADER)
                .position(|&byte| byte == b'\n')?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            let start = position;
            position += end + 1;
            Some((start, std::str::from_utf8(line).ok()?))
        };
        let (_, version) = line()?;
        let (_, stanza) = line()?;
        let (_, body) = line()?;
        let (mac_start, mac) = line()?;
        let (salt, work_factor) = stanza.strip_prefix(STANZA)?.split_once(' ')?;
        let digits =
            !work_factor.starts_with('0') && work_factor.bytes().all(|b| b.is_ascii_digit());
        if version != VERSION || !digits {
            return None;
        }
        let mac = mac.strip_prefix(MAC_MARK)?.strip_prefix(' ')?;
        Some(Self {
            salt: BASE64.decode(salt).ok()?.try_into().ok()?,
            work_factor: work_factor.parse().ok()?,
            wrapped: BASE64
                .decode(body)
                .ok()
                .filter(|b| b.len() == FILE_KEY + TAG)?,
            signed: file.get(..mac_start + MAC_MARK.len())?,
            mac: BASE64.decode(mac).ok()?,
            payload: rest,
        })
    }
}

fn wrapping_key(passphrase: &str, salt: &[u8], work_factor: u8) -> Result<LessSafeKey, AgeError> {
    let params = scrypt::Params::new(work_factor, 8, 1, 32).map_err(|_| AgeError::NotAge)?;
    let mut key = [0; 32];
    scrypt::scrypt(
        passphrase.as_bytes(),
        &[SCRYPT_LABEL, salt].concat(),
        &params,
        &mut key,
    )
    .map_err(|_| AgeError::Library)?;
    chacha(&key)
}

fn chacha(key: &[u8]) -> Result<LessSafeKey, AgeError> {
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .map(LessSafeKey::new)
        .map_err(|_| AgeError::Library)
}

/// The nonce for a key that encrypts one message only.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// A counter of 11 bytes, then whether it is the last chunk.
fn chunk_nonce(number: usize, is_last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    if let Some((last, counter)) = nonce.split_last_mut() {
        let number = (number as u64).to_be_bytes();
        for (place, byte) in counter.iter_mut().rev().zip(number.iter().rev()) {
            *place = *byte;
        }
        *last = u8::from(is_last);
    }
    Nonce::assume_unique_for_key(nonce)
}

fn mac_key(file_key: &[u8]) -> Result<hmac::Key, AgeError> {
    let mut key = [0; 32];
    derive(file_key, &[], b"header", &mut key)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> Result<LessSafeKey, AgeError> {
    let mut key = [0; 32];
    derive(file_key, nonce, b"payload", &mut key)?;
    chacha(&key)
}

fn derive(secret: &[u8], salt: &[u8], purpose: &[u8], key: &mut [u8; 32]) -> Result<(), AgeError> {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key))
        .map_err(|_| AgeError::Library)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little work, because most tests are not about it.
    fn encrypt(plain: &[u8], passphrase: &str) -> Result<Vec<u8>, AgeError> {
        encrypt_with(10, plain, passphrase)
    }

    const PASSPHRASE: &str = "correct horse";

    #[test]
    fn every_length_around_the_chunks_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let file = encrypt(&plain, PASSPHRASE).unwrap();
            assert_eq!(decrypt(&file, PASSPHRASE).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn the_age_program_and_ours_read_each_other() {
        let place = tempfile::tempdir().unwrap();
        let (plain, file) = (place.path().join("plain"), place.path().join("file"));
        let text: Vec<u8> = (0..CHUNK + 100).map(|n| (n % 251) as u8).collect();
        std::fs::write(&plain, &text).unwrap();
        std::fs::write(&file, super::encrypt(&text, PASSPHRASE).unwrap()).unwrap();
        // age asks for passphrases on a terminal only, which script(1) provides.
        let age = |command: String, answers: u8| {
            let line = format!(
                "for i in $(seq {answers}); do sleep 1; echo {PASSPHRASE:?}; done | \
                 script -qec {command:?} /dev/null"
            );
            let output = std::process::Command::new("sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
        };
        let (opened, made) = (place.path().join("opened"), place.path().join("made"));
        age(
            format!("age -d -o {} {}", opened.display(), file.display()),
            1,
        );
        assert_eq!(std::fs::read(opened).unwrap(), text);
        age(
            format!("age -p -o {} {}", made.display(), plain.display()),
            2,
        );
        let made = std::fs::read(made).unwrap();
        assert_eq!(decrypt(&made, PASSPHRASE).unwrap(), text);
    }

    #[test]
    fn a_wrong_passphrase_is_named() {
        let file = encrypt(b"secret", PASSPHRASE).unwrap();
        for wrong in ["", "correct horsf", "correct horse "] {
            assert_eq!(decrypt(&file, wrong), Err(AgeError::WrongPassphrase));
        }
    }

    #[test]
    fn no_changed_or_cut_file_is_opened() {
        let plain = vec![7; CHUNK + 5];
        let file = encrypt(&plain, PASSPHRASE).unwrap();
        let header = Header::parse(&file).unwrap();
        let payload = file.len() - header.payload.len();
        let interesting = [0, 25, 40, 60, 80, 130, payload - 3];
        let payload_bytes = [payload, payload + 17, payload + CHUNK + 40, file.len() - 1];
        for position in interesting.into_iter().chain(payload_bytes) {
            let mut changed = file.clone();
            changed[position] ^= 1;
            assert!(decrypt(&changed, PASSPHRASE).is_err(), "{position}");
        }
        // The last is cut exactly after a whole chunk.
        let chunk_end = payload + PAYLOAD_NONCE + CHUNK + TAG;
        for length in [0, 10, payload - 1, payload + 8, file.len() - 1, chunk_end] {
            assert!(decrypt(&file[..length], PASSPHRASE).is_err(), "{length}");
        }
        let longer = [&file[..], &[0]].concat();
        assert_eq!(decrypt(&longer, PASSPHRASE), Err(AgeError::Damaged));
    }

    #[test]
    fn too_much_work_is_refused_before_it_begins() {
        let file = encrypt(b"", PASSPHRASE).unwrap();
        let text = String::from_utf8_lossy(&file[..80]).into_owned();
        let end = text.find(" 10\n").unwrap();
        for (factor, error) in [
            ("21", AgeError::WorkFactor(21)),
            ("63", AgeError::WorkFactor(63)),
            ("010", AgeError::NotAge),
            ("+10", AgeError::NotAge),
            ("300", AgeError::NotAge),
        ] {
            let harder = [&file[..=end], factor.as_bytes(), &file[end + 3..]].concat();
            assert_eq!(decrypt(&harder, PASSPHRASE), Err(error), "{factor}");
        }
    }
}
