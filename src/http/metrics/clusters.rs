//! What is said about every cluster and its nodes.
//!
//! Labels are the cluster's name, node ids, and words out of short lists: never ring ids, never
//! sentences.

use super::text::{Kind, head, number};
use crate::advice::{Level, Warning, health, warnings};
use crate::engine::Time;
use crate::engine::explain::Rule;
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot};
use crate::telemetry::observer::outcome;
use std::cell::OnceCell;
use std::fmt::Display;

/// A cluster and how its series are marked.
pub(super) struct Row {
    /// `cluster="..."`.
    label: String,
    cluster: ClusterSnapshot,
    decided_at: Option<f64>,
    judged: OnceCell<Judged>,
}

/// What takes a while to find out, so it is done while the text is sent.
struct Judged {
    level: Level,
    warnings: Vec<Warning>,
}

impl Row {
    /// `now` is the engine's clock, and `wall` the same moment in seconds since 1970.
    pub(super) fn new(cluster: ClusterSnapshot, now: Time, wall: f64) -> Self {
        let decided_at = cluster.outcome.as_ref().and_then(|made| {
            let never = made.at == Time::ZERO;
            (!never).then(|| wall - now.since(made.at).as_secs_f64())
        });
        Self {
            label: format!(
                "cluster=\"{}\"",
                super::text::label(cluster.name.as_bytes())
            ),
            cluster,
            decided_at,
            judged: OnceCell::new(),
        }
    }

    fn judged(&self) -> &Judged {
        self.judged.get_or_init(|| Judged {
            level: health(&self.cluster).level,
            warnings: warnings(&self.cluster),
        })
    }

    fn line(&self, text: &mut String, name: &str, value: impl Display) {
        number(text, name, format_args!("{}", self.label), value);
    }

    fn lines<V: Display>(
        &self,
        text: &mut String,
        name: &str,
        value: impl Fn(&ClientSnapshot) -> V,
    ) {
        for client in &self.cluster.clients {
            let node = client.node.0;
            self.node(text, name, node, value(client));
        }
    }

    fn node(&self, text: &mut String, name: &str, node: u32, value: impl Display) {
        number(
            text,
            name,
            format_args!("{},node=\"{node}\"", self.label),
            value,
        );
    }
}

/// The rule behind the present decision; where every node is decided on by itself, that of a node
/// which has the vote, or else of any.
fn rule(cluster: &ClusterSnapshot) -> Option<(&'static str, &'static str)> {
    if let Some(decision) = &cluster.outcome {
        return Some((decision.rule.name(), outcome(decision).name()));
    }
    let mut clients = cluster.clients.iter();
    let holder = clients.clone().find(|client| client.has_vote());
    let why = |client: &ClientSnapshot| client.why.as_deref().map(Rule::name);
    let rule = holder.map_or_else(|| clients.find_map(why), why)?;
    Some((
        rule,
        if holder.is_some() {
            "granted"
        } else {
            "nobody"
        },
    ))
}

/// Writes the lines of one cluster.
type Lines = fn(&mut String, &str, &Row);

/// A metric that every cluster has: its name, its meaning, its lines.
type Family = (&'static str, &'static str, Lines);

