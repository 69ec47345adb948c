//! The identity on disk.
//!
//! The directory is the reference's (`/etc/corosync/qnetd/nssdb` unless told otherwise), and what
//! other programs look for in it has the reference's names and contents: `qnetd-cacert.crt` for
//! the nodes, `cluster-NAME.crt` for each signed request, and `serial.txt` (provisioning spec,
//! sections 0 and 2). Keys and certificates of the arbiter itself are together in one file that
//! only [`Store`] knows. It is written last, in one step: either the identity is complete or there
//! is none.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use super::ca::{self, Authority, CaError, KeyedCertificate, serial_of};
use super::csr::{ClusterRequest, RequestError};
use super::dir::{Access, DirError, IdentityDir, Lock};
use super::name::ClusterName;

/// Both certificates and both keys, as PEM.
const IDENTITY: &str = "qarbiter-identity.pem";

/// The CA certificate for the nodes.
const CA_EXPORT: &str = "qnetd-cacert.crt";

/// The last serial number in use, decimal.
pub(super) const SERIAL: &str = "serial.txt";

/// What shows that a directory holds an NSS database (the reference looks for the same).
const NSS_DATABASES: [&str; 2] = ["cert9.db", "cert8.db"];

/// The serial number before the first: the CA gets 101, the server 102 (provisioning spec 2.2 and
/// trap T6: with 101 again, a node that still has a former CA fails at once and understandably).
const SERIAL_BEFORE_FIRST: u64 = 100;

/// Above the size of any file that we write, and small enough to be read at once.
const MAX_FILE: u64 = 64 * 1024;

/// Everything the world may read.
const PUBLIC: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o644);

/// Signed certificates have the mode that the reference's get.
const SIGNED: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o640);

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

/// A newly issued cluster certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCluster {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The file that it is in (DER).
    pub path: PathBuf,
    /// Its serial number.
    pub serial: u64,
}

/// Why the identity cannot be used. The texts are for the administrator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is an identity already, ours or the reference's. The text is the reference's.
    #[error(
        "Certificate database ({path}) already exists. Delete it to initialize new db",
        path = .0.display()
    )]
    AlreadyExists(PathBuf),
    /// There is no identity in the directory, or no directory.
    #[error(
        "there are no certificates in {path}; make them with `corosync-qnetd-certutil -i`",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// The directory belongs to the reference.
    #[error(
        "{path} holds an NSS database of the C corosync-qnetd, which this version cannot use yet; \
         use another directory, or move the database away and give every node the new CA",
        path = .0.display()
    )]
    NssDatabase(PathBuf),
    /// The identity's file is damaged.
    #[error(
        "{path} is damaged: {reason}; restore it from a backup, \
         or delete the directory and give every node the new CA",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with the last serial number cannot be relied on.
    #[error(
        "{path} {reason}; write the highest serial number of all certificates that were issued \
         here into it, as a decimal number (`openssl x509 -inform DER -noout -serial -in FILE` \
         shows one, in hexadecimal)",
        path = path.display()
    )]
    Serial {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A certificate could not be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The request is not acceptable.
    #[error("the certificate request is not acceptable: {0}")]
    Request(#[from] RequestError),
    /// The request is for a cluster of another name.
    #[error(
        "the certificate request is for the cluster `{requested}`, not for `{given}`; \
         nothing was signed, because `{given}` could not use it: \
         repeat with the name that corosync.conf has as cluster_name"
    )]
    OtherName {
        /// The request's common name.
        requested: String,
        /// The name to sign for.
        given: String,
    },
}

/// An identity directory with an identity in it.
#[derive(Debug)]
pub struct Store {
    dir: IdentityDir,
    server: KeyedCertificate,
    ca: CertificateDer<'static>,
}

