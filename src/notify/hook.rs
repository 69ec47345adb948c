//! One hook: a queue, and the tasks that empty it.

use super::alert::Severity;
use super::exec;
use super::queue::Queue;
use super::settings::{AlertSettings, Format, Secret, Webhook};
use super::states::States;
use super::waits::Waits;
use crate::net::lock;
use crate::net::server::Shared;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use crate::telemetry::metrics::{Delivery, Metrics};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a hook that works may take for what it still has when the arbiter stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// The same for one whose receiver did not take the last request.
const SHORT_GOODBYE: Duration = Duration::from_secs(1);

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

/// In what a target is like a former one, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    All,
    Name,
    Place,
    Number,
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
                let severity = Severity::from_word(&alert.severity);
                severity.is_none_or(|severity| severity >= webhook.severity)
            }
            Self::Exec { .. } => true,
        }
    }

    fn is_like(&self, former: &Self, likeness: Likeness) -> bool {
        match (self, former) {
            (Self::Webhook(own), Self::Webhook(former)) => match likeness {
                Likeness::All => own == former,
                Likeness::Name => own.is_named && own.name == former.name,
                Likeness::Place => own.format == former.format && is_same_place(own, former),
                Likeness::Number => own.format == former.format && own.name == former.name,
            },
            (Self::Exec { .. }, Self::Exec { .. }) => self == former || likeness != Likeness::All,
            _ => false,
        }
    }

    /// Whether its receiver has heard of all that it should know, as `former` was told it.
    fn was_told(&self, former: &Self, is_renamed: bool) -> bool {
        match (self, former) {
            (Self::Webhook(own), Self::Webhook(former)) => {
                own.format == former.format
                    && own.severity >= former.severity
                    && is_same_place(own, former)
                    && !(is_renamed && own.format == Format::Alertmanager)
            }
            _ => true,
        }
    }
}

/// The same file, or the same scheme, host and port: the rest may be a new secret.
fn is_same_place(one: &Webhook, other: &Webhook) -> bool {
    match (&one.url, &other.url) {
        (Secret::Inline(one), Secret::Inline(other)) => {
            super::address::place(one.reveal()) == super::address::place(other.reveal())
        }
        (one, other) => one == other,
    }
}

