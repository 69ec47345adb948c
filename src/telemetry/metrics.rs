//! What is counted while the arbiter runs.
//!
//! Everything here is an atomic number: counting waits for nobody. What belongs to single clusters
//! is not counted but read when somebody asks ([`crate::http`]).

use crate::engine::{CloseReason, LeaveCause, Verdict};
use crate::tls::TlsError;
use crate::version::{COMMIT, TARGET, VERSION};
use crate::wire::{Algorithm, ErrorCode};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::fmt;
use std::time::Duration;

/// Upper bounds of the classes of decision latency, seconds: from what the engine takes by itself
/// to the longest leases.
const LATENCY: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 30.0, 60.0,
];

/// Error codes of the protocol (protocol spec, section 2.3); another number counts as the next.
const CODES: u16 = 20;

/// Why TLS handshakes fail, see [`tls_name`].
const TLS_FAILURES: [&str; 17] = [
    "not_tls",
    "too_much",
    "no_certificate",
    "certificate_expired",
    "certificate_not_yet_valid",
    "unknown_ca",
    "foreign_ca",
    "key_not_proven",
    "wrong_purpose",
    "certificate_revoked",
    "certificate_refused",
    "old_version",
    "nothing_in_common",
    "peer_gave_up",
    "tampered",
    "interrupted",
    "other",
];

/// Why HTTP connections and requests are turned away, see [`Metrics::http_refused`].
const HTTP_REFUSALS: [&str; 6] = ["busy", "connections", "host", "slow_reader", "tls", "token"];

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many connections as are allowed.
    MaxClients,
    /// Too many connections have not introduced themselves.
    MaxPending,
    /// The system did not give us the connection, for instance for lack of descriptors.
    System,
}

/// What became of a computation for a cluster or a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody gets the vote.
    Granted,
    /// Somebody should have the vote and can't have it yet.
    Withheld,
    /// Nobody gets the vote.
    Nobody,
}

impl Outcome {
    /// For programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Withheld => "withheld",
            Self::Nobody => "nobody",
        }
    }
}

/// Counters of one arbiter.
pub struct Metrics {
    registry: Registry,
    /// Connections on the vote port, those turned away included.
    pub accepted: IntCounter,
    /// Bytes received on the vote port, as they came.
    pub received: IntCounter,
    /// Bytes sent on the vote port.
    pub sent: IntCounter,
    latency: Histogram,
    /// The vote moved between partitions that have no node in common.
    pub handovers: IntCounter,
    /// Records that were not kept, because the status thread could not keep up.
    pub lost_records: IntCounter,
    /// HTTP connections.
    pub http_connections: IntGauge,
    /// Readers of the event stream.
    pub http_readers: IntGauge,
    joined: IntCounter,
    handshakes: IntCounter,
    refused: IntCounterVec,
    closed: IntCounterVec,
    handshake_failures: IntCounterVec,
    errors: Vec<IntCounter>,
    left: IntCounterVec,
    decisions: IntCounterVec,
    told: IntCounterVec,
    http_refused: IntCounterVec,
    http_responses: IntCounterVec,
    alerts: IntCounterVec,
}

/// Makes metrics and puts them into the registry.
struct Maker(Registry);

#[allow(clippy::expect_used)] // names and labels are constants of this file
impl Maker {
    fn put<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect("a valid metric");
        let registered = self.0.register(Box::new(collector.clone()));
        registered.expect("a name of its own");
        collector
    }
}

