//! The values of the protocol (section 2): identifiers and enumerations.

use std::fmt;
use std::sync::Arc;

/// Makes an enumeration of wire values with its conversions in both directions.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $name:ident: $repr:ty {
            $( $(#[$vmeta:meta])* $variant:ident = $value:literal, $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )+
        }

        impl $name {
            /// Every value, in the order of the wire numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value for a number from the wire, or `None` if the number is not assigned.
            pub const fn from_wire(number: $repr) -> Option<Self> {
                match number {
                    $( $value => Some(Self::$variant), )+
                    _ => None,
                }
            }

            /// The number on the wire.
            pub const fn to_wire(self) -> $repr {
                match self {
                    $( Self::$variant => $value, )+
                }
            }

            /// The name that the reference server prints.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

wire_enum! {
    /// Message types (section 2.1).
    MessageType: u16 {
        /// The client names its cluster.
        Preinit = 0, "Preinit";
        /// The server announces its TLS mode.
        PreinitReply = 1, "Preinit reply";
        /// The client switches to TLS.
        StartTls = 2, "StartTLS";
        /// The client introduces its node.
        Init = 3, "Init";
        /// Answer to INIT.
        InitReply = 4, "Init reply";
        /// Something in the client's message was refused.
        ServerError = 5, "Server error";
        /// The client changes options of its connection.
        SetOption = 6, "Set option";
        /// Answer to SET_OPTION.
        SetOptionReply = 7, "Set option reply";
        /// Heartbeat.
        EchoRequest = 8, "Echo request";
        /// Answer to a heartbeat.
        EchoReply = 9, "Echo reply";
        /// Configured nodes, membership or quorum.
        NodeList = 10, "Node list";
        /// Answer to NODE_LIST, with a vote.
        NodeListReply = 11, "Node list reply";
        /// The client asks for a vote.
        AskForVote = 12, "Ask for vote";
        /// Answer to ASK_FOR_VOTE.
        AskForVoteReply = 13, "Ask for vote reply";
        /// The server pushes a vote.
        VoteInfo = 14, "Vote info";
        /// The client confirms a pushed vote.
        VoteInfoReply = 15, "Vote info reply";
        /// The client's heuristics changed.
        HeuristicsChange = 16, "Heuristics change";
        /// Answer to HEURISTICS_CHANGE.
        HeuristicsChangeReply = 17, "Heuristics change reply";
    }
}

wire_enum! {
    /// Option types (section 2.2).
    OptionType: u16 {
        /// Sequence number of an exchange.
        MsgSeqNumber = 0, "Message sequence number";
        /// Name of the cluster.
        ClusterName = 1, "Cluster name";
        /// TLS mode of the server.
        TlsSupported = 2, "TLS supported";
        /// Whether the server wants a client certificate.
        TlsClientCertRequired = 3, "TLS client certificate required";
        /// Message types that the sender knows.
        SupportedMessages = 4, "Supported messages";
        /// Option types that the sender knows.
        SupportedOptions = 5, "Supported options";
        /// Result code.
        ReplyErrorCode = 6, "Reply error code";
        /// Receive limit of the server.
        ServerMaximumRequestSize = 7, "Server maximum request size";
        /// Send limit of the server.
        ServerMaximumReplySize = 8, "Server maximum reply size";
        /// Node id.
        NodeId = 9, "Node ID";
        /// Algorithms that the server knows.
        SupportedDecisionAlgorithms = 10, "Supported decision algorithms";
        /// Algorithm that the client wants.
        DecisionAlgorithm = 11, "Decision algorithm";
        /// Heartbeat interval in milliseconds.
        HeartbeatInterval = 12, "Heartbeat interval";
        /// Ring id.
        RingId = 13, "Ring ID";
        /// Version of the node list in corosync.conf.
        ConfigVersion = 14, "Config version";
        /// Data centre of a node.
        DataCenterId = 15, "Data center ID";
        /// State of a node.
        NodeState = 16, "Node state";
        /// One node of a list.
        NodeInfo = 17, "Node info";
        /// Kind of a node list.
        NodeListType = 18, "Node list type";
        /// A vote.
        Vote = 19, "Vote";
        /// Whether the node is quorate.
        Quorate = 20, "Quorate";
        /// Tie-breaker.
        TieBreaker = 21, "Tie-breaker";
        /// Result of the heuristics.
        Heuristics = 22, "Heuristics";
        /// Whether an exact tie goes to the partition that was active before.
        KeepActivePartitionTieBreaker = 23, "Keep active partition tie-breaker";
    }
}

wire_enum! {
    /// TLS mode as announced in PREINIT_REPLY.
    TlsSupport: u8 {
        /// The server has no TLS.
        Unsupported = 0, "Unsupported";
        /// The client may use TLS.
        Supported = 1, "Supported";
        /// The client must use TLS.
        Required = 2, "Required";
    }
}

wire_enum! {
    /// Decision algorithms.
    Algorithm: u16 {
        /// Everybody gets the vote; for developers.
        Test = 0, "Test";
        /// Exactly one half of an even cluster gets the vote.
        FfSplit = 1, "Fifty-Fifty split";
        /// Variant for two nodes; not for production.
        TwoNodeLms = 2, "2 Node LMS";
        /// Last man standing.
        Lms = 3, "LMS";
    }
}

impl Algorithm {
    /// The name in `corosync.conf` (`quorum.device.net.algorithm`).
    pub const fn config_name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::FfSplit => "ffsplit",
            Self::TwoNodeLms => "2nodelms",
            Self::Lms => "lms",
        }
    }
}

