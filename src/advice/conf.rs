//! What a `corosync.conf` says about the cluster's votes.

use super::simulate::Timing;
use super::words::tie_breaker;
use crate::wire::{Algorithm, NodeId, TieBreaker};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes, device and times of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    /// Name (`totem.cluster_name`).
    pub name: Option<String>,
    /// The nodes with their votes (`nodelist`).
    pub nodes: BTreeMap<NodeId, u32>,
    /// `quorum.device.votes`.
    pub device_votes: Option<u32>,
    /// `quorum.device.net.algorithm`.
    pub algorithm: Algorithm,
    /// `quorum.device.net.tie_breaker`.
    pub tie_breaker: TieBreaker,
    /// `quorum.wait_for_all`.
    pub wait_for_all: bool,
    /// Its times.
    pub timing: Timing,
}

/// A file is no `corosync.conf` with a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A line is neither `key: value`, nor `section {`, nor `}`.
    #[error("line {line} is neither `key: value` nor `section {{` nor `}}`")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A closing brace is missing or too many.
    #[error("the braces are not in pairs (line {line})")]
    Braces {
        /// The line, from 1.
        line: usize,
    },
    /// A value can't be read.
    #[error("{key}: {value:?} is not {wanted}")]
    Value {
        /// Where it is, such as `quorum.device.votes`.
        key: String,
        /// What is there.
        value: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// A node without a node id.
    #[error("a node in nodelist has no nodeid, or one that another node has")]
    NodeId,
    /// No nodes.
    #[error("there is no nodelist")]
    NoNodes,
    /// An option that corosync does not have together with a device.
    #[error("corosync refuses {key} together with an arbiter: remove it")]
    NotWithDevice {
        /// The option.
        key: String,
    },
    /// Expected votes that corosync refuses together with a device.
    #[error(
        "corosync refuses quorum.expected_votes together with an arbiter unless \
         quorum.device.votes is there and smaller by 2 or more: remove it"
    )]
    ExpectedVotes,
    /// Expected votes that need not be those of the nodes.
    #[error(
        "quorum.expected_votes can't be simulated: remove it, so that they follow from the nodelist"
    )]
    OwnExpectedVotes,
    /// No `quorum.device.net`.
    #[error("there is no arbiter in it (quorum.device with model: net)")]
    NoDevice,
}

/// Reads the text of a `corosync.conf`.
///
/// # Errors
/// [`ConfError`].
pub fn parse(text: &str) -> Result<ClusterFile, ConfError> {
    let entries = entries(text)?;
    let get = |key: &str| {
        // The last one counts.
        let found = entries.iter().rev().find(|entry| entry.key == key);
        found.map(|entry| entry.value.as_str())
    };
    if get("quorum.device.model") != Some("net") {
        return Err(ConfError::NoDevice);
    }
    let milliseconds = |key: &str, usual: Duration| match get(key) {
        None => Ok(usual),
        Some(value) => number(key, value).map(|ms| Duration::from_millis(u64::from(ms))),
    };
    let usual = Timing::default();
    let algorithm = match get("quorum.device.net.algorithm") {
        None => Algorithm::FfSplit,
        Some(name) => algorithm(name).ok_or_else(|| ConfError::Value {
            key: "quorum.device.net.algorithm".to_owned(),
            value: name.to_owned(),
            wanted: "ffsplit, lms or 2nodelms",
        })?,
    };
    let rule = match get("quorum.device.net.tie_breaker") {
        None => TieBreaker::Lowest,
        Some(text) => tie_breaker(text).ok_or_else(|| ConfError::Value {
            key: "quorum.device.net.tie_breaker".to_owned(),
            value: text.to_owned(),
            wanted: "lowest, highest or a node id",
        })?,
    };
    let device_votes = get("quorum.device.votes")
        .map(|votes| number("quorum.device.votes", votes))
        .transpose()?;
    restrictions(get, device_votes)?;
    Ok(ClusterFile {
        name: get("totem.cluster_name").map(str::to_owned),
        nodes: nodes(&entries)?,
        device_votes,
        algorithm,
        tie_breaker: rule,
        wait_for_all: get("quorum.wait_for_all") == Some("1"),
        timing: Timing {
            device_timeout: milliseconds("quorum.device.timeout", usual.device_timeout)?,
            sync_timeout: milliseconds("quorum.device.sync_timeout", usual.sync_timeout)?,
            token: milliseconds("totem.token", usual.token)?,
        },
    })
}

