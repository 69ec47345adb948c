//! Many clusters of two nodes, and what happens to them.

use crate::Failure;
use qarbiter::client::{ClientError, Connection, Node, NodeSettings, votes};
use qarbiter::engine::Verdict;
use qarbiter::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// The longest interval: heartbeats come when they are measured, not in between.
const HEARTBEAT_MS: u32 = 120_000;

/// How often a node that has its vote shows that it lives while others still join.
const SIGN_OF_LIFE: Duration = Duration::from_secs(40);

/// After that many broken connections of one node the server is at fault.
const MOST_REPEATS: u32 = 20;

/// The mean of a stock node's random delay is 2.25 s; the server's queue is empty long before.
const REPEAT_DELAY: Duration = Duration::from_millis(500);

/// Enough for a 99th percentile; a slow server gets fewer.
const SAMPLES: usize = 1000;

/// After this time a series of samples ends.
const SERIES: Duration = Duration::from_secs(15);

/// Sequence of the first ring of every cluster.
const FIRST_RING: u64 = 4;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// A cluster to be.
pub(crate) struct Site {
    pub(crate) name: ClusterName,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A cluster of two nodes.
struct Pair {
    one: Node,
    two: Node,
    ring: u64,
}

impl Pair {
    /// Each node sees only itself; back when both have been told.
    async fn split(&mut self) -> Result<(), Failure> {
        self.ring += 4;
        let (one, two) = (RingId::new(1, self.ring), RingId::new(2, self.ring));
        self.one.see(one, &[ONE]).await?;
        self.two.see(two, &[TWO]).await?;
        self.expect((Verdict::Ack, Verdict::Nack)).await
    }

    /// Both see each other again; back when both have been told.
    async fn heal(&mut self) -> Result<(), Failure> {
        self.ring += 4;
        let ring = RingId::new(1, self.ring);
        self.one.see(ring, &[ONE, TWO]).await?;
        self.two.see(ring, &[ONE, TWO]).await?;
        self.expect((Verdict::Ack, Verdict::Ack)).await
    }

    async fn expect(&mut self, expected: (Verdict, Verdict)) -> Result<(), Failure> {
        let told = votes(&mut self.one, &mut self.two).await?;
        if told == expected {
            return Ok(());
        }
        Err(format!("the nodes were told {told:?} where {expected:?} is right").into())
    }
}

/// Connects one node of a cluster; back when it has a vote.
async fn join(address: SocketAddr, site: &Site, id: NodeId) -> Result<Node, Failure> {
    let connection = Connection::open(address, &site.name, site.tls.clone()).await?;
    let settings = NodeSettings {
        node: id,
        algorithm: Algorithm::FfSplit,
        tie_breaker: TieBreaker::Lowest,
        heartbeat_ms: HEARTBEAT_MS,
        configured: vec![ONE, TWO],
        ring: RingId::new(1, FIRST_RING),
        members: vec![ONE, TWO],
    };
    let mut node = Node::join(connection, settings).await?;
    match node.vote().await? {
        Verdict::Ack => Ok(node),
        Verdict::Nack => Err(format!("node {id} of an undivided cluster got no vote").into()),
    }
}

/// As [`join`], but like a stock node it tries again when the connection breaks, which happens
/// where the server's queue of new connections is short. Also returns how often.
async fn insist(address: SocketAddr, site: &Site, id: NodeId) -> Result<(Node, u32), Failure> {
    let mut repeats = 0;
    loop {
        match join(address, site, id).await {
            Ok(node) => return Ok((node, repeats)),
            Err(error) if is_broken(&error) && repeats < MOST_REPEATS => repeats += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(REPEAT_DELAY).await;
    }
}

fn is_broken(error: &Failure) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ClientError::Connect { .. } | ClientError::Io(_) | ClientError::Closed)
    )
}

/// Keeps a node connected until `complete`.
async fn stay(mut node: Node, mut complete: watch::Receiver<bool>) -> Result<Node, Failure> {
    loop {
        let done = async { complete.wait_for(|complete| *complete).await.is_ok() };
        tokio::select! {
            _ = done => return Ok(node),
            () = tokio::time::sleep(SIGN_OF_LIFE) => node.heartbeat().await?,
        }
    }
}

/// How all nodes came to their votes.
pub(crate) struct Storm {
    /// The time until the last had one.
    pub(crate) took: Duration,
    /// Connections that broke on the way and were made again.
    pub(crate) repeats: u32,
}

/// Durations of one kind.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that at least `percent` of all don't exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

