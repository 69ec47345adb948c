//! `qarbiter check`.

use super::simulate::{StateReport, StepReport};
use super::{Where, print};
use crate::advice::simulate::{State, Step};
use crate::advice::what_if::{Answer, WhatIf, what_if};
use crate::advice::words::{list, seconds};
use crate::ipc::client::ask;
use crate::ipc::json::{ClusterStatus, HealthStatus, Status};
use crate::wire::{Heuristics, NodeId};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// Names are taken for misspelt from this similarity on, 0 to 1.
const SIMILAR: f64 = 0.8;

/// Most names of clusters in an error.
const MOST_NAMES: usize = 16;

/// What stands before another end that a failure may have.
const BY_THE_MOMENT: &str = "  or, by the moment";

/// Options of `qarbiter check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    place: Where,
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
    /// Name of the cluster
    #[arg(value_name = "CLUSTER")]
    cluster: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    cluster: &'a str,
    health: &'a HealthStatus,
    now: StateReport,
    exact: bool,
    answers: Vec<AnswerReport<'a>>,
}

#[derive(Debug, Serialize)]
struct AnswerReport<'a> {
    failure: &'a str,
    #[serde(flatten)]
    step: StepReport,
}

impl Check {
    pub(crate) fn run(self) -> ExitCode {
        print("qarbiter check", self.text())
    }

    fn text(&self) -> Result<String, Box<dyn std::error::Error>> {
        let answer = ask(&self.place.socket()?, b"qarbiter-status")?;
        let status: Status = serde_json::from_slice(&answer)?;
        let name = &self.cluster;
        let mut known = status.clusters.iter();
        let Some(cluster) = known.find(|cluster| cluster.name == *name) else {
            let others: Vec<&str> = status.clusters.iter().map(|c| c.name.as_str()).collect();
            let instead = instead(name, &others);
            return Err(format!("no node of a cluster {name:?} is connected; {instead}").into());
        };
        let answers = what_if(cluster).map_err(|error| format!("cluster {name:?}: {error}"))?;
        if self.json {
            return Ok(serde_json::to_string_pretty(&report(cluster, &answers))?);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write(&mut text, cluster, &answers);
        Ok(text)
    }
}

/// What to ask for instead of a cluster that is not there.
fn instead(name: &str, others: &[&str]) -> String {
    if others.is_empty() {
        return "no cluster is connected".to_owned();
    }
    let near = others
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(score, _)| *score >= SIMILAR);
    if let Some((_, near)) = near {
        return format!("the nearest is {near:?}");
    }
    let shown = others.get(..MOST_NAMES).unwrap_or(others);
    let more = match others.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more (qarbiter status shows them)"),
    };
    format!("there are: {}{more}", shown.join(", "))
}

fn report<'a>(cluster: &'a ClusterStatus, found: &'a WhatIf) -> Report<'a> {
    Report {
        cluster: &cluster.name,
        health: &cluster.health,
        now: StateReport::from(&found.now),
        exact: found.is_exact,
        answers: found
            .answers
            .iter()
            .map(|answer| AnswerReport {
                failure: &answer.failure,
                step: StepReport::from(&answer.step),
            })
            .collect(),
    }
}

fn write(text: &mut String, cluster: &ClusterStatus, found: &WhatIf) -> std::fmt::Result {
    writeln!(
        text,
        "{}: {}: {}",
        cluster.name, cluster.health.level, cluster.health.sentence
    )?;
    if !found.is_exact {
        writeln!(
            text,
            "The cluster is changing, or in a state that can't be reproduced; what follows is about \
             a similar one. Try again in a moment."
        )?;
    }
    let columns = |state: &State| {
        let quorate = or(&state.quorate(), "nobody");
        (quorate, or(&stops(&found.now, state), "-"))
    };
    let states = found.answers.iter().flat_map(|answer| {
        let others = answer.step.otherwise.iter();
        others.chain([&answer.step.state])
    });
    let wide = states.map(columns).map(|(a, b)| (a.len(), b.len()));
    let (wide, wide_stops) = wide.fold((14, 14), |(a, b), (c, d)| (a.max(c), b.max(d)));
    let failures = found.answers.iter().map(|answer| answer.failure.len());
    let width = failures.max().unwrap_or(0).max(BY_THE_MOMENT.len());
    writeln!(
        text,
        "\n{:<width$}  {:<wide$}  {:<wide_stops$}  WITHIN",
        "IF NOW", "QUORATE", "STOPS"
    )?;
    for answer in &found.answers {
        let Answer { failure, step } = answer;
        let (quorate, stop) = columns(&step.state);
        let within = within(step);
        writeln!(
            text,
            "{failure:<width$}  {quorate:<wide$}  {stop:<wide_stops$}  {within}"
        )?;
        for (quorate, stop) in step.otherwise.iter().map(columns) {
            writeln!(text, "{BY_THE_MOMENT:<width$}  {quorate:<wide$}  {stop}")?;
        }
        if !step.interrupted.is_empty() {
            let nodes = list(&step.interrupted);
            writeln!(text, "{:<width$}  without quorum for a while: {nodes}", "")?;
        }
        if step.had_conflict {
            writeln!(
                text,
                "{:<width$}  DANGER: two sides have quorum for a while",
                ""
            )?;
        }
    }
    writeln!(
        text,
        "\nSTOPS: runs on, but without quorum. WITHIN: until all is settled, with corosync's default \
         token and sync_timeout."
    )?;
    let of = |wanted: Heuristics| -> Vec<NodeId> {
        let found = found.heuristics.iter();
        let found = found.filter(|(_, heuristics)| **heuristics == wanted);
        found.map(|(node, _)| *node).collect()
    };
    match (
        of(Heuristics::Pass).as_slice(),
        of(Heuristics::Fail).as_slice(),
    ) {
        ([], []) => Ok(()),
        (pass, fail) => writeln!(
            text,
            "Heuristics are taken to stay as they are: they pass on {}, and fail on {}.",
            or(pass, "no node"),
            or(fail, "no node")
        ),
    }
}

/// Nodes that run and have quorum now, and run without it then.
fn stops(now: &State, then: &State) -> Vec<NodeId> {
    let quorate = now.quorate();
    let mut stopped = then.without_quorum();
    stopped.retain(|node| quorate.contains(node));
    stopped
}

fn or(nodes: &[NodeId], none: &str) -> String {
    match nodes {
        [] => none.to_owned(),
        some => list(some),
    }
}

fn within(step: &Step) -> String {
    match seconds(step.settled_within) {
        0 => "at once".to_owned(),
        some => format!("{some} s"),
    }
}