/// What corosync does not have together with a device (algorithms spec, sections 10.1 and 10.4).
fn restrictions<'a>(
    get: impl Fn(&str) -> Option<&'a str>,
    device_votes: Option<u32>,
) -> Result<(), ConfError> {
    for option in [
        "two_node",
        "last_man_standing",
        "auto_tie_breaker",
        "allow_downscale",
    ] {
        let key = format!("quorum.{option}");
        if let Some(value) = get(&key) {
            if number(&key, value)? != 0 {
                return Err(ConfError::NotWithDevice { key });
            }
        }
    }
    let Some(expected) = get("quorum.expected_votes") else {
        return Ok(());
    };
    let expected = number("quorum.expected_votes", expected)?;
    let rest = device_votes.and_then(|device| expected.checked_sub(device));
    Err(match rest {
        Some(2..) => ConfError::OwnExpectedVotes,
        _ => ConfError::ExpectedVotes,
    })
}

/// The algorithm of this name, as in `corosync.conf`.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    let mut all = Algorithm::ALL.iter().copied();
    all.find(|algorithm| algorithm.config_name() == name)
}

/// One value.
struct Entry {
    /// Its key, with the sections around it.
    key: String,
    value: String,
    /// Number of the section that it is in.
    section: usize,
}

fn entries(text: &str) -> Result<Vec<Entry>, ConfError> {
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut sections = 0;
    let mut entries = Vec::new();
    let mut lines = 0;
    for (line, content) in (1..).zip(text.lines()) {
        lines = line;
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if let Some(name) = content.strip_suffix('{') {
            sections += 1;
            open.push((name.trim().to_owned(), sections));
        } else if content == "}" {
            open.pop().ok_or(ConfError::Braces { line })?;
        } else if let Some((key, value)) = content.split_once(':') {
            let mut path: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
            path.push(key.trim());
            entries.push(Entry {
                key: path.join("."),
                value: value.trim().to_owned(),
                section: open.last().map_or(0, |(_, section)| *section),
            });
        } else {
            return Err(ConfError::Line { line });
        }
    }
    if open.is_empty() {
        Ok(entries)
    } else {
        Err(ConfError::Braces { line: lines })
    }
}

fn nodes(entries: &[Entry]) -> Result<BTreeMap<NodeId, u32>, ConfError> {
    let mut sections: BTreeMap<usize, (Option<u32>, u32)> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|e| e.key.starts_with("nodelist.node."))
    {
        let (id, votes) = sections.entry(entry.section).or_insert((None, 1));
        match entry.key.as_str() {
            "nodelist.node.nodeid" => *id = Some(number(&entry.key, &entry.value)?),
            "nodelist.node.quorum_votes" => *votes = number(&entry.key, &entry.value)?,
            _ => {}
        }
    }
    let mut nodes = BTreeMap::new();
    for (id, votes) in sections.into_values() {
        let id = id.filter(|id| *id > 0).ok_or(ConfError::NodeId)?;
        if nodes.insert(NodeId(id), votes).is_some() {
            return Err(ConfError::NodeId);
        }
    }
    if nodes.is_empty() {
        return Err(ConfError::NoNodes);
    }
    Ok(nodes)
}

