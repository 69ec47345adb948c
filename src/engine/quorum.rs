//! Vote arithmetic: what a device's vote is worth on the nodes (algorithms spec, section 10).
//!
//! Corosync counts the votes itself; the arbiter computes them to tell its operator what a
//! failure would mean.

use crate::wire::Algorithm;

/// What a cluster of nodes with one vote each can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Arithmetic {
    /// Configured nodes, N.
    pub nodes: u32,
    /// Votes of the device: 1 with ffsplit, N-1 with lms.
    pub device_votes: u32,
    /// Expected votes, E.
    pub expected_votes: u32,
    /// Votes needed, Q.
    pub quorum: u32,
    /// Node failures that the rest survives while it holds the device's vote.
    pub tolerated_with_arbiter: u32,
    /// Node failures that the rest survives while the arbiter is down.
    pub tolerated_without_arbiter: u32,
    /// Node failures that it would survive with no device configured at all.
    pub tolerated_with_no_device: u32,
}

/// The usual arithmetic of `nodes` nodes, or `None` for no node or an algorithm without one.
///
/// `2nodelms` counts like `lms` (for two nodes both give the device one vote).
pub fn arithmetic(nodes: u32, algorithm: Algorithm) -> Option<Arithmetic> {
    let device_votes = match algorithm {
        Algorithm::FfSplit => 1,
        Algorithm::Lms | Algorithm::TwoNodeLms => nodes.checked_sub(1)?,
        Algorithm::Test => return None,
    };
    let expected_votes = nodes.checked_add(device_votes).filter(|_| nodes > 0)?;
    let quorum = expected_votes / 2 + 1;
    let with_device = match algorithm {
        // Fewer than half of the nodes never get the vote.
        Algorithm::FfSplit => quorum.saturating_sub(1).max(nodes.div_ceil(2)),
        _ => quorum.saturating_sub(device_votes).max(1),
    };
    Some(Arithmetic {
        nodes,
        device_votes,
        expected_votes,
        quorum,
        tolerated_with_arbiter: nodes.saturating_sub(with_device),
        tolerated_without_arbiter: nodes.saturating_sub(quorum),
        tolerated_with_no_device: (nodes - 1) / 2,
    })
}

/// What an operator should know about a device in a cluster of this many nodes.
pub fn warning(nodes: u32, algorithm: Algorithm) -> Option<String> {
    let sums = arithmetic(nodes, algorithm)?;
    let odd = nodes % 2 == 1 && nodes > 1;
    match algorithm {
        Algorithm::FfSplit if odd => Some(format!(
            "{nodes} nodes is an odd number: with ffsplit the arbiter makes it worse \
             (it survives {} node failures, without any arbiter {})",
            sums.tolerated_with_arbiter, sums.tolerated_with_no_device
        )),
        Algorithm::Lms if odd => Some(format!(
            "{nodes} nodes is an odd number: the arbiter has {} votes and is nearly a single \
             point of failure; while it is down, {} node may fail",
            sums.device_votes,
            if sums.tolerated_without_arbiter == 0 {
                "no"
            } else {
                "some"
            },
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of section 10.3.
    #[test]
    fn the_numbers_of_the_specification() {
        // N, ffsplit: Q, with, without; lms: E, Q, with, without
        let table = [
            (2, (2, 1, 0), (3, 2, 1, 0)),
            (3, (3, 1, 0), (5, 3, 2, 0)),
            (4, (3, 2, 1), (7, 4, 3, 0)),
            (5, (4, 2, 1), (9, 5, 4, 0)),
            (6, (4, 3, 2), (11, 6, 5, 0)),
            (8, (5, 4, 3), (15, 8, 7, 0)),
        ];
        for (nodes, (q, up, down), (lms_e, lms_q, lms_up, lms_down)) in table {
            let ff = arithmetic(nodes, Algorithm::FfSplit).unwrap();
            assert_eq!(ff.expected_votes, nodes + 1);
            assert_eq!(
                (
                    ff.quorum,
                    ff.tolerated_with_arbiter,
                    ff.tolerated_without_arbiter
                ),
                (q, up, down),
                "ffsplit, {nodes} nodes"
            );
            let lms = arithmetic(nodes, Algorithm::Lms).unwrap();
            assert_eq!((lms.expected_votes, lms.quorum), (lms_e, lms_q));
            assert_eq!(
                (lms.tolerated_with_arbiter, lms.tolerated_without_arbiter),
                (lms_up, lms_down),
                "lms, {nodes} nodes"
            );
        }
        let three = arithmetic(3, Algorithm::FfSplit).unwrap();
        assert_eq!(three.tolerated_with_no_device, 1);
    }

    #[test]
    fn no_nodes_no_numbers() {
        assert_eq!(arithmetic(0, Algorithm::FfSplit), None);
        assert_eq!(arithmetic(0, Algorithm::Lms), None);
        assert_eq!(arithmetic(u32::MAX, Algorithm::Lms), None);
        assert_eq!(arithmetic(2, Algorithm::Test), None);
    }

    #[test]
    fn odd_clusters_are_warned_about() {
        assert!(warning(2, Algorithm::FfSplit).is_none());
        assert!(warning(2, Algorithm::Lms).is_none());
        assert!(warning(3, Algorithm::FfSplit).is_some_and(|text| text.contains("worse")));
        let text = warning(3, Algorithm::Lms).unwrap();
        assert!(
            text.contains("2 votes") && text.contains("no node may fail"),
            "{text}"
        );
    }
}
