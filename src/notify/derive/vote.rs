//! Who has the vote, and when that is told.

use super::pace::Pace;
use super::{Now, Rules, list};
use crate::notify::alert::{Fact, Kind, Severity};
use crate::notify::budget::Outbox;
use crate::notify::view::View;

/// Who has the vote.
#[derive(Debug, Default)]
pub(super) struct Vote {
    told: Vec<u32>,
    now: Vec<u32>,
    pace: Pace,
}

impl Vote {
    pub(super) fn look(&mut self, view: &View, rules: Rules, now: Now, out: &mut Outbox) {
        if view.holders != self.now {
            self.now.clone_from(&view.holders);
            self.pace.changed = now.up;
        }
        let mut all = view.connected.iter().chain(&view.absent);
        let is_whole = all.all(|node| self.now.contains(node));
        if !self.is_restless() || !self.pace.is_due(rules, false, now) {
            return;
        }
        let is_first = self.told.is_empty();
        let is_moved = !is_first && !self.now.iter().any(|node| self.told.contains(node));
        let kind = if is_moved {
            Kind::VoteMoved
        } else {
            Kind::VoteGranted
        };
        self.told.clone_from(&self.now);
        // After a start this is so everywhere.
        if is_first && is_whole && now.up < rules.grace {
            return;
        }
        self.pace.tell(now, false);
        let severity = if is_whole {
            Severity::Info
        } else {
            Severity::Warning
        };
        let nodes = match self.now.as_slice() {
            [one] => format!("node {one} has"),
            several => format!("nodes {} have", list(several)),
        };
        let why = view.reason.as_deref().map(|why| format!(": {why}"));
        let message = format!(
            "{}: {nodes} the vote{}",
            view.cluster,
            why.unwrap_or_default()
        );
        let mut fact = Fact::of_cluster(kind, severity, &view.cluster, message);
        fact.key = format!("vote/{}", view.cluster);
        fact.nodes.clone_from(&self.now);
        fact.reason.clone_from(&view.reason);
        out.event(fact, now);
    }

    pub(super) fn is_restless(&self) -> bool {
        !self.now.is_empty() && self.now != self.told
    }
}
