//! A new certificate for the server.

use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::contents::{Contents, unusable};
use super::serial::{self, Known};
use super::{ServerNickname, Store, StoreError, create};
use crate::pki::ca::Authority;
use crate::pki::dir::{IdentityDir, Lock};
use crate::pki::nss::{self, Entry, NssError, Opened, Role};
use crate::pki::profile::Profile;

/// A server certificate that was issued in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewedServer {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// Its serial number.
    pub serial: u64,
}

impl Store {
    /// Issues a new server certificate for a new key, and puts it in the place of the present one.
    /// Nodes notice nothing: they know the CA. Nothing else in the database is changed.
    ///
    /// The present certificate need not be usable: this is how one that is too weak, damaged or
    /// without its key is replaced. The new key is written first, then the certificate, and then
    /// the former key is removed, so that an interruption leaves the former certificate or the
    /// new one with its key. A server that is running goes on with the former one until it loads
    /// the identity again.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::OldDatabase`], [`StoreError::Authority`],
    /// [`StoreError::Serial`], [`StoreError::Database`], [`StoreError::Damaged`],
    /// [`StoreError::Ca`] or [`StoreError::Dir`].
    pub fn renew_server(
        path: &Path,
        nickname: &ServerNickname,
        profile: Profile,
        now: SystemTime,
    ) -> Result<RenewedServer, StoreError> {
        let dir = super::open_directory(path)?;
        let lock = dir.lock()?;
        create::convert(&dir, &lock)?;
        let contents = Contents::read(&dir)?;
        let authority = Authority::load(contents.authority(&dir)?)?;
        let known = serial::largest(&dir, contents.serials())?;
        let Contents::Nss(database) = &contents else {
            // It was converted under this lock.
            return Err(StoreError::Missing(path.to_owned()));
        };
        let serial = serial::next(&dir, &lock, Known::Some(known))?;
        let server = authority.issue_server(profile, serial, now)?;
        let entry = Entry {
            nickname: nickname.as_str(),
            keyed: &server,
            role: Role::Server,
        };
        let (former, others): (Vec<_>, Vec<_>) = database
            .certificates()
            .iter()
            .partition(|one| one.nickname == nickname.as_str());
        let unused: Vec<_> = former
            .iter()
            .filter(|one| !others.iter().any(|other| other.key_id() == one.key_id()))
            .map(|one| one.der.clone())
            .collect();
        let public = Opened::to_read(&dir.path_of(nss::CERTIFICATES), nss::CERTIFICATES)
            .and_then(|certificates| nss::reserve_public_key(&certificates))
            .map_err(|source| unusable(&dir, source))?;
        edit(&dir, &lock, nss::KEYS, |keys| {
            nss::add_key(keys, database.pass_key(), &server, public)
        })?;
        edit(&dir, &lock, nss::CERTIFICATES, |certificates| {
            nss::replace_certificate(certificates, &entry, &unused, public)
        })?;
        edit(&dir, &lock, nss::KEYS, |keys| {
            nss::remove_keys(keys, &unused)
        })?;
        Ok(RenewedServer {
            der: server.certificate,
            serial,
        })
    }
}

/// Replaces a file of the database by a changed copy. Other programs cannot write meanwhile; what
/// they have open stays as it was, and SQLite does not let them write into it afterwards.
fn edit(
    dir: &IdentityDir,
    lock: &Lock,
    file: &'static str,
    change: impl FnOnce(&Opened) -> Result<(), NssError>,
) -> Result<(), StoreError> {
    let mode = dir.mode_of(file)?;
    let image = Opened::to_replace(&dir.path_of(file), file)
        .and_then(|present| {
            let copy = present.copy()?;
            change(&copy)?;
            Ok((copy.image()?, present))
        })
        .map_err(|source| unusable(dir, source))?;
    let (image, _locked) = image;
    Ok(dir.write(lock, file, &image, mode)?)
}
