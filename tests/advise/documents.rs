//! The tables for operators say what the program computes.

use qarbiter::advice::conf::algorithm;
use qarbiter::engine::quorum::arithmetic;

/// The cells of the rows of the first table behind a heading.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('*').to_owned())
                .collect()
        })
        .collect();
    assert!(rows.len() > 2, "no table behind {heading:?} in {document}");
    // Without the heads and the line below them.
    rows[2..].to_vec()
}

#[test]
fn the_readme_says_how_many_nodes_may_fail() {
    let rows = table("README.md", "## How many nodes?");
    for row in &rows {
        let [nodes, name, device, up, down] = row.as_slice() else {
            panic!("{row:?} has not five cells");
        };
        let sums = arithmetic(nodes.parse().unwrap(), algorithm(name).unwrap()).unwrap();
        let computed = [
            sums.device_votes,
            sums.tolerated_with_arbiter,
            sums.tolerated_without_arbiter,
        ];
        assert_eq!(
            [device, up, down].map(|cell| cell.parse::<u32>().unwrap()),
            computed,
            "{row:?}"
        );
    }
    assert!(rows.len() >= 5, "{rows:?}");
}

#[test]
fn the_guide_for_nodes_has_the_same_numbers() {
    let rows = table("docs/NODES.md", "## The numbers");
    for row in &rows {
        let numbers: Vec<u32> = row.iter().map(|cell| cell.parse().unwrap()).collect();
        let [nodes, none, ff_up, ff_down, lms_up, lms_down] = numbers.as_slice() else {
            panic!("{row:?} has not six cells");
        };
        let ffsplit = arithmetic(*nodes, algorithm("ffsplit").unwrap()).unwrap();
        let lms = arithmetic(*nodes, algorithm("lms").unwrap()).unwrap();
        assert_eq!(*none, ffsplit.tolerated_with_no_device, "{row:?}");
        let computed = (
            ffsplit.tolerated_with_arbiter,
            ffsplit.tolerated_without_arbiter,
        );
        assert_eq!((*ff_up, *ff_down), computed, "{row:?}");
        let computed = (lms.tolerated_with_arbiter, lms.tolerated_without_arbiter);
        assert_eq!((*lms_up, *lms_down), computed, "{row:?}");
    }
    assert!(rows.len() >= 7, "{rows:?}");
}
