//! `GET /metrics`: what is counted, and the state of every cluster, as Prometheus reads it.
//!
//! The text about clusters is made piece by piece while it is sent, so that thousands of clusters
//! take no more room than their numbers, and other requests get a turn in between.

use super::certificates;
use super::state::State;
use crate::advice::warnings;
use crate::engine::Time;
use crate::engine::snapshot::ClusterSnapshot;
use crate::journal::Health;
use crate::wire::ClusterName;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use prometheus::{TEXT_FORMAT, TextEncoder};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::OwnedSemaphorePermit;

/// Text that is made at a time, bytes.
const PIECE: usize = 32 * 1024;

/// How long somebody may take to read it all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest name of a cluster that is shown whole, bytes.
const LONGEST: usize = 128;

/// The answer. It keeps its place until it has been sent.
pub(super) fn response(state: &State, place: OwnedSemaphorePermit) -> Response {
    let text = Text {
        first: Some(overall(state)),
        rows: rows(state),
        family: 0,
        row: 0,
        deadline: Instant::now() + PATIENCE,
        _place: place,
    };
    ([(CONTENT_TYPE, TEXT_FORMAT)], Body::new(text)).into_response()
}

/// A cluster and how its series are marked.
struct Row {
    label: String,
    cluster: ClusterSnapshot,
    decided_at: Option<f64>,
}

fn rows(state: &State) -> Vec<Row> {
    let hub = &state.shared.hub;
    let now = hub.clock().now();
    let wall = unix_seconds();
    let seen = hub.visit(|cluster| cluster.snapshot(now));
    let row = |cluster: ClusterSnapshot| Row {
        label: format!("cluster=\"{}\"", label(&cluster.name)),
        decided_at: cluster.outcome.as_ref().and_then(|made| {
            let never = made.at == Time::ZERO;
            (!never).then(|| wall - now.since(made.at).as_secs_f64())
        }),
        cluster,
    };
    seen.into_iter().map(row).collect()
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// A name as the value of a label. Different names have different labels: what can't be shown as it
/// is has a number of its own behind it.
fn label(name: &ClusterName) -> String {
    let shown = std::str::from_utf8(name.as_bytes())
        .ok()
        .filter(|text| text.len() <= LONGEST && !text.chars().any(char::is_control));
    match shown {
        Some(text) => escaped(text),
        None => {
            let digest = Sha256::digest(name.as_bytes());
            let start = digest.iter().take(8);
            let number = start.fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            escaped(&format!("{name}#{number:016x}"))
        }
    }
}

/// As the text format wants it: backslash, quote and line feed.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What is not about single clusters.
fn overall(state: &State) -> String {
    let mut text = String::new();
    let counted = TextEncoder::new().encode_utf8(&state.metrics().gather(), &mut text);
    if let Err(error) = counted {
        tracing::error!("metrics can't be shown: {error}");
    }
    let clients = state.shared.hub.visit(|cluster| cluster.clients());
    let gauges = [
        (
            "qarbiter_connections",
            "Connections to the vote port.",
            state.shared.connected(),
        ),
        (
            "qarbiter_clusters",
            "Clusters with nodes, or with lost nodes that may still cast a vote.",
            clients.len(),
        ),
        (
            "qarbiter_nodes",
            "Nodes that have joined their cluster.",
            clients.iter().sum(),
        ),
    ];
    for (name, help, value) in gauges {
        head(&mut text, name, help);
        line(&mut text, name, "", value);
    }
    const JOURNAL: &str = "qarbiter_journal_up";
    if let Some(health) = state.shared.hub.journal_health() {
        head(
            &mut text,
            JOURNAL,
            "Whether what must survive a restart can be written down.",
        );
        line(&mut text, JOURNAL, "", u8::from(health == Health::Good));
    }
    const EXPIRY: &str = "qarbiter_certificate_expiry_timestamp_seconds";
    let certificates = certificates::list(&state.shared);
    if !certificates.is_empty() {
        head(&mut text, EXPIRY, "When a certificate of the arbiter ends.");
    }
    for (at, certificate) in certificates.iter().enumerate() {
        // A chain has one server and may have several CAs.
        let role = match (certificate.role.as_str(), at) {
            (role, 0 | 1) => role.to_owned(),
            (role, at) => format!("{role}_{at}"),
        };
        let labels = format!("certificate=\"{role}\"");
        line(&mut text, EXPIRY, &labels, certificate.not_after_unix);
    }
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        _ => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// Writes the lines of one cluster.
type Lines = fn(&mut String, &str, &Row);

/// A metric that every cluster has: its name, its meaning, its lines.
type Family = (&'static str, &'static str, Lines);

const FAMILIES: [Family; 18] = [
    (
        "qarbiter_cluster_info",
        "How the cluster is decided on.",
        |text, name, row| {
            let cluster = &row.cluster;
            let labels = format!(
                "{},algorithm=\"{}\",rules=\"{}\"",
                row.label,
                cluster.algorithm.config_name(),
                cluster.policy.rules.name()
            );
            line(text, name, &labels, 1);
        },
    ),
    (
        "qarbiter_cluster_nodes_configured",
        "Nodes that the cluster's nodes have configured.",
        |text, name, row| line(text, name, &row.label, row.cluster.configured()),
    ),
    (
        "qarbiter_cluster_nodes_connected",
        "Nodes of the cluster that are connected.",
        |text, name, row| line(text, name, &row.label, row.cluster.clients.len()),
    ),
    (
        "qarbiter_cluster_nodes_absent",
        "Nodes that others have configured and that are not connected.",
        |text, name, row| line(text, name, &row.label, row.cluster.absent.len()),
    ),
    (
        "qarbiter_cluster_partitions",
        "Sets of nodes that see each other; more than 1 is a split.",
        |text, name, row| line(text, name, &row.label, row.cluster.partitions().len()),
    ),
    (
        "qarbiter_cluster_vote_held",
        "Whether a node was told that it has the vote.",
        |text, name, row| {
            let is_held = row.cluster.holders().next().is_some();
            line(text, name, &row.label, u8::from(is_held));
        },
    ),
    (
        "qarbiter_cluster_vote_waiting",
        "Whether a partition should have the vote and can't have it yet.",
        |text, name, row| {
            let waits = row.cluster.waiting().is_some();
            line(text, name, &row.label, u8::from(waits));
        },
    ),
    (
        "qarbiter_cluster_leases",
        "Nodes that can't be reached and may still cast the vote.",
        |text, name, row| line(text, name, &row.label, row.cluster.leases.len()),
    ),
    (
        "qarbiter_cluster_decision_timestamp_seconds",
        "When the last decision was taken.",
        |text, name, row| {
            if let Some(at) = row.decided_at {
                line(text, name, &row.label, format_args!("{at:.3}"));
            }
        },
    ),
    (
        "qarbiter_cluster_expected_votes",
        "Votes of all nodes and of the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                line(text, name, &row.label, sums.expected_votes);
            }
        },
    ),
    (
        "qarbiter_cluster_quorum_votes",
        "Votes that the cluster needs.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                line(text, name, &row.label, sums.quorum);
            }
        },
    ),
    (
        "qarbiter_cluster_device_votes",
        "Votes of the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                line(text, name, &row.label, sums.device_votes);
            }
        },
    ),
    (
        "qarbiter_cluster_tolerated_failures",
        "Node failures that the rest of a complete cluster survives, with and without the arbiter.",
        |text, name, row| {
            if let Some(sums) = row.cluster.arithmetic {
                let with = format!("{},arbiter=\"with\"", row.label);
                line(text, name, &with, sums.tolerated_with_arbiter);
                let without = format!("{},arbiter=\"without\"", row.label);
                line(text, name, &without, sums.tolerated_without_arbiter);
            }
        },
    ),
    (
        "qarbiter_cluster_warnings",
        "Things about the cluster that its operator should know; the API says which.",
        |text, name, row| line(text, name, &row.label, warnings(&row.cluster).len()),
    ),
    (
        "qarbiter_node_connected",
        "Whether a node is connected; those that others have configured are expected.",
        |text, name, row| {
            for client in &row.cluster.clients {
                let labels = format!("{},node=\"{}\"", row.label, client.node);
                line(text, name, &labels, 1);
            }
            for absent in &row.cluster.absent {
                let labels = format!("{},node=\"{}\"", row.label, absent.node);
                line(text, name, &labels, 0);
            }
        },
    ),
    (
        "qarbiter_node_has_vote",
        "Whether a connected node was told that it has the vote in its present membership.",
        |text, name, row| {
            for client in &row.cluster.clients {
                let labels = format!("{},node=\"{}\"", row.label, client.node);
                line(text, name, &labels, u8::from(client.has_vote()));
            }
        },
    ),
    (
        "qarbiter_node_heartbeat_age_seconds",
        "How long ago the last heartbeat of a connected node was answered.",
        |text, name, row| {
            for client in &row.cluster.clients {
                let labels = format!("{},node=\"{}\"", row.label, client.node);
                let age = client.heartbeat_age.as_secs_f64();
                line(text, name, &labels, format_args!("{age:.3}"));
            }
        },
    ),
    (
        "qarbiter_node_certificate_verified",
        "Whether a connected node has shown a certificate for its cluster.",
        |text, name, row| {
            for client in &row.cluster.clients {
                let labels = format!("{},node=\"{}\"", row.label, client.node);
                line(text, name, &labels, u8::from(client.peer.verified));
            }
        },
    ),
];

