//! What each message of a client does in its cluster (algorithms spec, section 2).
//!
//! New values are stored before an algorithm looks at them; the reference's lms and 2nodelms look
//! before (section 2.2).

use super::Action;
use super::algo::{lms, two_node_lms};
use super::client::{ConfiguredNode, PendingNack, Remembered};
use super::cluster::Cluster;
use super::explain::Rule;
use super::time::Time;
use crate::wire::{Algorithm, ErrorCode, Heuristics, NodeId, NodeInfo, RingId, Vote};
use std::sync::Arc;

impl Cluster {
    /// NODE_LIST with the configured nodes.
    ///
    /// # Errors
    /// The code of the algorithm (algorithms spec, sections 5.2 and 7); nothing is stored then.
    pub fn config_list(
        &mut self,
        now: Time,
        node: NodeId,
        initial: bool,
        version: Option<u64>,
        nodes: &[NodeInfo],
        out: &mut Vec<Action>,
    ) -> Result<Vote, ErrorCode> {
        match self.algorithm {
            Algorithm::FfSplit if !nodes.iter().any(|info| info.id == node) => {
                return Err(ErrorCode::InvalidConfigNodeList);
            }
            Algorithm::TwoNodeLms if nodes.len() != 2 => {
                return Err(ErrorCode::UnsupportedDecisionAlgorithm);
            }
            _ => {}
        }
        let list: Arc<[ConfiguredNode]> = nodes
            .iter()
            .map(|info| ConfiguredNode {
                id: info.id,
                data_center: info.data_center,
            })
            .collect();
        let shared = self.clients.iter().filter_map(|other| other.config.clone());
        let list = shared
            .into_iter()
            .find(|other| *other == list)
            .unwrap_or(list);
        let Some(client) = self.client_mut(node) else {
            return Err(ErrorCode::InternalError);
        };
        client.config = Some(list);
        client.config_version = version;
        let vote = match self.algorithm {
            Algorithm::FfSplit if initial || !self.has_membership(node) => Vote::AskLater,
            Algorithm::FfSplit => self.ffsplit_recompute(now, Some(node), None, out),
            _ => Vote::NoChange,
        };
        Ok(self.answer(now, node, vote, None, out))
    }

    /// NODE_LIST with the membership.
    ///
    /// # Errors
    /// The code of the algorithm; nothing is stored then.
    pub fn membership_list(
        &mut self,
        now: Time,
        node: NodeId,
        ring: RingId,
        nodes: &[NodeInfo],
        heuristics: Option<Heuristics>,
        out: &mut Vec<Action>,
    ) -> Result<Vote, ErrorCode> {
        if self.algorithm == Algorithm::FfSplit && !nodes.iter().any(|info| info.id == node) {
            return Err(ErrorCode::InvalidMembershipNodeList);
        }
        self.leases.membership_reported(node, ring);
        let report = two_node_lms::Report {
            ring,
            members: nodes.len(),
            heuristics,
        };
        // The reference's lms and 2nodelms look at what was stored before (section 2.2).
        let decided = match self.algorithm {
            Algorithm::Lms if !self.policy.is_safe() => {
                Some(lms::decide(&self.clients, node, ring, self.tie_breaker))
            }
            Algorithm::TwoNodeLms if !self.policy.is_safe() => Some(two_node_lms::decide(
                &self.clients,
                node,
                &report,
                self.tie_breaker,
            )),
            _ => None,
        };
        self.former_heuristics = self.client(node).map(|client| (node, client.heuristics));
        self.store_membership(now, node, &report, nodes);
        let (vote, why) = match (self.algorithm, decided) {
            (_, Some(outcome)) => self.reference_outcome(now, node, outcome),
            (Algorithm::Test, _) => (Vote::Ack, Some(Rule::Test)),
            (Algorithm::FfSplit, _) if !self.has_config(node) => (Vote::AskLater, None),
            (Algorithm::FfSplit, _) => (self.ffsplit_recompute(now, Some(node), None, out), None),
            (Algorithm::Lms | Algorithm::TwoNodeLms, None) => {
                (self.reconsider(now, Some(node), out), None)
            }
        };
        self.former_heuristics = None;
        Ok(self.answer(now, node, vote, why, out))
    }

    /// NODE_LIST with the outcome of the quorum computation. The list itself is never used
    /// (protocol spec, section 5.6), the outcome only shown.
    pub fn quorum_list(
        &mut self,
        now: Time,
        node: NodeId,
        quorate: bool,
        out: &mut Vec<Action>,
    ) -> Vote {
        if let Some(client) = self.client_mut(node) {
            if client.quorate.is_none_or(|(before, _)| before != quorate) {
                client.quorate = Some((quorate, now));
            }
        }
        let (vote, why) = match self.algorithm {
            Algorithm::Lms => self.lms_on_request(now, node, out),
            Algorithm::Test | Algorithm::FfSplit | Algorithm::TwoNodeLms => (Vote::NoChange, None),
        };
        self.answer(now, node, vote, why, out)
    }

