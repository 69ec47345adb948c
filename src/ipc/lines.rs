//! An answer of a running arbiter that comes line by line, for as long as it comes.

use super::client::{AskError, PATIENCE};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Longest line of an answer, bytes: a decision of the largest cluster has some 2 MB.
const LONGEST: usize = 16 << 20;

/// The lines of an answer.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    /// What came and was not taken yet.
    bytes: Vec<u8>,
    /// How much of it was taken, and how much of the rest has no end of a line.
    taken: usize,
    searched: usize,
}

impl Lines {
    /// Sends one command line, and reads whether it is obeyed.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(path: &Path, command: &[u8]) -> Result<Self, AskError> {
        let at = || path.to_owned();
        let stream =
            UnixStream::connect(path).map_err(|error| AskError::Connect { path: at(), error })?;
        let mut lines = Self {
            stream,
            bytes: Vec::new(),
            taken: 0,
            searched: 0,
        };
        let first = lines.begin(command);
        let broken = |error| AskError::Broken { path: at(), error };
        match first.map_err(broken)?.as_slice() {
            b"OK" => Ok(lines),
            b"Error" => {
                let why = lines.next().map_err(broken)?.unwrap_or_default();
                let why = String::from_utf8_lossy(&why).into_owned();
                Err(AskError::Refused(why))
            }
            _ => Err(AskError::Strange { path: at() }),
        }
    }

    fn begin(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        self.stream.write_all(&[command, b"\n"].concat())?;
        self.next()?.ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits for the next line; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if !self.receive()? {
                return Ok(None);
            }
        }
    }

    /// The next line, if it is here already.
    pub fn buffered(&mut self) -> Option<Vec<u8>> {
        let rest = self.bytes.get(self.taken..)?;
        let end = rest.iter().skip(self.searched).position(|b| *b == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            self.searched = rest.len();
            return None;
        };
        let line = rest.get(..end).unwrap_or_default().to_vec();
        self.taken += end + 1;
        self.searched = 0;
        Some(line)
    }

    /// Waits for more. `false` if there will be nothing more.
    ///
    /// # Errors
    /// The connection broke, or nothing came in time.
    pub fn receive(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let mut piece = [0; 16384];
        let read = self.stream.read(&mut piece)?;
        self.bytes
            .extend_from_slice(piece.get(..read).unwrap_or_default());
        if self.bytes.len() > LONGEST {
            return Err(io::Error::other("a line is too long"));
        }
        Ok(read > 0)
    }
}

/// To wait for more.
impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
