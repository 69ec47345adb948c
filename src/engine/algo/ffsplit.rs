//! ffsplit: exactly one partition with at least half of the configured nodes
//! (algorithms spec, section 5).

use super::client_of;
use crate::engine::client::{Client, heuristics_score};
use crate::engine::explain::{Partition, Rule, Waiting};
use crate::engine::time::Time;
use crate::wire::{Heuristics, NodeId, TieBreaker};
use std::cmp::Ordering;
use std::sync::Arc;

/// What the selection looks at.
pub(crate) struct View<'a> {
    /// All clients, in ascending node id order, with the sender's new values.
    pub(crate) clients: &'a [Client],
    /// A client that is leaving. It is no candidate; the reference counts it as connected.
    pub(crate) leaving: Option<NodeId>,
    pub(crate) now: Time,
    pub(crate) tie_breaker: TieBreaker,
    /// The sender of the message that is handled, and the heuristics that were stored for it.
    pub(crate) former_heuristics: Option<(NodeId, Option<Heuristics>)>,
    /// The partition selected before.
    pub(crate) active: &'a [NodeId],
    /// Whether B2 and B4 are repaired (algorithms spec, section 12).
    pub(crate) repaired: bool,
}

/// Section 5.3, step 2: why the cluster is not stable, or `None` if it is.
pub(crate) fn instability(view: &View<'_>) -> Option<Waiting> {
    let present = || view.present();
    if let Some(first) = present().next() {
        let expected = sorted(first.configured().iter().map(|node| node.id));
        let differs = present().find(|client| {
            client.config != first.config
                && sorted(client.configured().iter().map(|node| node.id)) != expected
        });
        if let Some(other) = differs {
            return Some(Waiting::ConfigDiffers {
                a: first.node,
                b: other.node,
            });
        }
    }
    for client in present() {
        for node in client.members() {
            let Some(other) = view.present_client(*node) else {
                continue;
            };
            if client.ring != other.ring || !is_subset(client, other) {
                return Some(Waiting::MembershipDiffers {
                    a: client.node,
                    b: other.node,
                });
            }
        }
    }
    None
}

/// Section 5.4: the partition that wins and why, or why none does.
pub(crate) fn select(view: &View<'_>) -> (Option<Partition>, Rule) {
    let keep_active = view.clients.iter().all(|client| client.keep_active);
    let mut best: Option<Candidate<'_>> = None;
    for client in view.present().filter(|client| client.has_both_lists()) {
        let candidate = Candidate::new(view, client);
        if compare(view, keep_active, &candidate, best.as_ref()).0 {
            best = Some(candidate);
        }
    }
    let Some(best) = best else {
        let configured = view.present().map(|client| client.configured().len()).max();
        return (
            None,
            Rule::NoHalf {
                configured: configured.unwrap_or(0),
            },
        );
    };
    let rule = winning_rule(view, keep_active, &best);
    let partition = Partition {
        ring: best.client.ring,
        nodes: best.client.members().to_vec(),
    };
    (Some(partition), rule)
}

impl View<'_> {
    fn present(&self) -> impl Iterator<Item = &Client> + Clone {
        self.clients.iter().filter(|client| self.is_present(client))
    }

    fn present_client(&self, node: NodeId) -> Option<&Client> {
        client_of(self.clients, node).filter(|client| self.is_present(client))
    }

    /// A client that does not send its lists would hold up its cluster for ever; the repaired
    /// rules leave it out after a while (protocol spec, D1).
    fn is_present(&self, client: &Client) -> bool {
        let is_given_up =
            self.repaired && lists_due(client).is_some_and(|deadline| deadline <= self.now);
        Some(client.node) != self.leaving && !is_given_up
    }

    /// Whether the client of a listed node counts as connected.
    fn counted_client(&self, node: NodeId) -> Option<&Client> {
        if self.repaired {
            self.present_client(node)
        } else {
            client_of(self.clients, node)
        }
    }

    /// The heuristics of a node of a candidate's partition. The reference puts the sender's new
    /// result in place only where the sender itself is the candidate; in the eyes of its peers its
    /// stored one counts (found on the running server; the specification says otherwise).
    fn heuristics(&self, candidate: &Client, node: &Client) -> Option<Heuristics> {
        match self.former_heuristics {
            Some((sender, former))
                if !self.repaired && sender == node.node && sender != candidate.node =>
            {
                former
            }
            _ => node.heuristics,
        }
    }
}

/// When a client that has not sent both lists is no longer waited for.
pub(crate) fn lists_due(client: &Client) -> Option<Time> {
    (!client.has_both_lists()).then(|| client.reported_at + client.heartbeat() * 2)
}

