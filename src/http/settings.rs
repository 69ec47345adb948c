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

    /// What the operator should know about who can read, if others than this machine can.
    pub fn warning(&self) -> Option<&'static str> {
        let HttpAddress::At(address) = self.listen else {
            return None;
        };
        if address.ip().is_loopback() {
            return None;
        }
        match (&self.read_token, &self.certificate) {
            (None, _) => Some(
                "HTTP: whoever reaches the address can read the state of all clusters; set \
                 http.read_token_file, or let a firewall decide who reaches it",
            ),
            (Some(_), None) => Some(
                "HTTP: tokens travel in clear text; set http.certificate and http.key, or put \
                 something in front that does HTTPS",
            ),
            (Some(_), Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_read_is_said() {
        let at = |address: &str, token: bool, certificate: bool| HttpSettings {
            listen: HttpAddress::At(address.parse().unwrap()),
            read_token: token.then(PathBuf::new),
            certificate: certificate.then(PathBuf::new),
            ..HttpSettings::default()
        };
        let said = |settings: HttpSettings| settings.warning().map(|text| text.contains("clear"));
        assert_eq!(said(at("127.0.0.1:1", false, false)), None);
        assert_eq!(said(at("[::1]:1", false, false)), None);
        assert_eq!(said(at("0.0.0.0:1", false, true)), Some(false));
        assert_eq!(said(at("[::]:1", true, false)), Some(true));
        assert_eq!(said(at("192.0.2.1:1", true, true)), None);
        assert_eq!(said(HttpSettings::off()), None);
    }
}
