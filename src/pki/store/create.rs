//! Making an identity: new, of a CA that exists, or of the file of the first version.
//!
//! The database's certificates are written last, and their file is what everyone looks for, so
//! that there is a whole identity or none.

use std::path::Path;
use std::time::SystemTime;

use rustix::fs::Mode;
use rustls::pki_types::CertificateDer;

use super::contents::{self, Contents, unusable};
use super::pem::{FORMER, FormerIdentity};
use super::serial::{self, Known};
use super::{CA_EXPORT, CA_NICKNAME, MAX_FILE, PASSWORD, ServerNickname, Store, StoreError};
use crate::pki::ca::{self, Authority, KeyedCertificate, serial_of};
use crate::pki::dir::{Access, DirError, IdentityDir, Lock};
use crate::pki::nss::{self, Entry, Role};
use crate::pki::profile::Profile;

/// The list of modules that NSS keeps beside a database.
const MODULES: &str = "pkcs11.txt";

/// The reference's seed for new keys. Nothing here needs it, but its tool expects the file.
const NOISE: &str = "noise.txt";

/// Where keys without certificates are put aside.
const ORPHANED_KEYS: &str = "key4.db.orphaned";

/// Everyone may read the CA's certificate.
const PUBLIC: Mode = Mode::from_raw_mode(0o644);

/// A directory in which an identity may be made, locked.
struct Place {
    dir: IdentityDir,
    lock: Lock,
    access: Access,
}

impl Place {
    fn take(path: &Path, access: Access) -> Result<Self, StoreError> {
        let taken = || StoreError::AlreadyExists(path.to_owned());
        let dir = IdentityDir::open_or_create(path, access)?;
        if contents::is_taken(&dir)? {
            return Err(taken());
        }
        let lock = dir.lock()?;
        // Another process may have been faster.
        if contents::is_taken(&dir)? {
            return Err(taken());
        }
        Ok(Self { dir, lock, access })
    }

    fn finish(self, server: KeyedCertificate, ca: &KeyedCertificate) -> Result<Store, StoreError> {
        write(&self.dir, &self.lock, self.access, &server, ca)?;
        Ok(Store {
            dir: self.dir,
            nickname: ServerNickname::default(),
            server,
            ca: ca.certificate.clone(),
        })
    }
}

impl Store {
    /// Makes a CA and a server certificate in a directory, which is made too if need be. `now`
    /// gives the certificates' dates; see [`ca::CLOCK_FLOOR`] for clocks that are not set.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Serial`], [`StoreError::Ca`],
    /// [`StoreError::Database`] or [`StoreError::Dir`]. After an error there is no identity.
    pub fn create(
        path: &Path,
        access: Access,
        profile: Profile,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        let place = Place::take(path, access)?;
        let next = || serial::next(&place.dir, &place.lock, Known::None);
        let authority = Authority::generate(profile.key, next()?, now)?;
        let server = authority.issue_server(profile, next()?, now)?;
        place.finish(server, authority.keyed())
    }

    /// Makes an identity of a CA that exists, so that the clusters that it signed can go on. A
    /// server certificate is issued if none is given.
    ///
    /// `last_serial` is the last serial number that this CA gave, if that is known. If it is not,
    /// and `serial.txt` is not there either, some numbers are left out, because there may be
    /// certificates that are not known here.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Serial`], [`StoreError::Database`],
    /// [`StoreError::Dir`], or [`StoreError::Ca`], also for a CA that is none, keys that do not
    /// belong to their certificates, and a server certificate of another CA.
    pub fn create_from(
        path: &Path,
        access: Access,
        ca: KeyedCertificate,
        server: Option<KeyedCertificate>,
        profile: Profile,
        last_serial: Option<u64>,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        let authority = Authority::load(ca)?;
        let ca = authority.keyed();
        if let Some(server) = &server {
            server.check()?;
            server.check_issued_by(&ca.certificate)?;
        }
        let place = Place::take(path, access)?;
        let mut numbers = Vec::new();
        for keyed in std::iter::once(ca).chain(&server) {
            numbers.extend(serial_of(&keyed.certificate)?);
        }
        numbers.extend(last_serial);
        let largest = serial::largest(&place.dir, numbers)?;
        let known = match last_serial {
            Some(_) => Known::All(largest),
            None => Known::Some(largest),
        };
        // Also with a server certificate at hand: it sets the number down for what is signed next.
        let number = serial::next(&place.dir, &place.lock, known)?;
        let server = match server {
            Some(server) => server,
            None => authority.issue_server(profile, number, now)?,
        };
        place.finish(server, ca)
    }
}

