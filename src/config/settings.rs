//! All settings of one arbiter, with their defaults.

use crate::engine::{ClusterPolicy, LostHolder, Rules, SessionPolicy};
use crate::wire::{ClusterName, TlsSupport};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Port of the vote server.
pub const DEFAULT_PORT: u16 = 5403;

/// Address family of the listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv6 that takes IPv4 too, or IPv4 where there is no IPv6.
    #[default]
    Both,
    /// `-4`.
    V4,
    /// `-6`, which excludes IPv4 here, unlike in the reference (protocol spec, D13).
    V6,
}

/// A setting that can't be used. The texts are the reference's where it has one (protocol spec,
/// section 9.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// `-S` names a setting that does not exist.
    #[error("Unknown option '{0}'")]
    Unknown(String),
    /// The value is not one of those allowed.
    #[error("Invalid value '{value}' for option '{name}'")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        value: String,
    },
    /// `-s` with something else than a TLS mode.
    #[error("tls must be one of on, off, req")]
    Tls,
    /// `-p` out of range.
    #[error("host port must be in range 1-65535")]
    Port,
    /// `-c` with something else than a yes or no.
    #[error("client_cert_required should be on/yes/1, off/no/0")]
    ClientCert,
    /// `-m` is not a number.
    #[error("max clients value {0} is invalid")]
    MaxClients(String),
    /// Leases need the repaired rules.
    #[error("vote_leases=on needs rules=safe{}: with rules=reference votes move as in the reference", .0)]
    LeasesNeedSafeRules(String),
}

/// The rules for clusters: one set for all, and exceptions by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

    /// Checks what single settings can't tell.
    ///
    /// # Errors
    /// Leases are asked for together with the reference's rules.
    pub fn check(&self) -> Result<(), SettingError> {
        let named = self
            .named
            .iter()
            .map(|(name, own)| (format!(" (cluster {name:?})"), *own));
        let general = (String::new(), PolicySettings::default());
        for (place, own) in named.chain([general]) {
            let policy = self.resolve(own);
            if policy.vote_leases && policy.rules == Rules::Reference {
                return Err(SettingError::LeasesNeedSafeRules(place));
            }
        }
        Ok(())
    }
}

/// All settings of one arbiter.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Address or host name to listen on, `-l`; all addresses if not set.
    pub listen: Option<String>,
    /// Port, `-p`.
    pub port: u16,
    /// Address family, `-4` and `-6`.
    pub family: Family,
    /// Most connections, `-m`; 0 for no limit.
    pub max_clients: usize,
    /// Everything about single connections.
    pub session: SessionPolicy,
    /// Which rules decide.
    pub policies: ClusterPolicies,
    /// Connections that the kernel holds until they are accepted.
    pub listen_backlog: i32,
    /// Messages that may wait for a client to read them.
    pub max_send_buffers: usize,
    /// Connections that have not introduced themselves, of all (protocol spec, D10).
    pub max_pending: usize,
    /// Directory with the CA and the server's certificate.
    pub identity_dir: PathBuf,
    /// File that keeps a second instance out, with the process id.
    pub lock_file: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Permissions that the control socket does not get.
    pub socket_umask: Option<u32>,
    /// Group that the control socket belongs to, if not the process's.
    pub socket_gid: Option<u32>,
    /// Connections to the control socket that the kernel holds.
    pub socket_backlog: i32,
    /// Connections to the control socket at a time; 0 for no limit.
    pub ipc_max_clients: usize,
    /// Longest command on the control socket, bytes.
    pub ipc_max_receive: usize,
    /// Longest answer on the control socket, bytes.
    pub ipc_max_send: usize,
    /// Directory for what the daemon itself writes down.
    pub data_dir: PathBuf,
    /// Detail in the log, `-d`.
    pub debug: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: None,
            port: DEFAULT_PORT,
            family: Family::Both,
            max_clients: 0,
            session: SessionPolicy::default(),
            policies: ClusterPolicies::default(),
            listen_backlog: 1024,
            max_send_buffers: 32,
            max_pending: 16_384,
            identity_dir: PathBuf::from("/etc/corosync/qnetd/nssdb"),
            lock_file: PathBuf::from("/var/run/corosync-qnetd/corosync-qnetd.pid"),
            socket: PathBuf::from(DEFAULT_SOCKET),
            socket_umask: None,
            socket_gid: None,
            socket_backlog: 10,
            ipc_max_clients: 10,
            ipc_max_receive: 4096,
            ipc_max_send: 10_485_760,
            data_dir: PathBuf::from("/var/lib/qarbiter"),
            debug: false,
        }
    }
}

/// Where the reference has its control socket.
pub const DEFAULT_SOCKET: &str = "/var/run/corosync-qnetd/corosync-qnetd.sock";

/// The control socket of an arbiter that keeps everything in one directory.
pub fn socket_in(state_dir: &Path) -> PathBuf {
    state_dir.join("qarbiter.sock")
}

impl Settings {
    /// Keeps identity, lock and control socket in one directory.
    pub fn use_state_dir(&mut self, dir: &Path) {
        self.identity_dir = dir.to_owned();
        self.data_dir = dir.to_owned();
        self.lock_file = dir.join("qarbiter.pid");
        self.socket = socket_in(dir);
    }

    /// `-s`: `on`, `off`, `req` or `required`, case ignored.
    ///
    /// # Errors
    /// Another word.
    pub fn set_tls(&mut self, value: &str) -> Result<(), SettingError> {
        self.session.tls = match value.to_ascii_lowercase().as_str() {
            "on" => TlsSupport::Supported,
            "off" => TlsSupport::Unsupported,
            "req" | "required" => TlsSupport::Required,
            _ => return Err(SettingError::Tls),
        };
        Ok(())
    }

    /// `-c`: whether a client needs a certificate.
    ///
    /// # Errors
    /// Neither a yes nor a no.
    pub fn set_client_cert(&mut self, value: &str) -> Result<(), SettingError> {
        self.session.client_cert_required = parse_bool(value).ok_or(SettingError::ClientCert)?;
        Ok(())
    }

    /// `-p`: the port.
    ///
    /// # Errors
    /// Not a number from 1 to 65535.
    pub fn set_port(&mut self, value: &str) -> Result<(), SettingError> {
        self.port = value
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(SettingError::Port)?;
        Ok(())
    }

    /// `-m`: the most connections.
    ///
    /// # Errors
    /// Not a number.
    pub fn set_max_clients(&mut self, value: &str) -> Result<(), SettingError> {
        self.max_clients = value
            .parse()
            .map_err(|_| SettingError::MaxClients(value.to_owned()))?;
        Ok(())
    }
}

/// on/yes/1 and off/no/0, case ignored.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "yes" | "1" => Some(true),
        "off" | "no" | "0" => Some(false),
        _ => None,
    }
}
