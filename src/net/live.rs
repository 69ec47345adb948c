//! What may change while the server runs: settings, and the certificates it shows.

use crate::config::Settings;
use crate::engine::SessionPolicy;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The TLS that new connections get.
#[derive(Clone)]
pub enum TlsState {
    /// It is off by setting.
    Off,
    /// There are no certificates yet. Clients that want TLS are turned away until there are
    /// (provisioning spec, trap T14: nobody restarts the arbiter after making them).
    Waiting,
    /// Certificates are there.
    Ready {
        /// What connections are served with.
        config: Arc<ServerConfig>,
        /// The server's certificate and those it comes from, for whoever shows their facts.
        certificates: Arc<[CertificateDer<'static>]>,
    },
}

impl fmt::Debug for TlsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Waiting => "Waiting",
            Self::Ready { .. } => "Ready",
        })
    }
}

/// One consistent set of settings. Connections keep the policy that they began with.
#[derive(Debug, Clone)]
pub struct Live {
    /// All settings.
    pub settings: Settings,
    /// The rules for connections, out of the settings.
    pub policy: Arc<SessionPolicy>,
    /// TLS for new connections.
    pub tls: TlsState,
}

impl Live {
    /// A set out of settings.
    #[must_use]
    pub fn new(settings: Settings, tls: TlsState) -> Self {
        Self {
            policy: Arc::new(settings.session.clone()),
            settings,
            tls,
        }
    }
}

/// The place that holds the present set.
#[derive(Debug)]
pub(super) struct Present(RwLock<Arc<Live>>);

impl Present {
    pub(super) fn new(live: Live) -> Self {
        Self(RwLock::new(Arc::new(live)))
    }

    pub(super) fn get(&self) -> Arc<Live> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, live: Live) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}
