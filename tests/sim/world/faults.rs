//! What goes wrong, and the rings that follow from it.

use super::{Event, World, new_engine};
use crate::network::{Path, Way};
use crate::plan::{Cut, Fault};
use qarbiter::engine::{LeaveCause, Time};
use qarbiter::wire::RingId;

impl World<'_> {
    /// Nodes that see each other but are in different rings form a new one, and so do rings that
    /// lost a member.
    pub(super) fn reform(&mut self, forced: &[usize]) {
        let count = self.nodes.len();
        for i in 0..count {
            if !self.nodes[i].alive {
                continue;
            }
            let members: Vec<usize> = (0..count)
                .filter(|j| self.nodes[*j].alive && self.parts[*j] == self.parts[i])
                .collect();
            if members[0] != i {
                continue;
            }
            let ids: Vec<u32> = members.iter().map(|j| *j as u32 + 1).collect();
            let ring = self.target[i].0;
            let changed = members
                .iter()
                .any(|j| self.target[*j].1 != ids || self.target[*j].0 != ring);
            if !changed && !members.iter().any(|j| forced.contains(j)) {
                continue;
            }
            let seq = 4 + members.iter().map(|j| self.ring_seq[*j]).max().unwrap_or(0);
            let ring = RingId::new(ids[0], seq);
            for j in members {
                self.ring_seq[j] = seq;
                self.serial += 1;
                let number = self.serial;
                self.target[j] = (ring, ids.clone(), number);
                let at = self.now + self.rng.below(self.plan.setup.token);
                self.schedule(at, Event::Learn(j, number));
            }
        }
    }

    pub(super) fn fault(&mut self, fault: &Fault) {
        self.note(|| format!("*** {fault:?}"));
        match fault {
            Fault::Split(parts) => {
                self.parts.clone_from(parts);
                self.reform(&[]);
            }
            Fault::Reform(i) => self.reform(&[*i]),
            Fault::Cut(i, cut) => self.cut(*i, *cut),
            Fault::Mend(i) => self.mend(*i),
            Fault::Die(i) => {
                if self.nodes[*i].alive {
                    self.nodes[*i].die();
                    self.target[*i].1.clear();
                    if let Some(conn) = self.current[*i].take() {
                        if let Some(connection) = self.conns.get_mut(&conn) {
                            connection.client_open = false;
                            connection.to_arbiter.clear();
                        }
                    }
                    self.reform(&[]);
                }
            }
            Fault::Boot(i) => self.boot(*i),
            Fault::KillClient(i, back_after) => {
                let mut out = Vec::new();
                self.nodes[*i].kill(self.now, *back_after, &mut out);
                if !out.is_empty() {
                    self.client_closes(*i);
                }
                self.apply(*i, out);
            }
            Fault::Heuristics(i, result) => {
                let mut out = Vec::new();
                self.nodes[*i].heuristics_changed(*result, &mut out);
                self.apply(*i, out);
            }
            Fault::Reload(more) => {
                self.serial += 1;
                let number = self.serial;
                for i in 0..self.nodes.len() {
                    let at = self.now + self.rng.below(2000);
                    self.schedule(at, Event::Reload(i, number, *more));
                }
            }
            Fault::Drop(i) => self.server_loses(*i, LeaveCause::Dropped),
            Fault::NetworkLost(i) => self.server_loses(*i, LeaveCause::NetworkLost),
            Fault::Restart(power) => self.restart(*power),
        }
    }

    /// The arbiter forgets everything but what was recorded. Clients learn of it at once, or, if
    /// its machine lost power, when they next send something.
    fn restart(&mut self, power: bool) {
        let open: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.server_open)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in open {
            if let Some(connection) = self.conns.get_mut(&conn) {
                connection.server_open = false;
                if power {
                    connection.from_arbiter.lose();
                }
            }
            if !power {
                self.end(conn, Way::FromArbiter);
            }
        }
        self.ledger.restarted(&self.plan.setup);
        self.engine = new_engine(&self.plan.setup);
        if self.plan.setup.journal {
            for grant in self.journal.values() {
                self.engine.restore(Time::from_millis(self.now), grant);
            }
        }
    }

    fn server_loses(&mut self, i: usize, cause: LeaveCause) {
        let conns: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.node == i && conn.server_open)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            self.server_close(conn, cause);
        }
    }

    fn cut(&mut self, i: usize, cut: Cut) {
        self.paths[i].cut(cut);
    }

    fn mend(&mut self, i: usize) {
        self.paths[i] = Path::UP;
        let backoff = self.now + self.rng.below(3000);
        let now = self.now;
        let mut again = Vec::new();
        for (conn, connection) in &mut self.conns {
            if connection.node == i {
                for way in [Way::ToArbiter, Way::FromArbiter] {
                    let count = connection.pipe(way).resend(now, backoff);
                    again.extend((0..count).map(|_| (*conn, way)));
                }
            }
        }
        for (conn, way) in again {
            // Behind the last of them, whatever their own times are.
            self.schedule(backoff, Event::Deliver(conn, way));
            self.schedule(
                backoff + self.plan.setup.max_delay,
                Event::Deliver(conn, way),
            );
        }
    }

    fn boot(&mut self, i: usize) {
        if self.nodes[i].alive {
            return;
        }
        let mut out = Vec::new();
        self.nodes[i].boot(&mut self.rng, &mut out);
        self.apply(i, out);
        self.reform(&[]);
    }

    /// No more faults: all links work, and the network stays as it is.
    pub(super) fn calm(&mut self) {
        self.note(|| "*** calm".to_owned());
        for i in 0..self.nodes.len() {
            if self.plan.boot_all {
                self.boot(i);
            }
            self.mend(i);
        }
    }
}