impl Maker {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.put(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.put(IntGauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.put(IntCounterVec::new(Opts::new(name, help), labels))
    }
}

impl Metrics {
    /// Counters at zero. Those with few labels are all there from the start, so that a rate can be
    /// computed from their first change on.
    pub fn new() -> Self {
        let make = Maker(Registry::new());
        let process = ProcessCollector::for_self();
        if let Err(error) = make.0.register(Box::new(process)) {
            tracing::error!("there are no metrics of the process: {error}");
        }
        let errors = make.counters(
            "qarbiter_protocol_errors_total",
            "Messages of nodes that were refused, by error code of the protocol.",
            &["code", "error"],
        );
        let code = |number| {
            let code = ErrorCode::from_wire(number);
            match code {
                ErrorCode::Unknown(_) => errors.with_label_values(&["other", "Unknown"]),
                _ => errors.with_label_values(&[&number.to_string(), &format!("{code:?}")]),
            }
        };
        let latency = HistogramOpts::new(
            "qarbiter_decision_latency_seconds",
            "From the last report of a cluster's nodes until a vote that is news leaves, with all \
             waiting: for leases, for confirmations, for the journal.",
        );
        let build = make.put(IntGaugeVec::new(
            Opts::new("qarbiter_build_info", "The program."),
            &["version", "commit", "target"],
        ));
        build.with_label_values(&[VERSION, COMMIT, TARGET]).set(1);
        let metrics = Self {
            accepted: make.counter(
                "qarbiter_connections_accepted_total",
                "Connections to the vote port, those refused included.",
            ),
            received: make.counter(
                "qarbiter_received_bytes_total",
                "Bytes received on the vote port.",
            ),
            sent: make.counter("qarbiter_sent_bytes_total", "Bytes sent on the vote port."),
            latency: make.put(Histogram::with_opts(latency.buckets(LATENCY.to_vec()))),
            handovers: make.counter(
                "qarbiter_vote_handovers_total",
                "Votes that moved to a partition without a node of the former one.",
            ),
            lost_records: make.counter(
                "qarbiter_history_lost_total",
                "Events that the history lacks because it could not keep up.",
            ),
            http_connections: make.gauge("qarbiter_http_connections", "Open HTTP connections."),
            http_readers: make.gauge(
                "qarbiter_http_event_readers",
                "Readers of the event stream.",
            ),
            joined: make.counter(
                "qarbiter_nodes_joined_total",
                "Nodes that joined their cluster.",
            ),
            handshakes: make.counter(
                "qarbiter_tls_handshakes_total",
                "TLS handshakes on the vote port that succeeded.",
            ),
            refused: make.counters(
                "qarbiter_connections_refused_total",
                "Connections to the vote port that were not taken, by reason.",
                &["reason"],
            ),
            closed: make.counters(
                "qarbiter_connections_closed_total",
                "Connections to the vote port that ended, by reason.",
                &["reason"],
            ),
            handshake_failures: make.counters(
                "qarbiter_tls_handshake_failures_total",
                "TLS handshakes on the vote port that failed, by reason.",
                &["reason"],
            ),
            errors: (0..=CODES).map(code).collect(),
            left: make.counters(
                "qarbiter_nodes_left_total",
                "Nodes whose connection ended, by cause.",
                &["cause"],
            ),
            decisions: make.counters(
                "qarbiter_decisions_total",
                "Decisions with a new outcome, by algorithm and outcome.",
                &["algorithm", "outcome"],
            ),
            told: make.counters(
                "qarbiter_votes_told_total",
                "Votes that were news to a node.",
                &["vote"],
            ),
            http_refused: make.counters(
                "qarbiter_http_refused_total",
                "HTTP connections and requests that were turned away, by reason.",
                &["reason"],
            ),
            http_responses: make.counters(
                "qarbiter_http_responses_total",
                "HTTP answers, by class of status.",
                &["code"],
            ),
            alerts: make.counters(
                "qarbiter_alerts_total",
                "Alerts, by hook and by what became of them.",
                &["hook", "outcome"],
            ),
            registry: make.0,
        };
        metrics.show_all();
        metrics
    }

    /// Makes the series with few labels visible before they count something.
    fn show_all(&self) {
        for refusal in [Refusal::MaxClients, Refusal::MaxPending, Refusal::System] {
            self.refused.with_label_values(&[refusal_name(refusal)]);
        }
        for cause in [
            LeaveCause::ClosedByPeer,
            LeaveCause::DeadPeer,
            LeaveCause::NetworkLost,
            LeaveCause::Dropped,
            LeaveCause::Shutdown,
        ] {
            self.left.with_label_values(&[cause_name(cause)]);
        }
        for verdict in [Verdict::Ack, Verdict::Nack] {
            self.told.with_label_values(&[verdict_name(verdict)]);
        }
        for algorithm in [Algorithm::FfSplit, Algorithm::Lms, Algorithm::TwoNodeLms] {
            for outcome in [Outcome::Granted, Outcome::Withheld, Outcome::Nobody] {
                let labels = [algorithm.config_name(), outcome.name()];
                self.decisions.with_label_values(&labels);
            }
        }
        for reason in TLS_FAILURES {
            self.handshake_failures.with_label_values(&[reason]);
        }
        for reason in ["closed_by_node", "network", "silent", "tls"] {
            self.closed.with_label_values(&[reason]);
        }
        for reason in HTTP_REFUSALS {
            self.http_refused.with_label_values(&[reason]);
        }
        for class in ["2xx", "4xx", "5xx"] {
            self.http_responses.with_label_values(&[class]);
        }
    }

    /// Everything that was counted.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// A connection to the vote port was not taken.
    pub fn refused(&self, why: Refusal) {
        self.refused.with_label_values(&[refusal_name(why)]).inc();
    }

