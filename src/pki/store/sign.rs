//! Certificates for clusters.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::SubjectPublicKeyInfo;
use rustix::fs::Mode;
use rustls::pki_types::CertificateDer;

use super::contents::Contents;
use super::serial::{self, Known, read_certificate};
use super::{Store, StoreError, create, file_of_cluster};
use crate::pki::ca::{self, Authority};
use crate::pki::csr::{self, ClusterRequest};
use crate::pki::issued;
use crate::pki::name::ClusterName;
use crate::pki::profile::Years;

/// Signed certificates have the mode that the reference's get.
const SIGNED: Mode = Mode::from_raw_mode(0o640);

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

impl Store {
    /// Issues the certificate that a cluster's nodes share, and writes it beside the identity. A
    /// former certificate of the same cluster is replaced there; it stays valid, as with the
    /// reference, because setting up a cluster again is the usual reason.
    ///
    /// `request` is DER or PEM. The name that it asks for must be `name`. Several processes may
    /// sign at the same time; every certificate gets a serial number of its own, also across
    /// crashes. An identity in the format of the first version is converted before.
    ///
    /// # Errors
    /// [`StoreError::Request`], [`StoreError::OtherName`], [`StoreError::NameTaken`],
    /// [`StoreError::Authority`], [`StoreError::Serial`], [`StoreError::Database`],
    /// [`StoreError::Damaged`], [`StoreError::Ca`] or [`StoreError::Dir`]. After an error no file
    /// was written but, possibly, the serial number's.
    pub fn sign(
        &self,
        request: &[u8],
        name: &ClusterName,
        valid_for: Years,
        now: SystemTime,
    ) -> Result<SignedCluster, StoreError> {
        let request = ClusterRequest::parse(request)?;
        if request.common_name() != name.as_str() {
            return Err(StoreError::OtherName {
                requested: request.common_name().to_owned(),
                given: name.to_string(),
            });
        }
        self.issue(request.public_key(), name, valid_for, now, now)
    }

    /// Issues a cluster's certificate again, for the key that its nodes have. They only need to be
    /// given the new certificate.
    ///
    /// # Errors
    /// [`StoreError::Reissue`] for a certificate that this CA did not issue for this cluster, and
    /// those of [`Store::sign`] but [`StoreError::OtherName`].
    pub fn reissue(
        &self,
        existing: &CertificateDer<'_>,
        name: &ClusterName,
        valid_for: Years,
        now: SystemTime,
    ) -> Result<SignedCluster, StoreError> {
        let refused = |reason: String| StoreError::Reissue {
            name: name.to_string(),
            reason,
        };
        let certificate = ca::parse(existing).map_err(|error| refused(error.to_string()))?;
        if csr::common_name(certificate.subject())? != name.as_str() {
            return Err(refused(format!("it is for `{}`", certificate.subject())));
        }
        ca::check_issued_by(existing, &self.ca).map_err(|error| refused(error.to_string()))?;
        // Of several certificates for a key NSS shows the one that began last. Ours begin a day
        // before they are made, which the former one, of the reference, may not have done.
        let former = certificate.validity().not_before.timestamp();
        let after_former = u64::try_from(former)
            .ok()
            .and_then(|former| UNIX_EPOCH.checked_add(Duration::from_secs(former + 1)));
        let dated = after_former
            .filter(|begin| *begin <= now)
            .and_then(|begin| begin.checked_add(Duration::from_secs(ca::BACKDATE)))
            .map_or(now, |dated| dated.max(now));
        self.issue(&csr::key_of(&certificate)?, name, valid_for, dated, now)
    }

    fn issue(
        &self,
        key: &SubjectPublicKeyInfo,
        name: &ClusterName,
        valid_for: Years,
        dated: SystemTime,
        now: SystemTime,
    ) -> Result<SignedCluster, StoreError> {
        let lock = self.dir.lock()?;
        create::convert(&self.dir, &lock)?;
        // The CA's key is read for the moment of signing; a daemon does not keep it in memory.
        let contents = Contents::read(&self.dir)?;
        let authority = Authority::load(contents.authority(&self.dir)?)?;
        let file = file_of_cluster(name);
        self.demand_free(&file, name)?;
        let known = serial::largest(&self.dir, contents.serials())?;
        let serial = serial::next(&self.dir, &lock, Known::Some(known))?;
        let der = authority.issue_cluster(key, name, serial, valid_for, dated)?;
        issued::record(&self.dir, &lock, &self.ca, &der, now)?;
        self.dir.write(&lock, &file, &der, SIGNED)?;
        Ok(SignedCluster {
            der,
            path: self.dir.path_of(&file),
            serial,
        })
    }

    /// Demands that a certificate's file is not the one of another cluster.
    fn demand_free(&self, file: &str, name: &ClusterName) -> Result<(), StoreError> {
        let Some(found) = read_certificate(&self.dir, file)? else {
            return Ok(());
        };
        let owner = ca::parse(&found)
            .ok()
            .and_then(|found| csr::common_name(found.subject()).ok());
        match owner {
            Some(owner) if owner != name.as_str() => Err(StoreError::NameTaken {
                path: self.dir.path_of(file),
                owner,
                given: name.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
