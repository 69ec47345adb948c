//! What happens in a run: the cluster, its settings, and the faults with their times.
//!
//! A plan is plain data, so that a failing one can be made smaller and written down as a test.

use crate::rng::Rng;
use qarbiter::engine::{ClusterPolicy, LostHolder, Rules};
use qarbiter::wire::{Algorithm, Heuristics, NodeId, TieBreaker};

/// The cluster and the settings of everything; times in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) nodes: u32,
    pub(crate) algorithm: Algorithm,
    pub(crate) tie_breaker: TieBreaker,
    pub(crate) policy: ClusterPolicy,
    /// Node `i + 1` sets keep-active if bit `i` is set.
    pub(crate) keep_active: u32,
    pub(crate) wait_for_all: bool,
    pub(crate) heuristics: bool,
    /// `quorum.device.timeout`.
    pub(crate) device_timeout: u64,
    /// Longest time until a node sees a change of its membership.
    pub(crate) token: u64,
    /// Longest delay of a message while the link works.
    pub(crate) max_delay: u64,
    /// Whether votequorum counts the last vote of a client process that was killed until the
    /// device timeout (safety spec, section 1), or forgets it at once.
    pub(crate) killed_vote_counts: bool,
    /// Whether the arbiter finds its records when it is started anew.
    pub(crate) journal: bool,
}

impl Setup {
    /// 0.8 x device timeout (safety spec, section 1).
    pub(crate) fn heartbeat(&self) -> u64 {
        self.device_timeout * 4 / 5
    }

    /// 2 x HB and a margin of 10 %, at least 1 s (safety spec, section 3).
    pub(crate) fn lease(&self) -> u64 {
        let bound = 2 * self.heartbeat();
        bound + (bound / 10).max(1000)
    }

    /// A quiet cluster with default settings.
    pub(crate) fn usual(nodes: u32, algorithm: Algorithm) -> Self {
        Self {
            nodes,
            algorithm,
            tie_breaker: TieBreaker::Lowest,
            policy: ClusterPolicy::SAFE,
            keep_active: u32::MAX,
            wait_for_all: false,
            heuristics: false,
            device_timeout: 10_000,
            token: 1000,
            max_delay: 5,
            killed_vote_counts: false,
            journal: true,
        }
    }

    /// Whether invariant I1 must hold: no time limit proves that a lost `lms` node with
    /// wait_for_all or a lost `2nodelms` node stopped casting (safety spec, section 1).
    pub(crate) fn must_be_safe(&self) -> bool {
        let bounded = match self.algorithm {
            Algorithm::FfSplit => true,
            Algorithm::Lms => !self.wait_for_all || self.policy.lost_holder == LostHolder::Manual,
            _ => self.policy.lost_holder == LostHolder::Manual,
        };
        self.policy.keeps_leases() && bounded
    }
}

/// Which directions of a node's link to the arbiter are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Both,
    ToArbiter,
    FromArbiter,
}

/// One thing that happens. Nodes are given by index, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Node `i` is from now on in the network part `parts[i]`.
    Split(Vec<u8>),
    /// The part of this node forms a new ring with the same members.
    Reform(usize),
    /// The link to the arbiter falls silent.
    Cut(usize, Cut),
    /// It works again.
    Mend(usize),
    /// The node dies without a word.
    Die(usize),
    /// It boots.
    Boot(usize),
    /// The client process is killed; it is started again after this time.
    KillClient(usize, u64),
    /// The node's heuristics have this result from now on.
    Heuristics(usize, Option<Heuristics>),
    /// The node list in the configuration has one more node (true), or not.
    Reload(bool),
    /// The server closes the node's connection.
    Drop(usize),
    /// The server's system reports that the node's link is lost.
    NetworkLost(usize),
    /// The arbiter is started anew: its process was killed, or (true) its machine lost power.
    Restart(bool),
}

impl Fault {
    /// A fault from three numbers, so that anything that makes numbers makes faults.
    pub(crate) fn decode(setup: &Setup, kind: u8, which: u8, detail: u16) -> Self {
        let nodes = setup.nodes as usize;
        let node = usize::from(which) % nodes;
        match kind % 22 {
            0..=3 => Self::Split((0..nodes).map(|i| part(which, detail, i, nodes)).collect()),
            4 => Self::Reform(node),
            5..=7 => Self::Cut(node, Cut::Both),
            8 => Self::Cut(
                node,
                [Cut::ToArbiter, Cut::FromArbiter][usize::from(detail % 2)],
            ),
            9..=11 => Self::Mend(node),
            12 => Self::Die(node),
            13 => Self::Boot(node),
            14 => Self::KillClient(node, 500 + u64::from(detail) % 10_000),
            15 | 16 if setup.heuristics => {
                let results = [None, Some(Heuristics::Pass), Some(Heuristics::Fail)];
                // Once heuristics are in use, a change is always to a result.
                Self::Heuristics(node, results[1 + usize::from(detail % 2)])
            }
            17 if setup.algorithm != Algorithm::TwoNodeLms => Self::Reload(detail % 2 == 0),
            18 => Self::Drop(node),
            19 => Self::NetworkLost(node),
            20 | 21 => Self::Restart(kind % 22 == 21),
            _ => Self::Mend(node),
        }
    }
}

