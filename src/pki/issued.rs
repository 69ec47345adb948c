//! The index of issued certificates: one line of JSON for each, in the identity directory.
//!
//! `cluster-NAME.crt` holds only a cluster's newest certificate, and older ones stay valid, so
//! without an index nobody could revoke what a former setup of the same cluster gave out. The
//! reference keeps no such record, and what it signed appears here only by its file.
//!
//! A line that cannot be read is reported and kept; it costs only itself.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::dir::{DirError, IdentityDir, Lock};
use super::facts::{Facts, Fingerprint, Moment};
use super::store::StoreError;

/// Name of the index in the identity directory.
pub const FILE: &str = "qarbiter-issued.jsonl";

/// The most certificates that the index holds: each cluster joined anew ten times, with a
/// thousand clusters.
const MAX_ENTRIES: usize = 10_000;

/// Above the size of that many lines with the longest names.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Signed certificates are public, and so is this; who may not list the directory may not read it
/// either.
const MODE: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o640);

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// What the certificate says.
    #[serde(flatten)]
    pub facts: Facts,
    /// The CA that signed it: after `corosync-qnetd-certutil -i` made a new one, certificates of
    /// the former CA are of no use any more.
    pub ca: Fingerprint,
    /// When it was signed, by this machine's clock.
    pub issued: Moment,
}

/// What the index says.
#[derive(Debug, Default)]
pub struct Index {
    /// In the order of issue.
    pub entries: Vec<Issued>,
    /// What cannot be read, in words for a person.
    pub complaints: Vec<Damaged>,
}

/// A line of the index that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of {path} is damaged ({reason}); the certificate that it described can only be \
     revoked by its serial number. Delete the line, or restore the file from a backup",
    path = path.display()
)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    reason: String,
}

impl Index {
    /// Reads the index of an identity directory; without one it is empty.
    ///
    /// # Errors
    /// The file is there but cannot be read, or is longer than any that is written here.
    pub fn load(dir: &Path) -> Result<Self, DirError> {
        Self::read(&IdentityDir::open(dir)?)
    }

    pub(super) fn read(dir: &IdentityDir) -> Result<Self, DirError> {
        let mut index = Self::default();
        let contents = contents(dir)?;
        for (number, line) in lines(&contents).enumerate() {
            match serde_json::from_slice(line) {
                Ok(entry) => index.entries.push(entry),
                Err(error) => index.complaints.push(Damaged {
                    path: dir.path_of(FILE),
                    line: number + 1,
                    reason: error.to_string(),
                }),
            }
        }
        Ok(index)
    }
}

/// Adds a certificate that is about to be given out. Comes before the certificate's own file is
/// written: a line without a certificate does no harm, the other way round it could never be
/// found again.
pub(super) fn record(
    dir: &IdentityDir,
    lock: &Lock,
    ca: &CertificateDer<'_>,
    certificate: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<(), StoreError> {
    let entry = Issued {
        facts: Facts::of(certificate)?,
        ca: Fingerprint::of(ca),
        issued: now.into(),
    };
    let contents = contents(dir)?;
    let mut kept: Vec<&[u8]> = lines(&contents).collect();
    if kept.len() >= MAX_ENTRIES {
        kept.retain(|line| !is_over(line, entry.issued));
        let surplus = (kept.len() + 1).saturating_sub(MAX_ENTRIES);
        kept.drain(..surplus);
    }
    let line =
        serde_json::to_vec(&entry).map_err(|error| super::CaError::Damaged(error.to_string()))?;
    kept.push(&line);
    let mut file = kept.join(&b'\n');
    file.push(b'\n');
    Ok(dir.write(lock, FILE, &file, MODE)?)
}

fn contents(dir: &IdentityDir) -> Result<Vec<u8>, DirError> {
    Ok(dir
        .read(FILE, MAX_BYTES)?
        .map_or_else(Vec::new, |(contents, _)| contents))
}

fn lines(contents: &[u8]) -> impl Iterator<Item = &[u8]> {
    contents
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
}

fn is_over(line: &[u8], now: Moment) -> bool {
    serde_json::from_slice::<Issued>(line).is_ok_and(|entry| entry.facts.not_after < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ca::Authority;

    fn record_all(dir: &IdentityDir, serials: std::ops::Range<u64>) {
        let now = SystemTime::now();
        let ca = Authority::generate(crate::pki::KeyKind::P256, 101, now).unwrap();
        for serial in serials {
            let certificate = ca
                .issue_server(crate::pki::Profile::default(), serial, now)
                .unwrap()
                .certificate;
            let lock = dir.lock().unwrap();
            record(dir, &lock, &ca.keyed().certificate, &certificate, now).unwrap();
        }
    }

    #[test]
    fn a_damaged_line_costs_only_itself_and_stays() {
        let place = tempfile::tempdir().unwrap();
        let dir = IdentityDir::open(place.path()).unwrap();
        assert!(Index::load(place.path()).unwrap().entries.is_empty());
        record_all(&dir, 103..105);
        let file = place.path().join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        // Half of the last line, as after a power failure on another file system than ours.
        std::fs::write(&file, &text[..text.len() - 80]).unwrap();
        record_all(&dir, 105..106);
        let index = Index::load(place.path()).unwrap();
        let serials: Vec<_> = index
            .entries
            .iter()
            .map(|e| e.facts.serial.to_string())
            .collect();
        assert_eq!(serials, ["103", "105"]);
        let complaints: Vec<_> = index.complaints.iter().map(|c| c.line).collect();
        assert_eq!(complaints, [2]);
        let text = index.complaints[0].to_string();
        assert!(text.contains("line 2 of ") && text.contains(FILE), "{text}");
    }

    #[test]
    fn a_full_index_forgets_what_expired_and_then_what_is_oldest() {
        let place = tempfile::tempdir().unwrap();
        let dir = IdentityDir::open(place.path()).unwrap();
        record_all(&dir, 103..104);
        let file = place.path().join(FILE);
        let line = std::fs::read_to_string(&file).unwrap();
        let entry: Issued = serde_json::from_str(&line).unwrap();
        let mut many = String::new();
        for serial in 0..MAX_ENTRIES as u64 {
            let mut entry = entry.clone();
            entry.facts.serial = (1_000 + serial).into();
            if serial == 5 {
                entry.facts.not_after = Moment(1);
            }
            many += &(serde_json::to_string(&entry).unwrap() + "\n");
        }
        std::fs::write(&file, many).unwrap();
        let first_and_count = || {
            let entries = Index::load(place.path()).unwrap().entries;
            (entries[0].facts.serial.to_string(), entries.len())
        };
        record_all(&dir, 103..104);
        assert_eq!(first_and_count(), ("1000".to_owned(), MAX_ENTRIES));
        record_all(&dir, 104..105);
        assert_eq!(first_and_count(), ("1001".to_owned(), MAX_ENTRIES));
    }
}
