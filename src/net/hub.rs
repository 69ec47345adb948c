//! The clusters of a server, each behind a lock of its own.

use super::outbox::{Closing, Outbox};
use super::{Clock, lock};
use crate::config::ClusterPolicies;
use crate::engine::{Action, Cluster, ConnId, Time};
use crate::telemetry;
use crate::telemetry::observer::{Observer, Seen};
use crate::wire::ClusterName;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::AbortHandle;

/// Locks among which the names of clusters are spread.
const SHARDS: usize = 64;

/// Most clusters at a time. Only where clients need no certificate can there be more names than
/// the operator signed.
const MAX_CLUSTERS: usize = 100_000;

type Shard = Mutex<HashMap<ClusterName, Arc<Cell>>>;

/// All clusters of a server.
#[derive(Debug)]
pub struct Hub {
    clock: Clock,
    policies: Mutex<ClusterPolicies>,
    hasher: RandomState,
    shards: Vec<Shard>,
    clusters: AtomicUsize,
    created: AtomicU64,
    observer: Observer,
}

/// One cluster with the queues of its clients.
#[derive(Debug)]
struct Cell {
    guarded: Mutex<Guarded>,
}

/// What the lock of a cluster guards.
#[derive(Debug)]
pub struct Guarded {
    /// The cluster.
    pub cluster: Cluster,
    members: Vec<(ConnId, Arc<Outbox>)>,
    /// Position in the order of creation, while it has clients.
    order: u64,
    /// It is no longer in the hub; a newcomer must look the name up again.
    retired: bool,
    /// The one timer that runs for it.
    timer: Option<Timer>,
    /// What the observer remembers of it.
    seen: Seen,
}

/// A task that wakes a cluster up, and when.
#[derive(Debug)]
struct Timer {
    at: Time,
    task: AbortHandle,
}

impl Drop for Timer {
    /// Without this, a timer that was overtaken by an earlier one would sleep on, and a client that
    /// moves its deadlines about could make any number of them.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// There are too many clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_CLUSTERS} clusters already; no further one is taken")]
pub struct TooManyClusters;

impl Hub {
    /// A hub without clusters.
    pub fn new(clock: Clock, policies: ClusterPolicies) -> Arc<Self> {
        Arc::new(Self {
            clock,
            policies: Mutex::new(policies),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            clusters: AtomicUsize::new(0),
            created: AtomicU64::new(0),
            observer: Observer::new(),
        })
    }

    /// The clock that all clusters go by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Who counts what the clusters do.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Runs `f` on the cluster of that name, if there is one that has clients or leases.
    pub fn look<R>(&self, name: &ClusterName, f: impl FnOnce(&Cluster) -> R) -> Option<R> {
        let cell = lock(self.shard(name)).get(name).cloned()?;
        let guarded = lock(&cell.guarded);
        let is_there = !guarded.retired && !guarded.cluster.is_forgettable();
        is_there.then(|| f(&guarded.cluster))
    }

    /// Runs `f` on the cluster of that name, which may be new and empty. The messages that it
    /// leaves are queued before anybody else gets at the cluster; what is not for one of its
    /// clients is returned.
    ///
    /// # Errors
    /// There are too many clusters.
    pub fn with_cluster<R>(
        self: &Arc<Self>,
        name: &ClusterName,
        f: impl FnOnce(&mut Guarded, &mut Vec<Action>) -> R,
    ) -> Result<(R, Vec<Action>), TooManyClusters> {
        loop {
            let cell = self.cell(name)?;
            let mut guarded = lock(&cell.guarded);
            if guarded.retired {
                continue;
            }
            return Ok(self.run(&cell, &mut guarded, f));
        }
    }

    /// Runs `f` on every cluster that has clients or leases, in the order in which they came.
    pub fn visit<R>(&self, mut f: impl FnMut(&Cluster) -> R) -> Vec<R> {
        let cells = self.shards.iter().flat_map(|shard| {
            let shard = lock(shard);
            shard.values().cloned().collect::<Vec<_>>()
        });
        let mut seen: Vec<(u64, R)> = cells
            .filter_map(|cell| {
                let guarded = lock(&cell.guarded);
                let is_there = !guarded.retired && !guarded.cluster.is_forgettable();
                is_there.then(|| (guarded.order, f(&guarded.cluster)))
            })
            .collect();
        seen.sort_by_key(|(order, _)| *order);
        seen.into_iter().map(|(_, seen)| seen).collect()
    }

