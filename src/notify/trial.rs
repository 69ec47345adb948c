//! Trying all hooks once, for `qarbiter alert test`.

use super::alert::{Alert, Fact, Kind, Severity};
use super::exec;
use super::hook::{Target, failure};
use super::post::attempt;
use super::settings::AlertSettings;
use super::waits::Waits;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The hook's name.
    pub hook: String,
    /// Whether it took the alert.
    pub is_good: bool,
    /// What it answered, or why it did not.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// Sends a test alert to every hook, once and one after the other, whatever severity it wants.
pub async fn try_all(settings: &AlertSettings) -> Vec<Tried> {
    let arbiter = settings.arbiter();
    let alert = Arc::new(test_alert(&arbiter));
    let mut all = Vec::new();
    for target in Target::all(settings) {
        let begin = Instant::now();
        let (is_good, said) = try_one(&target, &alert, &arbiter).await;
        all.push(Tried {
            hook: target.name().to_owned(),
            is_good,
            said,
            took: begin.elapsed(),
        });
    }
    all
}

fn test_alert(arbiter: &str) -> v1::Alert {
    let now = unix_ms(SystemTime::now());
    let message = "this is a test: if you can read it, alerts arrive";
    let alert = Alert {
        fact: Fact::of_arbiter(Kind::Test, Severity::Info, message),
        status: None,
        unix_ms: now,
        since_unix_ms: None,
        count: None,
    };
    alert.message(format!("{now:x}-test"), arbiter)
}

async fn try_one(target: &Target, alert: &Arc<v1::Alert>, arbiter: &str) -> (bool, String) {
    match target {
        Target::Webhook(webhook) => {
            let alerts = std::slice::from_ref(alert);
            match attempt(webhook, alerts, arbiter, 0, &Waits::default()).await {
                Ok(answer) => {
                    let is_good = answer.is_good();
                    let hint = match answer.status {
                        300..400 => {
                            " (redirects are not followed: set the address that it leads to)"
                        }
                        _ => "",
                    };
                    let text = match answer.text.as_str() {
                        "" => String::new(),
                        text => format!(": {text}"),
                    };
                    (
                        is_good,
                        format!(
                            "{} answered {}{hint}{text}",
                            webhook.format.word(),
                            answer.status
                        ),
                    )
                }
                Err(error) => (false, error.to_string()),
            }
        }
        Target::Exec { program, limit, .. } => {
            let ran = exec::run(program, alert, *limit).await;
            match &ran {
                Ok(ran) if ran.is_good() => {
                    (true, format!("{} ran: {}", program.display(), ran.text))
                }
                _ => (false, failure(program, &ran, *limit)),
            }
        }
    }
}