    /// HEURISTICS_CHANGE.
    pub fn heuristics_change(
        &mut self,
        now: Time,
        node: NodeId,
        heuristics: Heuristics,
        out: &mut Vec<Action>,
    ) -> Vote {
        let Some(client) = self.client_mut(node) else {
            return Vote::NoChange;
        };
        let former = client.heuristics;
        client.regular_heuristics = Some(heuristics);
        client.heuristics = Some(heuristics);
        self.former_heuristics = Some((node, former));
        let vote = match self.algorithm {
            Algorithm::FfSplit if !self.has_config(node) || !self.has_membership(node) => {
                Vote::AskLater
            }
            Algorithm::FfSplit => self.ffsplit_recompute(now, Some(node), None, out),
            _ => {
                if self.decides_as_a_whole() {
                    self.reconsider(now, None, out);
                }
                Vote::NoChange
            }
        };
        self.former_heuristics = None;
        self.answer(now, node, vote, None, out)
    }

    /// ASK_FOR_VOTE.
    ///
    /// # Errors
    /// ffsplit does not know this message.
    pub fn ask_for_vote(
        &mut self,
        now: Time,
        node: NodeId,
        out: &mut Vec<Action>,
    ) -> Result<Vote, ErrorCode> {
        let (vote, why) = match self.algorithm {
            Algorithm::FfSplit => return Err(ErrorCode::UnsupportedDecisionAlgorithmMessage),
            Algorithm::Test => (Vote::Ack, Some(Rule::Test)),
            Algorithm::Lms => self.lms_on_request(now, node, out),
            Algorithm::TwoNodeLms if self.policy.is_safe() => {
                let vote = self.reconsider(now, Some(node), out);
                let is_new = self
                    .client(node)
                    .is_none_or(|client| client.settled.is_none());
                (
                    if is_new && vote != Vote::Ack {
                        Vote::AskLater
                    } else {
                        vote
                    },
                    None,
                )
            }
            Algorithm::TwoNodeLms => match self.client(node).map(|client| client.remembered) {
                Some(Remembered::Decided(verdict)) => (verdict.vote(), None),
                _ => (Vote::AskLater, None),
            },
        };
        Ok(self.answer(now, node, vote, why, out))
    }

    /// VOTE_INFO_REPLY: the client confirms the push with this number.
    pub fn confirmed(&mut self, now: Time, node: NodeId, seq: u32, out: &mut Vec<Action>) {
        let Some(client) = self.client_mut(node) else {
            return;
        };
        client.check.confirmed(now, seq);
        let nack = client
            .pending_nack
            .filter(|nack| (nack.first..=nack.seq).contains(&seq));
        let nack_confirmed = nack.is_some();
        if let Some(nack) = nack {
            // One of several proves as much as the last: nothing but NACKs follow it.
            client.pending_nack = (seq < nack.seq).then_some(PendingNack {
                first: seq.wrapping_add(1),
                since: now,
                ..nack
            });
            self.leases.release(node);
        }
        if self.algorithm == Algorithm::FfSplit {
            self.ffsplit_confirmed(now, node, seq, out);
        } else if nack_confirmed && self.decides_as_a_whole() {
            self.reconsider(now, None, out);
        }
    }

    fn store_membership(
        &mut self,
        now: Time,
        node: NodeId,
        report: &two_node_lms::Report,
        nodes: &[NodeInfo],
    ) {
        self.reports += 1;
        let number = self.reports;
        let list: Arc<[NodeId]> = nodes.iter().map(|info| info.id).collect();
        let mut shared = self
            .clients
            .iter()
            .filter_map(|other| other.membership.clone());
        let list = shared.find(|other| *other == list).unwrap_or(list);
        if let Some(client) = self.client_mut(node) {
            if client.ring != report.ring || client.membership.is_none() {
                // It stopped casting, and would ignore a verdict for the old ring.
                client.pending_nack = None;
                client.standing = None;
                client.quorate = None;
                client.report = number;
                client.reported_at = now;
            }
            client.membership = Some(list);
            client.ring = report.ring;
            client.membership_heuristics = report.heuristics;
            client.heuristics = report.heuristics;
        }
    }

    fn has_config(&self, node: NodeId) -> bool {
        self.client(node)
            .is_some_and(|client| client.config.is_some())
    }

    fn has_membership(&self, node: NodeId) -> bool {
        self.client(node)
            .is_some_and(|client| client.membership.is_some())
    }
}
