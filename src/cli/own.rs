//! The arbiter's own certificates as they are in use, and what goes with them: the list of revoked
//! ones and the record of those that were seen.

use super::daemon::StartError;
use crate::config::Settings;
use crate::net::guests::Guests;
use crate::net::live::TlsState;
use crate::pki::ends::End;
use crate::pki::facts::Moment;
use crate::pki::inventory::{Inventory, Role, Sources};
use crate::pki::revoked::Watch;
use crate::pki::seen::Seen;
use crate::pki::{ServerIdentity, Store, StoreError, expiry};
use crate::tls::config::server_config;
use crate::tls::{ClientCertMode, Identity, ServerSettings, SystemClock, UnsetClock};
use crate::wire::TlsSupport;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// What was found in the identity directory.
pub(super) struct Own {
    /// The TLS that it makes.
    pub(super) tls: TlsState,
    certificates: Option<Certificates>,
}

struct Certificates {
    dir: PathBuf,
    ca: CertificateDer<'static>,
    server: CertificateDer<'static>,
    revoked: Watch,
    /// What was last said about a list that can't be used.
    complaint: Option<String>,
}

impl Own {
    /// Reads the certificates that the settings name, and puts into force which ones are revoked.
    ///
    /// # Errors
    /// There are certificates, and they or the list of revoked ones can't be used.
    pub(super) fn open(
        settings: &Settings,
        guests: &Arc<Guests>,
        former: Option<&Self>,
    ) -> Result<Self, StartError> {
        let without = |tls| {
            Ok(Self {
                tls,
                certificates: None,
            })
        };
        if settings.session.tls == TlsSupport::Unsupported {
            return without(TlsState::Off);
        }
        let nickname = settings.cert_nickname.clone().into();
        let store = match Store::open_with(&settings.identity_dir, nickname) {
            Ok(store) => store,
            Err(StoreError::Missing(_)) => return without(TlsState::Waiting),
            Err(error) => return Err(error.into()),
        };
        let identity = store.identity();
        let (ca, server) = (identity.ca.clone(), store.server().certificate.clone());
        let chain = identity.chain.clone().into();
        let tls = config(identity, settings, guests)?;
        guests.set_warn_days(settings.certificate_warn_days);
        let former = former
            .and_then(|former| former.certificates.as_ref())
            .filter(|former| former.ca == ca && former.dir == settings.identity_dir);
        let revoked = match former {
            // With the same CA everything goes on: a list that was lost still counts, and what was
            // seen is not forgotten.
            Some(former) => former.revoked.clone(),
            None => {
                let now = Moment::from(SystemTime::now());
                let revoked = Watch::start(&settings.identity_dir, ca.clone())?;
                guests.set_revoked(revoked.current().clone());
                let (seen, error) = Seen::load(&settings.data_dir, &ca, now);
                if let Some(error) = error {
                    tracing::warn!("{error}");
                }
                guests.set_seen(seen);
                revoked
            }
        };
        Ok(Self {
            tls: TlsState::Ready {
                config: tls,
                certificates: chain,
            },
            certificates: Some(Certificates {
                dir: settings.identity_dir.clone(),
                ca,
                server,
                revoked,
                complaint: None,
            }),
        })
    }

    /// Whether there is none yet.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.tls, TlsState::Waiting)
    }

    /// Looks whether other certificates are revoked, and puts that into force.
    ///
    /// Returns whether they are.
    pub(super) fn look_for_revoked(&mut self, guests: &Guests) -> bool {
        let Some(certificates) = &mut self.certificates else {
            return false;
        };
        match certificates.revoked.poll() {
            Ok(None) => false,
            Ok(Some(revoked)) => {
                certificates.complaint = None;
                tracing::info!("{} certificates are revoked from now on", revoked.len());
                guests.set_revoked(revoked);
                true
            }
            Err(error) => {
                let text = error.to_string();
                if certificates.complaint.as_ref() != Some(&text) {
                    tracing::error!(
                        "{text}; the former list of revoked certificates stays in force"
                    );
                    certificates.complaint = Some(text);
                }
                false
            }
        }
    }

    /// Finds out which certificates should be renewed, and says so.
    pub(super) fn warn_of_ends(&self, guests: &Guests, warn_days: u32) {
        let Some(certificates) = &self.certificates else {
            return;
        };
        let seen = guests.sightings();
        let sources = Sources {
            dir: &certificates.dir,
            ca: &certificates.ca,
            server: &certificates.server,
            revoked: certificates.revoked.current(),
            seen: &seen,
        };
        let now = Moment::from(SystemTime::now());
        match Inventory::read(&sources, now, warn_days) {
            Ok(inventory) => {
                let endings = expiry::warnings(&inventory.certificates, now, warn_days);
                for ending in &endings {
                    tracing::warn!("{ending}");
                }
                guests.set_endings(endings);
                let clusters = inventory.certificates.iter();
                let clusters = clusters.filter(|known| known.role == Role::Cluster);
                let issued = clusters.map(|known| End::new(&known.facts, known.seen));
                guests.set_issued(issued.collect());
            }
            Err(error) => tracing::warn!("can't look for certificates that end soon: {error}"),
        }
    }
}

fn config(
    identity: ServerIdentity,
    settings: &Settings,
    guests: &Arc<Guests>,
) -> Result<Arc<ServerConfig>, StartError> {
    let said = AtomicBool::new(false);
    let guests = guests.clone();
    Ok(server_config(ServerSettings {
        identity: Identity {
            chain: identity.chain,
            key: identity.key.into(),
        },
        client_ca: vec![identity.ca],
        client_certs: if settings.session.client_cert_required {
            ClientCertMode::Required
        } else {
            ClientCertMode::NotRequested
        },
        clock: Arc::new(SystemClock),
        on_unset_clock: Arc::new(move |unset: UnsetClock| {
            if !said.swap(true, Ordering::Relaxed) {
                tracing::warn!("{unset}");
            }
        }),
        is_revoked: Arc::new(move |serial| guests.is_revoked(serial)),
    })?)
}
