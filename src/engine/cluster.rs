//! One cluster: its clients, and what each of them is told when something happens.

use super::algo::{ffsplit, lms, two_node_lms};
use super::client::{Client, ConfiguredNode, HeartbeatCheck, Peer, Remembered, Todo, Verdict};
use super::explain::{Decision, Partition, Rule, Waiting};
use super::ffsplit_sequence::Phase;
use super::lease::{LeaseBook, LeaveCause, lease_time};
use super::policy::ClusterPolicy;
use super::time::{Time, earlier};
use super::{Action, CloseReason, ConnId, Event, Grant};
use crate::wire::{
    Algorithm, ClusterName, ErrorCode, Heuristics, Message, NodeId, NodeInfo, RingId, TieBreaker,
    Vote,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most clients of one cluster: more than the 384 nodes that corosync can handle.
const MAX_CLIENTS: usize = 512;

/// What corosync waits for a vote by default, `sync_timeout` (safety spec, section 1).
pub(crate) const USUAL_SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that asks to join (INIT, with all its options checked).
#[derive(Debug, Clone)]
pub struct Joining {
    /// Its connection.
    pub conn: ConnId,
    /// Its node id, not 0.
    pub node: NodeId,
    /// For the status.
    pub peer: Peer,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u32,
    /// Algorithm that it wants.
    pub algorithm: Algorithm,
    /// Tie-breaker that it wants.
    pub tie_breaker: TieBreaker,
    /// Its ring id.
    pub ring: RingId,
    /// Its keep-active-partition flag until it sets another.
    pub keep_active: bool,
}

/// The clients of one cluster and the state of its decision.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) name: ClusterName,
    pub(crate) policy: ClusterPolicy,
    /// Of the first client; all later ones had to agree.
    pub(crate) algorithm: Algorithm,
    pub(crate) tie_breaker: TieBreaker,
    /// In ascending node id order.
    pub(crate) clients: Vec<Client>,
    pub(crate) leases: LeaseBook,
    pub(crate) decision: Decision,
    pub(crate) last_grant: Option<Grant>,
    pub(crate) epoch: u64,
    reports: u64,

    /// ffsplit.
    pub(crate) phase: Phase,
    /// ffsplit of the reference, while a message is handled: the sender and the heuristics that
    /// were stored for it before.
    former_heuristics: Option<(NodeId, Option<Heuristics>)>,
    /// ffsplit: the partition selected last.
    pub(crate) active: Arc<[NodeId]>,
    /// Repaired rules: when to look again because a report that is missing has become overdue.
    pub(crate) look_again: Option<Time>,
}

