//! Cutting the byte stream into messages (sections 1.1 to 1.3).

use super::types::MessageType;

/// Bytes of a message header: type and length of the body.
pub const HEADER_LEN: usize = 6;

/// Why a message was thrown away unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// The type is not assigned.
    UnknownType(u16),
    /// Header and body together are above the receive limit; this many bytes.
    TooLong(u64),
}

/// One complete message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message of a known type, body not yet decoded.
    Message {
        /// Type of the message.
        kind: MessageType,
        /// The options, still as bytes.
        body: Vec<u8>,
    },
    /// All bytes of a message that is skipped have arrived.
    Skipped(Skipped),
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; HEADER_LEN],
        have: usize,
    },
    Body {
        kind: MessageType,
        missing: usize,
        body: Vec<u8>,
    },
    Skip {
        why: Skipped,
        missing: u64,
    },
}

impl State {
    const START: Self = Self::Header {
        bytes: [0; HEADER_LEN],
        have: 0,
    };
}

/// Incremental decoder of one direction of a connection.
///
/// It holds at most one partly received message, and memory for it only as its bytes arrive:
/// a header that announces a long body costs nothing.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: u32,
    state: State,
}

impl FrameDecoder {
    /// A decoder that skips messages of more than `limit` bytes, header included.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            state: State::START,
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or `input` is empty.
    ///
    /// Bytes behind the returned message stay in `input`: after STARTTLS they are not ours.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Frame> {
        loop {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let slot = bytes.get_mut(*have..).unwrap_or_default();
                    let taken = take(input, slot.len());
                    for (to, from) in slot.iter_mut().zip(taken) {
                        *to = *from;
                    }
                    *have += taken.len();
                    if *have < HEADER_LEN {
                        return None;
                    }
                    let [t0, t1, l0, l1, l2, l3] = *bytes;
                    let number = u16::from_be_bytes([t0, t1]);
                    let length = u32::from_be_bytes([l0, l1, l2, l3]);
                    self.state = self.after_header(number, length);
                }
                State::Body { missing, body, .. } => {
                    let taken = take(input, *missing);
                    body.extend_from_slice(taken);
                    *missing -= taken.len();
                    if *missing > 0 {
                        return None;
                    }
                    let done = std::mem::replace(&mut self.state, State::START);
                    if let State::Body { kind, body, .. } = done {
                        return Some(Frame::Message { kind, body });
                    }
                }
                State::Skip { why, missing } => {
                    let most = usize::try_from(*missing).unwrap_or(usize::MAX);
                    *missing -= take(input, most).len() as u64;
                    if *missing > 0 {
                        return None;
                    }
                    let why = *why;
                    self.state = State::START;
                    return Some(Frame::Skipped(why));
                }
            }
        }
    }

    /// Whether a message has begun and is not complete.
    pub fn is_mid_message(&self) -> bool {
        !matches!(self.state, State::Header { have: 0, .. })
    }

    fn after_header(&self, number: u16, length: u32) -> State {
        let total = u64::from(length) + HEADER_LEN as u64;
        let Some(kind) = MessageType::from_wire(number) else {
            return State::Skip {
                why: Skipped::UnknownType(number),
                missing: u64::from(length),
            };
        };
        if total > u64::from(self.limit) {
            return State::Skip {
                why: Skipped::TooLong(total),
                missing: u64::from(length),
            };
        }
        match usize::try_from(length) {
            Ok(missing) => State::Body {
                kind,
                missing,
                body: Vec::new(),
            },
            Err(_) => State::Skip {
                why: Skipped::TooLong(total),
                missing: u64::from(length),
            },
        }
    }
}

/// Splits up to `most` bytes off the front of `input`.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at_checked(most).unwrap_or((input, &[]));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn decode_all(decoder: &mut FrameDecoder, mut bytes: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next(&mut bytes)).collect()
    }

    #[test]
    fn surplus_bytes_stay_with_the_caller() {
        let mut bytes = message(2, &[0, 0, 0, 0]);
        bytes.extend_from_slice(b"\x16\x03\x01");
        let mut input = &bytes[..];
        let mut decoder = FrameDecoder::new(100);
        let frame = decoder.next(&mut input);
        assert_eq!(
            frame,
            Some(Frame::Message {
                kind: MessageType::StartTls,
                body: vec![0, 0, 0, 0]
            })
        );
        assert_eq!(input, b"\x16\x03\x01");
    }

    #[test]
    fn the_limit_counts_the_header() {
        let mut decoder = FrameDecoder::new(32_768);
        let fits = message(0, &vec![0; 32_762]);
        assert!(matches!(
            decode_all(&mut decoder, &fits)[..],
            [Frame::Message { .. }]
        ));
        let too_long = message(0, &vec![0; 32_763]);
        assert_eq!(
            decode_all(&mut decoder, &too_long),
            [Frame::Skipped(Skipped::TooLong(32_769))]
        );
    }

    #[test]
    fn a_skipped_message_is_reported_after_its_last_byte_only() {
        let mut decoder = FrameDecoder::new(100);
        let bytes = message(99, &[1, 2, 3]);
        let (head, tail) = bytes.split_at(8);
        assert_eq!(decode_all(&mut decoder, head), []);
        assert!(decoder.is_mid_message());
        assert_eq!(
            decode_all(&mut decoder, tail),
            [Frame::Skipped(Skipped::UnknownType(99))]
        );
        assert!(!decoder.is_mid_message());
    }

    #[test]
    fn an_unknown_type_wins_over_too_long() {
        let mut decoder = FrameDecoder::new(10);
        assert_eq!(
            decode_all(&mut decoder, &message(18, &[0; 50])),
            [Frame::Skipped(Skipped::UnknownType(18))]
        );
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut decoder = FrameDecoder::new(u32::MAX);
        assert_eq!(
            decode_all(&mut decoder, &[0, 0, 0x7f, 0xff, 0xff, 0xff, 1]),
            []
        );
        let State::Body { body, .. } = &decoder.state else {
            panic!("not in a body")
        };
        assert!(body.capacity() < 64);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            messages in prop::collection::vec((0u16..20, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in prop::collection::vec(1usize..20, 1..40),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(k, b)| message(*k, b)).collect();
            let whole = decode_all(&mut FrameDecoder::new(30), &bytes);
            prop_assert_eq!(whole.len(), messages.len());
            let mut decoder = FrameDecoder::new(30);
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.extend(decode_all(&mut decoder, piece));
                rest = tail;
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
