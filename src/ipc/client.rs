//! Asking a running arbiter over its control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an arbiter may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error(
        "can't connect to {path}: {error}; is the arbiter running? \
         (options --state-dir and --socket say where to look)",
        path = path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The connection broke.
    #[error("the arbiter at {path} did not answer: {error}", path = path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says no.
    #[error("the arbiter refused: {0}")]
    Refused(String),
    /// It says something that is not in the protocol.
    #[error("unexpected answer from {path}; is that an arbiter's socket?", path = path.display())]
    Strange {
        /// The socket.
        path: PathBuf,
    },
}

/// Sends one command line and returns the text of the answer.
///
/// # Errors
/// See [`AskError`].
pub fn ask(path: &Path, command: &[u8]) -> Result<Vec<u8>, AskError> {
    let at = || path.to_owned();
    let mut stream =
        UnixStream::connect(path).map_err(|error| AskError::Connect { path: at(), error })?;
    let mut answer = Vec::new();
    exchange(&mut stream, command, &mut answer)
        .map_err(|error| AskError::Broken { path: at(), error })?;
    let newline = answer.iter().position(|byte| *byte == b'\n');
    let (verdict, text) = answer.split_at(newline.map_or(answer.len(), |at| at + 1));
    match verdict {
        b"OK\n" => Ok(text.to_vec()),
        b"Error\n" => Err(AskError::Refused(
            String::from_utf8_lossy(text).trim_end().to_owned(),
        )),
        _ => Err(AskError::Strange { path: at() }),
    }
}

fn exchange(stream: &mut UnixStream, command: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: a server that finds the end of a line in the command closes without reading on.
    stream.write_all(&[command, b"\n"].concat())?;
    stream.read_to_end(answer)?;
    Ok(())
}
