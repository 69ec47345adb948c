//! A real Prometheus beside the arbiter, with the shipped configuration and rules.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::lab::Lab;
use crate::web;

const PORT: u16 = 9090;

/// Room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shipped files.
pub(crate) fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// Runs promtool; what it said.
pub(crate) fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool")
        .args(arguments)
        .output()
        .expect("promtool is needed (Debian package prometheus)");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// A Prometheus on the arbiter's machine. It ends with the lab.
pub(crate) struct Prometheus<'lab>(&'lab Lab);

impl<'lab> Prometheus<'lab> {
    /// Starts it with the shipped configuration, which only looks more often here.
    pub(crate) fn start(lab: &'lab Lab) -> Self {
        let shipped = std::fs::read_to_string(deployed("prometheus/plain.yml")).unwrap();
        let rules = deployed("prometheus/qarbiter.rules.yml");
        let config = shipped.replace("15s", "1s").replace(
            "/etc/prometheus/qarbiter.rules.yml",
            rules.to_str().unwrap(),
        );
        assert_eq!(config.matches("_interval: 1s").count(), 2, "{config}");
        assert!(config.contains(rules.to_str().unwrap()), "{config}");
        let file = lab.scratch().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let file = format!("--config.file={}", file.display());
        let data = format!("--storage.tsdb.path={}/tsdb", lab.scratch().display());
        let address = format!("--web.listen-address=127.0.0.1:{PORT}");
        lab.machine()
            .start("prometheus", &["prometheus", &file, &data, &address]);
        Self(lab)
    }

    fn api(&self, path: &str) -> Result<Value, String> {
        let answer = web::json(self.0.machine(), PORT, &format!("/api/v1/{path}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(format!("{path}: {answer}")),
        }
    }

    /// The result of an instant query. An error is one of the query.
    pub(crate) fn query(&self, query: &str) -> Vec<Value> {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let data = self.api(&format!("query?query={encoded}"));
        let data = data.unwrap_or_else(|error| panic!("{query}: {error}"));
        match data["resultType"].as_str() {
            Some("vector") => data["result"].as_array().unwrap().clone(),
            _ => vec![data["result"].clone()],
        }
    }

    /// The query as Prometheus itself writes it, which it does only for what it can parse.
    pub(crate) fn formatted(&self, query: &str) -> String {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let data = self.api(&format!("format_query?query={encoded}"));
        let data = data.unwrap_or_else(|error| panic!("{query}: {error}"));
        data.as_str().unwrap().to_owned()
    }

    /// The label sets of all series that it got from the arbiter in its last few scrapes.
    pub(crate) fn series(&self) -> Vec<Value> {
        self.query("{job=\"qarbiter\"}")
            .into_iter()
            .map(|series| series["metric"].clone())
            .collect()
    }

    /// The alerts in this state: `pending` or `firing`.
    pub(crate) fn alerts(&self, state: &str) -> Vec<Value> {
        let data = self.api("alerts").unwrap();
        let alerts = data["alerts"].as_array().unwrap().iter();
        let wanted = alerts.filter(|alert| alert["state"] == state);
        wanted.cloned().collect()
    }

    /// The names of the alerts that fire.
    pub(crate) fn firing(&self) -> Vec<String> {
        let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = self.alerts("firing").iter().map(name).collect();
        names.sort();
        names
    }

    /// Waits until something is so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while self.api("alerts").is_err() || !is_so(self) {
            if begin.elapsed() > PATIENCE {
                Lab::print_log(self.0.machine(), "prometheus", 30);
                panic!(
                    "after {PATIENCE:?} it is still not so that {what}; alerts: {:#?}",
                    self.api("alerts")
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        self.0.note(what);
    }
}
