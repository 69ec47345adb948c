//! One file of the history as bytes (`proto/qarbiter/v1/history.proto`).
//!
//! Nobody's vote depends on it, so damage costs no more than the records that it hits: reading goes
//! on at the next mark behind it.

use super::entry::Entry;
use crate::proto::v1::HistoryEntry;
use prost::Message;

/// What a file begins with.
pub const MAGIC: &[u8; 8] = b"QARBHIS1";

/// What a record begins with. The first byte is in no text.
const MARK: [u8; 4] = *b"\xf5qhe";

/// Mark, length and checksum, 4 bytes each.
pub const HEADER: usize = 12;

/// Above any record: a decision of a cluster of 384 nodes, all of which see each other, has some
/// 450 kB.
const MAX_RECORD: usize = 4 << 20;

/// Marks that may be looked at in vain. More are not damage but made by somebody, and each costs
/// the checksum of a record.
const MAX_VAIN: usize = 16;

/// What reading a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Intact records.
    pub records: usize,
    /// Bytes before the first damage, or all.
    pub intact: usize,
    /// Places with damage that intact records follow.
    pub holes: usize,
    /// Bytes at the end that are no record: what was not written to its end, or damage.
    pub tail: usize,
    /// It does not begin as a file of the history.
    pub is_foreign: bool,
}

/// Adds a record. `carried` says that it is not in its place in the row of events.
pub fn encode(entry: &Entry, carried: bool, bytes: &mut Vec<u8>) {
    let message = entry.to_message(carried).encode_to_vec();
    // No record is so long; one that were would be left out when reading.
    let length = u32::try_from(message.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&checksum(length, &message).to_le_bytes());
    bytes.extend_from_slice(&message);
}

/// Hands out all intact records of a file, each with whether it was carried over.
pub fn read(bytes: &[u8], mut take: impl FnMut(Entry, bool)) -> Found {
    let mut found = Found::default();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        found.tail = bytes.len();
        found.is_foreign = !MAGIC.starts_with(bytes);
        return found;
    };
    let mut vain = 0;
    let mut is_damaged = false;
    // Where the last intact record ends.
    let mut good = MAGIC.len();
    loop {
        if let Some((message, after)) = decode(rest) {
            found.holes += usize::from(is_damaged);
            is_damaged = false;
            found.records += 1;
            let carried = message.carried;
            take(message.into(), carried);
            rest = after;
            good = bytes.len() - rest.len();
            if found.holes == 0 {
                found.intact = good;
            }
            continue;
        }
        if found.records == 0 {
            found.intact = MAGIC.len();
        }
        if rest.is_empty() {
            break;
        }
        is_damaged = true;
        vain += usize::from(rest.starts_with(&MARK));
        match next_mark(rest).filter(|_| vain <= MAX_VAIN) {
            Some(next) => rest = next,
            None => break,
        }
    }
    found.tail = bytes.len() - good;
    found
}

/// The record that the bytes begin with, and what follows it.
fn decode(bytes: &[u8]) -> Option<(HistoryEntry, &[u8])> {
    let rest = bytes.strip_prefix(&MARK)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if count > MAX_RECORD {
        return None;
    }
    let (message, rest) = rest.split_at_checked(count)?;
    if checksum(*length, message) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((HistoryEntry::decode(message).ok()?, rest))
}

/// What begins with the next mark that is not at the beginning.
fn next_mark(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.get(1..)?;
    let at = rest.windows(MARK.len()).position(|bytes| bytes == MARK)?;
    rest.get(at..)
}

fn checksum(length: [u8; 4], message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(message);
    hasher.finalize()
}
