//! A client that says what it wants, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use qarbiter::wire::{
    Algorithm, ClusterName, Frame, FrameDecoder, Init, Message, MessageType, NodeId, Options,
    TieBreaker,
};

use crate::nodes::{PATIENCE, ring};

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    decoder: FrameDecoder,
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            decoder: FrameDecoder::new(1 << 20),
        }
    }

    /// With PREINIT said and answered.
    pub(crate) fn named(address: SocketAddr, cluster: &str) -> Self {
        let mut raw = Self::connect(address);
        let cluster = ClusterName::new(cluster.as_bytes());
        raw.send(&Message::Preinit {
            seq: Some(1),
            cluster,
        });
        raw.expect(MessageType::PreinitReply);
        raw
    }

    /// As a node that has joined and said nothing of its lists.
    pub(crate) fn joined(address: SocketAddr, cluster: &str, node: u32) -> Self {
        let mut raw = Self::named(address, cluster);
        raw.send(&init(node, 8000));
        let reply = raw.expect(MessageType::InitReply);
        assert_eq!(reply.error_code.map(|code| code.to_wire()), Some(0));
        raw
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.stream.write_all(&message.encode()).unwrap();
    }

    /// The next message that is no pushed vote, which must be of this type.
    pub(crate) fn expect(&mut self, expected: MessageType) -> Options {
        let mut byte = [0];
        loop {
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "closed");
            match self.decoder.next(&mut &byte[..]) {
                Some(Frame::Message {
                    kind: MessageType::VoteInfo,
                    ..
                }) if expected != MessageType::VoteInfo => {}
                Some(Frame::Message { kind, body }) => {
                    assert_eq!(kind, expected);
                    return Options::decode(&body).unwrap();
                }
                Some(Frame::Skipped(why)) => panic!("{why:?}"),
                None => {}
            }
        }
    }

    /// Writes the bytes again and again for a while, and takes whatever is answered on another
    /// thread; how many times.
    pub(crate) fn flood(mut self, bytes: &[u8], time: Duration) -> usize {
        let mut reader = self.stream.try_clone().unwrap();
        let drain = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < time && self.stream.write_all(bytes).is_ok() {
            count += 1;
        }
        // It may have been disconnected.
        let _closed = self.stream.shutdown(std::net::Shutdown::Both);
        drain.join().unwrap();
        count
    }

    /// Waits for the arbiter to close the connection; how long that took.
    pub(crate) fn closed(&mut self) -> Duration {
        let start = Instant::now();
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return start.elapsed(),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return start.elapsed();
                }
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }

    /// Whether the connection is open now.
    pub(crate) fn is_open(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let open = match self.stream.peek(&mut [0]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).unwrap();
        open
    }
}

/// INIT of a node of an ffsplit cluster.
pub(crate) fn init(node: u32, heartbeat_ms: u32) -> Message {
    Message::Init(Init {
        seq: Some(2),
        node: NodeId(node),
        algorithm: Algorithm::FfSplit.to_wire(),
        heartbeat_ms,
        tie_breaker: TieBreaker::Lowest,
        ring_id: ring(node, 1),
    })
}

/// A message of any type with any announced length.
pub(crate) fn frame(kind: u16, announced: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(announced.to_be_bytes());
    bytes.extend(body);
    bytes
}
