//! Alerts as the receivers want to have them.

use super::settings::Format;
use crate::pki::facts::Moment;
use crate::proto::v1;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longest text for chats, bytes: Discord takes 2000 characters, ntfy 4096 bytes.
const LONGEST: usize = 1900;

/// How often Alertmanager is told again what is still so.
pub(super) const REPEAT: Duration = Duration::from_secs(60);

/// When Alertmanager takes it for over if it is not told again: four missed repetitions.
const FORGOTTEN: Duration = Duration::from_secs(4 * 60);

/// How long Alertmanager is told again that something is over: its clock may be behind ours.
pub(super) const OVER: Duration = Duration::from_secs(5 * 60);

/// How long something that is no state is shown in Alertmanager.
const MOMENTARY: Duration = Duration::from_secs(5 * 60);

/// The body of a request and the path that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) path: String,
}

/// Makes the body for at least one alert. `path` is that of the webhook's address.
pub(super) fn body(
    format: Format,
    alerts: &[Arc<v1::Alert>],
    arbiter: &str,
    dropped: u64,
    path: &str,
    now_unix_ms: u64,
) -> Body {
    let mut to = path.to_owned();
    let value = match format {
        Format::Json => json!(v1::AlertBundle {
            arbiter: arbiter.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            alerts: alerts.iter().map(|alert| v1::Alert::clone(alert)).collect(),
            dropped,
        }),
        Format::Slack => json!({ "text": text(alerts, escaped) }),
        Format::Ntfy => {
            let (topic, root) = topic(path);
            to = root;
            ntfy(alerts, arbiter, topic)
        }
        Format::Alertmanager => {
            to = alertmanager_path(path);
            alerts
                .iter()
                .map(|alert| for_alertmanager(alert, now_unix_ms))
                .collect()
        }
    };
    Body {
        // The value is made of texts and numbers, which always can be written.
        bytes: serde_json::to_vec(&value).unwrap_or_default(),
        path: to,
    }
}

/// A line for each alert, the gravest first.
fn text(alerts: &[Arc<v1::Alert>], escape: fn(&str) -> String) -> String {
    let mut alerts: Vec<&v1::Alert> = alerts.iter().map(AsRef::as_ref).collect();
    alerts.sort_by_key(|alert| priority_of(alert));
    let mut text = String::new();
    for (index, alert) in alerts.iter().enumerate() {
        let line = escape(&line(alert));
        if !text.is_empty() && text.len() + line.len() > LONGEST {
            text += &format!("\n... and {} more", alerts.len() - index);
            break;
        }
        if index > 0 {
            text.push('\n');
        }
        text += &line;
    }
    text
}

/// Gravest first, and what is over last.
fn priority_of(alert: &v1::Alert) -> u8 {
    match (alert.status.as_deref(), alert.severity.as_str()) {
        (Some("resolved"), _) => 3,
        (_, "critical") => 0,
        (_, "warning") => 1,
        _ => 2,
    }
}

fn mark(alert: &v1::Alert) -> &'static str {
    match priority_of(alert) {
        0 => "CRITICAL",
        1 => "WARNING",
        2 => "info",
        _ => "resolved",
    }
}

fn line(alert: &v1::Alert) -> String {
    let mut line = format!("[{}] {}", mark(alert), alert.message);
    let is_said = |why: &String| alert.message.contains(why.as_str());
    if let Some(why) = alert.reason.as_ref().filter(|why| !is_said(why)) {
        line += &format!(" ({why})");
    }
    let room = LONGEST.saturating_sub(alert.arbiter.len() + 4);
    format!("{} - {}", cut(&line, room), alert.arbiter)
}

/// At most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Slack's three characters with a meaning.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The last part of the path, and what is before it, where JSON is published to. A query, which
/// may hold a token, stays.
fn topic(path: &str) -> (&str, String) {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let path = path.trim_end_matches('/');
    let (root, topic) = path.rsplit_once('/').unwrap_or(("", path));
    (topic, format!("{root}/{query}"))
}

fn ntfy(alerts: &[Arc<v1::Alert>], arbiter: &str, topic: &str) -> Value {
    let gravest = alerts
        .iter()
        .map(|alert| priority_of(alert))
        .min()
        .unwrap_or(2);
    let (priority, tag) = match gravest {
        0 => (5, "rotating_light"),
        1 => (4, "warning"),
        2 => (3, "information_source"),
        _ => (3, "white_check_mark"),
    };
    let title = match alerts {
        [one] => one.cluster.clone().unwrap_or_else(|| arbiter.to_owned()),
        several => format!("{arbiter}: {} alerts", several.len()),
    };
    json!({
        "topic": topic,
        "title": cut(&title, 200),
        "message": text(alerts, str::to_owned),
        "priority": priority,
        "tags": [tag],
    })
}

fn alertmanager_path(path: &str) -> String {
    if path.contains("/api/") {
        return path.to_owned();
    }
    format!("{}/api/v2/alerts", path.trim_end_matches('/'))
}

