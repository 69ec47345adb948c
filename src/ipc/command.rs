//! The command line of the control socket (protocol spec, section 10.2).

use super::events::Wanted;
use crate::wire::ClusterName;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `status [verbose]`.
    Status {
        /// With detail.
        verbose: bool,
    },
    /// `list [verbose] [cluster NAME]`.
    List {
        /// With detail.
        verbose: bool,
        /// Only this cluster.
        cluster: Option<ClusterName>,
    },
    /// `shutdown`.
    Shutdown,
    /// `qarbiter-status`, ours: everything, as JSON.
    JsonStatus,
    /// `qarbiter-health [ready]`, ours: whether the arbiter serves, as JSON.
    Health {
        /// Whether it is ready, too.
        ready: bool,
    },
    /// `qarbiter-release cluster NAME`, ours: unreachable nodes no longer hold the vote.
    Release {
        /// The cluster.
        cluster: ClusterName,
    },
    /// `qarbiter-events ...`, ours: what happened and what happens.
    Events(Wanted),
}

/// What the answer says about a line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// An empty line.
    #[error("No command specified")]
    Empty,
    /// Not a command.
    #[error("Unknown command '{0}'")]
    Unknown(String),
    /// A command of ours without what it needs.
    #[error("{0}")]
    Incomplete(&'static str),
}

/// Parses one line, without its end.
///
/// # Errors
/// It is no command.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let words = words(line);
    let mut words = words.iter().map(Vec::as_slice);
    let Some(first) = words.next().filter(|word| !word.is_empty()) else {
        return Err(CommandError::Empty);
    };
    match first.to_ascii_lowercase().as_slice() {
        b"status" => Ok(Command::Status {
            verbose: words.next().is_some_and(is_verbose),
        }),
        b"list" => Ok(list(words)),
        b"shutdown" => Ok(Command::Shutdown),
        b"qarbiter-status" => Ok(Command::JsonStatus),
        b"qarbiter-health" => Ok(Command::Health {
            ready: words.next().is_some_and(|word| word == b"ready"),
        }),
        b"qarbiter-release" => match (words.next(), words.next()) {
            (Some(keyword), Some(name)) if keyword.eq_ignore_ascii_case(b"cluster") => {
                Ok(Command::Release {
                    cluster: ClusterName::new(name),
                })
            }
            _ => Err(CommandError::Incomplete(
                "qarbiter-release needs: cluster NAME",
            )),
        },
        b"qarbiter-events" => Wanted::parse(&mut words).map(Command::Events),
        _ => Err(CommandError::Unknown(
            String::from_utf8_lossy(first).into_owned(),
        )),
    }
}

fn is_verbose(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"verbose")
}

fn list<'a>(words: impl Iterator<Item = &'a [u8]>) -> Command {
    let mut words = words;
    let (mut verbose, mut cluster) = (false, None);
    while let Some(word) = words.next() {
        if is_verbose(word) {
            verbose = true;
        } else if word.eq_ignore_ascii_case(b"cluster") {
            // An empty name means all clusters.
            cluster = words
                .next()
                .filter(|name| !name.is_empty())
                .map(ClusterName::new);
        } else {
            break;
        }
    }
    Command::List { verbose, cluster }
}

/// Splits a line into words: blanks separate, `\x` stands for x, and inside double quotes a
/// backslash escapes only a quote or a backslash.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' | b'\r' => break,
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b'\\' if quoted => {
                let escaped = bytes.next_if(|next| matches!(next, b'"' | b'\\'));
                word.get_or_insert_default().push(escaped.unwrap_or(b'\\'));
            }
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b' ' | b'\t' | 0x0b | 0x0c if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// Quotes a name for a command line.
pub fn quoted(name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in name {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<ClusterName> {
        Some(ClusterName::new(text.as_bytes()))
    }

    #[test]
    fn commands() {
        let list = |verbose, cluster| Ok(Command::List { verbose, cluster });
        let cases: Vec<(&str, Result<Command, CommandError>)> = vec![
            ("status ", Ok(Command::Status { verbose: false })),
            ("STATUS Verbose x", Ok(Command::Status { verbose: true })),
            ("status x verbose", Ok(Command::Status { verbose: false })),
            ("list ", list(false, None)),
            ("list verbose cluster \"a b\" ", list(true, name("a b"))),
            ("list cluster a\\ b verbose", list(true, name("a b"))),
            (
                "list cluster \"q\\\"\\\\\\x\"",
                list(false, name("q\"\\\\x")),
            ),
            ("list cluster a cluster b", list(false, name("b"))),
            ("list cluster \"\"", list(false, None)),
            ("list stop verbose", list(false, None)),
            ("shutdown\rlist", Ok(Command::Shutdown)),
            ("", Err(CommandError::Empty)),
            ("   ", Err(CommandError::Empty)),
            ("Foo", Err(CommandError::Unknown("Foo".into()))),
            ("qarbiter-status", Ok(Command::JsonStatus)),
            ("qarbiter-health", Ok(Command::Health { ready: false })),
            ("qarbiter-health ready", Ok(Command::Health { ready: true })),
            (
                "qarbiter-release cluster x",
                Ok(Command::Release {
                    cluster: name("x").unwrap(),
                }),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        for wrong in [
            "qarbiter-release",
            "qarbiter-events x",
            "qarbiter-events cluster",
            "qarbiter-events since now",
            "qarbiter-events limit -1",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wanted_of_events_comes_through() {
        let everything = Wanted {
            follow: true,
            decisions: true,
            cluster: name("a \"b\\"),
            after: Some("1a2b-77 ".to_owned()),
            since_ms: Some(7),
            limit: Some(0),
        };
        for wanted in [Wanted::default(), everything] {
            assert_eq!(parse(&wanted.command()), Ok(Command::Events(wanted)));
        }
    }

    #[test]
    fn quoting_is_undone_by_parsing() {
        let odd = b"a \"b\\ \xff";
        let line = [b"list cluster ".to_vec(), quoted(odd)].concat();
        let expected = Command::List {
            verbose: false,
            cluster: Some(ClusterName::new(odd)),
        };
        assert_eq!(parse(&line), Ok(expected));
    }
}
