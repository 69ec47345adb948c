//! Somebody who is told by webhook.

use serde_json::Value;

use crate::lab::Lab;
use crate::witnesses::{Account, numbers, text};

/// What the arbiter has to be told for it, see `receiver.py`.
pub(crate) const ENVIRONMENT: &[&str] = &["QARBITER_ALERTS_WEBHOOKS=json http://127.0.0.1:8404/"];

const PORT: &str = "8404";
const RECEIVER: &str = "receiver";

/// Begins to listen, on the arbiter's machine.
pub(crate) fn listen(lab: &Lab) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitoring/receiver.py");
    lab.machine().start(RECEIVER, &["python3", program, PORT]);
}

/// Every alert that came, the oldest first.
pub(crate) fn alerts(lab: &Lab) -> Vec<Value> {
    let log = lab.machine().log(RECEIVER);
    let mut all = Vec::new();
    // The last line may still be on its way.
    for line in log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let bundle: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        all.extend(bundle["alerts"].as_array().unwrap().iter().cloned());
    }
    all
}

/// What it was told of a split, and of who got the vote.
pub(crate) fn tells(lab: &Lab, cluster: &str) -> Option<Account> {
    let all = alerts(lab);
    let last = |kind: &str| {
        let mut all = all.iter().rev();
        all.find(|alert| alert["kind"] == kind && alert["cluster"] == cluster)
    };
    let split = last("split").filter(|split| split["status"] == "firing")?;
    let vote = last("vote_granted")?;
    assert_eq!(split["reason"], vote["reason"], "{all:#?}");
    let sentence = split["message"].as_str()?;
    let sentence = sentence.strip_prefix(&format!("{cluster}: "))?;
    Some(Account {
        winner: numbers(&vote["nodes"]),
        reason: text(&vote["reason"]),
        sentence: Some(sentence.to_owned()),
        ..Account::default()
    })
}
