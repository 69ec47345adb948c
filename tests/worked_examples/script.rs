//! The language of the rows.
//!
//! ```text
//! start: end of F04                  where to start from: none, or another row
//! tie-breaker: highest               highest or a node's number; lowest if not stated
//! A hc fail    => A: push NACK, re NO_CHANGE
//!   safe (A7)  => A: re ACK          the same line under our rules, and why it differs
//!   no-leases (A3) => B: push ACK    under our rules with vote_leases = false
//! [safe] A ok  => -                  a line that only happens under our rules
//! ```
//!
//! Clients are A, B, C... for the nodes 1, 2, 3...; a client that a line does not mention must
//! receive nothing at all. Left of the arrow:
//!
//! | words | meaning |
//! |---|---|
//! | `connect @1.4` | PREINIT, INIT with this ring id, SET_OPTION; `, keep-active off` |
//! | `cfg{1,2}`, `chg{1,2}` | configured nodes, initial or changed |
//! | `mem{1,2}@1.4+pass` | membership with its ring id and heuristics, if any |
//! | `quorum`, `ask`, `echo`, `hc pass` | quorum list, ASK_FOR_VOTE, ECHO_REQUEST, HEURISTICS_CHANGE |
//! | `ok`, `old ok`, `ok 7` | VOTE_INFO_REPLY for the latest push, for the one before, or with this number |
//! | `leave` | the client closes its connection |
//! | `silent` | nothing of the client arrives any more, not even a heartbeat |
//! | `timer`, `wait 18s` | a quarter of the heartbeat interval passes, or this time |
//!
//! Several clients do the same one after the other in `A, B: ok`-fashion: `A, B ok`. Right of the
//! arrow: `push` is VOTE_INFO, `re` the vote of a reply, `err` the code of SERVER_ERROR, WAIT is
//! WAIT_FOR_REPLY, `closed` is the end of the connection by the server, `-` is nothing.

use qarbiter::wire::{Heuristics, NodeId, RingId, TieBreaker};
use std::collections::BTreeMap;
use std::time::Duration;

/// What each client receives, in order.
pub(crate) type Received = BTreeMap<char, Vec<String>>;

/// Why a vote, or the way it is told, differs from the reference: a defect of the specification's
/// list, a vote lease, or the same vote told at once instead of by a timer.
const REASONS: [&str; 16] = [
    "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "B1", "B2", "B4", "D1", "D7", "lease",
    "sooner",
];

/// Which rules a row is run under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `rules = "reference"`.
    Reference,
    /// `rules = "safe"`.
    Safe,
    /// `rules = "safe"`, `vote_leases = false`.
    SafeNoLeases,
}

impl Mode {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Reference, Self::Safe, Self::SafeNoLeases];
}

/// One example.
pub(crate) struct Row {
    /// Its id in the specification.
    pub(crate) id: &'static str,
    /// The script.
    pub(crate) text: &'static str,
}

