//! Events for people, and times as people write them.

use crate::proto::v1;
use std::io::{self, Write};
use std::time::SystemTime;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Reads a time: so long ago, or one with date and zone. Milliseconds since 1970.
pub(super) fn since(text: &str) -> Result<u64, String> {
    let wrong =
        || "say how long ago (90s, 30m, 1h, 2d, 1w) or when (2026-11-23T22:00:00+01:00)".to_owned();
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        let ms = at.unix_timestamp_nanos() / 1_000_000;
        return u64::try_from(ms).map_err(|_| wrong());
    }
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ago = number.saturating_mul(seconds).saturating_mul(1000);
    Ok(crate::telemetry::history::unix_ms(SystemTime::now()).saturating_sub(ago))
}

/// One line for an event; with `inputs`, and below it what a decision was made of.
pub(super) fn write(out: &mut impl Write, event: &v1::Event, inputs: bool) -> io::Result<()> {
    write!(out, "{}  ", local(event.unix_ms))?;
    match &event.cluster {
        Some(cluster) => write!(out, "{cluster}: ")?,
        None => write!(out, "arbiter: ")?,
    }
    writeln!(out, "{}", event.message)?;
    let decision = event.decision.as_ref().filter(|_| inputs);
    for input in decision.into_iter().flat_map(|decision| &decision.inputs) {
        write!(out, "{:29}node {} ", "", input.node)?;
        if input.membership.is_empty() {
            write!(out, "had not said whom it sees")?;
        } else {
            let seen: Vec<String> = input.membership.iter().map(u32::to_string).collect();
            write!(out, "saw {{{}}}", seen.join(","))?;
        }
        write!(out, " of {} nodes, ring {}", input.configured, input.ring)?;
        if let Some(heuristics) = &input.heuristics {
            write!(out, ", heuristics {heuristics}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// `2026-11-23 10:30:11 +01:00`, by the zone of this machine.
fn local(unix_ms: u64) -> String {
    let utc = i64::try_from(unix_ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::local_offset_at(utc).unwrap_or(UtcOffset::UTC);
    let at = utc.to_offset(offset);
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{:02}:{:02}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        hours.unsigned_abs(),
        minutes.unsigned_abs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(since("1970-01-01T01:00:07.5+01:00"), Ok(7500));
        let now = crate::telemetry::history::unix_ms(SystemTime::now());
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("30m", 1800),
            ("1h", 3600),
            ("2d", 172_800),
        ] {
            let at = since(text).unwrap();
            assert!(
                (now - seconds * 1000..now - seconds * 1000 + 5000).contains(&at),
                "{text}"
            );
        }
        assert!(since("99999999999999999999w").is_err());
        assert_eq!(since("18446744073709551615w"), Ok(0));
        for wrong in [
            "",
            "h",
            "1",
            "1x",
            "-1h",
            "1.5h",
            "yesterday",
            "2026-11-23",
            "1é",
        ] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_decision_is_shown_with_what_it_was_made_of() {
        let input = |node: u32, membership: &[u32]| v1::DecisionInput {
            node,
            ring: "1.8".to_owned(),
            membership: membership.to_vec(),
            configured: 2,
            heuristics: (node == 1).then(|| "pass".to_owned()),
        };
        let event = v1::Event {
            unix_ms: 1_000,
            cluster: Some("site-b".to_owned()),
            message: "the vote goes to {1}".to_owned(),
            decision: Some(v1::Decision {
                inputs: vec![input(1, &[1]), input(2, &[])],
                ..v1::Decision::default()
            }),
            ..v1::Event::default()
        };
        let text = |inputs| {
            let mut out = Vec::new();
            write(&mut out, &event, inputs).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(false).lines().count(), 1);
        assert!(text(false).ends_with("  site-b: the vote goes to {1}\n"));
        let lines: Vec<String> = text(true).lines().map(|l| l.trim().to_owned()).collect();
        assert_eq!(
            lines[1],
            "node 1 saw {1} of 2 nodes, ring 1.8, heuristics pass"
        );
        assert_eq!(
            lines[2],
            "node 2 had not said whom it sees of 2 nodes, ring 1.8"
        );
    }
}
