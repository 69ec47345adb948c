//! A split of real clients, from the first alert to the last.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::lab::Lab;
use crate::prometheus::Prometheus;
use crate::spec::Spec;
use crate::text::{Labels, series};
use crate::witnesses::{ALL, Account, HTTP, agree};
use crate::{dashboard, documents, queries, text, web, webhook};

/// How long witnesses may take to hear of what happened.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_split_is_seen_by_everybody_and_told_alike() {
    let lab = Lab::with_environment(webhook::ENVIRONMENT);
    webhook::listen(&lab);
    let prometheus = Prometheus::start(&lab);
    let cluster = Cluster::start(&lab, Spec::ffsplit("rom", &[1, 2]));
    cluster.wait_complete();
    prometheus.wait("no alert fires", |prometheus| {
        let health = prometheus.query("qarbiter_cluster_health{cluster=\"rom\"} == 0");
        health.len() == 1 && prometheus.firing().is_empty()
    });
    both_read_the_same(&lab, &prometheus);

    cluster.split(&[&[1], &[2]]);
    cluster.wait("only node 1 is quorate", |views| {
        views.quorate(&[1], 2) && views.inquorate(&[2])
    });
    everybody_tells(&lab);
    what_the_nodes_say_of_themselves(&lab);
    prometheus.wait("the alert fires", |prometheus| {
        prometheus.firing() == ["QarbiterClusterSplit"]
    });
    for alert in prometheus.alerts("firing") {
        assert_eq!(alert["labels"]["cluster"], "rom");
        assert_eq!(alert["labels"]["severity"], "critical");
        let summary = &alert["annotations"]["summary"];
        assert_eq!(summary, "Cluster rom is split into 2 parts");
        let description = alert["annotations"]["description"].as_str().unwrap();
        assert!(description.contains("Who has it and why: qarbiter status."));
    }
    let rule = prometheus.query("qarbiter_cluster_decision_info{rule=\"tie_breaker\"}");
    assert_eq!(rule.len(), 1);

    cluster.heal();
    cluster.wait_complete();
    prometheus.wait("the alert has ended", |prometheus| {
        prometheus.firing().is_empty() && prometheus.alerts("pending").is_empty()
    });
    the_webhook_is_told_of_the_end(&lab);
    every_query_fits(&lab, &prometheus);
    documents::check(&text::metrics(&metrics(&lab)));
    cluster.assert_never_both_quorate();
}

fn metrics(lab: &Lab) -> String {
    web::get(lab.machine(), HTTP, "/metrics").unwrap()
}

/// Every witness, as soon as it knows, says what the others say.
fn everybody_tells(lab: &Lab) {
    let begin = Instant::now();
    let expected = Account {
        winner: vec![1],
        rule: Some("tie_breaker".to_owned()),
        reason: Some("an exact tie goes to the lowest node id, which is 1".to_owned()),
        level: Some("DEGRADED".to_owned()),
        sentence: Some("split; node 1 holds the vote because the tie-breaker is lowest".to_owned()),
    };
    let accounts = ALL.map(|(who, ask)| {
        let account = loop {
            let account = ask(lab, "rom").filter(|account| account.winner == expected.winner);
            match account {
                Some(account) => break account,
                None => assert!(begin.elapsed() < SOON, "{who} does not tell of the split"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        (who, account)
    });
    agree(&accounts, &expected);
    lab.note("everybody tells the same of the split");
}

/// The API passes on what each node reports of its own quorum.
fn what_the_nodes_say_of_themselves(lab: &Lab) {
    let begin = Instant::now();
    loop {
        let list = web::json(lab.machine(), HTTP, "/api/v1/clusters/rom/nodes").unwrap();
        let nodes = list["nodes"].as_array().unwrap();
        let quorate: Vec<_> = nodes.iter().map(|node| node["quorate"].as_bool()).collect();
        if quorate == [Some(true), Some(false)] {
            break;
        }
        assert!(begin.elapsed() < SOON, "{list:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The split that was told is told as over, once, by the same key.
fn the_webhook_is_told_of_the_end(lab: &Lab) {
    let begin = Instant::now();
    loop {
        let all = webhook::alerts(lab);
        let of_it = |alert: &&Value| alert["key"] == "split/rom";
        let said: Vec<&str> = all
            .iter()
            .filter(of_it)
            .map(|alert| alert["status"].as_str().unwrap())
            .collect();
        match said.as_slice() {
            ["firing", "resolved"] => break,
            ["firing"] => assert!(begin.elapsed() < SOON, "no end: {all:#?}"),
            _ => panic!("{all:#?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.note("the webhook was told of the end");
}

/// Prometheus has understood every line as it was meant.
fn both_read_the_same(lab: &Lab, prometheus: &Prometheus<'_>) {
    let theirs: BTreeSet<(String, Labels)> = prometheus
        .series()
        .iter()
        .map(|series| {
            let labels: Labels = serde_json::from_value(series.clone()).unwrap();
            let added = ["__name__", "instance", "job"];
            let name = labels["__name__"].clone();
            let mut labels = labels;
            labels.retain(|label, _| !added.contains(&label.as_str()));
            (name, labels)
        })
        // What Prometheus adds itself: about its scrapes, and of alerts that wait to fire.
        .filter(|(name, _)| name != "up" && !name.starts_with("scrape_"))
        .filter(|(name, _)| !name.starts_with("ALERTS"))
        .collect();
    let ours: BTreeSet<(String, Labels)> = series(&metrics(lab)).into_iter().collect();
    let missing: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty(), "Prometheus lacks {missing:#?}");
    let more: Vec<_> = theirs.difference(&ours).collect();
    assert!(more.is_empty(), "Prometheus has, and we don't: {more:#?}");
    assert!(ours.len() > 120, "{}", ours.len());
    lab.note("Prometheus has read what was written");
}

/// The rules and the dashboard ask only for what there is, and the dashboard has something to show.
fn every_query_fits(lab: &Lab, prometheus: &Prometheus<'_>) {
    let series: Vec<Value> = prometheus.series();
    // Kinds of warnings that this cluster does not have.
    let kinds = include_str!("../../src/advice/warning.rs");
    let is_kind =
        |label: &str, value: &str| label == "kind" && kinds.contains(&format!("=> \"{value}\""));
    let mut selectors = 0;
    for (alert, expression) in queries::rules() {
        let formatted = prometheus.formatted(&expression);
        let found = queries::check(&formatted, &series, is_kind);
        assert!(found > 0, "{alert}: {formatted}");
        selectors += found;
    }
    let queries = dashboard::queries();
    assert!(queries.len() > 40, "{}", queries.len());
    for query in &queries {
        let formatted = prometheus.formatted(&query.text);
        let found = queries::check(&formatted, &series, is_kind);
        assert!(found > 0, "{query:?}");
        selectors += found;
        let shown = prometheus.query(&query.text);
        // This cluster is as it should be.
        assert_eq!(shown.is_empty(), query.panel == "Warnings", "{query:?}");
        for label in &query.legend {
            let has = |series: &Value| series["metric"][label].is_string();
            assert!(shown.iter().all(has), "{query:?}: {shown:?}");
        }
    }
    lab.note(&format!("{selectors} selectors were looked at"));
}
