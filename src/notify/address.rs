//! Addresses of webhooks.

use super::settings::Hidden;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::Uri;
use percent_encoding::percent_decode_str;
use std::fmt;

/// Where a webhook is. Shown as scheme, host and port; the rest may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    given: Hidden,
    pub(super) is_tls: bool,
    /// Name or IP address, this without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query; begins with a slash.
    path: Hidden,
    /// `user:password`.
    user: Option<Hidden>,
}

/// It is none that we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address must be one line like https://HOST/PATH or http://HOST:PORT/PATH")]
pub(super) struct BadAddress;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none with the scheme `http` or `https` and a host.
    pub(super) fn parse(text: &str) -> Result<Self, BadAddress> {
        let uri: Uri = text.parse().map_err(|_| BadAddress)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadAddress),
        };
        let authority = uri.authority().ok_or(BadAddress)?;
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let usual = if is_tls { 443 } else { 80 };
        let user = authority
            .as_str()
            .rsplit_once('@')
            .map(|(user, _)| user.into());
        // "host:" and "host:99999" have no port either, and are mistakes.
        let is_odd = authority.port_u16().is_none()
            && authority
                .as_str()
                .rsplit(['@', ']'])
                .next()
                .is_some_and(|rest| rest.contains(':'));
        if host.is_empty() || is_odd {
            return Err(BadAddress);
        }
        Ok(Self {
            given: text.into(),
            is_tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .into(),
            user,
        })
    }

    /// The text that it was read from.
    pub(super) fn as_given(&self) -> Hidden {
        self.given.clone()
    }

    /// Path and query: a secret.
    pub(super) fn path(&self) -> &str {
        self.path.reveal()
    }

    /// For the header `Host`.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// For the header `Authorization`, if the address has a user: a secret.
    pub(super) fn basic(&self) -> Option<String> {
        let user: Vec<u8> = percent_decode_str(self.user.as_ref()?.reveal()).collect();
        Some(format!("Basic {}", BASE64_STANDARD.encode(user)))
    }

    /// All of it that nobody may see.
    pub(super) fn secrets(&self) -> Vec<String> {
        let path = self.path();
        let mut all: Vec<&str> = path
            .split(['/', '?', '&', '='])
            .filter(|part| part.len() >= 6)
            .collect();
        if path.len() > 1 {
            all.push(path);
        }
        if let Some(user) = self.user.as_ref().map(Hidden::reveal) {
            all.push(user);
            all.extend(user.split_once(':').map(|(_, password)| password));
        }
        // A receiver may show them as they are meant, and not as they are written.
        let decoded = |text: &&str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut all: Vec<String> = all
            .iter()
            .flat_map(|s| [decoded(s), s.to_string()])
            .collect();
        if let Some(basic) = self.basic() {
            let bare = basic.trim_start_matches("Basic ").trim_end_matches('=');
            all.push(bare.to_owned());
        }
        all
    }
}

/// `https://HOST:PORT`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/***")
    }
}

/// Scheme and host of an address, right or wrong, and not more.
pub(super) fn place(text: &str) -> String {
    Address::parse(text).map_or_else(|_| "***".to_owned(), |address| format!("{address:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_found_and_only_the_place_is_shown() {
        for (text, host, port, path, shown) in [
            (
                "https://a.example/x?y=1",
                "a.example",
                443,
                "/x?y=1",
                "https://a.example/***",
            ),
            (
                "http://[::1]:8080",
                "::1",
                8080,
                "/",
                "http://[::1]:8080/***",
            ),
            (
                "http://10.0.0.1/",
                "10.0.0.1",
                80,
                "/",
                "http://10.0.0.1/***",
            ),
            ("https://u:p%40@h:1/z", "h", 1, "/z", "https://h:1/***"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((&*address.host, address.port), (host, port));
            assert_eq!(address.path(), path);
            assert_eq!(format!("{address:?}"), shown);
        }
        let with_user = Address::parse("https://u:p%40@h:1/z").unwrap();
        assert_eq!(with_user.basic().unwrap(), "Basic dTpwQA==");
        let secrets = Address::parse("http://bob:hunter%212@h/a%20longer%20one").unwrap();
        let secrets = secrets.secrets();
        for part in [
            "bob:hunter%212",
            "bob:hunter!2",
            "hunter%212",
            "hunter!2",
            "Ym9iOmh1bnRlciEy",
            "a longer one",
            "/a%20longer%20one",
        ] {
            assert!(
                secrets.iter().any(|secret| secret == part),
                "{part}: {secrets:?}"
            );
        }
        for wrong in [
            "",
            "h",
            "h/x",
            "https:/h",
            "ftp://h/",
            "https://",
            "https://h:99999/",
            "https://h:/",
        ] {
            assert_eq!(Address::parse(wrong), Err(BadAddress), "{wrong}");
        }
    }
}
