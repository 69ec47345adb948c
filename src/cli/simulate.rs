//! `qarbiter simulate`.

use super::{parsed, print};
use crate::advice::conf::{self, algorithm};
use crate::advice::simulate::{Setup, SetupError, State, Step, Story, parse, run};
use crate::advice::stanza::usual_algorithm;
use crate::advice::warning::{Warning, of_size, of_tie_breaker, of_timeouts};
use crate::advice::words::{list, seconds, tie_breaker, tie_breaker_setting};
use crate::engine::quorum::MAX_NODES;
use crate::engine::{ClusterPolicy, Rules};
use crate::wire::{Algorithm, NodeId, TieBreaker};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `qarbiter simulate`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("cluster").required(true))]
pub(crate) struct Simulate {
    /// A cluster of the nodes 1 to N
    #[arg(long, value_name = "N", group = "cluster")]
    nodes: Option<u32>,
    /// The cluster of this corosync.conf
    #[arg(long, value_name = "FILE", group = "cluster")]
    cluster_file: Option<PathBuf>,
    /// ffsplit, lms or 2nodelms; without it, what the file says or what fits to the number of nodes
    #[arg(long, value_name = "NAME", conflicts_with = "cluster_file",
          value_parser = parsed("ffsplit, lms or 2nodelms", algorithm))]
    algorithm: Option<Algorithm>,
    /// Who wins an exact tie: lowest, highest or a node id
    #[arg(long, value_name = "RULE",
          value_parser = parsed("lowest, highest or a node id", tie_breaker))]
    tie_breaker: Option<TieBreaker>,
    /// The arbiter's rules: safe, or reference for those of corosync-qnetd
    #[arg(long, value_name = "RULES", default_value = "safe",
          value_parser = parsed("safe or reference", policy))]
    rules: ClusterPolicy,
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
    /// What goes wrong, one after the other: "cut 1|2,3", heal, "lose arbiter", "lose arbiter 1",
    /// "find arbiter", "kill arbiter", "restart arbiter", "kill 2", "stop 2", "restart 2",
    /// "isolate 2"
    #[arg(value_name = "FAULT", required = true)]
    faults: Vec<String>,
}

fn policy(text: &str) -> Option<ClusterPolicy> {
    match text {
        "safe" => Some(ClusterPolicy::SAFE),
        "reference" => Some(ClusterPolicy::REFERENCE),
        _ => None,
    }
}

impl Simulate {
    pub(crate) fn run(self) -> ExitCode {
        print("qarbiter simulate", self.text())
    }