/// A hook that works.
pub(super) struct Hook {
    pub(super) target: Target,
    inside: Arc<Inside>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a hook has to tell.
#[derive(Debug, Default)]
struct Load {
    queue: Arc<Queue>,
    states: States,
}

/// What a hook shares with its tasks.
pub(super) struct Inside {
    pub(super) name: String,
    pub(super) arbiter: String,
    pub(super) queue: Arc<Queue>,
    /// Alerts that are being sent.
    pub(super) hand: Mutex<Vec<Arc<v1::Alert>>>,
    /// What Alertmanager was told.
    pub(super) states: Mutex<States>,
    /// Counts alerts that are not only information.
    pub(super) news: watch::Sender<u64>,
    /// Whether the last request was not taken.
    pub(super) is_failing: AtomicBool,
    /// Whether the arbiter stops, or the hook is replaced.
    pub(super) stopping: watch::Sender<bool>,
    /// Whether what is left can't be told before the end.
    pub(super) has_given_up: AtomicBool,
    pub(super) waits: Waits,
    /// Programs that run.
    running: AtomicUsize,
    shared: Arc<Shared>,
}

/// The hooks after a change of settings.
pub(super) struct Adopted {
    /// All of them, each with whether it was told already what is so.
    pub(super) hooks: Vec<(Hook, bool)>,
    /// Those that are no longer set.
    pub(super) left_over: Vec<Hook>,
}

/// Makes the hooks for these targets. What is the same goes on as it is; what changed takes over
/// what its former self still had to tell.
pub(super) fn adopt(
    mut former: Vec<Hook>,
    targets: Vec<Target>,
    arbiter: &str,
    is_renamed: bool,
    shared: &Arc<Shared>,
) -> Adopted {
    let mut pairs: Vec<(Target, Option<Hook>)> = targets.into_iter().map(|t| (t, None)).collect();
    for likeness in [
        Likeness::All,
        Likeness::Name,
        Likeness::Place,
        Likeness::Number,
    ] {
        for (target, found) in pairs.iter_mut().filter(|(_, found)| found.is_none()) {
            let mut all = former.iter();
            let place = all.position(|hook| target.is_like(&hook.target, likeness));
            *found = place.map(|place| former.remove(place));
        }
    }
    let hooks = pairs.into_iter().map(|(target, found)| {
        let was_told = found
            .as_ref()
            .is_some_and(|hook| target.was_told(&hook.target, is_renamed));
        let hook = match found {
            Some(hook) if hook.target == target && !is_renamed => hook,
            found => {
                let load = found.map(|hook| hook.unload(&target)).unwrap_or_default();
                Hook::start(target, arbiter.to_owned(), load, shared.clone())
            }
        };
        (hook, was_told)
    });
    Adopted {
        hooks: hooks.collect(),
        left_over: former,
    }
}

impl Hook {
    fn start(target: Target, arbiter: String, load: Load, shared: Arc<Shared>) -> Self {
        let inside = Arc::new(Inside {
            name: target.name().to_owned(),
            arbiter,
            queue: load.queue,
            hand: Mutex::default(),
            states: Mutex::new(load.states),
            news: watch::Sender::new(0),
            is_failing: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            has_given_up: AtomicBool::new(false),
            waits: Waits::default(),
            running: AtomicUsize::new(0),
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

    /// Ends this hook and hands over what it still has to tell. Programs that run may end.
    fn unload(mut self, target: &Target) -> Load {
        match self.target {
            Target::Webhook(_) => self.tasks.iter().for_each(JoinHandle::abort),
            Target::Exec { .. } => {
                self.tasks.clear();
                self.inside.stopping.send_replace(true);
            }
        }
        let inside = &self.inside;
        let queue = inside.queue.clone();
        queue.give_back(std::mem::take(&mut lock(&inside.hand)));
        let mut states = States::default();
        if matches!(target, Target::Webhook(hook) if hook.format == Format::Alertmanager) {
            states = std::mem::take(&mut lock(&inside.states));
            states.end_unless(|alert| target.wants(alert), unix_ms(SystemTime::now()));
        }
        Load { queue, states }
    }

    pub(super) fn push(&self, alert: &Arc<v1::Alert>) {
        if !self.target.wants(alert) {
            return;
        }
        if alert.severity != Severity::Info.word() && alert.status.as_deref() != Some("resolved") {
            self.inside.news.send_modify(|count| *count += 1);
        }
        if let Some(dropped) = self.inside.queue.push(alert.clone()) {
            self.inside.count(1, Delivery::Dropped);
            if dropped == 1 {
                tracing::warn!(
                    "alerts: {} can't keep up, so that alerts are dropped from now on; the metric \
                     qarbiter_alerts_total counts them",
                    self.inside.name
                );
            }
        }
    }

    /// The arbiter stops: no time for pauses.
    pub(super) fn hurry(&self) {
        if let Target::Webhook(_) = self.target {
            self.inside.stopping.send_replace(true);
        }
    }

    /// Whether it is not worth to wait for it any more, so long after [`Self::hurry`].
    pub(super) fn is_done(&self, elapsed: Duration) -> bool {
        let limit = match self.inside.is_failing.load(Ordering::Relaxed) {
            true => SHORT_GOODBYE,
            false => GOODBYE,
        };
        self.waiting() == 0 || self.inside.has_given_up.load(Ordering::Relaxed) || elapsed >= limit
    }

    /// Alerts that are not told yet.
    pub(super) fn waiting(&self) -> usize {
        let inside = &self.inside;
        let running = inside.running.load(Ordering::Relaxed);
        inside.queue.len() + lock(&inside.hand).len() + running
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

    pub(super) fn count(&self, alerts: usize, delivery: Delivery) {
        self.metrics().alerts(&self.name, delivery, alerts);
    }

    /// Runs a program for alerts until the hook is replaced.
    async fn execute(self: Arc<Self>, program: PathBuf, limit: Duration) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let alerts = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                alerts = self.queue.take(1) => alerts,
            };
            for alert in alerts {
                self.running.fetch_add(1, Ordering::Relaxed);
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
                self.running.fetch_sub(1, Ordering::Relaxed);
                self.count(1, delivery);
            }
        }
    }
}

/// What went wrong with a program.
pub(super) fn failure(program: &Path, ran: &std::io::Result<exec::Ran>, limit: Duration) -> String {
    let program = program.display();
    match ran {
        Err(error) => format!("{program} can't be run: {error}"),
        Ok(exec::Ran { status: None, text }) => format!(
            "{program} did not end within {} ms: {text}",
            limit.as_millis()
        ),
        Ok(exec::Ran {
            status: Some(status),
            text,
        }) => format!("{program} failed ({status}): {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::settings::Webhooks;

    fn targets(text: &str) -> Vec<Target> {
        let webhooks = Webhooks::parse(text).unwrap();
        Target::all(&AlertSettings {
            webhooks,
            ..AlertSettings::default()
        })
    }

    #[test]
    fn a_changed_hook_is_known_by_its_name_or_its_place() {
        let former = &targets("alertmanager http://a:1/ token=x")[0];
        for (text, likeness, was_told) in [
            ("alertmanager http://a:1/ token=x", Likeness::All, true),
            ("alertmanager http://a:1/y token=y", Likeness::Place, true),
            ("alertmanager http://a:1/ name=n", Likeness::Place, true),
            (
                "alertmanager http://a:1/ severity=warning",
                Likeness::Place,
                true,
            ),
            ("alertmanager http://b:1/", Likeness::Number, false),
            ("json http://b:1/ name=webhook1", Likeness::Name, false),
        ] {
            let target = &targets(text)[0];
            assert!(target.is_like(former, likeness), "{text}");
            assert_eq!(target.was_told(former, false), was_told, "{text}");
        }
        for text in ["json http://a:1/", "alertmanager http://b:1/ name=n"] {
            let target = &targets(text)[0];
            let all = [
                Likeness::All,
                Likeness::Name,
                Likeness::Place,
                Likeness::Number,
            ];
            assert!(
                !all.iter().any(|like| target.is_like(former, *like)),
                "{text}"
            );
        }
        // The labels have the arbiter's name.
        assert!(!former.was_told(former, true));
        let grave = &targets("alertmanager http://a:1/ severity=critical")[0];
        assert!(!former.was_told(grave, false));
    }
}
