//! Revoked certificates: a standard list (X.509 CRL, RFC 5280 section 5), signed by our CA, in the
//! identity directory.
//!
//! Because it is signed, a list that was damaged or put there by somebody else is noticed, and
//! because it is standard, other tools can read it (`openssl crl -text`). The reference does not
//! know it: after going back to it, revoked certificates are accepted again.
//!
//! A missing file means that nothing was revoked. A list that is there and cannot be relied on is
//! an error, and nobody goes on as if it were empty: a starting daemon refuses to start, a running
//! one keeps the last good list ([`Watch`]).

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};

use super::ca::{self, Authority, CaError};
use super::dir::{DirError, IdentityDir, Lock};
use super::facts::{Moment, Serial};
use super::store::StoreError;

/// Name of the list in the identity directory.
pub const FILE: &str = "qarbiter-revoked.crl";

/// Above a list of some 100,000 certificates.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Public, like certificates.
const MODE: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o640);

/// Nobody fetches the list again by a date, but RFC 5280 demands one.
const NEXT_UPDATE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why a certificate was revoked: those reasons of RFC 5280, section 5.3.1, that can concern a
/// cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// None was given.
    #[default]
    Unspecified,
    /// The key may be in the wrong hands.
    KeyCompromise,
    /// There is a newer one.
    Superseded,
    /// The cluster is no more.
    CessationOfOperation,
    /// The cluster may not use this arbiter any more.
    PrivilegeWithdrawn,
    /// Another reason, which another program wrote.
    Other,
}

impl Reason {
    /// Those that can be given.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    fn to_standard(self) -> RevocationReason {
        match self {
            Self::Unspecified | Self::Other => RevocationReason::Unspecified,
            Self::KeyCompromise => RevocationReason::KeyCompromise,
            Self::Superseded => RevocationReason::Superseded,
            Self::CessationOfOperation => RevocationReason::CessationOfOperation,
            Self::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        }
    }

    fn of(entry: &RevokedCertificate<'_>) -> Self {
        let code =
            entry
                .extensions()
                .iter()
                .find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::ReasonCode(code) => Some(code.0),
                    _ => None,
                });
        match code {
            None => Self::Unspecified,
            Some(code) => Self::ALL
                .into_iter()
                .find(|reason| reason.to_standard() as u8 == code)
                .unwrap_or(Self::Other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
            Self::Other => "other",
        })
    }
}

impl FromStr for Reason {
    type Err = NotAReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.to_string() == text)
            .ok_or_else(|| NotAReason(text.to_owned()))
    }
}

/// A text that is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no reason; possible are {all}", all = Reason::ALL.map(|r| r.to_string()).join(", "))]
pub struct NotAReason(String);

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// When, by this machine's clock.
    pub at: Moment,
    /// Why.
    pub reason: Reason,
}

/// The verified list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revoked {
    entries: HashMap<Serial, Revocation>,
    /// RFC 5280, section 5.2.3; grows with every new list.
    number: u64,
}

/// Why a list cannot be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokedError {
    /// The operating system refused.
    #[error("{0}; without the list of revoked certificates nobody can tell who may vote")]
    Dir(#[from] DirError),
    /// It is not a list, or was changed.
    #[error(
        "the list of revoked certificates, {path}, cannot be relied on: {reason}. Restore it from \
         a backup, or delete it and revoke again what must not vote (qarbiter certs revoke)",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates were revoked, and now the list is gone.
    #[error(
        "the list of revoked certificates, {path}, is gone; what it said still counts until the \
         arbiter is started again. Restore it from a backup, or revoke again \
         (qarbiter certs revoke)",
        path = .0.display()
    )]
    Gone(PathBuf),
}

impl Revoked {
    /// Reads the list of an identity directory and checks that `ca` signed it. Without a file the
    /// list is empty.
    ///
    /// # Errors
    /// See [`RevokedError`]; all of them mean that nothing is known.
    pub fn load(dir: &Path, ca: &CertificateDer<'_>) -> Result<Self, RevokedError> {
        Self::read(&IdentityDir::open(dir)?, ca)
    }

    pub(super) fn read(dir: &IdentityDir, ca: &CertificateDer<'_>) -> Result<Self, RevokedError> {
        let Some((pem, _)) = dir.read(FILE, MAX_BYTES)? else {
            return Ok(Self::default());
        };
        Self::parse(&pem, ca).map_err(|reason| RevokedError::Damaged {
            path: dir.path_of(FILE),
            reason,
        })
    }

