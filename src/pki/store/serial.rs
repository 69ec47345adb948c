//! Serial numbers: no two certificates of a CA may have the same one (provisioning spec, trap T4).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{MAX_FILE, StoreError, cluster_of_file};
use crate::pki::ca::serial_of;
use crate::pki::dir::{IdentityDir, Lock};

/// The last serial number in use, decimal.
pub(super) const SERIAL: &str = "serial.txt";

/// The serial number before the first: the CA gets 101, the server 102 (provisioning spec 2.2 and
/// trap T6: with 101 again, a node that still has a former CA fails at once and understandably).
const BEFORE_FIRST: u64 = 100;

/// How many numbers are left out where the file is lost, because certificates may have been issued
/// of which nothing is left here. No arbiter has signed as many, and the reference can go on from
/// there, too.
const JUMP: u64 = 10_000;

/// The largest number that the reference's tool can give. Certificates with larger ones are not
/// from there and not from here, so that they say nothing about the next number.
const LARGEST_OF_REFERENCE: u64 = i32::MAX as u64;

/// What is known about the numbers besides their file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    /// There is no identity yet.
    None,
    /// This number is in use, and there may be larger ones.
    Some(u64),
    /// This number is in use, and there are no larger ones.
    All(u64),
}

/// Takes the next serial number. It counts as used, durably, before anything is signed with it.
pub(super) fn next(dir: &IdentityDir, lock: &Lock, known: Known) -> Result<u64, StoreError> {
    let broken = |reason| StoreError::Serial {
        path: dir.path_of(SERIAL),
        reason,
    };
    let (written, mode) = match dir.read(SERIAL, MAX_FILE)? {
        // The reference's tool leaves an empty file when it is interrupted.
        Some((text, mode)) if text.trim_ascii().is_empty() => (None, mode),
        Some((text, mode)) => {
            let number = std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim_ascii().parse::<u64>().ok())
                .ok_or_else(|| broken("does not contain a decimal number"))?;
            (Some(number), mode)
        }
        None => (None, dir.access()?.files()),
    };
    let last = match (written, known) {
        (Some(written), Known::None) => written,
        (Some(written), Known::Some(known) | Known::All(known)) => written.max(known),
        (None, Known::None) => BEFORE_FIRST,
        (None, Known::Some(known)) => known.max(BEFORE_FIRST).saturating_add(JUMP),
        (None, Known::All(known)) => known.max(BEFORE_FIRST),
    };
    let next = last
        .checked_add(1)
        .ok_or_else(|| broken("contains the highest possible number"))?;
    dir.write(lock, SERIAL, format!("{next}\n").as_bytes(), mode)?;
    Ok(next)
}

/// The largest of some serial numbers and of those of all clusters' certificates in the directory.
pub(super) fn largest(dir: &IdentityDir, numbers: Vec<u64>) -> Result<u64, StoreError> {
    let mut largest = 0;
    let mut count = |number: u64| {
        if number <= LARGEST_OF_REFERENCE {
            largest = largest.max(number);
        }
    };
    numbers.into_iter().for_each(&mut count);
    for file in dir.names()? {
        if cluster_of_file(&file).is_none() {
            continue;
        }
        if let Some(certificate) = read_certificate(dir, &file)? {
            // What cannot be read as a certificate has no number.
            serial_of(&certificate).ok().flatten().map(&mut count);
        }
    }
    Ok(largest)
}

/// The certificate in a file, DER or PEM; `None` if there is no such file, or something else is in
/// it, as after a failed signing of the reference.
pub(super) fn read_certificate(
    dir: &IdentityDir,
    file: &str,
) -> Result<Option<CertificateDer<'static>>, StoreError> {
    let contents = match dir.read(file, MAX_FILE) {
        Ok(Some((contents, _))) => contents,
        Ok(None) => return Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::IsADirectory | std::io::ErrorKind::FileTooLarge
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(if contents.first() == Some(&0x30) {
        Some(CertificateDer::from(contents))
    } else {
        CertificateDer::from_pem_slice(&contents).ok()
    })
}
