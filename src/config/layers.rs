//! What the places of settings have in common.

use super::error::Origin;
use super::keys::{KEYS, Key};
use super::settings::Settings;
use super::value::Value;
use crate::wire::ClusterName;
use std::path::Path;

/// One setting as some place has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    pub(super) key: &'static Key,
    /// The cluster that it is for, if not for all.
    pub(super) cluster: Option<ClusterName>,
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
}

impl Assignment {
    pub(super) fn new(key: &'static Key, value: Option<Value>, origin: Origin) -> Self {
        Self {
            key,
            cluster: None,
            value,
            origin,
        }
    }
}

/// What it means to keep everything in one directory. Weaker than anything else that is said in
/// the same place.
pub(super) fn state_dir(dir: &Path, origin: &Origin) -> Vec<Assignment> {
    let settings = |dir: &Path| {
        let mut settings = Settings::default();
        settings.use_state_dir(dir);
        settings
    };
    let (here, elsewhere) = (settings(dir), settings(&dir.join("elsewhere")));
    KEYS.iter()
        .map(|key| (key, key.get(&here, None)))
        .filter(|(key, value)| *value != key.get(&elsewhere, None))
        .map(|(key, value)| Assignment::new(key, value, origin.clone()))
        .collect()
}