    fn parse(pem: &[u8], ca: &CertificateDer<'_>) -> Result<Self, String> {
        let der = CertificateRevocationListDer::from_pem_slice(pem)
            .map_err(|error| format!("it is not a PEM file with one ({error})"))?;
        let (rest, list) = CertificateRevocationList::from_der(&der)
            .map_err(|error| format!("it cannot be read ({error})"))?;
        if !rest.is_empty() {
            return Err("bytes follow its end".to_owned());
        }
        let ca = ca::parse(ca).map_err(|error| error.to_string())?;
        list.verify_signature(ca.public_key()).map_err(|_| {
            "it is not signed by this arbiter's CA: it was changed, or belongs to a former CA"
                .to_owned()
        })?;
        let entries = list.iter_revoked_certificates().map(|entry| {
            let revocation = Revocation {
                at: entry.revocation_date.into(),
                reason: Reason::of(entry),
            };
            (Serial::from_be(entry.raw_serial()), revocation)
        });
        Ok(Self {
            entries: entries.collect(),
            number: list
                .crl_number()
                .and_then(|number| u64::try_from(number).ok())
                .ok_or("it has no usable number")?,
        })
    }

    /// Whether the certificate with this serial number was revoked: big-endian bytes without
    /// leading zeros, as [`crate::tls::IsRevoked`] has them.
    #[must_use]
    pub fn contains(&self, serial: &[u8]) -> bool {
        self.entries.contains_key(serial)
    }

    /// When and why a certificate was revoked, if it was.
    #[must_use]
    pub fn get(&self, serial: &Serial) -> Option<Revocation> {
        self.entries.get(serial).copied()
    }

    /// How many certificates were revoked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, by number.
    #[must_use]
    pub fn to_sorted(&self) -> Vec<(&Serial, Revocation)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(serial, r)| (serial, *r))
            .collect();
        all.sort_by_key(|(serial, _)| *serial);
        all
    }

    /// Puts certificates on the list. One that is there keeps its date, and its reason too unless
    /// that was unspecified. Returns how many are new.
    pub(crate) fn add(&mut self, serials: &[Serial], revocation: Revocation) -> usize {
        let before = self.entries.len();
        for serial in serials {
            let entry = self.entries.entry(serial.clone()).or_insert(revocation);
            if entry.reason == Reason::Unspecified {
                entry.reason = revocation.reason;
            }
        }
        self.entries.len() - before
    }

    /// Takes certificates off the list. Returns how many were on it.
    pub(super) fn remove(&mut self, serials: &[Serial]) -> usize {
        let removed = serials.iter().filter(|s| self.entries.remove(*s).is_some());
        removed.count()
    }

    /// Signs the list anew and replaces the file.
    pub(super) fn write(
        &mut self,
        dir: &IdentityDir,
        lock: &Lock,
        authority: &Authority,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.number = self.number.checked_add(1).ok_or(CaError::Dates)?;
        let start = date_time_ymd(1970, 1, 1);
        let at = |moment: Moment| {
            // The last moment that the format can express is that of the year 9999.
            start + Duration::from_secs(moment.0.min(LAST_MOMENT))
        };
        let revoked = self.to_sorted().into_iter().map(|(serial, revocation)| {
            let reason = revocation.reason.to_standard();
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial.as_bytes()),
                revocation_time: at(revocation.at),
                reason_code: (reason != RevocationReason::Unspecified).then_some(reason),
                invalidity_date: None,
            }
        });
        let this_update = at(Moment::from(now).min(Moment(LAST_MOMENT - NEXT_UPDATE.as_secs())));
        let params = CertificateRevocationListParams {
            this_update,
            next_update: this_update + NEXT_UPDATE,
            crl_number: SerialNumber::from(self.number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params
            .signed_by(authority.issuer())
            .map_err(CaError::from)?;
        let pem = ca::encode("X509 CRL", list.der());
        // What we wrote must be readable, or the next start of the daemon fails.
        let written = Self::parse(pem.as_bytes(), &authority.keyed().certificate)
            .map_err(CaError::Damaged)?;
        if written.entries.len() != self.entries.len() {
            return Err(CaError::Damaged("the new list lacks a certificate".to_owned()).into());
        }
        Ok(dir.write(lock, FILE, pem.as_bytes(), MODE)?)
    }
}

