//! One hook: a queue, and the tasks that empty it.

use super::exec;
use super::format::{self, OVER, REPEAT};
use super::queue::Queue;
use super::request::{Answer, Outgoing, Prepared, RequestError};
use super::retry::{self, Next};
use super::settings::{AlertSettings, Format, Webhook};
use crate::net::server::Shared;
use crate::pki::facts::Moment;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use crate::telemetry::metrics::{Delivery, Metrics};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

/// Alerts in one request.
const BUNDLE: usize = 100;

/// States that Alertmanager is told again.
const REPEATED: usize = 10_000;

/// What is told where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Webhook(Webhook),
    Exec {
        program: PathBuf,
        limit: Duration,
        at_once: usize,
    },
}

impl Target {
    /// All that the settings name.
    pub(super) fn all(settings: &AlertSettings) -> Vec<Self> {
        let webhooks = settings.webhooks.0.iter().cloned().map(Self::Webhook);
        let exec = settings.exec.iter().map(|program| Self::Exec {
            program: program.clone(),
            limit: settings.exec_timeout,
            at_once: settings.exec_at_once,
        });
        webhooks.chain(exec).collect()
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Webhook(webhook) => &webhook.name,
            Self::Exec { .. } => "exec",
        }
    }

    fn wants(&self, alert: &v1::Alert) -> bool {
        match self {
            Self::Webhook(webhook) => {
                let severity = super::alert::Severity::from_word(&alert.severity);
                severity.is_none_or(|severity| severity >= webhook.severity)
            }
            Self::Exec { .. } => true,
        }
    }
}

/// A hook that works.
pub(super) struct Hook {
    pub(super) target: Target,
    inside: Arc<Inside>,
    tasks: Vec<JoinHandle<()>>,
}

struct Inside {
    name: String,
    arbiter: String,
    queue: Queue,
    /// Alerts that were taken from the queue and are not done with.
    busy: AtomicUsize,
    shared: Arc<Shared>,
}

impl Hook {
    pub(super) fn start(target: Target, arbiter: String, shared: Arc<Shared>) -> Self {
        let inside = Arc::new(Inside {
            name: target.name().to_owned(),
            arbiter,
            queue: Queue::default(),
            busy: AtomicUsize::new(0),
            shared,
        });
        inside.metrics().hook(&inside.name);
        let tasks = match &target {
            Target::Webhook(webhook) => {
                vec![tokio::spawn(inside.clone().post(webhook.clone()))]
            }
            Target::Exec {
                program,
                limit,
                at_once,
            } => (0..*at_once)
                .map(|_| tokio::spawn(inside.clone().execute(program.clone(), *limit)))
                .collect(),
        };
        Self {
            target,
            inside,
            tasks,
        }
    }

    pub(super) fn push(&self, alert: &Arc<v1::Alert>) {
        if !self.target.wants(alert) {
            return;
        }
        if let Some(dropped) = self.inside.queue.push(alert.clone()) {
            self.inside
                .metrics()
                .alerts(&self.inside.name, Delivery::Dropped, 1);
            if dropped == 1 {
                tracing::warn!(
                    "alerts: {} can't keep up, so that alerts are dropped from now on; the metric \
                     qarbiter_alerts_total counts them",
                    self.inside.name
                );
            }
        }
    }

    /// Whether everything was told.
    pub(super) fn is_idle(&self) -> bool {
        self.inside.queue.len() == 0 && self.inside.busy.load(Ordering::Relaxed) == 0
    }