/// Mostly splits into two contiguous parts, which is where ties come from.
fn part(which: u8, detail: u16, i: usize, nodes: usize) -> u8 {
    match which % 4 {
        0 => u8::from(i >= nodes / 2),
        1 => u8::from(i >= usize::from(detail) % (nodes + 1)),
        2 => 0,
        _ => ((usize::from(detail) >> (i % 16)) % 2) as u8 + u8::from(detail % 7 == i as u16 % 7),
    }
}

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// For delays and the order of simultaneous events.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// Time and fault, in order.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// Whether dead nodes boot when the faults are over.
    pub(crate) boot_all: bool,
}

impl Plan {
    /// Everything random; `adjust` may then insist on some settings.
    pub(crate) fn random(seed: u64, adjust: impl Fn(&mut Setup)) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let setup = random_setup(&mut rng, &adjust);
        let mut at = 15_000;
        let mut faults = Vec::new();
        for _ in 0..3 + rng.below(22) {
            let longest = rng.pick(&[200, 3000, 3000, 20_000, 40_000]);
            at += rng.below(longest);
            if rng.chance(6) {
                at = attack(&mut rng, &setup, at, &mut faults);
                continue;
            }
            let (kind, which, detail) = (rng.next() as u8, rng.next() as u8, rng.next() as u16);
            faults.push((at, Fault::decode(&setup, kind, which, detail)));
        }
        let boot_all = rng.chance(50) || setup.policy.lost_holder == LostHolder::Manual;
        Self {
            seed,
            setup,
            faults,
            boot_all,
        }
    }

    /// Whether a client may never learn that the arbiter was gone: a quorate lms client with
    /// wait_for_all sends no more heartbeats once one was not answered, keeps its vote, and waits
    /// for an end of the connection that a machine without power can't send.
    pub(crate) fn may_leave_a_client_deaf(&self) -> bool {
        let power_loss = |(_, fault): &(u64, Fault)| *fault == Fault::Restart(true);
        let setup = &self.setup;
        setup.algorithm == Algorithm::Lms
            && setup.wait_for_all
            && self.faults.iter().any(power_loss)
    }

    /// When the faults are over.
    pub(crate) fn calm_from(&self) -> u64 {
        self.faults.last().map_or(15_000, |(at, _)| *at) + 1
    }

    /// When the outcome must be there: everything lost was noticed on both sides, came back, was
    /// waited for, and was asked twice.
    pub(crate) fn settled_at(&self) -> u64 {
        self.calm_from() + 4 * self.setup.lease() + 6 * self.setup.device_timeout + 60_000
    }
}

/// The patterns that come close to two votes; blind chance seldom gets their timing right.
fn attack(rng: &mut Rng, setup: &Setup, at: u64, faults: &mut Vec<(u64, Fault)>) -> u64 {
    let nodes = setup.nodes as usize;
    let victim = rng.below(u64::from(setup.nodes)) as usize;
    let heartbeat = setup.heartbeat();
    let split = Fault::Split((0..nodes).map(|i| u8::from(i >= nodes / 2)).collect());
    faults.push((at, split));
    let mut at = at + setup.token + rng.below(heartbeat);
    if rng.chance(50) {
        // A client comes back, and what it is answered arrives late.
        let restart = 500 + rng.below(500);
        faults.push((at, Fault::KillClient(victim, restart)));
        at += restart + rng.below(100);
        faults.push((at, Fault::Cut(victim, Cut::FromArbiter)));
        at += rng.below(heartbeat);
        faults.push((at, Fault::Mend(victim)));
        at += rng.below(4000);
    }
    faults.push((at, Fault::Cut(victim, Cut::Both)));
    at += rng.below(3 * setup.lease());
    faults.push((at, Fault::Mend(victim)));
    at
}

fn random_setup(rng: &mut Rng, adjust: &impl Fn(&mut Setup)) -> Setup {
    let nodes = match rng.below(10) {
        0..=3 => 2,
        4 | 5 => 4,
        6 => 3,
        7 | 8 => 1 + rng.below(8) as u32,
        _ => 1 + rng.below(16) as u32,
    };
    let mut setup = Setup::usual(nodes, rng.pick(&[Algorithm::FfSplit, Algorithm::Lms]));
    setup.tie_breaker = match rng.below(4) {
        0 | 1 => TieBreaker::Lowest,
        2 => TieBreaker::Highest,
        _ => TieBreaker::Node(NodeId(1 + rng.below(u64::from(nodes) + 1) as u32)),
    };
    setup.policy = ClusterPolicy {
        rules: Rules::Safe,
        vote_leases: true,
        lost_holder: rng.pick(&[LostHolder::Timed, LostHolder::Manual]),
    };
    setup.keep_active = rng.pick(&[0, u32::MAX, u32::MAX, 0x5555_5555]);
    setup.wait_for_all = rng.chance(40);
    setup.heuristics = rng.chance(40);
    setup.device_timeout = rng.pick(&[10_000, 10_000, 10_000, 5000, 20_000]);
    setup.token = rng.pick(&[100, 1000, 3000]);
    setup.max_delay = rng.pick(&[2, 50, 900]);
    adjust(&mut setup);
    if setup.algorithm == Algorithm::TwoNodeLms {
        setup.nodes = 2;
    }
    setup
}
