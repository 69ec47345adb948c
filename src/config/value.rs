//! Values of settings: what kinds there are, how they are read, and what to say about a wrong one.

use crate::engine::{LostHolder, Rules};
use crate::http::settings::HttpAddress;
use crate::notify::settings::{Webhooks, without_secrets};
use crate::pki::{KeyKind, Years};
use crate::wire::TlsSupport;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::Family;

/// A value as a TOML file has it. A setting that has none is `None` of an `Option`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A number that may have a fraction.
    Number(f64),
    /// A text.
    Text(String),
}

/// As in a TOML file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use toml_writer::ToTomlValue as _;
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Number(value) => f.write_str(&value.to_toml_value()),
            // One line, whatever is in it.
            Self::Text(text) => {
                let builder = toml_writer::TomlStringBuilder::new(text);
                f.write_str(&builder.as_basic().to_toml_value())
            }
        }
    }
}

/// What values a setting can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Boolean,
    /// A whole number within bounds, both included.
    Whole {
        min: i64,
        max: i64,
    },
    /// The same where the reference knows no upper bound: on its command line more than `max`
    /// counts as `max`.
    Count {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    /// One of these, case ignored.
    Word(&'static [&'static str]),
    /// A text that says what the words say.
    Text(&'static str),
    Directory,
    File,
    /// The path of a unix socket.
    Socket,
    /// Permission bits, octal.
    Umask,
    /// A group of the system, by name or number.
    Group,
    /// Webhooks. They hold secrets.
    Webhooks,
}

/// Who writes a value as text: what stands for yes and no, and how strict numbers are, differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The reference's command line.
    Reference,
    /// An environment variable.
    Environment,
}

/// The value is none of those that the setting can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Longest path of a unix socket, bytes without the terminator.
const MAX_SOCKET_PATH: usize = 107;

impl Kind {
    /// Reads a value from text. An empty text stands for no value, where there may be none.
    pub(crate) fn parse(self, text: &str, dialect: Dialect) -> Result<Option<Value>, Refused> {
        // strtoll and strtod, which the reference uses, pass over white space, but only in front.
        let number = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
        let value = match self {
            Self::Boolean => Value::Boolean(boolean(text, dialect).ok_or(Refused)?),
            Self::Whole { .. } => Value::Whole(number.parse().map_err(|_| Refused)?),
            Self::Count { max, .. } => {
                let number: i64 = number.parse().map_err(|_| Refused)?;
                Value::Whole(match dialect {
                    Dialect::Reference => number.min(max),
                    Dialect::Environment => number,
                })
            }
            Self::Number { .. } => Value::Number(number.parse().map_err(|_| Refused)?),
            Self::Group if text == "-1" => return Ok(None),
            _ if text.is_empty() && self.can_be_empty() => return Ok(None),
            _ => Value::Text(text.to_owned()),
        };
        self.check(&value)?;
        Ok(Some(value))
    }

    /// Whether the value is within bounds. Words and groups are left to the setting itself.
    pub(crate) fn check(self, value: &Value) -> Result<(), Refused> {
        let good = match (self, value) {
            (Self::Boolean, Value::Boolean(_)) => true,
            (Self::Whole { min, max } | Self::Count { min, max }, Value::Whole(number)) => {
                (min..=max).contains(number)
            }
            (Self::Number { min, max }, Value::Number(number)) => (min..=max).contains(number),
            (Self::Socket, Value::Text(path)) => (1..=MAX_SOCKET_PATH).contains(&path.len()),
            (Self::Word(_) | Self::Umask | Self::Group | Self::Webhooks, Value::Text(_)) => true,
            (Self::Text(_) | Self::Directory | Self::File, Value::Text(text)) => !text.is_empty(),
            _ => false,
        };
        if good { Ok(()) } else { Err(Refused) }
    }

    /// Whether an empty text can stand for no value at all.
    pub(crate) fn can_be_empty(self) -> bool {
        matches!(
            self,
            Self::Text(_) | Self::File | Self::Umask | Self::Group | Self::Webhooks
        )
    }

    /// The value as others may see it; `written` is the same as somebody wrote it.
    pub(crate) fn shown(self, written: &str) -> String {
        match self {
            Self::Webhooks => {
                let bare = written.trim_matches(['"', '\'']);
                Value::Text(without_secrets(bare)).to_string()
            }
            _ => written.to_owned(),
        }
    }

    /// Whether it is a path.
    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::Directory | Self::File | Self::Socket)
    }
}

/// What is allowed, to end a sentence that begins with "it must be".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Whole { min, max } | Self::Count { min, max } => {
                write!(f, "a whole number from {min} to {max}")
            }
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Word(words) => {
                for (index, word) in words.iter().enumerate() {
                    let before = match index {
                        0 => "",
                        _ if index + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{before}{}", Value::Text((*word).to_owned()))?;
                }
                Ok(())
            }
            Self::Text(what) => f.write_str(what),
            Self::Directory => f.write_str("the absolute path of a directory"),
            Self::File => f.write_str("the absolute path of a file"),
            Self::Socket => write!(f, "an absolute path of at most {MAX_SOCKET_PATH} bytes"),
            Self::Umask => f.write_str("an octal number from \"0\" to \"777\""),
            Self::Group => f.write_str("the name or the number of a group of this machine"),
            Self::Webhooks => f.write_str(
                "FORMAT URL or FORMAT @/FILE, with options, see docs/ALERTS.md; several by ;",
            ),
        }
    }
}

