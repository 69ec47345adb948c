//! Bearer tokens: who may read, and who may change something.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
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
    /// One token for both, so that whoever may look may also change something.
    #[error(
        "{read} and {admin} hold the same token, so that whoever may read could also release \
         votes; make another one for changes with `openssl rand -hex 32`",
        read = read.display(), admin = admin.display()
    )]
    Same {
        /// The file with the token for reading.
        read: PathBuf,
        /// The file with the token for changes.
        admin: PathBuf,
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
    /// A file can't be read, what is in it can't be used, or both hold the same.
    pub(super) fn read(read: Option<&Path>, admin: Option<&Path>) -> Result<Self, TokenError> {
        let tokens = Self {
            read: read.map(load).transpose()?,
            admin: admin.map(load).transpose()?,
        };
        match (&tokens, read, admin) {
            (
                Self {
                    read: Some(one),
                    admin: Some(other),
                },
                Some(read),
                Some(admin),
            ) if one.0 == other.0 => Err(TokenError::Same {
                read: read.to_owned(),
                admin: admin.to_owned(),
            }),
            _ => Ok(tokens),
        }
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
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if let Some(warning) = exposed(path, mode) {
        tracing::warn!("{warning}");
    }
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST + 1), &mut text).map_err(unreadable)?;
    let is_long = text.len() as u64 > LONGEST;
    let token = text.trim_ascii();
    if is_long || token.len() < SHORTEST || !token.iter().all(u8::is_ascii_graphic) {
        let path = path.to_owned();
        return Err(TokenError::Unusable { path });
    }
    Ok(Token(token.into()))
}

/// What is wrong with the permissions of a token's file, if something is.
fn exposed(path: &Path, mode: u32) -> Option<String> {
    let who = match mode & 0o027 {
        0 => return None,
        bits if bits & 0o007 != 0 => "everybody on this machine",
        _ => "its whole group",
    };
    let path = path.display();
    let mode = mode & 0o7777;
    Some(format!(
        "{path} holds a token, and {who} has more access to it than needed (mode {mode:04o}): \
         chmod 0640 {path}"
    ))
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

    #[test]
    fn who_may_read_may_not_change_with_the_same_token() {
        let dir = tempfile::tempdir().unwrap();
        let [read, admin] = ["read", "admin"].map(|name| dir.path().join(name));
        std::fs::write(&read, READ).unwrap();
        std::fs::write(&admin, format!("  {READ}\n")).unwrap();
        let refused = Tokens::read(Some(&read), Some(&admin)).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("hold the same token"), "{said}");
        assert!(!said.contains(READ), "{said}");
        assert!(Tokens::read(Some(&read), None).is_ok());
    }

    #[test]
    fn files_that_others_can_read_or_change_are_warned_about() {
        let said = |mode| exposed(Path::new("/x"), mode);
        for good in [0o100_600, 0o640, 0o400, 0o440, 0o700] {
            assert_eq!(said(good), None, "{good:o}");
        }
        for (bad, who) in [
            (0o100_644, "everybody"),
            (0o604, "everybody"),
            (0o602, "everybody"),
            (0o660, "its whole group"),
        ] {
            let said = said(bad).unwrap();
            assert!(said.contains(who), "{said}");
        }
        assert!(said(0o100_644).unwrap().contains("(mode 0644)"));
    }
}
