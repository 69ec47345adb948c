//! Answering on the control socket (protocol spec, section 10.1).

use super::command::{Command, CommandError, parse};
use super::events::{self, Wanted};
use super::json::{ClusterStatus, Status};
use super::render::{self, Counts};
use crate::config::Settings;
use crate::engine::snapshot::ClusterSnapshot;
use crate::http::health;
use crate::journal::Health;
use crate::net::live::{Live, TlsState};
use crate::net::server::Shared;
use crate::telemetry;
use crate::telemetry::history;
use crate::wire::ClusterName;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// How long a connection may take to send its line and to read the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The control socket can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't make the control socket {path}: {error} (setting local_socket_file)")]
pub struct SocketError {
    path: String,
    error: io::Error,
}

/// Makes the control socket; an old one is removed first.
///
/// # Errors
/// The path can't be bound.
pub fn bind(settings: &Settings) -> Result<UnixListener, SocketError> {
    let path = settings.socket.as_path();
    let bound = || -> io::Result<UnixListener> {
        if let Err(error) = std::fs::remove_file(path) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        if settings.socket_gid.is_some() {
            std::os::unix::fs::chown(path, None, settings.socket_gid)?;
        }
        if let Some(umask) = settings.socket_umask {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777 & !umask))?;
        }
        socket.listen(settings.socket_backlog)?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket.into())
    };
    bound().map_err(|error| SocketError {
        path: path.display().to_string(),
        error,
    })
}

/// Answers until the server stops.
pub async fn run(shared: Arc<Shared>, listener: UnixListener) {
    let connected = Arc::new(AtomicUsize::new(0));
    let readers = Arc::new(Semaphore::new(events::READERS));
    let stopped = shared.stopped();
    tokio::pin!(stopped);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!("can't accept a connection to the control socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stopped => return,
        };
        let most = shared.live().settings.ipc_max_clients;
        if most > 0 && connected.load(Ordering::Relaxed) >= most {
            tracing::error!("Maximum IPC clients reached. Not accepting connection");
            continue;
        }
        connected.fetch_add(1, Ordering::Relaxed);
        let (shared, connected, readers) = (shared.clone(), connected.clone(), readers.clone());
        tokio::spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, answer(&shared, stream)).await;
            connected.fetch_sub(1, Ordering::Relaxed);
            let ended = match answered {
                Ok(Ok(Some(reader))) => reader.tell(&shared, &readers).await,
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::Error::other("took too long")),
            };
            if let Err(error) = ended {
                tracing::debug!("control connection: {error}");
            }
        });
    }
}

/// Somebody who asked for events.
struct Reader {
    stream: UnixStream,
    wanted: Wanted,
}

impl Reader {
    async fn tell(mut self, shared: &Arc<Shared>, readers: &Semaphore) -> io::Result<()> {
        let Ok(_place) = readers.try_acquire() else {
            let why = format!("Error\n{} others read events already\n", events::READERS);
            return self.stream.write_all(why.as_bytes()).await;
        };
        events::tell(shared, self.stream, self.wanted).await
    }
}

/// Answers a command, or returns whoever is to be told of events.
async fn answer(shared: &Arc<Shared>, mut stream: UnixStream) -> io::Result<Option<Reader>> {
    let live = shared.live();
    let Some(line) = read_line(&mut stream, live.settings.ipc_max_receive).await? else {
        return Ok(None);
    };
    let command = parse(&line);
    if let Ok(Command::Events(wanted)) = command {
        return Ok(Some(Reader { stream, wanted }));
    }
    let what = what_is_too_long(command.as_ref().ok());
    let result = match command {
        Ok(Command::Health { ready }) => health_report(shared, ready).await,
        // With thousands of clusters an answer takes a while, which no vote should wait for.
        Ok(command) => {
            let shared = shared.clone();
            let work = tokio::task::spawn_blocking(move || carry_out(&shared, command));
            work.await.map_err(io::Error::other)?
        }
        Err(error) => Err(error),
    };
    let (verdict, text) = match result {
        Ok(text) => ("OK\n", text),
        Err(error) => ("Error\n", format!("{error}\n").into_bytes()),
    };
    let most = live.settings.ipc_max_send;
    if verdict.len() + text.len() > most {
        // The reference makes the text first, with a zero at its end, and then puts the verdict
        // before it.
        let why = match what.filter(|_| text.len() >= most) {
            Some(what) => format!("Error\nCan't get QNetd {what}\n"),
            None => "Error\nInternal IPC buffer too small\n".to_owned(),
        };
        stream.write_all(why.as_bytes()).await?;
    } else {
        stream.write_all(verdict.as_bytes()).await?;
        stream.write_all(&text).await?;
    }
    stream.shutdown().await?;
    Ok(None)
}

/// What the answer to a command is called when it is too long to be made.
fn what_is_too_long(command: Option<&Command>) -> Option<&'static str> {
    match command {
        Some(Command::Status { .. }) => Some("status"),
        Some(Command::List { .. }) => Some("cluster list"),
        _ => None,
    }
}