    fn text(&self) -> Result<String, Box<dyn std::error::Error>> {
        let setup = self.setup()?;
        let faults = parse(&self.faults, setup.nodes())?;
        let story = run(&setup, &faults)?;
        let warnings = warnings(&setup);
        if self.json {
            let report = StoryReport::of(&setup, &story, &warnings);
            return Ok(serde_json::to_string_pretty(&report)?);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write_story(&mut text, &setup, &story, &warnings);
        Ok(text)
    }

    fn setup(&self) -> Result<Setup, Box<dyn std::error::Error>> {
        let mut setup = match (&self.cluster_file, self.nodes) {
            (Some(path), _) => {
                let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
                let file = conf::parse(&text).map_err(|error| at(&error))?;
                Setup::of_file(&file).map_err(|error| at(&error))?
            }
            (None, count) => {
                let count = count.unwrap_or(0);
                if count > MAX_NODES {
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    return Err(SetupError::Nodes(count).into());
                }
                let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
                let chosen = self.algorithm.unwrap_or(usual_algorithm(count));
                Setup::new(&nodes, chosen)?
            }
        };
        if let Some(rule) = self.tie_breaker {
            setup.tie_breaker = rule;
        }
        setup.policy = self.rules;
        Ok(setup)
    }
}

fn warnings(setup: &Setup) -> Vec<Warning> {
    let mut found: Vec<Warning> = of_size(setup.sums().nodes, setup.algorithm())
        .into_iter()
        .collect();
    let nodes = setup.nodes().iter().copied();
    found.extend(of_tie_breaker(setup.tie_breaker, nodes, setup.algorithm()));
    if setup.policy.keeps_leases() {
        let timing = &setup.timing;
        found.extend(of_timeouts(timing.heartbeat(), Some(timing.sync_timeout)));
    }
    found
}

fn write_story(
    text: &mut String,
    setup: &Setup,
    story: &Story,
    warnings: &[Warning],
) -> std::fmt::Result {
    let sums = setup.sums();
    writeln!(
        text,
        "{} nodes, {}, tie-breaker {}, rules {}: {} of {} votes needed, the arbiter has {}",
        sums.nodes,
        setup.algorithm().config_name(),
        tie_breaker_setting(setup.tie_breaker),
        match setup.policy.rules {
            Rules::Safe => "safe",
            Rules::Reference => "reference",
        },
        sums.quorum,
        sums.expected_votes,
        sums.device_votes
    )?;
    for warning in warnings {
        writeln!(text, "Warning: {warning}.")?;
    }
    writeln!(text, "\nat first")?;
    write_state(text, &story.start)?;
    for step in &story.steps {
        write_step(text, step)?;
    }
    Ok(())
}

fn write_step(text: &mut String, step: &Step) -> std::fmt::Result {
    writeln!(text, "\n{}", step.fault)?;
    write_state(text, &step.state)?;
    for other in &step.otherwise {
        writeln!(text, "  or, as it depends on the moment:")?;
        write_state(text, other)?;
    }
    match seconds(step.settled_within) {
        0 => writeln!(text, "  nothing changes for any node")?,
        within => writeln!(text, "  settled within {within} s")?,
    }
    if !step.interrupted.is_empty() {
        let nodes = list(&step.interrupted);
        writeln!(text, "  without quorum for a while: {nodes}")?;
    }
    if step.had_conflict {
        writeln!(text, "  DANGER: two sides had quorum at the same time")?;
    }
    Ok(())
}

/// One line for each side, and who holds the vote.
pub(super) fn write_state(text: &mut String, state: &State) -> std::fmt::Result {
    for part in state.parts() {
        let word = match part.quorate.len() {
            0 => "stopped".to_owned(),
            all if all == part.nodes.len() => "quorate".to_owned(),
            _ => format!("only {} quorate", list(&part.quorate)),
        };
        let votes = format!("{} of {} votes", part.votes, part.expected);
        let with = if part.with_vote.is_empty() {
            ""
        } else {
            ", with the arbiter's"
        };
        writeln!(
            text,
            "  {:<12} {word:<8} {votes}, {} needed{with}",
            list(&part.nodes),
            part.quorum
        )?;
    }
    let down: Vec<NodeId> = state
        .nodes
        .iter()
        .filter(|n| !n.is_up)
        .map(|n| n.node)
        .collect();
    if !down.is_empty() {
        writeln!(text, "  {:<12} down", list(&down))?;
    }
    writeln!(text, "  {}", state.vote)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct StoryReport {
    nodes: Vec<u32>,
    algorithm: &'static str,
    tie_breaker: String,
    rules: &'static str,
    warnings: Vec<String>,
    start: StateReport,
    steps: Vec<StepReport>,
}

/// One fault and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct StepReport {
    fault: String,
    #[serde(flatten)]
    state: StateReport,
    /// Other ends that it may have, by the moment.
    otherwise: Vec<StateReport>,
    settled_within_ms: u64,
    interrupted: Vec<u32>,
    two_sides_were_quorate: bool,
}

/// What is so.
#[derive(Debug, Serialize)]
pub(super) struct StateReport {
    quorate: Vec<u32>,
    stopped: Vec<u32>,
    down: Vec<u32>,
    vote: String,
    partitions: Vec<PartReport>,
}

#[derive(Debug, Serialize)]
struct PartReport {
    nodes: Vec<u32>,
    quorate: Vec<u32>,
    with_vote: Vec<u32>,
    votes: u32,
    expected_votes: u32,
    quorum: u32,
}

fn numbers(nodes: &[NodeId]) -> Vec<u32> {
    nodes.iter().map(|node| node.0).collect()
}

impl StoryReport {
    fn of(setup: &Setup, story: &Story, warnings: &[Warning]) -> Self {
        Self {
            nodes: numbers(setup.nodes()),
            algorithm: setup.algorithm().config_name(),
            tie_breaker: tie_breaker_setting(setup.tie_breaker),
            rules: setup.policy.rules.name(),
            warnings: warnings.iter().map(ToString::to_string).collect(),
            start: StateReport::from(&story.start),
            steps: story.steps.iter().map(StepReport::from).collect(),
        }
    }
}

impl From<&Step> for StepReport {
    fn from(step: &Step) -> Self {
        Self {
            fault: step.fault.to_string(),
            state: StateReport::from(&step.state),
            otherwise: step.otherwise.iter().map(StateReport::from).collect(),
            settled_within_ms: u64::try_from(step.settled_within.as_millis()).unwrap_or(u64::MAX),
            interrupted: numbers(&step.interrupted),
            two_sides_were_quorate: step.had_conflict,
        }
    }
}

impl From<&State> for StateReport {
    fn from(state: &State) -> Self {
        let down = state.nodes.iter().filter(|node| !node.is_up);
        Self {
            quorate: numbers(&state.quorate()),
            stopped: numbers(&state.without_quorum()),
            down: down.map(|node| node.node.0).collect(),
            vote: state.vote.clone(),
            partitions: state
                .parts()
                .iter()
                .map(|part| PartReport {
                    nodes: numbers(&part.nodes),
                    quorate: numbers(&part.quorate),
                    with_vote: numbers(&part.with_vote),
                    votes: part.votes,
                    expected_votes: part.expected,
                    quorum: part.quorum,
                })
                .collect(),
        }
    }
}
