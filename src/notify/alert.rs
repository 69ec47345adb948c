//! One alert: what it is about, how grave it is, and whether it still is so.

use crate::proto::v1;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// For programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The one with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Info, Self::Warning, Self::Critical];
        all.into_iter().find(|known| known.word() == word)
    }
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A node connected that was not known before.
    NodeConnected,
    /// A node's connection ended.
    NodeLost,
    /// A configured node has not been connected for long.
    NodeAbsent,
    /// Nodes of a cluster see each other in separate groups.
    Split,
    /// The vote is with other nodes than before, some of which had it before.
    VoteGranted,
    /// The vote is with nodes of which none had it before.
    VoteMoved,
    /// Nobody has the vote, or who should have it can't have it yet.
    VoteWithheld,
    /// A cluster has an odd number of nodes.
    OddCluster,
    /// A certificate comes to its end.
    CertificateEnding,
    /// Who has a vote can't be written down.
    JournalTrouble,
    /// The arbiter started.
    ArbiterStarted,
    /// The arbiter is stopping.
    ArbiterStopping,
    /// Somebody tries whether alerts arrive.
    Test,
}

impl Kind {
    /// For programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NodeConnected => "node_connected",
            Self::NodeLost => "node_lost",
            Self::NodeAbsent => "node_absent",
            Self::Split => "split",
            Self::VoteGranted => "vote_granted",
            Self::VoteMoved => "vote_moved",
            Self::VoteWithheld => "vote_withheld",
            Self::OddCluster => "odd_cluster",
            Self::CertificateEnding => "certificate_ending",
            Self::JournalTrouble => "journal_trouble",
            Self::ArbiterStarted => "arbiter_started",
            Self::ArbiterStopping => "arbiter_stopping",
            Self::Test => "test",
        }
    }
}

/// Whether a state began or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is so.
    Firing,
    /// It is over.
    Resolved,
}

impl Status {
    /// For programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What an alert says, before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub kind: Kind,
    /// How grave it is.
    pub severity: Severity,
    /// The same for the same state of the same thing.
    pub key: String,
    /// The cluster.
    pub cluster: Option<String>,
    /// The nodes.
    pub nodes: Vec<u32>,
    /// What happened, in a sentence.
    pub message: String,
    /// Why.
    pub reason: Option<String>,
}

impl Fact {
    /// Something about the arbiter itself.
    pub fn of_arbiter(kind: Kind, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            key: kind.word().to_owned(),
            cluster: None,
            nodes: Vec::new(),
            message: message.into(),
            reason: None,
        }
    }

    /// Something about a cluster.
    pub fn of_cluster(kind: Kind, severity: Severity, cluster: &str, message: String) -> Self {
        Self {
            kind,
            severity,
            key: format!("{}/{cluster}", kind.word()),
            cluster: Some(cluster.to_owned()),
            nodes: Vec::new(),
            message,
            reason: None,
        }
    }

    /// Something about one of its nodes.
    pub fn of_node(
        kind: Kind,
        severity: Severity,
        cluster: &str,
        node: u32,
        message: String,
    ) -> Self {
        let mut fact = Self::of_cluster(kind, severity, cluster, message);
        fact.key += &format!("/{node}");
        fact.nodes = vec![node];
        fact
    }
}

/// A fact with what makes it one alert of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it says.
    pub fact: Fact,
    /// Whether it began or is over; `None` if it is no state.
    pub status: Option<Status>,
    /// When it was noticed, milliseconds since 1970.
    pub unix_ms: u64,
    /// When the state began, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// How many alerts it stands for, if there were too many to tell each.
    pub count: Option<u32>,
}

impl Alert {
    /// As it leaves the process.
    pub fn message(self, id: String, arbiter: &str) -> v1::Alert {
        let fact = self.fact;
        v1::Alert {
            id,
            unix_ms: self.unix_ms,
            kind: fact.kind.word().to_owned(),
            severity: fact.severity.word().to_owned(),
            status: self.status.map(|status| status.word().to_owned()),
            key: fact.key,
            cluster: fact.cluster,
            nodes: fact.nodes,
            message: fact.message,
            reason: fact.reason,
            arbiter: arbiter.to_owned(),
            since_unix_ms: self.since_unix_ms,
            count: self.count,
        }
    }
}
