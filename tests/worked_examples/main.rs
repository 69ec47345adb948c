//! Every worked example of the algorithms specification, section 11, against the pure engine in
//! virtual time, under the reference's rules and under ours.
//!
//! A row is written as the specification writes it; [`script`] says what the words mean.
//! `docs/COMPATIBILITY.md` names these tests.

// The helpers of a test fail it by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod ffsplit;
mod lms;
mod script;
mod test_algorithm;
mod two_node_lms;
mod world;

use qarbiter::wire::{Algorithm, TieBreaker};
use script::{Line, Mode, Row};
use world::World;

/// The rows of one algorithm. Rows that only others start from are not tests themselves.
pub(crate) struct Table {
    algorithm: Algorithm,
    rows: &'static [Row],
}

/// One test per row: `f01 = "F01"` makes a test `f01` of row F01 of the module's `TABLE`.
macro_rules! one_test_per_row {
    ($($name:ident = $id:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                crate::check(&TABLE, $id);
            }
        )+

        #[test]
        fn every_row_is_a_test() {
            crate::assert_all_tested(&TABLE, &[$($id),+]);
        }
    };
}
pub(crate) use one_test_per_row;

impl Table {
    fn row(&self, id: &str) -> &Row {
        let found = self.rows.iter().find(|row| row.id == id);
        found.unwrap_or_else(|| panic!("there is no row {id:?}"))
    }

    /// The rows to run for `id`: where it starts from, and so on, first.
    fn history(&self, id: &str) -> Vec<&Row> {
        let row = self.row(id);
        let mut rows = match row.start() {
            "none" => Vec::new(),
            start => self.history(start.strip_prefix("end of ").unwrap_or(start)),
        };
        rows.push(row);
        rows
    }
}

/// Runs a row under all rules and reports everything that differs from what it says.
fn check(table: &Table, id: &str) {
    let problems: Vec<String> = Mode::ALL
        .into_iter()
        .flat_map(|mode| run(table, id, mode))
        .collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn run(table: &Table, id: &str, mode: Mode) -> Vec<String> {
    let rows = table.history(id);
    let tie_breaker = rows.iter().rev().find_map(|row| row.tie_breaker());
    let mut world = World::new(
        mode,
        table.algorithm,
        tie_breaker.unwrap_or(TieBreaker::Lowest),
    );
    for (name, node) in rows.iter().flat_map(|row| row.nodes()) {
        world.name_node(name, node);
    }
    let mut problems = Vec::new();
    for row in rows {
        for line in row.lines().iter().filter(|line| line.applies_to(mode)) {
            check_line(&mut world, row, line, mode, &mut problems);
        }
    }
    problems
}

fn check_line(world: &mut World, row: &Row, line: &Line, mode: Mode, problems: &mut Vec<String>) {
    for event in &line.events {
        world.happens(event);
    }
    let expected = line.expected(mode);
    let got = world.take_received();
    let at = format!("{} {mode:?}: {}", row.id, line.text);
    if got != *expected {
        let (expected, got) = (script::render(expected), script::render(&got));
        problems.push(format!("{at}\n    expected {expected}\n    got      {got}"));
    }
    problems.extend(
        world
            .take_violations()
            .into_iter()
            .map(|what| format!("{at}\n    {what}")),
    );
}

/// Rows named in the specification that no test names would be forgotten silently.
fn assert_all_tested(table: &Table, tested: &[&str]) {
    let is_base = |id: &str| id.contains(' ');
    let rows: Vec<&str> = table.rows.iter().map(|row| row.id).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|id| !is_base(id)).collect();
    assert_eq!(rows, tested);
}

#[test]
fn no_worked_example_is_missing() {
    let sections = [
        (&ffsplit::TABLE, 'F', 29),
        (&lms::TABLE, 'L', 21),
        (&two_node_lms::TABLE, 'T', 8),
        (&test_algorithm::TABLE, 'E', 3),
    ];
    for (table, letter, count) in sections {
        for number in 1..=count {
            table.row(&format!("{letter}{number:02}"));
        }
    }
}
