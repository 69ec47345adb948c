//! One thing that happened, as it is kept.

use crate::proto::v1;
use crate::wire::ClusterName;
use prost::Message;
use std::sync::Arc;

/// What one entry takes in memory besides its message, with its place in the indexes.
const OVERHEAD: usize = 128;

/// An event, encoded, with what is asked for without decoding it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The process that it happened in.
    pub epoch: u64,
    /// Its number; grows from process to process.
    pub number: u64,
    /// The number of the decision that it is, if it is one.
    pub decision: Option<u64>,
    /// The cluster that it is about.
    pub cluster: Option<ClusterName>,
    /// The event without its id. Shared, because decisions are in two indexes.
    pub message: Arc<[u8]>,
}

impl Entry {
    /// Bytes that it takes in memory.
    pub(super) fn size(&self) -> usize {
        let name = self
            .cluster
            .as_ref()
            .map_or(0, |name| name.as_bytes().len());
        self.message.len() + name + OVERHEAD
    }

    /// The event with its id; `None` if another version wrote what this one can't read.
    pub fn event(&self) -> Option<v1::Event> {
        let mut event = v1::Event::decode(&*self.message).ok()?;
        event.id = id(self.epoch, self.number);
        Some(event)
    }

    /// As it is in a file. `carried` says that it is not in its place in the row of events.
    pub(super) fn to_message(&self, carried: bool) -> v1::HistoryEntry {
        v1::HistoryEntry {
            epoch: self.epoch,
            number: self.number,
            cluster: self.cluster.as_ref().map(|name| name.as_bytes().to_vec()),
            decision: self.decision,
            carried,
            event: self.message.to_vec(),
        }
    }
}

impl From<v1::HistoryEntry> for Entry {
    fn from(message: v1::HistoryEntry) -> Self {
        Self {
            epoch: message.epoch,
            number: message.number,
            decision: message.decision,
            cluster: message.cluster.map(|name| ClusterName::new(&name)),
            message: message.event.into(),
        }
    }
}

/// The id of an event: it tells apart this process and earlier ones.
pub(super) fn id(epoch: u64, number: u64) -> String {
    format!("{epoch:x}-{number}")
}