wire_enum! {
    /// State of a node in a quorum list. The wire value 0 is refused when received.
    NodeState: u8 {
        /// Member of the partition.
        Member = 1, "member";
        /// Not reachable.
        Dead = 2, "dead";
        /// Leaving.
        Leaving = 3, "leaving";
    }
}

wire_enum! {
    /// Kind of a NODE_LIST.
    ListType: u8 {
        /// Configured nodes, first time on this connection.
        InitialConfig = 0, "initial config";
        /// Configured nodes after a reload.
        ChangedConfig = 1, "changed config";
        /// Nodes that corosync sees.
        Membership = 2, "membership";
        /// Outcome of the quorum computation.
        Quorum = 3, "quorum";
    }
}

wire_enum! {
    /// A vote as the client hears it. The wire value 0 is refused when received.
    Vote: u8 {
        /// The node gets the device's vote.
        Ack = 1, "ACK";
        /// The node does not get the device's vote.
        Nack = 2, "NACK";
        /// No answer yet: the node stops casting.
        AskLater = 3, "Ask later";
        /// No answer yet: the node stops casting until a vote is pushed.
        WaitForReply = 4, "Wait for reply";
        /// What was said last still holds.
        NoChange = 5, "No change";
    }
}

wire_enum! {
    /// Result of a node's heuristics; *undefined* is the absence of the option.
    Heuristics: u8 {
        /// The checks passed.
        Pass = 1, "Pass";
        /// A check failed.
        Fail = 2, "Fail";
    }
}

/// Result codes (section 2.3). Any number is accepted when received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Success.
    NoError,
    /// The peer lacks a message type that is needed.
    UnsupportedNeededMessage,
    /// The peer lacks an option that is needed.
    UnsupportedNeededOption,
    /// A message that needs TLS came in clear.
    TlsRequired,
    /// Unknown message type.
    UnsupportedMessage,
    /// Message above the receive limit.
    MessageTooLong,
    /// STARTTLS or INIT before PREINIT.
    PreinitRequired,
    /// A mandatory option is missing.
    DoesntContainRequiredOption,
    /// A message that only a server may send, or one that is out of place.
    UnexpectedMessage,
    /// The body can't be decoded.
    ErrorDecodingMsg,
    /// Internal error.
    InternalError,
    /// Working message before a successful INIT.
    InitRequired,
    /// Unknown algorithm, or one that does not fit the cluster.
    UnsupportedDecisionAlgorithm,
    /// Heartbeat interval out of bounds.
    InvalidHeartbeatInterval,
    /// The algorithm does not know this message.
    UnsupportedDecisionAlgorithmMessage,
    /// The other nodes of the cluster use another tie-breaker.
    TieBreakerDiffersFromOtherNodes,
    /// The other nodes of the cluster use another algorithm.
    AlgorithmDiffersFromOtherNodes,
    /// The node id is in use in this cluster.
    DuplicateNodeId,
    /// Configured nodes: empty list, or one without the sender.
    InvalidConfigNodeList,
    /// Membership: empty list, or one without the sender.
    InvalidMembershipNodeList,
    /// A number without a meaning here.
    Unknown(u16),
}