impl Cluster {
    /// A cluster without clients.
    pub fn new(name: ClusterName, policy: ClusterPolicy) -> Self {
        Self {
            name,
            policy,
            algorithm: Algorithm::FfSplit,
            tie_breaker: TieBreaker::Lowest,
            clients: Vec::new(),
            leases: LeaseBook::default(),
            decision: Decision {
                at: Time::ZERO,
                winner: None,
                rule: Rule::Undecided,
                waiting: None,
            },
            last_grant: None,
            epoch: 0,
            reports: 0,
            phase: Phase::Idle,
            former_heuristics: None,
            active: Arc::new([]),
            look_again: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Whether it has no client.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether nothing of it needs to be remembered.
    pub fn is_forgettable(&self) -> bool {
        self.clients.is_empty() && self.leases.is_empty()
    }

    /// Whether lms and 2nodelms are decided for the whole cluster at once.
    pub(crate) fn decides_as_a_whole(&self) -> bool {
        self.policy.is_safe() && matches!(self.algorithm, Algorithm::Lms | Algorithm::TwoNodeLms)
    }

    /// INIT: a client joins.
    ///
    /// # Errors
    /// The code for INIT_REPLY, if it does not fit to the clients that are there (protocol spec,
    /// section 4.4). Nothing has changed then.
    pub fn join(
        &mut self,
        now: Time,
        joining: Joining,
        out: &mut Vec<Action>,
    ) -> Result<(), ErrorCode> {
        if self.clients.is_empty() {
            self.start(joining.algorithm, joining.tie_breaker);
        } else if joining.tie_breaker != self.tie_breaker {
            return Err(ErrorCode::TieBreakerDiffersFromOtherNodes);
        } else if joining.algorithm != self.algorithm {
            return Err(ErrorCode::AlgorithmDiffersFromOtherNodes);
        }
        let Err(at) = self.position(joining.node) else {
            return Err(ErrorCode::DuplicateNodeId);
        };
        if self.clients.len() >= MAX_CLIENTS {
            return Err(ErrorCode::InternalError);
        }
        let node = joining.node;
        out.push(Action::Event(Event::Joined {
            cluster: self.name.clone(),
            node,
            peer: joining.peer.clone(),
            algorithm: joining.algorithm,
        }));
        if joining.algorithm == Algorithm::Test {
            out.push(Action::Event(Event::TestAlgorithm {
                cluster: self.name.clone(),
                node,
            }));
        }
        let lease = lease_time(Duration::from_millis(u64::from(joining.heartbeat_ms)));
        if self.policy.keeps_leases() && lease > USUAL_SYNC_TIMEOUT {
            let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            let cluster = self.name.clone();
            out.push(Action::Event(Event::LongLease {
                cluster,
                node,
                lease_ms,
            }));
        }
        let client = Client {
            conn: joining.conn,
            node,
            peer: joining.peer,
            heartbeat_ms: joining.heartbeat_ms,
            longest_heartbeat_ms: joining.heartbeat_ms,
            keep_active: joining.keep_active,
            ring: joining.ring,
            config: None,
            config_version: None,
            membership: None,
            membership_heuristics: None,
            regular_heuristics: None,
            heuristics: None,
            last_vote: None,
            last_verdict: None,
            why: None,
            pushes: 0,
            report: 0,
            reported_at: now,
            check: HeartbeatCheck::init(now),
            pending_nack: None,
            dropped: false,
            todo: Todo::Nothing,
            expects: Some(0),
            remembered: Remembered::Unset,
            timer: None,
            standing: None,
            settled: None,
        };
        self.clients.insert(at, client);
        Ok(())
    }

    /// The first client brings the algorithm; what was decided for an earlier set of clients is
    /// forgotten, except for leases.
    fn start(&mut self, algorithm: Algorithm, tie_breaker: TieBreaker) {
        self.algorithm = algorithm;
        self.tie_breaker = tie_breaker;
        self.phase = Phase::Idle;
        self.look_again = None;
        self.decision.winner = None;
        self.decision.rule = Rule::Undecided;
        self.decision.waiting = None;
        if !self.policy.is_safe() {
            self.active = Arc::new([]);
        }
    }

    /// The connection of a client ended.
    pub fn leave(&mut self, now: Time, node: NodeId, cause: LeaveCause, out: &mut Vec<Action>) {
        let Ok(at) = self.position(node) else { return };
        let Some(client) = self.clients.get(at) else {
            return;
        };
        out.push(Action::Event(Event::Left {
            cluster: self.name.clone(),
            node,
            peer: client.peer.clone(),
            cause,
        }));
        let heartbeat = client.lease_heartbeat();
        let counted_from = match cause {
            // It knows, whatever its check of our heartbeat says.
            LeaveCause::ClosedByPeer => client.check.answered_at(),
            _ => client.check.latest_start(heartbeat),
        };
        let rings = self.clients.iter().map(|client| (client.node, client.ring));
        self.leases
            .disconnected(node, cause, counted_from, heartbeat, &self.policy, rings);
        if cause == LeaveCause::Shutdown || self.clients.len() == 1 {
            self.clients.remove(at);
            return;
        }
        if self.algorithm == Algorithm::FfSplit {
            self.ffsplit_recompute(now, None, Some(node), out);
            self.clients.remove(at);
        } else {
            self.clients.remove(at);
            if self.decides_as_a_whole() {
                self.reconsider(now, None, out);
            }
        }
    }

    /// A message of a client arrived, whatever it says.
    pub fn heard(&mut self, now: Time, node: NodeId) {
        if let Some(client) = self.client_mut(node) {
            client.check.heard(now);
        }
    }

    /// ECHO_REQUEST: the answer is being sent.
    pub fn echoed(&mut self, now: Time, node: NodeId) {
        if let Some(client) = self.client_mut(node) {
            client.check.echoed(now);
        }
    }

    /// A client that joined in clear text has changed to TLS.
    pub fn secured(&mut self, node: NodeId, verified: bool) {
        if let Some(client) = self.client_mut(node) {
            client.peer.tls = true;
            client.peer.verified = verified;
        }
    }

    /// SET_OPTION: the answer is being sent.
    pub fn set_options(
        &mut self,
        now: Time,
        node: NodeId,
        heartbeat_ms: Option<u32>,
        keep_active: Option<bool>,
    ) {
        if let Some(client) = self.client_mut(node) {
            client.heartbeat_ms = heartbeat_ms.unwrap_or(client.heartbeat_ms);
            client.longest_heartbeat_ms = client.longest_heartbeat_ms.max(client.heartbeat_ms);
            client.keep_active = keep_active.unwrap_or(client.keep_active);
            client.check.options_set(now, client.pushes);
        }
    }

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
        Ok(self.answer(node, vote, None, out))
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
        Ok(self.answer(node, vote, why, out))
    }

    /// NODE_LIST with the outcome of the quorum computation. The list itself is never used
    /// (protocol spec, section 5.6).
    pub fn quorum_list(&mut self, now: Time, node: NodeId, out: &mut Vec<Action>) -> Vote {
        let (vote, why) = match self.algorithm {
            Algorithm::Lms => self.lms_on_request(now, node, out),
            Algorithm::Test | Algorithm::FfSplit | Algorithm::TwoNodeLms => (Vote::NoChange, None),
        };
        self.answer(node, vote, why, out)
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
        self.answer(node, vote, None, out)
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
        Ok(self.answer(node, vote, why, out))
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
            client.pending_nack = (seq < nack.seq).then_some(super::client::PendingNack {
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

    /// An operator states that unreachable nodes no longer cast the vote.
    ///
    /// Returns whether there was a lease to release.
    pub fn release_lost(&mut self, now: Time, out: &mut Vec<Action>) -> bool {
        let lost: Vec<(NodeId, RingId)> = self
            .leases
            .iter()
            .filter(|lease| !lease.is_connected())
            .map(|lease| (lease.node, lease.ring))
            .collect();
        let had_any = !lost.is_empty() || self.leases.next_deadline().is_some();
        self.leases.release_lost();
        for (node, ring) in lost {
            let cluster = self.name.clone();
            out.push(Action::Event(Event::LeaseEnded {
                cluster,
                node,
                ring,
                by_operator: true,
            }));
        }
        self.leases_changed(now, out);
        had_any
    }

    /// When [`Cluster::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let clients = self.clients.iter().fold(None, |at, client| {
            let nack = client.pending_nack.filter(|_| !client.dropped);
            let nack = nack.map(|nack| nack.since + client.heartbeat() * 2);
            earlier(at, earlier(client.timer, nack))
        });
        earlier(
            clients,
            earlier(self.leases.next_deadline(), self.look_again),
        )
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Action>) {
        self.fire_timers(now, out);
        for client in &mut self.clients {
            let limit = client.heartbeat() * 2;
            if client
                .pending_nack
                .is_some_and(|nack| nack.since + limit <= now)
                && !client.dropped
            {
                client.dropped = true;
                let reason = CloseReason::UnconfirmedNack;
                out.push(Action::Close {
                    conn: client.conn,
                    reason,
                });
            }
        }
        let changed = self.leases.next_deadline().is_some_and(|at| at <= now);
        for lease in self.leases.expire(now) {
            out.push(Action::Event(Event::LeaseEnded {
                cluster: self.name.clone(),
                node: lease.node,
                ring: lease.ring,
                by_operator: false,
            }));
        }
        if changed {
            self.leases_changed(now, out);
        }
        if self.look_again.is_some_and(|at| at <= now) {
            self.look_again = None;
            if self.algorithm == Algorithm::FfSplit {
                self.ffsplit_recompute(now, None, None, out);
            } else {
                self.reconsider(now, None, out);
            }
        }
    }

    fn leases_changed(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.algorithm == Algorithm::FfSplit {
            self.ffsplit_advance(now, out);
        } else if self.decides_as_a_whole() && !self.clients.is_empty() {
            self.reconsider(now, None, out);
        }
    }

    /// lms timers of the reference (algorithms spec, sections 2.4 and 8.1).
    fn fire_timers(&mut self, now: Time, out: &mut Vec<Action>) {
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

    fn lms_on_request(
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
    fn reference_outcome(
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
                client.report = number;
                client.reported_at = now;
            }
            client.membership = Some(list);
            client.ring = report.ring;
            client.membership_heuristics = report.heuristics;
            client.heuristics = report.heuristics;
        }
    }

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
                Some(super::client::PendingNack { first, seq, since })
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
        self.told(node, verdict.vote(), true, why, out);
        out.push(Action::Send { to, message });
    }

