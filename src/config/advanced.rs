//! The advanced settings, `-S name=value[,name=value]` (protocol spec, section 9.2), and our own
//! in the same form.
//!
//! Our own may name a cluster in brackets: `rules[site-berlin]=reference`.

use super::settings::{SettingError, Settings, parse_bool};
use crate::engine::{LostHolder, Rules};
use crate::wire::ClusterName;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Longest path of a unix socket, bytes without the terminator.
const MAX_SOCKET_PATH: usize = 107;

const I32_MAX: i64 = i32::MAX as i64;

/// Applies one `-S` argument. Returns warnings for the operator.
///
/// # Errors
/// The first pair that can't be used.
pub fn apply(settings: &mut Settings, argument: &str) -> Result<Vec<String>, SettingError> {
    let mut warnings = Vec::new();
    for pair in argument.split(',') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // The reference ends at the first empty name.
        if name.is_empty() {
            break;
        }
        warnings.extend(apply_one(settings, name, value)?);
    }
    Ok(warnings)
}

fn apply_one(
    settings: &mut Settings,
    name: &str,
    value: &str,
) -> Result<Option<String>, SettingError> {
    let pair = Pair { name, value };
    let (base, cluster) = match name
        .split_once('[')
        .and_then(|(base, rest)| rest.strip_suffix(']').map(|cluster| (base, cluster)))
    {
        Some((base, cluster)) => (base, Some(ClusterName::new(cluster.as_bytes()))),
        None => (name, None),
    };
    let session = &mut settings.session;
    match (base.to_ascii_lowercase().as_str(), &cluster) {
        ("rules", cluster) => {
            let rules = match value.to_ascii_lowercase().as_str() {
                "reference" => Rules::Reference,
                "safe" => Rules::Safe,
                _ => return Err(pair.invalid()),
            };
            settings.policies.entry(cluster.as_ref()).rules = Some(rules);
        }
        ("vote_leases", cluster) => {
            let on = pair.boolean()?;
            settings.policies.entry(cluster.as_ref()).vote_leases = Some(on);
        }
        ("lost_holder", cluster) => {
            let policy = match value.to_ascii_lowercase().as_str() {
                "timed" => LostHolder::Timed,
                "manual" => LostHolder::Manual,
                _ => return Err(pair.invalid()),
            };
            settings.policies.entry(cluster.as_ref()).lost_holder = Some(policy);
        }
        (_, Some(_)) => return Err(SettingError::Unknown(name.to_owned())),
        ("listen_backlog", None) => settings.listen_backlog = pair.integer(1..=I32_MAX)?,
        ("max_client_send_buffers", None) => {
            settings.max_send_buffers = pair.integer(2..=I32_MAX)?;
        }
        ("max_client_send_size", None) => session.max_send = pair.integer(16..=I32_MAX)?,
        ("max_client_receive_size", None) => session.max_receive = pair.integer(16..=I32_MAX)?,
        ("nss_db_dir", None) => settings.identity_dir = value.into(),
        ("cert_nickname", None) => {
            let text = "Option 'cert_nickname' has no effect: there is one server certificate";
            return Ok((value != "QNetd Cert").then(|| text.to_owned()));
        }
        ("heartbeat_interval_min", None) => {
            session.heartbeat_min_ms = pair.integer(1..=i64::from(u32::MAX))?;
        }
        ("heartbeat_interval_max", None) => {
            session.heartbeat_max_ms = pair.integer(1..=i64::from(u32::MAX))?;
        }
        ("dpd_enabled", None) => {
            session.dpd_coefficient = match (pair.boolean()?, session.dpd_coefficient) {
                (false, _) => None,
                (true, Some(coefficient)) => Some(coefficient),
                (true, None) => Some(1.5),
            };
        }
        ("dpd_interval", None) => {
            let text = "Option 'dpd_interval' is deprecated and has no effect anymore";
            return Ok(Some(text.to_owned()));
        }
        ("dpd_interval_coefficient", None) => {
            let number = value
                .parse::<f64>()
                .ok()
                .filter(|n| (1.0..=1000.0).contains(n));
            let coefficient = number.ok_or_else(|| pair.invalid())?;
            if session.dpd_coefficient.is_some() {
                session.dpd_coefficient = Some(coefficient);
            }
        }
        ("lock_file", None) => settings.lock_file = value.into(),
        ("local_socket_file", None) => {
            if value.len() > MAX_SOCKET_PATH {
                return Err(pair.invalid());
            }
            settings.socket = value.into();
        }
        ("local_socket_umask", None) => {
            settings.socket_umask = match value {
                "" => None,
                _ => {
                    let mask = u32::from_str_radix(value, 8)
                        .ok()
                        .filter(|mask| *mask <= 0o777);
                    Some(mask.ok_or_else(|| pair.invalid())?)
                }
            };
        }
        ("local_socket_gid", None) => {
            settings.socket_gid = match value {
                "" | "-1" => None,
                _ => Some(group_id(value).ok_or_else(|| pair.invalid())?),
            };
        }
        ("local_socket_backlog", None) => settings.socket_backlog = pair.integer(1..=I32_MAX)?,
        ("ipc_max_clients", None) => settings.ipc_max_clients = pair.integer(0..=I32_MAX)?,
        ("ipc_max_receive_size", None) => {
            settings.ipc_max_receive = pair.integer(1024..=I32_MAX)?;
        }
        ("ipc_max_send_size", None) => settings.ipc_max_send = pair.integer(1024..=I32_MAX)?,
        ("keep_active_partition_tie_breaker", None) => session.keep_active = pair.boolean()?,
        ("max_pending_clients", None) => settings.max_pending = pair.integer(1..=I32_MAX)?,
        ("init_timeout", None) => {
            let ms: u32 = pair.integer(1000..=600_000)?;
            session.init_deadline = Duration::from_millis(u64::from(ms));
        }
        _ => return Err(SettingError::Unknown(name.to_owned())),
    }
    Ok(None)
}

