//! The configuration file: TOML, in which every setting has a section and a name.

use super::advice::{advice_for_key, advice_for_section};
use super::error::{ConfigError, Origin, Problem};
use super::keys::{self, CLUSTER_SECTION, Key, SECTIONS};
use super::layers::Assignment;
use super::value::{Kind, Value};
use crate::wire::ClusterName;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use toml_writer::ToTomlKey as _;

/// Reads the text of a file. What is right of it comes with what is wrong.
pub(super) fn read(path: &Arc<Path>, text: &str) -> (Vec<Assignment>, Vec<ConfigError>) {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        path,
        text,
        assignments: Vec::new(),
        errors: Vec::new(),
    };
    for error in &syntax {
        let place = reader.place(error.span().map_or(0, |span| span.start));
        let problem = Problem::Syntax(error.message().to_owned());
        reader.errors.push(ConfigError::at(place, problem));
    }
    let broken: Vec<usize> = reader.errors.iter().filter_map(line).collect();
    reader.root(root.get_ref());
    // What was made of a broken line is not worth a complaint of its own.
    let mut errors = reader.errors.split_off(syntax.len());
    errors.retain(|error| line(error).is_none_or(|line| !broken.contains(&line)));
    reader.errors.append(&mut errors);
    reader.errors.sort_by_key(line);
    (reader.assignments, reader.errors)
}

fn line(error: &ConfigError) -> Option<usize> {
    match error {
        ConfigError::At {
            place: Origin::File { line, .. },
            ..
        } => Some(*line),
        _ => None,
    }
}

struct Reader<'a> {
    path: &'a Arc<Path>,
    text: &'a str,
    assignments: Vec<Assignment>,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    /// The place of a byte in the file.
    fn place(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
        }
    }

    fn wrong(&mut self, offset: usize, problem: Problem) {
        let place = self.place(offset);
        self.errors.push(ConfigError::at(place, problem));
    }

    fn root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root.iter() {
            let offset = name.span().start;
            let name: &str = name.get_ref();
            let known = SECTIONS.iter().any(|(section, _)| *section == name);
            match value.get_ref() {
                DeValue::Table(clusters) if name == CLUSTER_SECTION => self.clusters(clusters),
                DeValue::Table(section) if known => self.section(name, None, section),
                DeValue::Table(_) => self.wrong(
                    offset,
                    Problem::UnknownSection {
                        name: name.to_toml_key(),
                        advice: advice_for_section(name),
                    },
                ),
                _ if known || name == CLUSTER_SECTION => self.wrong(
                    offset,
                    Problem::NotASection {
                        name: name.to_owned(),
                    },
                ),
                _ => self.wrong(
                    offset,
                    Problem::UnknownKey {
                        name: name.to_toml_key(),
                        advice: advice_for_key(None, name),
                    },
                ),
            }
        }
    }

    fn clusters(&mut self, clusters: &DeTable<'_>) {
        for (name, value) in clusters.iter() {
            match value.get_ref() {
                DeValue::Table(settings) => {
                    let cluster = ClusterName::new(name.get_ref().as_bytes());
                    self.section(CLUSTER_SECTION, Some(&cluster), settings);
                }
                _ => self.wrong(
                    name.span().start,
                    Problem::NotASection {
                        name: format!("{CLUSTER_SECTION}.{}", name.get_ref().to_toml_key()),
                    },
                ),
            }
        }
    }

    fn section(&mut self, section: &str, cluster: Option<&ClusterName>, settings: &DeTable<'_>) {
        for (name, value) in settings.iter() {
            match find(section, name, cluster) {
                Some(key) => self.setting(key, cluster, value),
                None => self.wrong(
                    name.span().start,
                    Problem::UnknownKey {
                        name: format!("{section}.{}", name.get_ref().to_toml_key()),
                        advice: advice_for_key(Some(section), name.get_ref()),
                    },
                ),
            }
        }
    }

    fn setting(
        &mut self,
        key: &'static Key,
        cluster: Option<&ClusterName>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let origin = self.place(value.span().start);
        let good = convert(key, value.get_ref()).filter(|value| key.check(value.as_ref()).is_ok());
        match good {
            Some(value) => self.assignments.push(Assignment {
                key,
                cluster: cluster.cloned(),
                value,
                origin,
            }),
            None => {
                let written = self.text.get(value.span()).unwrap_or_default();
                // A value may be a whole table.
                let first = written.lines().next().unwrap_or_default();
                self.errors.push(ConfigError::value(origin, key, first));
            }
        }
    }
}

fn find(
    section: &str,
    name: &Spanned<DeString<'_>>,
    cluster: Option<&ClusterName>,
) -> Option<&'static Key> {
    let section = if cluster.is_some() { "votes" } else { section };
    keys::find(section, name.get_ref()).filter(|key| cluster.is_none() || key.is_for_clusters())
}

/// The value for a setting, if it is of the right type: `Some(None)` for an empty text where there
/// need not be a value.
fn convert(key: &Key, value: &DeValue<'_>) -> Option<Option<Value>> {
    let value = match value {
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            let whole = i64::from_str_radix(digits, number.radix()).ok()?;
            match key.kind {
                Kind::Number { .. } => Value::Number(whole as f64),
                _ => Value::Whole(whole),
            }
        }
        DeValue::Float(number) => Value::Number(number.as_str().parse().ok()?),
        DeValue::String(text) => {
            if text.is_empty() && key.kind.can_be_empty() && key.unset.is_some() {
                return Some(None);
            }
            // Whoever reads the file may be in another directory: the daemon, or a tool.
            if key.kind.is_path() && !Path::new(text.as_ref()).is_absolute() {
                return None;
            }
            Value::Text(text.clone().into_owned())
        }
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    };
    Some(Some(value))
}
