//! Which certificates nodes have shown, and when last: kept by the daemon, read by
//! `qarbiter certs list`.
//!
//! This finds what no file in the identity directory tells about: certificates that the reference
//! signed and whose file was overwritten since. It is a convenience, and is treated so: a damaged
//! file is reported and begun anew, and it is written at most once an hour, because the arbiter
//! often lives on an SD card.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::ca::{CLOCK_FLOOR, CaError};
use super::dir::{DirError, IdentityDir};
use super::ends::End;
use super::facts::{Facts, Fingerprint, Moment, Serial};

/// Name of the file in the daemon's data directory.
pub const FILE: &str = "seen.json";

/// The most certificates that are remembered; then the one not seen for longest is forgotten.
/// All have been accepted, so only our own CA can make new ones.
pub const MAX_ENTRIES: usize = 16_384;

/// Above the size of that many with the longest names.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The shortest time between two writes, in seconds.
pub const WRITE_INTERVAL: u64 = 3600;

/// Nothing in it is secret.
const MODE: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o640);

/// A certificate that a node has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What it says.
    #[serde(flatten)]
    pub facts: Facts,
    /// When it was seen first.
    pub first: Moment,
    /// When it was seen last, to the hour.
    pub last: Moment,
}

/// The file's contents.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    ca: Option<Fingerprint>,
    seen: Vec<Sighting>,
}

/// All certificates that were seen.
#[derive(Debug)]
pub struct Seen {
    dir: PathBuf,
    ca: Fingerprint,
    by_serial: HashMap<Serial, Sighting>,
    changed: bool,
    written: Moment,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// The operating system refused.
    #[error("{0} (when certificates were seen last)")]
    Dir(#[from] DirError),
    /// It is not what was written.
    #[error(
        "{path} is damaged ({reason}), so when certificates were seen last is unknown before now; \
         it is written anew",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Seen {
    /// Reads what was seen before by the daemon with this data directory and CA. An error is for
    /// the log, and the daemon goes on with nothing seen.
    #[must_use]
    pub fn load(dir: &Path, ca: &CertificateDer<'_>, now: Moment) -> (Self, Option<SeenError>) {
        let ca = Fingerprint::of(ca);
        let (page, error) = match read(dir) {
            Ok(page) => (page, None),
            Err(error) => (Page::default(), Some(error)),
        };
        // Serial numbers of another CA mean other certificates.
        let known = page.seen.into_iter().filter(|_| page.ca == Some(ca));
        let seen = Self {
            dir: dir.to_owned(),
            ca,
            by_serial: known
                .take(MAX_ENTRIES)
                .map(|sighting| (sighting.facts.serial.clone(), sighting))
                .collect(),
            changed: false,
            written: now,
        };
        (seen, error)
    }

    /// All of them, by serial number.
    #[must_use]
    pub fn to_sorted(&self) -> Vec<Sighting> {
        let mut all: Vec<_> = self.by_serial.values().cloned().collect();
        all.sort_by(|a, b| a.facts.serial.cmp(&b.facts.serial));
        all
    }

    /// Those with this common name, which for a node's certificate is its cluster's name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &Sighting> {
        let all = self.by_serial.values();
        all.filter(move |sighting| sighting.facts.name == name)
    }

    /// When they end and were seen last, in no order.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        let all = self.by_serial.values();
        all.map(|sighting| End::new(&sighting.facts, Some(sighting.last)))
            .collect()
    }

