//! Bearer tokens: who may read, and who may change something.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// Shortest token, bytes.
const SHORTEST: usize = 16;

/// Longest file of a token, bytes.
const LONGEST: u64 = 4096;

/// A token can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read.
    #[error("can't read the token in {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It can be guessed, or is no token.
    #[error(
        "the token in {path} can't be used: it must be one word of {SHORTEST} to 4096 printable \
         ASCII characters; make one with `openssl rand -hex 32`", path = path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

/// A token. It is never shown.
struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(withheld)")
    }
}

/// The tokens that are asked for.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    read: Option<Token>,
    admin: Option<Token>,
}

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing that needs a token.
    None,
    /// Look at everything.
    Read,
    /// Change something, too.
    Admin,
}

impl Tokens {
    /// Reads the tokens from their files.
    ///
    /// # Errors
    /// A file can't be read, or what is in it can't be used.
    pub(super) fn read(read: Option<&Path>, admin: Option<&Path>) -> Result<Self, TokenError> {
        Ok(Self {
            read: read.map(load).transpose()?,
            admin: admin.map(load).transpose()?,
        })
    }

    /// Whether there is a token for reading.
    pub(super) fn guards_reading(&self) -> bool {
        self.read.is_some()
    }

    /// Whether there is a token for changes.
    pub(super) fn allows_changes(&self) -> bool {
        self.admin.is_some()
    }

    /// What the value of an Authorization header opens.
    pub(super) fn access(&self, authorization: Option<&[u8]>) -> Access {
        let shown = authorization.and_then(bearer).unwrap_or_default();
        // Both are compared, always: time tells nothing about them but their length.
        let is = |token: &Option<Token>| {
            let token = token.as_ref().map_or(&[][..], |token| &token.0);
            bool::from(token.ct_eq(shown)) && !token.is_empty()
        };
        let (is_read, is_admin) = (is(&self.read), is(&self.admin));
        match (is_admin, is_read || self.read.is_none()) {
            (true, _) => Access::Admin,
            (false, true) => Access::Read,
            (false, false) => Access::None,
        }
    }
}

/// The token in `Bearer TOKEN` (RFC 6750, 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn load(path: &Path) -> Result<Token, TokenError> {
    let unreadable = |error| TokenError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST + 1), &mut text).map_err(unreadable)?;
    let is_long = text.len() as u64 > LONGEST;
    let token = text.trim_ascii();
    if is_long || token.len() < SHORTEST || !token.iter().all(u8::is_ascii_graphic) {
        let path = path.to_owned();
        return Err(TokenError::Unusable { path });
    }
    Ok(Token(token.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "0123456789abcdef";
    const ADMIN: &str = "fedcba9876543210";

    fn tokens(read: bool, admin: bool) -> Tokens {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, token: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("{token}\n")).unwrap();
            path
        };
        let read = read.then(|| file("read", READ));
        let admin = admin.then(|| file("admin", ADMIN));
        Tokens::read(read.as_deref(), admin.as_deref()).unwrap()
    }

    #[test]
    fn tokens_open_what_they_are_for() {
        let both = tokens(true, true);
        let access = |value: &str| both.access(Some(value.as_bytes()));
        assert_eq!(access(&format!("Bearer {READ}")), Access::Read);
        assert_eq!(access(&format!("bearer {ADMIN}")), Access::Admin);
        for wrong in [
            "Bearer ",
            "Bearer",
            "",
            "Basic x",
            "Bearer 0123456789abcdeX",
            READ,
        ] {
            assert_eq!(access(wrong), Access::None, "{wrong}");
        }
        assert_eq!(both.access(None), Access::None);
        assert_eq!(tokens(false, true).access(None), Access::Read);
        let none = Tokens::default();
        assert_eq!(none.access(Some(b"Bearer ")), Access::Read);
        let only_read = tokens(true, false);
        assert_eq!(only_read.access(Some(b"Bearer ")), Access::None);
    }

    #[test]
    fn weak_tokens_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for weak in ["", "short", "has a blank in it xx", &"x".repeat(5000)] {
            std::fs::write(&path, weak).unwrap();
            assert!(Tokens::read(Some(&path), None).is_err(), "{weak}");
        }
        assert!(Tokens::read(Some(&dir.path().join("none")), None).is_err());
        assert!(!format!("{:?}", tokens(true, true)).contains(READ));
    }
}
