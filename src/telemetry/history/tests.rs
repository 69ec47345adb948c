//! What is kept, for how long, and how reading goes on.

mod restart;

use super::*;
use crate::engine::snapshot::Input;
use crate::engine::{Decision, Rule, Time};
use crate::telemetry::observer::{Decided, What};
use crate::wire::{Algorithm, NodeId, RingId};

fn decided(cluster: &str) -> Record {
    let decision = Decision {
        at: Time::ZERO,
        winner: None,
        rule: Rule::NoHalf { configured: 4 },
        waiting: None,
    };
    let input = Input {
        node: NodeId(1),
        ring: RingId::new(1, 4),
        membership: None,
        configured: 4,
        heuristics: None,
    };
    Record {
        at: UNIX_EPOCH + Duration::from_secs(7),
        what: What::Decided(Box::new(Decided {
            cluster: ClusterName::new(cluster.as_bytes()),
            algorithm: Algorithm::FfSplit,
            node: None,
            decision,
            inputs: vec![input],
        })),
    }
}

fn decide(history: &History, cluster: &str) {
    history.add_all(&mut vec![decided(cluster)]);
}

/// The numbers of a cluster's decisions, the latest first.
fn numbers_of(history: &History, cluster: &str) -> Vec<u64> {
    let name = ClusterName::new(cluster.as_bytes());
    let decisions = history.decisions(Some(&name), 100);
    decisions.iter().filter_map(|d| d.number).collect()
}

#[test]
fn decisions_are_kept_by_cluster_within_a_limit() {
    let limits = Limits {
        decisions: 3,
        ..Limits::default()
    };
    let history = History::new(limits);
    decide(&history, "quiet");
    for _ in 0..10 {
        decide(&history, "busy");
    }
    assert_eq!(numbers_of(&history, "quiet"), [1]);
    assert_eq!(numbers_of(&history, "busy"), [11, 10, 9]);
    assert_eq!(history.decisions(None, 2).len(), 2);
    let first = history
        .decisions(Some(&ClusterName::new(b"quiet")), 1)
        .remove(0);
    assert_eq!(first.unix_ms, 7000);
    assert_eq!(
        (first.outcome.as_str(), first.rule.as_str()),
        ("nobody", "no_half")
    );
    assert_eq!(first.inputs.len(), 1);
}

#[test]
fn the_bytes_of_all_decisions_are_bounded() {
    let limits = Limits {
        decision_bytes: 5000,
        event_bytes: 3000,
        ..Limits::default()
    };
    let history = History::new(limits);
    for cluster in 0..1000 {
        decide(&history, &format!("c{cluster}"));
    }
    let all = history.decisions(None, 1000).len();
    assert!((10..30).contains(&all), "{all}");
    assert!((4..15).contains(&history.events(0, None, 1000).events.len()));
    assert!(history.knows(&ClusterName::new(b"c999")));
    assert!(!history.knows(&ClusterName::new(b"c0")));
}

#[test]
fn clusters_with_many_decisions_make_room_for_those_with_few() {
    let limits = Limits {
        decision_bytes: 20_000,
        event_bytes: 1000,
        ..Limits::default()
    };
    let history = History::new(limits);
    decide(&history, "quiet");
    for n in 0..1000 {
        decide(&history, &format!("busy-{}", n % 7));
    }
    assert_eq!(numbers_of(&history, "quiet"), [1]);
    let counts: Vec<usize> = (0..7)
        .map(|n| numbers_of(&history, &format!("busy-{n}")).len())
        .collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least >= 2 && most - least <= 1, "{counts:?}");
}

#[test]
fn reading_goes_on_where_it_ended_and_tells_of_gaps() {
    let history = History::new(Limits {
        event_bytes: 2500,
        ..Limits::default()
    });
    for _ in 0..3 {
        decide(&history, "a");
        decide(&history, "b");
    }
    let page = history.events(0, None, 4);
    assert_eq!((page.events.len(), page.cursor, page.gap), (4, 4, false));
    let at = |cursor, lost| Ok(Place { cursor, lost });
    let id = &page.events.last().unwrap().id;
    assert_eq!(history.place(id), at(4, false));
    assert_eq!(history.events(4, None, 100).events.len(), 2);
    let name = ClusterName::new(b"b");
    let page = history.events(0, Some(&name), 100);
    assert_eq!((page.events.len(), page.cursor), (3, 6));
    for _ in 0..100 {
        decide(&history, "a");
    }
    assert!(history.events(4, None, 100).gap);
    assert_eq!(history.place("0-4"), at(0, true));
    assert_eq!(history.place(&history.id(10_000)), at(0, true));
    assert_eq!(history.place(&history.id(0)), at(0, false));
    for wrong in ["", "-", "1", "x-1", "1-x", "1-1-1"] {
        assert!(history.place(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_decisions_of_a_cluster_go_further_back_than_events() {
    let history = History::new(Limits {
        event_bytes: 2500,
        ..Limits::default()
    });
    decide(&history, "quiet");
    for _ in 0..100 {
        decide(&history, "busy");
    }
    let quiet = ClusterName::new(b"quiet");
    assert!(history.events(0, Some(&quiet), 100).events.is_empty());
    for only_decisions in [false, true] {
        let (entries, last) = history.all(Some(&quiet), only_decisions);
        assert_eq!((entries.len(), entries[0].number, last), (1, 1, 101));
    }
    let (all, _) = history.all(None, false);
    let numbers: Vec<u64> = all.iter().map(|entry| entry.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers[0], 1);
    assert_eq!(*numbers.last().unwrap(), 101);
}