const ERROR_CODES: [ErrorCode; 20] = [
    ErrorCode::NoError,
    ErrorCode::UnsupportedNeededMessage,
    ErrorCode::UnsupportedNeededOption,
    ErrorCode::TlsRequired,
    ErrorCode::UnsupportedMessage,
    ErrorCode::MessageTooLong,
    ErrorCode::PreinitRequired,
    ErrorCode::DoesntContainRequiredOption,
    ErrorCode::UnexpectedMessage,
    ErrorCode::ErrorDecodingMsg,
    ErrorCode::InternalError,
    ErrorCode::InitRequired,
    ErrorCode::UnsupportedDecisionAlgorithm,
    ErrorCode::InvalidHeartbeatInterval,
    ErrorCode::UnsupportedDecisionAlgorithmMessage,
    ErrorCode::TieBreakerDiffersFromOtherNodes,
    ErrorCode::AlgorithmDiffersFromOtherNodes,
    ErrorCode::DuplicateNodeId,
    ErrorCode::InvalidConfigNodeList,
    ErrorCode::InvalidMembershipNodeList,
];

impl ErrorCode {
    /// The code for a number from the wire.
    pub fn from_wire(number: u16) -> Self {
        ERROR_CODES
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Unknown(number))
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::UnsupportedNeededMessage => 1,
            Self::UnsupportedNeededOption => 2,
            Self::TlsRequired => 3,
            Self::UnsupportedMessage => 4,
            Self::MessageTooLong => 5,
            Self::PreinitRequired => 6,
            Self::DoesntContainRequiredOption => 7,
            Self::UnexpectedMessage => 8,
            Self::ErrorDecodingMsg => 9,
            Self::InternalError => 10,
            Self::InitRequired => 11,
            Self::UnsupportedDecisionAlgorithm => 12,
            Self::InvalidHeartbeatInterval => 13,
            Self::UnsupportedDecisionAlgorithmMessage => 14,
            Self::TieBreakerDiffersFromOtherNodes => 15,
            Self::AlgorithmDiffersFromOtherNodes => 16,
            Self::DuplicateNodeId => 17,
            Self::InvalidConfigNodeList => 18,
            Self::InvalidMembershipNodeList => 19,
            Self::Unknown(number) => number,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoError => "no error",
            Self::UnsupportedNeededMessage => "a needed message type is not supported",
            Self::UnsupportedNeededOption => "a needed option is not supported",
            Self::TlsRequired => "TLS is required",
            Self::UnsupportedMessage => "unknown message type",
            Self::MessageTooLong => "message too long",
            Self::PreinitRequired => "PREINIT is required first",
            Self::DoesntContainRequiredOption => "a required option is missing",
            Self::UnexpectedMessage => "unexpected message",
            Self::ErrorDecodingMsg => "the message can't be decoded",
            Self::InternalError => "internal error",
            Self::InitRequired => "INIT is required first",
            Self::UnsupportedDecisionAlgorithm => "unsupported decision algorithm",
            Self::InvalidHeartbeatInterval => "invalid heartbeat interval",
            Self::UnsupportedDecisionAlgorithmMessage => {
                "message not supported by the decision algorithm"
            }
            Self::TieBreakerDiffersFromOtherNodes => {
                "tie-breaker differs from the other nodes of the cluster"
            }
            Self::AlgorithmDiffersFromOtherNodes => {
                "algorithm differs from the other nodes of the cluster"
            }
            Self::DuplicateNodeId => "node id is in use by another connection",
            Self::InvalidConfigNodeList => "configured node list is empty or lacks the sender",
            Self::InvalidMembershipNodeList => "membership list is empty or lacks the sender",
            Self::Unknown(number) => return write!(f, "unknown error {number}"),
        };
        f.write_str(text)
    }
}