    /// Notes a certificate that was accepted in a handshake. Returns what it says if it was never
    /// seen before, so that the caller can look at its end at once
    /// ([`super::expiry::warning`]).
    ///
    /// # Errors
    /// [`CaError::Damaged`]; no certificate that a handshake accepted.
    pub fn record(
        &mut self,
        certificate: &CertificateDer<'_>,
        now: Moment,
    ) -> Result<Option<Facts>, CaError> {
        let facts = Facts::of(certificate)?;
        if self.touch(facts.serial.as_bytes(), now) {
            return Ok(None);
        }
        if self.by_serial.len() >= MAX_ENTRIES {
            let oldest = self.by_serial.values().min_by_key(|s| s.last);
            if let Some(oldest) = oldest.map(|sighting| sighting.facts.serial.clone()) {
                self.by_serial.remove(&oldest);
            }
        }
        let sighting = Sighting {
            facts: facts.clone(),
            first: now,
            last: now,
        };
        self.by_serial.insert(facts.serial.clone(), sighting);
        self.changed = true;
        Ok(Some(facts))
    }

    /// Notes that the certificate with this serial number (big-endian, no leading zeros) is still
    /// in use: for each live connection before [`Self::due`] and [`Self::last_page`]. Returns
    /// whether it is known.
    pub fn touch(&mut self, serial: &[u8], now: Moment) -> bool {
        let Some(sighting) = self.by_serial.get_mut(serial) else {
            return false;
        };
        // An unset clock knows less than what is there.
        if now.0 >= CLOCK_FLOOR && sighting.last != now {
            sighting.last = now;
            self.changed = true;
        }
        true
    }

    /// What is to be written now, at most once in [`WRITE_INTERVAL`]. The caller writes it where
    /// it may block ([`Unwritten::write`]).
    pub fn due(&mut self, now: Moment) -> Option<Unwritten> {
        // A clock that was set back must not delay this for years.
        let elapsed = now.0.checked_sub(self.written.0);
        if elapsed.is_some_and(|seconds| seconds < WRITE_INTERVAL) {
            return None;
        }
        self.last_page(now)
    }

    /// What is to be written when the daemon stops; `None` if nothing changed.
    pub fn last_page(&mut self, now: Moment) -> Option<Unwritten> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.written = now;
        Some(Unwritten {
            dir: self.dir.clone(),
            page: Page {
                ca: Some(self.ca),
                seen: self.to_sorted(),
            },
        })
    }
}

/// A copy of what was seen, to be written without holding any lock.
#[derive(Debug)]
#[must_use]
pub struct Unwritten {
    dir: PathBuf,
    page: Page,
}

impl Unwritten {
    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`SeenError`]; the next try is after [`WRITE_INTERVAL`].
    pub fn write(&self) -> Result<(), SeenError> {
        let text = serde_json::to_vec(&self.page).map_err(|error| damaged(&self.dir, &error))?;
        let dir = IdentityDir::open(&self.dir)?;
        let lock = dir.lock()?;
        Ok(dir.write(&lock, FILE, &text, MODE)?)
    }
}

fn read(dir: &Path) -> Result<Page, SeenError> {
    let open = match IdentityDir::open(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Page::default()),
        other => other?,
    };
    match open.read(FILE, MAX_BYTES)? {
        None => Ok(Page::default()),
        Some((text, _)) => serde_json::from_slice(&text).map_err(|error| damaged(dir, &error)),
    }
}

