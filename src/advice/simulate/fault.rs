//! What goes wrong, and how it is written.

use crate::advice::words::list;
use crate::wire::NodeId;
use std::fmt;

/// Something that happens to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The network between the nodes falls apart; each part still reaches the arbiter. Nodes that
    /// are in no part stay together.
    Cut(Vec<Vec<NodeId>>),
    /// All links work again. Nodes and an arbiter that were killed stay down.
    Heal,
    /// These nodes can't reach the arbiter any more, silently; all nodes if the list is empty.
    LoseArbiter(Vec<NodeId>),
    /// All nodes can reach the arbiter again; the links between the nodes stay as they are.
    FindArbiter,
    /// The arbiter's process ends; its connections are closed.
    KillArbiter,
    /// The arbiter starts again and takes up what it wrote down; first ends if it runs.
    RestartArbiter,
    /// The node loses its power.
    Kill(NodeId),
    /// The node shuts down in good order.
    Stop(NodeId),
    /// The node boots; first loses its power if it runs.
    Restart(NodeId),
    /// The node goes on running, but reaches neither the other nodes nor the arbiter.
    Isolate(NodeId),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(parts) => {
                let parts: Vec<String> = parts.iter().map(list).collect();
                write!(f, "cut {}", parts.join("|"))
            }
            Self::Heal => f.write_str("heal"),
            Self::LoseArbiter(nodes) if nodes.is_empty() => f.write_str("lose arbiter"),
            Self::LoseArbiter(nodes) => write!(f, "lose arbiter {}", list(nodes)),
            Self::FindArbiter => f.write_str("find arbiter"),
            Self::KillArbiter => f.write_str("kill arbiter"),
            Self::RestartArbiter => f.write_str("restart arbiter"),
            Self::Kill(node) => write!(f, "kill {node}"),
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Isolate(node) => write!(f, "isolate {node}"),
        }
    }
}

/// A text is no fault of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not the beginning of any fault.
    #[error(
        "{0:?} is no fault; there are: cut 1|2,3  heal  lose arbiter  lose arbiter 1,2  \
         find arbiter  kill arbiter  restart arbiter  kill 1  stop 1  restart 1  isolate 1"
    )]
    Unknown(String),
    /// Something is missing behind it.
    #[error("{fault:?} needs {needs} behind it")]
    Incomplete {
        /// The beginning.
        fault: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Not a node id of the cluster.
    #[error("{text:?} is no node of the cluster, whose nodes are {nodes}")]
    NoSuchNode {
        /// What was written.
        text: String,
        /// The nodes that there are.
        nodes: String,
    },
    /// A node is in two parts, or a part is empty.
    #[error("{0:?} does not divide the cluster: name each node once, the parts apart by |")]
    Parts(String),
}

/// Reads faults, one after the other. Words may be in one text or in several: `["cut 1|2", "kill
/// 1"]` and `["cut", "1|2", "kill", "1"]` are the same.
///
/// # Errors
/// [`FaultError`].
pub fn parse<S: AsRef<str>>(texts: &[S], nodes: &[NodeId]) -> Result<Vec<Fault>, FaultError> {
    let joined: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let words = words(&joined.join(" "));
    let mut words = words.iter().map(String::as_str).peekable();
    let mut faults = Vec::new();
    while let Some(word) = words.next() {
        let fault = match word {
            "cut" => {
                let needs = "parts, as in cut 1|2,3";
                let text = words.next().ok_or(FaultError::Incomplete {
                    fault: "cut",
                    needs,
                })?;
                parts(text, nodes)?
            }
            "heal" => Fault::Heal,
            "lose" => {
                let needs = "arbiter";
                words.next_if_eq(&"arbiter").ok_or(FaultError::Incomplete {
                    fault: "lose",
                    needs,
                })?;
                let some = words.next_if(|next| next.starts_with(|c: char| c.is_ascii_digit()));
                Fault::LoseArbiter(some.map_or(Ok(Vec::new()), |text| ids(text, nodes))?)
            }
            "find" => {
                let needs = "arbiter";
                words.next_if_eq(&"arbiter").ok_or(FaultError::Incomplete {
                    fault: "find",
                    needs,
                })?;
                Fault::FindArbiter
            }
            "kill" if words.next_if_eq(&"arbiter").is_some() => Fault::KillArbiter,
            "restart" if words.next_if_eq(&"arbiter").is_some() => Fault::RestartArbiter,
            "kill" => Fault::Kill(one("kill", words.next(), nodes)?),
            "stop" => Fault::Stop(one("stop", words.next(), nodes)?),
            "restart" => Fault::Restart(one("restart", words.next(), nodes)?),
            "isolate" => Fault::Isolate(one("isolate", words.next(), nodes)?),
            other => return Err(FaultError::Unknown(other.to_owned())),
        };
        faults.push(fault);
    }
    Ok(faults)
}

