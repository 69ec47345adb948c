//! Repaired lms and 2nodelms: who is told, and in which order.
//!
//! The decision is taken for the whole cluster. A node that may be casting the vote and loses it
//! is pushed a NACK, and nobody else gets the vote before it confirmed (A2, A3, A9).

use super::Action;
use super::algo::repaired::{Selection, select};
use super::client::{Client, Verdict};
use super::cluster::Cluster;
use super::explain::{Partition, Rule};
use super::time::Time;
use crate::wire::{NodeId, Vote};
use std::sync::Arc;

impl Cluster {
    /// Decides for all clients. Pushes go to the others; the vote for the reply to the sender is
    /// returned.
    pub(crate) fn reconsider(
        &mut self,
        now: Time,
        sender: Option<NodeId>,
        out: &mut Vec<Action>,
    ) -> Vote {
        self.look_again = None;
        match select(&self.clients, self.algorithm, self.tie_breaker, now) {
            Selection::Unsettled { waiting, until } => {
                self.look_again = Some(until);
                let winner = self.decision.winner.clone();
                let rule = self.decision.rule.clone();
                self.decided(now, winner, rule, Some(waiting), out);
                self.repeated_vote(sender)
            }
            Selection::Settled {
                winner,
                rule,
                newcomers,
            } => self.carry_out(now, sender, winner, rule, &newcomers, out),
        }
    }

    /// What holds for the sender anyway while the whole is unsettled.
    fn repeated_vote(&self, sender: Option<NodeId>) -> Vote {
        let client = sender.and_then(|node| self.client(node));
        let pending = client.is_some_and(|client| client.pending_nack.is_some());
        match client.and_then(|client| client.standing_verdict()) {
            Some(_) if pending => Vote::NoChange,
            Some(verdict) => verdict.vote(),
            None => Vote::WaitForReply,
        }
    }

    fn carry_out(
        &mut self,
        now: Time,
        sender: Option<NodeId>,
        winner: Option<Partition>,
        rule: Rule,
        newcomers: &[(NodeId, NodeId)],
        out: &mut Vec<Action>,
    ) -> Vote {
        let why = Arc::new(rule.clone());
        let mut reply = Vote::WaitForReply;
        let mut winners = Vec::new();
        let mut losers = Vec::new();
        for client in self
            .clients
            .iter()
            .filter(|client| client.membership.is_some())
        {
            let wins = winner
                .as_ref()
                .is_some_and(|partition| partition.ring == client.ring);
            if wins {
                winners.push(client.node);
            } else if rule != Rule::Undecided {
                losers.push(client.node);
            }
        }
        for node in losers {
            let holder = newcomers.iter().find(|(newcomer, _)| *newcomer == node);
            let why = match holder {
                Some((_, holder)) => Arc::new(Rule::Newcomer { holder: *holder }),
                None => why.clone(),
            };
            let vote = self.withhold(now, node, sender == Some(node), &why, out);
            if sender == Some(node) {
                reply = vote;
            }
            // A newcomer stays one until more was decided than that it is new (A6).
            let is_decided = |client: &&mut Client| {
                holder.is_none() && (*why != Rule::Incumbent || client.settled.is_some())
            };
            if let Some(client) = self.client_mut(node).filter(is_decided) {
                client.settled = Some(Verdict::Nack);
            }
        }
        let Some(partition) = winner else {
            self.decided(now, None, rule, None, out);
            return reply;
        };
        let blocker = self.leases.blocker(partition.ring, &partition.nodes);
        let waiting = blocker.map(|blocker| blocker.waiting());
        let is_blocked = waiting.is_some();
        self.decided(now, Some(partition.clone()), rule, waiting, out);
        if !is_blocked && !winners.is_empty() {
            self.record_grant(&partition, out);
        }
        for node in winners {
            let vote = self.give(now, node, sender == Some(node), is_blocked, &why, out);
            if sender == Some(node) {
                reply = vote;
            }
        }
        reply
    }

    /// A node does not get the vote. Returns the vote for a reply to it.
    fn withhold(
        &mut self,
        now: Time,
        node: NodeId,
        is_sender: bool,
        why: &Arc<Rule>,
        out: &mut Vec<Action>,
    ) -> Vote {
        let may_cast = self.leases.holds(node);
        let Some(client) = self.client(node) else {
            return Vote::NoChange;
        };
        if client.pending_nack.is_some() {
            return Vote::NoChange;
        }
        let knows = client.standing_verdict() == Some(Verdict::Nack);
        if may_cast || !(is_sender || knows) {
            self.push(now, node, Verdict::Nack, Some(why.clone()), out);
            return Vote::NoChange;
        }
        if let Some(client) = self.client_mut(node).filter(|_| is_sender) {
            client.why = Some(why.clone());
        }
        Vote::Nack
    }

    /// A node gets the vote, if nothing stands against it. Returns the vote for a reply to it.
    fn give(
        &mut self,
        now: Time,
        node: NodeId,
        is_sender: bool,
        is_blocked: bool,
        why: &Arc<Rule>,
        out: &mut Vec<Action>,
    ) -> Vote {
        let holds = self.leases.holds(node);
        let Some(client) = self.client_mut(node) else {
            return Vote::NoChange;
        };
        let has_it = client.standing_verdict() == Some(Verdict::Ack)
            && client.pending_nack.is_none()
            && holds;
        if has_it {
            client.settled = Some(Verdict::Ack);
            return Vote::Ack;
        }
        if is_blocked {
            return Vote::WaitForReply;
        }
        client.settled = Some(Verdict::Ack);
        if is_sender && client.pending_nack.is_none() {
            client.why = Some(why.clone());
            return Vote::Ack;
        }
        self.push(now, node, Verdict::Ack, Some(why.clone()), out);
        Vote::NoChange
    }
}
