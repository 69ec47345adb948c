//! lms and 2nodelms of the reference: each client is decided on by itself, when it asks or when
//! its timer fires (algorithms spec, sections 2.4, 6 and 8.1).

use super::Action;
use super::algo::lms;
use super::client::{Remembered, Verdict};
use super::cluster::Cluster;
use super::explain::Rule;
use super::time::Time;
use crate::wire::{NodeId, RingId, Vote};
use std::sync::Arc;
use std::time::Duration;

impl Cluster {
    /// lms timers of the reference (algorithms spec, sections 2.4 and 8.1).
    pub(super) fn fire_timers(&mut self, now: Time, out: &mut Vec<Action>) {
        let due: Vec<(NodeId, RingId)> = self
            .clients
            .iter()
            .filter(|client| client.timer.is_some_and(|at| at <= now))
            .map(|client| (client.node, client.ring))
            .collect();
        for (node, ring) in due {
            let outcome = lms::decide(&self.clients, node, ring, self.tie_breaker);
            let (vote, why) = self.reference_outcome(now, node, outcome);
            if let Some(verdict) = Verdict::from_vote(vote) {
                self.push(now, node, verdict, why.map(Arc::new), out);
            }
        }
    }

    pub(super) fn lms_on_request(
        &mut self,
        now: Time,
        node: NodeId,
        out: &mut Vec<Action>,
    ) -> (Vote, Option<Rule>) {
        if self.policy.is_safe() {
            return (self.reconsider(now, Some(node), out), None);
        }
        let ring = self.client(node).map_or(RingId::NONE, |client| client.ring);
        let outcome = lms::decide(&self.clients, node, ring, self.tie_breaker);
        self.reference_outcome(now, node, outcome)
    }

    /// Remembers a decision of the reference's lms or 2nodelms; the vote that follows from it.
    pub(super) fn reference_outcome(
        &mut self,
        now: Time,
        node: NodeId,
        outcome: lms::Outcome,
    ) -> (Vote, Option<Rule>) {
        let Some(client) = self.client_mut(node) else {
            return (Vote::NoChange, None);
        };
        client.timer = None;
        match outcome {
            lms::Outcome::Decided(verdict, rule) => {
                client.remembered = Remembered::Decided(verdict);
                (verdict.vote(), Some(rule))
            }
            lms::Outcome::Newcomer(rule) => (Vote::Nack, Some(rule)),
            lms::Outcome::Wait(waiting) => {
                client.remembered = Remembered::Wait;
                client.timer =
                    Some(now + Duration::from_millis(u64::from(client.heartbeat_ms / 4)));
                self.decision.waiting = waiting;
                (Vote::WaitForReply, None)
            }
        }
    }
}
