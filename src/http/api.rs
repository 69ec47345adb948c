//! The requests, one function each.

use super::certificates::{self as certificate_facts, hex};
use super::reply::Form;
use super::state::State;
use super::{health, metrics as metrics_text, resources};
use crate::engine::snapshot::ClusterSnapshot;
use crate::ipc::server::warnings;
use crate::proto::v1;
use crate::telemetry::events;
use crate::telemetry::history::unix_ms;
use crate::wire::{ClusterName, TlsSupport};
use axum::extract::{Query, State as Of};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a look at everything is good for.
const READY_FOR: Duration = Duration::from_secs(1);

/// Clusters or decisions in an answer, unless asked otherwise.
const USUAL: usize = 100;

/// Most clusters, decisions or events in an answer.
pub(super) const MOST: usize = 1000;

/// Longest value of a parameter that is looked at, bytes.
const LONGEST: usize = 4096;

type Shared = Of<Arc<State>>;

/// `GET /metrics`.
pub(super) async fn metrics(form: Form, Of(state): Shared) -> Response {
    match state.big_answers.clone().try_acquire_owned() {
        Ok(place) => metrics_text::response(&state, place),
        Err(_) => busy(&state, form),
    }
}

/// `GET /healthz`.
pub(super) async fn healthz(form: Form, Of(state): Shared) -> Response {
    health_reply(form, &health::live(&state.votes).await)
}

/// `GET /readyz`.
pub(super) async fn readyz(form: Form, Of(state): Shared) -> Response {
    health_reply(form, &ready(&state).await)
}

/// The state of everything, at most a second old. Whoever asks meanwhile waits for one look.
async fn ready(state: &State) -> v1::Health {
    let mut last = state.ready.lock().await;
    if let Some((at, health)) = &*last {
        if at.elapsed() < READY_FOR {
            return health.clone();
        }
    }
    let health = health::ready(&state.shared, &state.votes).await;
    *last = Some((Instant::now(), health.clone()));
    health
}

fn health_reply(form: Form, health: &v1::Health) -> Response {
    let status = if health.ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    form.reply_with(status, health)
}

/// `GET /api/v1/openapi.json`.
pub(super) async fn openapi() -> Response {
    let document = include_str!("openapi.json");
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// `GET /api/v1/arbiter`.
pub(super) async fn arbiter(form: Form, Of(state): Shared) -> Response {
    let clients = state.shared.hub.visit(|cluster| cluster.clients());
    let live = state.shared.live();
    let address = state.shared.address();
    let last = state.history.last_event();
    form.reply(&v1::Arbiter {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: unix_ms(state.history.started()),
        vote_address: address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        tls: match live.settings.session.tls {
            TlsSupport::Required => "required",
            TlsSupport::Supported => "supported",
            TlsSupport::Unsupported => "unsupported",
        }
        .to_owned(),
        client_certificates_required: live.settings.session.client_cert_required,
        connections: state.shared.connected() as u64,
        clusters: clients.len() as u64,
        nodes: clients.iter().sum::<usize>() as u64,
        health: Some(ready(&state).await),
        last_event: (last > 0).then(|| state.history.id(last)),
        warnings: warnings(&state.shared, &live),
    })
}

/// `GET /api/v1/certificates`.
pub(super) async fn certificates(form: Form, Of(state): Shared) -> Response {
    form.reply(&v1::CertificateList {
        certificates: certificate_facts::list(&state.shared),
    })
}

/// What a list of decisions can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    #[serde(default)]
    limit: Option<String>,
}

/// The number of things that are asked for.
pub(super) fn limit(text: Option<&str>, usual: usize) -> Result<usize, String> {
    let Some(text) = text else { return Ok(usual) };
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("limit must be a number from 1 to {MOST}"))
}

/// What the list of clusters can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    #[serde(default)]
    limit: Option<String>,
    #[serde(default)]
    after: Option<String>,
}

