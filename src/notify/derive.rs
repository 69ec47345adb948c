//! From what is seen of clusters to alerts: no clock, no I/O, the time goes in.
//!
//! Alerts come from looking at the state, not from single events, so that none is missed when
//! events are lost, and a change that does not last is not told at all:
//!
//! - A state is told when it has lasted for [`Rules::settle`], and so is its end.
//! - What comes and goes is told ever more rarely: each time a state is told again within
//!   a quarter of an hour, it must last twice as long, up to five minutes.
//! - If many of one kind are told at once, the rest is summed up in one alert (`budget`).
//! - What former processes knew ([`super::former`]) is expected to come back for [`Rules::grace`],
//!   and is lost afterwards.
//! - For [`Rules::grace`] after the start, nodes that connect and whole clusters that get their
//!   vote are no news by themselves; one alert at the end says how many there are.

use super::alert::{Alert, Fact, Kind, Severity, Status};
use super::budget::Outbox;
use super::former::{Former, FormerNode};
use super::view::View;
use crate::advice::words::span;
use pace::Pace;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use vote::Vote;

mod pace;
mod vote;

/// A cluster without nodes is forgotten after this.
pub(super) const FORGET: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Clusters without nodes that are remembered. Without certificates anybody can invent clusters.
const EMPTY: usize = 10_000;

/// How patient we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a change must last.
    pub settle: Duration,
    /// How long a node must be away until that is told once more; `None` for never.
    pub absent_after: Option<Duration>,
    /// How long after the start nodes are expected to come.
    pub grace: Duration,
}

impl Rules {
    /// Whether the other nodes are probably just about to connect.
    fn expects_more(self, view: &View, now: Now) -> bool {
        now.up < self.grace && !view.is_split
    }
}

/// The present moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the arbiter started; never goes back.
    pub up: Duration,
    /// By the wall clock, milliseconds since 1970.
    pub unix_ms: u64,
}

/// Makes alerts of what is seen.
#[derive(Debug)]
pub struct Deriver {
    rules: Rules,
    clusters: HashMap<String, Known>,
    /// States of the arbiter itself.
    own: States,
    out: Outbox,
}

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<u32, Node>,
    states: States,
    vote: Vote,
    /// Since when no node is connected.
    empty_since: Option<Duration>,
    /// For how long none had been before the start.
    empty_before: Duration,
}

#[derive(Debug, Default)]
struct Node {
    was_here: bool,
    gone: Option<Duration>,
    /// For how long it had been gone before the start.
    gone_before: Duration,
    /// It was here in a former process and has not come since.
    is_expected: bool,
    /// How it left, in words.
    how: Option<String>,
}

type States = BTreeMap<String, State>;

/// Something that is so or is not.
#[derive(Debug)]
struct State {
    fact: Fact,
    is_so: bool,
    /// Since when, milliseconds since 1970.
    since_unix_ms: u64,
    /// As it was told, if it was.
    told: Option<Severity>,
    pace: Pace,
}

