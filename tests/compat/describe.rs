//! Messages in words, for the reports.

use crate::wire::{Layout, MESSAGES, OPTIONS, hex, options, words};

/// A message as the line that [`crate::wire::encode`] would turn back into it; what does not fit is shown as hexadecimal.
pub(crate) fn describe(message: &[u8]) -> String {
    let Some(&[k0, k1, _, _, _, _]) = message.get(..6) else {
        return format!("bytes {}", hex(message));
    };
    let kind = u16::from_be_bytes([k0, k1]);
    let mut out = MESSAGES
        .get(usize::from(kind))
        .map_or_else(|| kind.to_string(), ToString::to_string);
    let (found, rest) = options(&message[6..]);
    for (number, value) in found {
        out.push(' ');
        out.push_str(
            &describe_option(number, value).unwrap_or_else(|| format!("x{number}:{}", hex(value))),
        );
    }
    if !rest.is_empty() {
        out.push_str(&format!(" rest:{}", hex(rest)));
    }
    out
}

/// [`describe`], cut to what fits into a line of a report.
pub(crate) fn summary(message: &[u8]) -> String {
    let mut text = describe(message);
    if text.len() > 400 {
        text.truncate(400);
        text.push_str(&format!("... ({} bytes)", message.len()));
    }
    text
}

fn describe_option(number: u16, value: &[u8]) -> Option<String> {
    let (key, layout) = OPTIONS.get(usize::from(number))?;
    let int = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, b| sum << 8 | u64::from(*b));
    let fits = match layout {
        Layout::Text | Layout::Node => true,
        Layout::List16 => value.len() % 2 == 0,
        Layout::U8 => value.len() == 1,
        Layout::U16 => value.len() == 2,
        Layout::U32 => value.len() == 4,
        Layout::U64 => value.len() == 8,
        Layout::Ring => value.len() == 12,
        Layout::Tie => value.len() == 5,
    };
    if !fits {
        return None;
    }
    let text = match layout {
        Layout::Text => value
            .iter()
            .map(|b| {
                if b.is_ascii_graphic() && *b != b'%' {
                    char::from(*b).to_string()
                } else {
                    format!("%{b:02x}")
                }
            })
            .collect(),
        Layout::List16 => value
            .chunks(2)
            .map(|pair| int(pair).to_string())
            .collect::<Vec<_>>()
            .join(","),
        Layout::Ring => format!("{}.{:x}", int(&value[..4]), int(&value[4..])),
        Layout::Tie => match value[0] {
            1 => "lowest".to_owned(),
            2 => "highest".to_owned(),
            3 => int(&value[1..]).to_string(),
            _ => return None,
        },
        Layout::Node => {
            let (fields, rest) = options(value);
            if fields.len() != 1 || fields[0].0 != 9 || !rest.is_empty() {
                return None;
            }
            int(fields[0].1).to_string()
        }
        _ => {
            let plain = int(value);
            let word = usize::try_from(plain)
                .ok()
                .and_then(|index| words(key).get(index));
            word.map_or_else(|| plain.to_string(), ToString::to_string)
        }
    };
    Some(format!("{key}={text}"))
}
