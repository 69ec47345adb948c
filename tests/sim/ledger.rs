//! A second, independent book of the votes that the arbiter gave, kept from what passes over the
//! wire, by the rules of the safety spec, section 3.

use crate::plan::Setup;
use qarbiter::engine::{LeaveCause, LostHolder};
use qarbiter::wire::{Algorithm, RingId};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Given {
    conn: u64,
    ring: RingId,
    members: Vec<u32>,
    deadline: Option<u64>,
    closed: bool,
}

/// Who was told ACK and has not been proven to have stopped.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    given: BTreeMap<u32, Given>,
    /// Last membership that the server received from a node.
    reported: BTreeMap<u32, (RingId, Vec<u32>)>,
    /// Last answer to the heartbeat check, by connection.
    answered: BTreeMap<u64, u64>,
    /// NACKs by push number, of the present connection.
    nacks: BTreeMap<u32, u32>,
}

impl Ledger {
    /// The server received a membership.
    pub(crate) fn membership(&mut self, node: u32, ring: RingId, members: Vec<u32>) {
        self.reported.insert(node, (ring, members));
        self.given.retain(|holder, given| {
            if *holder == node {
                given.ring == ring
            } else {
                !(given.closed && given.members.contains(&node) && ring.seq > given.ring.seq)
            }
        });
    }

    pub(crate) fn answered(&mut self, now: u64, conn: u64) {
        self.answered.insert(conn, now);
    }

    /// The server sends a NACK with this number.
    pub(crate) fn nack(&mut self, node: u32, seq: u32) {
        self.nacks.insert(node, seq);
    }

    /// The server received a confirmation.
    pub(crate) fn confirmed(&mut self, node: u32, seq: u32) {
        if self.nacks.get(&node) == Some(&seq) {
            self.given.remove(&node);
        }
    }

    /// The server's side of the connection ended.
    pub(crate) fn ended(
        &mut self,
        now: u64,
        setup: &Setup,
        node: u32,
        conn: u64,
        cause: LeaveCause,
    ) {
        self.expire(now);
        self.nacks.remove(&node);
        let closed = cause == LeaveCause::ClosedByPeer;
        if setup.algorithm == Algorithm::FfSplit && closed {
            self.given.remove(&node);
        }
        let endless =
            setup.algorithm != Algorithm::FfSplit && setup.policy.lost_holder == LostHolder::Manual;
        let last = self.answered.remove(&conn).unwrap_or(0);
        if let Some(given) = self.given.get_mut(&node) {
            if given.conn == conn {
                given.deadline = (!endless).then_some(last + setup.lease());
            }
            given.closed = closed && !endless;
        }
        let rings: Vec<(u32, RingId, Vec<u32>)> = self
            .reported
            .iter()
            .filter(|(other, _)| **other != node)
            .map(|(other, (ring, members))| (*other, *ring, members.clone()))
            .collect();
        for (other, ring, members) in rings {
            self.membership(other, ring, members);
        }
        self.reported.remove(&node);
    }

    /// The server was started anew. What it wrote down before may be older than what it knew, so
    /// it may wait for more than this.
    pub(crate) fn restarted(&mut self, setup: &Setup) {
        let endless =
            setup.algorithm != Algorithm::FfSplit && setup.policy.lost_holder == LostHolder::Manual;
        for given in self.given.values_mut() {
            if let Some(last) = self.answered.get(&given.conn) {
                given.deadline = (!endless).then_some(last + setup.lease());
            }
            given.closed = false;
        }
        self.answered.clear();
        self.reported.clear();
        self.nacks.clear();
    }

    /// The server sends an ACK.
    ///
    /// # Errors
    /// Somebody in another partition may still be casting.
    pub(crate) fn ack(
        &mut self,
        now: u64,
        node: u32,
        conn: u64,
        ring: RingId,
    ) -> Result<(), String> {
        self.expire(now);
        self.nacks.remove(&node);
        for (holder, given) in &self.given {
            if *holder != node && given.ring != ring {
                return Err(format!(
                    "node {node} is told ACK for ring {ring}, but node {holder} was told ACK for \
                     ring {} and has not been released",
                    given.ring
                ));
            }
        }
        let members = self
            .reported
            .get(&node)
            .map_or_else(|| vec![node], |(_, members)| members.clone());
        let given = Given {
            conn,
            ring,
            members,
            deadline: None,
            closed: false,
        };
        self.given.insert(node, given);
        Ok(())
    }

    fn expire(&mut self, now: u64) {
        self.given
            .retain(|_, given| given.deadline.is_none_or(|deadline| deadline > now));
    }
}