impl Deriver {
    /// Nothing has been seen yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            clusters: HashMap::new(),
            own: States::new(),
            out: Outbox::new(rules.grace),
        }
    }

    /// Goes on with other rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// A cluster was there in former processes, and may come back.
    pub fn expect(&mut self, former: Former) {
        let expected = |FormerNode {
                            node,
                            gone_for,
                            how,
                        }| {
            let node_state = Node {
                was_here: true,
                gone: Some(Duration::ZERO),
                gone_before: gone_for,
                is_expected: true,
                how: Some(how),
            };
            (node, node_state)
        };
        let shortest = former.nodes.iter().map(|node| node.gone_for).min();
        let known = Known {
            empty_since: Some(Duration::ZERO),
            empty_before: shortest.unwrap_or_default(),
            nodes: former.nodes.into_iter().map(expected).collect(),
            ..Known::default()
        };
        self.clusters.insert(former.name.to_string(), known);
    }

    /// All that is so and was told.
    pub fn firing(&self, now: Now) -> Vec<Alert> {
        let states = self
            .clusters
            .values()
            .flat_map(|known| known.states.values());
        let alone = states.chain(self.own.values()).filter_map(|state| {
            let severity = state
                .told
                .filter(|_| self.out.told_alone(&state.fact.key))?;
            Some(Alert {
                fact: Fact {
                    severity,
                    ..state.fact.clone()
                },
                status: Some(Status::Firing),
                unix_ms: now.unix_ms,
                since_unix_ms: Some(state.since_unix_ms),
                count: None,
            })
        });
        let mut all: Vec<Alert> = alone.chain(self.out.sums(now)).collect();
        all.sort_by_key(|alert| alert.since_unix_ms);
        all
    }

    /// A node's connection ended like this.
    pub fn left(&mut self, cluster: &str, node: u32, how: &str) {
        if let Some(known) = self.clusters.get_mut(cluster) {
            known.nodes.entry(node).or_default().how = Some(how.to_owned());
        }
    }

    /// Whether a cluster was looked at before.
    pub fn knows(&self, cluster: &str) -> bool {
        self.clusters.contains_key(cluster)
    }

    /// Something that happened to the arbiter.
    pub fn note(&mut self, fact: Fact, now: Now) {
        self.out.event(fact, now);
    }

    /// What is so about the arbiter itself.
    pub fn arbiter(&mut self, facts: Vec<Fact>, now: Now) {
        let end = |fact: &Fact| match fact.kind {
            Kind::JournalTrouble => "the journal can be written again".to_owned(),
            _ => format!("it was renewed, or is no longer in use: {}", fact.message),
        };
        update(&mut self.own, facts, end, self.rules, now, &mut self.out);
    }

    /// Looks at a cluster. Returns whether something about it is still to be told.
    pub fn look(&mut self, view: &View, now: Now) -> bool {
        let known = self.clusters.entry(view.cluster.clone()).or_default();
        known.note_nodes(view, self.rules, now, &mut self.out);
        let facts = known.facts(view, self.rules, now);
        let nodes = &known.nodes;
        let end = |fact: &Fact| ended(fact, view, nodes);
        update(
            &mut known.states,
            facts,
            end,
            self.rules,
            now,
            &mut self.out,
        );
        known.vote.look(view, self.rules, now, &mut self.out);
        let is_restless = known
            .states
            .values()
            .any(|state| state.is_so != state.told.is_some());
        is_restless || known.vote.is_restless()
    }

    /// Looks at the clusters that are no longer there. Nobody is connected to them. Returns those
    /// about which something is still to be told.
    pub fn missing(&mut self, present: &HashSet<String>, now: Now) -> Vec<String> {
        let gone = self.clusters.keys().filter(|name| !present.contains(*name));
        let mut gone: Vec<String> = gone.cloned().collect();
        gone.retain(|name| self.look(&View::empty(name), now));
        let empty = self.clusters.iter().filter_map(|(name, known)| {
            let since = known.empty_since?;
            Some((now.up.saturating_sub(since) + known.empty_before, name))
        });
        let mut empty: Vec<(Duration, String)> =
            empty.map(|(time, name)| (time, name.clone())).collect();
        empty.sort_unstable_by(|one, other| other.cmp(one));
        let surplus = empty.len().saturating_sub(EMPTY);
        for (place, (time, name)) in empty.iter().enumerate() {
            if *time >= FORGET {
                self.forget(
                    name,
                    "it has not been seen for a week and is forgotten",
                    now,
                );
            } else if place < surplus {
                let why = "it is forgotten, because too many clusters have no node";
                self.forget(name, why, now);
            }
        }
        gone
    }

    /// Ends all that is so about a cluster, for this reason.
    pub fn forget(&mut self, cluster: &str, why: &str, now: Now) {
        let Some(known) = self.clusters.remove(cluster) else {
            return;
        };
        for state in known.states.into_values() {
            let Some(severity) = state.told else { continue };
            let fact = Fact {
                severity,
                message: format!("{cluster}: {why}"),
                reason: None,
                ..state.fact
            };
            self.out
                .state(fact, Status::Resolved, state.since_unix_ms, now);
        }
    }

    /// The clusters of which no node is connected.
    pub fn empty(&self) -> impl Iterator<Item = &String> {
        let all = self.clusters.iter();
        all.filter(|(_, known)| known.empty_since.is_some())
            .map(|(name, _)| name)
    }

    /// The alerts that are due.
    pub fn take(&mut self, now: Now) -> Vec<Alert> {
        self.out.take(now)
    }
}

