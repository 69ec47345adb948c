//! The identity on disk.
//!
//! | file | contents | who needs it |
//! | --- | --- | --- |
//! | `cert9.db`, `key4.db` | the CA's and the server's certificates and keys, in NSS's format | the server, and signing |
//! | `pwdfile.txt` | the database's password in its first line, or nothing | the same |
//! | `qnetd-cacert.crt` | the CA certificate, as text with one PEM block | every node |
//! | `serial.txt` | the last serial number in use | signing |
//! | `cluster-NAME.crt` | the last certificate signed for the cluster NAME, DER | that cluster's nodes |
//! | `noise.txt`, `pkcs11.txt` | a seed and NSS's list of modules | the reference, after going back to it |
//!
//! All names, formats and rules are the reference's, because cluster tools fetch or look for these
//! files (provisioning spec 1 and 2), and because the reference and this program can take the
//! directory over from each other at any time.
//!
//! Writers hold a lock, and a file is replaced as a whole, so that neither two calls at once nor a
//! power failure leave half an identity or use a serial number twice.
//!
//! The first version kept everything secret in `qarbiter-identity.pem`. [`Store::open`] reads it
//! still; whatever writes, [`Store::open_or_create`] among it, makes a database of it first.

mod contents;
mod create;
mod error;
mod pem;
mod renew;
mod revoke;
mod serial;
mod sign;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use self::contents::Contents;
use super::ca::KeyedCertificate;
use super::dir::{Access, IdentityDir};
use super::name::ClusterName;
use super::profile::Profile;

pub use self::error::StoreError;
pub(super) use self::pem::FORMER;
pub use self::renew::RenewedServer;
pub use self::sign::SignedCluster;

/// The CA certificate for the nodes.
const CA_EXPORT: &str = "qnetd-cacert.crt";

/// The file with the database's password.
const PASSWORD: &str = "pwdfile.txt";

/// The CA's name in the database; the reference's tools look for it.
const CA_NICKNAME: &str = "QNet CA";

/// Above the size of any file but the database's, and small enough to be read at once.
const MAX_FILE: u64 = 64 * 1024;

/// The name of the server's certificate in the database: `QNetd Cert`, unless the reference's
/// setting `cert_nickname` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNickname(String);

impl ServerNickname {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ServerNickname {
    fn default() -> Self {
        Self("QNetd Cert".to_owned())
    }
}

impl From<String> for ServerNickname {
    fn from(nickname: String) -> Self {
        Self(nickname)
    }
}

/// Whether the identity was there or had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was made now, and no node knows it yet.
    Created,
    /// It was there.
    Existing,
}

/// What the TLS server needs.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The server's certificate, followed by the CA's, as the reference sends them.
    pub chain: Vec<CertificateDer<'static>>,
    /// The server's key.
    pub key: PrivatePkcs8KeyDer<'static>,
    /// The CA that issues the clusters' certificates.
    pub ca: CertificateDer<'static>,
}

/// An identity directory with an identity in it.
#[derive(Debug)]
pub struct Store {
    dir: IdentityDir,
    nickname: ServerNickname,
    server: KeyedCertificate,
    ca: CertificateDer<'static>,
}

impl Store {
    /// Opens an existing identity and checks that its parts belong together. Only reads.
    ///
    /// The CA's key is not read: a server needs none, and signing reads it by itself.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::OldDatabase`], [`StoreError::Database`],
    /// [`StoreError::Damaged`], [`StoreError::Server`] or [`StoreError::Dir`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, ServerNickname::default())
    }

    /// The same with a server certificate of another name.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_with(path: &Path, nickname: ServerNickname) -> Result<Self, StoreError> {
        Self::load(open_directory(path)?, nickname)
    }

    /// Opens the identity, or makes one where there is none, for its owner alone. An identity in
    /// the format of the first version becomes a database.
    ///
    /// # Errors
    /// Those of [`Store::open`] but [`StoreError::Missing`], and those of [`Store::create`].
    pub fn open_or_create(
        path: &Path,
        nickname: ServerNickname,
        profile: Profile,
        now: SystemTime,
    ) -> Result<(Self, Origin), StoreError> {
        match Self::open_converted(path, nickname.clone()) {
            Err(StoreError::Missing(_)) => {}
            other => return Ok((other?, Origin::Existing)),
        }
        match Self::create(path, Access::Owner, profile, now) {
            // A new identity has the usual nickname; another one is reported as not there.
            Ok(_) => Ok((Self::open_with(path, nickname)?, Origin::Created)),
            // Another process was faster.
            Err(StoreError::AlreadyExists(_)) => {
                Ok((Self::open_with(path, nickname)?, Origin::Existing))
            }
            Err(error) => Err(error),
        }
    }

    fn open_converted(path: &Path, nickname: ServerNickname) -> Result<Self, StoreError> {
        let dir = open_directory(path)?;
        if dir.contains(FORMER)? {
            let lock = dir.lock()?;
            create::convert(&dir, &lock)?;
        }
        Self::load(dir, nickname)
    }

    fn load(dir: IdentityDir, nickname: ServerNickname) -> Result<Self, StoreError> {
        let contents = Contents::read(&dir)?;
        Ok(Self {
            server: contents.server(&dir, &nickname)?,
            ca: contents.ca(&dir)?,
            nickname,
            dir,
        })
    }

    /// Whether [`Store::create`] would find the place taken.
    ///
    /// # Errors
    /// [`StoreError::Dir`].
    pub fn exists(path: &Path) -> Result<bool, StoreError> {
        match open_directory(path) {
            Ok(dir) => contents::is_taken(&dir),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The server's certificates and key.
    #[must_use]
    pub fn identity(&self) -> ServerIdentity {
        ServerIdentity {
            chain: vec![self.server.certificate.clone(), self.ca.clone()],
            key: self.server.key.clone_key(),
            ca: self.ca.clone(),
        }
    }

    /// The server's certificate and key.
    #[must_use]
    pub fn server(&self) -> &KeyedCertificate {
        &self.server
    }

    /// The name of the server's certificate in the database.
    #[must_use]
    pub fn nickname(&self) -> &ServerNickname {
        &self.nickname
    }

    /// Reads the CA with its key.
    ///
    /// # Errors
    /// [`StoreError::Authority`], [`StoreError::Database`], [`StoreError::Damaged`] or
    /// [`StoreError::Dir`].
    pub fn authority(&self) -> Result<KeyedCertificate, StoreError> {
        Contents::read(&self.dir)?.authority(&self.dir)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The file with the CA certificate that every node needs.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.dir.path_of(CA_EXPORT)
    }
}

fn open_directory(path: &Path) -> Result<IdentityDir, StoreError> {
    IdentityDir::open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            StoreError::Missing(path.to_owned())
        } else {
            error.into()
        }
    })
}

/// The file with a cluster's certificate.
pub(crate) fn file_of_cluster(name: &ClusterName) -> String {
    format!("cluster-{name}.crt")
}

/// The cluster whose certificate a file of this name has; the name may be one that is not signed
/// for any more.
pub(crate) fn cluster_of_file(file: &str) -> Option<&str> {
    file.strip_prefix("cluster-")?.strip_suffix(".crt")
}

#[cfg(test)]
mod tests;
