//! Emptying the queue of a webhook: requests, again and again until they are taken.

use super::format::{self, REPEAT};
use super::hook::Inside;
use super::request::{Answer, Outgoing, Prepared, RequestError};
use super::retry::{self, Next};
use super::settings::{Format, Webhook};
use super::waits::Waits;
use crate::net::lock;
use crate::pki::facts::Moment;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use crate::telemetry::metrics::Delivery;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

/// Alerts in one request.
const BUNDLE: usize = 100;

/// News are a reason to try at once whether the receiver is back, but not more often than this.
const HURRIED: Duration = Duration::from_secs(5);

/// How long the files of a webhook may take.
const FILES: Duration = Duration::from_secs(5);

impl Inside {
    /// Sends alerts to a webhook for ever.
    pub(super) async fn post(self: Arc<Self>, webhook: Webhook) {
        let is_repeated = webhook.format == Format::Alertmanager;
        let now = tokio::time::Instant::now();
        // What was told under other settings may have been told long ago.
        let mut repeat = match lock(&self.states).is_empty() {
            true => now + REPEAT,
            false => now,
        };
        loop {
            let alerts = tokio::select! {
                biased;
                () = sleep_until(repeat), if is_repeated => {
                    self.repeat(&webhook).await;
                    repeat = tokio::time::Instant::now() + REPEAT;
                    continue;
                }
                alerts = self.queue.take(BUNDLE) => alerts,
            };
            let count = alerts.len();
            let mut told = alerts.clone();
            *lock(&self.hand) = alerts;
            if is_repeated {
                let ends = lock(&self.states).note(&told);
                told.extend(ends);
            }
            let delivery = self.deliver(&webhook, &told).await;
            lock(&self.hand).clear();
            self.count(count, delivery);
        }
    }

    /// Tells Alertmanager what is still so, and what is over since not long ago. What fails is
    /// tried again the next time.
    async fn repeat(&self, webhook: &Webhook) {
        let all = lock(&self.states).again(unix_ms(SystemTime::now()));
        for alerts in all.chunks(BUNDLE) {
            let outcome = self.attempt(webhook, alerts, self.queue.dropped()).await;
            if !matches!(&outcome, Ok(answer) if answer.is_good()) {
                let said = said(&outcome);
                tracing::debug!("alerts: {}: a repetition failed: {said}", self.name);
                self.count(alerts.len(), Delivery::Failed);
                return;
            }
        }
    }

    /// Sends alerts until they are taken, or for an hour.
    async fn deliver(&self, webhook: &Webhook, alerts: &[Arc<v1::Alert>]) -> Delivery {
        let begin = Instant::now();
        let dropped = self.queue.dropped();
        let mut news = self.news.subscribe();
        let (mut tries, mut attempts, mut is_planned) = (0, 0, true);
        loop {
            tries += 1;
            attempts += u32::from(is_planned);
            let is_last = *self.stopping.borrow();
            let outcome = self.attempt(webhook, alerts, dropped).await;
            let next = retry::next(&outcome, attempts, begin.elapsed(), retry::chance());
            let is_failing = matches!(next, Next::Again(_));
            self.is_failing.store(is_failing, Ordering::Relaxed);
            match next {
                Next::Done => {
                    if tries > 1 {
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
                        "alerts: {} did not take {} alerts, and they are given up: {}",
                        self.name,
                        alerts.len(),
                        said(&outcome)
                    );
                    return Delivery::Failed;
                }
                Next::Again(_) if is_last => {
                    self.has_given_up.store(true, Ordering::Relaxed);
                    std::future::pending::<()>().await;
                }
                Next::Again(pause) => {
                    let said = said(&outcome);
                    if tries == 1 {
                        tracing::warn!("alerts: {} will be tried again: {said}", self.name);
                    } else {
                        tracing::debug!("alerts: {} will be tried again: {said}", self.name);
                    }
                    let has_asked = outcome.is_ok_and(|answer| answer.retry_after.is_some());
                    let stopping = self.stopping.subscribe();
                    is_planned = wait(pause, has_asked, &mut news, stopping).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        webhook: &Webhook,
        alerts: &[Arc<v1::Alert>],
        dropped: u64,
    ) -> Result<Answer, RequestError> {
        attempt(webhook, alerts, &self.arbiter, dropped, &self.waits).await
    }
}

/// Waits; shorter if the arbiter stops, or if there are news and the receiver has not asked to be
/// left alone. Returns whether all the time went by.
async fn wait(
    time: Duration,
    has_asked: bool,
    news: &mut watch::Receiver<u64>,
    mut stopping: watch::Receiver<bool>,
) -> bool {
    let hurry = async {
        sleep(HURRIED).await;
        // The sender lives as long as the hook.
        let _ = news.changed().await;
    };
    tokio::select! {
        () = sleep(time) => true,
        _ = stopping.wait_for(|stopping| *stopping) => false,
        () = hurry, if !has_asked => false,
    }
}

fn said(outcome: &Result<Answer, RequestError>) -> String {
    match outcome {
        Ok(answer) => format!("it answered {}: {}", answer.status, answer.text),
        Err(error) => error.to_string(),
    }
}

/// Sends alerts to a webhook once.
pub(super) async fn attempt(
    webhook: &Webhook,
    alerts: &[Arc<v1::Alert>],
    arbiter: &str,
    dropped: u64,
    waits: &Waits,
) -> Result<Answer, RequestError> {
    let hook = webhook.clone();
    let read = waits.file(FILES, move || Prepared::read(&hook)).await;
    let prepared = read.ok_or_else(|| RequestError::Http {
        place: webhook.name.clone(),
        why: format!("its files can't be read within {} s", FILES.as_secs()),
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
    prepared.send(body, &outgoing, waits).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_and_the_end_cut_a_pause_short() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (news, stopping) = (watch::Sender::new(0), watch::Sender::new(false));
            let mut heard = news.subscribe();
            let mut asked = news.subscribe();
            let mut silent = watch::Sender::new(0).subscribe();
            news.send_modify(|count| *count += 1);
            let minute = Duration::from_secs(60);
            let begin = Instant::now();
            let hurried = wait(minute, false, &mut heard, stopping.subscribe()).await;
            assert!(!hurried && begin.elapsed() >= HURRIED && begin.elapsed() < HURRIED * 2);
            // It asked not to be.
            let short = HURRIED + Duration::from_millis(200);
            assert!(wait(short, true, &mut asked, stopping.subscribe()).await);
            let begin = Instant::now();
            stopping.send_replace(true);
            assert!(!wait(minute, true, &mut silent, stopping.subscribe()).await);
            assert!(begin.elapsed() < HURRIED);
        });
    }
}
