//! Which rules decide for which cluster: one set for all, and exceptions by name.

use crate::engine::{ClusterPolicy, LostHolder, Rules};
use crate::wire::ClusterName;
use std::collections::BTreeMap;

/// The rules for clusters: one set for all, and exceptions by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPolicies {
    general: PolicySettings,
    named: BTreeMap<ClusterName, PolicySettings>,
}

/// What was set; the rest follows from the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// Which rules decide.
    pub rules: Option<Rules>,
    /// Vote leases; by default on with the safe rules.
    pub vote_leases: Option<bool>,
    /// What ends the lease of a lost lms or 2nodelms holder.
    pub lost_holder: Option<LostHolder>,
}

impl ClusterPolicies {
    /// The settings for one cluster by name, or for all others.
    pub fn entry(&mut self, cluster: Option<&ClusterName>) -> &mut PolicySettings {
        match cluster {
            Some(name) => self.named.entry(name.clone()).or_default(),
            None => &mut self.general,
        }
    }

    /// The policy of a cluster.
    pub fn policy(&self, cluster: &ClusterName) -> ClusterPolicy {
        self.resolve(self.named.get(cluster).copied().unwrap_or_default())
    }

    fn resolve(&self, own: PolicySettings) -> ClusterPolicy {
        let rules = own.rules.or(self.general.rules).unwrap_or_default();
        // A cluster that names its own rules gets the leases that belong to them.
        let inherited = self.general.vote_leases.filter(|_| own.rules.is_none());
        ClusterPolicy {
            rules,
            vote_leases: own
                .vote_leases
                .or(inherited)
                .unwrap_or(rules == Rules::Safe),
            lost_holder: own
                .lost_holder
                .or(self.general.lost_holder)
                .unwrap_or_default(),
        }
    }

    /// Those who are told to keep leases together with the reference's rules, which have none:
    /// clusters by name, and all others as `None`.
    pub fn conflicts(&self) -> Vec<Option<&ClusterName>> {
        let named = self.named.iter().map(|(name, own)| (Some(name), *own));
        [(None, PolicySettings::default())]
            .into_iter()
            .chain(named)
            .filter(|(_, own)| {
                let policy = self.resolve(*own);
                policy.vote_leases && policy.rules == Rules::Reference
            })
            .map(|(name, _)| name)
            .collect()
    }

    /// What was set for one cluster by name, or for all others.
    pub(crate) fn given(&self, cluster: Option<&ClusterName>) -> PolicySettings {
        match cluster {
            Some(name) => self.named.get(name).copied().unwrap_or_default(),
            None => self.general,
        }
    }

    /// The clusters that have settings of their own.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ClusterName> {
        self.named.keys()
    }
}

/// For all clusters the rules and what ends a lease are always set; leases follow the rules.
impl Default for ClusterPolicies {
    fn default() -> Self {
        Self {
            general: PolicySettings {
                rules: Some(Rules::default()),
                vote_leases: None,
                lost_holder: Some(LostHolder::default()),
            },
            named: BTreeMap::new(),
        }
    }
}
