//! The format of the first version: one PEM file. It is only read.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::StoreError;
use crate::pki::ca::KeyedCertificate;
use crate::pki::dir::IdentityDir;

/// Both certificates and both keys.
pub(in crate::pki) const FORMER: &str = "qarbiter-identity.pem";

/// An identity as the first version kept it.
#[derive(Debug)]
pub(super) struct FormerIdentity {
    pub(super) server: KeyedCertificate,
    pub(super) ca: KeyedCertificate,
}

impl FormerIdentity {
    /// Reads the file, if there is one.
    pub(super) fn read(dir: &IdentityDir) -> Result<Option<Self>, StoreError> {
        let Some((pem, _)) = dir.read(FORMER, super::MAX_FILE)? else {
            return Ok(None);
        };
        match Self::parse(&pem) {
            Ok(identity) => Ok(Some(identity)),
            Err(reason) => Err(StoreError::Damaged {
                path: dir.path_of(FORMER),
                reason,
            }),
        }
    }

    fn parse(pem: &[u8]) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let keys = PrivatePkcs8KeyDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let ([server, ca], Ok([server_key, ca_key])) =
            (certificates.as_slice(), <[_; 2]>::try_from(keys))
        else {
            return Err("it must have two certificates and two keys".to_owned());
        };
        Ok(Self {
            server: KeyedCertificate {
                certificate: server.clone(),
                key: server_key,
            },
            ca: KeyedCertificate {
                certificate: ca.clone(),
                key: ca_key,
            },
        })
    }
}
