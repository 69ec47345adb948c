//! One scripted client: what it says, what it makes of what it hears.

use crate::script::{Deed, Push};
use qarbiter::engine::{ConnId, Time};
use qarbiter::wire::{
    DEFAULT_MESSAGE_SIZE, ErrorCode, FrameDecoder, ListType, Message, MessageType, NodeInfo,
    Options, RingId, Vote,
};
use std::time::Duration;

/// Default heartbeat interval of a stock client.
pub(crate) const HEARTBEAT_MS: u32 = 8000;
const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS as u64);

/// Number of the last message of the hello: PREINIT, INIT, SET_OPTION.
const HELLO: u32 = 3;

/// A client's request that waits for its reply.
struct Request {
    seq: u32,
    reply: MessageType,
    list_type: Option<ListType>,
}

/// A client as far as a scripted one needs to think.
pub(crate) struct Client {
    pub(crate) conn: ConnId,
    /// Of what it sends, at the server's end.
    pub(crate) decoder: FrameDecoder,
    node: u32,
    ring: RingId,
    seq: u32,
    pushes: u32,
    request: Option<Request>,
    /// `None` once it has fallen silent.
    pub(crate) next_echo: Option<Time>,
    /// The ring for which it tells corosync to count our vote, in the worst case: a pushed NACK
    /// takes effect only when the client confirms it.
    pub(crate) casts: Option<RingId>,
    nack_arrived: bool,
}

impl Client {
    /// A client that is about to say hello.
    pub(crate) fn new(conn: ConnId, node: u32, ring: RingId, now: Time) -> Self {
        Self {
            conn,
            decoder: FrameDecoder::new(DEFAULT_MESSAGE_SIZE),
            node,
            ring,
            seq: HELLO,
            pushes: 0,
            request: None,
            next_echo: Some(now + HEARTBEAT),
            casts: None,
            nack_arrived: false,
        }
    }

    /// The message for a deed, and what the client thinks when it sends it.
    pub(crate) fn says(&mut self, deed: &Deed, now: Time) -> Message {
        self.seq += 1;
        let seq = self.seq;
        let list = |list_type, ring_id, nodes: &[u32], heuristics| Message::NodeList {
            seq,
            list_type,
            ring_id,
            config_version: None,
            quorate: (list_type == ListType::Quorum).then_some(true),
            nodes: nodes.iter().map(|node| NodeInfo::new(*node)).collect(),
            heuristics,
        };
        let (message, reply, list_type) = match deed {
            Deed::Config { initial, nodes } => {
                let list_type = if *initial {
                    ListType::InitialConfig
                } else {
                    ListType::ChangedConfig
                };
                let message = list(list_type, None, nodes, None);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Membership {
                nodes,
                ring,
                heuristics,
            } => {
                let list_type = ListType::Membership;
                if self.ring != *ring {
                    self.casts = None;
                }
                self.ring = *ring;
                let message = list(list_type, Some(*ring), nodes, *heuristics);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Quorum => {
                let list_type = ListType::Quorum;
                let message = list(list_type, None, &[self.node], None);
                (message, MessageType::NodeListReply, Some(list_type))
            }
            Deed::Ask => (
                Message::AskForVote { seq },
                MessageType::AskForVoteReply,
                None,
            ),
            Deed::Heuristics(heuristics) => {
                let heuristics = *heuristics;
                let message = Message::HeuristicsChange { seq, heuristics };
                (message, MessageType::HeuristicsChangeReply, None)
            }
            Deed::Echo => {
                self.next_echo = Some(now + HEARTBEAT);
                let message = Message::EchoRequest { seq: Some(seq) };
                (message, MessageType::EchoReply, None)
            }
            Deed::Confirm(push) => {
                let seq = match push {
                    Push::Latest => self.pushes,
                    Push::BeforeLatest => self.pushes - 1,
                    Push::Number(number) => *number,
                };
                if seq == self.pushes && self.nack_arrived {
                    self.casts = None;
                }
                return Message::VoteInfoReply { seq };
            }
            Deed::Connect { .. } | Deed::Leave | Deed::FallSilent => {
                unreachable!("not a message")
            }
        };
        self.request = Some(Request {
            seq,
            reply,
            list_type,
        });
        message
    }

    /// What arrives, as the rows write it. Checks all that does not depend on the row.
    pub(crate) fn hears(&mut self, kind: MessageType, options: &Options) -> String {
        match kind {
            MessageType::VoteInfo => {
                self.pushes += 1;
                let vote = options.vote.unwrap();
                self.obeys(vote, true, options.ring_id);
                let seq = (options.seq, Some(self.pushes));
                let word = format!("push {}", word(vote));
                self.with_oddities(word, seq, options.ring_id)
            }
            MessageType::NodeListReply
            | MessageType::AskForVoteReply
            | MessageType::HeuristicsChangeReply => {
                let request = self.request.take().expect("a reply needs a request");
                assert_eq!(kind, request.reply);
                assert_eq!(options.list_type, request.list_type);
                let vote = options.vote.unwrap();
                self.obeys(vote, false, options.ring_id);
                let seq = (options.seq, Some(request.seq));
                let word = format!("re {}", word(vote));
                self.with_oddities(word, seq, options.ring_id)
            }
            MessageType::ServerError => {
                let request = self.request.take().expect("an error needs a request");
                assert_eq!(options.seq, Some(request.seq));
                let code = options.error_code.map(ErrorCode::to_wire);
                format!("err {}", code.unwrap())
            }
            MessageType::EchoReply => {
                let request = self.request.take().expect("an echo needs a request");
                assert_eq!((kind, options.seq), (request.reply, Some(request.seq)));
                "echo".to_owned()
            }
            MessageType::PreinitReply => "PREINIT_REPLY".to_owned(),
            MessageType::SetOptionReply => "SET_OPTION_REPLY".to_owned(),
            MessageType::InitReply => {
                assert_eq!(options.error_code, Some(ErrorCode::NoError));
                "INIT_REPLY".to_owned()
            }
            other => panic!("a server does not send {other}"),
        }
    }

    /// A number or a ring id that is not the expected one shows up beside the vote.
    fn with_oddities(
        &self,
        word: String,
        (seq, expected): (Option<u32>, Option<u32>),
        ring: Option<RingId>,
    ) -> String {
        let mut word = word;
        if seq != expected {
            word += &format!(" (number {seq:?} instead of {expected:?})");
        }
        if ring != Some(self.ring) {
            word += &format!(" (ring {ring:?} instead of {})", self.ring);
        }
        word
    }

    /// Algorithms specification, section 9: what a vote turns into.
    fn obeys(&mut self, vote: Vote, pushed: bool, ring: Option<RingId>) {
        if ring != Some(self.ring) || vote == Vote::NoChange {
            return;
        }
        self.nack_arrived = pushed && vote == Vote::Nack;
        if vote == Vote::Ack {
            self.casts = Some(self.ring);
        } else if !self.nack_arrived {
            self.casts = None;
        }
    }
}

fn word(vote: Vote) -> &'static str {
    match vote {
        Vote::Ack => "ACK",
        Vote::Nack => "NACK",
        Vote::AskLater => "ASK_LATER",
        Vote::WaitForReply => "WAIT",
        Vote::NoChange => "NO_CHANGE",
    }
}