/// `GET /api/v1/clusters`.
pub(super) async fn clusters(
    form: Form,
    Of(state): Shared,
    uri: Uri,
    query: Result<Query<Paging>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(paging)) = query else {
        return form.problem(StatusCode::BAD_REQUEST, "the query can't be read");
    };
    let most = match limit(paging.limit.as_deref(), USUAL) {
        Ok(most) => most,
        Err(wrong) => return form.problem(StatusCode::BAD_REQUEST, wrong),
    };
    // A path can't have every name: browsers take `..` out of it.
    match cluster_asked_for(&uri, "name") {
        Ok(None) => {}
        Ok(Some(name)) => return one(form, &state, &name),
        Err(wrong) => return form.problem(StatusCode::BAD_REQUEST, wrong),
    }
    let after = match paging.after.as_deref().map(page_end) {
        None => None,
        Some(Some(after)) => Some(after),
        Some(None) => {
            let wrong = "after must be what another page has as next";
            return form.problem(StatusCode::BAD_REQUEST, wrong);
        }
    };
    let hub = &state.shared.hub;
    let mut names = hub.visit(|cluster| cluster.name().clone());
    names.sort_unstable();
    let total = names.len() as u64;
    let start = after.map_or(0, |after| {
        names.partition_point(|name| name.as_bytes() <= &*after)
    });
    let rest = names.get(start..).unwrap_or_default();
    let page = rest.get(..most).unwrap_or(rest);
    let now = hub.clock().now();
    let seen = page.iter().filter_map(|name| look(&state, name));
    let next = page.last().filter(|_| rest.len() > page.len());
    form.reply(&v1::ClusterList {
        clusters: seen
            .map(|cluster| resources::cluster(&cluster, now))
            .collect(),
        total,
        next: next.map(|name| hex(name.as_bytes())),
    })
}

/// The name that a page ends with, out of its `next`. That is hexadecimal, so that it stays what it
/// is whether or not who asks encodes it once more.
fn page_end(next: &str) -> Option<Vec<u8>> {
    let is_hex = next.bytes().all(|digit| digit.is_ascii_hexdigit());
    let pairs = next.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let is_whole = next.len() % 2 == 0 && is_hex;
    pairs.collect::<Option<_>>().filter(|_| is_whole)
}

/// A list of at most one cluster.
fn one(form: Form, state: &State, name: &ClusterName) -> Response {
    let clusters: Vec<v1::Cluster> = whole(state, name).into_iter().collect();
    form.reply(&v1::ClusterList {
        total: clusters.len() as u64,
        clusters,
        next: None,
    })
}

/// `GET /api/v1/clusters/NAME`.
pub(super) async fn cluster(form: Form, Of(state): Shared, uri: Uri) -> Response {
    match whole(&state, &name(&uri)) {
        Some(cluster) => form.reply(&cluster),
        None => no_cluster(form),
    }
}

/// Everything about a cluster, if it is there.
fn whole(state: &State, name: &ClusterName) -> Option<v1::Cluster> {
    let cluster = look(state, name)?;
    let seen = state.shared.guests.sightings_of(name);
    Some(v1::Cluster {
        certificates: resources::certificates(seen),
        ..resources::cluster(&cluster, state.shared.hub.clock().now())
    })
}

/// `GET /api/v1/clusters/NAME/nodes`.
pub(super) async fn nodes(form: Form, Of(state): Shared, uri: Uri) -> Response {
    match look(&state, &name(&uri)) {
        Some(cluster) => form.reply(&v1::NodeList {
            nodes: resources::nodes(&cluster),
            absent_nodes: resources::absent(&cluster),
        }),
        None => no_cluster(form),
    }
}

/// `GET /api/v1/clusters/NAME/decisions`: also for a cluster that is gone, while there are some.
pub(super) async fn cluster_decisions(
    form: Form,
    Of(state): Shared,
    uri: Uri,
    query: Result<Query<Limit>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let cluster = name(&uri);
    state.history.loaded().await;
    if !state.history.knows(&cluster) && look(&state, &cluster).is_none() {
        return no_cluster(form);
    }
    decision_list(form, &state, Some(cluster), query.ok())
}

/// `GET /api/v1/decisions`.
pub(super) async fn decisions(
    form: Form,
    Of(state): Shared,
    uri: Uri,
    query: Result<Query<Limit>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let cluster = match cluster_asked_for(&uri, "cluster") {
        Ok(cluster) => cluster,
        Err(wrong) => return form.problem(StatusCode::BAD_REQUEST, wrong),
    };
    state.history.loaded().await;
    decision_list(form, &state, cluster, query.ok())
}

