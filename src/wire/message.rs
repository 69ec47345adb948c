//! The messages, and what each carries (section 5). [`Message::encode`] turns them into bytes.

use super::options::NodeInfo;
use super::types::{
    ClusterName, ErrorCode, Heuristics, ListType, MessageType, NodeId, RingId, TieBreaker,
    TlsSupport, Vote,
};

/// INIT of a client (section 5.3). The client always lists what it supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Sequence number.
    pub seq: Option<u32>,
    /// Id of the client's node.
    pub node: NodeId,
    /// Algorithm, as the number on the wire.
    pub algorithm: u16,
    /// Heartbeat interval in milliseconds.
    pub heartbeat_ms: u32,
    /// Tie-breaker.
    pub tie_breaker: TieBreaker,
    /// Last ring id of the node.
    pub ring_id: RingId,
}

/// INIT_REPLY of the server (section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitReply {
    /// Result.
    pub code: ErrorCode,
    /// Whether the request listed its message types; the answer then does, too.
    pub list_messages: bool,
    /// Whether the request listed its options; the answer then does, too.
    pub list_options: bool,
    /// Sequence number of the request.
    pub seq: Option<u32>,
    /// Receive limit of the server, in bytes.
    pub max_request_size: u32,
    /// Send limit of the server, in bytes.
    pub max_reply_size: u32,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are those of the protocol, described in section 5
pub enum Message {
    /// The client names its cluster.
    Preinit {
        seq: Option<u32>,
        cluster: ClusterName,
    },
    /// The server announces its TLS mode.
    PreinitReply {
        seq: Option<u32>,
        tls: TlsSupport,
        client_cert_required: bool,
    },
    /// The client switches to TLS.
    StartTls { seq: Option<u32> },
    /// The client introduces its node.
    Init(Init),
    /// Answer to INIT.
    InitReply(InitReply),
    /// Refusal.
    ServerError { seq: Option<u32>, code: ErrorCode },
    /// The client changes options.
    SetOption {
        seq: Option<u32>,
        heartbeat_ms: Option<u32>,
        keep_active: Option<bool>,
    },
    /// Answer to SET_OPTION.
    SetOptionReply {
        seq: Option<u32>,
        heartbeat_ms: Option<u32>,
        keep_active: Option<bool>,
    },
    /// Heartbeat.
    EchoRequest { seq: Option<u32> },
    /// The body of an ECHO_REQUEST, sent back.
    EchoReply { body: Vec<u8> },
    /// Configured nodes, membership or quorum.
    NodeList {
        seq: u32,
        list_type: ListType,
        ring_id: Option<RingId>,
        config_version: Option<u64>,
        quorate: Option<bool>,
        nodes: Vec<NodeInfo>,
        heuristics: Option<Heuristics>,
    },
    /// Answer to NODE_LIST.
    NodeListReply {
        seq: u32,
        list_type: ListType,
        ring_id: RingId,
        vote: Vote,
    },
    /// The client asks for a vote.
    AskForVote { seq: u32 },
    /// Answer to ASK_FOR_VOTE.
    AskForVoteReply {
        seq: u32,
        vote: Vote,
        ring_id: RingId,
    },
    /// A pushed vote.
    VoteInfo {
        seq: u32,
        vote: Vote,
        ring_id: RingId,
    },
    /// Confirmation of a pushed vote.
    VoteInfoReply { seq: u32 },
    /// The client's heuristics changed.
    HeuristicsChange { seq: u32, heuristics: Heuristics },
    /// Answer to HEURISTICS_CHANGE.
    HeuristicsChangeReply {
        seq: u32,
        vote: Vote,
        ring_id: RingId,
        heuristics: Heuristics,
    },
}

impl Message {
    /// The type of the message.
    pub fn kind(&self) -> MessageType {
        match self {
            Self::Preinit { .. } => MessageType::Preinit,
            Self::PreinitReply { .. } => MessageType::PreinitReply,
            Self::StartTls { .. } => MessageType::StartTls,
            Self::Init(_) => MessageType::Init,
            Self::InitReply(_) => MessageType::InitReply,
            Self::ServerError { .. } => MessageType::ServerError,
            Self::SetOption { .. } => MessageType::SetOption,
            Self::SetOptionReply { .. } => MessageType::SetOptionReply,
            Self::EchoRequest { .. } => MessageType::EchoRequest,
            Self::EchoReply { .. } => MessageType::EchoReply,
            Self::NodeList { .. } => MessageType::NodeList,
            Self::NodeListReply { .. } => MessageType::NodeListReply,
            Self::AskForVote { .. } => MessageType::AskForVote,
            Self::AskForVoteReply { .. } => MessageType::AskForVoteReply,
            Self::VoteInfo { .. } => MessageType::VoteInfo,
            Self::VoteInfoReply { .. } => MessageType::VoteInfoReply,
            Self::HeuristicsChange { .. } => MessageType::HeuristicsChange,
            Self::HeuristicsChangeReply { .. } => MessageType::HeuristicsChangeReply,
        }
    }
}