/// 9999-12-31 23:59:59 UTC.
const LAST_MOMENT: u64 = 253_402_300_799;

/// The list of a running daemon.
#[derive(Debug, Clone)]
pub struct Watch {
    path: PathBuf,
    ca: CertificateDer<'static>,
    stamp: Option<Stamp>,
    current: Arc<Revoked>,
}

/// What changes when the file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device_and_inode: (u64, u64),
    changed: (i64, i64),
    bytes: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self {
            device_and_inode: (found.dev(), found.ino()),
            changed: (found.ctime(), found.ctime_nsec()),
            bytes: found.size(),
        })
    }
}

impl Watch {
    /// Reads the list at the start of a daemon. See [`Revoked::load`].
    ///
    /// # Errors
    /// Those of [`Revoked::load`]; the daemon must not start.
    pub fn start(dir: &Path, ca: CertificateDer<'static>) -> Result<Self, RevokedError> {
        let path = dir.join(FILE);
        // Before reading, so that a change in between is seen next time.
        let stamp = Stamp::of(&path);
        let current = Arc::new(Revoked::load(dir, &ca)?);
        Ok(Self {
            path,
            ca,
            stamp,
            current,
        })
    }

    /// The last good list.
    #[must_use]
    pub fn current(&self) -> &Arc<Revoked> {
        &self.current
    }