impl Row {
    fn header(&self, key: &str) -> Option<&'static str> {
        let lines = self.text.lines().map(str::trim);
        let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        values.next().map(str::trim)
    }

    /// What it starts from.
    pub(crate) fn start(&self) -> &'static str {
        self.header("start")
            .unwrap_or_else(|| panic!("row {} does not say what it starts from", self.id))
    }

    /// Its tie-breaker, if it states one.
    pub(crate) fn tie_breaker(&self) -> Option<TieBreaker> {
        self.header("tie-breaker").map(|word| match word {
            "highest" => TieBreaker::Highest,
            node => TieBreaker::Node(NodeId(node.parse().unwrap())),
        })
    }

    /// Clients with unusual node ids.
    pub(crate) fn nodes(&self) -> Vec<(char, u32)> {
        let pairs = self.header("nodes").unwrap_or_default();
        let pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, node)| (client(name), node.trim().parse().unwrap()))
            .collect()
    }

    /// What happens in it.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for text in self.text.lines().map(str::trim) {
            let Some((left, right)) = text.split_once("=>") else {
                let is_header = ["start:", "tie-breaker:", "nodes:"]
                    .iter()
                    .any(|key| text.starts_with(key));
                assert!(text.is_empty() || is_header, "not understood: {text}");
                continue;
            };
            let left = left.trim();
            let other = ["safe (", "no-leases ("]
                .iter()
                .find_map(|word| left.strip_prefix(word));
            let Some(reasons) = other else {
                lines.push(Line::parse(text, left, right));
                continue;
            };
            let reasons = reasons.strip_suffix(')').unwrap();
            for reason in reasons.split(',').map(str::trim) {
                assert!(REASONS.contains(&reason), "unknown reason {reason:?}");
            }
            let line = lines.last_mut().unwrap();
            let expected = Some(line.parse_expected(right));
            if left.starts_with("safe") {
                assert_ne!(
                    expected,
                    Some(line.reference.clone()),
                    "no difference: {text}"
                );
                line.safe = expected;
            } else {
                assert_ne!(expected, Some(line.expected(Mode::Safe).clone()), "{text}");
                line.no_leases = expected;
            }
        }
        lines
    }
}

/// One line of a row.
pub(crate) struct Line {
    /// As written.
    pub(crate) text: String,
    /// What happens.
    pub(crate) events: Vec<Event>,
    only: Option<&'static [Mode]>,
    reference: Received,
    safe: Option<Received>,
    no_leases: Option<Received>,
}

impl Line {
    fn parse(text: &str, left: &str, right: &str) -> Self {
        let (only, left): (Option<&'static [Mode]>, &str) = match left.strip_prefix('[') {
            None => (None, left),
            Some(rest) => {
                let (word, left) = rest.split_once(']').unwrap();
                let modes: &'static [Mode] = match word {
                    "reference" => &[Mode::Reference],
                    "safe" => &[Mode::Safe, Mode::SafeNoLeases],
                    "leases" => &[Mode::Safe],
                    "no-leases" => &[Mode::SafeNoLeases],
                    other => panic!("unknown rules {other:?}"),
                };
                (Some(modes), left.trim())
            }
        };
        let mut line = Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            events: events(left),
            only,
            reference: Received::new(),
            safe: None,
            no_leases: None,
        };
        line.reference = line.parse_expected(right);
        line
    }

    /// Whether it happens under these rules.
    pub(crate) fn applies_to(&self, mode: Mode) -> bool {
        self.only.is_none_or(|modes| modes.contains(&mode))
    }

    /// What the clients receive.
    pub(crate) fn expected(&self, mode: Mode) -> &Received {
        let ours = match mode {
            Mode::Reference => None,
            Mode::Safe => self.safe.as_ref(),
            Mode::SafeNoLeases => self.no_leases.as_ref().or(self.safe.as_ref()),
        };
        ours.unwrap_or(&self.reference)
    }

    fn parse_expected(&self, text: &str) -> Received {
        let mut received = Received::new();
        if text.trim() == "-" {
            return received;
        }
        for part in text.split(';') {
            let (names, items) = part.split_once(':').unwrap();
            let names: Vec<char> = if names.trim() == "each" {
                self.events
                    .iter()
                    .filter_map(|event| event.client())
                    .collect()
            } else {
                names.split(',').map(client).collect()
            };
            for name in names {
                let items = items.split(',').map(|item| item.trim().to_owned());
                received.entry(name).or_default().extend(items);
            }
        }
        received
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Time passes.
    Wait(Duration),
    /// A client does something.
    Client(char, Deed),
}

impl Event {
    fn client(&self) -> Option<char> {
        match self {
            Self::Wait(_) => None,
            Self::Client(name, _) => Some(*name),
        }
    }
}

