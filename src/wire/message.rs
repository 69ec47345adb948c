//! Building messages, in the exact order of options that the reference uses (section 5).
//!
//! Requests are built in the order in which the stock client sends them, replies in that of the
//! reference server.

use super::frame::HEADER_LEN;
use super::options::NodeInfo;
use super::types::{
    Algorithm, ClusterName, ErrorCode, Heuristics, ListType, MessageType, NodeId, OptionType,
    RingId, TieBreaker, TlsSupport, Vote,
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

    /// The bytes on the wire, header included.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(self.kind());
        match self {
            Self::Preinit { seq, cluster } => {
                out.seq(*seq);
                out.option(OptionType::ClusterName, cluster.as_bytes());
            }
            Self::PreinitReply {
                seq,
                tls,
                client_cert_required,
            } => {
                out.seq(*seq);
                out.option(OptionType::TlsSupported, &[tls.to_wire()]);
                out.option(
                    OptionType::TlsClientCertRequired,
                    &[u8::from(*client_cert_required)],
                );
            }
            Self::StartTls { seq } | Self::EchoRequest { seq } => out.seq(*seq),
            Self::Init(init) => out.init(init),
            Self::InitReply(reply) => out.init_reply(reply),
            Self::ServerError { seq, code } => {
                out.seq(*seq);
                out.option(OptionType::ReplyErrorCode, &code.to_wire().to_be_bytes());
            }
            Self::SetOption {
                seq,
                heartbeat_ms,
                keep_active,
            }
            | Self::SetOptionReply {
                seq,
                heartbeat_ms,
                keep_active,
            } => {
                out.seq(*seq);
                if let Some(ms) = heartbeat_ms {
                    out.u32(OptionType::HeartbeatInterval, *ms);
                }
                if let Some(keep) = keep_active {
                    out.option(
                        OptionType::KeepActivePartitionTieBreaker,
                        &[u8::from(*keep)],
                    );
                }
            }
            Self::EchoReply { body } => out.bytes.extend_from_slice(body),
            Self::NodeList {
                seq,
                list_type,
                ring_id,
                config_version,
                quorate,
                nodes,
                heuristics,
            } => {
                out.seq(Some(*seq));
                out.option(OptionType::NodeListType, &[list_type.to_wire()]);
                if let Some(ring_id) = ring_id {
                    out.ring_id(*ring_id);
                }
                if let Some(version) = config_version {
                    out.option(OptionType::ConfigVersion, &version.to_be_bytes());
                }
                if let Some(quorate) = quorate {
                    out.option(OptionType::Quorate, &[u8::from(*quorate)]);
                }
                for node in nodes {
                    out.node_info(node);
                }
                if let Some(heuristics) = heuristics {
                    out.option(OptionType::Heuristics, &[heuristics.to_wire()]);
                }
            }
            Self::NodeListReply {
                seq,
                list_type,
                ring_id,
                vote,
            } => {
                out.seq(Some(*seq));
                out.option(OptionType::NodeListType, &[list_type.to_wire()]);
                out.ring_id(*ring_id);
                out.option(OptionType::Vote, &[vote.to_wire()]);
            }
            Self::AskForVote { seq } | Self::VoteInfoReply { seq } => out.seq(Some(*seq)),
            Self::AskForVoteReply { seq, vote, ring_id }
            | Self::VoteInfo { seq, vote, ring_id } => {
                out.seq(Some(*seq));
                out.option(OptionType::Vote, &[vote.to_wire()]);
                out.ring_id(*ring_id);
            }
            Self::HeuristicsChange { seq, heuristics } => {
                out.seq(Some(*seq));
                out.option(OptionType::Heuristics, &[heuristics.to_wire()]);
            }
            Self::HeuristicsChangeReply {
                seq,
                vote,
                ring_id,
                heuristics,
            } => {
                out.seq(Some(*seq));
                out.option(OptionType::Vote, &[vote.to_wire()]);
                out.ring_id(*ring_id);
                out.option(OptionType::Heuristics, &[heuristics.to_wire()]);
            }
        }
        out.finish()
    }
}

