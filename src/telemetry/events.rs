//! One line for each thing that an operator cares about.

use super::budget::Budget;
use crate::engine::{Action, Event, LeaveCause, Verdict, Waiting};
use crate::wire::{ClusterName, ErrorCode, NodeId};
use std::fmt::Display;
use std::time::Instant;
use tracing::{debug, error, info, warn};

/// Refusals of one connection that are logged as warnings; more are detail.
const LOUD_REFUSALS: u32 = 3;

/// The lines that anybody can cause who reaches the port.
static STRANGERS: Budget = Budget::new();

/// Whether a line that a stranger caused may be loud.
fn may_be_loud() -> bool {
    let Some(left_out) = STRANGERS.take(Instant::now()) else {
        return false;
    };
    if left_out > 0 {
        warn!("{left_out} lines about refused connections were left out, there were too many");
    }
    true
}

/// A connection was not taken, for lack of room.
pub(crate) fn turned_away(why: &dyn Display) {
    if may_be_loud() {
        error!("{why}");
    } else {
        debug!("{why}");
    }
}

/// Logs the events among the actions of a cluster's timer.
pub fn report(actions: &[Action], address: &str) {
    let mut refusals = 0;
    report_for(actions, address, &mut refusals);
}

/// Logs the events among the actions that the client at `address` caused.
pub fn report_for(actions: &[Action], address: &str, refusals: &mut u32) {
    for action in actions {
        match action {
            Action::Event(event) => log_event(event, address, refusals),
            Action::Record(grant) => debug!(
                "cluster {:?}: grant {} to {} nodes in ring {}",
                grant.cluster,
                grant.epoch,
                grant.partition.nodes.len(),
                grant.partition.ring
            ),
            Action::Send { .. } | Action::StartTls { .. } | Action::Close { .. } => {}
        }
    }
}

fn log_event(event: &Event, address: &str, refusals: &mut u32) {
    let address = plain(address);
    let text = Text(event);
    match event {
        Event::Joined { cluster, .. }
        | Event::Left { cluster, .. }
        | Event::Told { cluster, .. }
        | Event::LeaseEnded { cluster, .. } => info!("cluster {cluster:?}: {text}"),
        Event::Answered { cluster, .. } => debug!("cluster {cluster:?}: {text}"),
        Event::Decided { cluster, decision } => match decision.waiting {
            // Short states on the way to a decision.
            Some(Waiting::MembershipDiffers { .. } | Waiting::Confirmation { .. }) => {
                debug!("cluster {cluster:?}: {text}");
            }
            _ => info!("cluster {cluster:?}: {text}"),
        },
        Event::Refused { .. } => {
            *refusals = refusals.saturating_add(1);
            if *refusals <= LOUD_REFUSALS && may_be_loud() {
                warn!("client {address}: {text}");
            } else {
                debug!("client {address}: {text}");
            }
        }
        Event::TestAlgorithm { cluster, .. }
        | Event::ClearText { cluster, .. }
        | Event::LongLease { cluster, .. } => warn!("cluster {cluster:?}: {text}"),
    }
}

/// An event in words, without its cluster.
pub(crate) struct Text<'a>(pub(crate) &'a Event);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Event::Joined {
                node,
                peer,
                algorithm,
                ..
            } => write!(
                f,
                "node {node} connected from {} ({}, {})",
                plain(&peer.address),
                match (peer.tls, peer.verified) {
                    (true, true) => "TLS, certificate verified",
                    (true, false) => "TLS, no certificate",
                    (false, _) => "clear text",
                },
                algorithm.config_name()
            ),
            Event::Left {
                node, peer, cause, ..
            } => {
                let how = match cause {
                    LeaveCause::ClosedByPeer => "it closed the connection",
                    LeaveCause::DeadPeer => "it was silent for too long",
                    LeaveCause::NetworkLost => "the network lost it",
                    LeaveCause::Dropped => "disconnected by us",
                    LeaveCause::Shutdown => "the arbiter is going down",
                };
                write!(f, "node {node} at {} left: {how}", plain(&peer.address))
            }
            Event::Told {
                node,
                verdict,
                ring,
                why,
                ..
            } => {
                let verb = match verdict {
                    Verdict::Ack => "has the vote",
                    Verdict::Nack => "does not have the vote",
                };
                write!(f, "node {node} {verb} in ring {ring}")?;
                match why {
                    Some(why) => write!(f, ": {why}"),
                    None => Ok(()),
                }
            }
            Event::Answered {
                node, vote, pushed, ..
            } => {
                let how = if *pushed { "told" } else { "answered" };
                write!(f, "node {node} {how} {vote}")
            }
            Event::Decided { decision, .. } => decision.fmt(f),
            Event::LeaseEnded {
                node,
                ring,
                by_operator,
                ..
            } => write!(
                f,
                "node {node} no longer holds the vote of ring {ring}: {}",
                if *by_operator {
                    "released by the operator"
                } else {
                    "its time is over"
                }
            ),
            Event::Refused { code, why, .. } => write!(f, "{}{why}", Refused(*code)),
            Event::TestAlgorithm { node, .. } => write!(
                f,
                "node {node} uses the test algorithm, which can make several partitions quorate \
                 at once; never use it where data matters"
            ),
            Event::ClearText { node, peer, .. } => write!(
                f,
                "node {node} at {} uses clear text, so nobody knows who it is; \
                 set -s req here and quorum.device.net.tls: required on the nodes",
                plain(&peer.address)
            ),
            Event::LongLease { node, lease_ms, .. } => write!(
                f,
                "if node {node} is lost silently, its vote is withheld from others for {} s, \
                 longer than corosync waits by default (sync_timeout 30 s); \
                 set sync_timeout above that, or quorum.device.timeout lower",
                lease_ms.div_ceil(1000)
            ),
        }
    }
}

/// A client named its cluster, was not refused anything, and left without joining.
pub(crate) fn gone(address: &str, cluster: &ClusterName, end: &dyn Display) {
    let address = plain(address);
    if may_be_loud() {
        warn!("client {address} (cluster {cluster:?}): gone before it joined: {end}");
    } else {
        debug!("client {address} (cluster {cluster:?}): gone before it joined: {end}");
    }
}

/// A connection ended; nodes have their own line for it, and refusals have had theirs.
pub(crate) fn ended(
    address: &str,
    cluster: Option<&ClusterName>,
    node: Option<NodeId>,
    end: &dyn Display,
) {
    let address = plain(address);
    match (cluster, node) {
        (Some(cluster), Some(node)) => {
            debug!("client {address} (cluster {cluster:?}, node {node}): {end}");
        }
        (Some(cluster), None) => debug!("client {address} (cluster {cluster:?}): {end}"),
        (None, _) => debug!("client {address}: {end}"),
    }
}

/// An address for people: an IPv4 client of an IPv6 socket without the prefix that marks it.
pub(crate) fn plain(address: &str) -> &str {
    match address.strip_prefix("::ffff:") {
        Some(v4) if v4.contains('.') => v4,
        _ => address,
    }
}

struct Refused(ErrorCode);

impl Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            // The connection is closed without an answer.
            ErrorCode::NoError => f.write_str("refused: "),
            code => write!(f, "refused with code {}: ", code.to_wire()),
        }
    }
}
