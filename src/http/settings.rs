//! What an operator can set about HTTP.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Where HTTP answers unless told otherwise: on this machine only.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8403));

/// Where HTTP answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAddress {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// Settings of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen.
    pub listen: HttpAddress,
    /// The certificate for HTTPS, and those that clients need to reach its CA: a PEM file. HTTP in
    /// clear text if not set.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, a PEM file.
    pub key: Option<PathBuf>,
    /// File with the token that reading needs; anybody may read if not set.
    pub read_token: Option<PathBuf>,
    /// File with the token that changes need; nobody may change anything over HTTP if not set.
    pub admin_token: Option<PathBuf>,
    /// Connections at a time, 1 or more. One address gets a quarter of them.
    pub max_connections: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: HttpAddress::At(DEFAULT_ADDRESS),
            certificate: None,
            key: None,
            read_token: None,
            admin_token: None,
            max_connections: 256,
        }
    }
}

impl HttpSettings {
    /// No HTTP.
    #[must_use]
    pub fn off() -> Self {
        Self {
            listen: HttpAddress::Off,
            ..Self::default()
        }
    }
}
