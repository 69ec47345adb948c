//! Random settings and random texts.

use super::*;
use crate::config::error::Origin;
use crate::config::{ConfigError, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A value for each of some settings, by the index in [`VALUES`], and where it is said.
fn some_settings() -> impl Strategy<Value = BTreeMap<usize, u8>> {
    prop::collection::btree_map(0..VALUES.len(), 0..3_u8, 0..VALUES.len())
}

proptest! {
    /// Whatever is in the file: there are settings, or errors that say where.
    #[test]
    fn any_text_gives_an_answer(text in "[a-z\\[\\]\"'=.,{}#0-9\u{e4}\n\t -]{0,60}", known in 0..VALUES.len()) {
        let (path, good, _) = VALUES[known];
        for text in [text.clone(), format!("{path} = {text}"), format!("{path} = {good}\n{text}")] {
            let Err(errors) = from_file(&text) else { continue };
            for error in &errors {
                let ConfigError::At { place: Origin::File { line, column, .. }, .. } = error else {
                    panic!("{error}");
                };
                // The end of the file is a place too.
                prop_assert!((1..=text.matches('\n').count() + 1).contains(line), "{error}");
                let longest = text.split('\n').map(|line| line.chars().count()).max();
                prop_assert!((1..=longest.unwrap_or(0) + 1).contains(column), "{error}");
            }
        }
    }

    #[test]
    fn what_is_shown_means_the_same_in_a_file(
        chosen in some_settings(),
        clusters in prop::collection::btree_map("[^\\]\\[,=\u{0}]{1,12}", any::<(bool, bool)>(), 0..4),
    ) {
        let mut text = String::new();
        let mut environment = Vec::new();
        let mut line = CommandLine::default();
        for (index, place) in chosen {
            let (path, good, _) = VALUES[index];
            let key = key(path);
            match (place, key.advanced) {
                (0, _) => text += &format!("{path} = {good}\n"),
                (1, _) | (_, None) => environment.push((key.variable(), bare(good))),
                (_, Some(name)) => {
                    let value = match good {
                        "true" => "on".to_owned(),
                        "false" => "off".to_owned(),
                        other => bare(other),
                    };
                    line.advanced(&format!("{name}={value}")).unwrap();
                }
            }
        }
        for (name, (manual, reference)) in &clusters {
            let holder = if *manual { "manual" } else { "timed" };
            line.advanced(&format!("lost_holder[{name}]={holder}")).unwrap();
            if *reference {
                text += &format!("cluster.{}.rules = \"reference\"\n", Value::Text(name.clone()));
            }
        }
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let first = load_all(&text, &environment, line).unwrap();
        for origins in [false, true] {
            let second = from_file(&first.show(origins)).unwrap();
            prop_assert_eq!(&second.settings, &first.settings);
            prop_assert_eq!(second.show(false), first.show(false));
        }
    }
}
