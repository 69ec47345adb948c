//! What a running arbiter does besides voting: it notices certificates that appear, change or are
//! revoked, and reads its settings again when it is told to (SIGHUP).
//!
//! All of it happens on a thread of its own, so that a slow disk delays no vote, and nothing of it
//! ends a connection but a revocation.

use super::daemon::{StartError, leave_room};
use super::own::Own;
use crate::config::Settings;
use crate::config::reload::{compare, in_force};
use crate::http;
use crate::net::live::{Live, TlsState};
use crate::net::server::Shared;
use crate::pki::watch::Stamp;
use crate::telemetry::log;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the certificates' files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks in a row at which new certificates must be unusable before that is logged: whoever makes
/// them may not have finished.
const PATIENCE: u32 = 5;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
    pub(crate) fn start(
        shared: Arc<Shared>,
        own: Own,
        http: http::Keys,
        reload: Reload,
    ) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let stamp = stamp(&shared.live().settings);
        let work = Work {
            shared,
            own,
            http,
            reload,
            seen: stamp,
            failures: 0,
            warned: None,
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

/// The state of the certificates' files. Those that can't be examined count as absent: opening
/// them says why.
fn stamp(settings: &Settings) -> Option<Stamp> {
    Stamp::of(&settings.identity_dir).ok().flatten()
}

struct Work {
    shared: Arc<Shared>,
    /// The certificates in use.
    own: Own,
    http: http::Keys,
    reload: Reload,
    /// The files as they were when they were last read with success.
    seen: Option<Stamp>,
    /// Looks in a row at which they could not be used.
    failures: u32,
    /// When certificates that end soon were last warned about.
    warned: Option<Instant>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Order::Reload) => self.reload(),
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    self.look_after_guests();
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.write_down_seen(true);
                    return;
                }
            }
        }
    }

    /// The certificates of nodes.
    fn look_after_guests(&mut self) {
        let guests = self.shared.guests.clone();
        if self.own.look_for_revoked(&guests) {
            self.disconnect_revoked();
            self.warned = None;
        }
        if self.warned.is_none_or(|at| at.elapsed() >= A_DAY) {
            self.warned = Some(Instant::now());
            let warn_days = self.shared.live().settings.certificate_warn_days;
            self.own.warn_of_ends(&guests, warn_days);
        }
        self.write_down_seen(false);
    }

    fn disconnect_revoked(&self) {
        let ended = self.shared.disconnect_revoked();
        if ended > 0 {
            tracing::warn!("{ended} connections ended because their certificate was revoked");
        }
    }

    fn write_down_seen(&self, stopping: bool) {
        if let Some(unwritten) = self.shared.unwritten(stopping) {
            if let Err(error) = unwritten.write() {
                tracing::warn!("{error}");
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
        match Own::open(&live.settings, &self.shared.guests, Some(&self.own)) {
            Ok(own) if own.is_waiting() && matches!(live.tls, TlsState::Waiting) => {
                self.taken_up(stamp);
            }
            Ok(own) if own.is_waiting() => {
                tracing::warn!(
                    "the certificates in {} are gone; going on with those in memory, \
                     which a restart would lose",
                    live.settings.identity_dir.display()
                );
                self.taken_up(stamp);
            }
            Ok(own) => {
                self.shared.set_live(Live {
                    tls: own.tls.clone(),
                    ..Live::clone(&live)
                });
                self.own = own;
                self.warned = None;
                self.disconnect_revoked();
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
        let own = match Own::open(&settings, &self.shared.guests, Some(&self.own)) {
            Ok(own) => own,
            Err(error) => {
                tracing::error!("reload: {error}; the former settings stay in force");
                return;
            }
        };
        if let Err(error) = self.http.reload(&settings.http) {
            tracing::error!("reload: {error}; the former settings stay in force");
            return;
        }
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
        // Certificates that were deleted are no reason to turn nodes away.
        let tls = if own.is_waiting() {
            live.tls.clone()
        } else {
            own.tls.clone()
        };
        self.shared.set_live(Live::new(settings, tls));
        if !own.is_waiting() {
            self.own = own;
        }
        self.warned = None;
        self.disconnect_revoked();
        self.taken_up(stamp);
        tracing::info!("reload: settings and certificates were read again; connections stay");
    }
}
