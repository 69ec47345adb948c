//! The log: written by a thread of its own, so that a reader that hangs holds up no vote.

use super::syslog::Syslog;
use super::systemd;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Lines that may wait to be written; more are dropped and counted.
const WAITING: usize = 4096;

/// Longest line, bytes.
const MAX_LINE: usize = 2048;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sinks {
    /// Standard error.
    pub stderr: bool,
    /// The system log, under this name, where there is one.
    pub syslog: Option<String>,
    /// With detail.
    pub debug: bool,
}

/// Waits for what was logged so far to be written when it is dropped.
#[must_use]
pub struct LogGuard {
    sender: Option<SyncSender<Entry>>,
    writer: Option<thread::JoinHandle<()>>,
}

enum Entry {
    Line { level: Level, text: String },
    End,
}

/// Whether detail is logged.
static DETAIL: AtomicBool = AtomicBool::new(false);

/// Turns detail in the log on or off while the process runs.
pub fn set_debug(on: bool) {
    if DETAIL.swap(on, Ordering::Relaxed) != on {
        tracing::callsite::rebuild_interest_cache();
    }
}

fn most() -> Level {
    if DETAIL.load(Ordering::Relaxed) {
        Level::DEBUG
    } else {
        Level::INFO
    }
}

/// Starts the log of the process. The second call has no effect on where lines go.
///
/// # Errors
/// The writing thread can't be started.
pub fn start(sinks: Sinks) -> std::io::Result<LogGuard> {
    let (sender, receiver) = sync_channel(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let log = Log {
        sender: sender.clone(),
        dropped: dropped.clone(),
    };
    set_debug(sinks.debug);
    let writer = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, sinks, &dropped))?;
    // Fails if there is a log already, as in tests; that one goes on.
    let _ = tracing::subscriber::set_global_default(log);
    Ok(LogGuard {
        sender: Some(sender),
        writer: Some(writer),
    })
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // If the writer is gone or stuck there is nobody to tell it to.
        let sent = self
            .sender
            .take()
            .is_some_and(|sender| sender.try_send(Entry::End).is_ok());
        if let Some(writer) = self.writer.take().filter(|_| sent) {
            let _ = writer.join();
        }
    }
}

fn write_lines(receiver: &Receiver<Entry>, mut sinks: Sinks, dropped: &AtomicU64) {
    let syslog = sinks
        .syslog
        .as_deref()
        .and_then(|identity| Syslog::open(identity).ok());
    // Every line would be there twice; the one of the system log comes with its level.
    sinks.stderr &= syslog.is_none() || !systemd::stderr_is_journal();
    while let Ok(Entry::Line { level, text }) = receiver.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} log lines were lost because the log could not keep up");
            write_line(&sinks, syslog.as_ref(), Level::WARN, &text);
        }
        write_line(&sinks, syslog.as_ref(), level, &text);
    }
}

/// A log that can't be written has no place to complain, so failures are ignored.
fn write_line(sinks: &Sinks, syslog: Option<&Syslog>, level: Level, text: &str) {
    if sinks.stderr {
        let mut line = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let level = level.as_str().to_ascii_lowercase();
        let _ = writeln!(line, " {level:<5} {text}");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    if let Some(syslog) = syslog {
        let _ = syslog.send(level, text);
    }
}

/// The subscriber: formats an event and hands it over.
struct Log {
    sender: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= most() && metadata.target().starts_with("qarbiter")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(most().into())
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Line(String::new());
        event.record(&mut text);
        let entry = Entry::Line {
            level: *event.metadata().level(),
            text: text.0,
        };
        if self.sender.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    // Spans are not used.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The text of an event: its message, then other fields. Control characters are escaped, so that
/// nobody can forge a line, and the length is bounded.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "message" => format!("{value:?}"),
            name => format!(" {name}={value:?}"),
        };
        for c in text.chars() {
            if self.0.len() >= MAX_LINE {
                break;
            }
            if c.is_control() {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
    }
}