    /// Changes the rules for clusters that appear from now on. Returns those that are here and
    /// keep their former rules until their last node has left: what was promised under one set of
    /// rules can't be judged by another.
    pub fn set_policies(&self, policies: &ClusterPolicies) -> Vec<ClusterName> {
        lock(&self.policies).clone_from(policies);
        let keeping = self.visit(|cluster| {
            let keeps = *cluster.policy() != policies.policy(cluster.name());
            keeps.then(|| cluster.name().clone())
        });
        keeping.into_iter().flatten().collect()
    }

    /// Whether a cluster of that name is known.
    pub fn knows(&self, name: &ClusterName) -> bool {
        lock(self.shard(name)).contains_key(name)
    }

    fn cell(&self, name: &ClusterName) -> Result<Arc<Cell>, TooManyClusters> {
        let mut shard = lock(self.shard(name));
        if let Some(cell) = shard.get(name) {
            return Ok(cell.clone());
        }
        if self.clusters.load(Ordering::Relaxed) >= MAX_CLUSTERS {
            return Err(TooManyClusters);
        }
        let cell = Arc::new(Cell {
            guarded: Mutex::new(Guarded {
                cluster: Cluster::new(name.clone(), lock(&self.policies).policy(name)),
                members: Vec::new(),
                order: 0,
                retired: false,
                timer: None,
                seen: Seen::default(),
            }),
        });
        shard.insert(name.clone(), cell.clone());
        self.clusters.fetch_add(1, Ordering::Relaxed);
        Ok(cell)
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder of the number of shards
    fn shard(&self, name: &ClusterName) -> &Shard {
        let at = self.hasher.hash_one(name) % self.shards.len() as u64;
        &self.shards[at as usize]
    }

    fn run<R>(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        guarded: &mut MutexGuard<'_, Guarded>,
        f: impl FnOnce(&mut Guarded, &mut Vec<Action>) -> R,
    ) -> (R, Vec<Action>) {
        let mut actions = Vec::new();
        let was_empty = guarded.cluster.is_empty();
        let result = f(guarded, &mut actions);
        let Guarded { cluster, seen, .. } = &mut **guarded;
        self.observer
            .cluster(cluster, seen, &actions, || self.clock.now());
        if was_empty && !guarded.cluster.is_empty() {
            guarded.order = self.created.fetch_add(1, Ordering::Relaxed);
        }
        let rest = guarded.deliver(actions);
        if guarded.cluster.is_forgettable() {
            self.retire(cell, guarded);
        } else {
            self.arm(cell, guarded);
        }
        (result, rest)
    }

    fn retire(&self, cell: &Arc<Cell>, guarded: &mut Guarded) {
        guarded.retired = true;
        guarded.timer = None;
        let name = guarded.cluster.name();
        let mut shard = lock(self.shard(name));
        if shard
            .get(name)
            .is_some_and(|present| Arc::ptr_eq(present, cell))
        {
            shard.remove(name);
            self.clusters.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sees to it that the cluster's next timeout is handled.
    fn arm(self: &Arc<Self>, cell: &Arc<Cell>, guarded: &mut Guarded) {
        let Some(at) = guarded.cluster.poll_timeout() else {
            return;
        };
        if guarded.timer.as_ref().is_some_and(|armed| armed.at <= at) {
            return;
        }
        let (hub, cell) = (Arc::downgrade(self), Arc::downgrade(cell));
        let instant = self.clock.instant(at);
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            if let (Some(hub), Some(cell)) = (hub.upgrade(), cell.upgrade()) {
                hub.fire(&cell, at);
            }
        });
        guarded.timer = Some(Timer {
            at,
            task: task.abort_handle(),
        });
    }

    fn fire(self: &Arc<Self>, cell: &Arc<Cell>, at: Time) {
        let mut guarded = lock(&cell.guarded);
        if guarded.retired || guarded.timer.as_ref().is_none_or(|timer| timer.at != at) {
            return;
        }
        guarded.timer = None;
        let now = self.clock.now();
        let ((), rest) = self.run(cell, &mut guarded, |guarded, actions| {
            if guarded.cluster.poll_timeout().is_some_and(|at| at <= now) {
                guarded.cluster.handle_timeout(now, actions);
            }
        });
        drop(guarded);
        telemetry::events::report(&rest, "");
    }
}

impl Guarded {
    /// Adds the queue of a client that joined.
    pub(super) fn add(&mut self, conn: ConnId, outbox: &Arc<Outbox>) {
        if !self.members.iter().any(|(member, _)| *member == conn) {
            self.members.push((conn, outbox.clone()));
        }
    }

