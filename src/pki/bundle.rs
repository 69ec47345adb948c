//! The whole identity in one encrypted file, so that a replacement machine is the same arbiter.
//!
//! A tar archive in an age file ([`super::age`]): `age -d FILE | tar x` unpacks it by hand. In it
//! are `qarbiter-export.json`, `state/` with the identity directory's files, and
//! `config/qarbiter.toml` if there is one.
//!
//! Only files with known names go in, and only those come out: an archive cannot write anywhere
//! else.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::age::{self, AgeError};
use super::dir::{Access, DirError, IdentityDir, Lock};
use super::facts::Moment;
use super::revoked::{self, Revoked, RevokedError};
use super::store::{Store, StoreError};
use super::{issued, store};

/// The last serial number in use, decimal.
const SERIAL: &str = "serial.txt";

const MANIFEST: &str = "qarbiter-export.json";
const STATE: &str = "state/";
const CONFIG: &str = "config/qarbiter.toml";

/// Version of what is in the archive.
const FORMAT: u32 = 1;

/// Above any file of an identity.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The most files, and bytes of all files.
const MAX_FILES: usize = 50_000;
const MAX_TOTAL: u64 = 256 * 1024 * 1024;

/// Where an import is put together before it takes its place.
const STAGING: &str = ".qarbiter-import";

/// How far an import moves the last serial number on. What the lost machine signed after the
/// export is unknown here, and no number may be used twice: a node that has a certificate refuses
/// another one with the same number (provisioning spec, trap T4).
pub const SERIAL_MARGIN: u64 = 1000;

/// Files of the identity directory that belong to the identity.
const FILES: [&str; 10] = [
    "cert9.db",
    "key4.db",
    "pkcs11.txt",
    "pwdfile.txt",
    "noise.txt",
    store::FORMER,
    SERIAL,
    "qnetd-cacert.crt",
    issued::FILE,
    revoked::FILE,
];

/// Their beginnings, and ends, where the rest is a cluster's name.
const FILES_BY_CLUSTER: [(&str, &str); 2] = [("cluster-", ".crt"), ("qdevice-net-node.crq.", "")];

/// What shows everybody that there is an identity; it appears last.
const MARKERS: [&str; 2] = ["cert9.db", store::FORMER];

/// Left by SQLite beside a database that is being changed.
const UNFINISHED: [&str; 4] = [
    "cert9.db-journal",
    "key4.db-journal",
    "cert9.db-wal",
    "key4.db-wal",
];

/// Everything that makes an arbiter this arbiter.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    /// Contents and mode by name.
    state: BTreeMap<String, (Vec<u8>, u32)>,
    config: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    version: String,
    created: Moment,
}

/// Why an identity cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The identity itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list of revoked certificates.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// The operating system refused.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The file cannot be opened or made.
    #[error("the export cannot be used: {0}")]
    Age(#[from] AgeError),
    /// It is something else in the right wrapping.
    #[error("the export cannot be used: {0}")]
    Archive(String),
    /// A program is writing to the databases, or died while it did.
    #[error(
        "{path} exists: another program is changing the database, or was interrupted. Try again, \
         and if it stays, open the database once: certutil -L -d {dir}",
        path = .0.display(), dir = .0.parent().unwrap_or(Path::new(".")).display()
    )]
    Unfinished(PathBuf),
}

/// What an import put in place.
#[derive(Debug)]
pub struct Imported {
    /// When the export was made.
    pub created: Moment,
    /// How many files there are in the identity directory.
    pub files: usize,
    /// The configuration file that was exported along, for the caller to put in its place.
    pub config: Option<Vec<u8>>,
}

