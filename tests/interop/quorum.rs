//! What a node itself says about its quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::time::Instant;

use crate::namespace::Namespace;

/// A node's view at one moment, from `corosync-quorumtool -s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The node may run services.
    pub(crate) quorate: bool,
    /// Votes that are present: one per reachable node, and the device's.
    pub(crate) votes: u32,
    /// Votes that the configuration knows of.
    pub(crate) expected: u32,
    /// The nodes that this one sees, itself included.
    pub(crate) members: BTreeSet<u32>,
}

/// How often a node is asked for the same answer twice before the sample counts as without a view.
const SAME_ANSWER_TRIES: u32 = 5;

/// A view and the span of time in which it was taken.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) node: u32,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    /// `None` while corosync doesn't answer (starting, or killed).
    pub(crate) view: Option<View>,
}

impl Sample {
    /// Asks the node's corosync.
    ///
    /// `corosync-quorumtool` puts its answer together from several questions to corosync. Across a change of membership
    /// such an answer is of two moments: quorate from before, members from after. So only the same answer twice in a
    /// row is a view; the span of the sample is that of both.
    pub(crate) fn take(node: u32, namespace: &Namespace) -> Self {
        let mut begin = Instant::now();
        let mut view = Self::ask(namespace);
        for _ in 0..SAME_ANSWER_TRIES {
            let between = Instant::now();
            let again = Self::ask(namespace);
            let end = Instant::now();
            if again == view {
                return Self {
                    node,
                    begin,
                    end,
                    view,
                };
            }
            (begin, view) = (between, again);
        }
        Self {
            node,
            begin,
            end: Instant::now(),
            view: None,
        }
    }

    fn ask(namespace: &Namespace) -> Option<View> {
        if !namespace.is_alive() {
            return None;
        }
        let output = namespace.output(&["corosync-quorumtool", "-s", "-i"]);
        View::parse(&String::from_utf8_lossy(&output.stdout))
    }
}

impl View {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key == name).then(|| value.split_whitespace().next())?
            })
        };
        let members = text
            .lines()
            .skip_while(|line| !line.starts_with("Membership information"))
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .filter(|node| *node != 0)
            .collect();
        Some(Self {
            quorate: field("Quorate")? == "Yes",
            votes: field("Total votes")?.parse().ok()?,
            expected: field("Expected votes")?.parse().ok()?,
            members,
        })
    }
}

/// Views of several nodes, by node id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views(pub(crate) BTreeMap<u32, View>);

impl Deref for Views {
    type Target = BTreeMap<u32, View>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Views {
    /// These nodes see exactly each other, are quorate, and count so many votes.
    pub(crate) fn quorate(&self, nodes: &[u32], votes: u32) -> bool {
        self.see_each_other(nodes, |view| view.quorate && view.votes == votes)
    }

    /// These nodes see exactly each other, are not quorate, and have no vote but their own.
    pub(crate) fn inquorate(&self, nodes: &[u32]) -> bool {
        self.see_each_other(nodes, |view| {
            !view.quorate && view.votes as usize == nodes.len()
        })
    }

    fn see_each_other(&self, nodes: &[u32], right: impl Fn(&View) -> bool) -> bool {
        let members: BTreeSet<u32> = nodes.iter().copied().collect();
        nodes.iter().all(|node| {
            self.get(node)
                .is_some_and(|view| view.members == members && right(view))
        })
    }
}
