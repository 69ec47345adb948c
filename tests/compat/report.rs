//! Judges a scenario and writes a report that a person can read: what went wrong, and both transcripts side by side
//! in words and bytes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::describe::summary;
use crate::player::Event;
use crate::run::{Outcome, Transcript};
use crate::script::{Scenario, Side};
use crate::wire::hex;

/// None if all is well; otherwise the report.
pub(crate) fn judge(scenario: &Scenario, outcomes: &[(Side, Outcome)]) -> Option<String> {
    let mut problems: Vec<String> = outcomes
        .iter()
        .filter_map(|(side, outcome)| {
            Some(format!("{}: {}", side.name(), outcome.failure.as_ref()?))
        })
        .collect();
    if let [(_, theirs), (_, ours)] = outcomes {
        let (theirs, ours) = (received(&theirs.transcript), received(&ours.transcript));
        match (&scenario.differs, theirs == ours) {
            (None, false) => {
                let place = first_difference(&theirs, &ours);
                problems.push(format!("the two servers' transcripts differ, {place}"));
            }
            (Some(id), true) => problems.push(format!("the intended difference {id} is gone")),
            _ => {}
        }
    }
    // To see what a scenario does, for instance while it is written.
    let show = std::env::var_os("COMPAT_SHOW").is_some();
    if problems.is_empty() && !show {
        return None;
    }
    let failed = !problems.is_empty();
    let mut out = format!("---- {} {}\n", scenario.name, scenario.about);
    for problem in problems {
        let _ = writeln!(out, "  {problem}");
    }
    for (side, outcome) in outcomes {
        let _ = writeln!(out, "  {} ({}):", side.name(), scenario.server);
        let mut merged: Vec<(usize, char, &Event)> = Vec::new();
        for (who, events) in &outcome.transcript {
            merged.extend(events.iter().map(|(step, event)| (*step, *who, event)));
        }
        merged.sort_by_key(|(step, _, _)| *step);
        for (step, who, event) in merged {
            let _ = writeln!(out, "    {step:3} {who} {}", line(event));
        }
    }
    if !failed {
        println!("{out}");
    }
    failed.then_some(out)
}

/// What counts when transcripts are compared: all that the server did, none of what the client sent.
fn received(transcript: &Transcript) -> BTreeMap<char, Vec<&Event>> {
    let mut out: BTreeMap<char, Vec<&Event>> = BTreeMap::new();
    for (who, events) in transcript {
        let events = events.iter().map(|(_, event)| event);
        out.insert(
            *who,
            events
                .filter(|event| !matches!(event, Event::Sent(_)))
                .collect(),
        );
    }
    out
}

/// The receipt from which on one client's transcripts differ.
fn first_difference(
    theirs: &BTreeMap<char, Vec<&Event>>,
    ours: &BTreeMap<char, Vec<&Event>>,
) -> String {
    let nothing = Vec::new();
    for who in theirs.keys().chain(ours.keys()) {
        let (a, b) = (
            theirs.get(who).unwrap_or(&nothing),
            ours.get(who).unwrap_or(&nothing),
        );
        let Some(at) = (0..a.len().max(b.len())).find(|n| a.get(*n) != b.get(*n)) else {
            continue;
        };
        let show = |side: &[&Event]| {
            side.get(at)
                .map_or("nothing".to_owned(), |event| line(event))
        };
        return format!(
            "first at client {who}, receipt {}:\n    theirs {}\n    ours   {}",
            at + 1,
            show(a),
            show(b)
        );
    }
    "nowhere".to_owned()
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
