//! Names of clusters that may have a certificate.

use std::fmt;

use thiserror::Error;

use super::ca::{CA_NAME, SERVER_NAME};

/// The name of a cluster, fit to be the common name of a certificate and a part of a file name.
///
/// A value of this type is 1 to [`ClusterName::MAX_BYTES`] bytes of UTF-8 without control
/// characters and `/`, does not start with a dot, and is not one of the names that the arbiter's
/// own certificates bear.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(String);

/// Why a name is refused. The text is for the person who typed the name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No character at all.
    #[error("a cluster name cannot be empty")]
    Empty,
    /// The certificate's file name would exceed what file systems take.
    #[error(
        "the cluster name is {bytes} bytes long, at most {max} are possible",
        max = ClusterName::MAX_BYTES
    )]
    TooLong {
        /// Length of the refused name.
        bytes: usize,
    },
    /// A character that could lead out of the directory or garble a terminal.
    #[error(
        "the cluster name contains the character {character:?}; \
         `/` and control characters cannot be used, because the name becomes part of a file name"
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// A name such as `..` or a hidden file's.
    #[error("a cluster name cannot start with a dot")]
    LeadingDot,
    /// A certificate with this name could be mistaken for the arbiter's own.
    #[error(
        "`{name}` is the name in the arbiter's own certificates; \
         a cluster of that name could pretend to be the arbiter"
    )]
    Reserved {
        /// The refused name, as typed.
        name: String,
    },
}

impl ClusterName {
    /// What remains of the 255 bytes of a file name after `cluster-` and `.crt`.
    pub const MAX_BYTES: usize = 255 - "cluster-".len() - ".crt".len();

    /// Checks a name.
    ///
    /// # Errors
    /// The first rule of [`NameError`] that the name breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong { bytes: name.len() });
        }
        if let Some(character) = name.chars().find(|&c| c == '/' || c.is_control()) {
            return Err(NameError::Character { character });
        }
        if name.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        // Nodes compare the server's name without regard to case (provisioning spec 3.2).
        if [CA_NAME, SERVER_NAME]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
        {
            return Err(NameError::Reserved {
                name: name.to_owned(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass_unchanged() {
        let longest = "a".repeat(ClusterName::MAX_BYTES);
        for name in [
            "a",
            "Cluster 1",
            "x_y-z.example",
            "größe",
            "-n",
            "a..b",
            &longest,
        ] {
            assert_eq!(ClusterName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        assert_eq!(ClusterName::new(""), Err(NameError::Empty));
        for (name, character) in [
            ("/", '/'),
            ("../x", '/'),
            ("a/b", '/'),
            ("a\0b", '\0'),
            ("a\nb", '\n'),
            ("\u{9b}31m", '\u{9b}'),
        ] {
            assert_eq!(
                ClusterName::new(name),
                Err(NameError::Character { character }),
                "{name:?}"
            );
        }
        for name in [".", "..", ".hidden"] {
            assert_eq!(ClusterName::new(name), Err(NameError::LeadingDot));
        }
        let long = "a".repeat(ClusterName::MAX_BYTES + 1);
        assert_eq!(
            ClusterName::new(&long),
            Err(NameError::TooLong { bytes: 244 })
        );
    }

    #[test]
    fn the_names_of_the_arbiter_are_refused_in_any_case() {
        for name in ["Qnetd Server", "qnetd server", "QNet CA", "QNET CA"] {
            assert!(matches!(
                ClusterName::new(name),
                Err(NameError::Reserved { .. })
            ));
        }
    }
}
