//! What must not leave before a record is written, and what was told before.

use super::outbox::MAX_WITHHELD;
use crate::engine::snapshot::ClusterSnapshot;
use crate::engine::{Action, Cluster, ConnId, Event, Time, Verdict, Waiting};
use crate::wire::{Message, NodeId, RingId, Vote};
use std::collections::VecDeque;

/// Actions that wait for a record, in order.
#[derive(Debug)]
pub(super) struct Held {
    /// Number of the record, of all that this hub made.
    record: u64,
    items: VecDeque<Item>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Item {
    /// What waits.
    pub(super) action: Action,
    /// Whom it is for, or whom it tells of.
    to: Option<ConnId>,
    /// When the report came that a vote is the answer to.
    pub(super) asked_at: Option<Time>,
}

impl From<Action> for Item {
    fn from(action: Action) -> Self {
        Self {
            action,
            to: None,
            asked_at: None,
        }
    }
}

/// Too much waits for one client, as for one that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Held {
    pub(super) fn new(record: u64) -> Self {
        Self {
            record,
            items: VecDeque::new(),
        }
    }

    /// Whether it is this record that is waited for.
    pub(super) fn waits_for(&self, record: u64) -> bool {
        self.record == record
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = Item> {
        self.items.into_iter()
    }

    /// Whether an action waits. The answer to a heartbeat depends on no grant, and a client that
    /// misses it gives up; nor do those to INIT and to options that concern no lease. But two
    /// answered heartbeats prove that an earlier answer to SET_OPTION arrived (`HeartbeatCheck`),
    /// so they don't overtake one that waits. Of events, only those wait that tell of a vote.
    pub(super) fn keeps_back(&self, action: &Action) -> bool {
        let (to, message) = match action {
            Action::Send { to, message } => (to, message),
            Action::Event(event) => {
                return matches!(event, Event::Told { .. } | Event::Answered { .. });
            }
            Action::StartTls { .. } => return false,
            Action::Record(_) | Action::Close { .. } => return true,
        };
        let options_wait = || {
            self.items.iter().any(|item| {
                matches!(&item.action, Action::Send { to: other, message: Message::SetOptionReply { .. } }
                    if other == to)
            })
        };
        match message {
            Message::InitReply(_)
            | Message::SetOptionReply {
                heartbeat_ms: None, ..
            } => false,
            Message::EchoReply { .. } => options_wait(),
            _ => true,
        }
    }

    /// Keeps an action until the record is written. `limit` is how many messages may wait for one
    /// client by its own setting.
    ///
    /// # Errors
    /// So many wait already.
    pub(super) fn hold(
        &mut self,
        mut item: Item,
        cluster: &Cluster,
        limit: usize,
    ) -> Result<(), TooMuch> {
        item.to = match &item.action {
            Action::Send { to, .. } => {
                let waiting = self.items.iter().filter(|item| item.sends_to(*to)).count();
                if waiting >= limit.max(MAX_WITHHELD) {
                    return Err(TooMuch);
                }
                Some(*to)
            }
            Action::Close { conn, .. } => Some(*conn),
            Action::Event(Event::Told { node, .. } | Event::Answered { node, .. }) => {
                cluster.client(*node).map(|client| client.conn).or(item.to)
            }
            _ => None,
        };
        // Nothing was told in between, so only the later one counts.
        let is_record = |item: &Item| matches!(item.action, Action::Record(_));
        if is_record(&item) && self.items.back().is_some_and(is_record) {
            self.items.pop_back();
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Nobody is there any more for whom this waits.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.items.retain(|item| item.to != Some(conn));
    }

    /// The nodes that wait for a vote, and for which one.
    fn votes(&self) -> impl Iterator<Item = (NodeId, Verdict)> {
        self.items.iter().filter_map(|item| match item.action {
            Action::Event(Event::Told { node, verdict, .. }) => Some((node, verdict)),
            _ => None,
        })
    }

    /// Makes of what the engine has decided what the nodes know: `told` is what each of them was
    /// told before.
    pub(super) fn correct(
        &self,
        snapshot: &mut ClusterSnapshot,
        told: impl Fn(NodeId) -> Option<Told>,
    ) {
        for client in &mut snapshot.clients {
            if !self.votes().any(|(node, _)| node == client.node) {
                continue;
            }
            let told = told(client.node).unwrap_or_default();
            client.last_vote = told.vote;
            client.verdict = told.verdict;
            let standing = told.standing.filter(|(_, ring)| *ring == client.ring);
            client.standing = standing.map(|(verdict, _)| verdict);
        }
        let is_granted = self.votes().any(|(_, verdict)| verdict == Verdict::Ack);
        if let Some(outcome) = snapshot.outcome.as_mut().filter(|_| is_granted) {
            outcome.waiting.get_or_insert(Waiting::Journal);
        }
    }
}

impl Item {
    fn sends_to(&self, conn: ConnId) -> bool {
        matches!(self.action, Action::Send { to, .. } if to == conn)
    }
}

/// What a client was told so far: what the engine takes for told may still wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// The last vote.
    vote: Option<Vote>,
    /// The last ACK or NACK.
    verdict: Option<Verdict>,
    /// The same with its ring, as long as the client goes by it.
    standing: Option<(Verdict, RingId)>,
}

impl Told {
    /// Takes note of an event that leaves together with its message.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Answered { vote, .. } => {
                self.vote = Some(*vote);
                if Verdict::from_vote(*vote).is_none() && *vote != Vote::NoChange {
                    self.standing = None;
                }
            }
            Event::Told { verdict, ring, .. } => {
                self.verdict = Some(*verdict);
                self.standing = Some((*verdict, *ring));
            }
            _ => {}
        }
    }
}
