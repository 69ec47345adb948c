//! The table of all settings: every key with its section, what it may be, what it does, when a
//! change takes effect, and where in [`Settings`] it is. File, environment, `-S`, `config show`,
//! the example file and the check of the documentation all work from this table alone.

use super::policies::PolicySettings;
use super::settings::Settings;
use super::value::{Field, Kind, Refused, Value, group, umask};
use crate::wire::ClusterName;

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// When the settings are loaded again: for what comes after it, such as new connections.
    AtOnce,
    /// When the arbiter is started again.
    Restart,
}

type Get<T> = fn(&T) -> Option<Value>;
type Set<T> = fn(&mut T, Option<&Value>) -> Result<(), Refused>;

/// Where a setting is.
#[derive(Clone, Copy)]
enum Access {
    Arbiter(Get<Settings>, Set<Settings>),
    /// Also possible for single clusters.
    Policy(Get<PolicySettings>, Set<PolicySettings>),
}

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) effect: Effect,
    pub(crate) doc: &'static str,
    /// The name for `-S`, if it has one there.
    pub(crate) advanced: Option<&'static str>,
    /// What it means that there is no value, if that can be.
    pub(crate) unset: Option<&'static str>,
    access: Access,
}

impl Key {
    const fn new(
        section: &'static str,
        name: &'static str,
        kind: Kind,
        effect: Effect,
        doc: &'static str,
        access: Access,
    ) -> Self {
        Self {
            section,
            name,
            kind,
            effect,
            doc,
            advanced: None,
            unset: None,
            access,
        }
    }

    const fn advanced(mut self, name: &'static str) -> Self {
        self.advanced = Some(name);
        self
    }

    const fn unset(mut self, meaning: &'static str) -> Self {
        self.unset = Some(meaning);
        self
    }

    /// Section and name, as errors name it.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("QARBITER_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Whether single clusters can have it.
    pub(crate) fn is_for_clusters(&self) -> bool {
        matches!(self.access, Access::Policy(..))
    }

    /// The value in these settings, for one cluster or in general.
    pub(crate) fn get(&self, settings: &Settings, cluster: Option<&ClusterName>) -> Option<Value> {
        match self.access {
            Access::Arbiter(get, _) => get(settings),
            Access::Policy(get, _) => get(&settings.policies.given(cluster)),
        }
    }

    /// Sets the value, for one cluster or in general.
    ///
    /// # Errors
    /// It is not one that this setting can have.
    pub(crate) fn set(
        &self,
        settings: &mut Settings,
        cluster: Option<&ClusterName>,
        value: Option<&Value>,
    ) -> Result<(), Refused> {
        match value {
            Some(value) => self.kind.check(value)?,
            None if self.unset.is_some() => {}
            None => return Err(Refused),
        }
        match self.access {
            Access::Arbiter(_, set) => set(settings, value),
            Access::Policy(_, set) => set(settings.policies.entry(cluster), value),
        }
    }

    /// Whether this setting can have the value.
    ///
    /// # Errors
    /// It can't.
    pub(crate) fn check(&self, value: Option<&Value>) -> Result<(), Refused> {
        self.set(&mut Settings::default(), None, value)
    }

    /// What it is unless something else is said.
    pub(crate) fn default(&self) -> Option<Value> {
        self.get(&Settings::default(), None)
    }
}

/// Two keys are the same if they have the same name.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.section, self.name) == (other.section, other.name)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

/// A field of the settings.
macro_rules! field {
    ($($field:ident).+) => {
        Access::Arbiter(
            |settings| settings.$($field).+.show(),
            |settings, value| settings.$($field).+.put(value),
        )
    };
}

/// A field of the settings of clusters.
macro_rules! policy {
    ($field:ident) => {
        Access::Policy(
            |policy| policy.$field.show(),
            |policy, value| policy.$field.put(value),
        )
    };
}

const INFO: &str = "info";

/// The log level of `-d`.
pub(super) const DEBUG: &str = "debug";

const I32_MAX: i64 = i32::MAX as i64;
const U32_MAX: i64 = u32::MAX as i64;
const MAX_MS: i64 = 600_000;

const fn count(min: i64) -> Kind {
    Kind::Count { min, max: I32_MAX }
}

