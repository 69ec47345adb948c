//! What the arbiter tells programs and browsers over HTTP: metrics, health, the status API.
//!
//! All of it runs on one thread of its own with its own limits, so that nobody who asks can delay a
//! vote. What it knows of clusters it reads one cluster at a time, copying numbers under the
//! cluster's lock and formatting them afterwards; what happens reaches it through a queue that
//! nobody waits for ([`crate::telemetry::observer`]). The same thread keeps the history, also while
//! HTTP is off.

mod api;
pub(crate) mod certificates;
mod events;
mod guard;
pub mod health;
mod metrics;
mod overview;
mod page;
mod places;
mod reply;
mod resources;
mod server;
pub mod settings;
mod state;
pub(crate) mod stream;
mod tokens;

pub use settings::{HttpAddress, HttpSettings};

use crate::net::server::Shared;
use crate::telemetry::history::History;
use crate::telemetry::observer::Record;
use state::State;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// How much less than votes the thread may insist on a processor (nice value).
const NICE: i32 = 5;

/// How long answers may take to leave when the arbiter stops.
const GOODBYE: Duration = Duration::from_millis(200);

/// The thread that keeps the history and answers over HTTP.
pub struct Sidecar {
    address: Option<SocketAddr>,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// The tokens and the certificate of the running sidecar.
#[derive(Clone)]
pub struct Keys(Arc<State>);

impl Keys {
    /// Reads them again from the files that `settings` name. Connections stay; a token that is no
    /// longer there opens nothing from now on.
    ///
    /// # Errors
    /// A file can't be read or used; the former ones stay in force.
    pub fn reload(&self, settings: &HttpSettings) -> Result<(), HttpError> {
        self.0.reload(settings)
    }
}

/// HTTP can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can't be listened on.
    #[error(
        "can't listen on {address} for HTTP: {error}; choose another address, or \"off\" (setting http.address)"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A token can't be used.
    #[error(transparent)]
    Token(#[from] tokens::TokenError),
    /// The certificate for HTTPS can't be used.
    #[error(transparent)]
    Tls(#[from] stream::HttpsError),
    /// The thread can't be started.
    #[error("can't start the status thread: {0}")]
    Thread(io::Error),
}

impl Sidecar {
    /// Starts the thread. `votes` is the runtime that votes are served on.
    ///
    /// # Errors
    /// What the settings ask for can't be had. [`HttpSettings::off`] always can.
    pub fn start(
        settings: &HttpSettings,
        shared: Arc<Shared>,
        votes: Handle,
    ) -> Result<Self, HttpError> {
        let listener = match settings.listen {
            HttpAddress::At(address) => Some(server::bind(address)?),
            HttpAddress::Off => None,
        };
        let address = listener.as_ref().and_then(|l| l.local_addr().ok());
        let history = shared.history.clone();
        let state = State::new(settings, shared, history, votes)?;
        // Nothing that happens from here on is missed.
        let records = state.shared.hub.observer().records();
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // For /proc and files of tokens.
            .max_blocking_threads(1)
            .build()
            .map_err(HttpError::Thread)?;
        let served = state.clone();
        let thread = std::thread::Builder::new()
            .name("status".to_owned())
            .spawn(move || {
                yield_to_votes();
                runtime.block_on(run(served, listener, records, stopped));
                runtime.shutdown_timeout(GOODBYE);
            })
            .map_err(HttpError::Thread)?;
        Ok(Self {
            address,
            state,
            stop,
            thread,
        })
    }

    /// Where HTTP answers, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What happened.
    pub fn history(&self) -> &Arc<History> {
        &self.state.history
    }

    /// For whoever reads the settings again.
    pub fn keys(&self) -> Keys {
        Keys(self.state.clone())
    }

    /// Ends the thread and waits for it.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the status thread failed");
        }
    }
}

/// Keeps what happens, behind what former processes left and after a first word.
async fn keep(
    history: Arc<History>,
    records: mpsc::Receiver<Record>,
    stopped: watch::Receiver<bool>,
) {
    history.loaded().await;
    let started = format!("qarbiter {} started", env!("CARGO_PKG_VERSION"));
    history.note("arbiter_started", started);
    history.keep(records, stopped).await;
}

async fn run(
    state: Arc<State>,
    listener: Option<std::net::TcpListener>,
    records: Option<mpsc::Receiver<Record>>,
    stopped: watch::Receiver<bool>,
) {
    let history = state.history.clone();
    let keeper = records.map(|records| tokio::spawn(keep(history, records, stopped.clone())));
    match listener {
        Some(listener) => server::run(state, listener, stopped).await,
        None => server::wait_for_stop(stopped).await,
    }
    if let Some(keeper) = keeper {
        // What happened until the end is kept too.
        let _ = tokio::time::timeout(GOODBYE, keeper).await;
    }
}

/// Lets the threads that serve votes go first.
pub(crate) fn yield_to_votes() {
    // On Linux this is about the calling thread alone.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("can't lower the priority of a thread: {error}");
    }
}
