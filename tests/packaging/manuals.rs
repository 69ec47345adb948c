//! Every option has its place in the manual, and the manual is well formed.

use super::{file, printed, silent};
use std::collections::BTreeSet;

const PAGES: [&str; 4] = [
    "corosync-qnetd",
    "corosync-qnetd-certutil",
    "corosync-qnetd-tool",
    "qarbiter",
];

fn source(page: &str) -> String {
    std::fs::read_to_string(file(&format!("docs/man/{page}.8"))).unwrap()
}

/// The options that are explained in a piece of an mdoc(7) page, as they are typed.
fn explained(text: &str) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for line in text.lines() {
        let Some(tags) = line.strip_prefix(".It ").or(line.strip_prefix(".Fl ")) else {
            continue;
        };
        let mut is_flag = line.starts_with(".Fl ");
        for word in tags.split_whitespace() {
            match word {
                "Fl" => is_flag = true,
                "Ar" | "Cm" | "Ns" | "Op" => is_flag = false,
                "," => {}
                word if is_flag && word != "." => {
                    options.insert(format!("-{word}"));
                }
                _ => {}
            }
        }
    }
    options
}

/// The options in clap's help: `-l, --listen <ADDRESS>` and the like.
fn in_help(help: &str) -> BTreeSet<String> {
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .flat_map(|line| line.split("  ").next().unwrap().split(", "))
        .map(|option| option.split_whitespace().next().unwrap().to_owned())
        .collect()
}

/// The letters in a usage line of the getopt kind: `[-46dfhv] [-l listen_addr] -s|-i`.
fn in_usage(usage: &str) -> BTreeSet<String> {
    usage
        .split(|c: char| c.is_whitespace() || "[]|".contains(c))
        .filter_map(|word| word.strip_prefix('-'))
        .flat_map(|letters| letters.chars().map(|letter| format!("-{letter}")))
        .collect()
}

/// The commands of the program, with those below them.
fn commands(above: &[String]) -> Vec<Vec<String>> {
    let mut arguments: Vec<&str> = above.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = printed("qarbiter", &arguments);
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return Vec::new();
    };
    list.lines()
        .take_while(|line| !line.is_empty())
        // Further lines of an explanation are indented more.
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|line| !line.starts_with(' '))
        })
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .flat_map(|name| {
            let mut command = above.to_vec();
            command.push(name.to_owned());
            let below = commands(&command);
            std::iter::once(command).chain(below).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_command_and_option_of_qarbiter_is_in_its_page() {
    let page = source("qarbiter");
    // From heading to heading, by the words of the heading.
    let sections: Vec<(&str, &str)> = page
        .split("\n.S")
        .filter_map(|section| section.strip_prefix("s qarbiter "))
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let (_, serve) = sections
        .iter()
        .find(|(heading, _)| *heading == "serve")
        .unwrap();
    let commands = commands(&[]);
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let name = command.join(" ");
        let (_, text) = sections
            .iter()
            .find(|(heading, _)| {
                let rest = heading.strip_prefix(&name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" Ar"))
            })
            .unwrap_or_else(|| panic!("no section .Ss qarbiter {name}"));
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let wanted = in_help(&printed("qarbiter", &arguments));
        let mut explained = explained(text);
        if text.contains("Takes the options of\n.Ql qarbiter serve") {
            explained.append(&mut self::explained(serve));
        }
        let missing: Vec<_> = wanted
            .iter()
            // The same for all, explained once.
            .filter(|option| !["-h", "--help"].contains(&option.as_str()))
            .filter(|option| !explained.contains(*option))
            .collect();
        assert!(missing.is_empty(), "qarbiter {name}: {missing:?}");
        let invented: Vec<_> = explained.difference(&wanted).collect();
        assert!(invented.is_empty(), "qarbiter {name}: {invented:?}");
    }
}

#[test]
fn every_option_of_the_other_names_is_in_their_pages() {
    for (name, least) in [
        ("corosync-qnetd", 12),
        ("corosync-qnetd-tool", 7),
        ("corosync-qnetd-certutil", 5),
    ] {
        let usage = printed(name, &["-h"]);
        // The first line or two; what follows explains.
        let wanted = in_usage(usage.split("\n\n").next().unwrap());
        assert!(wanted.len() >= least, "{name}: {wanted:?}");
        let mut explained = explained(&source(name));
        assert!(explained.contains("-h"), "{name}");
        explained.remove("-h");
        let wanted: BTreeSet<_> = wanted.into_iter().filter(|option| option != "-h").collect();
        assert_eq!(explained, wanted, "{name}");
    }
}

#[test]
fn every_advanced_setting_in_the_page_exists() {
    let page = source("corosync-qnetd");
    let (_, settings) = page.split_once(".Ss Advanced settings\n").unwrap();
    let (settings, _) = settings.split_once("\n.Sh ").unwrap();
    let names: Vec<&str> = settings
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "))
        .flat_map(|names| names.split(" , "))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let setting = format!("{name}=,bogus=");
        let said = printed("corosync-qnetd", &["-f", "-S", &setting]);
        // Either its empty value is refused or the next name is.
        let unknown = format!("Unknown option '{name}'");
        assert!(!said.contains(&unknown), "{name}: {said}");
        assert!(
            said.contains("Unknown option 'bogus'") || said.contains(name),
            "{said}"
        );
    }
}

#[test]
fn pages_are_well_formed() {
    for page in PAGES {
        let path = file(&format!("docs/man/{page}.8"));
        let path = path.to_str().unwrap();
        silent("mandoc", &["-T", "lint", "-W", "warning", path]);
        assert!(
            source(page).contains(&format!("\n.Nm {page}\n.Nd ")),
            "{page}"
        );
    }
}
