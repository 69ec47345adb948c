//! Entries to bytes and back: length, checksum, message (`proto/qarbiter/v1/journal.proto`).

use crate::engine::{Grant, Partition};
use crate::proto::v1::journal_entry::Entry;
use crate::proto::v1::{JournalEntry, JournalGrant, JournalHolder};
use crate::wire::{Algorithm, ClusterName, NodeId, RingId};
use prost::Message;

/// Length and checksum before each message, each 4 bytes, little-endian.
const HEADER: usize = 8;

/// Above any entry: a partition of 65,535 bytes of node list has fewer than 17,000 nodes.
const MAX_ENTRY: usize = 512 * 1024;

/// The bytes of an entry.
pub(super) fn encode(entry: Entry) -> Vec<u8> {
    let message = JournalEntry { entry: Some(entry) }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + message.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&message).to_le_bytes());
    bytes.extend_from_slice(&message);
    bytes
}

/// The first entry and the length of its bytes; `None` if there is no whole and intact one.
pub(super) fn decode(bytes: &[u8]) -> Option<(Entry, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let message = rest.get(..length).filter(|_| length <= MAX_ENTRY)?;
    if crc32fast::hash(message) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let entry = JournalEntry::decode(message).ok()?.entry?;
    Some((entry, HEADER + length))
}

pub(super) fn grant_entry(grant: &Grant) -> Entry {
    Entry::Grant(JournalGrant {
        cluster: grant.cluster.as_bytes().to_vec(),
        epoch: grant.epoch,
        ring_node: grant.partition.ring.node.0,
        ring_seq: grant.partition.ring.seq,
        members: grant.partition.nodes.iter().map(|node| node.0).collect(),
        algorithm: u32::from(grant.algorithm.to_wire()),
        holders: grant
            .heartbeats
            .iter()
            .map(|(node, heartbeat_ms)| JournalHolder {
                node: node.0,
                heartbeat_ms: *heartbeat_ms,
            })
            .collect(),
    })
}

/// `None` for an algorithm that this version does not know.
pub(super) fn grant_of(record: JournalGrant) -> Option<Grant> {
    let algorithm = u16::try_from(record.algorithm).ok()?;
    Some(Grant {
        cluster: ClusterName::new(&record.cluster),
        epoch: record.epoch,
        partition: Partition {
            ring: RingId {
                node: NodeId(record.ring_node),
                seq: record.ring_seq,
            },
            nodes: record.members.into_iter().map(NodeId).collect(),
        },
        algorithm: Algorithm::from_wire(algorithm)?,
        heartbeats: record
            .holders
            .into_iter()
            .map(|holder| (NodeId(holder.node), holder.heartbeat_ms))
            .collect(),
    })
}
