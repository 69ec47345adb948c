//! Warnings about certificates that end soon, long before they do: nodes cannot renew theirs by
//! themselves.

use std::collections::HashMap;
use std::fmt;

use super::ca::CLOCK_FLOOR;
use super::facts::{Facts, Moment, Serial};
use super::inventory::{Known, Role, State};

/// Half a year: long enough for everybody's next maintenance.
pub const WARN_DAYS: u32 = 180;

/// A certificate ends soon, or has ended. Its text says which, when, what happens then and what
/// to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Whose certificate it is.
    pub role: Role,
    /// What it says.
    pub facts: Facts,
    /// Whole days until it ends; negative afterwards.
    pub days_left: i64,
    /// There is a newer one, which has not reached all nodes.
    pub superseded: bool,
}

/// A certificate's warning, if it ends within `warn_days` or has ended: for the daemon to look at
/// a cluster's certificate when it is shown.
#[must_use]
pub fn warning(role: Role, facts: &Facts, now: Moment, warn_days: u32) -> Option<Warning> {
    let days_left = now.max(Moment(CLOCK_FLOOR)).days_until(facts.not_after);
    (days_left < i64::from(warn_days)).then(|| Warning {
        role,
        facts: facts.clone(),
        days_left,
        superseded: false,
    })
}

/// What must be renewed, the most urgent first. The CA's end is none of it: neither nodes nor we
/// look at it. Nor are certificates that were revoked, or replaced by newer ones and not shown any
/// more.
#[must_use]
pub fn warnings(certificates: &[Known], now: Moment, warn_days: u32) -> Vec<Warning> {
    let mut newest: HashMap<&str, &Serial> = HashMap::new();
    for known in certificates
        .iter()
        .filter(|known| known.role == Role::Cluster && !matches!(known.state, State::Revoked(_)))
    {
        let Facts { name, serial, .. } = &known.facts;
        let entry = newest.entry(name).or_insert(serial);
        *entry = serial.max(entry);
    }
    let mut all: Vec<Warning> = certificates
        .iter()
        .filter_map(|known| {
            let superseded = newest
                .get(known.facts.name.as_str())
                .is_some_and(|newest| **newest > known.facts.serial);
            let counts = match (known.role, known.state) {
                (Role::Ca, _) | (_, State::Revoked(_)) => false,
                (Role::Server, _) => true,
                (Role::Cluster, _) => !superseded || known.is_in_use(now),
            };
            let warning = warning(known.role, &known.facts, now, warn_days)?;
            counts.then_some(Warning {
                superseded,
                ..warning
            })
        })
        .collect();
    all.sort_by_key(|warning| warning.days_left);
    all
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts {
            name,
            serial,
            not_after,
            ..
        } = &self.facts;
        match self.role {
            Role::Cluster => write!(f, "the certificate of cluster {name:?} (number {serial})")?,
            Role::Server | Role::Ca => write!(f, "the {}'s certificate", self.role)?,
        }
        match self.days_left {
            ..0 => write!(f, " ended on {}", not_after.date())?,
            days => write!(f, " ends on {}, in {days} days", not_after.date())?,
        }
        f.write_str(match (self.role, self.days_left) {
            (Role::Cluster, ..0) => "; its nodes are refused",
            (Role::Cluster, _) => "; from then on its nodes are refused",
            _ => "; nodes go on, but log a warning",
        })?;
        match (self.role, self.superseded) {
            (Role::Cluster, true) => write!(
                f,
                ". A newer one exists, but nodes still show this one: bring it to them \
                 (qarbiter certs show {})",
                quoted(name)
            ),
            (Role::Cluster, false) => {
                write!(f, ". Renew it: qarbiter certs renew {}", quoted(name))
            }
            _ => write!(f, ". Renew it: qarbiter certs renew server"),
        }
    }
}

