//! All settings of one arbiter, with their defaults.

use super::policies::ClusterPolicies;
use crate::engine::SessionPolicy;
use crate::http::HttpSettings;
use crate::notify::AlertSettings;
use crate::pki::Profile;
use std::path::{Path, PathBuf};

/// Port of the vote server.
pub const DEFAULT_PORT: u16 = 5403;

/// Where the reference has its control socket.
pub const DEFAULT_SOCKET: &str = "/var/run/corosync-qnetd/corosync-qnetd.sock";

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
    /// Name of the server's certificate in that directory's database.
    pub cert_nickname: String,
    /// What new keys and certificates are like.
    pub profile: Profile,
    /// Days before its end from which on a certificate is warned about; 0 for never.
    pub certificate_warn_days: u32,
    /// Directory for what the daemon itself writes down.
    pub data_dir: PathBuf,
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
    /// What is kept of what happened.
    pub history: HistorySettings,
    /// HTTP.
    pub http: HttpSettings,
    /// Alerts.
    pub alerts: AlertSettings,
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
            cert_nickname: "QNetd Cert".to_owned(),
            profile: Profile::default(),
            certificate_warn_days: 180,
            data_dir: PathBuf::from("/var/lib/qarbiter"),
            lock_file: PathBuf::from("/var/run/corosync-qnetd/corosync-qnetd.pid"),
            socket: PathBuf::from(DEFAULT_SOCKET),
            socket_umask: None,
            socket_gid: None,
            socket_backlog: 10,
            ipc_max_clients: 10,
            ipc_max_receive: 4096,
            ipc_max_send: 10_485_760,
            history: HistorySettings::default(),
            http: HttpSettings::default(),
            alerts: AlertSettings::default(),
            debug: false,
        }
    }
}

/// What is kept of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorySettings {
    /// Bytes that its files may take; with 0 there are none, and a restart forgets it.
    pub max_size: u64,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { max_size: 16 << 20 }
    }
}

/// The control socket of an arbiter that keeps everything in one directory.
pub fn socket_in(state_dir: &Path) -> PathBuf {
    state_dir.join("qarbiter.sock")
}

impl Settings {
    /// Keeps identity, data, lock and control socket in one directory.
    pub fn use_state_dir(&mut self, dir: &Path) {
        self.identity_dir = dir.to_owned();
        self.data_dir = dir.to_owned();
        self.lock_file = dir.join("qarbiter.pid");
        self.socket = socket_in(dir);
    }
}
