//! Alerts that wait for one hook.

use crate::net::lock;
use crate::proto::v1;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Alerts that may wait for one hook.
const MOST: usize = 1000;

/// A queue that never gets longer: what is least worth is dropped.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Arc<v1::Alert>>,
    dropped: u64,
}

impl Queue {
    /// Adds an alert. What waits about the same state is replaced: only the latest counts.
    ///
    /// Returns how many were dropped since the start, if one was now: the oldest that is only
    /// information, or else the oldest of all.
    pub(super) fn push(&self, alert: Arc<v1::Alert>) -> Option<u64> {
        let mut inside = lock(&self.inside);
        if alert.status.is_some() {
            inside
                .waiting
                .retain(|other| other.key != alert.key || other.status.is_none());
        }
        inside.waiting.push_back(alert);
        let dropped = (inside.waiting.len() > MOST).then(|| {
            let info = inside
                .waiting
                .iter()
                .position(|alert| alert.severity == "info");
            inside.waiting.remove(info.unwrap_or(0));
            inside.dropped += 1;
            inside.dropped
        });
        drop(inside);
        self.bell.notify_one();
        dropped
    }

    /// Puts alerts back that were taken and are not told. Of a state that changed since, only what
    /// came later counts.
    pub(super) fn give_back(&self, alerts: Vec<Arc<v1::Alert>>) {
        let mut inside = lock(&self.inside);
        for alert in alerts.into_iter().rev() {
            let is_same = |other: &Arc<v1::Alert>| other.status.is_some() && other.key == alert.key;
            let is_old = alert.status.is_some() && inside.waiting.iter().any(is_same);
            if !is_old {
                inside.waiting.push_front(alert);
            }
        }
        drop(inside);
        self.bell.notify_one();
    }

    /// Waits for alerts and takes at most so many, the oldest first.
    pub(super) async fn take(&self, most: usize) -> Vec<Arc<v1::Alert>> {
        loop {
            let taken = self.try_take(most);
            if !taken.is_empty() {
                return taken;
            }
            self.bell.notified().await;
        }
    }

    fn try_take(&self, most: usize) -> Vec<Arc<v1::Alert>> {
        let waiting = &mut lock(&self.inside).waiting;
        let count = waiting.len().min(most);
        let taken = waiting.drain(..count).collect();
        if !waiting.is_empty() {
            // Another worker of the same hook may be waiting.
            self.bell.notify_one();
        }
        taken
    }

    /// Alerts that wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.inside).waiting.len()
    }

    /// Alerts that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        lock(&self.inside).dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(key: String, severity: &str, status: Option<&str>) -> Arc<v1::Alert> {
        Arc::new(v1::Alert {
            key,
            severity: severity.to_owned(),
            status: status.map(str::to_owned),
            ..v1::Alert::default()
        })
    }

    #[test]
    fn it_is_bounded_and_drops_the_least_worth_first() {
        let queue = Queue::default();
        queue.push(alert("grave".to_owned(), "critical", None));
        queue.push(alert("first".to_owned(), "info", None));
        for number in 2..MOST {
            assert_eq!(
                queue.push(alert(format!("n{number}"), "warning", None)),
                None
            );
        }
        assert_eq!(queue.len(), MOST);
        // The only information goes first, then the oldest of the rest.
        assert_eq!(queue.push(alert("x".to_owned(), "warning", None)), Some(1));
        let keys: Vec<String> = queue.try_take(2).iter().map(|a| a.key.clone()).collect();
        assert_eq!(keys, ["grave", "n2"]);
        for number in 0..2000 {
            queue.push(alert(format!("m{number}"), "critical", None));
        }
        assert_eq!((queue.len(), queue.dropped()), (MOST, 1999));
    }

    #[test]
    fn of_one_state_only_the_latest_waits() {
        let queue = Queue::default();
        queue.push(alert("split/a".to_owned(), "critical", Some("firing")));
        queue.push(alert("vote/a".to_owned(), "info", None));
        queue.push(alert("vote/a".to_owned(), "info", None));
        queue.push(alert("split/a".to_owned(), "critical", Some("resolved")));
        let all = queue.try_take(10);
        let keys: Vec<(&str, Option<&str>)> =
            all.iter().map(|a| (&*a.key, a.status.as_deref())).collect();
        let vote = ("vote/a", None);
        assert_eq!(keys, [vote, vote, ("split/a", Some("resolved"))]);
    }
}
