//! Connections between nodes and arbiter: delay, order, silence.

use crate::plan::Cut;
use qarbiter::wire::Message;
use std::collections::VecDeque;

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToArbiter,
    FromArbiter,
}

#[derive(Debug, Clone)]
pub(crate) enum Item {
    Message(Message),
    /// FIN or RST: the other end learns that the connection is over.
    End,
}

/// One direction of one connection, first in, first out.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    items: VecDeque<(u64, Item)>,
    last: u64,
    ended: bool,
}

impl Pipe {
    /// Queues an item; returns when it arrives.
    pub(crate) fn push(&mut self, at: u64, item: Item) -> Option<u64> {
        if self.ended {
            return None;
        }
        self.ended = matches!(item, Item::End);
        self.last = self.last.max(at);
        self.items.push_back((self.last, item));
        Some(self.last)
    }

    /// An RST: what is under way is lost.
    pub(crate) fn reset(&mut self, at: u64) -> u64 {
        self.items.clear();
        self.ended = true;
        self.last = at;
        self.items.push_back((at, Item::End));
        at
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.ended = true;
    }

    /// The sender's machine is gone, and with it what had not arrived.
    pub(crate) fn lose(&mut self) {
        self.items.clear();
    }

    /// The next item, if it has arrived.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Item> {
        let due = self.items.front().is_some_and(|(at, _)| *at <= now);
        if due {
            self.items.pop_front().map(|(_, item)| item)
        } else {
            None
        }
    }

    /// The link works again: what was held up is sent again and arrives at `at`. Returns how many
    /// items that are.
    pub(crate) fn resend(&mut self, now: u64, at: u64) -> usize {
        let mut count = 0;
        let held_up = self.items.front().is_some_and(|(due, _)| *due <= now);
        if held_up {
            for (due, _) in &mut self.items {
                *due = at.max(*due);
                count += 1;
            }
            self.last = self.last.max(at);
        }
        count
    }
}

/// One TCP connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Index of the node.
    pub(crate) node: usize,
    pub(crate) client_open: bool,
    pub(crate) server_open: bool,
    pub(crate) to_arbiter: Pipe,
    pub(crate) from_arbiter: Pipe,
}

impl Conn {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            client_open: true,
            server_open: false,
            to_arbiter: Pipe::default(),
            from_arbiter: Pipe::default(),
        }
    }

    pub(crate) fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToArbiter => &mut self.to_arbiter,
            Way::FromArbiter => &mut self.from_arbiter,
        }
    }
}

/// The path between one node and the arbiter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    to_arbiter: bool,
    from_arbiter: bool,
}

impl Path {
    pub(crate) const UP: Self = Self {
        to_arbiter: true,
        from_arbiter: true,
    };

    pub(crate) fn cut(&mut self, cut: Cut) {
        self.to_arbiter &= cut == Cut::FromArbiter;
        self.from_arbiter &= cut == Cut::ToArbiter;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.to_arbiter && self.from_arbiter
    }

    pub(crate) fn carries(&self, way: Way) -> bool {
        match way {
            Way::ToArbiter => self.to_arbiter,
            Way::FromArbiter => self.from_arbiter,
        }
    }
}
