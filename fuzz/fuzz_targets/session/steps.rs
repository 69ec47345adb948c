//! What can happen. Numbers are small on purpose, so that things meet.

use arbitrary::Arbitrary;

#[derive(Debug, Arbitrary)]
pub struct Input {
    pub safe: bool,
    pub steps: Vec<Step>,
}

/// A connection by its place among the open ones, modulo their number.
type Place = u8;

/// Nodes 1 to 8, one bit each.
pub type Nodes = u8;

#[derive(Debug, Arbitrary)]
pub enum Step {
    Connect,
    /// PREINIT and INIT of a stock node on a new connection.
    Join {
        cluster: u8,
        node: u8,
        algorithm: u8,
        tie_breaker: u8,
        heartbeat: u8,
    },
    Configured {
        place: Place,
        initial: bool,
        nodes: Nodes,
    },
    Membership {
        place: Place,
        ring: u8,
        nodes: Nodes,
        heuristics: u8,
    },
    Quorum {
        place: Place,
    },
    Heuristics {
        place: Place,
        pass: bool,
    },
    AskForVote {
        place: Place,
    },
    Echo {
        place: Place,
    },
    SetOption {
        place: Place,
        heartbeat: Option<u8>,
        keep_active: Option<bool>,
    },
    /// Confirms the last push, or one `back` before it.
    Confirm {
        place: Place,
        back: u8,
    },
    /// Any message.
    Raw {
        place: Place,
        kind: u8,
        body: Vec<u8>,
    },
    /// Any bytes.
    Bytes {
        place: Place,
        bytes: Vec<u8>,
    },
    Disconnect {
        place: Place,
        cause: u8,
    },
    /// Time passes, in units of 16 ms.
    Wait(u16),
    /// Time passes until something is due.
    WaitUntilDue,
}