/// All of them, in the order in which they are sent.
pub(super) const FAMILIES: [Family; 21] = [
    (
        "qarbiter_cluster_info",
        "How the cluster is decided on.",
        |text, name, row| {
            let algorithm = row.cluster.algorithm.config_name();
            let rules = row.cluster.policy.rules.name();
            let label = &row.label;
            number(
                text,
                name,
                format_args!("{label},algorithm=\"{algorithm}\",rules=\"{rules}\""),
                1,
            );
        },
    ),
    (
        "qarbiter_cluster_health",
        "0: in order; 1: degraded, a part runs; 2: critical, as far as the arbiter sees.",
        |text, name, row| row.line(text, name, row.judged().level as u8),
    ),
    (
        "qarbiter_cluster_nodes_configured",
        "Nodes that the cluster's nodes have configured.",
        |text, name, row| row.line(text, name, row.cluster.configured()),
    ),
    (
        "qarbiter_cluster_nodes_connected",
        "Nodes of the cluster that are connected.",
        |text, name, row| row.line(text, name, row.cluster.clients.len()),
    ),
    (
        "qarbiter_cluster_nodes_absent",
        "Nodes that others have configured and that are not connected.",
        |text, name, row| row.line(text, name, row.cluster.absent.len()),
    ),
    (
        "qarbiter_cluster_partitions",
        "Sets of nodes that see each other, no node in two of them; more than 1 is a split.",
        |text, name, row| row.line(text, name, row.cluster.partitions().len()),
    ),
    (
        "qarbiter_cluster_vote_held",
        "Whether a node was told that it has the vote.",
        |text, name, row| {
            let is_held = row.cluster.holders().next().is_some();
            row.line(text, name, u8::from(is_held));
        },
    ),
    (
        "qarbiter_cluster_vote_waiting",
        "Whether a partition should have the vote and can't have it yet.",
        |text, name, row| {
            let waits = row.cluster.waiting().is_some();
            row.line(text, name, u8::from(waits));
        },
    ),
    (
        "qarbiter_cluster_leases",
        "Nodes that can't be reached and may still cast the vote.",
        |text, name, row| row.line(text, name, row.cluster.leases.len()),
    ),
    (
        "qarbiter_cluster_decision_info",
        "The rule and the outcome of the present decision.",
        |text, name, row| {
            if let Some((rule, outcome)) = rule(&row.cluster) {
                let label = &row.label;
                number(
                    text,
                    name,
                    format_args!("{label},rule=\"{rule}\",outcome=\"{outcome}\""),
                    1,
                );
            }
        },
    ),
    (
        "qarbiter_cluster_decision_timestamp_seconds",
        "When the last decision was taken.",
        |text, name, row| {
            if let Some(at) = row.decided_at {
                row.line(text, name, format_args!("{at:.3}"));
            }
        },
    ),
    (
        "qarbiter_cluster_expected_votes",
        "Votes of all nodes and of the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                row.line(text, name, sums.expected_votes);
            }
        },
    ),
    (
        "qarbiter_cluster_quorum_votes",
        "Votes that the cluster needs.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                row.line(text, name, sums.quorum);
            }
        },
    ),
    (
        "qarbiter_cluster_device_votes",
        "Votes of the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                row.line(text, name, sums.device_votes);
            }
        },
    ),
    (
        "qarbiter_cluster_tolerated_failures",
        "Node failures that the rest of a complete cluster survives, with and without the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                for (arbiter, failures) in [
                    ("with", sums.tolerated_with_arbiter),
                    ("without", sums.tolerated_without_arbiter),
                ] {
                    number(
                        text,
                        name,
                        format_args!("{},arbiter=\"{arbiter}\"", row.label),
                        failures,
                    );
                }
            }
        },
    ),
    (
        "qarbiter_cluster_warnings",
        "Things about the cluster that its operator should know; the API has the words.",
        |text, name, row| row.line(text, name, row.judged().warnings.len()),
    ),
    (
        "qarbiter_cluster_warning",
        "1 for each kind of warning that the cluster has now.",
        |text, name, row| {
            let mut kinds: Vec<&str> = row.judged().warnings.iter().map(Warning::kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                number(text, name, format_args!("{},kind=\"{kind}\"", row.label), 1);
            }
        },
    ),
    (
        "qarbiter_node_connected",
        "Whether a node is connected; those that others have configured are expected.",
        |text, name, row| {
            row.lines(text, name, |_| 1);
            for absent in &row.cluster.absent {
                row.node(text, name, absent.node.0, 0);
            }
        },
    ),
    (
        "qarbiter_node_has_vote",
        "Whether a connected node was told that it has the vote in its present membership.",
        |text, name, row| row.lines(text, name, |client| u8::from(client.has_vote())),
    ),
    (
        "qarbiter_node_heartbeat_age_seconds",
        "How long ago the last heartbeat of a connected node was answered.",
        |text, name, row| {
            row.lines(text, name, |client| {
                let ms = client.heartbeat_age.as_millis();
                Thousandths(ms)
            });
        },
    ),
    (
        "qarbiter_node_certificate_verified",
        "Whether a connected node has shown a certificate for its cluster.",
        |text, name, row| row.lines(text, name, |client| u8::from(client.peer.verified)),
    ),
];

/// Milliseconds as seconds; much faster than a floating-point number.
struct Thousandths(u128);

impl Display for Thousandths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// The next piece of the text about all clusters: where it went on before, and the head of every
/// metric that begins in it.
pub(super) struct Pieces {
    rows: Vec<Row>,
    family: usize,
    row: usize,
}

impl Pieces {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self {
            rows,
            family: 0,
            row: 0,
        }
    }

    /// Some `size` bytes; `None` at the end.
    pub(super) fn next(&mut self, size: usize) -> Option<String> {
        if self.rows.is_empty() {
            return None;
        }
        let mut text = String::with_capacity(size + 1024);
        while let Some((name, help, lines)) = FAMILIES.get(self.family) {
            if self.row == 0 {
                head(&mut text, name, Kind::Gauge, help);
            }
            for row in self.rows.get(self.row..).unwrap_or_default() {
                lines(&mut text, name, row);
                self.row += 1;
                if text.len() >= size {
                    return Some(text);
                }
            }
            self.family += 1;
            self.row = 0;
        }
        (!text.is_empty()).then_some(text)
    }
}