/// Words without the blanks around separators, so that `1 | 2, 3` is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_separator = |c: char| c == '|' || c == ',';
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if last.ends_with(is_separator) || word.starts_with(is_separator) => {
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn one(fault: &'static str, text: Option<&str>, nodes: &[NodeId]) -> Result<NodeId, FaultError> {
    let needs = "a node id";
    id(text.ok_or(FaultError::Incomplete { fault, needs })?, nodes)
}

fn id(text: &str, nodes: &[NodeId]) -> Result<NodeId, FaultError> {
    let found = text.parse().ok().map(NodeId);
    found
        .filter(|id| nodes.contains(id))
        .ok_or_else(|| FaultError::NoSuchNode {
            text: text.to_owned(),
            nodes: list(nodes),
        })
}

fn ids(text: &str, nodes: &[NodeId]) -> Result<Vec<NodeId>, FaultError> {
    text.split(',').map(|text| id(text, nodes)).collect()
}

fn parts(text: &str, nodes: &[NodeId]) -> Result<Fault, FaultError> {
    let wrong = || FaultError::Parts(text.to_owned());
    if text.split('|').any(str::is_empty) {
        return Err(wrong());
    }
    let parts = text
        .split('|')
        .map(|part| ids(part, nodes))
        .collect::<Result<Vec<_>, _>>()?;
    let mut named: Vec<NodeId> = parts.iter().flatten().copied().collect();
    let count = named.len();
    named.sort_unstable();
    named.dedup();
    let whole = parts.len() == 1 && count == nodes.len();
    if named.len() != count || whole {
        return Err(wrong());
    }
    Ok(Fault::Cut(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<NodeId> {
        (1..=4).map(NodeId).collect()
    }

    #[test]
    fn faults_are_read_as_they_are_written() {
        for text in [
            "cut 1|2,3",
            "cut 1,2|3,4",
            "cut 3",
            "heal",
            "lose arbiter",
            "lose arbiter 1,2",
            "find arbiter",
            "kill arbiter",
            "restart arbiter",
            "kill 2",
            "stop 2",
            "restart 2",
            "isolate 4",
        ] {
            let faults = parse(&[text], &nodes()).unwrap();
            let again: Vec<String> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(again, [text]);
        }
    }

    #[test]
    fn blanks_and_arguments_do_not_matter() {
        let expected = parse(&["cut 1|2,3", "lose arbiter", "kill 2"], &nodes()).unwrap();
        for texts in [
            &["cut", "1|2,3", "lose", "arbiter", "kill", "2"][..],
            &["cut 1 | 2, 3 lose arbiter kill 2"],
            &["cut 1 |2 ,3", "lose arbiter", "", "kill 2"],
        ] {
            assert_eq!(parse(texts, &nodes()).unwrap(), expected, "{texts:?}");
        }
        assert_eq!(parse::<&str>(&[], &nodes()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_fault_is_named() {
        let table = [
            ("explode", "\"explode\" is no fault"),
            ("cut", "\"cut\" needs parts"),
            ("kill", "\"kill\" needs a node id"),
            ("lose", "\"lose\" needs arbiter"),
            ("lose 1", "\"lose\" needs arbiter"),
            (
                "kill 9",
                "\"9\" is no node of the cluster, whose nodes are 1,2,3,4",
            ),
            ("kill x", "\"x\" is no node"),
            ("cut 1|1", "does not divide"),
            ("cut 1|", "does not divide"),
            ("cut 1,2,3,4", "does not divide"),
            ("cut 1,,2", "\"\" is no node"),
        ];
        for (text, expected) in table {
            let error = parse(&[text], &nodes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
