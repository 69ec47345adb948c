//! What a change of settings means for an arbiter that runs.

use super::error::quoted;
use super::keys::{CLUSTER_SECTION, Effect, KEYS};
use super::settings::Settings;
use super::value::Value;
use crate::wire::ClusterName;
use std::collections::BTreeSet;
use std::fmt;

/// The differences between two sets of settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// What takes effect at once, for what comes after it.
    pub at_once: Vec<Change>,
    /// What takes effect only when the arbiter is started again.
    pub after_restart: Vec<Change>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.at_once.is_empty() && self.after_restart.is_empty()
    }
}

/// A setting that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Section and name, such as `listen.port` or `cluster."site-berlin".rules`.
    pub key: String,
    /// The value so far, if it had one.
    pub old: Option<Value>,
    /// The new value, if it has one.
    pub new: Option<Value>,
}

/// `listen.port = 5404, was 5403`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| {
            let text = value.as_ref().map(ToString::to_string);
            text.unwrap_or_else(|| "not set".to_owned())
        };
        write!(
            f,
            "{} = {}, was {}",
            self.key,
            show(&self.new),
            show(&self.old)
        )
    }
}

/// The new settings as far as they take effect at once, and the old ones where a restart is needed.
pub fn in_force(old: &Settings, new: &Settings) -> Settings {
    let mut settings = new.clone();
    for key in KEYS.iter().filter(|key| key.effect == Effect::Restart) {
        let kept = key.set(&mut settings, None, key.get(old, None).as_ref());
        debug_assert!(kept.is_ok(), "{key:?} can't have the value that it has");
    }
    settings
}

/// Tells what changed and when it takes effect.
pub fn compare(old: &Settings, new: &Settings) -> Changes {
    let named = old.policies.names().chain(new.policies.names());
    let clusters: BTreeSet<Option<&ClusterName>> = named.map(Some).chain([None]).collect();
    let mut changes = Changes::default();
    for cluster in clusters {
        for key in KEYS {
            if cluster.is_some() && !key.is_for_clusters() {
                continue;
            }
            let (old, new) = (key.get(old, cluster), key.get(new, cluster));
            if old == new {
                continue;
            }
            let path = match cluster {
                None => key.path(),
                Some(name) => {
                    let name = quoted(&String::from_utf8_lossy(name.as_bytes()));
                    format!("{CLUSTER_SECTION}.{name}.{}", key.name)
                }
            };
            let change = Change {
                key: path,
                old,
                new,
            };
            match key.effect {
                Effect::AtOnce => changes.at_once.push(change),
                Effect::Restart => changes.after_restart.push(change),
            }
        }
    }
    changes
}