const fn whole(min: i64, max: i64) -> Kind {
    Kind::Whole { min, max }
}

use Effect::{AtOnce, Restart};
use Kind::{Boolean, Directory, File, Group, Number, Socket, Text, Umask, Webhooks, Word};

/// The sections in the order in which they are shown, each with what it is about.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("listen", "Where nodes connect."),
    ("tls", "How nodes prove who they are."),
    (
        "identity",
        "The arbiter's own certificates, in the format of corosync-qnetd.",
    ),
    ("certificates", "The life of certificates."),
    (
        "votes",
        "Which rules decide. For one cluster by itself: [cluster.\"NAME\"] with the same keys.",
    ),
    ("limits", "What connections may take."),
    (
        "control",
        "The local socket of `qarbiter status` and `corosync-qnetd-tool`.",
    ),
    (
        "http",
        "Metrics, health and the state of clusters, for programs and browsers.",
    ),
    (
        "alerts",
        "Who is told when something happens, see docs/ALERTS.md.",
    ),
    (
        "history",
        "What is kept of what happened, for `qarbiter events` and over HTTP.",
    ),
    ("paths", "Files of the daemon."),
    ("log", "The log."),
];

/// Section of the settings of single clusters: `[cluster."NAME"]`.
pub(crate) const CLUSTER_SECTION: &str = "cluster";

