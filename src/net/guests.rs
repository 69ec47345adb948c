//! What is known of the certificates that nodes show: which were revoked, which were seen, and
//! which come to their end.

use super::lock;
use crate::pki::ends::{End, ends};
use crate::pki::expiry;
use crate::pki::facts::Moment;
use crate::pki::inventory::Role;
use crate::pki::revoked::Revoked;
use crate::pki::seen::{Seen, Sighting, Unwritten};
use crate::wire::ClusterName;
use rustls::pki_types::CertificateDer;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// Shared by the handshakes, the connections and the upkeep.
#[derive(Debug, Default)]
pub struct Guests {
    revoked: RwLock<Arc<Revoked>>,
    seen: Mutex<Option<Seen>>,
    warn_days: AtomicU32,
    endings: Mutex<Vec<expiry::Warning>>,
    issued: Mutex<Arc<[End]>>,
}

impl Guests {
    /// Whether the operator revoked the certificate with this serial number
    /// ([`crate::tls::serial_number`]).
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        self.revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(serial)
    }

    /// Whether the operator revoked any.
    pub fn has_revoked(&self) -> bool {
        let revoked = self.revoked.read();
        !revoked.unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Puts a list of revoked certificates into force.
    pub fn set_revoked(&self, revoked: Arc<Revoked>) {
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked;
    }

    /// Goes on with what was seen of the certificates of this CA.
    pub fn set_seen(&self, seen: Seen) {
        *lock(&self.seen) = Some(seen);
    }

    /// Certificates that end within so many days are warned about when they are shown.
    pub fn set_warn_days(&self, warn_days: u32) {
        self.warn_days.store(warn_days, Ordering::Relaxed);
    }

    /// A handshake accepted this certificate.
    pub(super) fn note(&self, certificate: &CertificateDer<'_>) {
        let now = Moment::from(SystemTime::now());
        let recorded = lock(&self.seen)
            .as_mut()
            .map(|seen| seen.record(certificate, now));
        match recorded {
            Some(Ok(Some(facts))) => {
                let warn_days = self.warn_days.load(Ordering::Relaxed);
                if let Some(warning) = expiry::warning(Role::Cluster, &facts, now, warn_days) {
                    tracing::warn!("{warning}");
                }
            }
            Some(Err(error)) => tracing::debug!("a certificate can't be noted: {error}"),
            Some(Ok(None)) | None => {}
        }
    }

    /// All that were seen.
    pub fn sightings(&self) -> Vec<Sighting> {
        let seen = lock(&self.seen);
        seen.as_ref().map(Seen::to_sorted).unwrap_or_default()
    }

    /// Those that were seen of a cluster.
    pub fn sightings_of(&self, cluster: &ClusterName) -> Vec<Sighting> {
        let name = String::from_utf8_lossy(cluster.as_bytes());
        let seen = lock(&self.seen);
        let of = |seen: &Seen| seen.of(&name).cloned().collect();
        seen.as_ref().map(of).unwrap_or_default()
    }

    /// What is to be written down now: at most once an hour, or because the arbiter stops. The
    /// connections with these serial numbers are still there.
    pub fn unwritten<'a>(
        &self,
        live: impl Iterator<Item = &'a [u8]>,
        stopping: bool,
    ) -> Option<Unwritten> {
        let now = Moment::from(SystemTime::now());
        let mut seen = lock(&self.seen);
        let seen = seen.as_mut()?;
        for serial in live {
            seen.touch(serial, now);
        }
        if stopping {
            seen.last_page(now)
        } else {
            seen.due(now)
        }
    }

    /// Goes on with these certificates that were issued to clusters.
    pub fn set_issued(&self, issued: Arc<[End]>) {
        *lock(&self.issued) = issued;
    }

    /// When the certificates end that clusters depend on: of each cluster, the first one.
    pub fn cluster_ends(&self) -> Vec<(String, Moment)> {
        let issued = lock(&self.issued).clone();
        let seen = lock(&self.seen);
        let seen = seen.as_ref().map(Seen::ends).unwrap_or_default();
        let now = Moment::from(SystemTime::now());
        let revoked = self.revoked.read();
        let revoked = revoked.unwrap_or_else(PoisonError::into_inner).clone();
        let all = issued.iter().chain(&seen);
        ends(all, |serial| revoked.contains(serial.as_bytes()), now)
    }

    /// Clusters that were seen only with certificates that are revoked now, and have no other: they
    /// are not coming back. One that is connected without a certificate may be among them.
    pub fn revoked_clusters(&self) -> HashSet<String> {
        let mut revoked = HashSet::new();
        if !self.has_revoked() {
            return revoked;
        }
        let mut good: HashSet<String> = self.cluster_ends().into_iter().map(|(c, _)| c).collect();
        for facts in self.sightings().into_iter().map(|seen| seen.facts) {
            match self.is_revoked(facts.serial.as_bytes()) {
                true => _ = revoked.insert(facts.name),
                false => _ = good.insert(facts.name),
            }
        }
        revoked.retain(|cluster| !good.contains(cluster));
        revoked
    }

    /// Certificates that should be renewed, in words.
    pub fn warnings(&self) -> Vec<String> {
        let endings = lock(&self.endings);
        endings.iter().map(ToString::to_string).collect()
    }

    /// The same, for whoever tells of them.
    pub fn endings(&self) -> Vec<expiry::Warning> {
        lock(&self.endings).clone()
    }

    /// Replaces them.
    pub fn set_endings(&self, endings: Vec<expiry::Warning>) {
        *lock(&self.endings) = endings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ca::Authority;
    use crate::pki::revoked::{Reason, Revocation};
    use crate::pki::{KeyKind, Profile};

    #[test]
    fn a_cluster_is_revoked_when_none_of_its_certificates_is_good() {
        let now = SystemTime::now();
        let ca = Authority::generate(KeyKind::P256, 101, now).unwrap();
        let place = tempfile::tempdir().unwrap();
        let (seen, _) = Seen::load(place.path(), &ca.keyed().certificate, now.into());
        let guests = Guests::default();
        guests.set_seen(seen);
        let see = |serial: u64| {
            let issued = ca.issue_server(Profile::default(), serial, now).unwrap();
            guests.note(&issued.certificate);
        };
        let revoke = |serials: &[u64]| {
            let mut list = Revoked::default();
            let serials: Vec<_> = serials.iter().map(|serial| (*serial).into()).collect();
            let (at, reason) = (now.into(), Reason::Unspecified);
            list.add(&serials, Revocation { at, reason });
            guests.set_revoked(Arc::new(list));
        };
        see(200);
        assert!(guests.revoked_clusters().is_empty());
        revoke(&[200]);
        let name = "Qnetd Server".to_owned();
        assert_eq!(guests.revoked_clusters(), [name.clone()].into());
        see(201);
        assert!(guests.revoked_clusters().is_empty());
        revoke(&[200, 201]);
        assert_eq!(guests.revoked_clusters(), [name].into());
    }
}