/// The text, made while it is sent.
struct Text {
    first: Option<String>,
    rows: Vec<Row>,
    family: usize,
    row: usize,
    deadline: Instant,
    _place: OwnedSemaphorePermit,
}

impl Text {
    fn next_piece(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.rows.is_empty() {
            return None;
        }
        let mut text = String::new();
        while let Some((name, help, lines)) = FAMILIES.get(self.family) {
            if self.row == 0 {
                head(&mut text, name, help);
            }
            for row in self.rows.get(self.row..).unwrap_or_default() {
                lines(&mut text, name, row);
                self.row += 1;
                if text.len() >= PIECE {
                    return Some(text);
                }
            }
            self.family += 1;
            self.row = 0;
        }
        (!text.is_empty()).then_some(text)
    }
}

impl http_body::Body for Text {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if Instant::now() > self.deadline {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let piece = self.next_piece();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_have_different_labels() {
        let long = |last: char| format!("{}{last}", "x".repeat(200));
        let names = [
            b"plain".to_vec(),
            b"with \"quotes\" and \\".to_vec(),
            long('a').into_bytes(),
            long('b').into_bytes(),
            b"\xff".to_vec(),
            b"\\xff".to_vec(),
            b"line\nfeed".to_vec(),
            b"line\\nfeed".to_vec(),
            b"".to_vec(),
        ];
        let labels: Vec<String> = names.iter().map(|n| label(&ClusterName::new(n))).collect();
        for (at, one) in labels.iter().enumerate() {
            assert!(one.len() < 300 && !one.contains('\n'), "{one}");
            assert!(
                !labels.iter().skip(at + 1).any(|other| other == one),
                "{one}"
            );
        }
        assert_eq!(labels[0], "plain");
        assert_eq!(labels[1], "with \\\"quotes\\\" and \\\\");
    }
}
