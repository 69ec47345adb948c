//! One scripted connection: blocking, plain or TLS, that hands out whole messages and knows how it ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls23::pki_types::ServerName;
use rustls23::{ClientConfig, ClientConnection};

use crate::wire;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The peer closed it in order.
    Eof,
    /// The same inside TLS, announced by a close-notify.
    Notified,
    /// The peer reset it.
    Reset,
    /// TLS refused: an alert, or the end of the stream, or a reset during or right after the handshake. Which of
    /// them arrives depends on timing and TLS version, so they are one outcome.
    Refused,
}

/// What a read brought.
#[derive(Debug)]
pub(crate) enum Next {
    Message(Vec<u8>),
    End(End),
    Silence,
}

pub(crate) struct Conn {
    sock: TcpStream,
    tls: Option<Box<ClientConnection>>,
    inbuf: Vec<u8>,
    end: Option<End>,
}

impl Conn {
    /// Connects; `small` keeps the receive buffer small so that the peer's queue fills early.
    pub(crate) fn open(addr: SocketAddr, small: bool) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        if small {
            socket.set_recv_buffer_size(4096)?;
        }
        socket.connect_timeout(&addr.into(), Duration::from_secs(5))?;
        socket.set_tcp_nodelay(true)?;
        Ok(Self {
            sock: socket.into(),
            tls: None,
            inbuf: Vec::new(),
            end: None,
        })
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.sock.local_addr().map_or(0, |addr| addr.port())
    }

    /// Sends; a dead connection is noticed by the next read, not here.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ended = match &mut self.tls {
            None => self.sock.write_all(bytes),
            Some(tls) => tls
                .writer()
                .write_all(bytes)
                .and_then(|()| flush(tls, &mut self.sock)),
        };
    }

    /// Sends without blocking for longer than `limit`; false when the peer took nothing more or is gone.
    pub(crate) fn send_within(&mut self, bytes: &[u8], limit: Duration) -> bool {
        self.sock.set_write_timeout(Some(limit)).is_ok() && self.sock.write_all(bytes).is_ok()
    }

    /// Runs a TLS handshake on the open connection; `ahead` is clear text that leaves in one write with the
    /// ClientHello.
    pub(crate) fn handshake(&mut self, config: Arc<ClientConfig>, ahead: &[u8]) -> Result<(), End> {
        // The name is never sent (SNI is off) and never checked; the verifier pins the CA instead.
        let name = ServerName::try_from("qnetd.invalid").expect("a host name");
        let mut tls = ClientConnection::new(config, name).expect("client configuration");
        let mut first = ahead.to_vec();
        tls.write_tls(&mut first).expect("writing to memory");
        let clear = crate::wire::count(ahead).saturating_sub(1);
        self.send(&first);
        // What was asked before STARTTLS is answered in clear text; anything read beyond that is TLS.
        let mut answers = Vec::new();
        for _ in 0..clear {
            let Next::Message(bytes) = self.next(Instant::now() + Duration::from_secs(5)) else {
                return Err(End::Refused);
            };
            answers.extend(bytes);
        }
        let surplus = std::mem::replace(&mut self.inbuf, answers);
        let mut plain = Vec::new();
        decrypt(&mut tls, &surplus, &mut plain)?;
        flush(&mut tls, &mut self.sock).map_err(|_| End::Refused)?;
        self.sock
            .set_read_timeout(Some(Duration::from_secs(5)))
            .map_err(|_| End::Refused)?;
        while tls.is_handshaking() {
            match tls.complete_io(&mut self.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("no TLS handshake within 5 s")
                }
                Err(_) => {
                    self.end = Some(End::Refused);
                    return Err(End::Refused);
                }
            }
        }
        let _ended = flush(&mut tls, &mut self.sock);
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    pub(crate) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// The next whole message, the end of the connection, or silence until `deadline`.
    pub(crate) fn next(&mut self, deadline: Instant) -> Next {
        loop {
            if let Some(length) = wire::complete(&self.inbuf) {
                let rest = self.inbuf.split_off(length);
                return Next::Message(std::mem::replace(&mut self.inbuf, rest));
            }
            if let Some(end) = self.end {
                return Next::End(end);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left) {
                return Next::Silence;
            }
        }
    }

    /// Reads raw bytes that are no messages of the protocol (a TLS answer to a hand-written ClientHello).
    pub(crate) fn raw(&mut self, count: usize, deadline: Instant) -> Option<Vec<u8>> {
        while self.inbuf.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.end.is_some() || !self.fill(left) {
                return None;
            }
        }
        Some(std::mem::take(&mut self.inbuf))
    }

    /// One read; false when the time passed without any.
    fn fill(&mut self, left: Duration) -> bool {
        let mut buf = [0_u8; 16384];
        let limit = left.max(Duration::from_millis(1));
        if self.sock.set_read_timeout(Some(limit)).is_err() {
            self.end = Some(End::Reset);
            return true;
        }
        match self.sock.read(&mut buf) {
            Ok(0) => self.end = Some(End::Eof),
            Ok(n) => match &mut self.tls {
                None => self.inbuf.extend(&buf[..n]),
                Some(tls) => {
                    if let Err(end) = decrypt(tls, &buf[..n], &mut self.inbuf) {
                        self.end = Some(end);
                    }
                    let _ended = flush(tls, &mut self.sock);
                }
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.end = Some(End::Reset),
        }
        true
    }

    /// Closes in order (with a close-notify inside TLS).
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ended = flush(tls, &mut self.sock);
        }
    }

    /// Closes the sending half only.
    pub(crate) fn shutdown(&self) {
        let _ended = self.sock.shutdown(std::net::Shutdown::Write);
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.sock);
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

fn flush(tls: &mut ClientConnection, sock: &mut TcpStream) -> std::io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(sock)?;
    }
    Ok(())
}

fn decrypt(tls: &mut ClientConnection, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), End> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes).map_err(|_| End::Refused)?;
        let state = tls.process_new_packets().map_err(|_| End::Refused)?;
        let mut part = vec![0; state.plaintext_bytes_to_read()];
        tls.reader()
            .read_exact(&mut part)
            .map_err(|_| End::Refused)?;
        plain.extend(part);
        if state.peer_has_closed() {
            return Err(End::Notified);
        }
    }
    Ok(())
}
