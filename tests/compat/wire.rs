//! The wire format a second time, written by hand from the protocol spec (sections 1 and 2) so that the suite never
//! checks the crate's codec against itself: text to bytes for what a scenario sends and expects, bytes to text for
//! the reports.

/// Message names by number (protocol spec 2.1).
pub(crate) const MESSAGES: [&str; 18] = [
    "PREINIT",
    "PREINIT_REPLY",
    "STARTTLS",
    "INIT",
    "INIT_REPLY",
    "SERVER_ERROR",
    "SET_OPTION",
    "SET_OPTION_REPLY",
    "ECHO_REQUEST",
    "ECHO_REPLY",
    "NODE_LIST",
    "NODE_LIST_REPLY",
    "ASK_FOR_VOTE",
    "ASK_FOR_VOTE_REPLY",
    "VOTE_INFO",
    "VOTE_INFO_REPLY",
    "HEURISTICS_CHANGE",
    "HEURISTICS_CHANGE_REPLY",
];

/// How the value of an option is laid out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Layout {
    Text,
    U8,
    U16,
    U32,
    U64,
    List16,
    Ring,
    Node,
    Tie,
}

/// Options by number: the key used in scenarios, and the layout (protocol spec 2.2).
pub(crate) const OPTIONS: [(&str, Layout); 24] = [
    ("seq", Layout::U32),
    ("name", Layout::Text),
    ("tls", Layout::U8),
    ("cert", Layout::U8),
    ("msgs", Layout::List16),
    ("opts", Layout::List16),
    ("code", Layout::U16),
    ("maxreq", Layout::U32),
    ("maxrep", Layout::U32),
    ("node", Layout::U32),
    ("algs", Layout::List16),
    ("alg", Layout::U16),
    ("hb", Layout::U32),
    ("ring", Layout::Ring),
    ("cfgver", Layout::U64),
    ("dc", Layout::U32),
    ("state", Layout::U8),
    ("ni", Layout::Node),
    ("type", Layout::U8),
    ("vote", Layout::U8),
    ("quorate", Layout::U8),
    ("tie", Layout::Tie),
    ("heur", Layout::U8),
    ("kap", Layout::U8),
];

const VOTES: [&str; 6] = ["UNDEFINED", "ACK", "NACK", "ASK_LATER", "WAIT", "NO_CHANGE"];
const ALGORITHMS: [&str; 4] = ["test", "ffsplit", "2nodelms", "lms"];
const HEURISTICS: [&str; 3] = ["undefined", "pass", "fail"];

/// Words that stand for numbers, for the options that have them.
pub(crate) fn words(key: &str) -> &'static [&'static str] {
    match key {
        "vote" => &VOTES,
        "alg" => &ALGORITHMS,
        "heur" => &HEURISTICS,
        _ => &[],
    }
}

/// Puts a header in front of a body.
pub(crate) fn frame(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend(u32::try_from(body.len()).expect("body fits").to_be_bytes());
    out.extend(body);
    out
}

/// Length of the first whole message in `buffer`, header included, if it is complete.
pub(crate) fn complete(buffer: &[u8]) -> Option<usize> {
    let length: [u8; 4] = buffer.get(2..6)?.try_into().ok()?;
    let total = usize::try_from(u32::from_be_bytes(length))
        .ok()?
        .checked_add(6)?;
    (buffer.len() >= total).then_some(total)
}

/// How many whole messages `buffer` begins with.
pub(crate) fn count(mut buffer: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = complete(buffer) {
        buffer = &buffer[length..];
        count += 1;
    }
    count
}

/// Encodes `NAME key=value ...`. `NAME` may also be a number; `xN:HEX` is option N with any value.
///
/// # Errors
/// Says which word was not understood.
pub(crate) fn encode(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split_whitespace();
    let name = parts.next().ok_or("empty message")?;
    let kind = match MESSAGES.iter().position(|m| *m == name) {
        Some(index) => u16::try_from(index).expect("18 messages"),
        None => name
            .parse()
            .map_err(|_| format!("unknown message {name}"))?,
    };
    let mut body = Vec::new();
    for part in parts {
        let (number, value) = option(part).map_err(|why| format!("{part}: {why}"))?;
        tlv(&mut body, number, &value);
    }
    Ok(frame(kind, &body))
}

fn tlv(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend(number.to_be_bytes());
    out.extend(
        u16::try_from(value.len())
            .expect("value fits")
            .to_be_bytes(),
    );
    out.extend(value);
}

fn option(part: &str) -> Result<(u16, Vec<u8>), String> {
    if let Some((number, hex)) = part.strip_prefix('x').and_then(|p| p.split_once(':')) {
        return Ok((
            number.parse().map_err(|_| "bad option number")?,
            unhex(hex)?,
        ));
    }
    let (key, value) = part.split_once('=').ok_or("neither key=value nor xN:HEX")?;
    let index = OPTIONS
        .iter()
        .position(|(k, _)| *k == key)
        .ok_or("unknown option")?;
    let number = u16::try_from(index).expect("24 options");
    Ok((number, encode_value(key, OPTIONS[index].1, value)?))
}

