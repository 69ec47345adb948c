//! Certificates as text and as JSON.

use serde::Serialize;

use super::Open;
use crate::pki::expiry::Warning;
use crate::pki::facts::{Fingerprint, Moment, Serial};
use crate::pki::inventory::{Known, Role, State};

/// A line for each certificate.
pub(super) fn table(open: &Open) -> String {
    let heads = [
        "WHAT",
        "NAME",
        "NUMBER",
        "FROM",
        "UNTIL",
        "STATE",
        "LAST SEEN",
        "FILE",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for known in &open.inventory.certificates {
        let facts = &known.facts;
        rows.push([
            known.role.to_string(),
            printable(&facts.name),
            facts.serial.to_string(),
            facts.not_before.date(),
            facts.not_after.date(),
            known.state.to_string(),
            known.seen.map_or_else(|| "-".to_owned(), Moment::date),
            known
                .file
                .as_ref()
                .and_then(|file| file.file_name())
                .map_or_else(|| "-".to_owned(), |name| printable(&name.to_string_lossy())),
        ]);
    }
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:<width$}  "))
                .collect();
            format!("{}\n", line.trim_end())
        })
        .collect()
}

/// A name that cannot garble a terminal.
fn printable(name: &str) -> String {
    if name.chars().any(char::is_control) {
        name.escape_debug().to_string()
    } else {
        name.to_owned()
    }
}

/// All facts of one certificate.
pub(super) fn facts(known: &Known, open: &Open) -> String {
    let facts = &known.facts;
    let what = match known.role {
        Role::Ca => "CA".to_owned(),
        Role::Server => "server".to_owned(),
        Role::Cluster => format!("cluster {:?}", facts.name),
    };
    let days = open.now.days_until(facts.not_after);
    let state = match known.state {
        State::Revoked(revocation) => {
            format!("revoked on {} ({})", revocation.at, revocation.reason)
        }
        State::Expired => format!("expired {} days ago", -days),
        State::Superseded => "superseded by a newer one, and accepted too".to_owned(),
        other => format!("{other}, {days} days left"),
    };
    let file = match (&known.file, known.role) {
        (Some(file), _) => file.display().to_string(),
        (None, Role::Cluster) => "none here".to_owned(),
        (None, _) => format!("in the database in {}", open.store.path().display()),
    };
    let lines = [
        ("Certificate", what),
        ("Common name", printable(&facts.name)),
        ("Number", facts.serial.to_string()),
        ("Valid from", facts.not_before.to_string()),
        ("Valid until", facts.not_after.to_string()),
        ("State", state),
        (
            "Issued",
            known
                .issued
                .map_or_else(|| "unknown".to_owned(), |at| at.to_string()),
        ),
        (
            "Last seen",
            known
                .seen
                .map_or_else(|| "never".to_owned(), |at| at.to_string()),
        ),
        ("File", file),
        ("SHA-256", facts.sha256.to_string()),
    ];
    lines
        .iter()
        .filter(|(name, _)| known.role == Role::Cluster || !["Issued", "Last seen"].contains(name))
        .map(|(name, value)| format!("{:<13}{value}\n", format!("{name}:")))
        .collect()
}

/// `qarbiter certs list --json`. Times are by RFC 3339.
#[derive(Serialize)]
pub(super) struct Document {
    certificates: Vec<Entry>,
    /// Revoked numbers that belong to no known certificate.
    revoked_unknown: Vec<Serial>,
    warnings: Vec<Warned>,
    /// What could not be read.
    complaints: Vec<String>,
}

#[derive(Serialize)]
struct Entry {
    /// `ca`, `server` or `cluster`.
    role: String,
    name: String,
    /// Decimal.
    serial: Serial,
    not_before: String,
    not_after: String,
    days_left: i64,
    /// `valid`, `expiring`, `expired`, `not yet valid`, `superseded` or `revoked`.
    state: String,
    revoked: Option<String>,
    reason: Option<String>,
    issued: Option<String>,
    last_seen: Option<String>,
    file: Option<String>,
    sha256: Fingerprint,
}

#[derive(Serialize)]
struct Warned {
    role: String,
    name: String,
    serial: Serial,
    days_left: i64,
    text: String,
}

pub(super) fn document(open: &Open, warnings: &[Warning], unknown: &[Serial]) -> Document {
    Document {
        certificates: open
            .inventory
            .certificates
            .iter()
            .map(|known| entry(known, open.now))
            .collect(),
        revoked_unknown: unknown.to_vec(),
        warnings: warnings
            .iter()
            .map(|warning| Warned {
                role: warning.role.to_string(),
                name: warning.facts.name.clone(),
                serial: warning.facts.serial.clone(),
                days_left: warning.days_left,
                text: warning.to_string(),
            })
            .collect(),
        complaints: open.inventory.complaints.clone(),
    }
}

fn entry(known: &Known, now: Moment) -> Entry {
    let text = |moment: Moment| moment.to_string();
    let revocation = match known.state {
        State::Revoked(revocation) => Some(revocation),
        _ => None,
    };
    Entry {
        role: known.role.to_string(),
        name: known.facts.name.clone(),
        serial: known.facts.serial.clone(),
        not_before: text(known.facts.not_before),
        not_after: text(known.facts.not_after),
        days_left: now.days_until(known.facts.not_after),
        state: known.state.to_string(),
        revoked: revocation.map(|revocation| text(revocation.at)),
        reason: revocation.map(|revocation| revocation.reason.to_string()),
        issued: known.issued.map(text),
        last_seen: known.seen.map(text),
        file: known.file.as_ref().map(|file| file.display().to_string()),
        sha256: known.facts.sha256,
    }
}
