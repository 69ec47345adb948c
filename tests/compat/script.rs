//! The scenario language. A file holds scenarios; each is a list of steps that say what a client does and what it
//! must then receive.
//!
//! ```text
//! @server -s off -c on          flags of the server; before the first scenario: for the whole file
//! == F04 the split              starts scenario F04; a name that begins with a dot is only a building block
//! include .base2                plays the steps of another scenario first
//! A mem 1 @1.9 => re WAIT       client A acts => what arrives at A; after a `;` what arrives at others
//! theirs: A < SERVER_ERROR code=0    a step for one of the two servers only (needs @differs)
//! ```
//! The verbs are those of [`crate::run`].

use std::collections::HashMap;

/// Which server a scenario is played against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Theirs,
    Ours,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Theirs => "theirs",
            Self::Ours => "ours",
        }
    }
}

/// One step of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// `file:line`, for the reports.
    pub(crate) place: String,
    /// Set if the step belongs to one server only.
    pub(crate) only: Option<Side>,
    /// The client that acts or receives; none for steps that concern the whole scenario.
    pub(crate) who: Option<char>,
    pub(crate) verb: String,
    pub(crate) args: String,
}

/// A scenario, ready to be played.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Unique in the run; makes the cluster name.
    pub(crate) index: usize,
    pub(crate) about: String,
    /// Flags of the server, as on its command line.
    pub(crate) server: String,
    /// The `-S` settings that only our server gets.
    pub(crate) ours: String,
    /// The server instance is not shared with other scenarios.
    pub(crate) own: bool,
    /// Id of an intended difference: both servers' transcripts are pinned and must differ.
    pub(crate) differs: Option<String>,
    /// Never prove silence by an echo, only by waiting: for scenarios that an echo would disturb.
    pub(crate) quiet: bool,
    /// Nothing is expected: whatever arrives becomes part of the transcript.
    pub(crate) free: bool,
    /// `key=value` defaults for `join`.
    pub(crate) join: String,
    pub(crate) steps: Vec<Step>,
}

/// Parses files of `(name, text)` into scenarios; building blocks are resolved and left out.
///
/// # Errors
/// Says file and line of what was not understood.
pub(crate) fn parse(files: &[(&str, &str)]) -> Result<Vec<Scenario>, String> {
    let mut known: HashMap<String, Vec<Step>> = HashMap::new();
    let mut all: Vec<Scenario> = Vec::new();
    for (file, text) in files {
        let mut base = Scenario {
            ours: "rules=reference".to_owned(),
            ..Scenario::default()
        };
        let mut current: Option<Scenario> = None;
        for (number, raw) in text.lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            let line = raw.split(" #").next().unwrap_or("").trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(title) = line.strip_prefix("== ") {
                finish(&mut known, &mut all, current.take())?;
                let (name, about) = title.split_once(' ').unwrap_or((title, ""));
                current = Some(Scenario {
                    name: name.to_owned(),
                    about: about.to_owned(),
                    ..base.clone()
                });
            } else if let Some(setting) = line.strip_prefix('@') {
                attribute(current.as_mut().unwrap_or(&mut base), setting)
                    .map_err(|why| format!("{place}: {why}"))?;
            } else {
                let scenario = current
                    .as_mut()
                    .ok_or(format!("{place}: step outside of a scenario"))?;
                if let Some(name) = line.strip_prefix("include ") {
                    let steps = known
                        .get(name)
                        .ok_or(format!("{place}: {name} is not known here"))?;
                    scenario.steps.extend(steps.iter().cloned());
                } else {
                    scenario.steps.extend(steps(&place, line)?);
                }
            }
        }
        finish(&mut known, &mut all, current.take())?;
    }
    Ok(all)
}

fn finish(
    known: &mut HashMap<String, Vec<Step>>,
    all: &mut Vec<Scenario>,
    scenario: Option<Scenario>,
) -> Result<(), String> {
    let Some(mut scenario) = scenario else {
        return Ok(());
    };
    if known
        .insert(scenario.name.clone(), scenario.steps.clone())
        .is_some()
    {
        return Err(format!("there are two scenarios {}", scenario.name));
    }
    if scenario.differs.is_none() && scenario.steps.iter().any(|step| step.only.is_some()) {
        return Err(format!(
            "{} has steps for one server only, but no @differs",
            scenario.name
        ));
    }
    if !scenario.name.starts_with('.') {
        scenario.index = all.len();
        all.push(scenario);
    }
    Ok(())
}

fn attribute(scenario: &mut Scenario, setting: &str) -> Result<(), String> {
    let (key, value) = setting.split_once(' ').unwrap_or((setting, ""));
    let value = value.trim().to_owned();
    match key {
        "server" => scenario.server = value,
        "ours" => scenario.ours = value,
        "own" => scenario.own = true,
        "differs" => scenario.differs = Some(value),
        "quiet" => scenario.quiet = true,
        "free" => scenario.free = true,
        "join" => scenario.join = format!("{} {value}", scenario.join),
        _ => return Err(format!("unknown attribute @{key}")),
    }
    Ok(())
}

/// Splits a line `[SIDE:] ACTION [=> RECEIPTS]` into its steps.
fn steps(place: &str, line: &str) -> Result<Vec<Step>, String> {
    let (only, line) = match line.split_once(':') {
        Some(("theirs", rest)) => (Some(Side::Theirs), rest.trim()),
        Some(("ours", rest)) => (Some(Side::Ours), rest.trim()),
        _ => (None, line),
    };
    let (action, receipts) = line
        .split_once("=>")
        .map_or((line, None), |(a, r)| (a.trim(), Some(r)));
    let step = |who: Option<char>, text: &str| {
        let (verb, args) = text.split_once(' ').unwrap_or((text, ""));
        Step {
            place: place.to_owned(),
            only,
            who,
            verb: verb.to_owned(),
            args: args.trim().to_owned(),
        }
    };
    let (actor, text) = split_client(action);
    let mut out = vec![step(actor, text)];
    for group in receipts.into_iter().flat_map(|r| r.split(';')) {
        let (who, text) = split_client(group.trim());
        let who = who
            .or(actor)
            .ok_or(format!("{place}: who receives {text}?"))?;
        out.extend(text.split(',').map(|part| step(Some(who), part.trim())));
    }
    Ok(out)
}

/// Takes a client letter off the front of a step.
fn split_client(text: &str) -> (Option<char>, &str) {
    match text.split_once(' ') {
        Some((who, rest))
            if who.len() == 1 && who.starts_with(|c: char| c.is_ascii_uppercase()) =>
        {
            (who.chars().next(), rest.trim())
        }
        _ => (None, text),
    }
}