/// The id of a group, by number or by its name in `/etc/group` (group(5)).
fn group_id(group: &str) -> Option<u32> {
    if let Ok(id) = group.parse() {
        return Some(id);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let is_it = fields.next() == Some(group);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

impl Pair<'_> {
    fn invalid(&self) -> SettingError {
        SettingError::Value {
            name: self.name.to_owned(),
            value: self.value.to_owned(),
        }
    }

    fn boolean(&self) -> Result<bool, SettingError> {
        parse_bool(self.value).ok_or_else(|| self.invalid())
    }

    fn integer<T: TryFrom<i64>>(&self, allowed: RangeInclusive<i64>) -> Result<T, SettingError> {
        i64::from_str(self.value)
            .ok()
            .filter(|number| allowed.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ClusterPolicy;

    fn set(argument: &str) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        apply(&mut settings, argument).map(|_| settings)
    }

    #[test]
    fn values_have_the_bounds_of_the_reference() {
        let good = [
            "listen_backlog=1",
            "max_client_send_buffers=2",
            "max_client_send_size=16",
            "max_client_receive_size=16",
            "heartbeat_interval_min=1",
            "heartbeat_interval_max=4294967295",
            "dpd_enabled=No",
            "dpd_interval_coefficient=1000",
            "local_socket_umask=777",
            "local_socket_gid=root",
            "local_socket_gid=-1",
            "local_socket_gid=7",
            "local_socket_umask=",
            "ipc_max_clients=0",
            "ipc_max_receive_size=1024",
            "ipc_max_send_size=1024",
            "LISTEN_BACKLOG=7",
            "keep_active_partition_tie_breaker=yes",
            "dpd_interval=5",
            "",
            "a=1,",
        ];
        for argument in good.iter().filter(|argument| !argument.starts_with("a=")) {
            assert!(set(argument).is_ok(), "{argument}: {:?}", set(argument));
        }
        let bad = [
            "listen_backlog=0",
            "max_client_send_buffers=1",
            "max_client_send_size=15",
            "heartbeat_interval_min=0",
            "heartbeat_interval_max=4294967296",
            "dpd_interval_coefficient=0.9",
            "dpd_interval_coefficient=1000.5",
            "dpd_interval_coefficient=nan",
            "local_socket_umask=778",
            "ipc_max_receive_size=1023",
            "listen_backlog=1x",
            "listen_backlog= 1",
            "dpd_enabled=maybe",
            "rules=fast",
        ];
        for argument in bad {
            assert!(
                matches!(set(argument), Err(SettingError::Value { .. })),
                "{argument}"
            );
        }
        assert_eq!(set("a=1"), Err(SettingError::Unknown("a".into())));
        assert_eq!(
            set("port[x]=1"),
            Err(SettingError::Unknown("port[x]".into()))
        );
        let long = format!("local_socket_file={}", "x".repeat(108));
        assert!(set(&long).is_err());
    }

    #[test]
    fn an_empty_name_ends_the_list() {
        let settings = set("listen_backlog=7,,listen_backlog=9").unwrap();
        assert_eq!(settings.listen_backlog, 7);
    }

    #[test]
    fn rules_by_cluster() {
        let settings = set("rules[old]=reference,lost_holder=manual,vote_leases[x]=off").unwrap();
        let policy = |name: &str| settings.policies.policy(&ClusterName::new(name.as_bytes()));
        let manual = ClusterPolicy {
            lost_holder: LostHolder::Manual,
            ..ClusterPolicy::SAFE
        };
        assert_eq!(policy("new"), manual);
        assert!(!policy("x").vote_leases);
        assert_eq!(policy("old").rules, Rules::Reference);
        assert!(!policy("old").vote_leases);
        assert!(settings.policies.check().is_ok());
        let wrong = set("rules=reference,vote_leases=on").unwrap();
        assert!(wrong.policies.check().is_err());
        let wrong = set("rules[a]=reference,vote_leases[a]=on").unwrap();
        assert!(wrong.policies.check().is_err());
    }
}
