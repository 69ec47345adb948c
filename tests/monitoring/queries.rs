//! What a query asks for: metrics, and their labels.

use std::collections::BTreeSet;

use crate::prometheus::{deployed, promtool};

/// What Prometheus itself adds to every series.
const ADDED: [&str; 2] = ["instance", "job"];

/// One selector: a metric, and conditions on labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Label, operator, value.
    pub(crate) conditions: Vec<(String, String, String)>,
}

/// The selectors of a query as Prometheus writes it.
pub(crate) fn selectors(query: &str) -> Vec<Selector> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_word) {
        // A text is none; those of conditions are read with their selector.
        if let Some(quote) = rest[..start].find('"') {
            let end = rest[quote + 1..].find('"').unwrap();
            rest = &rest[quote + end + 2..];
            continue;
        }
        let after = rest[start..].find(|c| !is_word(c));
        let end = after.map_or(rest.len(), |after| start + after);
        let word = &rest[start..end];
        rest = &rest[end..];
        let is_metric = ["qarbiter_", "process_"]
            .iter()
            .any(|p| word.starts_with(p));
        if !is_metric && word != "up" {
            continue;
        }
        let mut conditions = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            let end = inside.find('}').unwrap();
            conditions = inside[..end].split(',').map(condition).collect();
            rest = &inside[end + 1..];
        }
        found.push(Selector {
            metric: word.to_owned(),
            conditions,
        });
    }
    found
}

fn condition(text: &str) -> (String, String, String) {
    let (label, rest) = text.split_at(text.find(['=', '!']).unwrap());
    let (operator, value) = rest.split_at(rest.find('"').unwrap());
    let value = value.trim_matches('"');
    (label.to_owned(), operator.to_owned(), value.to_owned())
}

/// The labels that results are grouped or matched by.
pub(crate) fn grouping(query: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for word in ["by", "on", "without", "ignoring"] {
        for part in query.split(&format!(" {word} (")).skip(1) {
            let inside = part.split(')').next().unwrap();
            labels.extend(inside.split(", ").map(|label| label.trim().to_owned()));
        }
    }
    labels.remove("le");
    labels
}

/// Fails if a query asks for a metric or a label that the series don't have, or for the value of
/// one that is not among `values`.
pub(crate) fn check(
    query: &str,
    series: &[serde_json::Value],
    values: impl Fn(&str, &str) -> bool,
) -> usize {
    let selectors = selectors(query);
    let mut known: BTreeSet<&str> = ADDED.into();
    for selector in &selectors {
        let name = &selector.metric;
        let of_it = series.iter().filter(|s| s["__name__"] == name.as_str());
        let labels: BTreeSet<&str> = of_it
            .clone()
            .flat_map(|series| series.as_object().unwrap().keys())
            .map(String::as_str)
            .collect();
        // What there is only in bad times has no series in good ones.
        let is_rare = name == "qarbiter_cluster_warning";
        assert!(!labels.is_empty() || is_rare, "{query}: there is no {name}");
        if is_rare {
            known.extend(["cluster", "kind"]);
        }
        known.extend(&labels);
        for (label, operator, value) in &selector.conditions {
            assert!(
                known.contains(label.as_str()),
                "{query}: {name} has no label {label}"
            );
            if ADDED.contains(&label.as_str()) || value.contains(".*") || operator == "!=" {
                continue;
            }
            for value in value.split('|') {
                let is_there = of_it.clone().any(|series| series[label] == value);
                assert!(
                    is_there || values(label, value),
                    "{query}: {name} never has {label}=\"{value}\""
                );
            }
        }
    }
    for label in grouping(query) {
        assert!(known.contains(label.as_str()), "{query}: no label {label}");
    }
    selectors.len()
}

/// Name and expression of every alert.
pub(crate) fn rules() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(deployed("prometheus/qarbiter.rules.yml")).unwrap();
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut is_folded = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("- alert: ") {
            rules.push((name.to_owned(), String::new()));
        } else if let Some(expression) = trimmed.strip_prefix("expr: ") {
            is_folded = expression == ">-";
            if !is_folded {
                expression.clone_into(&mut rules.last_mut().unwrap().1);
            }
        } else if line.starts_with("        ") && !trimmed.contains(": ") && is_folded {
            let expression = &mut rules.last_mut().unwrap().1;
            *expression += trimmed;
            expression.push(' ');
        } else {
            is_folded = false;
        }
    }
    let path = deployed("prometheus/qarbiter.rules.yml");
    let said = promtool(&["check", "rules", path.to_str().unwrap()]);
    let count = format!("{} rules found", rules.len());
    assert!(said.contains(&count), "{said}");
    assert!(rules.iter().all(|(_, expression)| !expression.is_empty()));
    rules
}

#[test]
fn queries_are_taken_apart() {
    let query = "sum by (a, le) (rate(qarbiter_x_total{a=\"b\",c=~\"d|e\"}[5m])) / on (f) up > 3";
    let found = selectors(query);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].metric, "qarbiter_x_total");
    let conditions = [("a", "=", "b"), ("c", "=~", "d|e")];
    let conditions = conditions.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(found[0].conditions, conditions);
    assert_eq!(found[1].metric, "up");
    let labels = grouping(query);
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["a", "f"]);
}

#[test]
#[should_panic(expected = "there is no qarbiter_made_up")]
fn a_metric_that_is_not_there_is_found() {
    check("qarbiter_made_up > 1", &[], |_, _| false);
}

#[test]
#[should_panic(expected = "has no label made_up")]
fn a_label_that_is_not_there_is_found() {
    let up = serde_json::json!({"__name__": "up", "job": "qarbiter"});
    check("up{made_up=\"1\"}", &[up], |_, _| false);
}

#[test]
#[should_panic(expected = "never has state")]
fn a_value_that_is_not_there_is_found() {
    let up = serde_json::json!({"__name__": "up", "state": "a"});
    check("up{state=\"job\"}", &[up], |_, _| false);
}