    /// Looks whether the file was replaced and reads it then; otherwise this is one call of
    /// stat(2), cheap enough for every second. `Some` with the new list if it says something else
    /// than before.
    ///
    /// # Errors
    /// The new list cannot be relied on: the last good one stays in force. Each state of the file
    /// is reported once.
    pub fn poll(&mut self) -> Result<Option<Arc<Revoked>>, RevokedError> {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return Ok(None);
        }
        let former = std::mem::replace(&mut self.stamp, stamp);
        if stamp.is_none() && !self.current.is_empty() {
            return Err(RevokedError::Gone(self.path.clone()));
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let new = match Revoked::load(dir, &self.ca) {
            Err(RevokedError::Dir(error)) => {
                // It may be readable next time.
                self.stamp = former;
                return Err(RevokedError::Dir(error));
            }
            other => other?,
        };
        if new.entries == self.current.entries {
            return Ok(None);
        }
        self.current = Arc::new(new);
        Ok(Some(self.current.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct World {
        place: tempfile::TempDir,
        ca: Authority,
    }

    impl World {
        fn new() -> Self {
            Self {
                place: tempfile::tempdir().unwrap(),
                ca: Authority::generate(crate::pki::KeyKind::P256, 101, SystemTime::now()).unwrap(),
            }
        }

        fn file(&self) -> PathBuf {
            self.place.path().join(FILE)
        }

        fn certificate(&self) -> CertificateDer<'static> {
            self.ca.keyed().certificate.clone()
        }

        fn load(&self) -> Result<Revoked, RevokedError> {
            Revoked::load(self.place.path(), &self.certificate())
        }

        fn change(&self, change: impl FnOnce(&mut Revoked)) {
            let dir = IdentityDir::open(self.place.path()).unwrap();
            let lock = dir.lock().unwrap();
            let mut list = self.load().unwrap();
            change(&mut list);
            list.write(&dir, &lock, &self.ca, SystemTime::now())
                .unwrap();
        }

        fn revoke(&self, serials: &[u64], reason: Reason) {
            let serials: Vec<Serial> = serials.iter().map(|&n| n.into()).collect();
            let at = Moment(1_795_402_800);
            self.change(|list| {
                list.add(&serials, Revocation { at, reason });
            });
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let world = World::new();
        assert!(world.load().unwrap().is_empty());
        world.revoke(&[103, 128, 65_536], Reason::KeyCompromise);
        world.revoke(&[104, 103], Reason::Unspecified);
        let list = world.load().unwrap();
        let numbers: Vec<_> = list
            .to_sorted()
            .iter()
            .map(|(s, _)| s.to_string())
            .collect();
        assert_eq!(numbers, ["103", "104", "128", "65536"]);
        assert_eq!(list.number, 2);
        assert_eq!(
            list.get(&Serial::from(103)),
            Some(Revocation {
                at: Moment(1_795_402_800),
                reason: Reason::KeyCompromise
            })
        );
        assert!(list.contains(&[128]) && list.contains(&[1, 0, 0]));
        assert!(!list.contains(&[0, 128]) && !list.contains(&[]) && !list.contains(&[105]));
        world.change(|list| assert_eq!(list.remove(&[103.into(), 999.into()]), 1));
        let list = world.load().unwrap();
        assert_eq!((list.len(), list.contains(&[103])), (3, false));
    }

    #[test]
    fn reasons_survive_and_are_named_as_they_are_read() {
        let world = World::new();
        for (serial, reason) in (200..).zip(Reason::ALL) {
            world.revoke(&[serial], reason);
            assert_eq!(
                world.load().unwrap().get(&serial.into()).unwrap().reason,
                reason
            );
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        let error = "lost".parse::<Reason>().unwrap_err().to_string();
        assert!(error.contains("key-compromise"), "{error}");
    }

    #[test]
    fn no_altered_byte_changes_what_the_list_says() {
        let world = World::new();
        world.revoke(&[103], Reason::KeyCompromise);
        let original = world.load().unwrap();
        let pem = fs::read(world.file()).unwrap();
        let der = CertificateRevocationListDer::from_pem_slice(&pem).unwrap();
        let mut refused = 0;
        for position in 0..der.len() {
            let mut altered = der.to_vec();
            altered[position] ^= 1;
            fs::write(world.file(), ca::encode("X509 CRL", &altered)).unwrap();
            // The frame around the signed part has bytes that mean the same either way.
            match world.load() {
                Ok(list) => assert_eq!(list, original, "{position}"),
                Err(error) => {
                    assert!(matches!(error, RevokedError::Damaged { .. }), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(refused >= der.len() - 2, "{refused} of {}", der.len());
        for length in [0, 1, 100, pem.len() - 30] {
            fs::write(world.file(), &pem[..length]).unwrap();
            assert!(world.load().is_err(), "{length}");
        }
    }

    #[test]
    fn a_list_of_another_ca_of_the_same_name_is_refused() {
        let world = World::new();
        world.revoke(&[103], Reason::Unspecified);
        let other = World::new();
        fs::copy(world.file(), other.file()).unwrap();
        let error = other.load().unwrap_err().to_string();
        assert!(error.contains("not signed by this arbiter's CA"), "{error}");
    }

    #[test]
    fn a_running_daemon_sees_changes_once_and_keeps_the_last_good_list() {
        let world = World::new();
        let mut watch = Watch::start(world.place.path(), world.certificate()).unwrap();
        assert!(watch.poll().unwrap().is_none());
        world.revoke(&[103], Reason::Unspecified);
        assert!(watch.poll().unwrap().unwrap().contains(&[103]));
        assert!(watch.poll().unwrap().is_none());
        let good = fs::read(world.file()).unwrap();

        fs::write(world.file(), "nonsense").unwrap();
        assert!(watch.poll().is_err());
        assert!(watch.poll().unwrap().is_none());
        fs::remove_file(world.file()).unwrap();
        assert!(matches!(watch.poll(), Err(RevokedError::Gone(_))));
        assert!(watch.poll().unwrap().is_none());
        assert!(watch.current().contains(&[103]));

        fs::write(world.file(), good).unwrap();
        assert!(watch.poll().unwrap().is_none(), "nothing else than before");
        world.change(|list| assert_eq!(list.remove(&[103.into()]), 1));
        assert!(watch.poll().unwrap().unwrap().is_empty());
        fs::remove_file(world.file()).unwrap();
        assert!(watch.poll().unwrap().is_none());
    }

    #[test]
    fn a_damaged_list_stops_the_start() {
        let world = World::new();
        fs::write(world.file(), "nonsense").unwrap();
        let error = Watch::start(world.place.path(), world.certificate()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(FILE) && text.contains("backup"), "{text}");
    }

    #[test]
    fn openssl_reads_and_verifies_the_list() {
        let world = World::new();
        world.revoke(&[103], Reason::KeyCompromise);
        let ca = world.place.path().join("ca.pem");
        fs::write(&ca, ca::to_pem(&world.certificate())).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["crl", "-noout", "-text", "-CAfile"])
            .args([&ca, Path::new("-in"), &world.file()])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("verify OK"), "{said}");
        for part in [
            "Serial Number: 67",
            "Key Compromise",
            "X509v3 CRL Number: \n                1\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