/// on/yes/1 and off/no/0, case ignored; the reference knows no other words.
fn boolean(text: &str, dialect: Dialect) -> Option<bool> {
    match (text.to_ascii_lowercase().as_str(), dialect) {
        ("on" | "yes" | "1", _) | ("true", Dialect::Environment) => Some(true),
        ("off" | "no" | "0", _) | ("false", Dialect::Environment) => Some(false),
        _ => None,
    }
}

/// Something in the settings that a [`Value`] can be put into and be read from.
pub(crate) trait Field {
    fn show(&self) -> Option<Value>;
    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused>;
}

impl Field for bool {
    fn show(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        let Some(Value::Boolean(value)) = value else {
            return Err(Refused);
        };
        *self = *value;
        Ok(())
    }
}

macro_rules! whole {
    ($($number:ty),+) => {$(
        impl Field for $number {
            fn show(&self) -> Option<Value> {
                // None of those that can be set is larger: they all come from an i64.
                i64::try_from(*self).ok().map(Value::Whole)
            }

            fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
                let Some(Value::Whole(number)) = value else {
                    return Err(Refused);
                };
                *self = Self::try_from(*number).map_err(|_| Refused)?;
                Ok(())
            }
        }
    )+};
}

whole!(u16, i32, u32, usize);

/// What a value of text stands for, in both directions.
trait Word: Sized {
    fn word(&self) -> String;
    fn from_word(text: &str) -> Option<Self>;
}

impl<W: Word> Field for W {
    fn show(&self) -> Option<Value> {
        Some(Value::Text(self.word()))
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        let Some(Value::Text(text)) = value else {
            return Err(Refused);
        };
        *self = W::from_word(text).ok_or(Refused)?;
        Ok(())
    }
}

impl Word for String {
    fn word(&self) -> String {
        self.clone()
    }

    fn from_word(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Word for PathBuf {
    fn word(&self) -> String {
        self.to_string_lossy().into_owned()
    }

    fn from_word(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

macro_rules! words {
    ($kind:ty: $($word:literal $(| $other:literal)* => $value:path),+) => {
        impl Word for $kind {
            fn word(&self) -> String {
                match self { $($value => $word,)+ }.to_owned()
            }

            fn from_word(text: &str) -> Option<Self> {
                match text.to_ascii_lowercase().as_str() {
                    $($word $(| $other)* => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

impl Word for HttpAddress {
    fn word(&self) -> String {
        match self {
            Self::At(address) => address.to_string(),
            Self::Off => "off".to_owned(),
        }
    }

    fn from_word(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(address) => Some(Self::At(address)),
            Err(_) => text.eq_ignore_ascii_case("off").then_some(Self::Off),
        }
    }
}

words!(Family: "both" => Family::Both, "ipv4" => Family::V4, "ipv6" => Family::V6);
words!(TlsSupport: "required" | "req" => TlsSupport::Required, "on" => TlsSupport::Supported,
    "off" => TlsSupport::Unsupported);
words!(Rules: "safe" => Rules::Safe, "reference" => Rules::Reference);
words!(LostHolder: "timed" => LostHolder::Timed, "manual" => LostHolder::Manual);
words!(KeyKind: "p256" | "p-256" => KeyKind::P256, "rsa2048" | "rsa-2048" => KeyKind::Rsa2048);

impl Field for Years {
    fn show(&self) -> Option<Value> {
        self.get().show()
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        let mut years = 0_u16;
        years.put(value)?;
        *self = Self::try_from(years).map_err(|_| Refused)?;
        Ok(())
    }
}

/// Without what is secret.
impl Field for Webhooks {
    fn show(&self) -> Option<Value> {
        self.shown().map(Value::Text)
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        *self = match value {
            None => Self::default(),
            Some(Value::Text(text)) => Self::parse(text).ok_or(Refused)?,
            Some(_) => return Err(Refused),
        };
        Ok(())
    }
}

/// Whole milliseconds.
impl Field for Duration {
    fn show(&self) -> Option<Value> {
        i64::try_from(self.as_millis()).ok().map(Value::Whole)
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        let Some(Value::Whole(ms)) = value else {
            return Err(Refused);
        };
        *self = Self::from_millis(u64::try_from(*ms).map_err(|_| Refused)?);
        Ok(())
    }
}

/// A setting that need not have a value.
impl<F: Field + Default> Field for Option<F> {
    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(Field::show)
    }

    fn put(&mut self, value: Option<&Value>) -> Result<(), Refused> {
        *self = match value {
            None => None,
            Some(_) => {
                let mut inner = F::default();
                inner.put(value)?;
                Some(inner)
            }
        };
        Ok(())
    }
}

/// Reads permission bits.
pub(crate) fn umask(value: Option<&Value>) -> Result<Option<u32>, Refused> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => u32::from_str_radix(text, 8)
            .ok()
            .filter(|mask| *mask <= 0o777)
            .map(Some)
            .ok_or(Refused),
        Some(_) => Err(Refused),
    }
}

/// Looks up a group, by number or by its name in `/etc/group` (group(5)).
pub(crate) fn group(value: Option<&Value>) -> Result<Option<u32>, Refused> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => group_id(text).map(Some).ok_or(Refused),
        Some(_) => Err(Refused),
    }
}

fn group_id(group: &str) -> Option<u32> {
    if let Ok(id) = group.parse() {
        return Some(id);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let is_it = fields.next() == Some(group);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
