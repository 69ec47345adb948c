//! ffsplit: who is told, and in which order (algorithms spec, sections 5.3 and 5.5).
//!
//! No ACK leaves before every connected loser has confirmed its NACK, and, with leases, before
//! no lost node can be casting the vote any more.

use super::algo::ffsplit;
use super::client::{Todo, Verdict};
use super::cluster::Cluster;
use super::explain::{Partition, Waiting};
use super::time::Time;
use super::{Action, Rule};
use crate::wire::{NodeId, Vote};
use std::sync::Arc;

/// Where the hand-over stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Everybody was told.
    Idle,
    /// The nodes do not agree on what they see.
    Unstable,
    /// Losers were told NACK; their confirmations are awaited.
    SendingNacks,
    /// All confirmed; a lease stands against telling the winners.
    WaitingForLeases,
    /// Winners were told ACK.
    SendingAcks,
}

impl Cluster {
    /// RECOMPUTE, after the sender's new values were stored, or before the leaving client is
    /// removed. Returns the vote for the reply to the sender.
    pub(crate) fn ffsplit_recompute(
        &mut self,
        now: Time,
        sender: Option<NodeId>,
        leaving: Option<NodeId>,
        out: &mut Vec<Action>,
    ) -> Vote {
        if let Some(waiting) = ffsplit::instability(&self.ffsplit_view(now, leaving)) {
            self.phase = Phase::Unstable;
            self.look_again = self
                .clients
                .iter()
                .filter(|client| self.policy.is_safe() && Some(client.node) != leaving)
                .filter_map(ffsplit::lists_due)
                .filter(|due| *due > now)
                .min();
            let winner = self.decision.winner.clone();
            let rule = self.decision.rule.clone();
            self.decided(now, winner, rule, Some(waiting), out);
            return Vote::WaitForReply;
        }
        self.look_again = None;
        let (winner, rule) = ffsplit::select(&self.ffsplit_view(now, leaving));
        let nodes: Arc<[NodeId]> = winner
            .iter()
            .flat_map(|p| p.nodes.iter().copied())
            .collect();
        let repaired = self.policy.is_safe();
        if !repaired {
            self.active = nodes.clone();
        }
        let mut losers = Vec::new();
        for client in &mut self.clients {
            client.todo = if Some(client.node) == leaving || !client.has_both_lists() {
                Todo::Nothing
            } else if nodes.contains(&client.node) {
                Todo::Ack
            } else {
                losers.push(client.node);
                Todo::Nack
            };
            if repaired {
                // Confirmations of earlier rounds never match (B1).
                client.expects = None;
            }
        }
        self.phase = Phase::SendingNacks;
        let why = Arc::new(rule.clone());
        if let Some(node) = losers.first() {
            let waiting = Waiting::Confirmation { node: *node };
            self.decided(now, winner.clone(), rule.clone(), Some(waiting), out);
        }
        for node in losers {
            self.ffsplit_push(now, node, Verdict::Nack, &why, out);
        }
        self.ffsplit_carry_out(now, winner, rule, out);
        let blocked = self.phase == Phase::WaitingForLeases
            && sender
                .and_then(|node| self.client(node))
                .is_some_and(|c| c.todo == Todo::Ack);
        if blocked {
            Vote::WaitForReply
        } else {
            Vote::NoChange
        }
    }

    /// A client confirmed a push.
    pub(crate) fn ffsplit_confirmed(
        &mut self,
        now: Time,
        node: NodeId,
        seq: u32,
        out: &mut Vec<Action>,
    ) {
        let Some(client) = self.client_mut(node) else {
            return;
        };
        if client.expects == Some(seq) {
            client.todo = Todo::Nothing;
        } else if self.phase != Phase::WaitingForLeases {
            // It belongs to an earlier push. A lease may have ended with it all the same.
            return;
        }
        match self.phase {
            Phase::SendingNacks | Phase::WaitingForLeases => self.ffsplit_advance(now, out),
            Phase::SendingAcks => {
                if !self.clients.iter().any(|client| client.todo == Todo::Ack) {
                    self.phase = Phase::Idle;
                }
            }
            Phase::Idle | Phase::Unstable => {}
        }
    }

    /// Tells the winners, if nothing stands against it.
    pub(crate) fn ffsplit_advance(&mut self, now: Time, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::SendingNacks | Phase::WaitingForLeases) {
            return;
        }
        let winner = self.decision.winner.clone();
        let rule = self.decision.rule.clone();
        self.ffsplit_carry_out(now, winner, rule, out);
    }

    fn ffsplit_carry_out(
        &mut self,
        now: Time,
        winner: Option<Partition>,
        rule: Rule,
        out: &mut Vec<Action>,
    ) {
        if let Some(client) = self.clients.iter().find(|client| client.todo == Todo::Nack) {
            let waiting = Waiting::Confirmation { node: client.node };
            self.decided(now, winner, rule, Some(waiting), out);
            return;
        }
        let blocker = winner
            .as_ref()
            .filter(|_| self.policy.is_safe())
            .and_then(|partition| self.leases.blocker(partition.ring, &partition.nodes));
        if let Some(blocker) = blocker {
            self.phase = Phase::WaitingForLeases;
            let waiting = blocker.waiting();
            self.decided(now, winner, rule, Some(waiting), out);
            return;
        }
        let acks: Vec<NodeId> = self
            .clients
            .iter()
            .filter(|c| c.todo == Todo::Ack)
            .map(|c| c.node)
            .collect();
        self.phase = if acks.is_empty() {
            Phase::Idle
        } else {
            Phase::SendingAcks
        };
        if let Some(partition) = winner.as_ref().filter(|_| !acks.is_empty()) {
            if self.policy.is_safe() {
                // Not before: who was chosen but has to wait must not win the next tie by that.
                self.active = partition.nodes.as_slice().into();
            }
            self.record_grant(partition, out);
        }
        self.decided(now, winner, rule, None, out);
        let why = Arc::new(self.decision.rule.clone());
        for node in acks {
            self.ffsplit_push(now, node, Verdict::Ack, &why, out);
        }
    }

    fn ffsplit_push(
        &mut self,
        now: Time,
        node: NodeId,
        verdict: Verdict,
        why: &Arc<Rule>,
        out: &mut Vec<Action>,
    ) {
        self.push(now, node, verdict, Some(why.clone()), out);
        if let Some(client) = self.client_mut(node) {
            client.expects = Some(client.pushes);
        }
    }
}