/// A name as an argument of a shell command.
#[must_use]
pub fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ca::Authority;
    use crate::pki::revoked::{Reason, Revocation};
    use std::time::SystemTime;

    const NOW: Moment = Moment(1_795_402_800);

    fn known(role: Role, name: &str, serial: u64, days_left: i64) -> Known {
        let ca = Authority::generate(crate::pki::KeyKind::P256, 101, SystemTime::now()).unwrap();
        let end = i64::try_from(NOW.0).unwrap() + days_left * 86_400;
        let facts = Facts {
            name: name.to_owned(),
            serial: serial.into(),
            not_after: Moment(end.try_into().unwrap()),
            ..Facts::of(&ca.keyed().certificate).unwrap()
        };
        Known {
            role,
            facts,
            state: State::Valid,
            issued: None,
            seen: None,
            file: None,
            der: None,
        }
    }

    fn texts(certificates: &[Known]) -> Vec<String> {
        let warnings = warnings(certificates, NOW, WARN_DAYS);
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_most_urgent_comes_first_and_says_what_to_run() {
        let all = [
            known(Role::Ca, "QNet CA", 101, -5),
            known(Role::Server, "Qnetd Server", 102, 179),
            known(Role::Cluster, "far", 103, 180),
            known(Role::Cluster, "soon", 104, 30),
            known(Role::Cluster, "my cluster", 105, -3),
        ];
        assert_eq!(
            texts(&all),
            [
                "the certificate of cluster \"my cluster\" (number 105) ended on 2026-11-20; \
                 its nodes are refused. Renew it: qarbiter certs renew 'my cluster'",
                "the certificate of cluster \"soon\" (number 104) ends on 2026-12-23, in 30 days; \
                 from then on its nodes are refused. Renew it: qarbiter certs renew soon",
                "the server's certificate ends on 2027-05-21, in 179 days; \
                 nodes go on, but log a warning. Renew it: qarbiter certs renew server",
            ]
        );
    }

    #[test]
    fn a_replaced_certificate_counts_while_nodes_show_it() {
        let mut old = known(Role::Cluster, "alpha", 103, 30);
        let new = known(Role::Cluster, "alpha", 110, 7000);
        let warned = |old: &Known, new: &Known| texts(&[old.clone(), new.clone()]);
        assert!(warned(&old, &new).is_empty());
        old.seen = Some(Moment(NOW.0 - 86_400));
        let [text] = &warned(&old, &new)[..] else {
            panic!("one warning");
        };
        assert!(
            text.contains("nodes still show this one") && text.contains("certs show alpha"),
            "{text}"
        );
        old.seen = Some(Moment(NOW.0 - 8 * 86_400));
        assert!(warned(&old, &new).is_empty());
    }

    #[test]
    fn revoked_certificates_neither_warn_nor_replace() {
        let old = known(Role::Cluster, "alpha", 103, 30);
        let mut new = known(Role::Cluster, "alpha", 110, 20);
        new.state = State::Revoked(Revocation {
            at: NOW,
            reason: Reason::Superseded,
        });
        let [text] = &texts(&[old, new])[..] else {
            panic!("one warning");
        };
        assert!(text.contains("number 103"), "{text}");
    }

    #[test]
    fn an_unset_clock_is_no_reason_to_warn_late() {
        let soon = known(Role::Cluster, "alpha", 103, -300).facts;
        assert!(warning(Role::Cluster, &soon, Moment(0), WARN_DAYS).is_some());
        let far = known(Role::Cluster, "alpha", 103, 300).facts;
        assert!(warning(Role::Cluster, &far, Moment(0), WARN_DAYS).is_none());
    }

    #[test]
    fn names_are_quoted_for_the_shell() {
        for (name, shown) in [
            ("alpha-1_b.c", "alpha-1_b.c"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("-n", "'-n'"),
            ("größe", "'größe'"),
        ] {
            assert_eq!(quoted(name), shown);
        }
    }
}
