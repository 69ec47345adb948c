//! Decoding the body of a message: a sequence of options (sections 1.4, 1.5 and 2.2).
//!
//! Every known option is decoded and validated in every message, whether the message has a use
//! for it or not. What a message needs is the business of the session.

use super::types::{
    ErrorCode, Heuristics, ListType, NodeId, NodeState, OptionType, RingId, TieBreaker, TlsSupport,
    Vote,
};
use thiserror::Error;

/// One entry of a node list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeInfo {
    /// Node id, never 0.
    pub id: NodeId,
    /// Data centre, 0 if not set.
    pub data_center: u32,
    /// State, in quorum lists.
    pub state: Option<NodeState>,
}

impl NodeInfo {
    /// An entry with nothing but the node id.
    pub const fn new(id: u32) -> Self {
        Self {
            id: NodeId(id),
            data_center: 0,
            state: None,
        }
    }
}

/// Everything that the body of one message said; a repeated option counts once, with its last
/// value, except for [`Options::nodes`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Sequence number of the exchange.
    pub seq: Option<u32>,
    /// Cluster name.
    pub cluster_name: Option<Vec<u8>>,
    /// TLS mode.
    pub tls: Option<TlsSupport>,
    /// Client certificate wanted; any byte.
    pub client_cert_required: Option<u8>,
    /// Known message types, unchecked.
    pub supported_messages: Option<Vec<u16>>,
    /// Known option types, unchecked.
    pub supported_options: Option<Vec<u16>>,
    /// Result code.
    pub error_code: Option<ErrorCode>,
    /// Receive limit, in bytes.
    pub max_request_size: Option<u32>,
    /// Send limit, in bytes.
    pub max_reply_size: Option<u32>,
    /// Node id, unchecked.
    pub node_id: Option<NodeId>,
    /// Known algorithms, unchecked.
    pub supported_algorithms: Option<Vec<u16>>,
    /// Algorithm; its range is checked by INIT.
    pub algorithm: Option<u16>,
    /// Heartbeat interval in milliseconds, unchecked.
    pub heartbeat_ms: Option<u32>,
    /// Ring id.
    pub ring_id: Option<RingId>,
    /// Version of the configuration.
    pub config_version: Option<u64>,
    /// Data centre outside a node list; has no use.
    pub data_center: Option<u32>,
    /// Node state outside a node list; has no use.
    pub node_state: Option<NodeState>,
    /// Node list, in the order of arrival, duplicates included.
    pub nodes: Vec<NodeInfo>,
    /// Kind of the node list.
    pub list_type: Option<ListType>,
    /// Vote.
    pub vote: Option<Vote>,
    /// Whether the node is quorate.
    pub quorate: Option<bool>,
    /// Tie-breaker.
    pub tie_breaker: Option<TieBreaker>,
    /// Heuristics.
    pub heuristics: Option<Heuristics>,
    /// Keep-active-partition tie-breaker.
    pub keep_active: Option<bool>,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeProblem {
    /// The body is empty, ends within an option's head, or an option is longer than what is left.
    #[error("Received inconsistent msg (tlv len > msg size)")]
    Inconsistent,
    /// An option of fixed size has another one, or an array has an odd number of bytes.
    #[error("Received message with option with invalid length")]
    Length(OptionType),
    /// The value is outside its enumeration, or a node has no id.
    #[error("Received message with option with invalid value")]
    Value(OptionType),
}

/// A body that can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct DecodeError {
    /// The first problem.
    pub problem: DecodeProblem,
    /// The sequence number, if it stood before the problem (section 1.5).
    pub seq: Option<u32>,
}