/// Every setting, in the order in which they are shown.
// A table: one line for each thing said about a setting is easier to compare than one for each word.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    Key::new("listen", "address", Text("an address or host name"), Restart,
        "Address or host name to listen on.", field!(listen))
        .unset("all addresses"),
    Key::new("listen", "port", whole(1, 65_535), Restart, "TCP port.", field!(port)),
    Key::new("listen", "family", Word(&["both", "ipv4", "ipv6"]), Restart,
        "Which addresses: IPv6 and IPv4, or only one of them.", field!(family)),
    Key::new("listen", "max_clients", count(0), AtOnce,
        "Most connections; 0 for no limit.", field!(max_clients)),
    Key::new("listen", "backlog", whole(1, I32_MAX), Restart,
        "Connections that the kernel holds until they are accepted.", field!(listen_backlog))
        .advanced("listen_backlog"),
    Key::new("tls", "mode", Word(&["required", "on", "off"]), AtOnce,
        "Whether nodes must, may or can't use TLS. Without it anybody can vote.",
        field!(session.tls)),
    Key::new("tls", "client_certificates", Boolean, AtOnce,
        "Whether a node needs a certificate for its cluster.",
        field!(session.client_cert_required)),
    Key::new("identity", "directory", Directory, Restart,
        "Directory with the CA and the server's certificate.", field!(identity_dir))
        .advanced("nss_db_dir"),
    Key::new("identity", "cert_nickname", Text("a name"), AtOnce,
        "Name of the server's certificate in that directory's database.", field!(cert_nickname))
        .advanced("cert_nickname"),
    Key::new("identity", "key_type", Word(&["p256", "rsa2048"]), AtOnce,
        "Kind of a new CA's and a new server's key. rsa2048 is for very old nodes.",
        field!(profile.key)),
    Key::new("identity", "valid_for_years", whole(1, 100), AtOnce,
        "How long new server and cluster certificates are valid.", field!(profile.valid_for)),
    Key::new("certificates", "warn_days", whole(0, 36_500), AtOnce,
        "Days before its end from which on a certificate is warned about; 0 for never.",
        field!(certificate_warn_days)),
    Key::new("votes", "rules", Word(&["safe", "reference"]), AtOnce,
        "The repaired decisions, or exactly those of corosync-qnetd.", policy!(rules))
        .advanced("rules"),
    Key::new("votes", "vote_leases", Boolean, AtOnce,
        "Whether the vote of a node that was silently lost is withheld until it must have expired.",
        policy!(vote_leases))
        .advanced("vote_leases").unset("true with the safe rules, false with those of the reference"),
    Key::new("votes", "lost_holder", Word(&["timed", "manual"]), AtOnce,
        "With lms and 2nodelms: whether such a vote expires, or an operator must release it.",
        policy!(lost_holder))
        .advanced("lost_holder"),
    Key::new("votes", "keep_active_partition_tie_breaker", Boolean, AtOnce,
        "In an exact tie, prefer the partition that was active before, for nodes that don't say.",
        field!(session.keep_active))
        .advanced("keep_active_partition_tie_breaker"),
    Key::new("limits", "max_pending_clients", whole(1, I32_MAX), AtOnce,
        "Connections that have not introduced themselves, at a time.", field!(max_pending))
        .advanced("max_pending_clients"),
    Key::new("limits", "init_timeout", whole(1000, MAX_MS), AtOnce,
        "How long such a connection may live, milliseconds.", field!(session.init_deadline))
        .advanced("init_timeout"),
    Key::new("limits", "max_client_send_buffers", count(2), AtOnce,
        "Messages that may wait for a node to read them.", field!(max_send_buffers))
        .advanced("max_client_send_buffers"),
    Key::new("limits", "max_client_send_size", count(16), AtOnce,
        "Longest message to a node, bytes.", field!(session.max_send))
        .advanced("max_client_send_size"),
    Key::new("limits", "max_client_receive_size", count(16), AtOnce,
        "Longest message from a node, bytes.", field!(session.max_receive))
        .advanced("max_client_receive_size"),
    Key::new("limits", "heartbeat_interval_min", whole(1, U32_MAX), AtOnce,
        "Smallest heartbeat interval that a node may ask for, milliseconds.",
        field!(session.heartbeat_min_ms))
        .advanced("heartbeat_interval_min"),
    Key::new("limits", "heartbeat_interval_max", whole(1, U32_MAX), AtOnce,
        "Largest heartbeat interval that a node may ask for, milliseconds.",
        field!(session.heartbeat_max_ms))
        .advanced("heartbeat_interval_max"),
    // The order of these two matters: without detection there is no coefficient.
    Key::new("limits", "dpd_interval_coefficient", Number { min: 1.0, max: 1000.0 }, AtOnce,
        "A node is given up after so many heartbeat intervals of silence.",
        Access::Arbiter(
            |settings| settings.session.dpd_coefficient.map(Value::Number),
            |settings, value| match value {
                Some(Value::Number(coefficient)) => {
                    settings.session.dpd_coefficient = Some(*coefficient);
                    Ok(())
                }
                _ => Err(Refused),
            },
        ))
        .advanced("dpd_interval_coefficient"),
    Key::new("limits", "dpd_enabled", Boolean, AtOnce,
        "Whether a silent node is given up at all.",
        Access::Arbiter(
            |settings| Some(Value::Boolean(settings.session.dpd_coefficient.is_some())),
            |settings, value| {
                let mut enabled = true;
                enabled.put(value)?;
                if !enabled {
                    settings.session.dpd_coefficient = None;
                }
                Ok(())
            },
        ))
        .advanced("dpd_enabled"),
    Key::new("control", "socket", Socket, Restart, "Path of the socket.", field!(socket))
        .advanced("local_socket_file"),
    Key::new("control", "umask", Umask, Restart,
        "Permissions that the socket does not get, octal.",
        Access::Arbiter(
            |settings| settings.socket_umask.map(|mask| Value::Text(format!("{mask:03o}"))),
            |settings, value| {
                settings.socket_umask = umask(value)?;
                Ok(())
            },
        ))
        .advanced("local_socket_umask").unset("that of the process"),
    Key::new("control", "group", Group, Restart,
        "Group that the socket belongs to, by name or number.",
        Access::Arbiter(
            |settings| settings.socket_gid.map(|id| Value::Text(id.to_string())),
            |settings, value| {
                settings.socket_gid = group(value)?;
                Ok(())
            },
        ))
        .advanced("local_socket_gid").unset("that of the process"),
    Key::new("control", "backlog", whole(1, I32_MAX), Restart,
        "Connections to the socket that the kernel holds.", field!(socket_backlog))
        .advanced("local_socket_backlog"),
    Key::new("control", "max_clients", count(0), AtOnce,
        "Connections to the socket at a time; 0 for no limit.", field!(ipc_max_clients))
        .advanced("ipc_max_clients"),
    Key::new("control", "max_receive_size", count(1024), AtOnce,
        "Longest command, bytes.", field!(ipc_max_receive))
        .advanced("ipc_max_receive_size"),
    Key::new("control", "max_send_size", count(1024), AtOnce,
        "Longest answer, bytes.", field!(ipc_max_send))
        .advanced("ipc_max_send_size"),
    Key::new("http", "address", Text("an IP address with a port, such as \"127.0.0.1:8403\", or \"off\""), Restart,
        "Where HTTP is answered, or \"off\". Set tokens or a firewall before others can reach it.",
        field!(http.listen)),
    Key::new("http", "certificate", File, AtOnce,
        "Certificate chain for HTTPS (PEM).", field!(http.certificate))
        .unset("HTTP in clear text"),
    Key::new("http", "key", File, AtOnce,
        "Key of that certificate (PEM).", field!(http.key))
        .unset("HTTP in clear text"),
    Key::new("http", "read_token_file", File, AtOnce,
        "File with the bearer token that reading needs.", field!(http.read_token))
        .unset("anybody who reaches the address may read"),
    Key::new("http", "admin_token_file", File, AtOnce,
        "File with the bearer token that changes need.", field!(http.admin_token))
        .unset("nothing can be changed over HTTP"),
    Key::new("http", "max_connections", whole(1, 65_535), Restart,
        "Connections at a time, of which one address gets a quarter.", field!(http.max_connections)),
    Key::new("alerts", "webhooks", Webhooks, AtOnce,
        "Where alerts are sent; formats are json, slack, ntfy and alertmanager.",
        field!(alerts.webhooks))
        .unset("alerts are not sent anywhere"),
    Key::new("alerts", "exec", File, AtOnce,
        "Program that is run for each alert.", field!(alerts.exec))
        .unset("no program is run"),
    Key::new("alerts", "exec_timeout", whole(100, MAX_MS), AtOnce,
        "How long it may run, milliseconds.", field!(alerts.exec_timeout)),
    Key::new("alerts", "exec_at_once", whole(1, 64), AtOnce,
        "How many of it may run at a time; with 1 alerts keep their order.",
        field!(alerts.exec_at_once)),
    Key::new("alerts", "name", Text("a name"), AtOnce,
        "What this arbiter is called in alerts.", field!(alerts.name))
        .unset("the name of the machine"),
    Key::new("alerts", "absent_minutes", whole(0, 43_200), AtOnce,
        "Minutes without a node after which that is an alert of its own; 0 for never.",
        field!(alerts.absent_minutes)),
    Key::new("alerts", "settle", whole(0, MAX_MS), AtOnce,
        "How long a change must last before it is told, milliseconds.", field!(alerts.settle)),
    Key::new("history", "max_size", whole(0, 256), Restart,
        "Most that it takes on disk, MiB, and three quarters of it in memory; 0 to forget it in a restart.",
        Access::Arbiter(
            |settings| i64::try_from(settings.history.max_size >> 20).ok().map(Value::Whole),
            |settings, value| match value {
                Some(Value::Whole(mib)) => {
                    settings.history.max_size = u64::try_from(*mib).map_err(|_| Refused)? << 20;
                    Ok(())
                }
                _ => Err(Refused),
            },
        )),
    Key::new("paths", "data_dir", Directory, Restart,
        "Directory for what the daemon itself writes down.", field!(data_dir)),
    Key::new("paths", "lock_file", File, Restart,
        "File that keeps a second instance out, with the process id.", field!(lock_file))
        .advanced("lock_file"),
    Key::new("log", "level", Word(&[INFO, DEBUG]), AtOnce,
        "How much is logged; debug has every message.",
        Access::Arbiter(
            |settings| Some(Value::Text(if settings.debug { DEBUG } else { INFO }.to_owned())),
            |settings, value| {
                settings.debug = match value {
                    Some(Value::Text(level)) if level.eq_ignore_ascii_case(DEBUG) => true,
                    Some(Value::Text(level)) if level.eq_ignore_ascii_case(INFO) => false,
                    _ => return Err(Refused),
                };
                Ok(())
            },
        )),
];

/// The key with this section and name.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
}

/// The key with this name for `-S`; case is ignored.
pub(crate) fn find_advanced(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| {
        key.advanced
            .is_some_and(|own| own.eq_ignore_ascii_case(name))
    })
}
