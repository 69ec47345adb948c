//! Messages that wait for one client to read them.

use super::lock;
use crate::engine::CloseReason;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

/// Messages for one client that may be kept back at a time, for a record to be written. A stock
/// node sends three or four in a row and then waits for answers.
pub(super) const MAX_WITHHELD: usize = 16;

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The engine asks for it.
    #[error("{0}")]
    Engine(#[from] CloseReason),
    /// The client does not read what it is sent (protocol spec, section 4.6).
    #[error("it does not read what it is sent (setting max_client_send_buffers)")]
    QueueFull,
    /// A message is above the send limit (protocol spec, section 1.2).
    #[error("a message for it is above the send limit (setting max_client_send_size)")]
    TooLarge,
    /// There are too many clusters.
    #[error("{0}")]
    Clusters(#[from] super::hub::TooManyClusters),
    /// There are no certificates, so TLS can't be spoken.
    #[error("there are no certificates here yet; make them with `corosync-qnetd-certutil -i`")]
    NoIdentity,
    /// The operator revoked the client's certificate.
    #[error("its certificate was revoked")]
    Revoked,
    /// The server is going down.
    #[error("the arbiter is going down")]
    Shutdown,
}

impl Closing {
    /// A name for the counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine(reason) => crate::telemetry::metrics::close_name(reason),
            Self::QueueFull => "queue_full",
            Self::TooLarge => "message_too_large",
            Self::Clusters(_) => "too_many_clusters",
            Self::NoIdentity => "no_certificates_here",
            Self::Revoked => "revoked",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The queue of one connection: filled by whoever has something to tell the client, emptied by
/// the connection's own task.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
    limit: usize,
    max_message: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// Of these, how many we kept back for a while.
    withheld: usize,
    /// Messages that were taken and are not fully written, without those that we kept back.
    in_flight: usize,
    closing: Option<Closing>,
}

impl Outbox {
    /// A queue of at most `limit` messages of at most `max_message` bytes.
    pub fn new(limit: usize, max_message: usize) -> Self {
        Self {
            queue: Mutex::new(Queue::default()),
            changed: Notify::new(),
            limit,
            max_message,
        }
    }

    /// Queues a message. A client whose queue is full, or that can't be sent a message of this
    /// size, is closed: that client, not the one on whose behalf the message is sent (D6).
    pub fn push(&self, message: Vec<u8>) {
        self.queue(message, false);
    }

    /// Queues a message that was kept back by us, with others perhaps. The client could not have
    /// read them any earlier, so they do not count against its limit; there is room for
    /// a few of them.
    pub fn push_withheld(&self, message: Vec<u8>) {
        self.queue(message, true);
    }

    fn queue(&self, message: Vec<u8>, withheld: bool) {
        let mut queue = lock(&self.queue);
        if queue.closing.is_some() {
            return;
        }
        let usual = queue.messages.len() - queue.withheld + queue.in_flight;
        let full = if withheld {
            queue.withheld >= self.limit.max(MAX_WITHHELD)
        } else {
            usual >= self.limit
        };
        if message.len() > self.max_message {
            queue.closing = Some(Closing::TooLarge);
        } else if full {
            queue.closing = Some(Closing::QueueFull);
        } else {
            queue.messages.push_back(message);
            queue.withheld += usize::from(withheld);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Asks for the connection to be closed after what is queued was written, if it can be
    /// written at once. The first reason stays.
    pub fn close(&self, reason: Closing) {
        lock(&self.queue).closing.get_or_insert(reason);
        self.changed.notify_one();
    }

    /// Takes all messages; they count as queued until [`Outbox::written`].
    pub(super) fn take(&self) -> VecDeque<Vec<u8>> {
        let mut queue = lock(&self.queue);
        queue.in_flight += queue.messages.len() - queue.withheld;
        queue.withheld = 0;
        std::mem::take(&mut queue.messages)
    }

    /// How many messages there may be.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many messages wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).messages.len()
    }

    /// Everything that was taken is written.
    pub(super) fn written(&self) {
        lock(&self.queue).in_flight = 0;
    }

    pub(super) fn closing(&self) -> Option<Closing> {
        lock(&self.queue).closing
    }

    /// Waits until something was queued or a reason to close was given.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_until_they_are_written() {
        let outbox = Outbox::new(2, 10);
        outbox.push(vec![1]);
        outbox.push(vec![2]);
        assert_eq!(outbox.take(), [vec![1], vec![2]]);
        outbox.push(vec![3]);
        assert_eq!(outbox.closing(), Some(Closing::QueueFull));

        let outbox = Outbox::new(2, 10);
        outbox.push(vec![1]);
        outbox.push(vec![2]);
        outbox.take();
        outbox.written();
        outbox.push(vec![3]);
        assert_eq!(outbox.closing(), None);
    }

    #[test]
    fn what_was_withheld_has_some_room() {
        let outbox = Outbox::new(1, 10);
        for _ in 0..MAX_WITHHELD {
            outbox.push_withheld(vec![1]);
        }
        outbox.push(vec![2]);
        assert_eq!(outbox.closing(), None);
        outbox.push_withheld(vec![3]);
        assert_eq!(outbox.closing(), Some(Closing::QueueFull));
    }

    #[test]
    fn the_first_reason_to_close_stays() {
        let outbox = Outbox::new(2, 10);
        outbox.push(vec![0; 11]);
        outbox.close(Closing::Shutdown);
        assert_eq!(outbox.closing(), Some(Closing::TooLarge));
        outbox.push(vec![1]);
        assert!(outbox.take().is_empty());
    }
}