/// Id of a node, from corosync's node list. Never 0 for a node that may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of a membership: the node that formed it and a number that grows with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingId {
    /// Node that formed the ring.
    pub node: NodeId,
    /// Sequence of the ring; 0 means that there is none yet.
    pub seq: u64,
}

impl RingId {
    /// The ring of a client that has not told one.
    pub const NONE: Self = Self {
        node: NodeId(0),
        seq: 0,
    };

    /// A ring id from its two parts.
    pub const fn new(node: u32, seq: u64) -> Self {
        Self {
            node: NodeId(node),
            seq,
        }
    }
}

/// As corosync's own tools print it: both parts hexadecimal.
impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.node.0, self.seq)
    }
}

/// Rule for an exact tie.
///
/// The node id on the wire counts only for [`TieBreaker::Node`] (section 2.2, option 21), so two
/// values compare equal exactly if the rules do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TieBreaker {
    /// The partition with the lowest node id.
    Lowest,
    /// The partition with the highest node id.
    Highest,
    /// The partition with this node.
    Node(NodeId),
}

impl fmt::Display for TieBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lowest => f.write_str("lowest node id"),
            Self::Highest => f.write_str("highest node id"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

/// Name of a cluster: bytes without a character set, compared byte by byte (section 4.4).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Arc<[u8]>);

impl ClusterName {
    /// A name from its bytes. Any bytes are possible, none at all included.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Printable: bytes that are not text, control characters and quotes are escaped, and a very long
/// name is cut, so that a name can't forge or flood a log line.
impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 128;
        let (shown, cut) = match self.0.get(..SHOWN) {
            Some(head) if self.0.len() > SHOWN => (head, true),
            _ => (&*self.0, false),
        };
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '"' || c == '\\' {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if cut { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_protocols() {
        assert_eq!(MessageType::ALL.len(), 18);
        assert_eq!(OptionType::ALL.len(), 24);
        for (number, kind) in (0u16..).zip(MessageType::ALL) {
            assert_eq!(kind.to_wire(), number);
            assert_eq!(MessageType::from_wire(number), Some(*kind));
        }
        for (number, kind) in (0u16..).zip(OptionType::ALL) {
            assert_eq!(kind.to_wire(), number);
        }
        assert_eq!(MessageType::from_wire(18), None);
        assert_eq!(Vote::from_wire(0), None);
        assert_eq!(Heuristics::from_wire(0), None);
        assert_eq!(NodeState::from_wire(0), None);
    }

    #[test]
    fn error_codes_survive_the_wire() {
        for number in 0..300u16 {
            assert_eq!(ErrorCode::from_wire(number).to_wire(), number);
        }
        assert_eq!(ErrorCode::from_wire(20), ErrorCode::Unknown(20));
        assert_eq!(
            ErrorCode::from_wire(19),
            ErrorCode::InvalidMembershipNodeList
        );
    }

    #[test]
    fn a_name_can_not_forge_a_log_line() {
        let name = ClusterName::new(b"a\nb\"\xff\\");
        assert_eq!(name.to_string(), "a\\nb\\\"\\xff\\\\");
        assert!(ClusterName::new(&[b'x'; 5000]).to_string().len() < 200);
    }

    #[test]
    fn a_ring_prints_in_hexadecimal() {
        assert_eq!(RingId::new(10, 31).to_string(), "a.1f");
    }
}
