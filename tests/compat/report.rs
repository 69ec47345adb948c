//! Judges a scenario and writes a report that a person can read: what went wrong, and both transcripts side by side
//! in words and bytes.

use std::fmt::Write;

use crate::player::Event;
use crate::run::{Outcome, Transcript};
use crate::script::{Scenario, Side};
use crate::wire::{hex, summary};

/// None if all is well; otherwise the report.
pub(crate) fn judge(scenario: &Scenario, outcomes: &[(Side, Outcome)]) -> Option<String> {
    let mut problems: Vec<String> = outcomes
        .iter()
        .filter_map(|(side, outcome)| {
            Some(format!("{}: {}", side.name(), outcome.failure.as_ref()?))
        })
        .collect();
    if let [(_, theirs), (_, ours)] = outcomes {
        let equal = received(&theirs.transcript) == received(&ours.transcript);
        match (&scenario.differs, equal) {
            (None, false) => problems.push("the two servers' transcripts differ".to_owned()),
            (Some(id), true) => problems.push(format!("the intended difference {id} is gone")),
            _ => {}
        }
    }
    if problems.is_empty() {
        return None;
    }
    let mut out = format!("---- {} {}\n", scenario.name, scenario.about);
    for problem in problems {
        let _ = writeln!(out, "  {problem}");
    }
    for (side, outcome) in outcomes {
        let _ = writeln!(out, "  {} ({}):", side.name(), scenario.server);
        for (who, events) in &outcome.transcript {
            for event in events {
                let _ = writeln!(out, "    {who} {}", line(event));
            }
        }
    }
    Some(out)
}

/// What counts when transcripts are compared: all that the server did, none of what the client sent.
fn received(transcript: &Transcript) -> Vec<(char, Vec<&Event>)> {
    transcript
        .iter()
        .map(|(who, events)| {
            (
                *who,
                events
                    .iter()
                    .filter(|event| !matches!(event, Event::Sent(_)))
                    .collect(),
            )
        })
        .collect()
}

fn line(event: &Event) -> String {
    let short = |bytes: &[u8]| {
        let text = hex(bytes);
        if text.len() > 400 {
            format!("{}... ({} bytes)", &text[..400], bytes.len())
        } else {
            text
        }
    };
    match event {
        Event::Sent(bytes) => format!("> {}\n        {}", summary(bytes), short(bytes)),
        Event::Got(bytes) => format!("< {}\n        {}", summary(bytes), short(bytes)),
        Event::Ended(end) => format!("< {end:?}"),
        Event::Fact(text) => format!("* {text}"),
    }
}