    /// A connection to the vote port ended. `reason` is one of a few constants.
    pub fn closed(&self, reason: &'static str) {
        self.closed.with_label_values(&[reason]).inc();
    }

    /// A TLS handshake succeeded.
    pub fn handshake(&self) {
        self.handshakes.inc();
    }

    /// A TLS handshake failed.
    pub fn handshake_failed(&self, why: &TlsError) {
        self.handshake_failures
            .with_label_values(&[tls_name(why)])
            .inc();
    }

    /// A connection ended in the middle of its TLS handshake.
    pub fn handshake_given_up(&self) {
        self.handshake_failures
            .with_label_values(&["interrupted"])
            .inc();
    }

    /// A message was refused.
    pub fn protocol_error(&self, code: ErrorCode) {
        let at = usize::from(code.to_wire().min(CODES));
        if let Some(counter) = self.errors.get(at) {
            counter.inc();
        }
    }

    /// A node joined its cluster.
    pub fn joined(&self) {
        self.joined.inc();
    }

    /// A node's connection ended.
    pub fn left(&self, cause: LeaveCause) {
        self.left.with_label_values(&[cause_name(cause)]).inc();
    }

    /// A computation had a new outcome.
    pub fn decided(&self, algorithm: Algorithm, outcome: Outcome) {
        let labels = [algorithm.config_name(), outcome.name()];
        self.decisions.with_label_values(&labels).inc();
    }

    /// Something new was decided for a node.
    pub fn told(&self, verdict: Verdict) {
        self.told.with_label_values(&[verdict_name(verdict)]).inc();
    }

    /// Something new leaves for a node, so long after the last report of its cluster.
    pub fn vote_left(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    /// An HTTP connection or request was turned away. `reason` is one of a few constants.
    pub fn http_refused(&self, reason: &'static str) {
        self.http_refused.with_label_values(&[reason]).inc();
    }

    /// An HTTP request was answered.
    pub fn http_answered(&self, status: u16) {
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.http_responses.with_label_values(&[class]).inc();
    }
}

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The hook took it.
    Sent,
    /// It was given up.
    Failed,
    /// Too many waited.
    Dropped,
}

impl Delivery {
    const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    /// A hook is there: its counters are, too.
    pub fn hook(&self, hook: &str) {
        for delivery in [Delivery::Sent, Delivery::Failed, Delivery::Dropped] {
            self.alerts.with_label_values(&[hook, delivery.name()]);
        }
    }

    /// So many alerts were sent, given up or dropped. `hook` is a name from the settings.
    pub fn alerts(&self, hook: &str, delivery: Delivery, count: usize) {
        let counter = self.alerts.with_label_values(&[hook, delivery.name()]);
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const fn refusal_name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::MaxClients => "max_clients",
        Refusal::MaxPending => "max_pending_clients",
        Refusal::System => "system",
    }
}

/// Why a node left, for programs.
pub const fn cause_name(cause: LeaveCause) -> &'static str {
    match cause {
        LeaveCause::ClosedByPeer => "closed",
        LeaveCause::DeadPeer => "silent",
        LeaveCause::NetworkLost => "network_lost",
        LeaveCause::Dropped => "disconnected",
        LeaveCause::Shutdown => "shutdown",
    }
}

/// A verdict, for programs.
pub const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ack => "ack",
        Verdict::Nack => "nack",
    }
}

/// Why the engine closed a connection, for programs.
pub const fn close_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::TlsIsOff => "tls_is_off",
        CloseReason::NotAuthorised => "not_authorised",
        CloseReason::DeadPeer => "silent",
        CloseReason::InitDeadline => "init_timeout",
        CloseReason::UnconfirmedNack => "unconfirmed_nack",
    }
}

const fn tls_name(error: &TlsError) -> &'static str {
    match error {
        TlsError::NotTls { .. } => "not_tls",
        TlsError::TooMuchPending { .. } => "too_much",
        TlsError::NoCertificate => "no_certificate",
        TlsError::CertificateExpired { .. } => "certificate_expired",
        TlsError::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
        TlsError::UnknownCa => "unknown_ca",
        TlsError::ForeignCa => "foreign_ca",
        TlsError::KeyNotProven => "key_not_proven",
        TlsError::WrongPurpose => "wrong_purpose",
        TlsError::CertificateRevoked => "certificate_revoked",
        TlsError::CertificateRefused(_) => "certificate_refused",
        TlsError::OldVersion => "old_version",
        TlsError::NothingInCommon(_) => "nothing_in_common",
        TlsError::PeerAlert(_) => "peer_gave_up",
        TlsError::Tampered => "tampered",
        TlsError::NotEstablished | TlsError::Protocol(_) => "other",
    }
}
