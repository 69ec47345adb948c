//! Who may be casting the vote, seen from outside: from what was sent to the clients and what they
//! sent, and not from what the arbiter remembers.
//!
//! A stock ffsplit client casts from the ACK on until it confirms a NACK, reports another ring, or
//! closes its connection; a client whose connection was lost casts until two heartbeat intervals
//! after the last thing that satisfied its check of the arbiter (safety spec, 1).

use qarbiter::engine::Time;
use qarbiter::wire::{Message, NodeId, RingId, Vote};
use std::time::Duration;

/// The client of one connection that has joined an ffsplit cluster.
#[derive(Debug)]
pub struct Caster {
    pub cluster: u8,
    pub node: NodeId,
    pub heartbeat: Duration,
    answered: Time,
    casting: Option<RingId>,
    nack: Option<u32>,
}

/// A client that may go on casting without a connection.
#[derive(Debug)]
pub struct Lost {
    pub cluster: u8,
    pub node: NodeId,
    pub ring: RingId,
    pub until: Time,
}

impl Caster {
    pub fn new(cluster: u8, node: NodeId, heartbeat: Duration, now: Time) -> Self {
        Self {
            cluster,
            node,
            heartbeat,
            answered: now,
            casting: None,
            nack: None,
        }
    }

    pub fn ring(&self) -> Option<RingId> {
        self.casting
    }

    /// The arbiter sends it a message.
    pub fn told(&mut self, now: Time, message: &Message) {
        match message {
            Message::VoteInfo { seq, vote, ring_id } => {
                self.nack = (*vote == Vote::Nack).then_some(*seq);
                self.vote(*vote, *ring_id);
            }
            Message::NodeListReply { vote, ring_id, .. }
            | Message::AskForVoteReply { vote, ring_id, .. }
            | Message::HeuristicsChangeReply { vote, ring_id, .. } => self.vote(*vote, *ring_id),
            Message::EchoReply { .. } | Message::InitReply(_) | Message::SetOptionReply { .. } => {
                self.answered = now;
            }
            _ => {}
        }
    }

    /// Nothing but a confirmation proves that a NACK has arrived.
    fn vote(&mut self, vote: Vote, ring: RingId) {
        if vote == Vote::Ack {
            self.casting = Some(ring);
        }
    }

    /// It confirms a push; whether it thereby says that it does not cast.
    pub fn confirms(&mut self, seq: u32) -> bool {
        let gives_up = self.nack == Some(seq);
        if gives_up {
            self.casting = None;
        }
        gives_up
    }

    /// It reports a membership.
    pub fn sees(&mut self, ring: RingId) {
        self.casting = self.casting.filter(|casting| *casting == ring);
    }

    /// Its connection was lost without its doing.
    pub fn lose(self) -> Option<Lost> {
        Some(Lost {
            cluster: self.cluster,
            node: self.node,
            ring: self.casting?,
            until: self.answered + self.heartbeat * 2,
        })
    }
}
