//! `qarbiter check`.

use super::simulate::{StateReport, StepReport};
use super::{Where, print};
use crate::advice::simulate::{State, Step};
use crate::advice::what_if::{Answer, WhatIf, what_if};
use crate::advice::words::{list, seconds};
use crate::ipc::client::ask;
use crate::ipc::json::{ClusterStatus, HealthStatus, Status};
use crate::wire::NodeId;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

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
            let others = match others.as_slice() {
                [] => "no cluster is connected".to_owned(),
                some => format!("there are: {}", some.join(", ")),
            };
            return Err(format!("no node of a cluster {name:?} is connected; {others}").into());
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
    let width = found
        .answers
        .iter()
        .map(|answer| answer.failure.len())
        .max();
    let width = width.unwrap_or(0).max("IF NOW".len());
    writeln!(
        text,
        "\n{:<width$}  {:<14}  {:<14}  WITHIN",
        "IF NOW", "QUORATE", "STOPS"
    )?;
    for answer in &found.answers {
        let Answer { failure, step } = answer;
        let stops = stops(&found.now, &step.state);
        writeln!(
            text,
            "{failure:<width$}  {:<14}  {:<14}  {}",
            or(&step.state.quorate(), "nobody"),
            or(&stops, "-"),
            within(step)
        )?;
        for other in &step.otherwise {
            writeln!(
                text,
                "{:<width$}  {:<14}  {:<14}",
                "  or, by the moment",
                or(&other.quorate(), "nobody"),
                or(&self::stops(&found.now, other), "-"),
            )?;
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
    )
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
