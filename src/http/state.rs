//! What all requests share.

use super::overview::Look;
use super::stream::{Https, HttpsError};
use super::tokens::Tokens;
use super::{HttpAddress, HttpError, HttpSettings};
use crate::net::server::Shared;
use crate::proto::v1::Health;
use crate::telemetry::history::History;
use crate::telemetry::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};

/// Answers that hold the state of all clusters at a time.
const BIG_ANSWERS: usize = 8;

/// Readers of the event stream at a time, as a part of all connections.
const READERS_OF: usize = 4;

/// What is read from files, again at every reload.
pub(super) struct Keys {
    /// Who may do what.
    pub(super) tokens: Tokens,
    /// HTTPS, if it is on.
    pub(super) https: Option<Https>,
}

impl Keys {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One of them can't be read or used.
    fn read(settings: &HttpSettings) -> Result<Self, HttpError> {
        Ok(Self {
            tokens: Tokens::read(
                settings.read_token.as_deref(),
                settings.admin_token.as_deref(),
            )?,
            https: match (&settings.certificate, &settings.key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => Some(Https::load(certificate, key)?),
                _ => return Err(HttpsError::Incomplete.into()),
            },
        })
    }
}

/// What all requests share.
pub(super) struct State {
    /// The vote server.
    pub(super) shared: Arc<Shared>,
    /// What happened.
    pub(super) history: Arc<History>,
    /// The runtime that votes are served on.
    pub(super) votes: Handle,
    keys: RwLock<Arc<Keys>>,
    /// Where we listen.
    pub(super) listen: Option<SocketAddr>,
    /// Connections at a time.
    pub(super) max_connections: usize,
    /// Places for answers about all clusters.
    pub(super) big_answers: Arc<Semaphore>,
    /// Places for readers of the event stream.
    pub(super) readers: Arc<Semaphore>,
    /// The last look at everything, so that asking often costs nothing.
    pub(super) ready: Mutex<Option<(Instant, Health)>>,
    /// The last look at all clusters, for the same reason.
    pub(super) overview: Mutex<Option<Arc<Look>>>,
}

impl State {
    pub(super) fn new(
        settings: &HttpSettings,
        shared: Arc<Shared>,
        history: Arc<History>,
        votes: Handle,
    ) -> Result<Arc<Self>, HttpError> {
        Ok(Arc::new(Self {
            shared,
            history,
            votes,
            keys: RwLock::new(Arc::new(Keys::read(settings)?)),
            listen: match settings.listen {
                HttpAddress::At(address) => Some(address),
                HttpAddress::Off => None,
            },
            max_connections: settings.max_connections,
            big_answers: Arc::new(Semaphore::new(BIG_ANSWERS)),
            readers: Arc::new(Semaphore::new(settings.max_connections / READERS_OF)),
            ready: Mutex::default(),
            overview: Mutex::default(),
        }))
    }

    /// Tokens and certificate, as they are now.
    pub(super) fn keys(&self) -> Arc<Keys> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Reads tokens and certificate again, for requests and connections from now on.
    ///
    /// # Errors
    /// One of the files can't be read or used; the former ones stay in force.
    pub(super) fn reload(&self, settings: &HttpSettings) -> Result<(), HttpError> {
        let keys = Arc::new(Keys::read(settings)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.hub.observer().metrics
    }
}
