//! What new keys and certificates are like: the kind of key and how long they are valid.

use std::fmt;
use std::str::FromStr;

/// The kind of a new key of the arbiter. Existing keys may be of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// ECDSA on P-256: made at once on the smallest machine, and every node takes it
    /// (provisioning spec 3.3).
    #[default]
    P256,
    /// RSA with 2048 bits, as the reference makes them, for very old nodes.
    Rsa2048,
}

impl FromStr for KeyKind {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "p256" | "p-256" => Ok(Self::P256),
            "rsa2048" | "rsa-2048" => Ok(Self::Rsa2048),
            _ => Err(ProfileError::Key(text.to_owned())),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "p256",
            Self::Rsa2048 => "rsa2048",
        })
    }
}

/// How long new certificates are valid, in whole years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Years(u16);

impl Years {
    /// What the reference gives every certificate: 1200 months.
    pub const REFERENCE: Self = Self(100);

    /// Longer than any machine that a certificate is put on, because nodes cannot renew theirs
    /// by themselves.
    pub const DEFAULT: Self = Self(20);

    /// The number of years.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Years {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u16> for Years {
    type Error = ProfileError;

    /// 1 to 100 years.
    fn try_from(years: u16) -> Result<Self, Self::Error> {
        if (1..=Self::REFERENCE.0).contains(&years) {
            Ok(Self(years))
        } else {
            Err(ProfileError::Years(years.to_string()))
        }
    }
}

impl FromStr for Years {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let years: u16 = text
            .parse()
            .map_err(|_| ProfileError::Years(text.to_owned()))?;
        Self::try_from(years)
    }
}

impl fmt::Display for Years {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What new keys and certificates are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    /// The kind of the arbiter's own keys.
    pub key: KeyKind,
    /// How long the server's and the clusters' certificates are valid. The CA's certificate is
    /// valid for [`Years::REFERENCE`] always: nodes cannot be given another one without being
    /// joined again.
    pub valid_for: Years,
}

/// A value that is none of those possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Another kind of key.
    #[error("`{0}` is no kind of key; p256 and rsa2048 are possible")]
    Key(String),
    /// Not a number of years, or too many or few.
    #[error("`{0}` is no number of years from 1 to 100")]
    Years(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_shown() {
        for kind in [KeyKind::P256, KeyKind::Rsa2048] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("ed25519".parse::<KeyKind>().is_err());
        for (text, good) in [
            ("1", true),
            ("100", true),
            ("0", false),
            ("101", false),
            ("-1", false),
        ] {
            assert_eq!(text.parse::<Years>().is_ok(), good, "{text}");
        }
    }
}
