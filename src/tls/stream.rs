//! One TLS connection without I/O: bytes from the peer in, plaintext and bytes for the peer out.

use std::fmt;
use std::sync::Arc;

use rustls::client::ClientSide;
use rustls::crypto::{CipherSuite, Identity};
use rustls::enums::ProtocolVersion;
use rustls::error::Error;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ServerSide;
use rustls::{ClientConfig, Connection, ServerConfig, SideData, SliceInput, Tcp};

use super::error::{OPENING_BYTES, TlsError};

/// The most bytes that are kept while a record or a handshake message is incomplete: one record of
/// the greatest size (RFC 8446, 5.1: 5 bytes of header, 2^14 of content, 2048 of overhead in TLS
/// 1.2).
pub const MAX_PENDING: usize = 5 + 16_384 + 2_048;

/// The name that rustls asks for; nothing is sent or compared under it ([`super::config`]).
const UNUSED_NAME: &str = "qnetd.invalid";

/// The server's end of a TLS connection.
pub type TlsSession = Tls<ServerSide>;

/// The client's end of a TLS connection.
pub type TlsClient = Tls<ClientSide>;

/// One end of a TLS connection.
///
/// It holds no buffer while nothing is incomplete, and at most [`MAX_PENDING`] bytes otherwise.
/// After an error other than [`TlsError::NotEstablished`] the caller sends what is in `wire_out`
/// (the alert that tells the peer why) and closes.
pub struct Tls<Side: SideData> {
    connection: Box<Connection<Side, Tcp>>,
    /// Received bytes that don't make up a whole message yet.
    pending: Vec<u8>,
    /// Nothing has been understood so far, so the peer may speak something else than TLS.
    opening: bool,
    peer_closed: bool,
    /// What ended the connection. Nothing more is fed to rustls then: it may still count on bytes
    /// of `pending`.
    failed: Option<Box<TlsError>>,
}

/// Where the connection stands after bytes were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The handshake is not finished; nothing can be sent yet.
    pub handshaking: bool,
    /// The peer has said that it sends nothing more (close_notify). What follows is ignored.
    pub peer_closed: bool,
}

impl TlsSession {
    /// A server's end that waits for the client's first message.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls rejects the configuration.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = Connection::<ServerSide, Tcp>::new(config).map_err(TlsError::Protocol)?;
        Ok(Self::from_connection(connection))
    }
}

impl TlsClient {
    /// A client's end; appends its first message to `wire_out`.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls rejects the configuration.
    pub fn new(config: Arc<ClientConfig>, wire_out: &mut Vec<u8>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(UNUSED_NAME)
            .map_err(|reason| TlsError::Protocol(Error::General(reason.to_string())))?;
        Self::to(config, name, wire_out)
    }

    /// The same for a server with a name that the configuration has checked.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if rustls rejects the configuration.
    pub fn to(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        wire_out: &mut Vec<u8>,
    ) -> Result<Self, TlsError> {
        let connection = config
            .connect(name)
            .build(wire_out)
            .map_err(TlsError::Protocol)?;
        Ok(Self::from_connection(connection))
    }
}

impl<Side: SideData> Tls<Side> {
    fn from_connection(connection: Connection<Side, Tcp>) -> Self {
        Self {
            connection: Box::new(connection),
            pending: Vec::new(),
            opening: true,
            peer_closed: false,
            failed: None,
        }
    }

