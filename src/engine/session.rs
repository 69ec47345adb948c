//! One connection: which message is acceptable when, and what each becomes
//! (protocol spec, sections 4.3, 5 and 6.3).

use super::cluster::Cluster;
use super::lease::LeaveCause;
use super::policy::SessionPolicy;
use super::time::Time;
use super::{Action, CloseReason, ConnId, Event};
use crate::wire::{
    ClusterName, ErrorCode, Frame, ListType, Message, MessageType, NodeId, Options, Skipped,
};
use std::sync::Arc;
use std::time::Duration;

mod introduction;

/// What the session may know of TLS.
#[derive(Clone, Copy)]
pub enum TlsView<'a> {
    /// The connection is in clear text.
    Clear,
    /// The handshake is done. The function says whether the peer's certificate opens a cluster,
    /// and if not, why.
    Active(&'a dyn Fn(&ClusterName) -> Result<(), String>),
}

impl TlsView<'_> {
    fn is_active(&self) -> bool {
        matches!(self, Self::Active(_))
    }
}

/// The node that a session has joined its cluster as.
#[derive(Debug, Clone, Copy)]
struct Joined {
    node: NodeId,
    heartbeat_ms: u32,
    /// As far as the cluster knows.
    in_clear: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    conn: ConnId,
    policy: Arc<SessionPolicy>,
    address: Arc<str>,
    opened: Time,
    heard: Time,
    cluster: Option<ClusterName>,
    tls_started: bool,
    verified: bool,
    joined: Option<Joined>,
    closing: bool,
}

/// A refusal: the code for the client and the words for the log.
struct Refusal {
    code: ErrorCode,
    why: String,
}

fn refuse<T>(code: ErrorCode, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        why: why.into(),
    })
}

fn missing(kind: MessageType, option: &str) -> Refusal {
    Refusal {
        code: ErrorCode::DoesntContainRequiredOption,
        why: format!("{kind} message without {option}"),
    }
}

impl Session {
    /// A connection that was just accepted from `address`.
    pub fn new(conn: ConnId, address: Arc<str>, policy: Arc<SessionPolicy>, now: Time) -> Self {
        Self {
            conn,
            policy,
            address,
            opened: now,
            heard: now,
            cluster: None,
            tls_started: false,
            verified: false,
            joined: None,
            closing: false,
        }
    }

    /// The connection's number.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// The cluster that PREINIT named.
    pub fn cluster(&self) -> Option<&ClusterName> {
        self.cluster.as_ref()
    }

    /// The node, after a successful INIT.
    pub fn node(&self) -> Option<NodeId> {
        self.joined.map(|joined| joined.node)
    }

