//! The status page as a browser shows it.

use crate::lab::Lab;
use crate::witnesses::{Account, HTTP};

/// Switches without which Chromium does not run as root, or calls its maker; and how long the
/// page's own clock goes on before its content is taken.
const SWITCHES: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=4000",
    "--dump-dom",
];

/// What it says about a cluster whose details are open.
pub(crate) fn tells(lab: &Lab, cluster: &str) -> Option<Account> {
    let profile = tempfile::tempdir_in(lab.scratch()).unwrap();
    let own = format!("--user-data-dir={}", profile.path().display());
    let address = format!("http://127.0.0.1:{HTTP}/#{cluster}");
    let chromium = ["timeout", "20", "chromium"];
    let arguments = [&chromium[..], &SWITCHES, &[&own, &address]].concat();
    let output = lab.machine().output(&arguments);
    assert!(
        output.status.code() != Some(127),
        "chromium is needed (Debian package chromium)"
    );
    let document = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = document.split_once(&format!("data-key=\"{cluster}\""))?.1;
    let row = row.split_once("</details>").map_or(row, |(row, _)| row);
    let level = row.split_once("data-level=\"")?.1.split('"').next()?;
    let text = text(row);
    let sentence = text.split_once(": ")?.1.split('\n').next()?;
    let vote = text.lines().find(|line| line.ends_with(" the vote."))?;
    let numbers = vote.split(|c: char| !c.is_ascii_digit());
    let reason = text.split_once("Reason: ")?.1.split('\n').next()?;
    Some(Account {
        winner: numbers.filter_map(|number| number.parse().ok()).collect(),
        reason: Some(plain(reason)),
        level: Some(level.to_uppercase()),
        sentence: Some(sentence.to_owned()),
        ..Account::default()
    })
}

/// A document without its marks; a block begins a line.
fn text(document: &str) -> String {
    let mut text = String::new();
    for part in document.split('<').skip(1) {
        let (mark, words) = part.split_once('>').unwrap_or((part, ""));
        let is_inline = ["bdi", "strong", "span class=\"name\"", "time"];
        let mark = mark.trim_start_matches('/');
        if !is_inline.iter().any(|inline| mark.starts_with(inline)) {
            text.push('\n');
        }
        text += words;
    }
    text
}

/// A reason without what makes a sentence of it.
fn plain(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