impl Bundle {
    /// Takes up the identity of a directory, and a configuration file's contents.
    ///
    /// # Errors
    /// There is no usable identity, or a file cannot be read.
    pub fn collect(
        path: &Path,
        config: Option<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Self, BundleError> {
        // What cannot be used here is no backup.
        let store = Store::open(path)?;
        Revoked::load(path, &store.identity().ca)?;
        let dir = IdentityDir::open(path)?;
        let _lock = dir.lock()?;
        let names = dir.names()?;
        if let Some(name) = names
            .iter()
            .find(|name| UNFINISHED.contains(&name.as_str()))
        {
            return Err(BundleError::Unfinished(dir.path_of(name)));
        }
        let mut state = BTreeMap::new();
        for name in names.into_iter().filter(|name| belongs(name)) {
            if let Some((contents, mode)) = dir.read(&name, MAX_FILE)? {
                state.insert(name, (contents, mode.as_raw_mode() & 0o777));
            }
        }
        Ok(Self {
            manifest: Manifest {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                created: now.into(),
            },
            state,
            config,
        })
    }

    /// How many files of the identity directory are in it.
    #[must_use]
    pub fn files(&self) -> usize {
        self.state.len()
    }

    /// The encrypted file.
    ///
    /// # Errors
    /// [`BundleError::Age`].
    pub fn seal(&self, passphrase: &str) -> Result<Vec<u8>, BundleError> {
        let archive = self
            .to_tar()
            .map_err(|error| BundleError::Archive(error.to_string()))?;
        Ok(age::encrypt(&archive, passphrase)?)
    }

    fn to_tar(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, contents: &[u8], mode: u32| {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(mode);
            header.set_mtime(self.manifest.created.0);
            archive.append_data(&mut header, name, contents)
        };
        add(MANIFEST, &serde_json::to_vec(&self.manifest)?, 0o600)?;
        for (name, (contents, mode)) in &self.state {
            add(&format!("{STATE}{name}"), contents, *mode)?;
        }
        if let Some(config) = &self.config {
            add(CONFIG, config, 0o600)?;
        }
        archive.into_inner()
    }

    /// Opens an encrypted file. Nothing of it is used unless all of it is genuine.
    ///
    /// # Errors
    /// [`BundleError::Age`] for a wrong passphrase or a damaged file, [`BundleError::Archive`].
    pub fn open(file: &[u8], passphrase: &str) -> Result<Self, BundleError> {
        let archive = age::decrypt(file, passphrase)?;
        Self::from_tar(&archive)
    }

    fn from_tar(archive: &[u8]) -> Result<Self, BundleError> {
        let strange = |what: String| BundleError::Archive(what);
        let damaged = |error: io::Error| strange(format!("its archive is damaged ({error})"));
        let (mut manifest, mut config, mut state) = (None, None, BTreeMap::new());
        let mut total = 0;
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let unexpected = || strange(format!("it holds {name:?}, which is no part of one"));
            if !entry.header().entry_type().is_file() {
                return Err(unexpected());
            }
            let mode = entry.header().mode().map_err(damaged)? & 0o777;
            total += entry.size();
            if entry.size() > MAX_FILE || total > MAX_TOTAL || state.len() >= MAX_FILES {
                return Err(strange("it is larger than any identity".to_owned()));
            }
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).map_err(damaged)?;
            let is_new = match name.strip_prefix(STATE) {
                Some(file) if belongs(file) => {
                    state.insert(file.to_owned(), (contents, mode)).is_none()
                }
                _ if name == CONFIG => config.replace(contents).is_none(),
                _ if name == MANIFEST => manifest.replace(contents).is_none(),
                _ => false,
            };
            if !is_new {
                return Err(unexpected());
            }
        }
        let manifest = manifest
            .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok())
            .ok_or_else(|| strange("it was not made by qarbiter identity export".to_owned()))?;
        if manifest.format != FORMAT {
            return Err(strange(format!(
                "it was made by version {} of qarbiter, in a form that this one does not know",
                manifest.version
            )));
        }
        Ok(Self {
            manifest,
            state,
            config,
        })
    }

    /// Puts the identity into a directory that has none; the directory is made if need be. The
    /// parts are put together and tried beside their place first.
    ///
    /// # Errors
    /// There is an identity already, the bundle's is not usable, or a file cannot be written.
    /// Then there is no identity in the directory, and no part of one unless the machine stopped
    /// in between; importing again is possible in either case.
    pub fn install(mut self, path: &Path, access: Access) -> Result<Imported, BundleError> {
        let taken = || StoreError::AlreadyExists(path.to_owned());
        if Store::exists(path)? {
            return Err(taken().into());
        }
        self.move_serial_on()?;
        let dir = IdentityDir::open_or_create(path, access)?;
        let lock = dir.lock()?;
        if Store::exists(path)? {
            return Err(taken().into());
        }
        let staged = dir.path_of(STAGING);
        remove_if_there(&staged)?;
        let result = self.stage(&staged).and_then(|()| {
            let (last, first): (Vec<_>, Vec<_>) = self
                .state
                .iter()
                .partition(|(name, _)| MARKERS.contains(&name.as_str()));
            for (name, _) in first {
                dir.rename(&lock, &format!("{STAGING}/{name}"), name)?;
            }
            for (name, (contents, mode)) in last {
                dir.write(&lock, name, contents, mode_of(name, *mode))?;
            }
            Ok(())
        });
        let cleared = remove_if_there(&staged);
        result?;
        cleared?;
        Ok(Imported {
            created: self.manifest.created,
            files: self.state.len(),
            config: self.config,
        })
    }

    /// Writes everything into a directory of its own and opens it there.
    fn stage(&self, staged: &Path) -> Result<(), BundleError> {
        let dir = IdentityDir::open_or_create(staged, Access::Owner)?;
        let lock: Lock = dir.lock()?;
        for (name, (contents, mode)) in &self.state {
            dir.write(&lock, name, contents, mode_of(name, *mode))?;
        }
        drop(lock);
        let store = Store::open(staged)?;
        Revoked::load(staged, &store.identity().ca)?;
        Ok(())
    }

    fn move_serial_on(&mut self) -> Result<(), BundleError> {
        let Some((contents, _)) = self.state.get_mut(SERIAL) else {
            return Err(BundleError::Archive(format!("it lacks {}", SERIAL)));
        };
        let last = std::str::from_utf8(contents).ok();
        let next = last
            .and_then(|text| text.trim_ascii().parse::<u64>().ok())
            .and_then(|last| last.checked_add(SERIAL_MARGIN))
            .ok_or_else(|| BundleError::Archive(format!("its {} has no usable number", SERIAL)))?;
        *contents = format!("{next}\n").into_bytes();
        Ok(())
    }
}

