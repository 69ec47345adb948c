//! The vote server: accepts connections until it is told to stop.

use super::connection::Connection;
use super::gone::GoneCluster;
use super::guests::Guests;
use super::handshake::HandshakePool;
use super::hub::Hub;
use super::live::{Live, Present};
use super::outbox::{Closing, Outbox};
use super::{listener, lock};
use crate::config::Settings;
use crate::engine::ConnId;
use crate::pki::seen::Unwritten;
use crate::telemetry::events;
use crate::telemetry::history::{History, Limits};
use crate::telemetry::metrics::Refusal;
use crate::tls::serial_number;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long connections may take to say goodbye when the server stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// Pause after the system refused to give us a connection, for instance for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub struct Shared {
    /// The clusters.
    pub hub: Arc<Hub>,
    /// Where handshakes run.
    pub handshakes: HandshakePool,
    /// The certificates of nodes.
    pub guests: Arc<Guests>,
    /// What happened.
    pub history: Arc<History>,
    live: Present,
    connections: Mutex<HashMap<ConnId, Link>>,
    pending: Arc<AtomicUsize>,
    next: AtomicU64,
    stop: watch::Sender<bool>,
    /// Where nodes connect to, while they can.
    address: Mutex<Option<SocketAddr>>,
}

/// What the server knows of a connection besides what the connection itself does.
struct Link {
    outbox: Arc<Outbox>,
    /// Serial number of the client's certificate, see [`crate::tls::serial_number`].
    serial: Option<Box<[u8]>>,
}

/// Why no connection is taken at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are as many connections as there may be (setting listen.max_clients).
    Clients(usize),
    /// So many have not introduced themselves (setting limits.max_pending_clients).
    Pending(usize),
}

/// The place of a connection among those that have not introduced themselves.
pub(super) struct PendingSlot(Arc<AtomicUsize>);

impl Drop for PendingSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// The state of a server that nobody is connected to.
    pub fn new(live: Live, hub: Arc<Hub>, guests: Arc<Guests>) -> Arc<Self> {
        let limits = Limits::with_files(live.settings.history.max_size);
        Arc::new(Self {
            hub,
            handshakes: HandshakePool::new(),
            guests,
            history: Arc::new(History::new(limits)),
            live: Present::new(live),
            connections: Mutex::default(),
            pending: Arc::default(),
            next: AtomicU64::new(1),
            stop: watch::Sender::new(false),
            address: Mutex::default(),
        })
    }

    /// Connections, with those that have not introduced themselves.
    pub fn connected(&self) -> usize {
        lock(&self.connections).len()
    }

    /// The clusters that an operator would miss, see [`Hub::gone`]: without those that were revoked.
    pub fn gone_clusters(&self) -> Vec<GoneCluster> {
        let mut gone = self.hub.gone();
        if !gone.is_empty() {
            let revoked = self.guests.revoked_clusters();
            gone.retain(|gone| !revoked.contains(&*String::from_utf8_lossy(gone.name.as_bytes())));
        }
        gone
    }

    /// Why a connection that comes now would be refused, if it would be.
    pub fn full(&self, settings: &Settings) -> Option<Full> {
        let pending = self.pending.load(Ordering::Relaxed);
        if settings.max_clients > 0 && self.connected() >= settings.max_clients {
            Some(Full::Clients(settings.max_clients))
        } else if pending >= settings.max_pending {
            Some(Full::Pending(pending))
        } else {
            None
        }
    }

    /// Where nodes connect to, while they can.
    pub fn address(&self) -> Option<SocketAddr> {
        *lock(&self.address)
    }

    /// The present settings and certificates.
    pub fn live(&self) -> Arc<Live> {
        self.live.get()
    }

    /// Puts other settings and certificates into force, for connections that come from now on.
    pub fn set_live(&self, live: Live) {
        self.live.set(live);
    }

    /// Notes whose certificate a connection showed, so that [`Shared::disconnect_revoked`] finds it.
    pub(super) fn certified(&self, conn: ConnId, certificate: &CertificateDer<'_>) {
        // The verifier has read it before, so it can be read.
        let Ok(serial) = serial_number(certificate) else {
            return;
        };
        self.guests.note(certificate);
        if let Some(link) = lock(&self.connections).get_mut(&conn) {
            // It may have been revoked since the handshake looked.
            if self.guests.is_revoked(&serial) {
                link.outbox.close(Closing::Revoked);
            }
            link.serial = Some(serial);
        }
    }

    /// What is to be written down about the certificates of nodes, see [`Guests::unwritten`].
    pub fn unwritten(&self, stopping: bool) -> Option<Unwritten> {
        let connections = lock(&self.connections);
        let serials = connections
            .values()
            .filter_map(|link| link.serial.as_deref());
        self.guests.unwritten(serials, stopping)
    }

    /// Ends the connections whose certificate was revoked. Returns how many.
    pub fn disconnect_revoked(&self) -> usize {
        let connections = lock(&self.connections);
        let revoked = connections.values().filter(|link| {
            let serial = link.serial.as_deref();
            serial.is_some_and(|serial| self.guests.is_revoked(serial))
        });
        revoked
            .map(|link| link.outbox.close(Closing::Revoked))
            .count()
    }

    /// Asks the server to stop.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the server is asked to stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as `self`.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Accepts connections until [`Shared::stop`], then ends them all.
