//! Turns of phrase that several texts share.

use crate::engine::Rule;
use crate::engine::snapshot::ClusterSnapshot;
use crate::pki::expiry::quoted;
use crate::wire::{NodeId, TieBreaker};
use std::time::Duration;

/// Longest list of nodes that is spelled out.
const LONGEST_LIST: usize = 16;

/// Longest name that goes into a command, bytes; longer ones are cut short where they are shown.
const LONGEST_NAME: usize = 128;

/// `1,2,3`; long lists are cut short.
pub(crate) fn list<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> String {
    let mut text = String::new();
    for (i, node) in nodes.into_iter().enumerate() {
        if i == LONGEST_LIST {
            return text + ",...";
        }
        if i > 0 {
            text.push(',');
        }
        text += &node.to_string();
    }
    text
}

/// `node 1` or `nodes 1,2`.
pub(crate) fn nodes(list_of: &[NodeId]) -> String {
    match list_of {
        [only] => format!("node {only}"),
        several => format!("nodes {}", list(several)),
    }
}

/// `nodes`, at the beginning of a sentence.
pub(crate) fn nodes_capital(list_of: &[NodeId]) -> String {
    nodes(list_of).replacen('n', "N", 1)
}

/// The form of a verb that goes with so many nodes.
pub(crate) fn verb(count: usize, one: &'static str, several: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

/// The command that states that a cluster's unreachable nodes no longer cast the vote. `shown` is
/// the name as [`ClusterName`](crate::wire::ClusterName) shows it.
pub(crate) fn release_of(shown: &str) -> String {
    // A name that is shown with escapes or cut short is not what the command wants.
    let is_whole = !shown.contains('\\') && shown.len() <= LONGEST_NAME;
    let name = if is_whole {
        quoted(shown)
    } else {
        "NAME".to_owned()
    };
    format!("qarbiter release --cluster {name}")
}

/// [`release_of`] for this cluster.
pub(crate) fn release(cluster: &ClusterSnapshot) -> String {
    release_of(&cluster.name.to_string())
}

/// A small number in words.
pub(crate) fn number(count: u32) -> String {
    match count {
        0 => "no".to_owned(),
        1 => "one".to_owned(),
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        _ => count.to_string(),
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// As in `corosync.conf`.
pub(crate) fn tie_breaker_setting(rule: TieBreaker) -> String {
    match rule {
        TieBreaker::Lowest => "lowest".to_owned(),
        TieBreaker::Highest => "highest".to_owned(),
        TieBreaker::Node(node) => node.to_string(),
    }
}

/// The tie-breaker's value as in `corosync.conf`: `lowest`, `highest` or a node id.
pub(crate) fn tie_breaker(text: &str) -> Option<TieBreaker> {
    match text {
        "lowest" => Some(TieBreaker::Lowest),
        "highest" => Some(TieBreaker::Highest),
        number => match number.parse() {
            Ok(0) | Err(_) => None,
            Ok(id) => Some(TieBreaker::Node(NodeId(id))),
        },
    }
}

/// The rule as a clause after "holds the vote".
pub(crate) fn because(rule: &Rule) -> String {
    match rule {
        Rule::TieBreaker { rule, .. } => {
            format!("because the tie-breaker is {}", tie_breaker_setting(*rule))
        }
        Rule::FirstOfTie { rule } => format!(
            "because no side has the tie-breaker ({rule}) and that side has the lowest connected \
             node id"
        ),
        Rule::OnlyHalf { .. } => "because no node of the other half is connected".to_owned(),
        Rule::Majority {
            members,
            configured,
        } if members == configured => "because all configured nodes see each other".to_owned(),
        Rule::Majority {
            members,
            configured,
        } => format!("because {members} of {configured} configured nodes are on that side"),
        Rule::KeepActive => "because that side was active before".to_owned(),
        Rule::Incumbent => {
            "because that side had the vote before, and the others are new here".to_owned()
        }
        Rule::Score { score, rival } => format!(
            "because that side's score is {score} against {rival} (connected nodes and heuristics)"
        ),
        Rule::Connected { connected, rival } => {
            format!("because {connected} nodes of that side are connected against {rival}")
        }
        Rule::Largest { size, rival } => format!(
            "because scores are equal and that side has {size} connected nodes against {rival}"
        ),
        other => format!("because {other}"),
    }
}

/// What nobody's having the vote comes from, as a clause of its own.
pub(crate) fn nobody(rule: &Rule) -> String {
    match rule {
        Rule::Undecided => "nothing was decided yet".to_owned(),
        other => other.to_string(),
    }
}

/// A time in words, rounded down.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_numbers() {
        let many: Vec<NodeId> = (1..=20).map(NodeId).collect();
        assert_eq!(list(&many), "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,...");
        assert_eq!(nodes(&[NodeId(3)]), "node 3");
        assert_eq!(nodes_capital(&[NodeId(3), NodeId(9)]), "Nodes 3,9");
        assert_eq!(seconds(Duration::from_millis(17_600)), 18);
        assert_eq!(seconds(Duration::from_secs(3)), 3);
    }

    #[test]
    fn a_tie_breaker_is_read_as_it_is_written() {
        for rule in [
            TieBreaker::Lowest,
            TieBreaker::Highest,
            TieBreaker::Node(NodeId(7)),
        ] {
            assert_eq!(tie_breaker(&tie_breaker_setting(rule)), Some(rule));
        }
        for text in ["", "0", "-1", "Lowest", "4294967296"] {
            assert_eq!(tie_breaker(text), None, "{text}");
        }
    }
}
