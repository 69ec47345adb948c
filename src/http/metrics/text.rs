//! Prometheus' text format, line by line.

use crate::wire::ClusterName;
use sha2::{Digest, Sha256};
use std::fmt::{Arguments, Display, Write};

/// Longest name of a cluster that is shown whole, bytes.
const LONGEST: usize = 128;

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows.
    Counter,
}

/// What stands before the lines of a metric.
pub(super) fn head(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    };
    // Writing to a string does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// A line; `labels` is what stands in the braces, if anything.
pub(super) fn number(text: &mut String, name: &str, labels: Arguments<'_>, value: impl Display) {
    text.push_str(name);
    // Writing to a string does not fail.
    let _ = match labels.as_str() {
        Some("") => writeln!(text, " {value}"),
        _ => writeln!(text, "{{{labels}}} {value}"),
    };
}

/// A cluster's name as the value of a label. Different names have different labels: what can't be
/// shown as it is has a number of its own behind it.
pub(super) fn label(name: &[u8]) -> String {
    let shown = std::str::from_utf8(name)
        .ok()
        .filter(|text| text.len() <= LONGEST && !text.chars().any(char::is_control));
    match shown {
        Some(text) => escaped(text),
        None => {
            let digest = Sha256::digest(name);
            let start = digest.iter().take(8);
            let number = start.fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            let shown = ClusterName::new(name);
            escaped(&format!("{shown}#{number:016x}"))
        }
    }
}

/// As the text format wants it: backslash, quote and line feed.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_have_different_labels() {
        let long = |last: char| format!("{}{last}", "x".repeat(200));
        let names = [
            b"plain".to_vec(),
            b"with \"quotes\" and \\".to_vec(),
            long('a').into_bytes(),
            long('b').into_bytes(),
            b"\xff".to_vec(),
            b"\\xff".to_vec(),
            b"line\nfeed".to_vec(),
            b"line\\nfeed".to_vec(),
            b"".to_vec(),
        ];
        let labels: Vec<String> = names.iter().map(|name| label(name)).collect();
        for (at, one) in labels.iter().enumerate() {
            assert!(one.len() < 300 && !one.contains('\n'), "{one}");
            assert!(
                !labels.iter().skip(at + 1).any(|other| other == one),
                "{one}"
            );
        }
        assert_eq!(labels[0], "plain");
        assert_eq!(labels[1], "with \\\"quotes\\\" and \\\\");
    }
}
