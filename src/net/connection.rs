//! One connection: its bytes, its TLS, its session, its queue.
//!
//! While nothing is under way it holds no buffer.

use super::handshake::Step;
use super::live::TlsState;
use super::outbox::{Closing, Outbox};
use super::server::{PendingSlot, Shared};
use crate::engine::{Action, ConnId, LeaveCause, Session, SessionPolicy, TlsView};
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;
use crate::tls::{ClusterAuthorisation, TlsError, TlsSession};
use crate::wire::{ClusterName, Frame, FrameDecoder, TlsSupport};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes taken from the socket at a time, and the most that is handled before others get a turn.
const READ_SIZE: usize = 2048;

/// Queued replies that are written before more of what the client sent is looked at.
const FLUSH_AT: usize = 8;

/// A moment that does not come.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// One client connection.
pub struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    session: Session,
    decoder: FrameDecoder,
    tls: Option<TlsSession>,
    outbox: Arc<Outbox>,
    /// Bytes on their way to the socket.
    wire: Vec<u8>,
    address: Arc<str>,
    pending: Option<PendingSlot>,
    refusals: u32,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the client")]
    Eof,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("disconnected: {0}")]
    Closing(#[from] Closing),
    #[error("the arbiter is going down")]
    Runtime,
}

impl End {
    /// A name for the counters.
    fn name(&self) -> &'static str {
        match self {
            Self::Eof => "closed_by_node",
            Self::Io(_) => "network",
            Self::Tls(_) => "tls",
            Self::Closing(closing) => closing.name(),
            Self::Runtime => "shutdown",
        }
    }

    /// What it proves about the client (safety spec, section 3).
    fn cause(&self) -> LeaveCause {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match self {
            Self::Eof => LeaveCause::ClosedByPeer,
            Self::Io(error) => match error.kind() {
                ConnectionReset | BrokenPipe | ConnectionAborted => LeaveCause::ClosedByPeer,
                _ => LeaveCause::NetworkLost,
            },
            Self::Tls(_) => LeaveCause::Dropped,
            Self::Closing(Closing::Shutdown) | Self::Runtime => LeaveCause::Shutdown,
            Self::Closing(Closing::Engine(crate::engine::CloseReason::DeadPeer)) => {
                LeaveCause::DeadPeer
            }
            Self::Closing(_) => LeaveCause::Dropped,
        }
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub(super) fn new(
        stream: TcpStream,
        conn: ConnId,
        address: Arc<str>,
        shared: Arc<Shared>,
        policy: Arc<SessionPolicy>,
        outbox: Arc<Outbox>,
        pending: PendingSlot,
    ) -> Self {
        let now = shared.hub.clock().now();
        Self {
            stream,
            session: Session::new(conn, address.clone(), policy.clone(), now),
            decoder: FrameDecoder::new(policy.max_receive),
            tls: None,
            outbox,
            wire: Vec::new(),
            address,
            pending: Some(pending),
            refusals: 0,
            shared,
        }
    }

    /// Serves the client until one side ends it.
    pub(super) async fn serve(mut self) {
        let end = match self.exchange().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // A last attempt at what the client should still get: an error, an alert, close-notify.
        if !matches!(end, End::Io(_)) {
            if let Some(tls) = self.tls.as_mut().filter(|_| !matches!(end, End::Tls(_))) {
                // A session that can't say goodbye has nothing else to say.
                let _ = tls.close(&mut self.wire);
            }
            let _ = self.write();
        }
        self.leave(&end);
    }

    async fn exchange(&mut self) -> Result<std::convert::Infallible, End> {
        let far = Instant::now() + NEVER;
        let mut sleep = pin!(sleep_until(far));
        let mut handled = 0;
        loop {
            self.flush()?;
            if let Some(closing) = self.outbox.closing() {
                return Err(closing.into());
            }
            self.set_alarm(sleep.as_mut());
            let input = if self.wire.is_empty() {
                let outbox = &self.outbox;
                tokio::select! {
                    input = read(&mut self.stream) => Some(input?),
                    () = outbox.changed() => None,
                    () = sleep.as_mut() => { self.alarm(sleep.as_mut()); None }
                }
            } else {
                tokio::select! {
                    ready = self.stream.writable() => { ready?; None }
                    ready = self.stream.readable() => { ready?; self.try_read()? }
                    () = self.outbox.changed() => None,
                    () = sleep.as_mut() => { self.alarm(sleep.as_mut()); None }
                }
            };
            match input {
                Some(input) if input.is_empty() => return Err(End::Eof),
                Some(input) => {
                    handled += input.len();
                    self.metrics().received.inc_by(input.len() as u64);
                    self.receive(input).await?;
                    if handled >= READ_SIZE {
                        handled = 0;
                        tokio::task::yield_now().await;
                    }
                }
                None => {}
            }
        }
    }

    /// Moves the alarm forward if something is due earlier than it rings. A later deadline is
    /// left to the alarm itself, so that a heartbeat does not touch the timer.
    fn set_alarm(&self, sleep: Pin<&mut Sleep>) {
        if let Some(at) = self.session.poll_timeout() {
            let at = self.shared.hub.clock().instant(at);
            if at < sleep.deadline() {
                sleep.reset(at);
            }
        }
    }

    fn alarm(&mut self, sleep: Pin<&mut Sleep>) {
        let clock = self.shared.hub.clock();
        let mut actions = Vec::new();
        self.session.handle_timeout(clock.now(), &mut actions);
        self.apply(actions);
        let next = self.session.poll_timeout().map(|at| clock.instant(at));
        sleep.reset(next.unwrap_or_else(|| Instant::now() + NEVER));
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.hub.observer().metrics
    }

    fn try_read(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut buffer = [0; READ_SIZE];
        match self.stream.try_read(&mut buffer) {
            Ok(read) => Ok(Some(buffer.iter().take(read).copied().collect())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes arrived.
    async fn receive(&mut self, input: Vec<u8>) -> Result<(), End> {
        let mut input = input;
        while !input.is_empty() {
            let Some(tls) = self.tls.take() else {
                let surplus = self.frames(&input)?;
                input = surplus;
                continue;
            };
            let plain = if tls.state().handshaking {
                // Boxed, so that a connection does not keep room for it all its life.
                let step = Box::pin(self.shared.handshakes.step(tls, input));
                let step = step.await.ok_or(End::Runtime)?;
                self.after_step(step)?
            } else {
                self.decrypt(tls, &input)?
            };
            self.frames(&plain)?;
            if self.tls.as_ref().is_some_and(|tls| tls.state().peer_closed) {
                return Err(End::Eof);
            }
            return Ok(());
        }
        Ok(())
    }

    fn after_step(&mut self, step: Step) -> Result<Vec<u8>, End> {
        self.tls = Some(step.tls);
        self.wire.extend_from_slice(&step.wire);
        let metrics = &self.shared.hub.observer().metrics;
        let state = step
            .result
            .inspect_err(|error| metrics.handshake_failed(error))?;
        if !state.handshaking {
            metrics.handshake();
            self.note_certificate();
        }
        Ok(step.plain)
    }

    /// From here on the connection ends when its certificate is revoked.
    fn note_certificate(&self) {
        let certificate = self.tls.as_ref().and_then(TlsSession::peer_certificate);
        if let Some(certificate) = certificate {
            self.shared.certified(self.session.conn(), certificate);
        }
    }

    fn decrypt(&mut self, tls: TlsSession, input: &[u8]) -> Result<Vec<u8>, End> {
        let mut plain = Vec::new();
        let tls = self.tls.insert(tls);
        tls.receive(input, &mut plain, &mut self.wire)?;
        Ok(plain)
    }

    /// Handles what is complete in the clear bytes. Returns what follows a STARTTLS.
    fn frames(&mut self, bytes: &[u8]) -> Result<Vec<u8>, End> {
        let was_clear = self.tls.is_none();
        let mut input = bytes;
        while let Some(frame) = self.decoder.next(&mut input) {
            self.frame(frame)?;
            if self.outbox.closing().is_some() {
                return Ok(Vec::new());
            }
            if was_clear && self.tls.is_some() {
                return Ok(input.to_vec());
            }
            if self.outbox.waiting() >= FLUSH_AT.min(self.outbox.limit() / 2) {
                self.flush()?;
            }
        }
        Ok(Vec::new())
    }

    fn frame(&mut self, frame: Frame) -> Result<(), End> {
        let now = self.shared.hub.clock().now();
        let conn = self.session.conn();
        let Self {
            session,
            tls,
            outbox,
            ..
        } = self;
        let authorise = |cluster: &ClusterName| {
            let certificate = tls.as_ref().and_then(TlsSession::peer_certificate);
            ClusterAuthorisation::new(cluster.as_bytes())
                .check(certificate)
                .map_err(|error| error.to_string())
        };
        let view = match tls {
            Some(_) => TlsView::Active(&authorise),
            None => TlsView::Clear,
        };
        let name = session.cluster().cloned();
        let actions = match name.filter(|_| session.needs_cluster(&frame, &view)) {
            None => {
                let mut actions = Vec::new();
                session.handle(now, frame, view, None, &mut actions);
                actions
            }
            Some(name) => {
                let result = self.shared.hub.with_cluster(&name, |guarded, actions| {
                    session.handle(now, frame, view, Some(&mut guarded.cluster), actions);
                    if session.node().is_some() {
                        guarded.add(conn, outbox);
                    }
                });
                match result {
                    Ok(((), actions)) => actions,
                    Err(error) => return Err(Closing::Clusters(error).into()),
                }
            }
        };
        if self.session.node().is_some() {
            self.pending = None;
        }
        self.apply(actions);
        Ok(())
    }

    /// Carries out what is not for other clients.
    fn apply(&mut self, actions: Vec<Action>) {
        self.shared.hub.observer().stranger(&actions);
        events::report_for(&actions, &self.address, &mut self.refusals);
        for action in actions {
            match action {
                Action::Send { message, .. } => self.outbox.push(message.encode()),
                Action::StartTls { .. } => self.start_tls(),
                Action::Close { reason, .. } => self.outbox.close(Closing::Engine(reason)),
                Action::Record(_) | Action::Event(_) => {}
            }
        }
    }

    fn start_tls(&mut self) {
        // What was queued so far belongs before the handshake.
        self.collect();
        let session = match &self.shared.live().tls {
            TlsState::Ready { config, .. } => TlsSession::new(config.clone()),
            TlsState::Waiting => return self.outbox.close(Closing::NoIdentity),
            TlsState::Off => {
                let off = crate::engine::CloseReason::TlsIsOff;
                return self.outbox.close(Closing::Engine(off));
            }
        };
        match session {
            Ok(session) => self.tls = Some(session),
            Err(error) => {
                tracing::error!(
                    "client {}: Can't start TLS. Disconnecting client. {error}",
                    self.address
                );
                self.outbox
                    .close(Closing::Engine(crate::engine::CloseReason::TlsIsOff));
            }
        }
    }

    /// Turns queued messages into bytes for the socket.
    fn collect(&mut self) {
        if self.tls.as_ref().is_some_and(|tls| tls.state().handshaking) {
            return;
        }
        for message in self.outbox.take() {
            match self.tls.as_mut() {
                None => self.wire.extend_from_slice(&message),
                Some(tls) => {
                    if let Err(error) = tls.send(&message, &mut self.wire) {
                        tracing::debug!("client {}: can't send: {error}", self.address);
                        self.outbox
                            .close(Closing::Engine(crate::engine::CloseReason::NotAuthorised));
                    }
                }
            }
        }
    }

    /// Writes what can be written now. What is queued is taken only when everything before it has
    /// been written, so that a client that reads slowly, but reads, does not count as stuck.
    fn flush(&mut self) -> Result<(), End> {
        loop {
            if self.wire.is_empty() {
                self.collect();
                if self.wire.is_empty() {
                    return Ok(());
                }
            }
            self.write()?;
            if !self.wire.is_empty() {
                return Ok(());
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.wire.get(done..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.metrics().sent.inc_by(done as u64);
        if done == self.wire.len() {
            self.wire = Vec::new();
            self.outbox.written();
        } else {
            self.wire.drain(..done);
        }
        Ok(())
    }

    fn leave(&mut self, end: &End) {
        self.metrics().closed(end.name());
        let was_mid_handshake = self.tls.as_ref().is_some_and(|tls| tls.state().handshaking);
        if was_mid_handshake && !matches!(end, End::Tls(_)) {
            self.metrics().handshake_given_up();
        }
        let now = self.shared.hub.clock().now();
        let conn = self.session.conn();
        let node = self.session.node();
        let tls_required = self.shared.live().policy.tls == TlsSupport::Required;
        let session = &mut self.session;
        if let Some(name) = session.cluster().cloned().filter(|_| node.is_some()) {
            let result = self.shared.hub.with_cluster(&name, |guarded, actions| {
                guarded.remove(conn);
                session.ended(now, end.cause(), Some(&mut guarded.cluster), actions);
            });
            if let Ok(((), actions)) = result {
                events::report_for(&actions, &self.address, &mut self.refusals);
            }
        }
        match (session.cluster(), node) {
            (Some(cluster), None) if self.refusals == 0 => {
                let hint = if matches!(end, End::Eof) && self.tls.is_none() && tls_required {
                    "; it may be set to clear text (quorum.device.net.tls: off), \
                     but TLS is required here (setting -s)"
                } else {
                    ""
                };
                events::gone(&self.address, cluster, &format_args!("{end}{hint}"));
            }
            (cluster, node) => events::ended(&self.address, cluster, node, end),
        }
    }
}

/// Reads what is there; an empty answer is the end of the stream. The buffer lives on the stack
/// of the moment, not in the connection.
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    std::future::poll_fn(|context: &mut Context<'_>| {
        let mut buffer = [0; READ_SIZE];
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().to_vec())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