fn damaged(dir: &Path, error: &serde_json::Error) -> SeenError {
    SeenError::Damaged {
        path: dir.join(FILE),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ca::Authority;
    use std::time::SystemTime;

    const NOW: Moment = Moment(1_795_402_800);

    fn later(seconds: u64) -> Moment {
        Moment(NOW.0 + seconds)
    }

    fn ca() -> Authority {
        Authority::generate(crate::pki::KeyKind::P256, 101, SystemTime::now()).unwrap()
    }

    fn issue(ca: &Authority, serial: u64) -> CertificateDer<'static> {
        ca.issue_server(crate::pki::Profile::default(), serial, SystemTime::now())
            .unwrap()
            .certificate
    }

    #[test]
    fn what_was_seen_survives_a_restart_but_not_a_new_ca() {
        let place = tempfile::tempdir().unwrap();
        let authority = ca();
        let own = &authority.keyed().certificate;
        let (mut seen, error) = Seen::load(place.path(), own, NOW);
        assert!(error.is_none());
        let certificate = issue(&authority, 200);
        assert_eq!(
            seen.record(&certificate, NOW).unwrap().unwrap().serial,
            200.into()
        );
        assert_eq!(seen.record(&certificate, later(10)).unwrap(), None);
        seen.last_page(later(10)).unwrap().write().unwrap();
        let (again, error) = Seen::load(place.path(), own, later(20));
        assert!(error.is_none());
        let all = again.to_sorted();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].first, all[0].last), (NOW, later(10)));
        let (other, _) = Seen::load(place.path(), &ca().keyed().certificate, NOW);
        assert!(other.to_sorted().is_empty());
    }

    #[test]
    fn it_is_written_once_an_hour_and_only_after_a_change() {
        let place = tempfile::tempdir().unwrap();
        let authority = ca();
        let (mut seen, _) = Seen::load(place.path(), &authority.keyed().certificate, NOW);
        assert!(seen.due(later(WRITE_INTERVAL)).is_none());
        seen.record(&issue(&authority, 200), NOW).unwrap();
        assert!(seen.due(later(WRITE_INTERVAL - 1)).is_none());
        assert!(seen.due(later(WRITE_INTERVAL)).is_some());
        assert!(seen.due(later(WRITE_INTERVAL * 3)).is_none());
        assert!(seen.touch(&[200], later(WRITE_INTERVAL + 1)));
        assert!(!seen.touch(&[201], NOW));
        assert!(seen.due(later(WRITE_INTERVAL * 2 - 1)).is_none());
        // The clock was set back.
        assert!(seen.due(NOW).is_some());
        assert!(seen.last_page(NOW).is_none());
    }

    #[test]
    fn an_unset_clock_does_not_rejuvenate_or_age() {
        let place = tempfile::tempdir().unwrap();
        let authority = ca();
        let (mut seen, _) = Seen::load(place.path(), &authority.keyed().certificate, NOW);
        seen.record(&issue(&authority, 200), NOW).unwrap();
        assert!(seen.touch(&[200], Moment(5)));
        assert_eq!(seen.to_sorted()[0].last, NOW);
    }

    #[test]
    fn the_one_not_seen_for_longest_makes_room() {
        let place = tempfile::tempdir().unwrap();
        let authority = ca();
        let (mut seen, _) = Seen::load(place.path(), &authority.keyed().certificate, NOW);
        let facts = Facts::of(&issue(&authority, 200)).unwrap();
        for number in 0..MAX_ENTRIES as u64 {
            let mut facts = facts.clone();
            facts.serial = (1_000 + number).into();
            let last = later(if number == 7 { 0 } else { 1 });
            let sighting = Sighting {
                facts,
                first: NOW,
                last,
            };
            seen.by_serial
                .insert(sighting.facts.serial.clone(), sighting);
        }
        seen.record(&issue(&authority, 200), later(2)).unwrap();
        assert_eq!(seen.by_serial.len(), MAX_ENTRIES);
        assert!(!seen.touch(Serial::from(1_007).as_bytes(), NOW));
        assert!(seen.touch(&[200], NOW));
    }

    #[test]
    fn a_damaged_file_is_reported_and_replaced() {
        let place = tempfile::tempdir().unwrap();
        let authority = ca();
        let own = &authority.keyed().certificate;
        std::fs::write(place.path().join(FILE), "{\"ca\":").unwrap();
        let (mut seen, error) = Seen::load(place.path(), own, NOW);
        let text = error.unwrap().to_string();
        assert!(text.contains("seen.json is damaged"), "{text}");
        seen.record(&issue(&authority, 200), NOW).unwrap();
        seen.last_page(NOW).unwrap().write().unwrap();
        let (again, error) = Seen::load(place.path(), own, NOW);
        assert!(error.is_none());
        assert_eq!(again.to_sorted().len(), 1);
    }
}
