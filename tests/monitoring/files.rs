//! What `deploy/prometheus` ships, with the tools of Prometheus.

use crate::prometheus::{deployed, promtool};
use crate::queries::rules;

#[test]
fn prometheus_takes_the_configurations() {
    for name in ["plain", "token", "https"] {
        let path = deployed(&format!("prometheus/{name}.yml"));
        let path = path.to_str().unwrap();
        promtool(&["check", "config", "--syntax-only", path]);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("job_name: qarbiter\n"), "{name}");
    }
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let path = deployed("prometheus/qarbiter.test.yml");
    let said = promtool(&["test", "rules", path.to_str().unwrap()]);
    assert!(said.contains("SUCCESS"), "{said}");
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Vec<&str> = text.split("\n  - name: ").skip(1).collect();
    for (alert, _) in rules() {
        let expected = format!("ALERTNAME=\"{alert}\"").replace("ALERTNAME", "alertname");
        let fires = cases.iter().find(|case| case.contains(&expected));
        let case = fires.unwrap_or_else(|| panic!("{alert}: no test in which it fires"));
        // Before it fires and, but for the one that has nothing left to be right, after it.
        let quiet = case.matches("exp_samples: []").count();
        let least = if alert == "QarbiterNotScraped" { 1 } else { 2 };
        assert!(quiet >= least, "{alert}: no test in which it holds still");
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let text = std::fs::read_to_string(deployed("prometheus/qarbiter.rules.yml")).unwrap();
    let blocks: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert_eq!(blocks.len(), rules().len());
    for block in blocks {
        let name = block.lines().next().unwrap();
        let severities = ["critical", "warning", "info"];
        let severity = |severity: &&&str| block.contains(&format!("severity: {severity}\n"));
        assert_eq!(severities.iter().filter(severity).count(), 1, "{name}");
        let summary = block.split("summary: ").nth(1).expect(name);
        assert!(summary.lines().next().unwrap().len() < 120, "{name}");
        let description = block.split("description: >-").nth(1).expect(name);
        assert!(description.trim().len() > 90, "{name}: {description}");
        // It has commands in it, and a name may have anything in it: whoever pastes it runs it.
        assert!(!description.contains("$labels.cluster"), "{name}");
    }
}
