//! Alerts: what a person should know now, told to webhooks and programs.
//!
//! All of it runs on one thread of its own that waits for receivers, programs and names to be
//! looked up, so that none of them can delay a vote. What happens it learns from the history, which
//! itself is filled through a queue that nobody waits for ([`crate::telemetry`]), and what is so
//! from looking at one cluster at a time, as the API does.
//!
//! - [`mod@derive`] makes alerts of what is seen, without a clock and without I/O; [`view`] is what it
//!   looks at, [`former`] what it begins with, `budget` keeps a storm from it,
//! - `queue`, `hook` and `post` bring them to each receiver, `retry` says when again, `states` what
//!   Alertmanager has to hear again,
//! - `format` has the bodies, `request` one request, `exec` one run of a program.

mod address;
pub mod alert;
mod budget;
pub mod derive;
pub mod exec;
mod format;
pub mod former;
mod hook;
mod post;
mod queue;
mod request;
mod retry;
mod roots;
pub mod settings;
mod states;
mod trial;
pub mod view;
mod waits;
mod watch;

pub use settings::AlertSettings;
pub use trial::{Tried, try_all};

use crate::net::server::Shared;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long after the start nodes are expected to come.
pub const GRACE: Duration = Duration::from_secs(60);

/// Threads that may wait for names to be looked up and files to be read.
const WAITING: usize = waits::EACH * settings::MOST;

/// The thread that tells of alerts.
pub struct Notifier {
    thread: JoinHandle<()>,
}

impl Notifier {
    /// Starts the thread. It ends by itself some time after the server was asked to stop. `grace`
    /// is for how long nodes that connect are no news, usually [`GRACE`].
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(shared: Arc<Shared>, grace: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(WAITING)
            .build()?;
        let thread = std::thread::Builder::new()
            .name("alerts".to_owned())
            .spawn(move || {
                crate::http::yield_to_votes();
                runtime.block_on(watch::run(shared, grace));
                runtime.shutdown_timeout(Duration::from_millis(100));
            })?;
        Ok(Self { thread })
    }

    /// Waits until the thread ends; the server must have been asked to stop.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread for alerts failed");
        }
    }
}
