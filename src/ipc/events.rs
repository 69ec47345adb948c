//! `qarbiter-events`, ours: what happened and what happens, as lines of JSON on the control socket.
//!
//! A reader gets lines in pieces, each when it has taken the one before; one that does not read is
//! left after a while and can come back and go on after the last event that it has.

use super::command::{CommandError, quoted};
use crate::net::server::Shared;
use crate::proto::v1;
use crate::telemetry::history::{Entry, History};
use crate::wire::ClusterName;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Readers at a time. They have no place among the connections of other commands, so that they
/// take none from those.
pub(super) const READERS: usize = 16;

/// Events that are put into words at a time.
const PIECE: usize = 64;

/// How often a reader that follows hears something.
pub const ALIVE: Duration = Duration::from_secs(15);

/// How long a reader may leave a piece unread.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Go on with what happens.
    pub follow: bool,
    /// Only decisions.
    pub decisions: bool,
    /// Only this cluster.
    pub cluster: Option<ClusterName>,
    /// Only what came after the event with this id. Then the next two do not count.
    pub after: Option<String>,
    /// Only what happened since then, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Of what is there already at most so many, the last.
    pub limit: Option<usize>,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something happened.
    Event(Box<v1::Event>),
    /// What was between the event that was named and the next one is not known.
    Gap,
    /// This is where we are: ask for what comes after this id.
    At(String),
    /// That was all.
    End,
}

impl Wanted {
    /// As a command line, without its end.
    pub fn command(&self) -> Vec<u8> {
        let mut line = b"qarbiter-events".to_vec();
        let mut add = |word: &str, value: Option<Vec<u8>>| {
            line.extend_from_slice(b" ");
            line.extend_from_slice(word.as_bytes());
            if let Some(value) = value {
                line.extend_from_slice(b" ");
                line.extend_from_slice(&value);
            }
        };
        if self.follow {
            add("follow", None);
        }
        if self.decisions {
            add("decisions", None);
        }
        if let Some(cluster) = &self.cluster {
            add("cluster", Some(quoted(cluster.as_bytes())));
        }
        if let Some(id) = &self.after {
            add("after", Some(quoted(id.as_bytes())));
        }
        if let Some(ms) = self.since_ms {
            add("since", Some(ms.to_string().into_bytes()));
        }
        if let Some(limit) = self.limit {
            add("limit", Some(limit.to_string().into_bytes()));
        }
        line
    }

    /// Reads the words behind the command's name.
    pub(super) fn parse<'a>(
        words: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, CommandError> {
        const WRONG: CommandError = CommandError::Incomplete(
            "qarbiter-events takes: follow, decisions, cluster NAME, after ID, since MS, limit N",
        );
        let mut wanted = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(WRONG);
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            match word {
                b"follow" => wanted.follow = true,
                b"decisions" => wanted.decisions = true,
                b"cluster" => wanted.cluster = Some(ClusterName::new(value()?)),
                b"after" => wanted.after = Some(text(value()?)),
                b"since" => wanted.since_ms = Some(text(value()?).parse().map_err(|_| WRONG)?),
                b"limit" => wanted.limit = Some(text(value()?).parse().map_err(|_| WRONG)?),
                _ => return Err(WRONG),
            }
        }
        Ok(wanted)
    }
}

/// What a reader gets first.
struct Begin {
    entries: Vec<Entry>,
    /// Where it goes on.
    cursor: u64,
    lost: bool,
}

/// Answers one reader, to its end if it follows.
pub(super) async fn tell(
    shared: &Arc<Shared>,
    mut stream: UnixStream,
    wanted: Wanted,
) -> io::Result<()> {
    let history = shared.history.clone();
    history.loaded().await;
    let wanted = Arc::new(wanted);
    let begun = {
        let (shared, wanted) = (shared.clone(), wanted.clone());
        spawn_blocking(move || begin(&shared, &wanted))
    };
    let begin = match begun.await.map_err(io::Error::other)? {
        Ok(begin) => begin,
        Err(why) => return send(&mut stream, format!("Error\n{why}\n").as_bytes()).await,
    };
    send(&mut stream, b"OK\n").await?;
    if begin.lost {
        send(&mut stream, line(&Line::Gap).as_bytes()).await?;
    }
    let mut entries = begin.entries.into_iter();
    loop {
        let piece: Vec<Entry> = entries.by_ref().take(PIECE).collect();
        if piece.is_empty() {
            break;
        }
        let text = spawn_blocking(move || {
            let events = piece.iter().filter_map(Entry::event);
            events.map(event_line).collect::<String>()
        });
        let text = text.await.map_err(io::Error::other)?;
        send(&mut stream, text.as_bytes()).await?;
    }
    if wanted.follow {
        return follow(&history, stream, &wanted, begin.cursor).await;
    }
    send(&mut stream, line(&Line::End).as_bytes()).await?;
    stream.shutdown().await
}