    /// When the connection is given up unless something is heard before; `None` if never.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.closing {
            return None;
        }
        match self.joined {
            None => Some(self.opened + self.policy.init_deadline),
            Some(joined) => self
                .dead_peer_interval(joined)
                .map(|interval| self.heard + interval),
        }
    }

    /// Does what is due: gives the connection up.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            let reason = match self.joined {
                None => CloseReason::InitDeadline,
                Some(_) => CloseReason::DeadPeer,
            };
            self.close(reason, out);
        }
    }

    /// The connection ended, for whatever reason. `cluster` is the one that the session joined.
    pub fn ended(
        &mut self,
        now: Time,
        cause: LeaveCause,
        cluster: Option<&mut Cluster>,
        out: &mut Vec<Action>,
    ) {
        self.closing = true;
        if let (Some(joined), Some(cluster)) = (self.joined.take(), cluster) {
            cluster.leave(now, joined.node, cause, out);
        }
    }

    /// Whether [`Session::handle`] needs the cluster for this frame. Anybody can name a cluster in
    /// PREINIT; what a client may do before it is let in must not occupy that cluster.
    pub fn needs_cluster(&self, frame: &Frame, tls: &TlsView<'_>) -> bool {
        let is_init = matches!(
            frame,
            Frame::Message {
                kind: MessageType::Init,
                ..
            }
        );
        self.joined.is_some() || (is_init && self.passes_gate(tls))
    }

    /// A frame arrived. `cluster` is the cluster that PREINIT named, which may still be empty; it
    /// may be `None` if [`Session::needs_cluster`] says so.
    pub fn handle(
        &mut self,
        now: Time,
        frame: Frame,
        tls: TlsView<'_>,
        cluster: Option<&mut Cluster>,
        out: &mut Vec<Action>,
    ) {
        if self.closing {
            return;
        }
        let (kind, body) = match frame {
            Frame::Message { kind, body } => (kind, body),
            Frame::Skipped(skipped) => return self.skipped(skipped, out),
        };
        self.heard = now;
        let options = match Options::decode(&body) {
            Ok(options) => options,
            Err(error) => {
                let why = format!("{kind} message: {}", error.problem);
                return self.error(error.seq, ErrorCode::ErrorDecodingMsg, why, out);
            }
        };
        let seq = options.seq;
        let result = match kind {
            MessageType::Preinit => self.preinit(options, out),
            MessageType::StartTls => self.start_tls(&tls, out),
            MessageType::Init
            | MessageType::SetOption
            | MessageType::EchoRequest
            | MessageType::NodeList
            | MessageType::AskForVote
            | MessageType::VoteInfoReply
            | MessageType::HeuristicsChange => match self.gate(&tls, out) {
                Ok(true) if kind == MessageType::Init => {
                    self.init(now, &options, &tls, cluster, out);
                    Ok(())
                }
                Ok(true) => self.working(now, kind, &options, body, &tls, cluster, out),
                Ok(false) => Ok(()),
                Err(refusal) => Err(refusal),
            },
            MessageType::PreinitReply
            | MessageType::InitReply
            | MessageType::ServerError
            | MessageType::SetOptionReply
            | MessageType::EchoReply
            | MessageType::NodeListReply
            | MessageType::AskForVoteReply
            | MessageType::VoteInfo
            | MessageType::HeuristicsChangeReply => refuse(
                ErrorCode::UnexpectedMessage,
                format!("{kind} is for servers only"),
            ),
        };
        if let Err(refusal) = result {
            self.error(seq, refusal.code, refusal.why, out);
        }
    }

    fn skipped(&mut self, skipped: Skipped, out: &mut Vec<Action>) {
        let (code, why) = match skipped {
            Skipped::UnknownType(number) => (
                ErrorCode::UnsupportedMessage,
                format!("unknown message type {number}"),
            ),
            Skipped::TooLong(bytes) => (
                ErrorCode::MessageTooLong,
                format!(
                    "message of {bytes} bytes, the limit is {}",
                    self.policy.max_receive
                ),
            ),
        };
        self.error(None, code, why, out);
    }

    /// Messages that need a successful INIT.
    #[allow(clippy::too_many_arguments)] // all of them are the one message that is handled
    fn working(
        &mut self,
        now: Time,
        kind: MessageType,
        options: &Options,
        body: Vec<u8>,
        tls: &TlsView<'_>,
        cluster: Option<&mut Cluster>,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let (Some(joined), Some(cluster)) = (self.joined, cluster) else {
            return refuse(
                ErrorCode::InitRequired,
                format!("{kind} message before Init"),
            );
        };
        let node = joined.node;
        cluster.heard(now, node);
        if joined.in_clear && tls.is_active() {
            cluster.secured(node, self.verified);
            self.joined = Some(Joined {
                in_clear: false,
                ..joined
            });
        }
        match kind {
            MessageType::SetOption => return self.set_option(now, joined, options, cluster, out),
            MessageType::EchoRequest => {
                cluster.echoed(now, node);
                self.send(Message::EchoReply { body }, out);
                return Ok(());
            }
            MessageType::NodeList => return self.node_list(now, node, options, cluster, out),
            _ => {}
        }
        let seq = options
            .seq
            .ok_or_else(|| missing(kind, "message sequence number"))?;
        match kind {
            MessageType::AskForVote => {
                let vote = cluster
                    .ask_for_vote(now, node, out)
                    .or_else(|code| refuse(code, format!("{kind} message: {code}")))?;
                let ring_id = cluster.ring_of(node);
                self.send(Message::AskForVoteReply { seq, vote, ring_id }, out);
            }
            MessageType::HeuristicsChange => {
                let heuristics = options
                    .heuristics
                    .ok_or_else(|| missing(kind, "heuristics"))?;
                let vote = cluster.heuristics_change(now, node, heuristics, out);
                let ring_id = cluster.ring_of(node);
                let reply = Message::HeuristicsChangeReply {
                    seq,
                    vote,
                    ring_id,
                    heuristics,
                };
                self.send(reply, out);
            }
            MessageType::VoteInfoReply => cluster.confirmed(now, node, seq, out),
            _ => {}
        }
        Ok(())
    }

    fn set_option(
        &mut self,
        now: Time,
        joined: Joined,
        options: &Options,
        cluster: &mut Cluster,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if let Some(heartbeat_ms) = options.heartbeat_ms {
            self.check_heartbeat(heartbeat_ms)?;
            self.joined = Some(Joined {
                heartbeat_ms,
                ..joined
            });
        }
        cluster.set_options(
            now,
            joined.node,
            options.heartbeat_ms,
            options.keep_active,
            out,
        );
        let reply = Message::SetOptionReply {
            seq: options.seq,
            heartbeat_ms: options.heartbeat_ms,
            keep_active: options.keep_active,
        };
        self.send(reply, out);
        Ok(())
    }

    fn node_list(
        &mut self,
        now: Time,
        node: NodeId,
        options: &Options,
        cluster: &mut Cluster,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let need = |what: &str| missing(MessageType::NodeList, what);
        let list_type = options.list_type.ok_or_else(|| need("node list type"))?;
        let seq = options.seq.ok_or_else(|| need("message sequence number"))?;
        let nodes = &options.nodes;
        let vote = match list_type {
            ListType::InitialConfig | ListType::ChangedConfig => {
                let initial = list_type == ListType::InitialConfig;
                let version = options.config_version;
                cluster.config_list(now, node, initial, version, nodes, out)
            }
            ListType::Membership => {
                let ring = options.ring_id.ok_or_else(|| need("ring id"))?;
                cluster.membership_list(now, node, ring, nodes, options.heuristics, out)
            }
            ListType::Quorum => {
                let quorate = options.quorate.ok_or_else(|| need("quorate"))?;
                Ok(cluster.quorum_list(now, node, quorate, out))
            }
        };
        let vote = vote.or_else(|code| refuse(code, format!("{list_type} list: {code}")))?;
        let ring_id = cluster.ring_of(node);
        self.send(
            Message::NodeListReply {
                seq,
                list_type,
                ring_id,
                vote,
            },
            out,
        );
        Ok(())
    }

    fn check_heartbeat(&self, heartbeat_ms: u32) -> Result<(), Refusal> {
        let bounds = self.policy.heartbeat_min_ms..=self.policy.heartbeat_max_ms;
        if !bounds.contains(&heartbeat_ms) || self.policy.dpd_interval(heartbeat_ms).is_err() {
            return refuse(
                ErrorCode::InvalidHeartbeatInterval,
                format!("Client requested invalid heartbeat interval {heartbeat_ms}"),
            );
        }
        Ok(())
    }

    fn dead_peer_interval(&self, joined: Joined) -> Option<Duration> {
        // The interval was checked when the heartbeat was accepted.
        self.policy.dpd_interval(joined.heartbeat_ms).ok().flatten()
    }

    fn send(&self, message: Message, out: &mut Vec<Action>) {
        out.push(Action::Send {
            to: self.conn,
            message,
        });
    }

    fn error(&self, seq: Option<u32>, code: ErrorCode, why: String, out: &mut Vec<Action>) {
        out.push(Action::Event(Event::Refused {
            conn: self.conn,
            code,
            why,
        }));
        self.send(Message::ServerError { seq, code }, out);
    }

    fn close(&mut self, reason: CloseReason, out: &mut Vec<Action>) {
        self.closing = true;
        out.push(Action::Close {
            conn: self.conn,
            reason,
        });
    }
}

#[cfg(test)]
mod tests;
