//! Why a connection to the server failed or ended.

use crate::tls::TlsError;
use crate::wire::{DecodeProblem, ErrorCode, MessageType, OptionType, Skipped};
use std::io;
use std::net::SocketAddr;

/// Why a connection to the server failed or ended. Nothing more can be done with it then.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No TCP connection came about.
    #[error("no connection to {address} ({source}); check that the server runs and is reachable")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The established connection broke.
    #[error("the connection to the server broke: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection; its log says why")]
    Closed,
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// We want TLS and the server has none.
    #[error("the server does not offer TLS; switch it on there, or off here")]
    TlsNotOffered,
    /// The server demands TLS and we have been told not to use it.
    #[error("the server requires TLS; switch it on here")]
    TlsRequired,
    /// The server, or somebody on the way, said something between STARTTLS and TLS.
    #[error(
        "clear text follows where TLS must begin; somebody may be tampering with the connection"
    )]
    ClearTextBeforeTls,
    /// The server refused a request.
    #[error("the server refused with {kind}: {code}")]
    Refused {
        /// INIT_REPLY or SERVER_ERROR.
        kind: MessageType,
        /// The reason.
        code: ErrorCode,
    },
    /// The body of a message can't be decoded.
    #[error("the server sent a {kind} message that can't be decoded: {problem}")]
    Undecodable {
        /// Type of the message.
        kind: MessageType,
        /// What is wrong.
        problem: DecodeProblem,
    },
    /// A message of unknown type, or one that is too long.
    #[error("the server sent a message that is not accepted: {}", skipped(.0))]
    Unacceptable(Skipped),
    /// A message that has no place here.
    #[error("the server sent {got} where {expected} was expected")]
    Unexpected {
        /// What came.
        got: MessageType,
        /// What should have come.
        expected: MessageType,
    },
    /// An option that the message must have is not there.
    #[error("the server sent a {kind} message without {option}")]
    Missing {
        /// Type of the message.
        kind: MessageType,
        /// The option.
        option: OptionType,
    },
    /// The answer has another number than the request (protocol spec 3).
    #[error("the server answered request {expected} with a {kind} message of number {got}")]
    WrongNumber {
        /// Type of the answer.
        kind: MessageType,
        /// Number of the request.
        expected: u32,
        /// Number of the answer.
        got: u32,
    },
}

fn skipped(why: &Skipped) -> String {
    match why {
        Skipped::UnknownType(number) => format!("its type is {number}"),
        Skipped::TooLong(bytes) => format!("it has {bytes} bytes"),
    }
}
