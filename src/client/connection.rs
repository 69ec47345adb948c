//! A connection to a server: messages in both directions, in clear or in TLS.

use super::error::ClientError;
use crate::tls::TlsClient;
use crate::wire::{
    ClusterName, DEFAULT_MESSAGE_SIZE, ErrorCode, Frame, FrameDecoder, Message, MessageType,
    OptionType, Options, TlsSupport,
};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Number of the first request; the stock client starts with it, too (protocol spec 3).
const FIRST_SEQ: u32 = 1;

/// Most bytes taken from the socket at once.
const READ_SIZE: usize = 4096;

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its type.
    pub kind: MessageType,
    /// What it says.
    pub options: Options,
}

impl Received {
    /// The value of an option that a message must have.
    ///
    /// # Errors
    /// [`ClientError::Missing`].
    pub fn need<T>(&self, value: Option<T>, option: OptionType) -> Result<T, ClientError> {
        let kind = self.kind;
        value.ok_or(ClientError::Missing { kind, option })
    }

    /// Checks the number of an answer.
    ///
    /// # Errors
    /// [`ClientError::Missing`] and [`ClientError::WrongNumber`].
    pub fn check_number(&self, expected: u32) -> Result<(), ClientError> {
        let kind = self.kind;
        let got = self.need(self.options.seq, OptionType::MsgSeqNumber)?;
        if got == expected {
            Ok(())
        } else {
            let error = ClientError::WrongNumber {
                kind,
                expected,
                got,
            };
            Err(error)
        }
    }
}

/// What a server says of itself before anything else (protocol spec 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Whether TLS is possible, or needed.
    pub tls: TlsSupport,
    /// Whether the server wants a client certificate, if it says so.
    pub client_certificate: Option<bool>,
}

/// A connection that has told the server its cluster and, if it shall, switched to TLS.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    tls: Option<TlsClient>,
    decoder: FrameDecoder,
    /// Bytes of messages, received and decrypted but not decoded.
    plain: Vec<u8>,
    /// How many of `plain` are decoded.
    decoded: usize,
    /// Bytes that the socket has not taken yet.
    unsent: Vec<u8>,
    /// The server said that it sends nothing more.
    ended: bool,
    seq: u32,
}

