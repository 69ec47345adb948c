//! `GET /metrics`: what is counted, and the state of every cluster, as Prometheus reads it.
//!
//! The text about clusters is made piece by piece while it is sent, so that thousands of clusters
//! take no more room than their numbers, and other requests get a turn in between.

mod clusters;
mod text;

use super::certificates;
use super::state::State;
use crate::journal::Health;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clusters::{Pieces, Row};
use http_body::Frame;
use prometheus::{TEXT_FORMAT, TextEncoder};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use text::{Kind, head, number};
use tokio::sync::OwnedSemaphorePermit;

/// Text that is made at a time, bytes.
const PIECE: usize = 32 * 1024;

/// How long somebody may take to read it all.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer. It keeps its place until it has been sent.
pub(super) fn response(state: &State, place: OwnedSemaphorePermit) -> Response {
    let text = Text {
        first: Some(overall(state)),
        clusters: Pieces::new(rows(state)),
        deadline: Instant::now() + PATIENCE,
        _place: place,
    };
    ([(CONTENT_TYPE, TEXT_FORMAT)], Body::new(text)).into_response()
}

fn rows(state: &State) -> Vec<Row> {
    let hub = &state.shared.hub;
    let now = hub.clock().now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall = wall.unwrap_or_default().as_secs_f64();
    let rows = hub.snapshots().into_iter();
    rows.map(|cluster| Row::new(cluster, now, wall)).collect()
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
            "qarbiter_clusters_gone",
            "Clusters whose nodes have all left and have not come back for a week at most. At most 1000, and those of before a restart from a minute after it.",
            state.shared.gone_clusters().len(),
        ),
        (
            "qarbiter_nodes",
            "Nodes that have joined their cluster.",
            clients.iter().sum(),
        ),
    ];
    for (name, help, value) in gauges {
        head(&mut text, name, Kind::Gauge, help);
        number(&mut text, name, format_args!(""), value);
    }
    journal(&mut text, state);
    own_certificates(&mut text, state);
    cluster_certificates(&mut text, state);
    text
}

fn journal(text: &mut String, state: &State) {
    let hub = &state.shared.hub;
    let (Some(health), Some(figures)) = (hub.journal_health(), hub.journal_figures()) else {
        return;
    };
    let all = [
        (
            "qarbiter_journal_up",
            Kind::Gauge,
            "Whether what must survive a restart can be written down.",
            u64::from(health == Health::Good),
        ),
        (
            "qarbiter_journal_pending_records",
            Kind::Gauge,
            "Records that are being written, and that votes wait for.",
            figures.pending,
        ),
        (
            "qarbiter_journal_failures_total",
            Kind::Counter,
            "Attempts to write the journal that failed.",
            figures.failures,
        ),
        (
            "qarbiter_journal_size_bytes",
            Kind::Gauge,
            "Length of the journal when it was last written.",
            figures.bytes,
        ),
        (
            "qarbiter_journal_last_write_timestamp_seconds",
            Kind::Gauge,
            "When the journal was last written; only changes of a vote's holder are.",
            figures.written_unix,
        ),
    ];
    for (name, kind, help, value) in all {
        head(text, name, kind, help);
        number(text, name, format_args!(""), value);
    }
}

fn own_certificates(text: &mut String, state: &State) {
    const NAME: &str = "qarbiter_certificate_expiry_timestamp_seconds";
    let certificates = certificates::list(&state.shared);
    if !certificates.is_empty() {
        let help = "When a certificate of the arbiter ends.";
        head(text, NAME, Kind::Gauge, help);
    }
    for (at, certificate) in certificates.iter().enumerate() {
        // A chain has one server and may have several CAs.
        let role = match (certificate.role.as_str(), at) {
            (role, 0 | 1) => role.to_owned(),
            (role, at) => format!("{role}_{at}"),
        };
        number(
            text,
            NAME,
            format_args!("certificate=\"{role}\""),
            certificate.not_after_unix,
        );
    }
}

fn cluster_certificates(text: &mut String, state: &State) {
    const NAME: &str = "qarbiter_cluster_certificate_expiry_timestamp_seconds";
    let ends = state.shared.guests.cluster_ends();
    if !ends.is_empty() {
        let help = "When the first certificate ends that the nodes of a cluster depend on.";
        head(text, NAME, Kind::Gauge, help);
    }
    for (cluster, end) in ends {
        let cluster = text::label(cluster.as_bytes());
        number(text, NAME, format_args!("cluster=\"{cluster}\""), end.0);
    }
}

/// The text, made while it is sent.
struct Text {
    first: Option<String>,
    clusters: Pieces,
    deadline: Instant,
    _place: OwnedSemaphorePermit,
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
        let piece = self.first.take();
        let piece = piece.or_else(|| self.clusters.next(PIECE));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}