impl Known {
    fn note_nodes(&mut self, view: &View, rules: Rules, now: Now, out: &mut Outbox) {
        for id in &view.connected {
            let node = self.nodes.entry(*id).or_default();
            if !node.was_here || node.is_awaited(rules, now) {
                let message = format!("{}: node {id} connected", view.cluster);
                let fact = Fact::of_node(
                    Kind::NodeConnected,
                    Severity::Info,
                    &view.cluster,
                    *id,
                    message,
                );
                out.event(fact, now);
            }
            *node = Node {
                was_here: true,
                ..Node::default()
            };
        }
        for id in &view.absent {
            let node = self.nodes.entry(*id).or_default();
            node.gone.get_or_insert(now.up);
        }
        self.nodes.retain(|id, node| {
            let is_connected = view.connected.contains(id);
            if !is_connected {
                node.gone.get_or_insert(now.up);
            }
            is_connected || !view.is_listed || view.absent.contains(id)
        });
        match view.connected.is_empty() {
            true => _ = self.empty_since.get_or_insert(now.up),
            false => {
                self.empty_since = None;
                self.empty_before = Duration::ZERO;
            }
        }
    }

    /// What is so about a cluster.
    fn facts(&self, view: &View, rules: Rules, now: Now) -> Vec<Fact> {
        let cluster = &view.cluster;
        let grave = view.severity.max(Severity::Warning);
        let sentence = || format!("{cluster}: {}", view.sentence);
        let mut facts = Vec::new();
        for (id, node) in &self.nodes {
            let Some(since) = node.gone.filter(|_| !node.is_awaited(rules, now)) else {
                continue;
            };
            let gone = now.up.saturating_sub(since) + node.gone_before;
            if node.was_here {
                let message = format!(
                    "{cluster}: node {id} lost its connection; {}",
                    view.sentence
                );
                let mut fact = Fact::of_node(Kind::NodeLost, grave, cluster, *id, message);
                fact.reason.clone_from(&node.how);
                facts.push(fact);
            }
            if rules.absent_after.is_some_and(|after| gone >= after) {
                let what = match node.was_here {
                    true => "has not been connected",
                    false => "is configured and has not connected",
                };
                let message = format!("{cluster}: node {id} {what} for {}", span(gone));
                facts.push(Fact::of_node(
                    Kind::NodeAbsent,
                    grave,
                    cluster,
                    *id,
                    message,
                ));
            }
        }
        if view.is_split {
            let mut fact = Fact::of_cluster(Kind::Split, grave, cluster, sentence());
            fact.nodes.clone_from(&view.connected);
            fact.reason.clone_from(&view.reason);
            facts.push(fact);
        }
        let was_told = self
            .states
            .values()
            .any(|state| state.fact.kind == Kind::VoteWithheld && state.told.is_some());
        let is_expected = !was_told && rules.expects_more(view, now);
        if let Some(why) = view.withheld.as_ref().filter(|_| !is_expected) {
            let mut fact = Fact::of_cluster(Kind::VoteWithheld, grave, cluster, sentence());
            fact.nodes.clone_from(&view.connected);
            fact.reason = Some(why.clone());
            facts.push(fact);
        }
        if let Some(odd) = &view.odd {
            let message = format!("{cluster}: {odd}");
            facts.push(Fact::of_cluster(
                Kind::OddCluster,
                Severity::Warning,
                cluster,
                message,
            ));
        }
        let told = self.states.values().filter(|state| state.told.is_some());
        facts.extend(told.filter_map(|state| unknown(&state.fact, view)));
        facts
    }
}

