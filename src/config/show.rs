//! Settings as text: those in effect, and an example of all.

use super::error::{Origin, quoted};
use super::keys::{CLUSTER_SECTION, KEYS, Key, SECTIONS};
use super::sources::{Effective, Loaded};
use super::value::{Kind, Value};
use crate::notify::settings::without_secrets;
use std::fmt::Write as _;

impl Loaded {
    /// The settings in effect as a configuration file, with the place that each comes from if
    /// that is wanted.
    pub fn show(&self, origins: bool) -> String {
        let mut text = String::new();
        for (section, _) in SECTIONS {
            let _ = writeln!(
                text,
                "{}[{section}]",
                if text.is_empty() { "" } else { "\n" }
            );
            for one in &self.effective {
                if one.cluster.is_none() && one.key.section == *section {
                    line(&mut text, one, origins);
                }
            }
        }
        let mut cluster = None;
        for one in self.effective.iter().filter(|one| one.cluster.is_some()) {
            if one.cluster != cluster {
                cluster.clone_from(&one.cluster);
                let name = cluster.iter().flat_map(|name| name.as_bytes()).copied();
                let name = String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned();
                let _ = writeln!(text, "\n[{CLUSTER_SECTION}.{}]", quoted(&name));
            }
            line(&mut text, one, origins);
        }
        text
    }

    /// Where the value of a setting comes from; `key` is its section and name with a dot.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.effective
            .iter()
            .find(|one| one.cluster.is_none() && one.key.path() == key)
            .map(|one| &one.origin)
    }
}

fn line(text: &mut String, one: &Effective, origins: bool) {
    let name = one.key.name;
    match &one.value {
        Some(value) => {
            let _ = write!(text, "{name} = {}", shown(one.key, value));
            if origins {
                let _ = write!(text, "  # {}", origin(&one.origin));
            }
        }
        None => {
            let meaning = one.key.unset.unwrap_or_default();
            let _ = write!(text, "# {name} is not set: {meaning}");
            if origins {
                let _ = write!(text, " ({})", origin(&one.origin));
            }
        }
    }
    text.push('\n');
}

fn shown(key: &Key, value: &Value) -> Value {
    match (key.kind, value) {
        (Kind::Webhooks, Value::Text(text)) => Value::Text(without_secrets(text)),
        _ => absolute(key, value),
    }
}

/// A path on the command line starts where the program does, but one in a file can't.
fn absolute(key: &Key, value: &Value) -> Value {
    match value {
        Value::Text(path) if key.kind.is_path() => {
            let absolute = std::path::absolute(path).ok();
            let absolute = absolute.and_then(|path| path.to_str().map(str::to_owned));
            Value::Text(absolute.unwrap_or_else(|| path.clone()))
        }
        other => other.clone(),
    }
}

/// On one line, whatever the file is called.
fn origin(origin: &Origin) -> String {
    let text = match origin {
        Origin::File { path, line, .. } => format!("{}:{line}", path.display()),
        other => other.to_string(),
    };
    let shown = |c: char| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A configuration file with every setting, its meaning, what is allowed, and its default, in
/// which nothing is set yet.
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of qarbiter: every setting with its default, none of them set.\n\
         # Remove the # in front of those that you change, then run `qarbiter config check`.\n\
         #\n\
         # Environment variables (QARBITER_LISTEN_PORT=5403) and options of the command line come\n\
         # before this file. `qarbiter config show --origin` tells what is in effect, and why.\n",
    );
    for (section, doc) in SECTIONS {
        let _ = write!(text, "\n# {doc}\n[{section}]\n");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let _ = write!(text, "\n# {}\n# {}\n", key.doc, allowed(key));
            let _ = writeln!(text, "#{} = {}", key.name, value_in_example(key));
        }
    }
    text
}

fn allowed(key: &Key) -> String {
    let unset = key.unset.map(|meaning| format!("; if not set: {meaning}"));
    format!("Possible: {}{}.", key.kind, unset.unwrap_or_default())
}

fn value_in_example(key: &Key) -> Value {
    let empty = || match key.kind {
        Kind::Boolean => Value::Boolean(true),
        _ => Value::Text(String::new()),
    };
    key.default().unwrap_or_else(empty)
}
