//! What an operator can set about alerts.
//!
//! Addresses and keys of webhooks are secrets: they are never shown, neither in the log nor in
//! errors nor by `Debug`; of an address, only the scheme and the host are.

use super::alert::Severity;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most webhooks.
pub(super) const MOST: usize = 16;

/// Settings of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// Where alerts are sent.
    pub webhooks: Webhooks,
    /// A program that is run for each alert; an absolute path.
    pub exec: Option<PathBuf>,
    /// How long it may run, 100 ms to 10 minutes.
    pub exec_timeout: Duration,
    /// How many of it may run at a time, 1 or more.
    pub exec_at_once: usize,
    /// What this arbiter is called in alerts; the host's name if not set.
    pub name: Option<String>,
    /// After so many minutes without a node there is another alert about it; 0 for never.
    pub absent_minutes: u32,
    /// How long a change must last before it is told.
    pub settle: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            webhooks: Webhooks::default(),
            exec: None,
            exec_timeout: Duration::from_secs(10),
            exec_at_once: 1,
            name: None,
            absent_minutes: 5,
            settle: Duration::from_secs(3),
        }
    }
}

impl AlertSettings {
    /// Whether anybody is told.
    pub fn is_on(&self) -> bool {
        !self.webhooks.0.is_empty() || self.exec.is_some()
    }

    /// What this arbiter is called.
    pub fn arbiter(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let system = rustix::system::uname();
            system.nodename().to_string_lossy().into_owned()
        })
    }
}

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// What is hidden.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret, or the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret itself.
    Inline(Hidden),
    /// A file with one line; it is read anew whenever it is needed.
    File(PathBuf),
}

/// What a webhook understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own (`proto/qarbiter/v1/alert.proto`).
    Json,
    /// `{"text": ...}`, as Slack, Mattermost, Rocket.Chat and Discord (`/slack`) take it.
    Slack,
    /// ntfy's publishing as JSON.
    Ntfy,
    /// Alertmanager's API v2.
    Alertmanager,
}

impl Format {
    const ALL: [Self; 4] = [Self::Json, Self::Slack, Self::Ntfy, Self::Alertmanager];

    /// As the settings have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
            Self::Alertmanager => "alertmanager",
        }
    }
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called in logs and metrics: `webhook1`, or what its `name=` says.
    pub name: String,
    /// Whether its `name=` says so.
    pub is_named: bool,
    /// What it understands.
    pub format: Format,
    /// Where it is: an `http` or `https` address.
    pub url: Secret,
    /// The key that bodies are signed with.
    pub secret: Option<Secret>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// The CAs that its certificate may come from, instead of the system's: a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Alerts below this are not for it.
    pub severity: Severity,
}

/// All webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhooks(pub Vec<Webhook>);

impl Webhooks {
    /// Reads `FORMAT ADDRESS [option=value ...]`, one webhook in each line or between semicolons.
    /// `None` if any of them is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all: Vec<Webhook> = Vec::new();
        for entry in text.split(['\n', ';']) {
            let words: Vec<&str> = entry.split_whitespace().collect();
            let [format, address, options @ ..] = words.as_slice() else {
                if words.is_empty() {
                    continue;
                }
                return None;
            };
            let hook = webhook(all.len() + 1, format, address, options)?;
            if all.iter().any(|other| other.name == hook.name) {
                return None;
            }
            all.push(hook);
        }
        (1..=MOST).contains(&all.len()).then_some(Self(all))
    }

    /// The same settings without what is secret.
    pub fn shown(&self) -> Option<String> {
        let all: Vec<String> = self.0.iter().map(shown).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn webhook(number: usize, format: &str, address: &str, options: &[&str]) -> Option<Webhook> {
    let format = Format::ALL
        .into_iter()
        .find(|known| known.word() == format)?;
    let url = match address.strip_prefix('@') {
        Some(path) => Secret::File(absolute(path)?),
        None => Secret::Inline(super::address::Address::parse(address).ok()?.as_given()),
    };
    let mut hook = Webhook {
        name: format!("webhook{number}"),
        is_named: false,
        format,
        url,
        secret: None,
        token: None,
        ca_file: None,
        severity: Severity::Info,
    };
    for option in options {
        let (name, value) = option.split_once('=').filter(|(_, v)| !v.is_empty())?;
        match name {
            "name" if is_name(value) => {
                value.clone_into(&mut hook.name);
                hook.is_named = true;
            }
            "severity" => hook.severity = Severity::from_word(value)?,
            "secret" => hook.secret = Some(Secret::Inline(value.into())),
            "secret_file" => hook.secret = Some(Secret::File(absolute(value)?)),
            "token" => hook.token = Some(Secret::Inline(value.into())),
            "token_file" => hook.token = Some(Secret::File(absolute(value)?)),
            "ca_file" => hook.ca_file = Some(absolute(value)?),
            _ => return None,
        }
    }
    Some(hook)
}

fn absolute(path: &str) -> Option<PathBuf> {
    Path::new(path).is_absolute().then(|| path.into())
}

/// Fit for a label of a metric; `exec` is the other hook.
fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.len() <= 32 && text != "exec" && text.chars().all(good)
}

