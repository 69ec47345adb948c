//! `GET /api/v1/overview`: all clusters in few words, the worst first.
//!
//! The page asks for it whenever something happened, so it stays small (as many clusters as a
//! screen has room for, and counts) and cheap: all who ask at the same time get the same look.

use super::api::{limit, look};
use super::reply::Form;
use super::resources::{level_name, summary};
use super::state::State;
use crate::advice::Level;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Of};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a look is good for while nothing happens: it has ages and countdowns in it.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Clusters in an answer, unless asked otherwise.
const USUAL: usize = 200;

/// Clusters that are looked at before others get a turn.
const PIECE: usize = 32;

/// What can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Option<String>,
    /// Only clusters of this level.
    #[serde(default)]
    level: Option<String>,
    /// Only clusters with warnings.
    #[serde(default)]
    warned: Option<String>,
    /// Only clusters with this in the name or the sentence.
    #[serde(default)]
    search: Option<String>,
}

/// All clusters as they were at one moment, the worst first.
pub(super) struct Look {
    at: Instant,
    /// Number of the last event before it.
    event: u64,
    clusters: Vec<v1::ClusterSummary>,
    counts: v1::LevelCounts,
    gone: Vec<v1::GoneCluster>,
}

/// Answers.
pub(super) async fn overview(
    form: Form,
    Of(state): Of<Arc<State>>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wrong = |detail: String| form.problem(StatusCode::BAD_REQUEST, detail);
    let Ok(Query(wanted)) = query else {
        return wrong("the query can't be read".to_owned());
    };
    let filter = match Filter::new(&wanted) {
        Ok(filter) => filter,
        Err(detail) => return wrong(detail),
    };
    let most = match limit(wanted.limit.as_deref(), USUAL) {
        Ok(most) => most,
        Err(detail) => return wrong(detail),
    };
    let look = present(&state).await;
    let found: Vec<&v1::ClusterSummary> = look
        .clusters
        .iter()
        .filter(|cluster| filter.takes(cluster))
        .collect();
    form.reply(&v1::Overview {
        total: found.len() as u64,
        clusters: found.into_iter().take(most).cloned().collect(),
        counts: Some(look.counts),
        unix_ms: unix_ms(SystemTime::now()),
        gone: look.gone.iter().take(most).cloned().collect(),
    })
}

/// Which clusters are wanted.
struct Filter {
    level: Option<&'static str>,
    warned: bool,
    /// In lower case.
    search: String,
}

impl Filter {
    fn new(wanted: &Wanted) -> Result<Self, String> {
        let levels = [Level::Ok, Level::Degraded, Level::Critical].map(level_name);
        let level = match wanted.level.as_deref() {
            None => None,
            Some(text) => match levels.into_iter().find(|level| *level == text) {
                Some(level) => Some(level),
                None => return Err("level must be ok, degraded or critical".to_owned()),
            },
        };
        let warned = match wanted.warned.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err("warned must be true or false".to_owned()),
        };
        Ok(Self {
            level,
            warned,
            search: wanted.search.as_deref().unwrap_or_default().to_lowercase(),
        })
    }

    fn takes(&self, cluster: &v1::ClusterSummary) -> bool {
        let health = cluster.health.as_ref();
        let level = health.map(|health| &*health.level);
        let sentence = health.map_or("", |health| &health.sentence);
        self.level.is_none_or(|wanted| level == Some(wanted))
            && (!self.warned || cluster.warnings > 0)
            && (self.search.is_empty()
                || cluster.name.to_lowercase().contains(&self.search)
                || sentence.to_lowercase().contains(&self.search))
    }
}

/// A look that has everything in it that has happened until now. Whoever asks meanwhile waits for
/// it, and takes it if that is enough for them, too.
async fn present(state: &State) -> Arc<Look> {
    let event = state.history.last_event();
    let mut last = state.overview.lock().await;
    if let Some(look) = &*last {
        if look.event >= event && look.at.elapsed() < GOOD_FOR {
            return look.clone();
        }
    }
    let look = Arc::new(look_at_all(state).await);
    *last = Some(look.clone());
    look
}

async fn look_at_all(state: &State) -> Look {
    let (at, event) = (Instant::now(), state.history.last_event());
    let mut names = state.shared.hub.visit(|cluster| cluster.name().clone());
    names.sort_unstable();
    let mut clusters = Vec::with_capacity(names.len());
    for piece in names.chunks(PIECE) {
        let seen = piece.iter().filter_map(|name| look(state, name));
        clusters.extend(seen.map(|cluster| summary(&cluster)));
        tokio::task::yield_now().await;
    }
    // Among equals, those in which there is something to mend come first, then names count.
    clusters.sort_by_key(|cluster| (urgency(cluster), cluster.warnings == 0));
    let gone = state.shared.gone_clusters().into_iter();
    // One that came or left meanwhile is in one list.
    let gone = gone.filter(|gone| names.binary_search(&gone.name).is_err());
    let gone: Vec<v1::GoneCluster> = gone
        .map(|gone| v1::GoneCluster {
            name: gone.name.to_string(),
            gone_ms: u64::try_from(gone.gone_for.as_millis()).unwrap_or(u64::MAX),
        })
        .collect();
    let counts = v1::LevelCounts {
        gone: gone.len() as u64,
        ..counts(&clusters)
    };
    Look {
        at,
        event,
        clusters,
        counts,
        gone,
    }
}

/// Smaller is worse.
fn urgency(cluster: &v1::ClusterSummary) -> u8 {
    match cluster.health.as_ref().map(|health| &*health.level) {
        Some("ok") => 2,
        Some("degraded") => 1,
        _ => 0,
    }
}

fn counts(clusters: &[v1::ClusterSummary]) -> v1::LevelCounts {
    let of = |wanted| clusters.iter().filter(|c| urgency(c) == wanted).count() as u64;
    v1::LevelCounts {
        clusters: clusters.len() as u64,
        ok: of(2),
        degraded: of(1),
        critical: of(0),
        warned: clusters.iter().filter(|c| c.warnings > 0).count() as u64,
        gone: 0,
    }
}
