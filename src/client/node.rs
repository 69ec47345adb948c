//! One node of a cluster, as the server sees it: it introduces itself, reports what it sees, and
//! keeps the vote that it was told (protocol spec 5.7, 8).

use super::connection::{Connection, Received, check_success, refused};
use super::error::ClientError;
use crate::engine::Verdict;
use crate::wire::{
    Algorithm, Init, ListType, Message, MessageType, NodeId, NodeInfo, NodeState, OptionType,
    RingId, TieBreaker, Vote,
};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its id.
    pub node: NodeId,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The rule for an exact tie.
    pub tie_breaker: TieBreaker,
    /// Heartbeat interval, 1000 to 120,000 milliseconds. [`Node`] sends no heartbeat by itself.
    pub heartbeat_ms: u32,
    /// The nodes in corosync.conf, its own included.
    pub configured: Vec<NodeId>,
    /// The membership that it joins with.
    pub ring: RingId,
    /// The nodes that it sees at first, its own included.
    pub members: Vec<NodeId>,
}

/// A node that has joined its cluster.
#[derive(Debug)]
pub struct Node {
    connection: Connection,
    settings: NodeSettings,
    /// Number of the last ECHO_REQUEST.
    echo: u32,
    /// Number of the last membership report.
    report: u32,
    /// Whether that report was answered.
    answered: bool,
    /// The verdict that holds.
    verdict: Option<Verdict>,
}

