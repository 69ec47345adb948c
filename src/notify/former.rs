//! The clusters and nodes that former processes knew, from the history: so that a site which is
//! down across a restart of the arbiter is not forgotten.
//!
//! The limit is that of the history: a cluster of which it has no event and no decision left, or
//! that it never had because it is kept in memory only, is not known.

use super::derive::FORGET;
use crate::telemetry::history::Entry;
use crate::wire::ClusterName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A cluster of a former process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// Its name.
    pub name: ClusterName,
    /// Its nodes; at least one.
    pub nodes: Vec<FormerNode>,
}

/// One of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerNode {
    /// Node id.
    pub node: u32,
    /// For how long it has been gone.
    pub gone_for: Duration,
    /// How it left, in words.
    pub how: String,
}

/// The last that is known of a node.
struct Last {
    /// The process that it was in.
    epoch: u64,
    /// When it left, milliseconds since 1970, and how.
    left: Option<(u64, String)>,
}

/// The clusters of which a node was connected within the last week. `entries` are all
/// that the history has, the oldest first.
pub fn clusters(entries: &[Entry], now_unix_ms: u64) -> Vec<Former> {
    let mut all: BTreeMap<ClusterName, BTreeMap<u32, Last>> = BTreeMap::new();
    // A process has the time of its start for a number.
    let mut epochs = BTreeSet::new();
    for entry in entries {
        epochs.insert(entry.epoch);
        let Some(event) = entry.event() else { continue };
        // What is printed of a name may be another name.
        let printed = event.cluster.map(|name| ClusterName::new(name.as_bytes()));
        let Some(cluster) = entry.cluster.clone().or(printed) else {
            continue;
        };
        let epoch = entry.epoch;
        let nodes = all.entry(cluster).or_default();
        match (event.kind.as_str(), event.node) {
            ("node_joined", Some(node)) => {
                nodes.insert(node, Last { epoch, left: None });
            }
            ("node_left", Some(node)) => {
                let left = Some((event.unix_ms, event.message));
                nodes.insert(node, Last { epoch, left });
            }
            _ => {
                // Its event may be gone already.
                let inputs = event.decision.map(|decision| decision.inputs);
                for input in inputs.unwrap_or_default() {
                    nodes.insert(input.node, Last { epoch, left: None });
                }
            }
        }
    }
    let ended = |epoch: u64| {
        let next = epochs.range(epoch.saturating_add(1)..).next();
        next.copied().unwrap_or(now_unix_ms)
    };
    let clusters = all.into_iter().map(|(name, nodes)| {
        let nodes = nodes.into_iter().map(|(node, last)| {
            let (at, how) = last.left.unwrap_or_else(|| {
                let how = "it was connected when the arbiter ended, and has not come back";
                (ended(last.epoch), how.to_owned())
            });
            FormerNode {
                node,
                gone_for: Duration::from_millis(now_unix_ms.saturating_sub(at)),
                how,
            }
        });
        Former {
            name,
            nodes: nodes.filter(|node| node.gone_for < FORGET).collect(),
        }
    });
    clusters.filter(|former| !former.nodes.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;
    use prost::Message as _;

    const HOUR_MS: u64 = 60 * 60 * 1000;

    fn entry(epoch: u64, kind: &str, cluster: &str, node: u32, unix_ms: u64) -> Entry {
        let decision = (kind == "vote_decided").then(|| v1::Decision {
            inputs: vec![v1::DecisionInput {
                node,
                ..v1::DecisionInput::default()
            }],
            ..v1::Decision::default()
        });
        let event = v1::Event {
            unix_ms,
            kind: kind.to_owned(),
            cluster: Some(cluster.to_owned()),
            node: decision.is_none().then_some(node),
            message: format!("{kind} {node}"),
            decision,
            ..v1::Event::default()
        };
        Entry {
            epoch,
            number: 1,
            decision: None,
            cluster: None,
            message: event.encode_to_vec().into(),
        }
    }

    #[test]
    fn the_last_that_is_known_of_each_node_counts() {
        let week = 7 * 24 * HOUR_MS;
        let (first, second, now) = (week * 10, week * 12, week * 12 + HOUR_MS);
        let entries = [
            // Gone when the first process was, two weeks ago.
            entry(first, "node_joined", "old", 1, first + 1),
            // Left well in the first, and long ago.
            entry(first, "node_joined", "site", 3, first + 1),
            entry(first, "node_left", "site", 3, first + 2),
            entry(week * 11, "arbiter_started", "", 0, week * 11),
            // Only a decision is left of it.
            entry(second, "vote_decided", "quiet", 7, second + 1),
            entry(second, "node_joined", "site", 1, second + 1),
            entry(second, "node_joined", "site", 2, second + 1),
            entry(second, "node_left", "site", 2, second + HOUR_MS / 2),
            entry(now - 5, "arbiter_started", "", 0, now - 5),
        ];
        let mut unprintable = entry(second, "node_joined", "\\xff", 1, second + 1);
        unprintable.cluster = Some(ClusterName::new(b"\xff"));
        assert_eq!(clusters(&[unprintable], now)[0].name.as_bytes(), b"\xff");
        let found = clusters(&entries, now);
        let nodes = |place: usize| {
            let nodes = found[place].nodes.iter();
            let nodes = nodes.map(|n| (n.node, n.gone_for.as_millis(), n.how.as_str()));
            (found[place].name.to_string(), nodes.collect::<Vec<_>>())
        };
        let how = "it was connected when the arbiter ended, and has not come back";
        assert_eq!(nodes(0), ("quiet".to_owned(), vec![(7, 5, how)]));
        let half = u128::from(HOUR_MS / 2);
        let site = vec![(1, 5, how), (2, half, "node_left 2")];
        assert_eq!(nodes(1), ("site".to_owned(), site));
        assert_eq!(found.len(), 2);
    }
}