pub async fn run(shared: Arc<Shared>, listener: TcpListener) {
    *lock(&shared.address) = listener.local_addr().ok();
    let stopped = shared.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => admit(&shared, stream, address),
                Err(error) => {
                    shared.hub.observer().metrics.refused(Refusal::System);
                    events::turned_away(&format_args!("can't accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = &mut stopped => break,
        }
    }
    *lock(&shared.address) = None;
    drop(listener);
    for link in lock(&shared.connections).values() {
        link.outbox.close(Closing::Shutdown);
    }
    let everybody_left = async {
        while shared.connected() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(GOODBYE, everybody_left).await.is_err() {
        tracing::warn!("{} connections did not end in time", shared.connected());
    }
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    let live = shared.live();
    let settings = &live.settings;
    let metrics = &shared.hub.observer().metrics;
    metrics.accepted.inc();
    match shared.full(settings) {
        None => {}
        Some(Full::Clients(most)) => {
            metrics.refused(Refusal::MaxClients);
            events::turned_away(&format_args!(
                "Maximum clients reached. Not accepting connection from {address} \
                 (setting -m, now {most})"
            ));
            return;
        }
        Some(Full::Pending(pending)) => {
            metrics.refused(Refusal::MaxPending);
            events::turned_away(&format_args!(
                "not accepting connection from {address}: {pending} connections have not \
                 introduced themselves yet (setting max_pending_clients)"
            ));
            return;
        }
    }
    if let Err(error) = listener::prepare(&stream) {
        tracing::debug!("client {address}: {error}");
        return;
    }
    let conn = ConnId(shared.next.fetch_add(1, Ordering::Relaxed));
    let max_message = usize::try_from(settings.session.max_send).unwrap_or(usize::MAX);
    let outbox = Arc::new(Outbox::new(settings.max_send_buffers, max_message));
    lock(&shared.connections).insert(
        conn,
        Link {
            outbox: outbox.clone(),
            serial: None,
        },
    );
    shared.pending.fetch_add(1, Ordering::Relaxed);
    let slot = PendingSlot(shared.pending.clone());
    let address: Arc<str> = printable(address).into();
    tracing::debug!("client {address}: connected");
    let connection = Connection::new(
        stream,
        conn,
        address,
        shared.clone(),
        live.policy.clone(),
        outbox,
        slot,
    );
    let shared = shared.clone();
    tokio::spawn(async move {
        connection.serve().await;
        lock(&shared.connections).remove(&conn);
    });
}

/// Address and port as the reference prints them (protocol spec, sections 9.1 and 10.4): an IPv4
/// client on the IPv6 wildcard shows its mapped address.
fn printable(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.to_string(),
        SocketAddr::V6(v6) => format!("{}:{}", v6.ip(), v6.port()),
    }
}