/// Whether a file name is one of an identity's.
fn belongs(name: &str) -> bool {
    let by_cluster = |(start, end): &(&str, &str)| {
        name.strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| !rest.is_empty())
    };
    name.len() <= 255
        && !name.contains(|c: char| c == '/' || c.is_control())
        && (FILES.contains(&name) || FILES_BY_CLUSTER.iter().any(by_cluster))
}

/// The mode that the file had, as far as files of an identity may be open to others.
fn mode_of(name: &str, mode: u32) -> Mode {
    let most = if name == "qnetd-cacert.crt" {
        0o664
    } else {
        0o660
    };
    Mode::from_raw_mode((mode & most) | 0o600)
}

fn remove_if_there(path: &Path) -> Result<(), DirError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DirError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, contents) in entries {
            let mut header = tar::Header::new_gnu();
            // The library refuses to write some of these names by itself.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(contents.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            archive.append(&header, *contents).unwrap();
        }
        archive.into_inner().unwrap()
    }

    const GOOD: &[u8] = br#"{"format":1,"version":"0.1.0","created":1795402800}"#;

    #[test]
    fn only_an_identity_s_names_belong_to_it() {
        for name in FILES {
            assert!(belongs(name), "{name}");
        }
        for name in [
            "cluster-a.crt",
            "cluster-../x.crt",
            "qdevice-net-node.crq.Größe",
        ] {
            assert_eq!(belongs(name), !name.contains('/'), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../cert9.db",
            "/etc/passwd",
            "cluster-.crt",
            "qdevice-net-node.crq.",
            "cert9.db\0",
            "cluster-a\n.crt",
            ".qarbiter-lock",
            "authorized_keys",
        ] {
            assert!(!belongs(name), "{name:?}");
        }
    }

    #[test]
    fn nothing_foreign_comes_out_of_an_archive() {
        let good = Bundle::from_tar(&archive(&[
            (MANIFEST, GOOD),
            ("state/serial.txt", b"103\n"),
            (CONFIG, b""),
        ]));
        assert_eq!(good.unwrap().files(), 1);
        for name in [
            "state/../../etc/cron.d/x",
            "/etc/passwd",
            "state//serial.txt",
            "state/./serial.txt",
            "state/sub/serial.txt",
            "serial.txt",
            "config/other.toml",
            MANIFEST,
        ] {
            let error = Bundle::from_tar(&archive(&[(MANIFEST, GOOD), (name, b"x")])).unwrap_err();
            assert!(
                error.to_string().contains("no part of one"),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn links_and_other_kinds_of_entries_are_refused() {
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Directory,
            tar::EntryType::Char,
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_path("state/serial.txt").unwrap();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o600);
            header.set_cksum();
            let mut archive = tar::Builder::new(Vec::new());
            archive.append(&header, io::empty()).unwrap();
            assert!(Bundle::from_tar(&archive.into_inner().unwrap()).is_err());
        }
    }

    #[test]
    fn an_archive_without_a_known_manifest_is_refused() {
        let newer = br#"{"format":2,"version":"9.0.0","created":0}"#;
        for (entries, text) in [
            (vec![], "not made by qarbiter"),
            (vec![(MANIFEST, &b"{}"[..])], "not made by qarbiter"),
            (vec![(MANIFEST, &newer[..])], "version 9.0.0"),
        ] {
            let error = Bundle::from_tar(&archive(&entries)).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(Bundle::from_tar(b"nonsense").is_err());
    }

    #[test]
    fn restored_modes_open_nothing_to_the_world() {
        for (name, before, after) in [
            ("key4.db", 0o666, 0o660),
            ("key4.db", 0o640, 0o640),
            ("serial.txt", 0o000, 0o600),
            ("qnetd-cacert.crt", 0o644, 0o644),
        ] {
            assert_eq!(mode_of(name, before).as_raw_mode(), after, "{name}");
        }
    }
}
