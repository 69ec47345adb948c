//! The clusters of a server, each behind a lock of its own.

use super::gone::{GoneCluster, GoneClusters};
use super::held::{Held, Item, Told, TooMuch};
use super::outbox::{Closing, Outbox};
use super::{Clock, lock};
use crate::config::ClusterPolicies;
use crate::engine::snapshot::ClusterSnapshot;
use crate::engine::{Action, Cluster, ConnId, Event, Grant, LostHolder, Time};
use crate::journal::{Figures, Health, Journal, Restored, USUAL_HEARTBEAT_MS};
use crate::telemetry;
use crate::telemetry::observer::{Observer, Seen};
use crate::wire::{Algorithm, ClusterName};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
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
    gone: GoneClusters,
    observer: Observer,
    records: AtomicU64,
    /// What a restart must not forget; without it everything is forgotten.
    journal: Mutex<Option<Journal>>,
    /// Records of before the start are missing: new clusters wait until then.
    doubt_until: Option<Time>,
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
    members: Vec<Member>,
    /// Position in the order of creation, while it has clients.
    order: u64,
    /// It is no longer in the hub; a newcomer must look the name up again.
    retired: bool,
    /// The one timer that runs for it.
    timer: Option<Timer>,
    /// What the observer remembers of it.
    seen: Seen,
    /// A record is being written; what must not leave before it is.
    held: Option<Held>,
}

/// A client of a cluster.
#[derive(Debug)]
struct Member {
    conn: ConnId,
    outbox: Arc<Outbox>,
    told: Told,
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
    /// A hub without clusters and without a memory.
    pub fn new(clock: Clock, policies: ClusterPolicies) -> Arc<Self> {
        Arc::new(Self::with(clock, policies, None, None))
    }

    /// A hub that goes on where the former one was, and writes down what the next one must know.
    /// To be called on a runtime, which the clusters' timers run on.
    pub fn resume(
        clock: Clock,
        policies: ClusterPolicies,
        journal: Journal,
        restored: &Restored,
    ) -> Arc<Self> {
        let now = clock.now();
        let doubt_until = restored.doubt.as_ref().map(|(_, wait)| now + *wait);
        let hub = Arc::new(Self::with(clock, policies, Some(journal), doubt_until));
        for grant in &restored.grants {
            // There is room: the former hub had no more clusters than this one may have.
            let _ = hub.with_cluster(&grant.cluster, |guarded, _| {
                guarded.cluster.restore(now, grant, restored.ended_before);
            });
        }
        hub
    }

    fn with(
        clock: Clock,
        policies: ClusterPolicies,
        journal: Option<Journal>,
        doubt_until: Option<Time>,
    ) -> Self {
        Self {
            clock,
            policies: Mutex::new(policies),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            clusters: AtomicUsize::new(0),
            created: AtomicU64::new(0),
            gone: GoneClusters::default(),
            observer: Observer::new(),
            records: AtomicU64::new(0),
            journal: Mutex::new(journal),
            doubt_until,
        }
    }

    /// Whether what happens is written down, and can be.
    pub fn journal_health(&self) -> Option<Health> {
        lock(&self.journal).as_ref().map(Journal::health)
    }

    /// Notices a journal whose disk does not answer, see [`Journal::look`].
    pub fn look_at_journal(&self) {
        if let Some(journal) = &*lock(&self.journal) {
            journal.look();
        }
    }

    /// What the journal has done so far, if there is one.
    pub fn journal_figures(&self) -> Option<Figures> {
        lock(&self.journal).as_ref().map(Journal::figures)
    }