    /// Removes the queue of a client that left.
    pub(super) fn remove(&mut self, conn: ConnId) {
        self.members.retain(|(member, _)| *member != conn);
    }

    /// Puts messages into the queues of the cluster's clients. Returns what is not for them.
    fn deliver(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut rest = Vec::new();
        for action in actions {
            match action {
                Action::Send { to, message } => match self.outbox(to) {
                    Some(outbox) => outbox.push(message.encode()),
                    None => rest.push(Action::Send { to, message }),
                },
                Action::Close { conn, reason } => match self.outbox(conn) {
                    Some(outbox) => outbox.close(Closing::Engine(reason)),
                    None => rest.push(Action::Close { conn, reason }),
                },
                other => rest.push(other),
            }
        }
        rest
    }

    fn outbox(&self, conn: ConnId) -> Option<&Arc<Outbox>> {
        self.members
            .iter()
            .find(|(member, _)| *member == conn)
            .map(|(_, outbox)| outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Joining, LeaveCause, Peer};
    use crate::wire::{Algorithm, NodeId, NodeInfo, RingId, TieBreaker};
    use std::time::Duration;

    const NODE: NodeId = NodeId(1);
    const RING: RingId = RingId { node: NODE, seq: 9 };

    /// A node that sees itself alone among three is told NACK.
    fn node_with_a_pending_nack(cluster: &mut Cluster, now: Time, actions: &mut Vec<Action>) {
        let joining = Joining {
            conn: ConnId(1),
            node: NODE,
            peer: Peer {
                address: "192.0.2.1:1".into(),
                tls: true,
                verified: true,
            },
            heartbeat_ms: 120_000,
            algorithm: Algorithm::FfSplit,
            tie_breaker: TieBreaker::Lowest,
            ring: RING,
            keep_active: false,
        };
        cluster.join(now, joining, actions).unwrap();
        let nodes = [1, 2, 3].map(NodeInfo::new);
        cluster
            .config_list(now, NODE, true, None, &nodes, actions)
            .unwrap();
        cluster
            .membership_list(now, NODE, RING, &nodes[..1], None, actions)
            .unwrap();
    }

    async fn tasks() -> usize {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    }

    #[tokio::test]
    async fn a_cluster_has_one_timer_however_often_its_deadline_moves() {
        let hub = Hub::new(Clock::start(), ClusterPolicies::default());
        let name = ClusterName::new(b"Alpha");
        let now = hub.clock().now();
        hub.with_cluster(&name, |guarded, actions| {
            node_with_a_pending_nack(&mut guarded.cluster, now, actions);
        })
        .unwrap();
        for heartbeat_ms in (100_000..120_000).rev().step_by(10) {
            hub.with_cluster(&name, |guarded, _| {
                let before = guarded.cluster.poll_timeout().unwrap();
                guarded
                    .cluster
                    .set_options(now, NODE, Some(heartbeat_ms), None);
                assert!(guarded.cluster.poll_timeout().unwrap() < before);
            })
            .unwrap();
        }
        assert_eq!(tasks().await, 1);

        hub.with_cluster(&name, |guarded, actions| {
            let cluster = &mut guarded.cluster;
            cluster.leave(now, NODE, LeaveCause::ClosedByPeer, actions);
        })
        .unwrap();
        assert!(!hub.knows(&name));
        assert_eq!(tasks().await, 0);
    }
}
