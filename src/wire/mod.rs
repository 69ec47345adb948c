//! The QNetd wire protocol: bytes to messages and back, and nothing else.
//!
//! [`frame`] cuts a byte stream into messages, [`options`] decodes the body of one message,
//! [`message`] has the messages, and [`Message::encode`] builds the bytes of one. Nothing in here
//! performs I/O, decides anything or keeps state beyond a partly received message. Section numbers
//! refer to the protocol specification.

mod encode;
pub mod frame;
pub mod message;
pub mod options;
pub mod types;

pub use frame::{Frame, FrameDecoder, Skipped};
pub use message::{Init, InitReply, Message};
pub use options::{DecodeError, DecodeProblem, NodeInfo, Options};
pub use types::{
    Algorithm, ClusterName, ErrorCode, Heuristics, ListType, MessageType, NodeId, NodeState,
    OptionType, RingId, TieBreaker, TlsSupport, Vote,
};

/// Default limit of one message in either direction, header included, in bytes (section 1.2).
///
/// A stock client refuses a server that announces less.
pub const DEFAULT_MESSAGE_SIZE: u32 = 32_768;
