//! The identity as it is on disk at one moment, in whichever format.

use super::pem::{FORMER, FormerIdentity};
use super::{CA_NICKNAME, PASSWORD, ServerNickname, StoreError};
use crate::pki::ca::{self, KeyedCertificate, serial_of};
use crate::pki::csr;
use crate::pki::dir::IdentityDir;
use crate::pki::nss::{self, Database, NssError, Opened};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// What shows that a directory holds a database of NSS before version 3.35.
const OLD_CERTIFICATES: &str = "cert8.db";

/// The identity as it was found.
#[derive(Debug)]
pub(super) enum Contents {
    Nss(Database),
    Former(FormerIdentity),
}

impl Contents {
    /// Reads the database, or else the file of the first version. Writes nothing.
    pub(super) fn read(dir: &IdentityDir) -> Result<Self, StoreError> {
        if dir.contains(nss::CERTIFICATES)? {
            return Ok(Self::Nss(read_database(dir)?));
        }
        if let Some(former) = FormerIdentity::read(dir)? {
            return Ok(Self::Former(former));
        }
        Err(if dir.contains(OLD_CERTIFICATES)? {
            StoreError::OldDatabase(dir.path().to_owned())
        } else {
            StoreError::Missing(dir.path().to_owned())
        })
    }

    /// The CA's certificate. Its own signature is checked, so that damage does not go unnoticed;
    /// not so that of an old CA, whose algorithm proves nothing any more: nodes know the
    /// certificate itself.
    pub(super) fn ca(&self, dir: &IdentityDir) -> Result<CertificateDer<'static>, StoreError> {
        let ca = match self {
            Self::Nss(database) => database
                .certificate(CA_NICKNAME)
                .map_err(|source| unusable(dir, source))?
                .der
                .clone(),
            Self::Former(former) => former.ca.certificate.clone(),
        };
        let damaged = |error: ca::CaError| self.damaged(dir, error);
        let parsed = ca::parse(&ca).map_err(damaged)?;
        let own = parsed.subject().as_raw() == parsed.issuer().as_raw();
        if own && csr::check_algorithm(&parsed.signature_algorithm.algorithm).is_ok() {
            ca::check_issued_by(&ca, &ca).map_err(damaged)?;
        }
        Ok(ca)
    }

    /// The CA with its key.
    pub(super) fn authority(&self, dir: &IdentityDir) -> Result<KeyedCertificate, StoreError> {
        let keyed = match self {
            Self::Nss(database) => keyed(database, CA_NICKNAME).map_err(|error| match error {
                NssError::UnsupportedKey(_) | NssError::NoKey(_) => StoreError::Authority {
                    path: dir.path().to_owned(),
                    reason: error.to_string(),
                },
                other => unusable(dir, other),
            })?,
            Self::Former(former) => former.ca.clone(),
        };
        keyed.check().map_err(|error| self.damaged(dir, error))?;
        Ok(keyed)
    }

    /// The server's certificate and key, which are checked against each other and the CA.
    pub(super) fn server(
        &self,
        dir: &IdentityDir,
        nickname: &ServerNickname,
    ) -> Result<KeyedCertificate, StoreError> {
        let weak = |reason: String| StoreError::Server {
            path: dir.path().to_owned(),
            reason,
        };
        let keyed = match self {
            Self::Nss(database) => keyed(database, nickname.as_str()).map_err(|error| {
                if matches!(error, NssError::UnsupportedKey(_)) {
                    weak(error.to_string())
                } else {
                    unusable(dir, error)
                }
            })?,
            Self::Former(former) => former.server.clone(),
        };
        let damaged = |error: ca::CaError| self.damaged(dir, error);
        keyed.check().map_err(damaged)?;
        let parsed = ca::parse(&keyed.certificate).map_err(damaged)?;
        csr::check_algorithm(&parsed.signature_algorithm.algorithm)
            .map_err(|error| weak(error.to_string()))?;
        keyed.check_issued_by(&self.ca(dir)?).map_err(damaged)?;
        Ok(keyed)
    }

    /// The serial numbers of all certificates in it, as far as they fit.
    pub(super) fn serials(&self) -> Vec<u64> {
        let certificates: Vec<_> = match self {
            Self::Nss(database) => database.certificates().iter().map(|one| &one.der).collect(),
            Self::Former(former) => vec![&former.server.certificate, &former.ca.certificate],
        };
        certificates
            .into_iter()
            // A certificate that cannot be read was not issued here.
            .filter_map(|certificate| serial_of(certificate).ok()?)
            .collect()
    }

    fn damaged(&self, dir: &IdentityDir, error: ca::CaError) -> StoreError {
        StoreError::Damaged {
            path: dir.path_of(match self {
                Self::Nss(_) => nss::CERTIFICATES,
                Self::Former(_) => FORMER,
            }),
            reason: error.to_string(),
        }
    }
}

/// Whether there is an identity, in whichever format.
pub(super) fn is_taken(dir: &IdentityDir) -> Result<bool, StoreError> {
    for name in [nss::CERTIFICATES, OLD_CERTIFICATES, FORMER] {
        if dir.contains(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn unusable(dir: &IdentityDir, source: NssError) -> StoreError {
    StoreError::Database {
        path: dir.path().to_owned(),
        source,
    }
}

fn keyed(database: &Database, nickname: &str) -> Result<KeyedCertificate, NssError> {
    let certificate = database.certificate(nickname)?;
    let key: PrivatePkcs8KeyDer<'static> = database.private_key(certificate)?;
    Ok(KeyedCertificate {
        certificate: certificate.der.clone(),
        key,
    })
}

fn read_database(dir: &IdentityDir) -> Result<Database, StoreError> {
    let open = |file| -> Result<Opened, StoreError> {
        dir.demand_readable(file)?;
        Opened::to_read(&dir.path_of(file), file).map_err(|source| unusable(dir, source))
    };
    let certificates = open(nss::CERTIFICATES)?;
    let keys = open(nss::KEYS)?;
    let password_file = dir.read(PASSWORD, super::MAX_FILE);
    let password = match &password_file {
        Ok(Some((text, _))) => text.split(|byte| matches!(byte, b'\n' | b'\r')).next(),
        _ => None,
    };
    match Database::read(&certificates, &keys, password) {
        Ok(database) => Ok(database),
        // The password may be in the file that could not be read.
        Err(NssError::Password) if password_file.is_err() => Err(password_file
            .err()
            .map_or_else(|| unusable(dir, NssError::Password), StoreError::from)),
        Err(source) => Err(unusable(dir, source)),
    }
}