impl Node {
    /// Introduces the node and reports its lists, as the stock client does: INIT; and after the
    /// reply SET_OPTION, the configured nodes, the membership and the quorum in one go.
    ///
    /// Returns before the server has answered the lists; [`Self::vote`] waits for that.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn join(
        mut connection: Connection,
        settings: NodeSettings,
    ) -> Result<Self, ClientError> {
        let seq = connection.next_number();
        let init = Init {
            seq: Some(seq),
            node: settings.node,
            algorithm: settings.algorithm.to_wire(),
            heartbeat_ms: settings.heartbeat_ms,
            tie_breaker: settings.tie_breaker,
            ring_id: settings.ring,
        };
        connection.send(&Message::Init(init)).await?;
        let reply = connection.expect(MessageType::InitReply).await?;
        check_success(&reply)?;
        reply.check_number(seq)?;
        let mut node = Self {
            connection,
            settings,
            echo: 0,
            report: 0,
            answered: false,
            verdict: None,
        };
        let set_option = Message::SetOption {
            seq: Some(node.connection.next_number()),
            heartbeat_ms: None,
            keep_active: Some(false),
        };
        node.connection.queue(&set_option)?;
        let configured = node.settings.configured.iter();
        let configured = configured.map(|id| NodeInfo::new(id.0)).collect();
        node.queue_list(ListType::InitialConfig, configured)?;
        node.queue_report()?;
        node.connection.flush().await?;
        Ok(node)
    }

    /// Reports another membership: its list and the quorum that comes of it. As with the stock
    /// client, what was voted before counts no longer, and "no change" does not bring it back
    /// (algorithms spec 9).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn see(&mut self, ring: RingId, members: &[NodeId]) -> Result<(), ClientError> {
        if ring != self.settings.ring {
            self.verdict = None;
        }
        self.settings.ring = ring;
        self.settings.members = members.to_vec();
        self.queue_report()?;
        self.connection.flush().await
    }

    /// Waits until the server has decided about the membership reported last, confirming pushed
    /// votes on the way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn vote(&mut self) -> Result<Verdict, ClientError> {
        loop {
            if let Some(verdict) = self.decided() {
                return Ok(verdict);
            }
            self.next().await?;
        }
    }

    /// The decision about the membership reported last, if it is there: what [`Self::vote`] waits for.
    pub fn decided(&self) -> Option<Verdict> {
        self.verdict.filter(|_| self.answered)
    }

    /// Sends a heartbeat and waits for its reply, confirming pushed votes on the way.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::WrongNumber`] if the reply belongs to another heartbeat.
    pub async fn heartbeat(&mut self) -> Result<(), ClientError> {
        self.echo = self.echo.wrapping_add(1);
        let seq = Some(self.echo);
        self.connection.send(&Message::EchoRequest { seq }).await?;
        while self.next().await? != MessageType::EchoReply {}
        Ok(())
    }

    /// Waits for one message, does what a node has to do about it, and returns its type. Nothing
    /// is lost if the future is dropped.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] for a SERVER_ERROR.
    pub async fn next(&mut self) -> Result<MessageType, ClientError> {
        let received = self.connection.receive().await?;
        let options = &received.options;
        match received.kind {
            MessageType::VoteInfo => {
                let seq = received.need(options.seq, OptionType::MsgSeqNumber)?;
                self.take_vote(&received)?;
                self.connection
                    .send(&Message::VoteInfoReply { seq })
                    .await?;
            }
            MessageType::NodeListReply => {
                let seq = received.need(options.seq, OptionType::MsgSeqNumber)?;
                self.take_vote(&received)?;
                self.answered |= seq == self.report;
            }
            MessageType::AskForVoteReply | MessageType::HeuristicsChangeReply => {
                self.take_vote(&received)?;
            }
            MessageType::EchoReply => received.check_number(self.echo)?,
            MessageType::SetOptionReply => {}
            MessageType::ServerError => return Err(refused(&received)),
            got => {
                let expected = MessageType::VoteInfo;
                return Err(ClientError::Unexpected { got, expected });
            }
        }
        Ok(received.kind)
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.settings.node
    }

    /// The membership reported last.
    pub fn ring(&self) -> RingId {
        self.settings.ring
    }

    /// The connection below, for messages that [`Node`] has no method for.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn queue_report(&mut self) -> Result<(), ClientError> {
        let members = self.settings.members.iter();
        let members = members.map(|id| NodeInfo::new(id.0)).collect();
        self.report = self.queue_list(ListType::Membership, members)?;
        self.answered = false;
        let states = self.settings.configured.iter().map(|id| {
            let seen = self.settings.members.contains(id);
            NodeInfo {
                state: Some(if seen {
                    NodeState::Member
                } else {
                    NodeState::Dead
                }),
                ..NodeInfo::new(id.0)
            }
        });
        let states = states.collect();
        self.queue_list(ListType::Quorum, states)?;
        Ok(())
    }

    /// Queues a node list with what belongs to its type (protocol spec 5.6); returns its number.
    fn queue_list(
        &mut self,
        list_type: ListType,
        nodes: Vec<NodeInfo>,
    ) -> Result<u32, ClientError> {
        let seq = self.connection.next_number();
        let is_membership = list_type == ListType::Membership;
        let majority = self.settings.members.len() * 2 > self.settings.configured.len();
        self.connection.queue(&Message::NodeList {
            seq,
            list_type,
            ring_id: is_membership.then_some(self.settings.ring),
            config_version: None,
            quorate: (list_type == ListType::Quorum).then_some(majority),
            nodes,
            heuristics: None,
        })?;
        Ok(seq)
    }

    /// Applies the vote of a message by the rules of the stock client: one for another membership
    /// says nothing (protocol spec 8).
    fn take_vote(&mut self, received: &Received) -> Result<(), ClientError> {
        let options = &received.options;
        let vote = received.need(options.vote, OptionType::Vote)?;
        let ring = received.need(options.ring_id, OptionType::RingId)?;
        if ring == self.settings.ring {
            self.verdict = match vote {
                Vote::NoChange => self.verdict,
                Vote::Ack | Vote::Nack | Vote::AskLater | Vote::WaitForReply => {
                    Verdict::from_vote(vote)
                }
            };
        }
        Ok(())
    }
}

/// [`Node::vote`] of two nodes that live side by side: each goes on confirming until both have been
/// told, for the vote of one can depend on what the other confirms.
///
/// # Errors
/// [`ClientError`] of either.
pub async fn votes(one: &mut Node, two: &mut Node) -> Result<(Verdict, Verdict), ClientError> {
    loop {
        if let (Some(first), Some(second)) = (one.decided(), two.decided()) {
            return Ok((first, second));
        }
        tokio::select! {
            received = one.next() => received?,
            received = two.next() => received?,
        };
    }
}
