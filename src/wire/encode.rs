//! Messages to bytes, in the exact order of options that the reference uses (section 5).
//!
//! Requests are built in the order in which the stock client sends them, replies in that of the
//! reference server.

use super::frame::HEADER_LEN;
use super::message::{Init, InitReply, Message};
use super::options::NodeInfo;
use super::types::{Algorithm, MessageType, OptionType, RingId, TieBreaker};

impl Message {
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
mod tests;
