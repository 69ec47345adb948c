//! Vote arithmetic: what a device's vote is worth on the nodes (algorithms spec, section 10).
//!
//! Corosync counts the votes itself; the arbiter computes them to tell its operator what a
//! failure would mean.

use crate::wire::Algorithm;

/// Most nodes of a corosync cluster.
pub const MAX_NODES: u32 = 384;

/// What a cluster of nodes with one vote each can bear, once all its nodes have been members.
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
    /// What a split into two halves of the same size means; `None` for an odd number of nodes.
    pub halves: Option<Halves>,
}

/// Whether one half of an exact split keeps its quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Halves {
    /// The half that is given the device's vote, while the arbiter is up.
    pub with_arbiter: bool,
    /// Either half while the arbiter is down.
    pub without_arbiter: bool,
}

impl Arithmetic {
    /// Whether a node is quorate that sees `members` nodes, itself included, and whose own device
    /// casts the vote or does not (algorithms spec, section 10.2).
    pub const fn is_quorate(&self, members: u32, device_casts: bool) -> bool {
        let device = if device_casts { self.device_votes } else { 0 };
        members.saturating_add(device) >= self.quorum
    }

    /// The fewest nodes that can be given the device's vote and are quorate with it.
    pub const fn fewest_with_arbiter(&self) -> u32 {
        self.nodes.saturating_sub(self.tolerated_with_arbiter)
    }
}

/// The usual arithmetic of `nodes` nodes.
///
/// `None` for fewer than two nodes, which an arbiter has nothing to decide between, for an
/// algorithm without arithmetic, and for `2nodelms` with any other number than two.
pub fn arithmetic(nodes: u32, algorithm: Algorithm) -> Option<Arithmetic> {
    let device_votes = match algorithm {
        Algorithm::FfSplit => 1,
        Algorithm::Lms => nodes.checked_sub(1)?,
        Algorithm::TwoNodeLms if nodes == 2 => 1,
        Algorithm::TwoNodeLms | Algorithm::Test => return None,
    };
    let expected_votes = nodes.checked_add(device_votes).filter(|_| nodes >= 2)?;
    let quorum = expected_votes / 2 + 1;
    let with_device = match algorithm {
        // Fewer than half of the nodes never get the vote.
        Algorithm::FfSplit => quorum.saturating_sub(1).max(nodes.div_ceil(2)),
        _ => quorum.saturating_sub(device_votes).max(1),
    };
    let half = nodes / 2;
    Some(Arithmetic {
        nodes,
        device_votes,
        expected_votes,
        quorum,
        tolerated_with_arbiter: nodes.saturating_sub(with_device),
        tolerated_without_arbiter: nodes.saturating_sub(quorum),
        tolerated_with_no_device: (nodes - 1) / 2,
        halves: (nodes % 2 == 0).then_some(Halves {
            with_arbiter: half.saturating_add(device_votes) >= quorum,
            without_arbiter: half >= quorum,
        }),
    })
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
        assert_eq!(
            arithmetic(2, Algorithm::TwoNodeLms),
            arithmetic(2, Algorithm::FfSplit)
        );
    }

    /// What the columns mean, counted out: the tolerated number survives, one more does not.
    #[test]
    fn the_columns_are_what_counting_says() {
        for nodes in 2..=MAX_NODES {
            for algorithm in [Algorithm::FfSplit, Algorithm::Lms] {
                let sums = arithmetic(nodes, algorithm).unwrap();
                let left = sums.fewest_with_arbiter();
                assert!(sums.is_quorate(left, true), "{algorithm} {nodes}");
                // ffsplit does not give the vote to fewer than half, whatever they would count.
                let refused = algorithm == Algorithm::FfSplit && 2 * (left - 1) < nodes;
                assert!(left == 1 || refused || !sums.is_quorate(left - 1, true));
                let left = nodes - sums.tolerated_without_arbiter;
                assert!(sums.is_quorate(left, false) && !sums.is_quorate(left - 1, false));
                let halves = sums.halves.map(|h| (h.with_arbiter, h.without_arbiter));
                assert_eq!(halves, (nodes % 2 == 0).then_some((true, false)));
            }
        }
    }

    #[test]
    fn no_nodes_no_numbers() {
        for nodes in [0, 1] {
            assert_eq!(arithmetic(nodes, Algorithm::FfSplit), None);
            assert_eq!(arithmetic(nodes, Algorithm::Lms), None);
        }
        assert_eq!(arithmetic(u32::MAX, Algorithm::Lms), None);
        assert_eq!(arithmetic(2, Algorithm::Test), None);
        assert_eq!(arithmetic(3, Algorithm::TwoNodeLms), None);
    }
}
