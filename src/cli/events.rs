//! `qarbiter events`.

mod words;

use super::{Where, complain};
use crate::ipc::client::AskError;
use crate::ipc::events::{ALIVE, Line, Wanted};
use crate::ipc::lines::Lines;
use crate::proto::v1;
use crate::wire::ClusterName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const NAME: &str = "qarbiter events";

/// Events that are shown unless something else is asked for.
const USUAL: usize = 100;

/// The same before those that will happen.
const USUAL_BEFORE: usize = 10;

/// Pause between attempts to reach an arbiter that went.
const PAUSE: Duration = Duration::from_millis(300);

/// An arbiter that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(3 * ALIVE.as_secs());

/// Options of `qarbiter events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    #[command(flatten)]
    place: Where,
    /// Go on with what happens, through restarts of the arbiter too
    #[arg(short, long)]
    follow: bool,
    /// Only this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only what happened since: 90s, 30m, 1h, 2d, or 2026-11-23T22:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = words::since)]
    since: Option<u64>,
    /// Only the last N, before those that come with --follow [default: 100; all with --since; 10
    /// with --follow]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only decisions, with what they were made of
    #[arg(long)]
    decisions: bool,
    /// For programs: one JSON document on each line, as in the HTTP API
    #[arg(long)]
    json: bool,
}

/// Why it ends before everything is said.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigErrors),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the arbiter broke off; what is missing may come with another attempt")]
    BrokenOff,
    #[error("can't write: {0}")]
    Output(io::Error),
    /// Whoever reads has seen enough.
    #[error("nobody reads this")]
    Enough,
}

impl Events {
    pub(crate) fn run(self) -> ExitCode {
        match self.show() {
            Ok(()) | Err(Stop::Enough) => ExitCode::SUCCESS,
            Err(error) => {
                complain(NAME, &error);
                ExitCode::FAILURE
            }
        }
    }

    fn wanted(&self) -> Wanted {
        let usual = match (self.since, self.follow) {
            (Some(_), _) => None,
            (None, true) => Some(USUAL_BEFORE),
            (None, false) => Some(USUAL),
        };
        Wanted {
            follow: self.follow,
            decisions: self.decisions,
            cluster: self
                .cluster
                .as_ref()
                .map(|name| ClusterName::new(name.as_bytes())),
            after: None,
            since_ms: self.since,
            limit: self.limit.or(usual),
        }
    }

    fn show(&self) -> Result<(), Stop> {
        let socket = self.place.socket()?;
        let mut wanted = self.wanted();
        let mut lines = Lines::ask(&socket, &wanted.command())?;
        loop {
            if self.listen(&mut lines, &mut wanted.after)? {
                return Ok(());
            }
            if !self.follow {
                return Err(Stop::BrokenOff);
            }
            eprintln!("{NAME}: the connection to the arbiter is lost; waiting for it to come back");
            lines = again(&socket, &wanted)?;
            eprintln!("{NAME}: connected again");
        }
    }

    /// Shows what comes. `false` if it ended before its end.
    fn listen(&self, lines: &mut Lines, last: &mut Option<String>) -> Result<bool, Stop> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = |result: io::Result<()>| {
            result.map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Stop::Enough,
                _ => Stop::Output(error),
            })
        };
        loop {
            while let Some(line) = lines.buffered() {
                match serde_json::from_slice(&line) {
                    Ok(Line::Event(event)) => {
                        written(self.write(&mut out, &event))?;
                        *last = Some(event.id);
                    }
                    Ok(Line::At(id)) => *last = Some(id),
                    Ok(Line::Gap) => {
                        written(out.flush())?;
                        eprintln!("{NAME}: what happened before the next line is not all known");
                    }
                    Ok(Line::End) => {
                        written(out.flush())?;
                        return Ok(true);
                    }
                    // A newer arbiter may say more.
                    Err(_) => {}
                }
            }
            written(out.flush())?;
            if !wait(Some(lines), SILENCE)? || !lines.receive().unwrap_or(false) {
                return Ok(false);
            }
        }
    }

    fn write(&self, out: &mut impl Write, event: &v1::Event) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, event)?;
            return writeln!(out);
        }
        words::write(out, event, self.decisions)
    }
}

/// Connects again, as soon as there is somebody to connect to.
fn again(socket: &Path, wanted: &Wanted) -> Result<Lines, Stop> {
    loop {
        wait(None, PAUSE)?;
        match Lines::ask(socket, &wanted.command()) {
            Ok(lines) => return Ok(lines),
            Err(AskError::Connect { .. } | AskError::Broken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until more came, at most so long. Whether it came. Sees if nobody reads us any more.
fn wait(lines: Option<&Lines>, time: Duration) -> Result<bool, Stop> {
    let stdout = io::stdout();
    let timeout = Timespec::try_from(time).ok();
    let mut watched = vec![PollFd::new(&stdout, PollFlags::empty())];
    watched.extend(lines.map(|lines| PollFd::new(lines, PollFlags::IN)));
    let count = match poll(&mut watched, timeout.as_ref()) {
        Ok(count) => count,
        // Stopped and continued.
        Err(Errno::INTR) => return Ok(lines.is_some()),
        Err(error) => return Err(Stop::Output(error.into())),
    };
    let is_over = watched
        .first()
        .is_some_and(|out| out.revents().intersects(PollFlags::ERR | PollFlags::HUP));
    if is_over {
        return Err(Stop::Enough);
    }
    Ok(count > 0)
}
