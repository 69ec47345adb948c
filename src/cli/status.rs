//! `qarbiter status`.

use super::{Where, print};
use crate::advice::Level;
use crate::advice::words::{release_of, span};
use crate::engine::explain::Lost;
use crate::ipc::client::ask;
use crate::ipc::json::{ClusterStatus, HealthStatus, Status as ArbiterStatus};
use crate::wire::NodeId;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Options of `qarbiter status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    place: Where,
    /// Only this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> ExitCode {
        print("qarbiter status", self.text())
    }

    fn text(&self) -> Result<String, Box<dyn std::error::Error>> {
        let answer = ask(&self.place.socket()?, b"qarbiter-status")?;
        let mut status: ArbiterStatus = serde_json::from_slice(&answer)?;
        if let Some(only) = &self.cluster {
            status.clusters.retain(|cluster| cluster.name == *only);
            if status.clusters.is_empty() {
                return Err(format!("no node of a cluster {only:?} is connected").into());
            }
        }
        if self.json {
            return Ok(serde_json::to_string_pretty(&status)?);
        }
        Ok(table(&status))
    }
}

/// The status for people.
fn table(status: &ArbiterStatus) -> String {
    let mut text = String::new();
    let certificates = if status.client_cert_required {
        ", client certificates required"
    } else {
        ""
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "qarbiter {} on {}, TLS {}{certificates}; connections: {}, clusters: {}{}{}",
        status.version,
        status.address,
        status.tls,
        status.connections,
        status.clusters.len(),
        troubled(status),
        match status.gone_clusters.len() {
            0 => String::new(),
            gone => format!(", without a connected node: {gone}"),
        }
    );
    for warning in &status.warnings {
        let _ = writeln!(text, "Warning: {warning}");
    }
    for cluster in &status.clusters {
        let _ = cluster_text(&mut text, cluster);
    }
    for gone in &status.gone_clusters {
        let _ = writeln!(
            text,
            "\nCluster {}\n  State:     CRITICAL: no node has been connected for {}",
            gone.name,
            span(Duration::from_secs(gone.gone_seconds))
        );
    }
    text
}

/// How many clusters are not well, if any.
fn troubled(status: &ArbiterStatus) -> String {
    let counts: Vec<String> = [Level::Critical, Level::Degraded]
        .iter()
        .map(|level| {
            let is_so = |cluster: &&ClusterStatus| cluster.health.level == level.word();
            (level, status.clusters.iter().filter(is_so).count())
        })
        .filter(|(_, count)| *count > 0)
        .map(|(level, count)| format!("{count} {level}"))
        .collect();
    match counts.as_slice() {
        [] => String::new(),
        some => format!(" ({})", some.join(", ")),
    }
}

fn cluster_text(text: &mut String, cluster: &ClusterStatus) -> std::fmt::Result {
    writeln!(text)?;
    writeln!(
        text,
        "Cluster {}  ({}, tie-breaker {}, rules {})",
        cluster.name, cluster.algorithm, cluster.tie_breaker, cluster.rules
    )?;
    let HealthStatus { level, sentence } = &cluster.health;
    writeln!(text, "  State:     {level}: {sentence}")?;
    let holders = match cluster.vote_held_by.as_slice() {
        [] => "nobody".to_owned(),
        nodes => format!(
            "{} {}",
            if nodes.len() == 1 { "node" } else { "nodes" },
            list(nodes)
        ),
    };
    writeln!(text, "  Vote:      {holders}")?;
    writeln!(
        text,
        "  Reason:    {} ({} ago)",
        cluster.decision,
        ago(cluster.decided_seconds_ago)
    )?;
    for partition in &cluster.partitions {
        let mark = if partition.has_vote {
            "  has the vote"
        } else {
            ""
        };
        writeln!(
            text,
            "  Partition: {{{}}} ring {}{mark}",
            list(&partition.nodes),
            partition.ring
        )?;
    }
    for lease in &cluster.leases {
        let until = match lease.remaining_ms {
            Some(ms) => format!("for {} s at most", ms.div_ceil(1000)),
            None => format!(
                "until it returns or is released ({})",
                release_of(&cluster.name)
            ),
        };
        writeln!(
            text,
            "  Lost:      {} may still cast the vote {until}",
            Lost(NodeId(lease.node))
        )?;
    }
    let width = cluster
        .nodes
        .iter()
        .map(|node| node.address.len())
        .max()
        .unwrap_or(0)
        .max(7);
    writeln!(
        text,
        "  {:>10}  {:<width$}  {:<10}  {:<5}  {:<14}  HEURISTICS",
        "NODE", "ADDRESS", "TLS", "VOTE", "SEES"
    )?;
    for node in &cluster.nodes {
        let tls = match (node.tls, node.certificate_verified) {
            (false, _) => "no",
            (true, false) => "yes",
            (true, true) => "verified",
        };
        let vote = match node.verdict.as_deref() {
            Some("ACK") => "yes",
            Some(_) => "no",
            None => "waits",
        };
        writeln!(
            text,
            "  {:>10}  {:<width$}  {:<10}  {vote:<5}  {:<14}  {}",
            node.node,
            node.address,
            tls,
            if node.membership.is_empty() {
                "-".to_owned()
            } else {
                list(&node.membership)
            },
            node.heuristics.as_deref().unwrap_or("-"),
        )?;
    }
    for node in &cluster.absent_nodes {
        writeln!(text, "  {node:>10}  not connected")?;
    }
    if let Some(sums) = &cluster.quorum {
        writeln!(
            text,
            "  Quorum:    {} of {} votes, the arbiter has {}; from a complete cluster may fail: \
             {} with the arbiter, {} without",
            sums.quorum,
            sums.expected_votes,
            sums.device_votes,
            sums.tolerated_with_arbiter,
            sums.tolerated_without_arbiter
        )?;
    }
    for node in cluster
        .nodes
        .iter()
        .filter(|_| cluster.rules == "reference")
    {
        if let Some(reason) = &node.reason {
            writeln!(text, "  Node {}:    {reason}", node.node)?;
        }
    }
    for warning in &cluster.warnings {
        writeln!(text, "  Warning:   {warning}")?;
    }
    Ok(())
}

fn list(nodes: &[u32]) -> String {
    nodes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
