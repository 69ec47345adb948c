//! The decision algorithms: pure functions over the clients of one cluster.
//!
//! Each says which partition should have the vote and why. Who is told, in which order, and what
//! must be proven first is the business of [`super::cluster`].

pub(crate) mod ffsplit;
pub(crate) mod lms;
pub(crate) mod repaired;
pub(crate) mod two_node_lms;

use super::client::Client;
use crate::wire::NodeId;

/// The client of `node`; `clients` are in ascending node id order.
pub(crate) fn client_of(clients: &[Client], node: NodeId) -> Option<&Client> {
    clients
        .binary_search_by_key(&node, |client| client.node)
        .ok()
        .and_then(|at| clients.get(at))
}
