//! What an operator can set about HTTP.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Where HTTP answers unless told otherwise: on this machine only.
pub const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8403));

/// Settings of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen; not at all if not set.
    pub listen: Option<SocketAddr>,
    /// Certificate chain and key for HTTPS, PEM files; HTTP in clear text if not set.
    pub tls: Option<HttpsFiles>,
    /// File with the token that reading needs; anybody may read if not set.
    pub read_token: Option<PathBuf>,
    /// File with the token that changes need; nobody may change anything over HTTP if not set.
    pub admin_token: Option<PathBuf>,
    /// Connections at a time, 1 or more. One address gets a quarter of them.
    pub max_connections: usize,
}

/// The files for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsFiles {
    /// The server's certificate, and those that browsers need to reach its CA.
    pub certificate: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: Some(DEFAULT_ADDRESS),
            tls: None,
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
            listen: None,
            ..Self::default()
        }
    }
}