fn decision_list(
    form: Form,
    state: &State,
    cluster: Option<ClusterName>,
    query: Option<Query<Limit>>,
) -> Response {
    let Some(Query(query)) = query else {
        return form.problem(StatusCode::BAD_REQUEST, "the query can't be read");
    };
    match limit(query.limit.as_deref(), USUAL) {
        Ok(most) => form.reply(&v1::DecisionList {
            decisions: state.history.decisions(cluster.as_ref(), most),
        }),
        Err(wrong) => form.problem(StatusCode::BAD_REQUEST, wrong),
    }
}

/// `POST /api/v1/clusters/NAME/release`. The guard has seen the token for changes.
pub(super) async fn release(form: Form, Of(state): Shared, uri: Uri) -> Response {
    let name = name(&uri);
    let hub = state.shared.hub.clone();
    if !hub.knows(&name) {
        return no_cluster(form);
    }
    let of = name.clone();
    // What follows from it, timers too, belongs to the runtime that serves votes.
    let released = state.votes.spawn(async move {
        let now = hub.clock().now();
        let result = hub.with_cluster(&of, |guarded, actions| {
            guarded.cluster.release_lost(now, actions)
        });
        result.is_ok_and(|(released, actions)| {
            events::report(&actions, "HTTP");
            released
        })
    });
    match released.await {
        Ok(true) => form.reply(&v1::Done {
            detail: format!("unreachable nodes of cluster {name} no longer hold the vote"),
        }),
        Ok(false) => form.problem(
            StatusCode::CONFLICT,
            "no unreachable node of that cluster holds the vote",
        ),
        Err(_) => form.problem(StatusCode::SERVICE_UNAVAILABLE, "the arbiter is going down"),
    }
}

/// Everything that is not there.
pub(super) async fn not_found(form: Form) -> Response {
    form.problem(
        StatusCode::NOT_FOUND,
        "there is nothing here; /api/v1/openapi.json says what there is",
    )
}

/// A method that a resource does not have.
pub(super) async fn wrong_method(form: Form) -> Response {
    form.problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "this can't be done here; /api/v1/openapi.json says what can",
    )
}

/// Too many ask for something large.
pub(super) fn busy(state: &State, form: Form) -> Response {
    state.metrics().http_refused("busy");
    let mut busy = form.problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many ask for this at the same time",
    );
    let soon = axum::http::HeaderValue::from_static("1");
    busy.headers_mut()
        .insert(axum::http::header::RETRY_AFTER, soon);
    busy
}

/// The state of a cluster, if it is there.
pub(super) fn look(state: &State, name: &ClusterName) -> Option<ClusterSnapshot> {
    state.shared.hub.snapshot(name)
}

fn no_cluster(form: Form) -> Response {
    form.problem(
        StatusCode::NOT_FOUND,
        "no node of a cluster of that name is connected",
    )
}

/// The cluster's name in /api/v1/clusters/NAME. Names can be any bytes, so this can't be left to
/// something that makes text of it.
fn name(uri: &Uri) -> ClusterName {
    let segment = uri.path().split('/').nth(4).unwrap_or_default();
    named(percent_decode_str(segment))
}

/// The cluster that a parameter of the query names, encoded as everything in a query is. Nothing
/// that makes text of it can be used, as with paths.
pub(super) fn cluster_asked_for(uri: &Uri, parameter: &str) -> Result<Option<ClusterName>, String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs.filter(|(key, _)| percent_decode_str(key).eq(parameter.bytes()));
    let value = values.next().map(|(_, value)| value.replace('+', " "));
    if values.next().is_some() {
        return Err(format!("{parameter} can be given once only"));
    }
    Ok(value.map(|value| named(percent_decode_str(&value))))
}

fn named(bytes: impl Iterator<Item = u8>) -> ClusterName {
    let name: Vec<u8> = bytes.take(LONGEST).collect();
    ClusterName::new(&name)
}