fn shown(hook: &Webhook) -> String {
    let secret = |secret: &Secret| match secret {
        Secret::Inline(_) => "=***".to_owned(),
        Secret::File(path) => format!("_file={}", path.display()),
    };
    let mut text = hook.format.word().to_owned();
    match &hook.url {
        Secret::Inline(url) => text += &format!(" {}", super::address::place(url.reveal())),
        Secret::File(path) => text += &format!(" @{}", path.display()),
    }
    if hook.is_named {
        text += &format!(" name={}", hook.name);
    }
    if hook.severity != Severity::Info {
        text += &format!(" severity={}", hook.severity.word());
    }
    if let Some(key) = &hook.secret {
        text += &format!(" secret{}", secret(key));
    }
    if let Some(token) = &hook.token {
        text += &format!(" token{}", secret(token));
    }
    if let Some(path) = &hook.ca_file {
        text += &format!(" ca_file={}", path.display());
    }
    text
}

/// What may be said about a text that is not right: of addresses the place, of options those that
/// are no secrets, of the rest only what looks like a format.
pub fn without_secrets(text: &str) -> String {
    let plain = [
        "severity=",
        "name=",
        "secret_file=/",
        "token_file=/",
        "ca_file=/",
        "@/",
    ];
    let word = |word: &str| {
        if word.contains("://") {
            super::address::place(word)
        } else if plain.iter().any(|start| word.starts_with(start))
            || Format::ALL.iter().any(|format| format.word() == word)
        {
            word.to_owned()
        } else {
            let hidden = ["secret=", "token="]
                .into_iter()
                .find(|name| word.starts_with(name));
            format!("{}***", hidden.unwrap_or_default())
        }
    };
    let entry = |entry: &str| {
        entry
            .split_whitespace()
            .map(word)
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.split(['\n', ';'])
        .map(entry)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_read() {
        let text = "slack https://hooks.example/services/T0/B0/GEHEIM\n\n\
                    ntfy @/run/secrets/ntfy token_file=/run/t severity=warning; \
                    json http://10.0.0.1:8080/x secret=GEHEIM ca_file=/ca.pem name=webhook-ours";
        let hooks = Webhooks::parse(text).unwrap();
        let names: Vec<&str> = hooks.0.iter().map(|hook| &*hook.name).collect();
        assert_eq!(names, ["webhook1", "webhook2", "webhook-ours"]);
        assert_eq!(hooks.0[1].url, Secret::File("/run/secrets/ntfy".into()));
        assert_eq!(hooks.0[1].severity, Severity::Warning);
        let shown = hooks.shown().unwrap();
        assert_eq!(
            shown,
            "slack https://hooks.example/***; ntfy @/run/secrets/ntfy severity=warning \
             token_file=/run/t; json http://10.0.0.1:8080/*** name=webhook-ours secret=*** ca_file=/ca.pem"
        );
        assert!(!format!("{hooks:?}").contains("GEHEIM"));
    }

    #[test]
    fn what_is_wrong_is_refused_and_shows_no_secret() {
        for wrong in [
            "",
            " ; ",
            "ntfy",
            "fax https://h/GEHEIM",
            "https://h/GEHEIM slack",
            "slack h/GEHEIM",
            "slack ftp://h/GEHEIM",
            "slack https://",
            "slack https://u:GEHEIM@:1/",
            "slack GEHEIM@h",
            "json https://h/ secret=",
            "json https://h/ secret_file=GEHEIM",
            "json https://h/ sekret=GEHEIM",
            "json https://h/ name=exec",
            "json https://h/ severity=loud",
            "json https://h/ name=a; json https://h/ name=a",
            "json @relative",
        ] {
            assert_eq!(Webhooks::parse(wrong), None, "{wrong}");
            assert!(!without_secrets(wrong).contains("GEHEIM"), "{wrong}");
        }
        let many = "json https://h/;".repeat(MOST + 1);
        assert_eq!(Webhooks::parse(&many), None);
        assert!(Webhooks::parse(&"json https://h/;".repeat(MOST)).is_some());
        assert_eq!(without_secrets("slack @/x; ntfy"), "slack @/x; ntfy");
    }
}
