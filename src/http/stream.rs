//! The bytes of an HTTP connection: in clear or in TLS, and never stuck for long.

use crate::tls::{Identity, SystemClock, Tls, TlsClient, TlsConfigError, TlsError, TlsSession};
use rustls::client::ClientSide;
use rustls::crypto::Identity as Chain;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ServerSide, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig, SideData};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the other side may leave the socket full without reading anything.
const STUCK: Duration = Duration::from_secs(10);

/// Plain bytes that are encrypted at a time.
const PIECE: usize = 16 * 1024;

/// Bytes taken from the socket at a time.
const READ_SIZE: usize = 4096;

/// Certificate and key for HTTPS can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// A file can't be read.
    #[error("can't read {path} for HTTPS: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{path} holds no {what} in PEM format, which HTTPS needs", path = path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// One of them is missing.
    #[error("HTTPS needs both a certificate and its key (settings http.certificate, http.key)")]
    Incomplete,
    /// They don't fit together, or are of a kind that we don't know.
    #[error("the certificate for HTTPS: {0}")]
    Config(#[from] TlsConfigError),
}

/// HTTPS with one certificate.
pub(super) struct Https {
    config: Arc<ServerConfig>,
}

impl Https {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// They can't be read or used.
    pub(super) fn load(certificate: &Path, key: &Path) -> Result<Self, HttpsError> {
        let is_certificate = |tag: &str| tag == "CERTIFICATE";
        let chain = blocks(certificate, "certificate", is_certificate)?;
        let is_key = |tag: &str| tag.ends_with("PRIVATE KEY");
        let keys = blocks(key, "private key", is_key)?;
        let no_key = || HttpsError::NoPem {
            path: key.to_owned(),
            what: "private key that is not encrypted",
        };
        let key = keys.into_iter().next().ok_or_else(no_key)?;
        let identity = Identity {
            chain: chain.into_iter().map(CertificateDer::from).collect(),
            key: PrivateKeyDer::try_from(key).map_err(|_| no_key())?,
        };
        Ok(Self {
            config: config(identity)?,
        })
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// It failed.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> io::Result<TlsStream<S, ServerSide>> {
        let tls = TlsSession::new(self.config.clone()).map_err(io::Error::other)?;
        TlsStream::establish(socket, tls, Vec::new()).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S, ClientSide> {
    /// Does the handshake with a server of that name.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn connect(
        socket: S,
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
    ) -> io::Result<Self> {
        let mut wire = Vec::new();
        let tls = TlsClient::to(config, server, &mut wire).map_err(io::Error::other)?;
        Self::establish(socket, tls, wire).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, Side: SideData> TlsStream<S, Side> {
    /// Does the handshake. `wire` is the first thing to say.
    async fn establish(mut socket: S, mut tls: Tls<Side>, mut wire: Vec<u8>) -> io::Result<Self> {
        let mut plain = Vec::new();
        socket.write_all(&wire).await?;
        wire.clear();
        while tls.state().handshaking {
            let mut piece = [0; READ_SIZE];
            let read = socket.read(&mut piece).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let received = piece.get(..read).unwrap_or_default();
            let step = tls.receive(received, &mut plain, &mut wire);
            // What is there to say is said also after a failure: an alert.
            socket.write_all(&wire).await?;
            wire.clear();
            step.map_err(io::Error::other)?;
        }
        Ok(Self {
            socket,
            tls,
            plain,
            taken: 0,
            wire,
            written: 0,
            is_closed: false,
        })
    }
}

fn config(Identity { chain, key }: Identity) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let provider = Arc::new(rustls_ring::DEFAULT_PROVIDER);
    let chain = Chain::from_cert_chain(chain).map_err(rustls::error::Error::from)?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(SystemClock))
        .with_client_cert_verifier(WebPkiClientVerifier::no_client_auth())
        .with_single_cert(Arc::new(chain), key)
        .map_err(TlsConfigError::Identity)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec().into()];
    Ok(Arc::new(config))
}

fn blocks(
    path: &Path,
    what: &'static str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<u8>>, HttpsError> {
    let text = std::fs::read(path).map_err(|error| HttpsError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let blocks = pem::parse_many(text).unwrap_or_default();
    let wanted = blocks.into_iter().filter(|block| is_wanted(block.tag()));
    let wanted: Vec<Vec<u8>> = wanted.map(pem::Pem::into_contents).collect();
    if wanted.is_empty() {
        let path = path.to_owned();
        return Err(HttpsError::NoPem { path, what });
    }
    Ok(wanted)
}

/// A TLS connection as a stream of bytes.
pub(crate) struct TlsStream<S, Side: SideData> {
    socket: S,
    tls: Tls<Side>,
    /// Decrypted, and how much of it was taken.
    plain: Vec<u8>,
    taken: usize,
    /// Encrypted, and how much of it was written.
    wire: Vec<u8>,
    written: usize,
    is_closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, Side: SideData> TlsStream<S, Side> {
    /// Writes what is encrypted.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .wire
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.wire = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Hands decrypted bytes out. Returns whether there were any.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = self.plain.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..count).unwrap_or_default());
        self.taken += count;
        if self.taken == self.plain.len() {
            self.plain = Vec::new();
            self.taken = 0;
        }
        count > 0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, Side: SideData> AsyncRead for TlsStream<S, Side> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.hand_out(buffer) || this.tls.state().peer_closed || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; READ_SIZE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.socket).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let received = this
                .tls
                .receive(piece.filled(), &mut this.plain, &mut this.wire);
            // An alert, or the answer to a key update; what does not fit follows with the next
            // write.
            if let Poll::Ready(Err(error)) = this.poll_drain(context) {
                return Poll::Ready(Err(error));
            }
            if let Err(error) = received {
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, Side: SideData> AsyncWrite for TlsStream<S, Side> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        let this = &mut *self;
        let piece = data.get(..PIECE).unwrap_or(data);
        let sent = this.tls.send(piece, &mut this.wire);
        sent.map_err(|error: TlsError| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        // Written as far as possible now, and the rest before anything else.
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_closed {
            this.is_closed = true;
            // A session that can't say goodbye has nothing else to say.
            let _ = this.tls.close(&mut this.wire);
        }
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

/// A stream that fails if the other side stops reading. (hyper itself sees to it that the other
/// side writes.)
pub(super) struct Unstuck<S> {
    stream: S,
    /// Rings when nothing could be written for too long.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstuck<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            alarm: None,
        }
    }

    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.alarm = None;
            return outcome;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(STUCK)));
        match alarm.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstuck<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstuck<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.watch(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(outcome, context)
    }
}