/// All clusters.
pub(crate) struct Fleet {
    pairs: Vec<Pair>,
}

impl Fleet {
    /// Connects all nodes at once, or `at_once` at a time.
    pub(crate) async fn assemble(
        address: SocketAddr,
        sites: Vec<Site>,
        at_once: usize,
    ) -> Result<(Self, Storm), Failure> {
        let count = 2 * sites.len();
        let places = Arc::new(Semaphore::new(match at_once {
            0 => count,
            some => some,
        }));
        let (complete, waiting) = watch::channel(false);
        let (voted, mut votes) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for (place, site) in sites.into_iter().enumerate() {
            let site = Arc::new(site);
            for id in [ONE, TWO] {
                let (site, places) = (site.clone(), places.clone());
                let (waiting, voted) = (waiting.clone(), voted.clone());
                tasks.spawn(async move {
                    let turn = places.acquire().await?;
                    let (node, repeated) = insist(address, &site, id).await?;
                    drop(turn);
                    voted.send(repeated)?;
                    Ok(((place, id), stay(node, waiting).await?))
                });
            }
        }
        let mut repeats = 0;
        for _ in 0..count {
            tokio::select! {
                repeated = votes.recv() => repeats += repeated.unwrap_or(0),
                Some(ended) = tasks.join_next() => drop(finished(ended)?),
            }
        }
        let took = start.elapsed();
        complete.send(true)?;
        let mut nodes = BTreeMap::new();
        while let Some(ended) = tasks.join_next().await {
            let (place, node) = finished(ended)?;
            nodes.insert(place, node);
        }
        // In the order of the keys the two nodes of a cluster stand side by side.
        let mut nodes = nodes.into_values();
        let mut pairs = Vec::with_capacity(count / 2);
        while let (Some(one), Some(two)) = (nodes.next(), nodes.next()) {
            let ring = FIRST_RING;
            pairs.push(Pair { one, two, ring });
        }
        let storm = Storm { took, repeats };
        Ok((Self { pairs }, storm))
    }

    /// One heartbeat after the other, each from another cluster: the round trips.
    pub(crate) async fn heartbeats(&mut self) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        let begin = Instant::now();
        let rounds = SAMPLES.div_ceil(self.pairs.len());
        for _ in 0..rounds {
            for pair in &mut self.pairs {
                if begin.elapsed() > SERIES || samples.count() >= 2 * SAMPLES {
                    return Ok(samples);
                }
                for node in [&mut pair.one, &mut pair.two] {
                    let start = Instant::now();
                    node.heartbeat().await?;
                    samples.0.push(start.elapsed());
                }
            }
        }
        Ok(samples)
    }

    /// One cluster after the other splits and heals while all others are quiet: the times until
    /// both nodes were told.
    pub(crate) async fn splits(&mut self) -> Result<(Samples, Samples), Failure> {
        let (mut splits, mut heals) = (Samples::default(), Samples::default());
        let begin = Instant::now();
        let rounds = SAMPLES.div_ceil(self.pairs.len());
        for _ in 0..rounds {
            for pair in &mut self.pairs {
                if begin.elapsed() > SERIES || splits.count() >= SAMPLES {
                    return Ok((splits, heals));
                }
                let start = Instant::now();
                pair.split().await?;
                splits.0.push(start.elapsed());
                let start = Instant::now();
                pair.heal().await?;
                heals.0.push(start.elapsed());
            }
        }
        Ok((splits, heals))
    }

    /// Half of all clusters split at the same time, and heal at the same time: the times until the
    /// last node was told.
    pub(crate) async fn half_splits(&mut self) -> Result<(Duration, Duration), Failure> {
        let half = self.pairs.len().div_ceil(2);
        let pairs: Vec<Pair> = self.pairs.drain(..half).collect();
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut pair in pairs {
            tasks.spawn(async move { pair.split().await.map(|()| pair) });
        }
        let mut pairs = Vec::with_capacity(half);
        while let Some(ended) = tasks.join_next().await {
            pairs.push(finished(ended)?);
        }
        let split = start.elapsed();
        let start = Instant::now();
        for mut pair in pairs {
            tasks.spawn(async move { pair.heal().await.map(|()| pair) });
        }
        while let Some(ended) = tasks.join_next().await {
            self.pairs.push(finished(ended)?);
        }
        Ok((split, start.elapsed()))
    }
}

/// What a task brought, whatever went wrong.
fn finished<T>(ended: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    ended?
}
