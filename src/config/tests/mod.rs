//! Every setting by every way, what wins, what is refused with which words, and what a change means.

mod each;
mod layers;
mod random;
mod texts;
mod wrong;

use super::keys::{KEYS, Key};
use super::{CommandLine, ConfigErrors, Loaded, Sources};
use std::ffi::OsString;
use std::path::PathBuf;

/// A good value of a setting that is not its default, and one that is refused; both as TOML has it.
/// In the environment they are the same without quotes.
const VALUES: &[(&str, &str, &str)] = &[
    ("listen.address", r#""127.0.0.1""#, "127"),
    ("listen.port", "15403", "65536"),
    ("listen.family", r#""ipv6""#, r#""ipv5""#),
    ("listen.max_clients", "7", "-1"),
    ("listen.backlog", "1", "0"),
    ("tls.mode", r#""on""#, r#""maybe""#),
    ("tls.client_certificates", "false", r#""maybe""#),
    ("identity.directory", r#""/x/nssdb""#, "1"),
    ("identity.cert_nickname", r#""Another Cert""#, "1"),
    ("identity.key_type", r#""rsa2048""#, r#""rsa1024""#),
    ("identity.valid_for_years", "100", "101"),
    ("certificates.warn_days", "0", "36501"),
    ("votes.rules", r#""reference""#, r#""fast""#),
    ("votes.vote_leases", "false", r#""maybe""#),
    ("votes.lost_holder", r#""manual""#, r#""never""#),
    ("votes.keep_active_partition_tie_breaker", "true", "2"),
    ("limits.max_pending_clients", "1", "0"),
    ("limits.init_timeout", "600000", "600001"),
    ("limits.max_client_send_buffers", "2", "1"),
    ("limits.max_client_send_size", "16", "15"),
    ("limits.max_client_receive_size", "16", "15"),
    ("limits.heartbeat_interval_min", "1", "0"),
    ("limits.heartbeat_interval_max", "4294967295", "4294967296"),
    ("limits.dpd_interval_coefficient", "1000.0", "1000.1"),
    ("limits.dpd_enabled", "false", r#""maybe""#),
    ("control.socket", r#""/x/socket""#, "1"),
    ("control.umask", r#""007""#, r#""778""#),
    ("control.group", r#""7""#, r#""no such group""#),
    ("control.backlog", "1", "0"),
    ("control.max_clients", "0", "-1"),
    ("control.max_receive_size", "1024", "1023"),
    ("control.max_send_size", "1024", "1023"),
    ("http.address", r#""192.0.2.1:80""#, r#""192.0.2.1""#),
    ("http.certificate", r#""/x/cert.pem""#, "1"),
    ("http.key", r#""/x/key.pem""#, "1"),
    ("http.read_token_file", r#""/x/read""#, "1"),
    ("http.admin_token_file", r#""/x/admin""#, "1"),
    ("http.max_connections", "7", "0"),
    (
        "alerts.webhooks",
        r#""slack @/x/url; json @/x/a severity=warning""#,
        r#""ntfy""#,
    ),
    ("alerts.exec", r#""/x/tell""#, "1"),
    ("alerts.exec_timeout", "100", "99"),
    ("alerts.exec_at_once", "64", "65"),
    ("alerts.name", r#""here""#, "1"),
    ("alerts.absent_minutes", "0", "-1"),
    ("alerts.settle", "0", "600001"),
    ("history.max_size", "256", "257"),
    ("paths.data_dir", r#""/x/data""#, "1"),
    ("paths.lock_file", r#""/x/pid""#, "1"),
    ("log.level", r#""debug""#, r#""loud""#),
];

fn key(path: &str) -> &'static Key {
    let key = KEYS.iter().find(|key| key.path() == path);
    key.unwrap_or_else(|| panic!("there is no {path}"))
}

fn bare(toml: &str) -> String {
    toml.trim_matches('"').to_owned()
}

/// A file that goes with this value.
struct TempFile(tempfile::TempDir);

impl TempFile {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("qarbiter.toml")
    }
}

fn variables(all: &[(&str, &str)]) -> Vec<(String, OsString)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
    all.iter().map(pair).collect()
}

fn load_all(
    text: &str,
    environment: &[(&str, &str)],
    line: CommandLine,
) -> Result<Loaded, ConfigErrors> {
    let file = TempFile::new(text);
    Sources::new(Some(file.path()), variables(environment), line).load()
}

fn from_file(text: &str) -> Result<Loaded, ConfigErrors> {
    load_all(text, &[], CommandLine::default())
}

fn from_environment(all: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_all("", all, CommandLine::default())
}

fn defaults() -> Loaded {
    Sources::alone(CommandLine::default()).load().unwrap()
}