    /// Ends the journal in good order. What is decided afterwards is not written down any more.
    pub fn end_journal(&self) {
        let journal = lock(&self.journal).take();
        drop(journal);
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
        guarded.is_there().then(|| f(&guarded.cluster))
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

    /// The cluster of that name as its nodes know it, if it has clients or leases: a vote that
    /// waits for the journal was not given yet.
    pub fn snapshot(&self, name: &ClusterName) -> Option<ClusterSnapshot> {
        let journal_fails = self.journal_fails();
        let cell = lock(self.shard(name)).get(name).cloned()?;
        let guarded = lock(&cell.guarded);
        guarded
            .is_there()
            .then(|| guarded.snapshot(self.clock.now(), journal_fails))
    }

    /// All of them, in the order in which they came.
    pub fn snapshots(&self) -> Vec<ClusterSnapshot> {
        let journal_fails = self.journal_fails();
        let now = self.clock.now();
        self.visit_guarded(|guarded| guarded.snapshot(now, journal_fails))
    }

    fn journal_fails(&self) -> bool {
        matches!(self.journal_health(), Some(Health::Failing(_)))
    }

    /// Runs `f` on every cluster that has clients or leases, in the order in which they came.
    pub fn visit<R>(&self, mut f: impl FnMut(&Cluster) -> R) -> Vec<R> {
        self.visit_guarded(|guarded| f(&guarded.cluster))
    }

    fn visit_guarded<R>(&self, mut f: impl FnMut(&Guarded) -> R) -> Vec<R> {
        let cells = self.in_order();
        let seen = cells.iter().filter_map(|cell| {
            let guarded = lock(&cell.guarded);
            guarded.is_there().then(|| f(&guarded))
        });
        seen.collect()
    }

    /// The clusters that have clients or leases. Apart from [`Self::visit`], of which the program
    /// has many copies.
    fn in_order(&self) -> Vec<Arc<Cell>> {
        let cells = self.shards.iter().flat_map(|shard| {
            let shard = lock(shard);
            shard.values().cloned().collect::<Vec<_>>()
        });
        let mut seen: Vec<(u64, Arc<Cell>)> = cells
            .filter_map(|cell| {
                let guarded = lock(&cell.guarded);
                let order = guarded.order;
                let is_there = guarded.is_there();
                drop(guarded);
                is_there.then_some((order, cell))
            })
            .collect();
        seen.sort_by_key(|(order, _)| *order);
        seen.into_iter().map(|(_, cell)| cell).collect()
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

    /// The clusters that are in none of the other lists because their nodes have left and nothing is
    /// withheld for them, for a week; who has left last first.
    pub fn gone(&self) -> Vec<GoneCluster> {
        let mut gone = self.gone.all();
        gone.retain(|gone| self.look(&gone.name, |_| ()).is_none());
        gone
    }

    /// No node of that cluster has been connected for so long, as a former process knew it.
    pub fn remember_gone(&self, name: &ClusterName, gone_for: Duration) {
        let is_here = || self.look(name, Cluster::is_empty) == Some(false);
        if is_here() {
            return;
        }
        self.gone.had_left(name, gone_for);
        // It may have come in between, and then nothing had to be removed.
        if is_here() {
            self.gone.is_back(name);
        }
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
        let mut cluster = Cluster::new(name.clone(), lock(&self.policies).policy(name));
        if let Some(until) = self.doubt_until.filter(|until| *until > self.clock.now()) {
            cluster.holder_unknown(until);
        }
        let cell = Arc::new(Cell {
            guarded: Mutex::new(Guarded {
                cluster,
                members: Vec::new(),
                order: 0,
                retired: false,
                timer: None,
                seen: Seen::default(),
                held: None,
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
        match (was_empty, guarded.cluster.is_empty()) {
            (true, false) => {
                guarded.order = self.created.fetch_add(1, Ordering::Relaxed);
                self.gone.is_back(guarded.cluster.name());
            }
            (false, true) => self.gone.left(guarded.cluster.name()),
            (true, true) | (false, false) => {}
        }
        let rest = self.deliver(guarded, actions.into_iter().map(Item::from), Outbox::push);
        if guarded.held.is_none() && guarded.cluster.forget_grant() {
            // Everybody has confirmed or was released: a restart must not wait for them again.
            if let Some(journal) = &*lock(&self.journal) {
                journal.clear(guarded.cluster.name().clone());
            }
        }
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
            // Whatever the policy is now: what was recorded under another one is over, too.
            if let Some(journal) = &*lock(&self.journal) {
                journal.clear(name.clone());
            }
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

    /// Carries out what concerns clients, in order. What is behind a record waits for it. Returns
    /// the rest.
    fn deliver(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        items: impl Iterator<Item = Item>,
        push: fn(&Outbox, Vec<u8>),
    ) -> Vec<Action> {
        let mut rest = Vec::new();
        for mut item in items {
            let is_vote = matches!(item.action, Action::Event(Event::Told { .. }));
            if is_vote && item.asked_at.is_none() {
                item.asked_at = Some(Observer::asked_at(&guarded.cluster, &guarded.seen));
            }
            match &item.action {
                // Whoever has not joined is told nothing that depends on a grant.
                Action::Send { to: conn, .. } | Action::Close { conn, .. }
                    if guarded.outbox(*conn).is_none() =>
                {
                    rest.push(item.action);
                    continue;
                }
                action if guarded.keeps_back(action) => {
                    guarded.hold(item);
                    continue;
                }
                _ => {}
            }
            match item.action {
                Action::Event(event) => {
                    guarded.note(&event);
                    if let Some(asked_at) = item.asked_at {
                        let latency = self.clock.now().since(asked_at);
                        self.observer.told(&event, latency);
                    }
                    rest.push(Action::Event(event));
                }
                Action::StartTls { .. } => rest.push(item.action),
                Action::Record(grant) => {
                    rest.push(Action::Record(grant.clone()));
                    self.record(guarded, grant);
                }
                Action::Send { to, message } => {
                    if let Some(outbox) = guarded.outbox(to) {
                        push(outbox, message.encode());
                    }
                }
                Action::Close { conn, reason } => {
                    if let Some(outbox) = guarded.outbox(conn) {
                        outbox.close(Closing::Engine(reason));
                    }
                }
            }
        }
        rest
    }

    fn record(self: &Arc<Self>, guarded: &mut Guarded, grant: Grant) {
        let policy = *guarded.cluster.policy();
        let journal = lock(&self.journal);
        let Some(journal) = journal.as_ref().filter(|_| policy.keeps_leases()) else {
            return;
        };
        // After a power failure everybody waits for as long as a usual lease lasts. A longer one,
        // or one without a limit, must not be lost by it.
        let endless =
            policy.lost_holder == LostHolder::Manual && grant.algorithm != Algorithm::FfSplit;
        let durable = endless || grant.heartbeats.values().any(|ms| *ms > USUAL_HEARTBEAT_MS);
        let record = self.records.fetch_add(1, Ordering::Relaxed);
        guarded.held = Some(Held::new(record));
        let (hub, name) = (Arc::downgrade(self), grant.cluster.clone());
        journal.record(grant, durable, move || {
            if let Some(hub) = hub.upgrade() {
                hub.recorded(&name, record);
            }
        });
    }

    /// A grant was written down: what waited for it leaves, up to the next one.
    fn recorded(self: &Arc<Self>, name: &ClusterName, record: u64) {
        let cell = lock(self.shard(name)).get(name).cloned();
        let Some(cell) = cell else { return };
        let mut guarded = lock(&cell.guarded);
        let Some(held) = guarded.held.take_if(|held| held.waits_for(record)) else {
            return;
        };
        let rest = self.deliver(&mut guarded, held.into_items(), Outbox::push_withheld);
        drop(guarded);
        telemetry::events::report(&rest, "");
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
    /// Whether the cluster has clients or leases, and is in the hub.
    fn is_there(&self) -> bool {
        !self.retired && !self.cluster.is_forgettable()
    }

    /// Adds the queue of a client that joined.
    pub(super) fn add(&mut self, conn: ConnId, outbox: &Arc<Outbox>) {
        if self.outbox(conn).is_none() {
            self.members.push(Member {
                conn,
                outbox: outbox.clone(),
                told: Told::default(),
            });
        }
    }

    /// Removes the queue of a client that left.
    pub(super) fn remove(&mut self, conn: ConnId) {
        self.members.retain(|member| member.conn != conn);
        if let Some(held) = &mut self.held {
            held.forget(conn);
        }
    }

    fn keeps_back(&self, action: &Action) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.keeps_back(action))
    }

    /// Keeps an action until the record before it is written. A client for whom too much is kept
    /// is closed, like one that does not read.
    fn hold(&mut self, item: Item) {
        let to = match item.action {
            Action::Send { to, .. } => self.outbox(to).cloned(),
            _ => None,
        };
        let limit = to.as_ref().map_or(0, |outbox| outbox.limit());
        let Some(held) = &mut self.held else { return };
        if let (Err(TooMuch), Some(outbox)) = (held.hold(item, &self.cluster, limit), to) {
            outbox.close(Closing::QueueFull);
        }
    }

    /// Takes note of what a client is told now.
    fn note(&mut self, event: &Event) {
        let (Event::Told { node, .. } | Event::Answered { node, .. }) = event else {
            return;
        };
        let Some(conn) = self.cluster.client(*node).map(|client| client.conn) else {
            return;
        };
        if let Some(member) = self.members.iter_mut().find(|member| member.conn == conn) {
            member.told.note(event);
        }
    }

    fn outbox(&self, conn: ConnId) -> Option<&Arc<Outbox>> {
        let mut members = self.members.iter();
        let member = members.find(|member| member.conn == conn)?;
        Some(&member.outbox)
    }

    /// What the nodes know at `now`.
    fn snapshot(&self, now: Time, journal_fails: bool) -> ClusterSnapshot {
        let mut snapshot = self.cluster.snapshot(now);
        snapshot.votes_stay = journal_fails && self.cluster.policy().keeps_leases();
        if let Some(held) = &self.held {
            held.correct(&mut snapshot, |node| {
                let conn = self.cluster.client(node)?.conn;
                let mut members = self.members.iter();
                let member = members.find(|member| member.conn == conn)?;
                Some(member.told)
            });
        }
        snapshot
    }
}

#[cfg(test)]
mod tests;