impl Store {
    /// Opens an existing identity and checks that its parts belong together. Only reads.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NssDatabase`], [`StoreError::Damaged`] or
    /// [`StoreError::Dir`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match IdentityDir::open(path) {
            Ok(dir) => Self::from_dir(dir),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::Missing(path.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a CA and a server certificate in a directory, which is made too if need be. `now`
    /// gives the certificates' dates; see [`super::ca::CLOCK_FLOOR`] for clocks that are not set.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Serial`], [`StoreError::Ca`] or
    /// [`StoreError::Dir`].
    pub fn create(path: &Path, access: Access, now: SystemTime) -> Result<Self, StoreError> {
        let taken = || StoreError::AlreadyExists(path.to_owned());
        let dir = IdentityDir::open_or_create(path, access)?;
        if is_taken(&dir)? {
            return Err(taken());
        }
        let lock = dir.lock()?;
        // Another process may have been faster.
        if is_taken(&dir)? {
            return Err(taken());
        }
        let authority =
            Authority::generate(next_serial(&dir, &lock, NumberFile::MayStart(access))?, now)?;
        let server =
            authority.issue_server(next_serial(&dir, &lock, NumberFile::MayStart(access))?, now)?;
        let ca = authority.keyed().certificate.clone();
        let identity = to_pem(&server, authority.keyed());
        dir.write(&lock, CA_EXPORT, ca_export(&ca).as_bytes(), PUBLIC)?;
        dir.write(&lock, IDENTITY, identity.as_bytes(), access.private())?;
        Ok(Self { dir, server, ca })
    }

    /// Opens the identity, or makes one where there is none, for its owner alone.
    ///
    /// # Errors
    /// Those of [`Store::open`] but [`StoreError::Missing`], and those of [`Store::create`].
    pub fn open_or_create(path: &Path, now: SystemTime) -> Result<(Self, Origin), StoreError> {
        match Self::open(path) {
            Ok(store) => return Ok((store, Origin::Existing)),
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        match Self::create(path, Access::Owner, now) {
            Ok(store) => Ok((store, Origin::Created)),
            // Another process was faster.
            Err(StoreError::AlreadyExists(_)) => Ok((Self::open(path)?, Origin::Existing)),
            Err(error) => Err(error),
        }
    }

    /// Whether [`Store::create`] would find the place taken.
    ///
    /// # Errors
    /// [`StoreError::Dir`].
    pub fn exists(path: &Path) -> Result<bool, StoreError> {
        match IdentityDir::open(path) {
            Ok(dir) => Ok(is_taken(&dir)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
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

    /// Issues the certificate that a cluster's nodes share, and writes it beside the identity. A
    /// former certificate of the same cluster is replaced there; it stays valid, as with the
    /// reference, because setting up a cluster again is the usual reason.
    ///
    /// `request` is DER or PEM. The name that it asks for must be `name`. Several processes may
    /// sign at the same time; every certificate gets a serial number of its own, also across
    /// crashes.
    ///
    /// # Errors
    /// [`StoreError::Request`], [`StoreError::OtherName`], [`StoreError::Serial`],
    /// [`StoreError::Damaged`], [`StoreError::Ca`] or [`StoreError::Dir`]. After an error no file
    /// was written but, possibly, the serial number's.
    pub fn sign(
        &self,
        request: &[u8],
        name: &ClusterName,
        now: SystemTime,
    ) -> Result<SignedCluster, StoreError> {
        let request = ClusterRequest::parse(request)?;
        if request.common_name() != name.as_str() {
            return Err(StoreError::OtherName {
                requested: request.common_name().to_owned(),
                given: name.to_string(),
            });
        }
        let lock = self.dir.lock()?;
        // The CA's key is read for the moment of signing; a daemon does not keep it in memory.
        let (server, ca) = read_identity(&self.dir)?;
        let authority = Authority::load(ca)?;
        let in_use = [&server.certificate, &authority.keyed().certificate]
            .into_iter()
            .map(serial_of)
            .collect::<Result<Vec<_>, _>>()?;
        let known = in_use.into_iter().flatten().max().unwrap_or(0);
        let serial = next_serial(&self.dir, &lock, NumberFile::MustContinue(known))?;
        let der = authority.issue_cluster(&request, name, serial, now)?;
        let file = format!("cluster-{name}.crt");
        self.dir.write(&lock, &file, &der, SIGNED)?;
        Ok(SignedCluster {
            der,
            path: self.dir.path_of(&file),
            serial,
        })
    }

    fn from_dir(dir: IdentityDir) -> Result<Self, StoreError> {
        let (server, ca) = read_identity(&dir)?;
        Ok(Self {
            ca: ca.certificate,
            server,
            dir,
        })
    }
}

fn is_taken(dir: &IdentityDir) -> Result<bool, DirError> {
    Ok(dir.contains(IDENTITY)? || has_nss_database(dir)?)
}

fn has_nss_database(dir: &IdentityDir) -> Result<bool, DirError> {
    for name in NSS_DATABASES {
        if dir.contains(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the server's and the CA's part of the identity and checks both.
fn read_identity(dir: &IdentityDir) -> Result<(KeyedCertificate, KeyedCertificate), StoreError> {
    let Some((pem, _)) = dir.read(IDENTITY, MAX_FILE)? else {
        return Err(if has_nss_database(dir)? {
            StoreError::NssDatabase(dir.path().to_owned())
        } else {
            StoreError::Missing(dir.path().to_owned())
        });
    };
    from_pem(&pem).map_err(|reason| StoreError::Damaged {
        path: dir.path_of(IDENTITY),
        reason,
    })
}

fn from_pem(pem: &[u8]) -> Result<(KeyedCertificate, KeyedCertificate), String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let keys = PrivatePkcs8KeyDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let ([server_certificate, ca_certificate], Ok([server_key, ca_key])) =
        (certificates.as_slice(), <[_; 2]>::try_from(keys))
    else {
        return Err("it must have two certificates and two keys".to_owned());
    };
    let server = KeyedCertificate {
        certificate: server_certificate.clone(),
        key: server_key,
    };
    let ca = KeyedCertificate {
        certificate: ca_certificate.clone(),
        key: ca_key,
    };
    server.check().map_err(|error| error.to_string())?;
    ca.check().map_err(|error| error.to_string())?;
    server
        .check_issued_by(&ca)
        .map_err(|error| error.to_string())?;
    Ok((server, ca))
}

fn to_pem(server: &KeyedCertificate, ca: &KeyedCertificate) -> String {
    format!(
        "# The identity of this arbiter. Keep it secret: who has it can pose as the arbiter and as any cluster.\n\
         # Server certificate and key\n{}\
         # CA certificate and key\n{}",
        server.to_pem(),
        ca.to_pem()
    )
}

/// Text, then one PEM block with plain line ends (provisioning spec 1.6 and trap T15).
fn ca_export(ca: &CertificateDer<'_>) -> String {
    format!(
        "# CA certificate of this corosync-qnetd server.\n\
         # Import it on every node: corosync-qdevice-net-certutil -i -c {CA_EXPORT}\n{}",
        ca::to_pem(ca)
    )
}

/// What is known about the serial numbers besides their file.
#[derive(Debug, Clone, Copy)]
enum NumberFile {
    /// There is no identity yet: the file may be missing, and is then made with this access.
    MayStart(Access),
    /// This number is in use, and others above it may be: without the file they are unknown.
    MustContinue(u64),
}

/// Takes the next serial number. It counts as used, durably, before anything is signed with it.
fn next_serial(dir: &IdentityDir, lock: &Lock, numbers: NumberFile) -> Result<u64, StoreError> {
    let broken = |reason| StoreError::Serial {
        path: dir.path_of(SERIAL),
        reason,
    };
    let (last, mode) = match (dir.read(SERIAL, MAX_FILE)?, numbers) {
        (Some((text, mode)), _) => {
            let last = std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim_ascii().parse::<u64>().ok())
                .ok_or_else(|| broken("does not contain a decimal number"))?;
            (last, mode)
        }
        (None, NumberFile::MayStart(access)) => (SERIAL_BEFORE_FIRST, access.shared()),
        (None, NumberFile::MustContinue(_)) => return Err(broken("is missing")),
    };
    let known = match numbers {
        NumberFile::MayStart(_) => last,
        NumberFile::MustContinue(known) => last.max(known),
    };
    let next = known
        .checked_add(1)
        .ok_or_else(|| broken("contains the highest possible number"))?;
    dir.write(lock, SERIAL, format!("{next}\n").as_bytes(), mode)?;
    Ok(next)
}

#[cfg(test)]
mod tests;