fn for_alertmanager(alert: &v1::Alert, now_unix_ms: u64) -> Value {
    let after = |time: Duration| now_unix_ms + u64::try_from(time.as_millis()).unwrap_or(0);
    let ends = match alert.status.as_deref() {
        Some("firing") => after(FORGOTTEN),
        // Alertmanager ignores an end that it has not reached yet.
        Some(_) => alert.unix_ms,
        None => after(MOMENTARY),
    };
    // A clock that was set back; nothing that ends before it begins is taken.
    let begin = alert
        .since_unix_ms
        .unwrap_or(alert.unix_ms)
        .min(now_unix_ms);
    let mut labels = Map::from_iter([
        ("alertname".to_owned(), json!(alertname(alert))),
        ("severity".to_owned(), json!(alert.severity)),
        ("arbiter".to_owned(), json!(alert.arbiter)),
        ("key".to_owned(), json!(alert.key)),
    ]);
    if let Some(cluster) = &alert.cluster {
        labels.insert("cluster".to_owned(), json!(cluster));
    }
    if let ("node_lost" | "node_absent" | "node_connected", [node]) =
        (alert.kind.as_str(), alert.nodes.as_slice())
    {
        labels.insert("node".to_owned(), json!(node.to_string()));
    }
    let mut annotations = Map::from_iter([("summary".to_owned(), json!(alert.message))]);
    if let Some(reason) = &alert.reason {
        annotations.insert("reason".to_owned(), json!(reason));
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(begin),
        "endsAt": rfc3339(ends.max(begin)),
    })
}

/// `QarbiterNodeLost`.
fn alertname(alert: &v1::Alert) -> String {
    let mut name = "Qarbiter".to_owned();
    for word in alert.kind.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        name += &first.to_ascii_uppercase();
        name += rest;
    }
    name
}

/// `2046-11-22T03:00:00.000Z`.
fn rfc3339(unix_ms: u64) -> String {
    let seconds = Moment(unix_ms / 1000).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), unix_ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(severity: &str, status: Option<&str>, message: &str) -> Arc<v1::Alert> {
        Arc::new(v1::Alert {
            unix_ms: 1_795_402_800_000,
            kind: "node_lost".to_owned(),
            severity: severity.to_owned(),
            status: status.map(str::to_owned),
            key: "node_lost/a/2".to_owned(),
            cluster: Some("a".to_owned()),
            nodes: vec![2],
            message: message.to_owned(),
            reason: Some("it <fell>".to_owned()),
            arbiter: "here".to_owned(),
            since_unix_ms: status.map(|_| 1_795_402_700_500),
            ..v1::Alert::default()
        })
    }

    fn made(format: Format, alerts: &[Arc<v1::Alert>], path: &str) -> (Value, String) {
        let body = body(format, alerts, "here", 0, path, 1_795_402_800_000);
        (serde_json::from_slice(&body.bytes).unwrap(), body.path)
    }

    #[test]
    fn slack_has_a_line_for_each_and_escapes() {
        let alerts = [
            alert("info", None, "one & two"),
            alert("critical", Some("firing"), "down"),
        ];
        let (value, path) = made(Format::Slack, &alerts, "/services/x");
        let text = "[CRITICAL] down (it &lt;fell&gt;) - here\n\
                    [info] one &amp; two (it &lt;fell&gt;) - here";
        assert_eq!(value, json!({ "text": text }));
        assert_eq!(path, "/services/x");
        let many: Vec<_> = (0..100)
            .map(|_| alert("info", None, &"ä".repeat(99)))
            .collect();
        let (value, _) = made(Format::Slack, &many, "/");
        let text = value["text"].as_str().unwrap();
        assert!(text.len() < 2000 && text.ends_with(" more"), "{text}");
        let (value, _) = made(
            Format::Slack,
            &[alert("info", None, &"ä".repeat(9999))],
            "/",
        );
        assert!(value["text"].as_str().unwrap().len() <= LONGEST);
    }

    #[test]
    fn ntfy_is_published_to_the_root() {
        let (value, path) = made(
            Format::Ntfy,
            &[alert("warning", Some("firing"), "m")],
            "/top",
        );
        assert_eq!(path, "/");
        assert_eq!(value["topic"], "top");
        assert_eq!(value["title"], "a");
        assert_eq!(value["priority"], 4);
        assert_eq!(value["message"], "[WARNING] m (it <fell>) - here");
    }

    #[test]
    fn alertmanager_has_labels_that_stay_and_ends() {
        let firing = alert("warning", Some("firing"), "m");
        let (value, path) = made(Format::Alertmanager, &[firing], "/");
        assert_eq!(path, "/api/v2/alerts");
        assert_eq!(value[0]["labels"]["alertname"], "QarbiterNodeLost");
        assert_eq!(value[0]["labels"]["node"], "2");
        assert_eq!(value[0]["startsAt"], "2026-11-23T02:58:20.500Z");
        assert_eq!(value[0]["endsAt"], "2026-11-23T03:04:00.000Z");
        // The clock was set back since it began.
        let mut late = v1::Alert::clone(&alert("warning", Some("resolved"), "m"));
        late.since_unix_ms = late.since_unix_ms.map(|since| since + 3_600_000);
        let (end, _) = made(Format::Alertmanager, &[late.into()], "/");
        let times = [&end[0]["startsAt"], &end[0]["endsAt"]].map(|time| time.as_str().unwrap());
        assert!(times[0] <= times[1], "{times:?}");
        let over = alert("warning", Some("resolved"), "m");
        let (end, path) = made(Format::Alertmanager, &[over], "/am/api/v2/alerts");
        assert_eq!(path, "/am/api/v2/alerts");
        assert_eq!(end[0]["labels"], value[0]["labels"]);
        assert_eq!(end[0]["endsAt"], "2026-11-23T03:00:00.000Z");
    }
}
