//! The decision core: messages and the time go in, votes and their reasons come out.
//!
//! Nothing in here performs I/O, reads a clock, logs or draws a random number. [`Session`] is one
//! connection up to and including the order in which its messages are checked; [`Cluster`] is the
//! clients of one cluster and what they are told; [`algo`] says which partition should have the
//! vote; [`lease`] says whether it may have it already; [`explain`] says why. [`Engine`] puts them
//! together for whoever wants to step a whole arbiter through virtual time.

pub mod algo;
pub mod client;
pub mod cluster;
pub mod explain;
pub mod facts;
mod ffsplit_sequence;
#[cfg(test)]
mod grant_tests;
pub mod lease;
mod partition_sequence;
pub mod policy;
pub mod quorum;
mod reference_sequence;
pub mod registry;
mod requests;
pub mod session;
pub mod snapshot;
mod telling;
pub mod time;

pub use client::{Peer, Verdict};
pub use cluster::{Cluster, Joining};
pub use explain::{Decision, Partition, Rule, Waiting};
pub use lease::{LeaveCause, lease_time};
pub use policy::{ClusterPolicy, LostHolder, Rules, SessionPolicy};
pub use registry::Engine;
pub use session::{Session, TlsView};
pub use time::Time;

use crate::wire::{Algorithm, ClusterName, ErrorCode, Message, NodeId, RingId, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A connection, by a number that is never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What the outside is asked to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Queue a message.
    Send {
        /// Receiver.
        to: ConnId,
        /// The message.
        message: Message,
    },
    /// Everything that the client sends from here on is TLS.
    StartTls {
        /// The connection.
        conn: ConnId,
    },
    /// Close a connection and report [`LeaveCause::Dropped`] for it.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Make this durable before anything behind it leaves the process.
    Record(Grant),
    /// Something that an operator may want to know.
    Event(Event),
}

/// Why the engine wants a connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CloseReason {
    /// STARTTLS while TLS is off.
    #[error("it wants TLS, which is off (setting -s)")]
    TlsIsOff,
    /// The certificate does not open this cluster.
    #[error("its certificate is not for this cluster")]
    NotAuthorised,
    /// Nothing was heard for the dead-peer interval.
    #[error("nothing was heard from it for the dead-peer interval")]
    DeadPeer,
    /// No successful INIT in time.
    #[error("it did not introduce itself in time")]
    InitDeadline,
    /// A NACK was not confirmed within two heartbeat intervals (D16).
    #[error("it did not confirm that it lost the vote")]
    UnconfirmedNack,
}

/// A changed grant of the vote, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The cluster.
    pub cluster: ClusterName,
    /// Grows by one with every changed grant of the cluster.
    pub epoch: u64,
    /// The partition that gets the vote.
    pub partition: Partition,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The nodes of the partition that were connected at one time during the grant, each with its
    /// longest heartbeat interval in milliseconds.
    pub heartbeats: BTreeMap<NodeId, u32>,
}

/// Something that an operator may want to know.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the fields are what their names say, `cluster` and `node` everywhere
pub enum Event {
    /// A node joined its cluster.
    Joined {
        cluster: ClusterName,
        node: NodeId,
        peer: Peer,
        algorithm: Algorithm,
    },
    /// A node's connection ended.
    Left {
        cluster: ClusterName,
        node: NodeId,
        peer: Peer,
        cause: LeaveCause,
    },
    /// A node was told a verdict that differs from what it was told before, or for a new ring.
    Told {
        cluster: ClusterName,
        node: NodeId,
        verdict: Verdict,
        ring: RingId,
        why: Option<Arc<Rule>>,
    },
    /// What a node was answered, changed or not.
    Answered {
        cluster: ClusterName,
        node: NodeId,
        vote: Vote,
        pushed: bool,
    },
    /// A computation for the whole cluster had a new outcome.
    Decided {
        cluster: ClusterName,
        decision: Decision,
    },
    /// A lost holder's lease is over.
    LeaseEnded {
        cluster: ClusterName,
        node: NodeId,
        ring: RingId,
        by_operator: bool,
    },
    /// A message was refused with an error code.
    Refused {
        conn: ConnId,
        code: ErrorCode,
        why: String,
    },
    /// The test algorithm is in use.
    TestAlgorithm { cluster: ClusterName, node: NodeId },
    /// A node joined in clear text while TLS is possible.
    ClearText {
        cluster: ClusterName,
        node: NodeId,
        peer: Peer,
    },
    /// The lease of this client outlasts what its corosync is likely to wait for a vote.
    LongLease {
        cluster: ClusterName,
        node: NodeId,
        lease_ms: u64,
    },
}
