//! Starting and stopping the arbiter, for every command that runs it.

use super::own::Own;
use super::upkeep::{Reload, Upkeep};
use crate::config::{Settings, Sources};
use crate::http::{HttpError, HttpSettings, Sidecar};
use crate::ipc;
use crate::journal;
use crate::net::guests::Guests;
use crate::net::handshake::HandshakePool;
use crate::net::hub::Hub;
use crate::net::live::{Live, TlsState};
use crate::net::server::{self, Shared};
use crate::net::{Clock, listener};
use crate::notify::{self, Notifier};
use crate::ownership::try_to_give;
use crate::pki::StoreError;
use crate::pki::revoked::RevokedError;
use crate::telemetry::history::Store;
use crate::telemetry::systemd;
use crate::tls::TlsConfigError;
use rustix::fs::{FlockOperation, OFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the journal is looked at.
const JOURNAL_LOOK: Duration = Duration::from_secs(1);

/// The arbiter can't be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{error}{hint}", error = .0, hint = hint(.0))]
    Identity(#[from] StoreError),
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    #[error("the arbiter's certificates can't be used: {0}")]
    Tls(#[from] TlsConfigError),
    #[error("Another instance is running (it holds {path})", path = .0.display())]
    Running(PathBuf),
    #[error("Can't acquire lock {path}: {error} (setting lock_file)", path = path.display())]
    Lock { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    #[error(transparent)]
    Socket(#[from] ipc::server::SocketError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("can't start: {0}")]
    Io(#[from] io::Error),
}

/// What to do about a directory that we may not use.
fn hint(error: &StoreError) -> String {
    match error {
        StoreError::Dir(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            format!(
                "; let the user that it runs as have it (chown -R {user}:{group} DIR; for the \
                 package's user chgrp -R coroqnetd DIR), run as root, or use another directory \
                 (--state-dir DIR, or -S nss_db_dir=DIR)"
            )
        }
        _ => String::new(),
    }
}

/// Everything that a start needs besides the settings.
pub(crate) struct Start {
    /// Reads the settings again, for SIGHUP.
    pub(crate) reload: Reload,
    /// Called when the port answers.
    pub(crate) ready: Box<dyn FnOnce() -> io::Result<()>>,
}

/// Reads the settings again where they came from.
pub(crate) fn reload_from(sources: Sources) -> Reload {
    Box::new(move || {
        // A line of the log has room for all of them, one after the other.
        let loaded = sources.load().map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            all.join("; ")
        })?;
        Ok(loaded.settings)
    })
}

/// Runs the arbiter until it is asked to stop.
///
/// # Errors
/// It can't be started.
pub(crate) fn run(mut settings: Settings, start: Start) -> Result<(), StartError> {
    let _lock = take_lock(&settings.lock_file)?;
    let guests = Arc::new(Guests::default());
    let own = Own::open(&settings, &guests, None)?;
    if matches!(own.tls, TlsState::Waiting) {
        tracing::warn!(
            "there are no certificates in {} yet, so no node can connect; make them with \
             `corosync-qnetd-certutil -i`, and they will be used without a restart",
            settings.identity_dir.display()
        );
    }
    leave_room(&mut settings);
    // The port first: where it is taken, no control socket is left behind.
    let votes = listener::open(&mut settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // For handshakes, and one for the control socket; more would only cost memory.
        .max_blocking_threads(HandshakePool::threads() + 1)
        // Clients that always have something to say must not keep us from listening to others.
        .event_interval(7)
        .build()?;
    runtime.block_on(async {
        // The clock must belong to the runtime that its timers run on.
        let hub = hub(&settings);
        let shared = Shared::new(Live::new(settings, own.tls.clone()), hub, guests);
        let settings = shared.live().settings.clone();
        let votes = tokio::net::TcpListener::from_std(votes)?;
        let control = ipc::server::bind(&settings)?;
        let history = start_history(&shared);
        // Before anybody is told that the arbiter runs: what was asked for may not be had.
        let sidecar = start_sidecar(&shared)?;
        let upkeep = Upkeep::start(shared.clone(), own, sidecar.keys(), start.reload)?;
        heed_signals(&shared, &upkeep)?;
        let control = tokio::spawn(ipc::server::run(shared.clone(), control));
        if let Some(watchdog) = systemd::Watchdog::from_env() {
            let hub = shared.hub.clone();
            tokio::spawn(watchdog.run(move || drop(hub.visit(|_| ()))));
        }
        (start.ready)()?;
        if let Err(error) = systemd::ready() {
            tracing::warn!("can't tell the service manager that the arbiter is ready: {error}");
        }
        let notifier = Notifier::start(shared.clone(), notify::GRACE)?;
        tokio::spawn(say_goodbye(shared.clone()));
        tokio::spawn(watch_journal(shared.clone()));
        tracing::info!("listening on {}", votes.local_addr()?);
        server::run(shared.clone(), votes).await;
        if let Err(error) = systemd::stopping() {
            tracing::debug!("can't tell the service manager that the arbiter stops: {error}");
        }
        upkeep.stop();
        notifier.join();
        sidecar.stop();
        drop(history);
        control.abort();
        shared.hub.end_journal();
        if let Err(error) = std::fs::remove_file(&settings.socket) {
            tracing::debug!("can't remove the control socket: {error}");
        }
        tracing::info!("stopped");
        Ok(())
    })
}

/// Lets those who watch know that the arbiter stops.
async fn say_goodbye(shared: Arc<Shared>) {
    shared.stopped().await;
    let stopping = format!("qarbiter {} is stopping", env!("CARGO_PKG_VERSION"));
    shared.history.note("arbiter_stopping", stopping);
}

/// Notices soon when the journal's disk hangs: votes do, too.
async fn watch_journal(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(JOURNAL_LOOK).await;
        shared.hub.look_at_journal();
    }
}

/// Starts to read and to write the history. Where it can't be had, it is kept in memory.
fn start_history(shared: &Arc<Shared>) -> Option<Store> {
    let live = shared.live();
    let settings = &live.settings;
    let max_size = settings.history.max_size;
    if max_size == 0 {
        return None;
    }
    let dir = settings.data_dir.join(format!("history-{}", settings.port));
    match Store::open(&shared.history, &dir, max_size) {
        Ok(store) => Some(store),
        Err(error) => {
            tracing::error!("the history is kept in memory only: there is no thread: {error}");
            None
        }
    }
}

/// Starts HTTP. Where it can't be had, the arbiter votes without it: that is what it is for.
fn start_sidecar(shared: &Arc<Shared>) -> Result<Sidecar, StartError> {
    let live = shared.live();
    let settings = &live.settings.http;
    let votes = tokio::runtime::Handle::current();
    match Sidecar::start(settings, shared.clone(), votes.clone()) {
        Ok(sidecar) => {
            if let Some(address) = sidecar.address() {
                tracing::info!("HTTP on {address}: metrics, health and status");
                if let Some(warning) = settings.warning() {
                    tracing::warn!("{warning}");
                }
            }
            Ok(sidecar)
        }
        Err(error) => {
            // What was asked for must work; a default must keep nobody from voting.
            if *settings != HttpSettings::default() {
                return Err(error.into());
            }
            tracing::warn!("there is no HTTP: {error}");
            Ok(Sidecar::start(&HttpSettings::off(), shared.clone(), votes)?)
        }
    }
}

/// The clusters, as the former process left them if it left anything.
fn hub(settings: &Settings) -> Arc<Hub> {
    let clock = Clock::start();
    let policies = settings.policies.clone();
    let (journal, restored) = match journal::open(&settings.data_dir, settings.port) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(
                "there is no journal: {error}; the arbiter runs, but forgets who holds a vote when \
                 it ends: make the directory writable for it, or choose another one (setting \
                 data_dir)"
            );
            return Hub::new(clock, policies);
        }
    };
    if let Some((doubt, wait)) = &restored.doubt {
        tracing::warn!("{doubt}; no cluster gets its vote for {} s", wait.as_secs());
    }
    Hub::resume(clock, policies, journal, &restored)
}

fn heed_signals(shared: &Arc<Shared>, upkeep: &Upkeep) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    let bell = upkeep.bell();
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP received, reading settings and certificates again");
            bell.ring();
        }
    });
    for (kind, name) in [
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::interrupt(), "SIGINT"),
    ] {
        let mut signals = signal(kind)?;
        let shared = shared.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                tracing::info!("{name} received, stopping");
                shared.stop();
            }
        });
    }
    Ok(())
}

/// Strangers must leave room for nodes.
pub(super) fn leave_room(settings: &mut Settings) {
    if let Some(files) = raise_file_limit() {
        let half = usize::try_from(files / 2).unwrap_or(usize::MAX).max(1);
        settings.max_pending = settings.max_pending.min(half);
    }
}

/// Every client is a file descriptor, so take as many as the system lets us have. Returns how many
/// that are, if there is a limit.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!("can't raise the limit of open files: {error}");
            limit.current
        }
    }
}

/// Takes the lock file (protocol spec, section 9.3). The lock lives as long as the file is open.
fn take_lock(path: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::Lock {
        path: path.to_owned(),
        error,
    };
    if let Some(dir) = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty() && !dir.exists())
    {
        DirBuilder::new().mode(0o770).create(dir).map_err(failed)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(failed)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            return Err(StartError::Running(path.to_owned()));
        }
        Err(error) => return Err(failed(error.into())),
    }
    let of_dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let of_dir = std::fs::metadata(of_dir.unwrap_or(Path::new("."))).map_err(failed)?;
    try_to_give(&file, &of_dir, path);
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}