impl Node {
    /// Whether it probably is just about to connect.
    fn is_awaited(&self, rules: Rules, now: Now) -> bool {
        self.is_expected && now.up < rules.grace
    }
}

/// What was told and is not seen, but may well go on: those who could say so are not connected.
fn unknown(fact: &Fact, view: &View) -> Option<Fact> {
    let cluster = &view.cluster;
    let is_unknown = match fact.kind {
        Kind::Split => !view.is_split && fact.nodes.iter().any(|node| view.misses(*node)),
        Kind::VoteWithheld => view.withheld.is_none() && view.holders.is_empty(),
        Kind::OddCluster => return view.connected.is_empty().then(|| fact.clone()),
        _ => false,
    };
    let what = match fact.kind {
        Kind::Split => "the split is no longer seen, but not all of its nodes are connected",
        _ => "the vote was withheld when it was last seen",
    };
    is_unknown.then(|| Fact {
        message: format!("{cluster}: {what}; {}", view.sentence),
        ..fact.clone()
    })
}

/// How the end of a state is told.
fn ended(fact: &Fact, view: &View, nodes: &BTreeMap<u32, Node>) -> String {
    let name = &view.cluster;
    match fact.kind {
        Kind::NodeLost | Kind::NodeAbsent => {
            let node = fact.nodes.first().copied().unwrap_or_default();
            match nodes.contains_key(&node) {
                true => format!("{name}: node {node} is connected; {}", view.sentence),
                false => format!("{name}: node {node} is no longer configured"),
            }
        }
        Kind::Split => format!("{name}: the split is over; {}", view.sentence),
        Kind::VoteWithheld => format!("{name}: the vote is no longer withheld; {}", view.sentence),
        Kind::OddCluster => format!("{name}: the number of nodes is no longer odd"),
        _ => format!("{name}: over"),
    }
}

/// Compares what is so with what was told.
fn update(
    states: &mut States,
    facts: Vec<Fact>,
    end: impl Fn(&Fact) -> String,
    rules: Rules,
    now: Now,
    out: &mut Outbox,
) {
    let keys: HashSet<String> = facts.iter().map(|fact| fact.key.clone()).collect();
    for fact in facts {
        let state = states.entry(fact.key.clone()).or_insert_with(|| State {
            fact: fact.clone(),
            is_so: false,
            since_unix_ms: now.unix_ms,
            told: None,
            pace: Pace::default(),
        });
        state.fact = fact;
        if !state.is_so {
            state.is_so = true;
            state.pace.changed = now.up;
            if state.told.is_none() {
                state.since_unix_ms = now.unix_ms;
            }
        }
    }
    states.retain(|key, state| {
        if state.is_so && !keys.contains(key) {
            state.is_so = false;
            state.pace.changed = now.up;
        }
        let graver = state.told.is_some_and(|told| told < state.fact.severity);
        match (state.is_so, state.told) {
            (true, told) if (told.is_none() || graver) && state.pace.is_due(rules, false, now) => {
                state.pace.tell(now, false);
                state.told = Some(state.fact.severity);
                out.state(state.fact.clone(), Status::Firing, state.since_unix_ms, now);
            }
            (false, Some(severity)) if state.pace.is_due(rules, true, now) => {
                state.pace.tell(now, true);
                state.told = None;
                let message = end(&state.fact);
                let fact = Fact {
                    message,
                    severity,
                    // Why it began is not why it is over.
                    reason: None,
                    ..state.fact.clone()
                };
                out.state(fact, Status::Resolved, state.since_unix_ms, now);
            }
            _ => {}
        }
        let may_flap = state.pace.times > 0 && !state.pace.is_forgotten(now);
        state.is_so || state.told.is_some() || may_flap
    });
}

fn list(nodes: &[u32]) -> String {
    let shown: Vec<String> = nodes.iter().take(16).map(ToString::to_string).collect();
    let more = if nodes.len() > 16 { ",..." } else { "" };
    shown.join(",") + more
}

#[cfg(test)]
mod tests;