fn number(key: &str, text: &str) -> Result<u64, String> {
    if let Some(index) = words(key).iter().position(|w| *w == text) {
        return Ok(index as u64);
    }
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn encode_value(key: &str, layout: Layout, text: &str) -> Result<Vec<u8>, String> {
    let small = |n: u64| u32::try_from(n).map_err(|_| format!("{n} is too large"));
    Ok(match layout {
        Layout::Text => percent(text)?,
        Layout::U8 => vec![u8::try_from(number(key, text)?).map_err(|_| "not a byte")?],
        Layout::U16 => u16::try_from(number(key, text)?)
            .map_err(|_| "not 16 bit")?
            .to_be_bytes()
            .to_vec(),
        Layout::U32 => small(number(key, text)?)?.to_be_bytes().to_vec(),
        Layout::U64 => number(key, text)?.to_be_bytes().to_vec(),
        Layout::List16 => {
            let last = if key == "msgs" { 17 } else { 23 };
            let items: Vec<u16> = match text {
                "all" => (0..=last).collect(),
                "" => Vec::new(),
                list => list
                    .split(',')
                    .map(|n| n.parse().map_err(|_| format!("{n} is not 16 bit")))
                    .collect::<Result<_, _>>()?,
            };
            items.iter().flat_map(|n| n.to_be_bytes()).collect()
        }
        Layout::Ring => ring(text)?,
        Layout::Node => {
            let mut fields = text.split('/');
            let mut out = Vec::new();
            tlv(
                &mut out,
                9,
                &small(number("node", fields.next().unwrap_or(""))?)?.to_be_bytes(),
            );
            if let Some(dc) = fields.next().filter(|f| !f.is_empty()) {
                tlv(&mut out, 15, &small(number("dc", dc)?)?.to_be_bytes());
            }
            if let Some(state) = fields.next().filter(|f| !f.is_empty()) {
                tlv(&mut out, 16, &encode_value("state", Layout::U8, state)?);
            }
            out
        }
        Layout::Tie => {
            let (mode, node) = match text {
                "lowest" => (1, 0),
                "highest" => (2, 0),
                node => (3, small(number("tie", node)?)?),
            };
            let mut out: Vec<u8> = vec![mode];
            out.extend(node.to_be_bytes());
            out
        }
    })
}

/// `NODE.SEQ`, the sequence in hexadecimal as the algorithms spec writes it.
fn ring(text: &str) -> Result<Vec<u8>, String> {
    let (node, seq) = text.split_once('.').ok_or("a ring is NODE.SEQ")?;
    let node: u32 = node.parse().map_err(|_| "bad ring node")?;
    let seq = u64::from_str_radix(seq, 16).map_err(|_| "bad ring sequence")?;
    let mut out = node.to_be_bytes().to_vec();
    out.extend(seq.to_be_bytes());
    Ok(out)
}

/// Undoes `%XX`, so that a scenario can put any byte into a name.
fn percent(text: &str) -> Result<Vec<u8>, String> {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or("").as_bytes().to_vec();
    for piece in pieces {
        out.extend(unhex(piece.get(..2).ok_or("% needs two digits")?)?);
        out.extend(&piece.as_bytes()[2..]);
    }
    Ok(out)
}

/// Hexadecimal text to bytes; blanks and underscores are only for the eye.
///
/// # Errors
/// Says what is no hexadecimal digit pair.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '_')
        .collect();
    if digits.len() % 2 != 0 || !digits.is_ascii() {
        return Err(format!("{text} is not hexadecimal"));
    }
    (0..digits.len())
        .step_by(2)
        .map(|i| {
            u8::from_str_radix(&digits[i..i + 2], 16)
                .map_err(|_| format!("{text} is not hexadecimal"))
        })
        .collect()
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The sequence number of a message, if it has one that can be read.
pub(crate) fn sequence(message: &[u8]) -> Option<u32> {
    options(message.get(6..)?)
        .0
        .iter()
        .find(|(number, _)| *number == 0)
        .and_then(|(_, value)| Some(u32::from_be_bytes((*value).try_into().ok()?)))
}

pub(crate) type Options<'a> = Vec<(u16, &'a [u8])>;

/// Splits a body into options; the second part is what could not be split.
pub(crate) fn options(mut body: &[u8]) -> (Options<'_>, &[u8]) {
    let mut found = Vec::new();
    while let Some(&[t0, t1, n0, n1]) = body.get(..4) {
        let end = 4 + usize::from(u16::from_be_bytes([n0, n1]));
        let Some(value) = body.get(4..end) else { break };
        found.push((u16::from_be_bytes([t0, t1]), value));
        body = &body[end..];
    }
    (found, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::describe;

    /// The dumps of protocol spec 5, captured from the live reference.
    #[test]
    fn dumps_of_the_specification() {
        for (text, dump) in [
            (
                "PREINIT seq=1 name=Alpha",
                "0000 00000011 0000 0004 00000001 0001 0005 416c706861",
            ),
            (
                "PREINIT_REPLY seq=1 tls=0 cert=1",
                "0001 00000012 0000 0004 00000001 0002 0001 00 0003 0001 01",
            ),
            (
                "NODE_LIST seq=5 type=2 ring=1.5 ni=1 heur=fail",
                "000a 0000002e 0000 0004 00000005 0012 0001 02 000d 000c 00000001 0000000000000005
                 0011 0008 0009 0004 00000001 0016 0001 02",
            ),
            (
                "NODE_LIST_REPLY seq=5 type=2 ring=1.5 vote=NO_CHANGE",
                "000b 00000022 0000 0004 00000005 0012 0001 02 000d 000c 00000001 0000000000000005 0013 0001 05",
            ),
            (
                "SERVER_ERROR seq=3 code=6",
                "0005 0000000e 0000 0004 00000003 0006 0002 0006",
            ),
        ] {
            let bytes = unhex(dump).unwrap();
            assert_eq!(encode(text).unwrap(), bytes, "{text}");
            assert_eq!(describe(&bytes), text);
        }
    }

    #[test]
    fn malformed_messages_are_shown_whole() {
        let bytes = unhex("0003 00000009 0009 0002 0001 ffffff").unwrap();
        assert_eq!(describe(&bytes), "INIT x9:0001 rest:ffffff");
        assert_eq!(complete(&bytes), Some(15));
        assert_eq!(complete(&bytes[..14]), None);
    }
}
