//! Passphrases and passwords from files, the standard input and the environment; never from the
//! command line, which every user of the machine can see.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

/// The environment variable with the passphrase.
pub(super) const VARIABLE: &str = "QARBITER_PASSPHRASE";

/// Above any passphrase.
const MAX_BYTES: u64 = 64 * 1024;

/// No letter that is easily taken for another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("cannot read {path}: {error}", path = path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{path} is not a text of one line", path = .0.display())]
    NotALine(PathBuf),
    #[error("the environment variable {VARIABLE} is not valid UTF-8")]
    Variable,
    #[error("the operating system has no random numbers")]
    Random,
}

/// The first line of a file, or of the standard input for `-`.
pub(super) fn from_file(path: &Path) -> Result<String, SecretError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    read.map_err(|error| SecretError::Read {
        path: path.to_owned(),
        error,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotALine(path.to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains('\n') {
        return Err(SecretError::NotALine(path.to_owned()));
    }
    Ok(line.to_owned())
}

/// From the file, or else from the environment.
pub(super) fn passphrase(file: Option<&Path>) -> Result<Option<String>, SecretError> {
    match (file, std::env::var_os(VARIABLE)) {
        (Some(file), _) => from_file(file).map(Some),
        (None, Some(value)) if !value.is_empty() => value
            .into_string()
            .map(Some)
            .map_err(|_| SecretError::Variable),
        _ => Ok(None),
    }
}

/// A new passphrase of 25 letters, which nobody can guess (125 bits).
pub(super) fn generated() -> Result<String, SecretError> {
    let mut random = [0_u8; 25];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| SecretError::Random)?;
    let groups = random.chunks(5).map(|group| {
        let letters = group
            .iter()
            .filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
        letters
            .map(|letter| char::from(*letter))
            .collect::<String>()
    });
    Ok(groups.collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_ends_are_taken_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (contents, expected) in [
            ("a b", Some("a b")),
            (" a \n", Some(" a ")),
            ("a\r\n", Some("a")),
            ("", Some("")),
            ("a\nb\n", None),
        ] {
            std::fs::write(file.path(), contents).unwrap();
            assert_eq!(
                from_file(file.path()).ok().as_deref(),
                expected,
                "{contents:?}"
            );
        }
    }

    #[test]
    fn generated_passphrases_differ_and_are_easy_to_type() {
        let (one, other) = (generated().unwrap(), generated().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 29);
        assert!(
            one.bytes().all(|b| b == b'-' || LETTERS.contains(&b)),
            "{one}"
        );
    }
}