    /// Takes bytes from the peer, in pieces of any size. Appends decrypted data to `plain_out`, at
    /// most as many bytes as were received and pending, and bytes for the peer to `wire_out`.
    ///
    /// # Errors
    /// [`TlsError`] says what the peer did. `wire_out` then holds the alert for it, if TLS has one.
    pub fn receive(
        &mut self,
        wire_in: &[u8],
        plain_out: &mut Vec<u8>,
        wire_out: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        if let Some(failure) = &self.failed {
            return Err(failure.as_ref().clone());
        }
        if self.peer_closed || wire_in.is_empty() {
            return Ok(self.state());
        }
        self.pending.extend_from_slice(wire_in);
        let mut opening = [0; OPENING_BYTES];
        let opening = self.copy_opening(&mut opening);
        let mut input = SliceInput::new(&mut self.pending);
        let outcome = self
            .connection
            .read_tls(&mut input, wire_out)
            .handle_all(plain_out);
        let used = input.into_used();
        match outcome {
            Ok(state) => self.peer_closed = state.peer_has_closed(),
            Err(error) => {
                let failure = TlsError::explain(error, opening);
                return Err(self.fail(failure));
            }
        }
        self.release(used);
        if self.pending.len() > MAX_PENDING {
            return Err(self.refuse_pending(wire_out));
        }
        Ok(self.state())
    }

    /// Encrypts `plain` and appends the records to `wire_out`.
    ///
    /// # Errors
    /// [`TlsError::NotEstablished`] during the handshake and after [`Self::close`]; the error of
    /// [`Self::receive`] again if the connection has failed.
    pub fn send(&mut self, plain: &[u8], wire_out: &mut Vec<u8>) -> Result<(), TlsError> {
        if let Some(failure) = &self.failed {
            return Err(failure.as_ref().clone());
        }
        self.connection
            .write(plain.into(), wire_out)
            .map_err(|error| TlsError::explain(error, &[]))
    }

    /// Tells the peer that nothing more will be sent (close_notify). Does nothing the second time
    /// and after an alert.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if the message cannot be encrypted.
    pub fn close(&mut self, wire_out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.connection
            .send_close_notify(wire_out)
            .map_err(TlsError::Protocol)
    }

    /// Where the connection stands.
    pub fn state(&self) -> Received {
        Received {
            handshaking: self.connection.is_handshaking(),
            peer_closed: self.peer_closed,
        }
    }

    /// The certificate that the peer proved to own; its chain has been verified.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        match self.connection.peer_identity()?.identity() {
            Identity::X509(chain) => Some(&chain.end_entity),
            _ => None,
        }
    }

    /// The negotiated TLS version, for logs.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// The negotiated cipher suite, for logs.
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        self.connection
            .negotiated_cipher_suite()
            .map(|suite| suite.suite())
    }

    #[cfg(test)]
    pub(super) fn pending_capacity(&self) -> usize {
        self.pending.capacity()
    }

    fn copy_opening<'a>(&self, space: &'a mut [u8; OPENING_BYTES]) -> &'a [u8] {
        let mut length = 0;
        if self.opening {
            for (to, from) in space.iter_mut().zip(&self.pending) {
                *to = *from;
                length += 1;
            }
        }
        space.get(..length).unwrap_or_default()
    }

    /// Forgets the bytes that have been used and gives back the space that they took.
    fn release(&mut self, used: usize) {
        if used == 0 {
            return;
        }
        self.opening = false;
        if self.peer_closed || used >= self.pending.len() {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..used);
            self.pending.shrink_to_fit();
        }
    }

    fn refuse_pending(&mut self, wire_out: &mut Vec<u8>) -> TlsError {
        let pending = self.pending.len();
        if self.connection.protocol_version().is_none() {
            // rustls would accept more, so it has no alert for this. Before a version is agreed
            // nothing is encrypted: a fatal alert "record_overflow" (RFC 8446, 6).
            wire_out.extend_from_slice(&[21, 3, 3, 0, 2, 2, 22]);
        }
        self.fail(TlsError::TooMuchPending {
            pending,
            limit: MAX_PENDING,
        })
    }

    fn fail(&mut self, failure: TlsError) -> TlsError {
        self.pending = Vec::new();
        self.failed = Some(Box::new(failure.clone()));
        failure
    }
}

impl<Side: SideData> fmt::Debug for Tls<Side> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("version", &self.protocol_version())
            .field("suite", &self.cipher_suite())
            .field("pending", &self.pending.len())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
