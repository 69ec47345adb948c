//! One cluster: its clients, and what each of them is told when something happens.

use super::algo::ffsplit;
use super::client::{Client, HeartbeatCheck, Peer, Remembered, Todo};
use super::explain::{Decision, Partition, Rule};
use super::ffsplit_sequence::Phase;
use super::lease::{LeaseBook, LeaveCause, lease_time};
use super::policy::{ClusterPolicy, LostHolder};
use super::time::{Time, earlier};
use super::{Action, CloseReason, ConnId, Event, Grant};
use crate::wire::{Algorithm, ClusterName, ErrorCode, Heuristics, NodeId, RingId, TieBreaker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most clients of one cluster: more than the 384 nodes that corosync can handle.
const MAX_CLIENTS: usize = 512;

/// What corosync waits for a vote by default, `sync_timeout` (safety spec, section 1).
pub(crate) const USUAL_SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// A node that was refused because its settings are not those of the connected nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// The node.
    pub node: NodeId,
    /// Algorithm that it wants.
    pub algorithm: Algorithm,
    /// Tie-breaker that it wants.
    pub tie_breaker: TieBreaker,
}

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
    pub(super) reports: u64,

    /// For the status: when the last connection of a node ended that is not connected.
    pub(super) departed: BTreeMap<NodeId, Time>,
    /// For the status: nodes that were refused.
    pub(super) misfits: BTreeMap<NodeId, Misfit>,

    /// ffsplit.
    pub(crate) phase: Phase,
    /// ffsplit of the reference, while a message is handled: the sender and the heuristics that
    /// were stored for it before.
    pub(super) former_heuristics: Option<(NodeId, Option<Heuristics>)>,
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
            departed: BTreeMap::new(),
            misfits: BTreeMap::new(),
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

    /// The rules that decide in it.
    pub fn policy(&self) -> &ClusterPolicy {
        &self.policy
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
        } else {
            self.note_misfit(&joining);
        }
        if joining.tie_breaker != self.tie_breaker {
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
            quorate: None,
            told_at: now,
            dropped: false,
            todo: Todo::Nothing,
            expects: Some(0),
            remembered: Remembered::Unset,
            timer: None,
            standing: None,
            settled: None,
        };
        self.clients.insert(at, client);
        self.departed.remove(&node);
        Ok(())
    }

    /// Remembers for the status whether a node that wants to join has other settings.
    fn note_misfit(&mut self, joining: &Joining) {
        let fits = joining.algorithm == self.algorithm && joining.tie_breaker == self.tie_breaker;
        if fits {
            self.misfits.remove(&joining.node);
        } else if self.misfits.len() < MAX_CLIENTS {
            let misfit = Misfit {
                node: joining.node,
                algorithm: joining.algorithm,
                tie_breaker: joining.tie_breaker,
            };
            self.misfits.insert(joining.node, misfit);
        }
    }

    /// Takes up what was recorded before a restart (safety spec, section 4): everybody who was
    /// granted the vote may still be casting it, for two heartbeat intervals from now at most: the
    /// former process answered nothing later, and whatever of its answers is still under way is
    /// followed by the end of the connection. `ended_before` of that time has passed if it is known
    /// when the former process ended. The recorded partition is the previously active one.
    pub fn restore(&mut self, now: Time, grant: &Grant, ended_before: Duration) {
        self.epoch = self.epoch.max(grant.epoch);
        self.algorithm = grant.algorithm;
        if self.policy.is_safe() {
            self.active = grant.partition.nodes.as_slice().into();
        }
        if !self.policy.keeps_leases() {
            return;
        }
        let manual =
            grant.algorithm != Algorithm::FfSplit && self.policy.lost_holder == LostHolder::Manual;
        for (node, heartbeat_ms) in &grant.heartbeats {
            let heartbeat = Duration::from_millis(u64::from(*heartbeat_ms));
            let left = lease_time(heartbeat).saturating_sub(ended_before);
            let deadline = (!manual).then(|| now + left);
            let Partition { ring, nodes } = &grant.partition;
            self.leases.restore(
                *node,
                *ring,
                nodes.as_slice().into(),
                grant.algorithm,
                deadline,
            );
        }
        self.last_grant = Some(grant.clone());
    }

    /// Forgets the recorded grant if nobody can be casting the vote any more, and nobody is about
    /// to get it. Returns whether there was one, which then need not outlive this process.
    pub fn forget_grant(&mut self) -> bool {
        self.leases.is_empty() && self.decision.winner.is_none() && self.last_grant.take().is_some()
    }

    /// Records of before a restart are missing, so anybody may hold the vote until this moment.
    pub fn holder_unknown(&mut self, until: Time) {
        if self.policy.keeps_leases() {
            self.leases.holder_unknown(until);
        }
    }

    /// The first client brings the algorithm; what was decided for an earlier set of clients is
    /// forgotten, except for leases.
    fn start(&mut self, algorithm: Algorithm, tie_breaker: TieBreaker) {
        self.algorithm = algorithm;
        self.tie_breaker = tie_breaker;
        self.misfits.clear();
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
        if self.departed.len() < MAX_CLIENTS {
            self.departed.insert(node, now);
        }
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
        out: &mut Vec<Action>,
    ) {
        let Some(client) = self.client_mut(node) else {
            return;
        };
        client.heartbeat_ms = heartbeat_ms.unwrap_or(client.heartbeat_ms);
        let before = client.longest_heartbeat_ms;
        client.longest_heartbeat_ms = before.max(client.heartbeat_ms);
        client.keep_active = keep_active.unwrap_or(client.keep_active);
        client.check.options_set(now, client.pushes);
        if client.longest_heartbeat_ms > before {
            self.record_longer_lease(node, out);
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

    /// The last ring id that is known for a client, for the replies to it.
    pub fn ring_of(&self, node: NodeId) -> RingId {
        self.client(node).map_or(RingId::NONE, |client| client.ring)
    }
}

#[cfg(test)]
mod tests;
