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
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};

/// Answers that hold the state of all clusters at a time.
const BIG_ANSWERS: usize = 8;

/// Readers of the event stream at a time, as a part of all connections.
const READERS_OF: usize = 4;

/// What all requests share.
pub(super) struct State {
    /// The vote server.
    pub(super) shared: Arc<Shared>,
    /// What happened.
    pub(super) history: Arc<History>,
    /// The runtime that votes are served on.
    pub(super) votes: Handle,
    /// Who may do what.
    pub(super) tokens: Tokens,
    /// HTTPS, if it is on.
    pub(super) https: Option<Https>,
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
            tokens: Tokens::read(
                settings.read_token.as_deref(),
                settings.admin_token.as_deref(),
            )?,
            https: match (&settings.certificate, &settings.key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => Some(Https::load(certificate, key)?),
                _ => return Err(HttpsError::Incomplete.into()),
            },
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

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.hub.observer().metrics
    }
}