/// What a client does.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the module's table says it
pub(crate) enum Deed {
    Connect {
        ring: RingId,
        keep_active: bool,
    },
    Config {
        initial: bool,
        nodes: Vec<u32>,
    },
    Membership {
        nodes: Vec<u32>,
        ring: RingId,
        heuristics: Option<Heuristics>,
    },
    Quorum,
    Ask,
    Echo,
    Heuristics(Heuristics),
    Confirm(Push),
    Leave,
    FallSilent,
}

/// Which push a client confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the module's table says it
pub(crate) enum Push {
    Latest,
    BeforeLatest,
    Number(u32),
}

/// What was received, as the rows write it.
pub(crate) fn render(received: &Received) -> String {
    if received.is_empty() {
        return "-".to_owned();
    }
    let parts = received
        .iter()
        .map(|(name, items)| format!("{name}: {}", items.join(", ")));
    parts.collect::<Vec<_>>().join("; ")
}

fn events(text: &str) -> Vec<Event> {
    if text == "timer" {
        return vec![Event::Wait(Duration::from_millis(2000))];
    }
    if let Some(time) = text.strip_prefix("wait ") {
        let seconds = time.strip_suffix('s').unwrap().parse().unwrap();
        return vec![Event::Wait(Duration::from_secs(seconds))];
    }
    let is_name = |c: char| c.is_ascii_uppercase() || c == ',' || c == ' ';
    let (names, deed) = text.split_at(text.find(|c| !is_name(c)).unwrap());
    let deed = deed_of(deed);
    names
        .split(',')
        .map(|name| Event::Client(client(name), deed.clone()))
        .collect()
}

fn deed_of(text: &str) -> Deed {
    let (word, rest) = text
        .find(|c: char| !c.is_ascii_lowercase())
        .map_or((text, ""), |at| text.split_at(at));
    let rest = rest.trim();
    match (word, rest) {
        ("connect", _) => {
            let at = rest.strip_suffix(", keep-active off");
            Deed::Connect {
                ring: ring(at.unwrap_or(rest)),
                keep_active: at.is_none(),
            }
        }
        ("cfg" | "chg", _) => Deed::Config {
            initial: word == "cfg",
            nodes: list(rest).0,
        },
        ("mem", _) => {
            let (nodes, rest) = list(rest);
            let (at, word) = rest.split_once('+').unwrap_or((rest, ""));
            Deed::Membership {
                nodes,
                ring: ring(at),
                heuristics: (!word.is_empty()).then(|| heuristics(word)),
            }
        }
        ("hc", _) => Deed::Heuristics(heuristics(rest)),
        ("ok", "") => Deed::Confirm(Push::Latest),
        ("old", "ok") => Deed::Confirm(Push::BeforeLatest),
        ("ok", number) => Deed::Confirm(Push::Number(number.parse().unwrap())),
        ("quorum", "") => Deed::Quorum,
        ("ask", "") => Deed::Ask,
        ("echo", "") => Deed::Echo,
        ("leave", "") => Deed::Leave,
        ("silent", "") => Deed::FallSilent,
        _ => panic!("not understood: {text:?}"),
    }
}

fn client(name: &str) -> char {
    let mut letters = name.trim().chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ 'A'..='Z'), None) => letter,
        _ => panic!("not a client: {name:?}"),
    }
}

/// `{1,2,5-8}` and what is behind it.
fn list(text: &str) -> (Vec<u32>, &str) {
    let (inside, rest) = text.strip_prefix('{').unwrap().split_once('}').unwrap();
    let parts = inside.split(',').filter(|part| !part.is_empty());
    let ids = parts.flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    });
    (ids.collect(), rest)
}

/// `@1.9`: node, decimal here, and sequence, hexadecimal.
fn ring(text: &str) -> RingId {
    let (node, seq) = text.strip_prefix('@').unwrap().split_once('.').unwrap();
    RingId::new(node.parse().unwrap(), u64::from_str_radix(seq, 16).unwrap())
}

fn heuristics(word: &str) -> Heuristics {
    match word {
        "pass" => Heuristics::Pass,
        "fail" => Heuristics::Fail,
        other => panic!("not heuristics: {other:?}"),
    }
}
