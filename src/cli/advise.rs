//! `qarbiter advise`.

use super::{parsed, print};
use crate::advice::conf::algorithm;
use crate::advice::stanza::{Stanza, usual_algorithm};
use crate::advice::warning::{of_size, of_tie_breaker};
use crate::advice::words::{number, tie_breaker};
use crate::engine::quorum::{Arithmetic, MAX_NODES, arithmetic};
use crate::wire::{Algorithm, NodeId, TieBreaker};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// What stands in the stanza for an address that was not given.
const NO_HOST: &str = "ARBITER";

/// Options of `qarbiter advise`.
#[derive(Debug, clap::Args)]
pub(crate) struct Advise {
    /// How many nodes the cluster has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_NODES)))]
    nodes: u32,
    /// ffsplit, lms or 2nodelms; without it, what fits to the number of nodes
    #[arg(long, value_name = "NAME", value_parser = parsed("ffsplit, lms or 2nodelms", algorithm))]
    algorithm: Option<Algorithm>,
    /// Who wins an exact tie: lowest, highest or a node id
    #[arg(long, value_name = "RULE", default_value = "lowest",
          value_parser = parsed("lowest, highest or a node id", tie_breaker))]
    tie_breaker: TieBreaker,
    /// Address of the arbiter as the nodes know it
    #[arg(long, value_name = "ADDR")]
    host: Option<String>,
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    nodes: u32,
    algorithm: &'static str,
    device_votes: u32,
    expected_votes: u32,
    quorum: u32,
    tolerated_with_arbiter: u32,
    tolerated_without_arbiter: u32,
    tolerated_with_no_device: u32,
    half_survives_with_arbiter: Option<bool>,
    half_survives_without_arbiter: Option<bool>,
    tie: Option<String>,
    warnings: Vec<String>,
    stanza: String,
}

impl Advise {
    pub(crate) fn run(self) -> ExitCode {
        print("qarbiter advise", self.text())
    }

    fn text(&self) -> Result<String, Box<dyn std::error::Error>> {
        let chosen = self.algorithm.unwrap_or(usual_algorithm(self.nodes));
        let Some(sums) = arithmetic(self.nodes, chosen) else {
            return Err(format!(
                "{} is not for {} nodes; choose ffsplit or lms",
                chosen.config_name(),
                self.nodes
            )
            .into());
        };
        let stanza = Stanza {
            host: self.host.clone().unwrap_or_else(|| NO_HOST.to_owned()),
            port: None,
            algorithm: chosen,
            tie_breaker: self.tie_breaker,
        };
        if self.json {
            let report = self.report(&sums, chosen, &stanza);
            return Ok(serde_json::to_string_pretty(&report)?);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, &sums, chosen, &stanza);
        Ok(text)
    }

    fn warnings(&self, chosen: Algorithm) -> Vec<String> {
        let size = of_size(self.nodes, chosen).map(|warning| warning.to_string());
        // Nodes usually have the numbers from 1 on, but need not.
        let usual = (1..=self.nodes).map(NodeId);
        let odd_one = of_tie_breaker(self.tie_breaker, usual, chosen);
        let tie_breaker = odd_one.map(|warning| format!("If no node has that number: {warning}"));
        size.into_iter().chain(tie_breaker).collect()
    }

    fn report(&self, sums: &Arithmetic, chosen: Algorithm, stanza: &Stanza) -> Report {
        Report {
            nodes: sums.nodes,
            algorithm: chosen.config_name(),
            device_votes: sums.device_votes,
            expected_votes: sums.expected_votes,
            quorum: sums.quorum,
            tolerated_with_arbiter: sums.tolerated_with_arbiter,
            tolerated_without_arbiter: sums.tolerated_without_arbiter,
            tolerated_with_no_device: sums.tolerated_with_no_device,
            half_survives_with_arbiter: sums.halves.map(|halves| halves.with_arbiter),
            half_survives_without_arbiter: sums.halves.map(|halves| halves.without_arbiter),
            tie: sums.halves.map(|_| who_wins(chosen, self.tie_breaker)),
            warnings: self.warnings(chosen),
            stanza: stanza.to_string(),
        }
    }

    fn write(
        &self,
        text: &mut String,
        sums: &Arithmetic,
        chosen: Algorithm,
        stanza: &Stanza,
    ) -> std::fmt::Result {
        writeln!(
            text,
            "{} nodes                         nodes that may fail",
            sums.nodes
        )?;
        writeln!(
            text,
            "             votes  needed  arbiter's   arbiter up  arbiter down"
        )?;
        let alone = sums.tolerated_with_no_device;
        row(
            text,
            "no arbiter",
            [sums.nodes, sums.nodes / 2 + 1, 0, alone, alone],
        )?;
        let mut rows = vec![Algorithm::FfSplit, Algorithm::Lms];
        if !rows.contains(&chosen) {
            rows.push(chosen);
        }
        for algorithm in rows {
            if let Some(sums) = arithmetic(self.nodes, algorithm) {
                let numbers = [
                    sums.expected_votes,
                    sums.quorum,
                    sums.device_votes,
                    sums.tolerated_with_arbiter,
                    sums.tolerated_without_arbiter,
                ];
                row(text, algorithm.config_name(), numbers)?;
            }
        }
        writeln!(text)?;
        for warning in self.warnings(chosen) {
            writeln!(text, "Warning: {warning}.\n")?;
        }
        if sums.halves.is_some_and(|halves| halves.with_arbiter) {
            writeln!(
                text,
                "Split in halves ({0} and {0}): {1}.\nWhile the arbiter is down both halves stop.\n",
                sums.nodes / 2,
                who_wins(chosen, self.tie_breaker)
            )?;
        }
        let only_if = if self.nodes % 2 == 1 && self.algorithm.is_none() {
            format!(
                "If the {} that {} nodes bear without an arbiter {} not enough, use",
                plural(alone, "failure"),
                self.nodes,
                if alone == 1 { "is" } else { "are" }
            )
        } else {
            "Use".to_owned()
        };
        writeln!(
            text,
            "{only_if} {} in corosync.conf on every node (two_node must not be set):\n",
            chosen.config_name()
        )?;
        writeln!(text, "{stanza}")?;
        if self.host.is_none() {
            writeln!(text, "{NO_HOST} is the arbiter's address (option --host).")?;
        }
        Ok(())
    }
}

/// `one failure`, `two failures`.
fn plural(count: u32, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(count))
}

fn row(text: &mut String, name: &str, numbers: [u32; 5]) -> std::fmt::Result {
    let [votes, needed, device, up, down] = numbers;
    let device = match device {
        0 => "-".to_owned(),
        some => some.to_string(),
    };
    writeln!(
        text,
        "{name:<11}  {votes:>5}  {needed:>6}  {device:>9}  {up:>11}  {down:>12}"
    )
}

/// Who wins an exact split (algorithms spec, sections 5.4, 7 and 8.2, with the repairs).
fn who_wins(algorithm: Algorithm, rule: TieBreaker) -> String {
    let last = match rule {
        TieBreaker::Lowest => "the one with the lowest node id".to_owned(),
        TieBreaker::Highest => "the one with the highest node id".to_owned(),
        TieBreaker::Node(NodeId(id)) => format!("the one with node {id}"),
    };
    let first = "the half with more nodes connected and healthy (heuristics) keeps running";
    match algorithm {
        Algorithm::FfSplit => {
            format!("{first}; if that is equal, the one that was active before; else {last}")
        }
        _ => format!("{first}; if that is equal, {last}"),
    }
}