/// What is there already.
fn begin(shared: &Shared, wanted: &Wanted) -> Result<Begin, String> {
    let history = &shared.history;
    if let Some(id) = &wanted.after {
        let place = history.place(id).map_err(|error| error.to_string())?;
        if wanted.follow {
            return Ok(Begin {
                entries: Vec::new(),
                cursor: place.cursor,
                lost: place.lost,
            });
        }
        let (mut entries, cursor) = history.all(wanted.cluster.as_ref(), wanted.decisions);
        entries.retain(|entry| entry.number > place.cursor);
        let lost = place.lost;
        return Ok(Begin {
            entries,
            cursor,
            lost,
        });
    }
    if let Some(cluster) = &wanted.cluster {
        if !history.knows(cluster) && !shared.hub.knows(cluster) {
            return Err(format!(
                "no cluster {cluster:?} is connected, and nothing is known of one"
            ));
        }
    }
    let (entries, cursor) = history.all(wanted.cluster.as_ref(), wanted.decisions);
    let most = wanted.limit.unwrap_or(usize::MAX);
    let is_late = |entry: &&Entry| match wanted.since_ms {
        None => true,
        Some(since) => entry.event().is_some_and(|event| event.unix_ms >= since),
    };
    let mut entries: Vec<Entry> = entries
        .iter()
        .rev()
        .filter(is_late)
        .take(most)
        .cloned()
        .collect();
    entries.reverse();
    Ok(Begin {
        entries,
        cursor,
        lost: false,
    })
}

/// Sends what happens until the reader goes.
async fn follow(
    history: &Arc<History>,
    stream: UnixStream,
    wanted: &Arc<Wanted>,
    mut cursor: u64,
) -> io::Result<()> {
    let (mut reading, mut writing) = stream.into_split();
    let mut changes = history.changes();
    send(&mut writing, line(&Line::At(history.id(cursor))).as_bytes()).await?;
    loop {
        changes.mark_unchanged();
        let page = {
            let (history, wanted) = (history.clone(), wanted.clone());
            spawn_blocking(move || page(&history, &wanted, cursor))
        };
        let (text, at) = page.await.map_err(io::Error::other)?;
        let went_on = at > cursor;
        cursor = at;
        if !text.is_empty() {
            send(&mut writing, text.as_bytes()).await?;
        }
        if went_on {
            continue;
        }
        let mut byte = [0];
        tokio::select! {
            changed = changes.changed() => changed.map_err(io::Error::other)?,
            () = tokio::time::sleep(ALIVE) => {
                let at = line(&Line::At(history.id(cursor)));
                send(&mut writing, at.as_bytes()).await?;
            }
            // It has nothing more to say: it is gone.
            read = reading.read(&mut byte) => return read.map(drop),
        }
    }
}

/// The next lines after a place, and the place behind them.
fn page(history: &History, wanted: &Wanted, cursor: u64) -> (String, u64) {
    let page = history.events(cursor, wanted.cluster.as_ref(), PIECE);
    let mut text = String::new();
    if page.gap {
        text += &line(&Line::Gap);
    }
    let is_wanted = |event: &v1::Event| !wanted.decisions || event.decision.is_some();
    let events = page.events.into_iter().filter(is_wanted);
    text.extend(events.map(event_line));
    (text, page.cursor)
}

fn event_line(event: v1::Event) -> String {
    line(&Line::Event(Box::new(event)))
}

fn line(line: &Line) -> String {
    // Ours always has a form in JSON.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    match timeout(PATIENCE, stream.write_all(bytes)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "a reader of events does not read",
        )),
    }
}
