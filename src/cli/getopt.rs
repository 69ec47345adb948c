//! Flags as getopt(3) of the GNU C library reads them, which is what the reference's programs use
//! and what scripts rely on: letters share a dash, a value may follow its letter directly and may
//! begin with an equals sign, and words that belong to no flag are passed over.
//!
//! Argument parsers made for people differ in at least one of these.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What can't be understood; the texts are getopt's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    #[error("invalid option -- '{}'", char::from(*.0))]
    Unknown(u8),
    #[error("option requires an argument -- '{}'", char::from(*.0))]
    NoValue(u8),
}

/// The flags of a command line, one at a time.
pub(crate) struct Flags<'a> {
    arguments: std::vec::IntoIter<OsString>,
    /// Letters of the argument that is being read, not yet looked at.
    letters: VecDeque<u8>,
    plain: &'a [u8],
    with_value: &'a [u8],
}

impl<'a> Flags<'a> {
    /// Reads `arguments`, in which the letters `plain` stand alone and those `with_value` have
    /// a value.
    pub(crate) fn new(arguments: Vec<OsString>, plain: &'a [u8], with_value: &'a [u8]) -> Self {
        Self {
            arguments: arguments.into_iter(),
            letters: VecDeque::new(),
            plain,
            with_value,
        }
    }

    /// The next flag, with its value if it has one (empty otherwise); `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, OsString)>, FlagError> {
        let letter = loop {
            if let Some(letter) = self.letters.pop_front() {
                break letter;
            }
            let Some(argument) = self.arguments.next() else {
                return Ok(None);
            };
            match argument.as_bytes() {
                b"--" => return Ok(None),
                [b'-', letters @ ..] => self.letters.extend(letters),
                _ => {}
            }
        };
        if self.plain.contains(&letter) {
            return Ok(Some((letter, OsString::new())));
        }
        if !self.with_value.contains(&letter) {
            return Err(FlagError::Unknown(letter));
        }
        let rest: Vec<u8> = self.letters.drain(..).collect();
        let value = if rest.is_empty() {
            self.arguments.next().ok_or(FlagError::NoValue(letter))?
        } else {
            OsString::from_vec(rest)
        };
        Ok(Some((letter, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Vec<(char, String)>, FlagError> {
        let arguments = arguments.iter().map(OsString::from).collect();
        let mut flags = Flags::new(arguments, b"fd4", b"ps");
        let mut all = Vec::new();
        while let Some((letter, value)) = flags.next()? {
            all.push((char::from(letter), value.into_string().unwrap()));
        }
        Ok(all)
    }

    #[test]
    fn flags_are_read_as_the_c_library_reads_them() {
        let flag = |letter, value: &str| (letter, value.to_owned());
        let cases = [
            (
                &["-fd4"][..],
                vec![flag('f', ""), flag('d', ""), flag('4', "")],
            ),
            (
                &["-dp1", "-p", "2"],
                vec![flag('d', ""), flag('p', "1"), flag('p', "2")],
            ),
            (&["-s=off"], vec![flag('s', "=off")]),
            (&["-s", "-f"], vec![flag('s', "-f")]),
            (
                &["word", "-f", "-", "-d"],
                vec![flag('f', ""), flag('d', "")],
            ),
            (&["-f", "--", "-d"], vec![flag('f', "")]),
        ];
        for (arguments, expected) in cases {
            assert_eq!(read(arguments), Ok(expected), "{arguments:?}");
        }
        assert_eq!(read(&["-fx"]), Err(FlagError::Unknown(b'x')));
        assert_eq!(read(&["--help"]), Err(FlagError::Unknown(b'-')));
        assert_eq!(read(&["-fp"]), Err(FlagError::NoValue(b'p')));
    }
}
