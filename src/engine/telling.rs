//! Telling nodes their votes, and remembering what they were told.

use super::client::{PendingNack, Verdict};
use super::cluster::Cluster;
use super::explain::{Decision, Partition, Rule, Waiting};
use super::time::Time;
use super::{Action, Event, Grant};
use crate::wire::{Algorithm, Message, NodeId, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Cluster {
    /// Pushes a verdict (VOTE_INFO).
    pub(crate) fn push(
        &mut self,
        now: Time,
        node: NodeId,
        verdict: Verdict,
        why: Option<Arc<Rule>>,
        out: &mut Vec<Action>,
    ) {
        let tracks_nack = self.algorithm == Algorithm::FfSplit || self.decides_as_a_whole();
        let Some(client) = self.client_mut(node) else {
            return;
        };
        client.pushes = client.pushes.wrapping_add(1);
        let seq = client.pushes;
        client.pending_nack = match verdict {
            Verdict::Nack if tracks_nack => {
                let (first, since) = client
                    .pending_nack
                    .map_or((seq, now), |nack| (nack.first, nack.since));
                Some(PendingNack { first, seq, since })
            }
            _ => None,
        };
        let message = Message::VoteInfo {
            seq,
            vote: verdict.vote(),
            ring_id: client.ring,
        };
        let to = client.conn;
        if verdict == Verdict::Nack && tracks_nack {
            self.leases.awaits_answer(node);
        }
        self.told(now, node, verdict.vote(), true, why, out);
        out.push(Action::Send { to, message });
    }

    /// Notes the vote of a reply.
    pub(super) fn answer(
        &mut self,
        now: Time,
        node: NodeId,
        vote: Vote,
        why: Option<Rule>,
        out: &mut Vec<Action>,
    ) -> Vote {
        self.told(now, node, vote, false, why.map(Arc::new), out);
        vote
    }

    fn told(
        &mut self,
        now: Time,
        node: NodeId,
        vote: Vote,
        pushed: bool,
        why: Option<Arc<Rule>>,
        out: &mut Vec<Action>,
    ) {
        let cluster = self.name.clone();
        let algorithm = self.algorithm;
        let Some(client) = self.client_mut(node) else {
            return;
        };
        client.last_vote = Some(vote);
        out.push(Action::Event(Event::Answered {
            cluster: cluster.clone(),
            node,
            vote,
            pushed,
        }));
        let Some(verdict) = Verdict::from_vote(vote) else {
            if vote != Vote::NoChange {
                // It stops casting, so it has to be told again.
                client.standing = None;
            }
            return;
        };
        if why.is_some() {
            client.why = why;
        }
        let news =
            client.last_verdict != Some(verdict) || client.standing != Some((verdict, client.ring));
        if client.standing != Some((verdict, client.ring)) {
            client.told_at = now;
        }
        client.last_verdict = Some(verdict);
        client.standing = Some((verdict, client.ring));
        let ring = client.ring;
        let why = client.why.clone();
        if verdict == Verdict::Ack && algorithm != Algorithm::Test {
            let membership = client
                .membership
                .clone()
                .unwrap_or_else(|| Arc::new([node]));
            self.leases.grant(node, ring, membership, algorithm);
        }
        if news {
            out.push(Action::Event(Event::Told {
                cluster,
                node,
                verdict,
                ring,
                why,
            }));
        }
    }

    /// Notes the outcome of a computation; tells the outside if it is a new one.
    pub(crate) fn decided(
        &mut self,
        now: Time,
        winner: Option<Partition>,
        rule: Rule,
        waiting: Option<Waiting>,
        out: &mut Vec<Action>,
    ) {
        let same = self.decision.winner == winner
            && self.decision.rule == rule
            && self.decision.waiting == waiting;
        if !same {
            self.decision = Decision {
                at: now,
                winner,
                rule,
                waiting,
            };
            let cluster = self.name.clone();
            let decision = self.decision.clone();
            out.push(Action::Event(Event::Decided { cluster, decision }));
        }
    }

    /// Notes that a partition is about to be told ACK; a changed grant is recorded first.
    pub(crate) fn record_grant(&mut self, partition: &Partition, out: &mut Vec<Action>) {
        let mut heartbeats: BTreeMap<NodeId, u32> = self
            .clients
            .iter()
            .filter(|client| partition.nodes.contains(&client.node))
            .map(|client| (client.node, client.longest_heartbeat_ms))
            .collect();
        let same = self
            .last_grant
            .as_ref()
            .filter(|grant| grant.partition == *partition && grant.algorithm == self.algorithm);
        if let Some(last) = same {
            // A member that was lost may still cast, and for as long as it was recorded with.
            for (node, ms) in &last.heartbeats {
                let recorded = heartbeats.entry(*node).or_default();
                *recorded = (*recorded).max(*ms);
            }
            if heartbeats == last.heartbeats {
                return;
            }
        }
        let grant = Grant {
            cluster: self.name.clone(),
            epoch: self.epoch,
            partition: partition.clone(),
            algorithm: self.algorithm,
            heartbeats,
        };
        self.record(grant, out);
    }

    /// A holder may cast for longer than was recorded when it got the vote.
    pub(super) fn record_longer_lease(&mut self, node: NodeId, out: &mut Vec<Action>) {
        let Some(ms) = self.client(node).map(|client| client.longest_heartbeat_ms) else {
            return;
        };
        let Some(mut grant) = self.last_grant.clone().filter(|_| self.leases.holds(node)) else {
            return;
        };
        match grant.heartbeats.get_mut(&node) {
            Some(recorded) if *recorded < ms => *recorded = ms,
            _ => return,
        }
        self.record(grant, out);
    }

    fn record(&mut self, grant: Grant, out: &mut Vec<Action>) {
        self.epoch += 1;
        let grant = Grant {
            epoch: self.epoch,
            ..grant
        };
        self.last_grant = Some(grant.clone());
        out.push(Action::Record(grant));
    }
}
