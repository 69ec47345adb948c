//! Watches a cluster from outside all the time, and finds moments at which two halves were quorate together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;
use crate::quorum::{Sample, Views};

/// Pause between two rounds over all nodes.
const PAUSE: Duration = Duration::from_millis(80);

/// A thread that asks every node in turn, until it is dropped.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to watch these nodes. A node that was destroyed yields samples without a view.
    pub(crate) fn start(nodes: Vec<(u32, Arc<Namespace>)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let thread = {
            let (stop, samples) = (Arc::clone(&stop), Arc::clone(&samples));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for (id, namespace) in &nodes {
                        let sample = Sample::take(*id, namespace);
                        samples.lock().unwrap().push(sample);
                    }
                    std::thread::sleep(PAUSE);
                }
            })
        };
        Self {
            stop,
            samples,
            thread: Some(thread),
        }
    }

    /// All samples so far, oldest first.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }

    /// The last view of each node whose last sample began after `since`.
    pub(crate) fn latest(&self, since: Instant) -> Views {
        let mut latest = BTreeMap::new();
        for sample in self.samples.lock().unwrap().iter() {
            if sample.begin < since {
                continue;
            }
            match &sample.view {
                Some(view) => latest.insert(sample.node, view.clone()),
                None => latest.remove(&sample.node),
            };
        }
        Views(latest)
    }

    /// When, after `begin`, a node was quorate with exactly this membership.
    pub(crate) fn quorate_since(&self, nodes: &[u32], begin: Instant) -> Vec<Duration> {
        let members: BTreeSet<u32> = nodes.iter().copied().collect();
        self.samples()
            .iter()
            .filter(|sample| sample.begin >= begin)
            .filter(|sample| {
                let view = sample.view.as_ref();
                view.is_some_and(|view| view.quorate && view.members == members)
            })
            .map(|sample| sample.begin - begin)
            .collect()
    }

    /// The moments at which two disjoint memberships were quorate, in words; empty is good.
    pub(crate) fn both_quorate(&self) -> Vec<String> {
        both_quorate(&self.samples())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Two nodes can't be asked at the same instant. So a node counts as quorate *throughout* a span only if two
/// consecutive samples of it agree, one before and one after; a sample of another node between those two that is
/// quorate with a disjoint membership is then a moment at which both were. Without this, a vote that moves properly
/// between two samples would look like a conflict.
fn both_quorate(samples: &[Sample]) -> Vec<String> {
    let mut by_node: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_node.entry(sample.node).or_default().push(sample);
    }
    let quorate = |sample: &Sample| sample.view.clone().filter(|view| view.quorate);
    let mut conflicts = Vec::new();
    for own in by_node.values() {
        for pair in own.windows(2) {
            let (Some(before), Some(after)) = (quorate(pair[0]), quorate(pair[1])) else {
                continue;
            };
            if before.members != after.members {
                continue;
            }
            for other in samples {
                let between = pair[0].end <= other.begin && other.end <= pair[1].begin;
                let rival = quorate(other)
                    .filter(|view| between && view.members.is_disjoint(&before.members));
                if let Some(view) = rival {
                    conflicts.push(format!(
                        "node {} was quorate with {:?} while node {} was quorate with {:?}, {:?} after the first sample",
                        pair[0].node,
                        before.members,
                        other.node,
                        view.members,
                        other.begin - samples[0].begin,
                    ));
                }
            }
        }
    }
    conflicts
}
