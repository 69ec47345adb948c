//! `GET /api/v1/events`: what happened, as a list or as a stream of server-sent events.

use super::api::{MOST, busy, cluster_asked_for};
use super::reply::{Form, accepts};
use super::state::State;
use super::tokens::Access;
use crate::proto::v1;
use crate::telemetry::history::{History, Page, Place};
use crate::wire::ClusterName;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Of};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::Deserialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// Events that are put into words at a time.
const PIECE: usize = 64;

/// How often a reader is told that we are still there.
const ALIVE: Duration = Duration::from_secs(15);

/// How long a reader may leave what it was sent unread.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a reader shall come back that lost its connection, milliseconds.
const COME_BACK: &str = "retry: 2000\n\n";

/// Says that something in between is missing: ask for the present state, then go on.
const GAP: &str = "event: gap\ndata: {}\n\n";

/// What can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// Only events after this one.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<String>,
}

/// Answers with a stream if the reader asks for one, and with a list if not.
pub(super) async fn events(
    form: Form,
    Of(state): Of<Arc<State>>,
    headers: HeaderMap,
    uri: Uri,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let wrong = |detail: String| form.problem(StatusCode::BAD_REQUEST, detail);
    let Ok(Query(wanted)) = query else {
        return wrong("the query can't be read".to_owned());
    };
    let cluster = match cluster_asked_for(&uri, "cluster") {
        Ok(cluster) => cluster,
        Err(repeated) => return wrong(repeated),
    };
    // A browser that lost the connection says where it was in a header.
    let last = headers.get("last-event-id").map(HeaderValue::to_str);
    let after = match last {
        Some(Ok(id)) if !id.is_empty() => Some(id),
        Some(Err(_)) => return wrong("Last-Event-ID is not the id of an event".to_owned()),
        _ => wanted.after.as_deref(),
    };
    state.history.loaded().await;
    let place = match after.map(|id| state.history.place(id)).transpose() {
        Ok(place) => place,
        Err(error) => return wrong(error.to_string()),
    };
    if accepts(&headers, "text/event-stream") {
        let authorization = headers.get(AUTHORIZATION).cloned();
        return stream(&state, form, place, cluster, authorization);
    }
    let limit = match wanted.limit.as_deref().map(str::parse) {
        None => MOST,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return wrong(format!("limit must be a number from 1 to {MOST}")),
    };
    let page = state.history.events(
        place.map_or(0, |place| place.cursor),
        cluster.as_ref(),
        limit,
    );
    form.reply(&v1::EventList {
        events: page.events,
        gap: place.is_some_and(|place| place.lost || page.gap),
    })
}

/// A stream that begins behind a place, or with the next event.
fn stream(
    state: &Arc<State>,
    form: Form,
    place: Option<Place>,
    cluster: Option<ClusterName>,
    authorization: Option<HeaderValue>,
) -> Response {
    let Ok(room) = state.readers.clone().try_acquire_owned() else {
        return busy(state, form);
    };
    let (sender, receiver) = mpsc::channel(1);
    let reader = Reader {
        state: state.clone(),
        sender,
        cursor: place.map_or_else(|| state.history.last_event(), |place| place.cursor),
        lost: place.is_some_and(|place| place.lost),
        cluster,
        authorization,
        _room: room,
    };
    tokio::spawn(reader.run());
    let body = Body::new(Pieces(receiver));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Feeds one reader.
struct Reader {
    state: Arc<State>,
    sender: mpsc::Sender<Bytes>,
    cursor: u64,
    /// It must be told that what was before is not known.
    lost: bool,
    cluster: Option<ClusterName>,
    /// What it showed when it came. Its token may be taken away while it reads.
    authorization: Option<HeaderValue>,
    _room: OwnedSemaphorePermit,
}

impl Reader {
    async fn run(mut self) {
        let readers = self.state.metrics().http_readers.clone();
        readers.inc();
        let history = self.state.history.clone();
        if self.send(COME_BACK.into()).await {
            self.follow(&history).await;
        }
        readers.dec();
    }

    async fn follow(&mut self, history: &History) {
        let mut changes = history.changes();
        loop {
            changes.mark_unchanged();
            let mut page = history.events(self.cursor, self.cluster.as_ref(), PIECE);
            page.gap |= std::mem::take(&mut self.lost);
            let went_on = page.cursor > self.cursor;
            self.cursor = page.cursor;
            let text = text(&page);
            if !text.is_empty() && !self.send(text.into()).await {
                return;
            }
            if went_on {
                // Others get a turn between pieces.
                tokio::task::yield_now().await;
                continue;
            }
            let is_there = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                () = tokio::time::sleep(ALIVE) => self.send(": still here\n\n".into()).await,
                () = self.sender.closed() => false,
            };
            if !is_there {
                return;
            }
        }
    }

    fn may_read(&self) -> bool {
        let shown = self.authorization.as_ref().map(HeaderValue::as_bytes);
        self.state.keys().tokens.access(shown) != Access::None
    }

    /// Whether the reader took it in time, and may go on. One that does not is left.
    async fn send(&self, piece: Bytes) -> bool {
        if !self.may_read() {
            self.state.metrics().http_refused("token");
            return false;
        }
        match timeout(PATIENCE, self.sender.send(piece)).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                self.state.metrics().http_refused("slow_reader");
                false
            }
        }
    }
}

fn text(page: &Page) -> String {
    let mut text = String::new();
    if page.gap {
        text += GAP;
    }
    for event in &page.events {
        // A message of ours always has a form in JSON.
        let json = serde_json::to_string(event).unwrap_or_default();
        text += &format!("id: {}\ndata: {json}\n\n", event.id);
    }
    text
}

/// Pieces from somebody else, as the body of an answer.
struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