impl Connection {
    /// Connects, names the cluster, and does the TLS handshake if `tls` is given (protocol spec
    /// 5.1, 5.2, 6.1).
    ///
    /// With `tls` the server must offer TLS, without it the server must not require it.
    ///
    /// # Errors
    /// [`ClientError`], each variant of which can occur.
    pub async fn open(
        address: SocketAddr,
        cluster: &ClusterName,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, ClientError> {
        let (mut connection, offer) = Self::introduce(address, cluster).await?;
        match (tls, offer.tls) {
            (None, TlsSupport::Required) => Err(ClientError::TlsRequired),
            (None, _) => Ok(connection),
            (Some(_), TlsSupport::Unsupported) => Err(ClientError::TlsNotOffered),
            (Some(config), _) => {
                connection.start_tls(config).await?;
                Ok(connection)
            }
        }
    }

    /// Connects and names the cluster, and leaves the rest to the caller.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn introduce(
        address: SocketAddr,
        cluster: &ClusterName,
    ) -> Result<(Self, Offer), ClientError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| ClientError::Connect { address, source })?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            tls: None,
            decoder: FrameDecoder::new(DEFAULT_MESSAGE_SIZE),
            plain: Vec::new(),
            decoded: 0,
            unsent: Vec::new(),
            ended: false,
            seq: FIRST_SEQ,
        };
        let offer = connection.preinit(cluster).await?;
        Ok((connection, offer))
    }

    /// The number for the next request of this connection.
    pub fn next_number(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// The certificate that the server has shown.
    pub fn server_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.as_ref().and_then(TlsClient::peer_certificate)
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Puts a message behind those that are to be sent; [`Self::flush`] and [`Self::receive`] send
    /// them.
    ///
    /// # Errors
    /// [`ClientError::Tls`] if the connection has failed before.
    pub fn queue(&mut self, message: &Message) -> Result<(), ClientError> {
        let bytes = message.encode();
        match &mut self.tls {
            Some(tls) => tls.send(&bytes, &mut self.unsent)?,
            None => self.unsent.extend_from_slice(&bytes),
        }
        Ok(())
    }

    /// Sends what is queued. Nothing is lost or sent twice if the future is dropped.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        while !self.unsent.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Those of [`Self::queue`] and [`Self::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        self.queue(message)?;
        self.flush().await
    }

    /// Waits for a message, of whatever type. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`ClientError`]: the connection ended, or the message can't be decoded.
    pub async fn receive(&mut self) -> Result<Received, ClientError> {
        loop {
            match self.next_frame() {
                Some(Frame::Message { kind, body }) => {
                    let options =
                        Options::decode(&body).map_err(|error| ClientError::Undecodable {
                            kind,
                            problem: error.problem,
                        })?;
                    return Ok(Received { kind, options });
                }
                Some(Frame::Skipped(why)) => return Err(ClientError::Unacceptable(why)),
                None => {}
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// Waits for a message of one type.
    ///
    /// # Errors
    /// As [`Self::receive`]; [`ClientError::Refused`] if it is a SERVER_ERROR, and
    /// [`ClientError::Unexpected`] for any other type.
    pub async fn expect(&mut self, expected: MessageType) -> Result<Received, ClientError> {
        let received = self.receive().await?;
        match received.kind {
            kind if kind == expected => Ok(received),
            MessageType::ServerError => Err(refused(&received)),
            got => Err(ClientError::Unexpected { got, expected }),
        }
    }

    async fn preinit(&mut self, cluster: &ClusterName) -> Result<Offer, ClientError> {
        let seq = Some(self.seq);
        let cluster = cluster.clone();
        self.send(&Message::Preinit { seq, cluster }).await?;
        let reply = self.expect(MessageType::PreinitReply).await?;
        reply.check_number(self.seq)?;
        let tls = reply.need(reply.options.tls, OptionType::TlsSupported)?;
        let wanted = reply.options.client_cert_required;
        let client_certificate = wanted.map(|wanted| wanted != 0);
        Ok(Offer {
            tls,
            client_certificate,
        })
    }

    /// Switches to TLS and does the handshake.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_tls(&mut self, config: Arc<ClientConfig>) -> Result<(), ClientError> {
        if !self.plain.is_empty() || self.decoder.is_mid_message() {
            return Err(ClientError::ClearTextBeforeTls);
        }
        let seq = Some(self.next_number());
        self.queue(&Message::StartTls { seq })?;
        self.tls = Some(TlsClient::new(config, &mut self.unsent)?);
        while self.tls.as_ref().is_some_and(|tls| tls.state().handshaking) {
            self.flush().await?;
            self.fill().await?;
        }
        self.flush().await
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let mut rest = self.plain.get(self.decoded..).unwrap_or_default();
        let frame = self.decoder.next(&mut rest);
        self.decoded = self.plain.len() - rest.len();
        if rest.is_empty() {
            self.plain.clear();
            self.decoded = 0;
        }
        frame
    }

    /// Waits for bytes from the server and decrypts them.
    async fn fill(&mut self) -> Result<(), ClientError> {
        if self.ended {
            return Err(ClientError::Closed);
        }
        self.stream.readable().await?;
        let mut buffer = [0; READ_SIZE];
        let received = match self.stream.try_read(&mut buffer) {
            Ok(0) => return Err(ClientError::Closed),
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(tls) = &mut self.tls else {
            self.plain.extend_from_slice(received);
            return Ok(());
        };
        match tls.receive(received, &mut self.plain, &mut self.unsent) {
            Ok(state) => self.ended = state.peer_closed,
            Err(error) => {
                // The alert tells the server why. If it can't be sent, the reason that we have is
                // still the better one to report.
                let _ = self.stream.try_write(&self.unsent);
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// The error for a SERVER_ERROR or a failed INIT_REPLY.
pub(super) fn refused(received: &Received) -> ClientError {
    let kind = received.kind;
    let code = received.options.error_code;
    match received.need(code, OptionType::ReplyErrorCode) {
        Ok(code) => ClientError::Refused { kind, code },
        Err(missing) => missing,
    }
}

/// Whether an INIT_REPLY reports success.
///
/// # Errors
/// [`ClientError::Refused`] if it does not, [`ClientError::Missing`] if it doesn't say.
pub(super) fn check_success(received: &Received) -> Result<(), ClientError> {
    match received.options.error_code {
        Some(ErrorCode::NoError) => Ok(()),
        _ => Err(refused(received)),
    }
}
