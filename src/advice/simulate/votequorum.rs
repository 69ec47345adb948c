//! Votequorum on one node (algorithms spec, sections 10.1 and 10.2).

use super::setup::Setup;
use crate::wire::{NodeId, RingId};

/// What corosync on one node sees and counts.
#[derive(Debug, Clone)]
pub(super) struct Votequorum {
    pub(super) ring: RingId,
    pub(super) members: Vec<NodeId>,
    /// Expected votes: never fewer than before.
    pub(super) expected: u32,
    /// Votes needed: never fewer than before.
    pub(super) quorum: u32,
    /// Votes counted last.
    pub(super) votes: u32,
    pub(super) quorate: bool,
    /// Whether the device's vote was in the last count.
    pub(super) device_counted: bool,
    /// Whether it waits for the device's first cast for the present membership.
    pub(super) syncing: bool,
    waits_for_all: bool,
}

impl Votequorum {
    /// Of a node that has just booted.
    pub(super) fn new(setup: &Setup, node: NodeId) -> Self {
        let sums = setup.sums();
        let expected = if setup.votes_written {
            sums.nodes
        } else {
            sums.expected_votes
        };
        Self {
            ring: RingId::new(node.0, 0),
            members: vec![node],
            expected,
            quorum: expected / 2 + 1,
            votes: 0,
            quorate: false,
            device_counted: false,
            syncing: true,
            waits_for_all: setup.wait_for_all,
        }
    }

    /// A new membership; `expected` is the most that any of its members expects.
    pub(super) fn joined(&mut self, ring: RingId, members: &[NodeId], expected: u32) {
        self.ring = ring;
        self.members = members.to_vec();
        self.expected = self.expected.max(expected);
        self.syncing = true;
    }

    /// Counts. Returns whether there is something to tell the client.
    pub(super) fn count(&mut self, setup: &Setup, device_casts: bool) -> bool {
        let device = setup.sums().device_votes;
        let present = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let most = present.saturating_add(device);
        self.votes = if device_casts { most } else { present };
        self.device_counted = device_casts;
        // The device counts in what is expected whether it casts or not.
        self.expected = self.expected.max(most);
        self.quorum = self.quorum.max(self.expected / 2 + 1);
        if self.votes == self.expected {
            self.waits_for_all = false;
        }
        let quorate = self.votes >= self.quorum && !self.waits_for_all;
        let news = quorate != self.quorate || self.syncing;
        self.quorate = quorate;
        self.syncing = false;
        news
    }
}
