//! The figures, their goals and how they are printed.

use crate::KeyKind;
use serde_json::{Map, Value, json};
use std::fmt;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// KiB of the server without clients.
    IdleMemory,
    /// Seconds until all nodes have a vote.
    StormTime,
    /// Connections that broke in the storm and were made again.
    Repeats,
    /// Milliseconds of server CPU per connection, from accept to the first vote.
    StormCpu,
    /// The same of the load generator.
    GeneratorCpu,
    /// KiB per client.
    ClientMemory,
    /// Seconds of server CPU per 1,000 heartbeats, one after the other.
    HeartbeatCpu,
    /// Milliseconds of an echo round trip.
    EchoMedian,
    /// Milliseconds from a split to both votes.
    SplitMedian,
    /// The same, 99th percentile.
    SplitTail,
    /// Milliseconds from a heal to both votes.
    HealMedian,
    /// Milliseconds until all votes are told after half of all clusters split at once.
    HalfSplit,
    /// The same for the heal after it.
    HalfHeal,
    /// Milliseconds from asking for the metrics to their last byte.
    ScrapeTime,
    /// Milliseconds of server CPU for it.
    ScrapeCpu,
    /// KiB of one.
    ScrapeSize,
    /// Series in one.
    ScrapeSeries,
    /// KiB that the server's memory grew by.
    ScrapeMemory,
    /// Milliseconds from a split to both votes while somebody scrapes all the time.
    ScrapedSplitMedian,
    /// The same, 99th percentile.
    ScrapedSplitTail,
}

impl Figure {
    fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::IdleMemory => ("idle_memory_kib", "memory without a client", "KiB"),
            Self::StormTime => ("storm_s", "storm: all have a vote", "s"),
            Self::Repeats => (
                "repeated_connections",
                "  (broken and repeated connections)",
                "",
            ),
            Self::StormCpu => (
                "cpu_per_connection_ms",
                "CPU per connection, to first vote",
                "ms",
            ),
            Self::GeneratorCpu => ("generator_cpu_ms", "  (the load generator's own)", "ms"),
            Self::ClientMemory => ("memory_per_client_kib", "memory per client", "KiB"),
            Self::HeartbeatCpu => ("cpu_per_1000_heartbeats_s", "CPU per 1,000 heartbeats", "s"),
            Self::EchoMedian => ("echo_p50_ms", "echo round trip, p50", "ms"),
            Self::SplitMedian => ("split_p50_ms", "split to all votes, p50", "ms"),
            Self::SplitTail => ("split_p99_ms", "split to all votes, p99", "ms"),
            Self::HealMedian => ("heal_p50_ms", "heal to all votes, p50", "ms"),
            Self::HalfSplit => ("half_split_ms", "half of all clusters split at once", "ms"),
            Self::HalfHeal => ("half_heal_ms", "  and heal at once", "ms"),
            Self::ScrapeTime => ("scrape_ms", "scrape of /metrics", "ms"),
            Self::ScrapeCpu => ("scrape_cpu_ms", "  CPU for it", "ms"),
            Self::ScrapeSize => ("scrape_kib", "  size", "KiB"),
            Self::ScrapeSeries => ("scrape_series", "  series", ""),
            Self::ScrapeMemory => ("scrape_memory_kib", "  memory that scrapes took", "KiB"),
            Self::ScrapedSplitMedian => (
                "scraped_split_p50_ms",
                "split to all votes while scraped, p50",
                "ms",
            ),
            Self::ScrapedSplitTail => (
                "scraped_split_p99_ms",
                "split to all votes while scraped, p99",
                "ms",
            ),
        }
    }

    /// The most that it may be (design, section 5); those that grow with the number of connections
    /// grow linearly from the smallest for which the design names one.
    fn goal(self, connections: usize, key: KeyKind) -> Option<f64> {
        let thousands = (connections as f64 / 1000.0).max(1.0);
        match self {
            Self::IdleMemory => Some(6.0 * 1024.0),
            Self::StormTime => Some(1.5 * thousands),
            Self::Repeats => Some(0.0),
            Self::StormCpu if key == KeyKind::P256 => Some(0.6),
            Self::StormCpu => Some(1.8),
            Self::ClientMemory => Some(8.0),
            Self::HeartbeatCpu => Some(0.04),
            Self::EchoMedian => Some(0.15),
            Self::SplitMedian | Self::HealMedian => Some(0.4),
            Self::SplitTail => Some(2.0),
            Self::HalfSplit => Some(30.0 * thousands),
            Self::ScrapeCpu => Some(250.0_f64.min(50.0 * thousands)),
            Self::GeneratorCpu
            | Self::HalfHeal
            | Self::ScrapeTime
            | Self::ScrapeSize
            | Self::ScrapeSeries
            | Self::ScrapeMemory
            | Self::ScrapedSplitMedian
            | Self::ScrapedSplitTail => None,
        }
    }
}

/// One run.
pub(crate) struct Report {
    title: String,
    connections: usize,
    /// `None` in clear text, where no goals are set.
    key: Option<KeyKind>,
    measured: Vec<(Figure, f64)>,
}

impl Report {
    pub(crate) fn new(title: String, connections: usize, key: Option<KeyKind>) -> Self {
        Self {
            title,
            connections,
            key,
            measured: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, figure: Figure, value: f64) {
        self.measured.push((figure, value));
    }

    pub(crate) fn all_met(&self) -> bool {
        let mut figures = self.measured.iter();
        figures.all(|(figure, value)| self.goal(*figure).is_none_or(|goal| *value <= goal))
    }

    pub(crate) fn json(&self) -> Value {
        let mut figures = Map::new();
        for (figure, value) in &self.measured {
            let goal = self.goal(*figure);
            figures.insert(
                figure.text().0.to_owned(),
                json!({ "value": value, "goal": goal, "met": goal.map(|goal| *value <= goal) }),
            );
        }
        json!({
            "connections": self.connections,
            "client_key": self.key.map(KeyKind::name),
            "figures": figures,
        })
    }

    fn goal(&self, figure: Figure) -> Option<f64> {
        figure.goal(self.connections, self.key?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (figure, value) in &self.measured {
            let (_, text, unit) = figure.text();
            write!(f, "  {text:<36}{value:>10.3} {unit:<4}")?;
            match self.goal(*figure) {
                None => writeln!(f)?,
                Some(goal) => {
                    let verdict = if *value <= goal { "met" } else { "MISSED" };
                    writeln!(f, "  goal {goal:>8.3}  {verdict}")?;
                }
            }
        }
        Ok(())
    }
}