/// The first line, or `None` if the connection is to be closed without an answer.
async fn read_line(stream: &mut UnixStream, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(None);
        }
        let piece = piece.get(..read).unwrap_or_default();
        let end = piece.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(piece.get(..end.unwrap_or(read)).unwrap_or_default());
        if line.len() > most {
            tracing::error!("Can't store message from IPC client. Disconnecting client.");
            return Ok(None);
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

fn carry_out(shared: &Arc<Shared>, command: Command) -> Result<Vec<u8>, CommandError> {
    match command {
        Command::Status { verbose } => {
            let clusters = shared.hub.visit(|cluster| !cluster.is_empty());
            let counts = Counts {
                clients: shared.connected(),
                clusters: clusters
                    .into_iter()
                    .filter(|has_clients| *has_clients)
                    .count(),
            };
            Ok(render::status(&shared.live().settings, counts, verbose))
        }
        Command::List { verbose, cluster } => {
            let clusters: Vec<ClusterSnapshot> = snapshots(shared, cluster.as_ref())
                .into_iter()
                .filter(|cluster| !cluster.clients.is_empty())
                .collect();
            Ok(render::list(&clusters, verbose))
        }
        Command::Shutdown => {
            tracing::info!("asked to shut down over the control socket");
            let shared = shared.clone();
            // The answer leaves first.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                shared.stop();
            });
            Ok(Vec::new())
        }
        Command::JsonStatus => json_status(shared),
        // Answered where they can wait.
        Command::Health { .. } | Command::Events(_) => Err(CommandError::Empty),
        Command::Release { cluster } => release(shared, &cluster),
    }
}

fn snapshots(shared: &Shared, only: Option<&ClusterName>) -> Vec<ClusterSnapshot> {
    match only {
        Some(name) => shared.hub.snapshot(name).into_iter().collect(),
        None => shared.hub.snapshots(),
    }
}

/// Whoever can read this answer knows already that the control socket and the runtime that serves
/// votes work.
async fn health_report(shared: &Shared, ready: bool) -> Result<Vec<u8>, CommandError> {
    let votes = tokio::runtime::Handle::current();
    let health = if ready {
        health::ready(shared, &votes).await
    } else {
        health::live(&votes).await
    };
    serde_json::to_vec(&health).map_err(|_| CommandError::Incomplete("Can't get the health"))
}

fn json_status(shared: &Shared) -> Result<Vec<u8>, CommandError> {
    let live = shared.live();
    let settings = &live.settings;
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: format!(
            "{}:{}",
            settings.listen.as_deref().unwrap_or("*"),
            settings.port
        ),
        tls: settings.session.tls.to_string().to_ascii_lowercase(),
        client_cert_required: settings.session.client_cert_required,
        connections: shared.connected(),
        warnings: warnings(shared, &live),
        clusters: snapshots(shared, None)
            .iter()
            .map(ClusterStatus::from)
            .collect(),
        gone_clusters: shared.gone_clusters().into_iter().map(Into::into).collect(),
    };
    serde_json::to_vec(&status).map_err(|_| CommandError::Incomplete("Can't get QNetd status"))
}

/// What an operator should know of the arbiter itself.
pub(crate) fn warnings(shared: &Shared, live: &Live) -> Vec<String> {
    let mut warnings = Vec::new();
    if matches!(live.tls, TlsState::Waiting) {
        warnings.push(format!(
            "there are no certificates in {} yet, so no node can connect; make them with \
             `corosync-qnetd-certutil -i`",
            live.settings.identity_dir.display()
        ));
    }
    match shared.hub.journal_health() {
        Some(Health::Good) => {}
        Some(Health::Failing(why)) => warnings.push(format!(
            "the journal can't be written, so no vote moves until it can be: {why}"
        )),
        None => warnings.push(
            "there is no journal, so a restart in the middle of a split may move the vote; the log \
             of the start says why"
                .to_owned(),
        ),
    }
    match shared.history.health() {
        Some(history::Health::Failing(why)) => warnings.push(format!(
            "what happens is kept in memory only, a restart forgets it: {why}"
        )),
        Some(history::Health::Damaged(what)) => {
            warnings.push(format!("a part of the history is lost: {what}"));
        }
        Some(history::Health::Good) | None => {}
    }
    warnings.extend(shared.guests.warnings());
    warnings
}

fn release(shared: &Arc<Shared>, name: &ClusterName) -> Result<Vec<u8>, CommandError> {
    const NONE: CommandError =
        CommandError::Incomplete("no unreachable node of that cluster holds the vote");
    if !shared.hub.knows(name) {
        return Err(CommandError::Incomplete("there is no cluster of that name"));
    }
    let now = shared.hub.clock().now();
    let result = shared.hub.with_cluster(name, |guarded, actions| {
        guarded.cluster.release_lost(now, actions)
    });
    match result {
        Ok((true, actions)) => {
            telemetry::events::report(&actions, "control socket");
            Ok(Vec::new())
        }
        Ok((false, _)) | Err(_) => Err(NONE),
    }
}