impl Options {
    /// Decodes the body of a message.
    ///
    /// # Errors
    /// The first problem, in the order of the options. An empty body is an error (section 1.2).
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut options = Self::default();
        match options.read(body) {
            Ok(()) => Ok(options),
            Err(problem) => Err(DecodeError {
                problem,
                seq: options.seq,
            }),
        }
    }

    fn read(&mut self, body: &[u8]) -> Result<(), DecodeProblem> {
        let mut rest = body;
        loop {
            let (number, value);
            (number, value, rest) = split_option(rest)?;
            if let Some(kind) = OptionType::from_wire(number) {
                self.set(kind, value)?;
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn set(&mut self, kind: OptionType, value: &[u8]) -> Result<(), DecodeProblem> {
        let field = Field { kind, value };
        match kind {
            OptionType::MsgSeqNumber => self.seq = Some(field.u32()?),
            OptionType::ClusterName => self.cluster_name = Some(value.to_vec()),
            OptionType::TlsSupported => self.tls = Some(field.checked_u8(TlsSupport::from_wire)?),
            OptionType::TlsClientCertRequired => self.client_cert_required = Some(field.u8()?),
            OptionType::SupportedMessages => self.supported_messages = Some(field.u16_array()?),
            OptionType::SupportedOptions => self.supported_options = Some(field.u16_array()?),
            OptionType::ReplyErrorCode => {
                self.error_code = Some(ErrorCode::from_wire(field.u16()?));
            }
            OptionType::ServerMaximumRequestSize => self.max_request_size = Some(field.u32()?),
            OptionType::ServerMaximumReplySize => self.max_reply_size = Some(field.u32()?),
            OptionType::NodeId => self.node_id = Some(NodeId(field.u32()?)),
            OptionType::SupportedDecisionAlgorithms => {
                self.supported_algorithms = Some(field.u16_array()?);
            }
            OptionType::DecisionAlgorithm => self.algorithm = Some(field.u16()?),
            OptionType::HeartbeatInterval => self.heartbeat_ms = Some(field.u32()?),
            OptionType::RingId => self.ring_id = Some(field.ring_id()?),
            OptionType::ConfigVersion => self.config_version = Some(field.u64()?),
            OptionType::DataCenterId => self.data_center = Some(field.u32()?),
            OptionType::NodeState => {
                self.node_state = Some(field.checked_u8(NodeState::from_wire)?);
            }
            OptionType::NodeInfo => self.nodes.push(node_info(value)?),
            OptionType::NodeListType => {
                self.list_type = Some(field.checked_u8(ListType::from_wire)?);
            }
            OptionType::Vote => self.vote = Some(field.checked_u8(Vote::from_wire)?),
            OptionType::Quorate => self.quorate = Some(field.checked_u8(flag)?),
            OptionType::TieBreaker => self.tie_breaker = Some(field.tie_breaker()?),
            OptionType::Heuristics => {
                self.heuristics = Some(field.checked_u8(Heuristics::from_wire)?);
            }
            OptionType::KeepActivePartitionTieBreaker => {
                self.keep_active = Some(field.checked_u8(flag)?);
            }
        }
        Ok(())
    }
}

/// Splits the first option off: its type, its value and what follows.
fn split_option(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), DecodeProblem> {
    let (head, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(DecodeProblem::Inconsistent)?;
    let [t0, t1, l0, l1] = *head;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (value, rest) = rest
        .split_at_checked(length)
        .ok_or(DecodeProblem::Inconsistent)?;
    Ok((u16::from_be_bytes([t0, t1]), value, rest))
}

/// Decodes the options nested in a NODE_INFO; other options than its own three are skipped.
fn node_info(value: &[u8]) -> Result<NodeInfo, DecodeProblem> {
    let mut info = NodeInfo {
        id: NodeId(0),
        data_center: 0,
        state: None,
    };
    let mut rest = value;
    loop {
        let (number, value);
        (number, value, rest) = split_option(rest)?;
        match OptionType::from_wire(number) {
            Some(kind @ OptionType::NodeId) => info.id = NodeId(Field { kind, value }.u32()?),
            Some(kind @ OptionType::DataCenterId) => {
                info.data_center = Field { kind, value }.u32()?;
            }
            Some(kind @ OptionType::NodeState) => {
                info.state = Some(Field { kind, value }.checked_u8(NodeState::from_wire)?);
            }
            _ => {}
        }
        if rest.is_empty() {
            break;
        }
    }
    if info.id == NodeId(0) {
        return Err(DecodeProblem::Value(OptionType::NodeInfo));
    }
    Ok(info)
}

fn flag(number: u8) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// The value of one option, on its way to a type.
struct Field<'a> {
    kind: OptionType,
    value: &'a [u8],
}

impl Field<'_> {
    fn bytes<const N: usize>(&self) -> Result<[u8; N], DecodeProblem> {
        self.value
            .try_into()
            .map_err(|_| DecodeProblem::Length(self.kind))
    }

    fn u8(&self) -> Result<u8, DecodeProblem> {
        self.bytes().map(u8::from_be_bytes)
    }

    fn u16(&self) -> Result<u16, DecodeProblem> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&self) -> Result<u32, DecodeProblem> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u64(&self) -> Result<u64, DecodeProblem> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn checked_u8<T>(&self, convert: impl Fn(u8) -> Option<T>) -> Result<T, DecodeProblem> {
        convert(self.u8()?).ok_or(DecodeProblem::Value(self.kind))
    }

    fn u16_array(&self) -> Result<Vec<u16>, DecodeProblem> {
        let pairs = self.value.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(DecodeProblem::Length(self.kind));
        }
        Ok(pairs
            .filter_map(|pair| pair.first_chunk::<2>())
            .map(|pair| u16::from_be_bytes(*pair))
            .collect())
    }

    fn ring_id(&self) -> Result<RingId, DecodeProblem> {
        let [n0, n1, n2, n3, seq @ ..] = self.bytes::<12>()?;
        Ok(RingId {
            node: NodeId(u32::from_be_bytes([n0, n1, n2, n3])),
            seq: u64::from_be_bytes(seq),
        })
    }

    fn tie_breaker(&self) -> Result<TieBreaker, DecodeProblem> {
        let [mode, node @ ..] = self.bytes::<5>()?;
        match mode {
            1 => Ok(TieBreaker::Lowest),
            2 => Ok(TieBreaker::Highest),
            3 => Ok(TieBreaker::Node(NodeId(u32::from_be_bytes(node)))),
            _ => Err(DecodeProblem::Value(self.kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn option(number: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    fn problem(body: &[u8]) -> DecodeProblem {
        Options::decode(body).expect_err("decoded").problem
    }

    const SEQ: [u8; 8] = [0, 0, 0, 4, 0, 0, 0, 7];

    #[test]
    fn lengths_are_checked() {
        // (option, good length); every other length in 0..=16 is refused.
        let fixed = [
            (0u16, 4usize),
            (2, 1),
            (3, 1),
            (6, 2),
            (7, 4),
            (8, 4),
            (9, 4),
            (11, 2),
            (12, 4),
            (13, 12),
            (14, 8),
            (15, 4),
            (16, 1),
            (18, 1),
            (19, 1),
            (20, 1),
            (21, 5),
            (22, 1),
            (23, 1),
        ];
        for (number, good) in fixed {
            for length in 0..=16 {
                let body = option(number, &vec![1; length]);
                let kind = OptionType::from_wire(number).unwrap();
                if length == good {
                    assert!(Options::decode(&body).is_ok(), "{kind} with {length} bytes");
                } else {
                    assert_eq!(problem(&body), DecodeProblem::Length(kind));
                }
            }
        }
        for number in [4, 5, 10] {
            assert!(Options::decode(&option(number, &[])).is_ok());
            assert!(Options::decode(&option(number, &[0, 1])).is_ok());
            assert!(matches!(
                problem(&option(number, &[0])),
                DecodeProblem::Length(_)
            ));
        }
    }

    #[test]
    fn values_are_checked() {
        // (option, its good values among all bytes)
        let ranges: [(u16, std::ops::RangeInclusive<u8>); 8] = [
            (2, 0..=2),
            (3, 0..=255),
            (16, 1..=3),
            (18, 0..=3),
            (19, 1..=5),
            (20, 0..=1),
            (22, 1..=2),
            (23, 0..=1),
        ];
        for (number, good) in ranges {
            for value in 0..=255u8 {
                let result = Options::decode(&option(number, &[value]));
                assert_eq!(
                    result.is_ok(),
                    good.contains(&value),
                    "option {number} = {value}"
                );
            }
        }
        for mode in 0..=255u8 {
            let result = Options::decode(&option(21, &[mode, 0, 0, 0, 9]));
            assert_eq!(result.is_ok(), (1..=3).contains(&mode));
        }
    }

    #[test]
    fn the_node_id_of_a_tie_breaker_counts_only_in_its_mode() {
        let a = Options::decode(&option(21, &[1, 0, 0, 0, 9])).unwrap();
        let b = Options::decode(&option(21, &[1, 0, 0, 0, 0])).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn structure_is_checked() {
        assert_eq!(problem(&[]), DecodeProblem::Inconsistent);
        assert_eq!(problem(&[0, 0, 0]), DecodeProblem::Inconsistent);
        assert_eq!(
            problem(&[0, 0, 0, 5, 1, 2, 3, 4]),
            DecodeProblem::Inconsistent
        );
        let mut stray = SEQ.to_vec();
        stray.push(0);
        let error = Options::decode(&stray).unwrap_err();
        assert_eq!(
            error,
            DecodeError {
                problem: DecodeProblem::Inconsistent,
                seq: Some(7)
            }
        );
    }

    #[test]
    fn the_number_counts_only_before_the_problem() {
        let bad_vote = option(19, &[0]);
        let before = [&SEQ[..], &bad_vote].concat();
        let behind = [&bad_vote[..], &SEQ].concat();
        assert_eq!(Options::decode(&before).unwrap_err().seq, Some(7));
        assert_eq!(Options::decode(&behind).unwrap_err().seq, None);
    }

    #[test]
    fn node_info_rules() {
        let id = option(9, &[0, 0, 0, 5]);
        let dc = option(15, &[0, 0, 0, 2]);
        let state = option(16, &[3]);
        let odd_vote = option(19, &[0, 0]);
        let nested = [&dc[..], &odd_vote, &state, &id].concat();
        let options = Options::decode(&option(17, &nested)).unwrap();
        let node = NodeInfo {
            id: NodeId(5),
            data_center: 2,
            state: Some(NodeState::Leaving),
        };
        assert_eq!(options.nodes, [node]);

        assert_eq!(problem(&option(17, &[])), DecodeProblem::Inconsistent);
        assert_eq!(
            problem(&option(17, &dc)),
            DecodeProblem::Value(OptionType::NodeInfo)
        );
        let zero = option(9, &[0; 4]);
        assert_eq!(
            problem(&option(17, &zero)),
            DecodeProblem::Value(OptionType::NodeInfo)
        );
        let bad_state = [&id[..], &option(16, &[0])].concat();
        assert_eq!(
            problem(&option(17, &bad_state)),
            DecodeProblem::Value(OptionType::NodeState)
        );
        let short = [&id[..], &[0, 15]].concat();
        assert_eq!(problem(&option(17, &short)), DecodeProblem::Inconsistent);
    }

    #[test]
    fn repeated_options() {
        let body = [
            &SEQ[..],
            &option(0, &[0, 0, 0, 9]),
            &option(1, b"one"),
            &option(1, b""),
            &option(17, &option(9, &[0, 0, 0, 2])),
            &option(17, &option(9, &[0, 0, 0, 2])),
        ]
        .concat();
        let options = Options::decode(&body).unwrap();
        assert_eq!(options.seq, Some(9));
        assert_eq!(options.cluster_name.as_deref(), Some(&b""[..]));
        assert_eq!(options.nodes.len(), 2);
    }

    #[test]
    fn unknown_options_are_skipped() {
        let body = [&option(24, &[]), &option(0xffff, &[1; 300]), &SEQ[..]].concat();
        assert_eq!(Options::decode(&body).unwrap().seq, Some(7));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Options::decode(&body);
        }
    }
}