/// Makes a database of an identity in the format of the first version, if there is one. Its file
/// is removed when the database is on the disk.
pub(super) fn convert(dir: &IdentityDir, lock: &Lock) -> Result<(), StoreError> {
    let Some(former) = FormerIdentity::read(dir)? else {
        return Ok(());
    };
    if dir.contains(nss::CERTIFICATES)? {
        // The conversion was interrupted at its last step, unless it is another identity.
        if Contents::read(dir)?.ca(dir)? != former.ca.certificate {
            return Ok(());
        }
    } else {
        let found = Contents::Former(former);
        let server = found.server(dir, &ServerNickname::default())?;
        let ca = found.authority(dir)?;
        write(dir, lock, dir.access()?, &server, &ca)?;
    }
    Ok(dir.remove(lock, FORMER)?)
}

/// Writes everything but the serial number, the certificates last.
fn write(
    dir: &IdentityDir,
    lock: &Lock,
    access: Access,
    server: &KeyedCertificate,
    ca: &KeyedCertificate,
) -> Result<(), StoreError> {
    let nickname = ServerNickname::default();
    let images = nss::create(&[
        Entry {
            nickname: CA_NICKNAME,
            keyed: ca,
            role: Role::Authority,
        },
        Entry {
            nickname: nickname.as_str(),
            keyed: server,
            role: Role::Server,
        },
    ])
    .map_err(|source| unusable(dir, source))?;
    let private = access.files();
    dir.write(lock, PASSWORD, b"", private)?;
    if dir.read(NOISE, MAX_FILE)?.is_none() {
        dir.write(lock, NOISE, noise().as_bytes(), private)?;
    }
    dir.write(lock, MODULES, modules(dir.path()).as_bytes(), private)?;
    let export = ca_export(&ca.certificate);
    dir.write(lock, CA_EXPORT, export.as_bytes(), PUBLIC)?;
    // Keys without certificates are what a failed attempt left, or all that is left of another
    // identity.
    dir.rename(lock, nss::KEYS, ORPHANED_KEYS)?;
    dir.write(lock, nss::KEYS, &images.keys, private)?;
    dir.write(lock, nss::CERTIFICATES, &images.certificates, private)
        .map_err(|error| without_keys(dir, lock, error).into())
}

/// Takes the keys back when the certificates cannot be written.
fn without_keys(dir: &IdentityDir, lock: &Lock, error: DirError) -> DirError {
    // The first error is the one to tell; keys that stay are put aside by the next attempt.
    match dir.remove(lock, nss::KEYS) {
        Ok(()) | Err(_) => error,
    }
}

/// 40 hexadecimal digits, as the reference has them.
fn noise() -> String {
    let mut text: String = nss::random::<20>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text.push('\n');
    text
}

/// The list of modules as NSS writes it: its own module, with the database.
fn modules(path: &Path) -> String {
    let escaped: String = path
        .display()
        .to_string()
        .chars()
        .flat_map(|character| {
            let escape = matches!(character, '\'' | '\\').then_some('\\');
            escape.into_iter().chain([character])
        })
        .collect();
    format!(
        "library=\n\
         name=NSS Internal PKCS #11 Module\n\
         parameters=configdir='{escaped}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= \
         updatedir='' updateCertPrefix='' updateKeyPrefix='' updateid='' updateTokenDescription='' \n\
         NSS=Flags=internal,critical trustOrder=75 cipherOrder=100 \
         slotParams=(1={{slotFlags=[ECC,RSA,DSA,DH,RC2,RC4,DES,RANDOM,SHA1,MD5,MD2,SSL,TLS,AES,\
         Camellia,SEED,SHA256,SHA512] askpw=any timeout=30}})\n\n"
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
