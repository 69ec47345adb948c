//! The dashboard of `deploy/grafana`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::prometheus::deployed;

/// A query of the dashboard, with what Grafana would put in.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) panel: String,
    pub(crate) text: String,
    /// Labels in the names of its lines.
    pub(crate) legend: Vec<String>,
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(deployed("grafana/qarbiter.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All queries of the panels and of the variables.
pub(crate) fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut all = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            all.push(Query {
                panel: title.to_owned(),
                text: filled(target["expr"].as_str().unwrap()),
                legend: legend(target["legendFormat"].as_str().unwrap()),
            });
        }
    }
    for variable in variables(&dashboard) {
        let Some(query) = variable["definition"].as_str() else {
            continue;
        };
        let inside = query.strip_prefix("label_values(").unwrap();
        let (metric, label) = inside.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        all.push(Query {
            panel: format!("variable {}", variable["name"]),
            text: filled(&format!("count by ({label}) ({metric})")),
            legend: vec![label.to_owned()],
        });
    }
    all
}

fn variables(dashboard: &Value) -> Vec<Value> {
    dashboard["templating"]["list"].as_array().unwrap().clone()
}

fn filled(query: &str) -> String {
    let query = query
        .replace("$instance", ".*")
        .replace("$cluster", ".*")
        .replace("$__rate_interval", "30s");
    assert!(!query.contains('$'), "{query}");
    query
}

fn legend(text: &str) -> Vec<String> {
    let labels = text.split("{{").skip(1);
    let label = |part: &str| part.split("}}").next().unwrap().trim().to_owned();
    labels.map(label).collect()
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in number("x")..number("x") + number("w") {
            assert!(x < 24, "{title} is too wide");
            for y in number("y")..number("y") + number("h") {
                assert!(cells.insert((x, y)), "{title} is on top of another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(
                !panel["description"].as_str().unwrap().is_empty(),
                "{title}"
            );
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<&str> = targets
                .iter()
                .map(|target| target["refId"].as_str().unwrap())
                .collect();
            assert_eq!(refs.len(), targets.len(), "{title}");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
    }
    let names: Vec<Value> = variables(&dashboard)
        .iter()
        .map(|variable| variable["name"].clone())
        .collect();
    assert_eq!(names, ["datasource", "instance", "cluster"]);
}
