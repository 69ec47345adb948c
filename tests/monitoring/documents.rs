//! docs/MONITORING.md against the rules and what an arbiter really says.

use std::collections::{BTreeMap, BTreeSet};

use crate::queries::rules;
use crate::text::Metric;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/MONITORING.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first columns of the rows whose first cell begins so.
fn rows(prefix: &str) -> Vec<Vec<String>> {
    let document = document();
    let rows = document
        .lines()
        .filter(|line| line.starts_with(&format!("| `{prefix}")));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ");
        cells
            .map(|cell| cell.replace('`', "").trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

/// Fails unless the document names exactly these metrics, with their kinds and labels.
pub(crate) fn check(emitted: &BTreeMap<String, Metric>) {
    let mut written = BTreeSet::new();
    let metrics = [rows("qarbiter_"), rows("process_")].concat();
    for row in metrics {
        let [name, kind, labels, meaning] = &row[..] else {
            panic!("docs/MONITORING.md: not four columns: {row:?}");
        };
        assert!(written.insert(name.clone()), "{name} is there twice");
        let metric = emitted.get(name);
        let metric = metric.unwrap_or_else(|| panic!("no {name} is emitted"));
        assert_eq!(metric.kind, *kind, "{name}");
        assert!(meaning.len() > 10, "{name}");
        let labels: BTreeSet<String> = labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect();
        let mut real = metric.labels.clone();
        real.remove("le");
        // What there is only in bad times has no line in good ones.
        if !real.is_empty() || name != "qarbiter_cluster_warning" {
            assert_eq!(real, labels, "{name}: what is emitted, and what is written");
        }
    }
    let unwritten: Vec<&String> = emitted
        .keys()
        .filter(|name| !written.contains(*name))
        .collect();
    assert!(
        unwritten.is_empty(),
        "docs/MONITORING.md lacks {unwritten:?}"
    );
}

#[test]
fn the_document_lists_every_alert() {
    let rules = rules();
    let alerts: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    let written: Vec<String> = rows("Qarbiter")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(written, alerts);
}