/// Bytes of one message while it grows.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new(kind: MessageType) -> Self {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&kind.to_wire().to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes }
    }

    /// Values that can't be expressed (above 65,535 bytes) are cut; only a caller that builds
    /// requests with such values could notice.
    fn option(&mut self, kind: OptionType, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&kind.to_wire().to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend(value.iter().take(usize::from(length)));
    }

    fn u32(&mut self, kind: OptionType, value: u32) {
        self.option(kind, &value.to_be_bytes());
    }

    fn u16_array(&mut self, kind: OptionType, values: impl Iterator<Item = u16>) {
        let bytes: Vec<u8> = values.flat_map(u16::to_be_bytes).collect();
        self.option(kind, &bytes);
    }

    fn seq(&mut self, seq: Option<u32>) {
        if let Some(seq) = seq {
            self.u32(OptionType::MsgSeqNumber, seq);
        }
    }

    fn ring_id(&mut self, ring: RingId) {
        let mut value = [0; 12];
        let (node, seq) = value.split_at_mut(4);
        node.copy_from_slice(&ring.node.0.to_be_bytes());
        seq.copy_from_slice(&ring.seq.to_be_bytes());
        self.option(OptionType::RingId, &value);
    }

    fn node_info(&mut self, node: &NodeInfo) {
        let mut nested = Self {
            bytes: Vec::with_capacity(24),
        };
        nested.u32(OptionType::NodeId, node.id.0);
        if node.data_center != 0 {
            nested.u32(OptionType::DataCenterId, node.data_center);
        }
        if let Some(state) = node.state {
            nested.option(OptionType::NodeState, &[state.to_wire()]);
        }
        self.option(OptionType::NodeInfo, &nested.bytes);
    }

    fn supported_messages(&mut self) {
        let numbers = MessageType::ALL.iter().map(|kind| kind.to_wire());
        self.u16_array(OptionType::SupportedMessages, numbers);
    }

    fn supported_options(&mut self) {
        let numbers = OptionType::ALL.iter().map(|kind| kind.to_wire());
        self.u16_array(OptionType::SupportedOptions, numbers);
    }

    fn init(&mut self, init: &Init) {
        self.seq(init.seq);
        self.supported_messages();
        self.supported_options();
        self.u32(OptionType::NodeId, init.node.0);
        self.option(OptionType::DecisionAlgorithm, &init.algorithm.to_be_bytes());
        self.u32(OptionType::HeartbeatInterval, init.heartbeat_ms);
        let (mode, node) = match init.tie_breaker {
            TieBreaker::Lowest => (1, 0),
            TieBreaker::Highest => (2, 0),
            TieBreaker::Node(node) => (3, node.0),
        };
        let [n0, n1, n2, n3] = u32::to_be_bytes(node);
        self.option(OptionType::TieBreaker, &[mode, n0, n1, n2, n3]);
        self.ring_id(init.ring_id);
    }

    fn init_reply(&mut self, reply: &InitReply) {
        self.option(
            OptionType::ReplyErrorCode,
            &reply.code.to_wire().to_be_bytes(),
        );
        if reply.list_messages {
            self.supported_messages();
        }
        if reply.list_options {
            self.supported_options();
        }
        self.seq(reply.seq);
        self.u32(OptionType::ServerMaximumRequestSize, reply.max_request_size);
        self.u32(OptionType::ServerMaximumReplySize, reply.max_reply_size);
        let algorithms = Algorithm::ALL.iter().map(|algorithm| algorithm.to_wire());
        self.u16_array(OptionType::SupportedDecisionAlgorithms, algorithms);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len().saturating_sub(HEADER_LEN);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(slot) = self.bytes.get_mut(2..HEADER_LEN) {
            slot.copy_from_slice(&length);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, FrameDecoder, Options};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(u8::is_ascii_hexdigit)
            .map(|c| (c as char).to_digit(16).unwrap() as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn options(message: &Message) -> Options {
        let bytes = message.encode();
        let mut input = &bytes[..];
        let Some(Frame::Message { kind, body }) = FrameDecoder::new(70_000).next(&mut input) else {
            panic!("no frame")
        };
        assert_eq!(kind, message.kind());
        Options::decode(&body).unwrap()
    }

    /// The captures of section 5.
    #[test]
    fn bytes_are_those_of_the_captures() {
        let ring = RingId::new(1, 5);
        let cases = [
            (
                Message::Preinit {
                    seq: Some(1),
                    cluster: ClusterName::new(b"Alpha"),
                },
                "0000 00000011  0000 0004 00000001  0001 0005 416c706861",
            ),
            (
                Message::PreinitReply {
                    seq: Some(1),
                    tls: TlsSupport::Unsupported,
                    client_cert_required: true,
                },
                "0001 00000012  0000 0004 00000001  0002 0001 00  0003 0001 01",
            ),
            (
                Message::StartTls { seq: Some(2) },
                "0002 00000008  0000 0004 00000002",
            ),
            (
                Message::SetOption {
                    seq: Some(3),
                    heartbeat_ms: None,
                    keep_active: Some(true),
                },
                "0006 0000000d  0000 0004 00000003  0017 0001 01",
            ),
            (
                Message::SetOptionReply {
                    seq: Some(3),
                    heartbeat_ms: None,
                    keep_active: Some(true),
                },
                "0007 0000000d  0000 0004 00000003  0017 0001 01",
            ),
            (
                Message::EchoRequest { seq: Some(1) },
                "0008 00000008  0000 0004 00000001",
            ),
            (
                Message::EchoReply {
                    body: hex("0000 0004 00000001"),
                },
                "0009 00000008  0000 0004 00000001",
            ),
            (
                Message::NodeList {
                    seq: 5,
                    list_type: ListType::Membership,
                    ring_id: Some(ring),
                    config_version: None,
                    quorate: None,
                    nodes: vec![NodeInfo::new(1)],
                    heuristics: Some(Heuristics::Fail),
                },
                "000a 0000002e  0000 0004 00000005  0012 0001 02 \
                 000d 000c 00000001 0000000000000005 0011 0008 0009 0004 00000001  0016 0001 02",
            ),
            (
                Message::NodeListReply {
                    seq: 5,
                    list_type: ListType::Membership,
                    ring_id: ring,
                    vote: Vote::NoChange,
                },
                "000b 00000022  0000 0004 00000005  0012 0001 02 \
                 000d 000c 00000001 0000000000000005  0013 0001 05",
            ),
            (
                Message::NodeList {
                    seq: 6,
                    list_type: ListType::Quorum,
                    ring_id: None,
                    config_version: None,
                    quorate: Some(false),
                    nodes: vec![NodeInfo {
                        id: NodeId(1),
                        data_center: 0,
                        state: Some(crate::wire::NodeState::Member),
                    }],
                    heuristics: None,
                },
                "000a 00000023  0000 0004 00000006  0012 0001 03  0014 0001 00 \
                 0011 000d 0009 0004 00000001 0010 0001 01",
            ),
            (
                Message::VoteInfo {
                    seq: 1,
                    vote: Vote::Ack,
                    ring_id: ring,
                },
                "000e 0000001d  0000 0004 00000001  0013 0001 01 \
                 000d 000c 00000001 0000000000000005",
            ),
            (
                Message::VoteInfoReply { seq: 1 },
                "000f 00000008  0000 0004 00000001",
            ),
            (
                Message::HeuristicsChange {
                    seq: 8,
                    heuristics: Heuristics::Pass,
                },
                "0010 0000000d  0000 0004 00000008  0016 0001 01",
            ),
            (
                Message::HeuristicsChangeReply {
                    seq: 8,
                    vote: Vote::NoChange,
                    ring_id: ring,
                    heuristics: Heuristics::Pass,
                },
                "0011 00000022  0000 0004 00000008  0013 0001 05 \
                 000d 000c 00000001 0000000000000005  0016 0001 01",
            ),
            (
                Message::ServerError {
                    seq: Some(3),
                    code: ErrorCode::PreinitRequired,
                },
                "0005 0000000e  0000 0004 00000003  0006 0002 0006",
            ),
            (
                Message::ServerError {
                    seq: None,
                    code: ErrorCode::ErrorDecodingMsg,
                },
                "0005 00000006  0006 0002 0009",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(message.encode(), hex(expected), "{message:?}");
        }
    }

    #[test]
    fn init_and_its_reply_are_those_of_the_capture() {
        let init = Message::Init(Init {
            seq: Some(2),
            node: NodeId(1),
            algorithm: 1,
            heartbeat_ms: 8000,
            tie_breaker: TieBreaker::Lowest,
            ring_id: RingId::new(1, 5),
        });
        let messages = "0000 0001 0002 0003 0004 0005 0006 0007 0008 0009 000a 000b 000c 000d \
                        000e 000f 0010 0011";
        let options = format!("{messages} 0012 0013 0014 0015 0016 0017");
        let expected = format!(
            "0003 00000093  0000 0004 00000002 0004 0024 {messages} 0005 0030 {options} \
             0009 0004 00000001  000b 0002 0001  000c 0004 00001f40 \
             0015 0005 01 00000000  000d 000c 00000001 0000000000000005"
        );
        assert_eq!(init.encode(), hex(&expected));
        let reply = Message::InitReply(InitReply {
            code: ErrorCode::NoError,
            list_messages: true,
            list_options: true,
            seq: Some(2),
            max_request_size: 32_768,
            max_reply_size: 32_768,
        });
        let expected = format!(
            "0004 00000086  0006 0002 0000 0004 0024 {messages} 0005 0030 {options} \
             0000 0004 00000002 0007 0004 00008000  0008 0004 00008000 \
             000a 0008 0000 0001 0002 0003"
        );
        assert_eq!(reply.encode(), hex(&expected));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let nodes = vec![
            NodeInfo::new(1),
            NodeInfo {
                id: NodeId(u32::MAX),
                data_center: 7,
                state: None,
            },
        ];
        let list = Message::NodeList {
            seq: u32::MAX,
            list_type: ListType::ChangedConfig,
            ring_id: Some(RingId::new(u32::MAX, u64::MAX)),
            config_version: Some(u64::MAX),
            quorate: Some(true),
            nodes: nodes.clone(),
            heuristics: Some(Heuristics::Pass),
        };
        let decoded = options(&list);
        assert_eq!(decoded.seq, Some(u32::MAX));
        assert_eq!(decoded.list_type, Some(ListType::ChangedConfig));
        assert_eq!(decoded.ring_id, Some(RingId::new(u32::MAX, u64::MAX)));
        assert_eq!(decoded.config_version, Some(u64::MAX));
        assert_eq!(decoded.quorate, Some(true));
        assert_eq!(decoded.nodes, nodes);
        assert_eq!(decoded.heuristics, Some(Heuristics::Pass));
        let tie = options(&Message::Init(Init {
            seq: None,
            node: NodeId(3),
            algorithm: 99,
            heartbeat_ms: 1,
            tie_breaker: TieBreaker::Node(NodeId(3)),
            ring_id: RingId::NONE,
        }));
        assert_eq!(tie.tie_breaker, Some(TieBreaker::Node(NodeId(3))));
        assert_eq!(tie.algorithm, Some(99));
        let ask = options(&Message::AskForVoteReply {
            seq: 4,
            vote: Vote::AskLater,
            ring_id: RingId::NONE,
        });
        assert_eq!((ask.seq, ask.vote), (Some(4), Some(Vote::AskLater)));
    }
}