fn number(key: &str, value: &str) -> Result<u32, ConfError> {
    value.parse().map_err(|_| ConfError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        wanted: "a number",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # a comment
        totem {
            version: 2
            cluster_name: site-berlin
            token: 1500
            interface {
                linknumber: 0
            }
        }
        nodelist {
            node {
                name: a
                nodeid: 1
                quorum_votes: 1
                ring0_addr: 192.0.2.1
            }
            node {
                nodeid: 7
                ring0_addr: fd00::7
            }
        }
        quorum {
            provider: corosync_votequorum
            wait_for_all: 1
            device {
                model: net
                timeout: 5000
                votes: 1
                net {
                    tls: required
                    host: 192.0.2.9
                    algorithm: ffsplit
                    tie_breaker: 7
                }
            }
        }
    ";

    #[test]
    fn a_file_is_read() {
        let file = parse(FILE).unwrap();
        assert_eq!(file.name.as_deref(), Some("site-berlin"));
        assert_eq!(file.nodes, BTreeMap::from([(NodeId(1), 1), (NodeId(7), 1)]));
        assert_eq!(file.device_votes, Some(1));
        assert_eq!(file.algorithm, Algorithm::FfSplit);
        assert_eq!(file.tie_breaker, TieBreaker::Node(NodeId(7)));
        assert!(file.wait_for_all);
        assert_eq!(file.timing.device_timeout, Duration::from_secs(5));
        assert_eq!(file.timing.sync_timeout, Duration::from_secs(30));
        assert_eq!(file.timing.token, Duration::from_millis(1500));
        assert_eq!(file.timing.heartbeat(), Duration::from_secs(4));
    }

    #[test]
    fn what_is_not_said_is_corosyncs_default() {
        let text = "nodelist {\nnode {\nnodeid: 3\n}\n}\nquorum {\ndevice {\nmodel: net\n}\n}\n";
        let file = parse(text).unwrap();
        let timing = Timing::default();
        assert_eq!(
            (file.algorithm, file.tie_breaker),
            (Algorithm::FfSplit, TieBreaker::Lowest)
        );
        assert_eq!(
            (file.device_votes, file.wait_for_all, file.timing),
            (None, false, timing)
        );
    }

    /// The file with one more line in `quorum`.
    fn quorum(line: &str) -> String {
        FILE.replace("wait_for_all: 1", line)
    }

    /// Options that are switched off are no trouble.
    #[test]
    fn what_is_off_is_not_there() {
        let file = parse(&quorum("two_node: 0\nallow_downscale: 0")).unwrap();
        assert!(!file.wait_for_all);
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let table = [
            ("quorum {", "the braces are not in pairs (line 1)"),
            ("}", "the braces are not in pairs (line 1)"),
            ("totem {\nnonsense\n}", "line 2 is neither"),
            ("quorum {\n}", "there is no arbiter in it"),
            (
                &FILE.replace("timeout: 5000", "timeout: long"),
                "quorum.device.timeout: \"long\"",
            ),
            (
                &FILE.replace("nodeid: 7", "nodeid: 1"),
                "or one that another node has",
            ),
            (&FILE.replace("nodeid: 7", "name: b"), "has no nodeid"),
            (
                &FILE.replace("ffsplit", "magic"),
                "\"magic\" is not ffsplit, lms or 2nodelms",
            ),
            (
                &FILE.replace("tie_breaker: 7", "tie_breaker: 0"),
                "tie_breaker: \"0\" is not",
            ),
            (&FILE.replace("nodelist", "nodes"), "there is no nodelist"),
            (&quorum("two_node: 1"), "corosync refuses quorum.two_node"),
            (
                &quorum("last_man_standing: 1"),
                "corosync refuses quorum.last_man_standing",
            ),
            (
                &quorum("auto_tie_breaker: 1"),
                "corosync refuses quorum.auto_tie_breaker",
            ),
            (
                &quorum("allow_downscale: 1"),
                "corosync refuses quorum.allow_downscale",
            ),
            (&quorum("two_node: yes"), "quorum.two_node: \"yes\" is not"),
            (&quorum("expected_votes: 2"), "smaller by 2 or more"),
            (
                &quorum("expected_votes: 3"),
                "quorum.expected_votes can't be simulated",
            ),
            (
                &quorum("expected_votes: 3").replace(" votes: 1", " "),
                "corosync refuses quorum.expected_votes",
            ),
        ];
        for (text, expected) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
