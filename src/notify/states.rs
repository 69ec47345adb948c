//! What Alertmanager was told of states: it forgets what it is not told again, and takes an alert
//! with other labels for another alert.

use super::format::OVER;
use crate::proto::v1;
use std::collections::BTreeMap;
use std::sync::Arc;

/// States that are remembered.
const MOST: usize = 10_000;

/// The labels that can change: key, severity and arbiter.
type Labels = (String, String, String);

/// States by their labels.
#[derive(Debug, Default)]
pub(super) struct States(BTreeMap<Labels, Arc<v1::Alert>>);

impl States {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes what is about to be told. Returns the ends of what was told of the same states with
    /// other labels, to be told too.
    pub(super) fn note(&mut self, alerts: &[Arc<v1::Alert>]) -> Vec<Arc<v1::Alert>> {
        let mut ends = Vec::new();
        for alert in alerts.iter().filter(|alert| alert.status.is_some()) {
            let labels = labels(alert);
            let first = (alert.key.clone(), String::new(), String::new());
            let same = self.0.range_mut(first..);
            for (other, state) in same.take_while(|((key, ..), _)| *key == alert.key) {
                if *other != labels && is_firing(state) {
                    end(state, alert.unix_ms);
                    ends.push(state.clone());
                }
            }
            if self.0.len() < MOST || self.0.contains_key(&labels) {
                self.0.insert(labels, alert.clone());
            }
        }
        ends
    }

    /// What is to be told again: what is so, and what is over since not long ago.
    pub(super) fn again(&mut self, now_unix_ms: u64) -> Vec<Arc<v1::Alert>> {
        let over_ms = u64::try_from(OVER.as_millis()).unwrap_or(u64::MAX);
        let long_ago = now_unix_ms.saturating_sub(over_ms);
        self.0
            .retain(|_, alert| is_firing(alert) || alert.unix_ms > long_ago);
        self.0.values().cloned().collect()
    }

    /// Ends what the hook is no longer told about.
    pub(super) fn end_unless(&mut self, wants: impl Fn(&v1::Alert) -> bool, now_unix_ms: u64) {
        for state in self.0.values_mut() {
            if is_firing(state) && !wants(state) {
                end(state, now_unix_ms);
            }
        }
    }
}

fn labels(alert: &v1::Alert) -> Labels {
    let v1::Alert {
        key,
        severity,
        arbiter,
        ..
    } = alert;
    (key.clone(), severity.clone(), arbiter.clone())
}

fn is_firing(alert: &v1::Alert) -> bool {
    alert.status.as_deref() == Some("firing")
}

fn end(state: &mut Arc<v1::Alert>, unix_ms: u64) {
    let state = Arc::make_mut(state);
    state.status = Some("resolved".to_owned());
    state.unix_ms = unix_ms;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(severity: &str, arbiter: &str, status: &str, unix_ms: u64) -> Arc<v1::Alert> {
        Arc::new(v1::Alert {
            key: "node_lost/site/1".to_owned(),
            severity: severity.to_owned(),
            arbiter: arbiter.to_owned(),
            status: Some(status.to_owned()),
            unix_ms,
            ..v1::Alert::default()
        })
    }

    fn short(alerts: &[Arc<v1::Alert>]) -> Vec<(&str, &str, u64)> {
        alerts
            .iter()
            .map(|a| (&*a.severity, a.status.as_deref().unwrap(), a.unix_ms))
            .collect()
    }

    #[test]
    fn other_labels_end_the_former_ones() {
        let mut states = States::default();
        assert!(
            states
                .note(&[alert("warning", "a", "firing", 1)])
                .is_empty()
        );
        let ends = states.note(&[alert("critical", "a", "firing", 2)]);
        assert_eq!(short(&ends), [("warning", "resolved", 2)]);
        let again = states.again(3);
        let both = [("critical", "firing", 2), ("warning", "resolved", 2)];
        assert_eq!(short(&again), both);
        assert!(
            states
                .note(&[alert("critical", "a", "resolved", 4)])
                .is_empty()
        );
        assert_eq!(states.again(5).len(), 2);
        assert!(states.again(10_000_000).is_empty() && states.is_empty());
        // Another name of the arbiter.
        states.note(&[alert("warning", "a", "firing", 1)]);
        assert_eq!(states.note(&[alert("warning", "b", "firing", 2)]).len(), 1);
        states.end_unless(|alert| alert.severity == "critical", 7);
        let over = [("warning", "resolved", 2), ("warning", "resolved", 7)];
        assert_eq!(short(&states.again(8)), over);
    }
}