    /// Notes the vote of a reply.
    fn answer(
        &mut self,
        node: NodeId,
        vote: Vote,
        why: Option<Rule>,
        out: &mut Vec<Action>,
    ) -> Vote {
        self.told(node, vote, false, why.map(Arc::new), out);
        vote
    }

    fn told(
        &mut self,
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
            if vote != Vote::NoChange
                && client
                    .standing
                    .is_some_and(|(told, _)| told == Verdict::Nack)
            {
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
            .map(|client| (client.node, client.heartbeat_ms))
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
        self.epoch += 1;
        let grant = Grant {
            cluster: self.name.clone(),
            epoch: self.epoch,
            partition: partition.clone(),
            algorithm: self.algorithm,
            heartbeats,
        };
        self.last_grant = Some(grant.clone());
        out.push(Action::Record(grant));
    }

    /// The view for ffsplit's selection.
    pub(crate) fn ffsplit_view(&self, now: Time, leaving: Option<NodeId>) -> ffsplit::View<'_> {
        ffsplit::View {
            clients: &self.clients,
            leaving,
            now,
            tie_breaker: self.tie_breaker,
            active: &self.active,
            former_heuristics: self.former_heuristics,
            repaired: self.policy.is_safe(),
        }
    }

    pub(crate) fn position(&self, node: NodeId) -> Result<usize, usize> {
        self.clients
            .binary_search_by_key(&node, |client| client.node)
    }

    pub(crate) fn client(&self, node: NodeId) -> Option<&Client> {
        self.position(node).ok().and_then(|at| self.clients.get(at))
    }

    pub(crate) fn client_mut(&mut self, node: NodeId) -> Option<&mut Client> {
        let at = self.position(node).ok()?;
        self.clients.get_mut(at)
    }

    fn has_config(&self, node: NodeId) -> bool {
        self.client(node)
            .is_some_and(|client| client.config.is_some())
    }

    fn has_membership(&self, node: NodeId) -> bool {
        self.client(node)
            .is_some_and(|client| client.membership.is_some())
    }

    /// The last ring id that is known for a client, for the replies to it.
    pub fn ring_of(&self, node: NodeId) -> RingId {
        self.client(node).map_or(RingId::NONE, |client| client.ring)
    }
}

#[cfg(test)]
mod tests;
