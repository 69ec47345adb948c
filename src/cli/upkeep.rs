//! What a running arbiter does besides voting: it notices certificates that appear, change or are
//! revoked, and reads its settings again when it is told to (SIGHUP).
//!
//! All of it happens on a thread of its own, so that a slow disk delays no vote, and nothing of it
//! ends a connection but a revocation.

use super::daemon::{StartError, leave_room, tls_settings};
use crate::config::Settings;
use crate::config::reload::{compare, in_force};
use crate::net::live::{Live, TlsState};
use crate::net::server::Shared;
use crate::pki::watch::Stamp;
use crate::pki::{Store, StoreError};
use crate::telemetry::log;
use crate::tls::config::server_config;
use crate::wire::TlsSupport;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the certificates' files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks in a row at which new certificates must be unusable before that is logged: whoever makes
/// them may not have finished.
const PATIENCE: u32 = 5;

/// Reads the settings again.
pub(crate) type Reload = Box<dyn Fn() -> Result<Settings, String> + Send>;

enum Order {
    Reload,
    Stop,
}

/// A handle to the running upkeep.
pub(crate) struct Upkeep {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

/// Lets others ask for a reload.
#[derive(Clone)]
pub(crate) struct Bell(Sender<Order>);

impl Bell {
    /// Asks for settings and certificates to be read again.
    pub(crate) fn ring(&self) {
        // Without anybody to hear it the arbiter is stopping.
        let _ = self.0.send(Order::Reload);
    }
}

impl Upkeep {
    /// Starts the thread.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn start(shared: Arc<Shared>, reload: Reload) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let stamp = stamp(&shared.live().settings);
        let work = Work {
            shared,
            reload,
            seen: stamp,
            failures: 0,
        };
        let thread = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || work.run(&receiver))?;
        Ok(Self { orders, thread })
    }

    pub(crate) fn bell(&self) -> Bell {
        Bell(self.orders.clone())
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        let told = self.orders.send(Order::Stop).is_ok();
        if told && self.thread.join().is_err() {
            tracing::error!("the upkeep thread failed");
        }
    }
}

/// The TLS that the settings and the certificates on disk make.
///
/// # Errors
/// There are certificates, and they can't be used.
pub(crate) fn tls_state(settings: &Settings) -> Result<TlsState, StartError> {
    if settings.session.tls == TlsSupport::Unsupported {
        return Ok(TlsState::Off);
    }
    let nickname = settings.cert_nickname.clone().into();
    match Store::open_with(&settings.identity_dir, nickname) {
        Ok(store) => {
            let tls = tls_settings(&store, settings);
            Ok(TlsState::Ready {
                certificates: tls.identity.chain.clone().into(),
                config: server_config(tls)?,
            })
        }
        Err(StoreError::Missing(_)) => Ok(TlsState::Waiting),
        Err(error) => Err(error.into()),
    }
}

/// The state of the certificates' files. Those that can't be examined count as absent: opening
/// them says why.
fn stamp(settings: &Settings) -> Option<Stamp> {
    Stamp::of(&settings.identity_dir).ok().flatten()
}

struct Work {
    shared: Arc<Shared>,
    reload: Reload,
    /// The files as they were when they were last read with success.
    seen: Option<Stamp>,
    /// Looks in a row at which they could not be used.
    failures: u32,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Order::Reload) => self.reload(),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes up certificates that appeared or changed.
    fn look(&mut self) {
        let live = self.shared.live();
        if matches!(live.tls, TlsState::Off) {
            return;
        }
        let stamp = stamp(&live.settings);
        if stamp == self.seen && self.failures == 0 {
            return;
        }
        match tls_state(&live.settings) {
            Ok(TlsState::Waiting) if matches!(live.tls, TlsState::Waiting) => {
                self.taken_up(stamp);
            }
            Ok(TlsState::Waiting) => {
                tracing::warn!(
                    "the certificates in {} are gone; going on with those in memory, \
                     which a restart would lose",
                    live.settings.identity_dir.display()
                );
                self.taken_up(stamp);
            }
            Ok(tls) => {
                self.shared.set_live(Live {
                    tls,
                    ..Live::clone(&live)
                });
                self.taken_up(stamp);
                tracing::info!(
                    "new certificates in {} are in use from now on; connections stay",
                    live.settings.identity_dir.display()
                );
            }
            Err(error) => self.failed(&error),
        }
    }

    fn taken_up(&mut self, stamp: Option<Stamp>) {
        self.seen = stamp;
        self.failures = 0;
    }

    fn failed(&mut self, error: &StartError) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == PATIENCE {
            tracing::error!("the certificates were changed and can't be used: {error}");
        }
    }

    /// Reads everything again. What can't be used changes nothing.
    fn reload(&mut self) {
        let mut wanted = match (self.reload)() {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!("reload: {error}; the former settings stay in force");
                return;
            }
        };
        leave_room(&mut wanted);
        let live = self.shared.live();
        let settings = in_force(&live.settings, &wanted);
        let stamp = stamp(&settings);
        let tls = match tls_state(&settings) {
            // Certificates that were deleted are no reason to turn nodes away.
            Ok(TlsState::Waiting) => live.tls.clone(),
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!("reload: {error}; the former settings stay in force");
                return;
            }
        };
        log::set_debug(settings.debug);
        let changes = compare(&live.settings, &wanted);
        for change in &changes.at_once {
            tracing::info!("reload: {change}");
        }
        for change in &changes.after_restart {
            tracing::warn!("reload: {change}: takes effect when the arbiter is started again");
        }
        for cluster in self.shared.hub.set_policies(&settings.policies) {
            tracing::warn!(
                "reload: cluster {cluster:?} keeps its former rules until all its nodes have left"
            );
        }
        self.shared.set_live(Live::new(settings, tls));
        self.taken_up(stamp);
        tracing::info!("reload: settings and certificates were read again; connections stay");
    }
}