    /// Alerts that are not told yet.
    pub(super) fn waiting(&self) -> usize {
        self.inside.queue.len() + self.inside.busy.load(Ordering::Relaxed)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Inside {
    fn metrics(&self) -> &Metrics {
        &self.shared.hub.observer().metrics
    }

    async fn take(&self, most: usize) -> Vec<Arc<v1::Alert>> {
        let alerts = self.queue.take(most).await;
        self.busy.fetch_add(alerts.len(), Ordering::Relaxed);
        alerts
    }

    fn done(&self, alerts: usize, delivery: Delivery) {
        self.busy.fetch_sub(alerts, Ordering::Relaxed);
        self.metrics().alerts(&self.name, delivery, alerts);
    }

    /// Sends alerts to a webhook for ever.
    async fn post(self: Arc<Self>, webhook: Webhook) {
        let mut states: BTreeMap<String, Arc<v1::Alert>> = BTreeMap::new();
        let mut repeat = tokio::time::Instant::now() + REPEAT;
        loop {
            let alerts = tokio::select! {
                alerts = self.take(BUNDLE) => alerts,
                () = sleep_until(repeat), if webhook.format == Format::Alertmanager => {
                    self.repeat(&webhook, &mut states).await;
                    repeat = tokio::time::Instant::now() + REPEAT;
                    continue;
                }
            };
            if webhook.format == Format::Alertmanager {
                for alert in alerts.iter().filter(|alert| alert.status.is_some()) {
                    if states.len() < REPEATED || states.contains_key(&alert.key) {
                        states.insert(alert.key.clone(), alert.clone());
                    }
                }
            }
            let delivery = self.deliver(&webhook, &alerts).await;
            self.done(alerts.len(), delivery);
        }
    }

    /// Tells Alertmanager what is still so, and what is over since not long ago. What fails is
    /// tried again the next time.
    async fn repeat(&self, webhook: &Webhook, states: &mut BTreeMap<String, Arc<v1::Alert>>) {
        let over_ms = u64::try_from(OVER.as_millis()).unwrap_or(u64::MAX);
        let long_ago = unix_ms(SystemTime::now()).saturating_sub(over_ms);
        let is_firing = |alert: &v1::Alert| alert.status.as_deref() == Some("firing");
        states.retain(|_, alert| is_firing(alert) || alert.unix_ms > long_ago);
        let all: Vec<Arc<v1::Alert>> = states.values().cloned().collect();
        for alerts in all.chunks(BUNDLE) {
            let outcome = attempt(webhook, alerts, &self.arbiter, self.queue.dropped()).await;
            if let Err(error) = outcome {
                tracing::debug!("alerts: {}: {error}", self.name);
                return;
            }
        }
    }

    /// Sends alerts until they are taken, or for an hour.
    async fn deliver(&self, webhook: &Webhook, alerts: &[Arc<v1::Alert>]) -> Delivery {
        let begin = Instant::now();
        let dropped = self.queue.dropped();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = attempt(webhook, alerts, &self.arbiter, dropped).await;
            let said = match &outcome {
                Ok(answer) => format!("it answered {}: {}", answer.status, answer.text),
                Err(error) => error.to_string(),
            };
            match retry::next(&outcome, attempts, begin.elapsed(), retry::chance()) {
                Next::Done => {
                    if attempts > 1 {
                        tracing::info!(
                            "alerts: {} took {} alerts at last",
                            self.name,
                            alerts.len()
                        );
                    }
                    return Delivery::Sent;
                }
                Next::GiveUp => {
                    tracing::warn!(
                        "alerts: {} did not take {} alerts, and they are given up: {said}",
                        self.name,
                        alerts.len()
                    );
                    return Delivery::Failed;
                }
                Next::Again(pause) => {
                    if attempts == 1 {
                        tracing::warn!("alerts: {} will be tried again: {said}", self.name);
                    } else {
                        tracing::debug!("alerts: {} will be tried again: {said}", self.name);
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    /// Runs a program for alerts for ever.
    async fn execute(self: Arc<Self>, program: PathBuf, limit: Duration) {
        loop {
            for alert in self.take(1).await {
                let ran = exec::run(&program, &alert, limit).await;
                let is_good = ran.as_ref().is_ok_and(exec::Ran::is_good);
                match &ran {
                    Ok(ran) if is_good => {
                        tracing::debug!("alerts: {}: {}", program.display(), ran.text);
                    }
                    ran => tracing::warn!("alerts: {}", failure(&program, ran, limit)),
                }
                let delivery = if is_good {
                    Delivery::Sent
                } else {
                    Delivery::Failed
                };
                self.done(1, delivery);
            }
        }
    }
}

/// What went wrong with a program.
pub(super) fn failure(
    program: &std::path::Path,
    ran: &std::io::Result<exec::Ran>,
    limit: Duration,
) -> String {
    let program = program.display();
    match ran {
        Err(error) => format!("{program} can't be run: {error}"),
        Ok(exec::Ran { status: None, text }) => format!(
            "{program} did not end within {} ms and was killed: {text}",
            limit.as_millis()
        ),
        Ok(exec::Ran {
            status: Some(status),
            text,
        }) => format!("{program} failed ({status}): {text}"),
    }
}

/// Sends alerts to a webhook once.
pub(super) async fn attempt(
    webhook: &Webhook,
    alerts: &[Arc<v1::Alert>],
    arbiter: &str,
    dropped: u64,
) -> Result<Answer, RequestError> {
    let hook = webhook.clone();
    let read = tokio::task::spawn_blocking(move || Prepared::read(&hook)).await;
    let prepared = read.map_err(|error| RequestError::Http {
        place: webhook.name.clone(),
        why: error.to_string(),
    })??;
    let now = SystemTime::now();
    let path = prepared.address.path().to_owned();
    let body = format::body(
        webhook.format,
        alerts,
        arbiter,
        dropped,
        &path,
        unix_ms(now),
    );
    let first = alerts.first().map(|alert| alert.id.clone());
    let outgoing = Outgoing {
        id: first.unwrap_or_default(),
        unix_seconds: Moment::from(now).0,
    };
    prepared.send(body, &outgoing).await
}
