//! Connections between nodes and the arbiter: in order, and silent while the link is down.

use crate::wire::{Message, NodeId};
use std::collections::VecDeque;

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToArbiter,
    FromArbiter,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Message(Message),
    /// The other end learns that the connection is over.
    End,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    items: VecDeque<(u64, Item)>,
    last: u64,
}

/// A TCP connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) node: NodeId,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
    to_arbiter: Pipe,
    from_arbiter: Pipe,
}

impl Conn {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            client_open: true,
            server_open: false,
            to_arbiter: Pipe::default(),
            from_arbiter: Pipe::default(),
        }
    }

    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToArbiter => &mut self.to_arbiter,
            Way::FromArbiter => &mut self.from_arbiter,
        }
    }

    /// Queues an item that could arrive at `at`; returns when it does.
    pub(super) fn push(&mut self, way: Way, at: u64, item: Item) -> u64 {
        let pipe = self.pipe(way);
        pipe.last = pipe.last.max(at);
        pipe.items.push_back((pipe.last, item));
        pipe.last
    }

    /// The next item, if it has arrived.
    pub(super) fn pop(&mut self, way: Way, now: u64) -> Option<Item> {
        let items = &mut self.pipe(way).items;
        let due = items.front().is_some_and(|(at, _)| *at <= now);
        if due {
            items.pop_front().map(|(_, item)| item)
        } else {
            None
        }
    }

    /// Nothing that this end sent arrives any more.
    pub(super) fn forget(&mut self, way: Way) {
        self.pipe(way).items.clear();
    }

    /// The link works again: what was held up arrives at `at`. Returns how many items that are.
    pub(super) fn resend(&mut self, way: Way, at: u64) -> usize {
        let pipe = self.pipe(way);
        for (due, _) in &mut pipe.items {
            *due = at.max(*due);
        }
        pipe.last = pipe.last.max(at);
        pipe.items.len()
    }
}
