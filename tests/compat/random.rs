//! Random sessions: what no worked example thought of. They carry no expectations; the two servers are compared with
//! each other, so they are only played when both are under test.
//!
//! Left out is what crashes the reference (a node that leaves while another has not sent its lists, D1) and what
//! timing decides (the heartbeat interval is so long that no lms timer fires; [`crate::run`] has scenarios for those).

use crate::script::{Scenario, Step};

/// A small generator of the xorshift family: the same seed makes the same session everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            dice.below(2);
        }
        dice
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The session of one seed.
pub(crate) fn session(seed: u64, index: usize) -> Scenario {
    let mut dice = Dice::new(seed);
    let algorithm = dice.pick(&[
        "ffsplit", "ffsplit", "ffsplit", "lms", "lms", "2nodelms", "test",
    ]);
    let nodes = if algorithm == "2nodelms" {
        2
    } else {
        2 + dice.below(5)
    };
    let tie = match dice.below(4) {
        0 | 1 => "lowest".to_owned(),
        2 => "highest".to_owned(),
        _ => (1 + dice.below(nodes)).to_string(),
    };
    let mut session = Session {
        algorithm,
        nodes,
        seed,
        connected: vec![false; nodes],
        partition: vec![1; nodes],
        ring: 4,
        waiting: Vec::new(),
        steps: Vec::new(),
        dice,
    };
    for _ in 0..40 {
        session.turn();
    }
    Scenario {
        name: format!("random-{algorithm}-{seed}"),
        index,
        about: format!("{nodes} nodes, tie-breaker {tie}"),
        server: "-s off -c on".to_owned(),
        ours: "rules=reference".to_owned(),
        free: true,
        join: format!("alg={algorithm} tie={tie} hb=120000"),
        steps: session.steps,
        ..Scenario::default()
    }
}

struct Session {
    algorithm: &'static str,
    nodes: usize,
    seed: u64,
    connected: Vec<bool>,
    /// The partition of each node; a partition is named by its lowest node.
    partition: Vec<usize>,
    ring: u64,
    /// Membership messages that are still to be sent.
    waiting: Vec<usize>,
    steps: Vec<Step>,
    dice: Dice,
}

impl Session {
    fn turn(&mut self) {
        let node = self.dice.below(self.nodes);
        if !self.waiting.is_empty() && self.dice.percent(60) {
            let next = self.dice.below(self.waiting.len());
            let node = self.waiting.swap_remove(next);
            if self.connected[node] {
                self.membership(node);
            }
            return;
        }
        if !self.connected[node] {
            self.join(node);
            return;
        }
        match self.dice.below(100) {
            0..20 => self.split(),
            20..50 => self.step(node, "ok", ""),
            50..55 => self.step(node, "ok-old", ""),
            55..67 => {
                let result = self.dice.pick(&["pass", "fail"]);
                self.step(node, "hc", result);
            }
            67..77 => {
                let state = self.dice.pick(&["yes", "no"]);
                self.step(node, "quorum", &format!("{} {state}", self.members(node)));
            }
            77..83 => self.step(node, "ask", ""),
            83..88 => self.membership(node),
            88..91 => {
                let list = self.dice.below(2);
                self.configuration(node, "cfg+", list);
            }
            91..93 => {
                let flag = self.dice.below(2);
                self.step(node, ">", &format!("SET_OPTION seq=9 kap={flag}"));
            }
            93..97 => self.leave(node),
            _ => self.odd_membership(node),
        }
    }

    fn step(&mut self, node: usize, verb: &str, args: &str) {
        self.steps.push(Step {
            place: format!("random-{}-{}", self.algorithm, self.seed),
            only: None,
            who: Some(letter(node)),
            verb: verb.to_owned(),
            args: args.to_owned(),
        });
    }

    fn join(&mut self, node: usize) {
        self.connected[node] = true;
        let keep = if self.dice.percent(85) { 1 } else { 0 };
        let ring = self.ring_of(node);
        self.step(node, "join", &format!("ring={ring} kap={keep}"));
        self.configuration(node, "cfg", 0);
        self.membership(node);
    }

    fn leave(&mut self, node: usize) {
        let verb = self.dice.pick(&["close", "reset"]);
        self.connected[node] = false;
        self.step(node, verb, "");
    }

    /// All nodes find themselves in new partitions, each with a new ring; they tell in any order.
    fn split(&mut self) {
        self.ring += 4;
        let sides = 1 + self.dice.below(3.min(self.nodes));
        let side: Vec<usize> = (0..self.nodes).map(|_| self.dice.below(sides)).collect();
        for node in 0..self.nodes {
            let first = side.iter().position(|s| *s == side[node]).expect("itself");
            self.partition[node] = first + 1;
        }
        self.waiting = (0..self.nodes).collect();
    }

    fn configuration(&mut self, node: usize, verb: &str, extra: usize) {
        let all: Vec<String> = (1..=self.nodes + extra).map(|n| n.to_string()).collect();
        self.step(node, verb, &all.join(","));
    }

    fn members(&self, node: usize) -> String {
        let own = self.partition[node];
        let all = (0..self.nodes).filter(|other| self.partition[*other] == own);
        all.map(|other| (other + 1).to_string())
            .collect::<Vec<_>>()
            .join(",")
    }

    fn ring_of(&self, node: usize) -> String {
        format!("{}.{:x}", self.partition[node], self.ring)
    }

    fn membership(&mut self, node: usize) {
        let heuristics = self.dice.pick(&["", "", "", "", " +pass", " +fail"]);
        let list = format!("{} @{}{heuristics}", self.members(node), self.ring_of(node));
        self.step(node, "mem", &list);
    }

    /// A list that fits to nobody else's.
    fn odd_membership(&mut self, node: usize) {
        let other = 1 + self.dice.below(self.nodes + 1);
        self.ring += 1;
        let ring = self.ring;
        self.step(
            node,
            "mem",
            &format!("{},{other} @{}.{ring:x}", node + 1, node + 1),
        );
    }
}

fn letter(node: usize) -> char {
    char::from(b'A' + u8::try_from(node).expect("a handful of nodes"))
}