struct Candidate<'a> {
    client: &'a Client,
    /// Nodes of its membership that are clients.
    connected: usize,
    score: i64,
    /// Nodes of its membership that were active before.
    active: usize,
}

impl<'a> Candidate<'a> {
    fn new(view: &View<'_>, client: &'a Client) -> Self {
        let mut connected = 0;
        let mut heuristics = 0;
        for node in client.members() {
            if let Some(other) = view.counted_client(*node) {
                connected += 1;
                heuristics += heuristics_score(view.heuristics(client, other));
            }
        }
        let active = if view.repaired {
            client
                .members()
                .iter()
                .filter(|node| view.active.contains(node))
                .count()
        } else {
            usize::from(view.active.contains(&client.node))
        };
        let score = i64::try_from(connected).unwrap_or(i64::MAX) + heuristics;
        Self {
            client,
            connected,
            score,
            active,
        }
    }

    fn members(&self) -> usize {
        self.client.members().len()
    }

    fn configured(&self) -> usize {
        self.client.configured().len()
    }

    /// The node that the tie-breaker prefers among the configured ones.
    fn preferred(&self, tie_breaker: TieBreaker) -> Option<NodeId> {
        let ids = self.client.configured().iter().map(|node| node.id);
        match tie_breaker {
            TieBreaker::Lowest => ids.min(),
            TieBreaker::Highest => ids.max(),
            TieBreaker::Node(node) => Some(node),
        }
    }
}

/// BETTER(c, best) of section 5.4, with the rule that decided.
fn compare(
    view: &View<'_>,
    keep_active: bool,
    c: &Candidate<'_>,
    best: Option<&Candidate<'_>>,
) -> (bool, Rule) {
    let configured = c.configured();
    let half = configured / 2;
    if c.members() > half {
        return (
            true,
            Rule::Majority {
                members: c.members(),
                configured,
            },
        );
    }
    if configured % 2 == 1 || c.members() < half {
        return (false, Rule::NoHalf { configured });
    }
    let (best_score, best_connected) = best.map_or((0, 0), |best| (best.score, best.connected));
    if c.score != best_score {
        return (
            c.score > best_score,
            Rule::Score {
                score: c.score,
                rival: best_score,
            },
        );
    }
    if c.connected != best_connected {
        let rule = Rule::Connected {
            connected: c.connected,
            rival: best_connected,
        };
        return (c.connected > best_connected, rule);
    }
    if let Some(best) = best.filter(|_| keep_active) {
        match c.active.cmp(&best.active) {
            Ordering::Greater => return (true, Rule::KeepActive),
            Ordering::Less => return (false, Rule::KeepActive),
            Ordering::Equal => {}
        }
    }
    let node = c.preferred(view.tie_breaker);
    let has = |x: &Candidate<'_>| node.is_some_and(|node| x.client.members().contains(&node));
    let rule = if has(c) || best.is_some_and(has) {
        Rule::TieBreaker {
            rule: view.tie_breaker,
            node,
        }
    } else {
        Rule::FirstOfTie {
            rule: view.tie_breaker,
        }
    };
    (has(c), rule)
}

/// The rule that tells the winner from its closest rival.
fn winning_rule(view: &View<'_>, keep_active: bool, winner: &Candidate<'_>) -> Rule {
    let configured = winner.configured();
    if winner.members() > configured / 2 {
        return Rule::Majority {
            members: winner.members(),
            configured,
        };
    }
    view.present()
        .filter(|client| client.has_both_lists())
        .filter(|client| !winner.client.members().contains(&client.node))
        .map(|client| Candidate::new(view, client))
        .filter(|rival| rival.members() == configured / 2 && rival.configured() == configured)
        .map(|rival| compare(view, keep_active, winner, Some(&rival)).1)
        .max_by_key(|rule| match rule {
            Rule::Score { .. } => 1,
            Rule::Connected { .. } => 2,
            Rule::KeepActive => 3,
            Rule::TieBreaker { .. } | Rule::FirstOfTie { .. } => 4,
            _ => 0,
        })
        .unwrap_or(Rule::OnlyHalf { configured })
}

/// Whether every node of X's membership is in Y's.
fn is_subset(x: &Client, y: &Client) -> bool {
    // Equal lists are stored once, and this is asked for every pair of clients.
    let shared = x.membership.as_ref().zip(y.membership.as_ref());
    if shared.is_some_and(|(x, y)| Arc::ptr_eq(x, y)) {
        return true;
    }
    let y = sorted(y.members().iter().copied());
    x.members().iter().all(|node| y.binary_search(node).is_ok())
}

fn sorted(nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
