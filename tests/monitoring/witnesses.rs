//! Everybody who tells of a split: the same winner for the same reason, or the operator gets two
//! stories. A further one is a function in `ALL`.

use serde_json::Value;

use crate::lab::Lab;
use crate::web;

/// Port of the arbiter's HTTP, as it is by default.
pub(crate) const HTTP: u16 = 8403;

const SOCKET: &str = "/run/corosync-qnetd/socket";

/// What somebody tells of a split. What it has no words for is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The nodes that have the vote.
    pub(crate) winner: Vec<u64>,
    /// The rule, for programs.
    pub(crate) rule: Option<String>,
    /// Why, in words.
    pub(crate) reason: Option<String>,
    /// `OK`, `DEGRADED` or `CRITICAL`.
    pub(crate) level: Option<String>,
    /// The state in one sentence.
    pub(crate) sentence: Option<String>,
}

/// Asks one witness about a cluster; `None` while it has nothing to tell.
pub(crate) type Witness = fn(&Lab, &str) -> Option<Account>;

/// All of them.
pub(crate) const ALL: [(&str, Witness); 7] = [
    ("the API", api),
    ("the API's decisions", decisions),
    ("the metrics", metrics),
    ("qarbiter status", status),
    ("qarbiter check", check),
    ("the page", crate::page::tells),
    ("the webhook", crate::webhook::tells),
];

pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(crate) fn numbers(value: &Value) -> Vec<u64> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_u64).collect()
}

fn api(lab: &Lab, cluster: &str) -> Option<Account> {
    let path = format!("/api/v1/clusters/{cluster}");
    let state = web::json(lab.machine(), HTTP, &path).ok()?;
    Some(Account {
        winner: numbers(&state["vote_held_by"]),
        rule: text(&state["decision"]["rule"]),
        reason: text(&state["decision"]["reason"]),
        ..Account::default()
    })
}

fn decisions(lab: &Lab, cluster: &str) -> Option<Account> {
    let path = format!("/api/v1/clusters/{cluster}/decisions");
    let list = web::json(lab.machine(), HTTP, &path).ok()?;
    let last = &list["decisions"][0];
    (last["outcome"] == "granted").then(|| Account {
        winner: numbers(&last["winner"]),
        rule: text(&last["rule"]),
        reason: text(&last["reason"]),
        ..Account::default()
    })
}

fn metrics(lab: &Lab, cluster: &str) -> Option<Account> {
    let text = web::get(lab.machine(), HTTP, "/metrics").ok()?;
    let mut account = Account::default();
    for line in text.lines() {
        let (series, value) = line.rsplit_once(' ')?;
        let of_it = format!("{{cluster=\"{cluster}\"");
        let Some((name, labels)) = series.split_once(&of_it) else {
            continue;
        };
        let label = |name: &str| {
            let rest = labels.split_once(&format!("{name}=\""))?.1;
            rest.split('"').next().map(str::to_owned)
        };
        match (name, value) {
            ("qarbiter_node_has_vote", "1") => {
                account.winner.push(label("node")?.parse().ok()?);
            }
            ("qarbiter_cluster_decision_info", "1") if label("outcome")? == "granted" => {
                account.rule = label("rule");
            }
            ("qarbiter_cluster_health", level) => {
                let levels = ["OK", "DEGRADED", "CRITICAL"];
                account.level = Some(levels[level.parse::<usize>().ok()?].to_owned());
            }
            _ => {}
        }
    }
    Some(account)
}

fn qarbiter(lab: &Lab, arguments: &[&str]) -> Option<Value> {
    let program = env!("CARGO_BIN_EXE_qarbiter");
    let arguments = [&[program], arguments, &["--json", "--socket", SOCKET]].concat();
    let output = lab.machine().output(&arguments);
    serde_json::from_slice(&output.stdout).ok()
}

fn status(lab: &Lab, cluster: &str) -> Option<Account> {
    let status = qarbiter(lab, &["status", "--cluster", cluster])?;
    let state = &status["clusters"][0];
    // "the vote goes to {1} in ring 1.10: REASON"
    let decision = state["decision"].as_str()?;
    let reason = decision.split_once(" in ring ")?.1.split_once(": ")?.1;
    Some(Account {
        winner: numbers(&state["vote_held_by"]),
        reason: Some(reason.to_owned()),
        level: text(&state["health"]["level"]),
        sentence: text(&state["health"]["sentence"]),
        ..Account::default()
    })
}

fn check(lab: &Lab, cluster: &str) -> Option<Account> {
    let answer = qarbiter(lab, &["check", cluster])?;
    let parts = answer["now"]["partitions"].as_array()?.iter();
    Some(Account {
        winner: parts.flat_map(|part| numbers(&part["with_vote"])).collect(),
        level: text(&answer["health"]["level"]),
        sentence: text(&answer["health"]["sentence"]),
        ..Account::default()
    })
}

/// Fails unless everybody tells the same, as far as each tells anything.
pub(crate) fn agree(accounts: &[(&str, Account)], expected: &Account) {
    for (who, account) in accounts {
        assert_eq!(account.winner, expected.winner, "{who}: {accounts:#?}");
        let pairs = [
            (&account.rule, &expected.rule),
            (&account.reason, &expected.reason),
            (&account.level, &expected.level),
            (&account.sentence, &expected.sentence),
        ];
        for (told, expected) in pairs {
            assert!(
                told.is_none() || told == expected,
                "{who} says {told:?}: {accounts:#?}"
            );
        }
        let says_why = [&account.rule, &account.reason, &account.sentence];
        assert!(says_why.iter().any(|word| word.is_some()), "{who}");
    }
}
