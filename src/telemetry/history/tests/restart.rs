//! The history across restarts, with a real thread and real files.

use super::*;
use proptest::prelude::*;
use std::path::Path;
use std::time::Instant;

const MIB: u64 = 1 << 20;

fn started(dir: &Path, max_size: u64) -> (Arc<History>, Store) {
    let history = Arc::new(History::new(Limits::with_files(max_size)));
    let store = Store::open(&history, dir, max_size).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(history.loaded());
    assert!(*history.loaded.borrow());
    (history, store)
}

fn all(history: &History) -> Vec<v1::Event> {
    history.events(0, None, usize::MAX).events
}

fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_restart_forgets_nothing_and_ids_go_on() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    let mut before: Vec<v1::Event> = Vec::new();
    let mut last: Option<String> = None;
    for round in 0..4 {
        let (history, store) = started(&dir, MIB);
        assert_eq!(history.health(), Some(Health::Good));
        assert_eq!(all(&history), before, "round {round}");
        if let Some(last) = &last {
            let at = history.place(last).unwrap();
            assert!(!at.lost);
            let next = history.events(at.cursor, None, 10);
            assert!(next.events.is_empty() && !next.gap);
        }
        history.note("arbiter_started", format!("round {round}"));
        for cluster in ["a", "b", "a"] {
            decide(&history, cluster);
        }
        if let Some(last) = &last {
            let at = history.place(last).unwrap();
            let next = history.events(at.cursor, None, 10);
            assert_eq!((next.events.len(), next.gap), (4, false));
            assert_eq!(next.events[0].message, format!("round {round}"));
        }
        before = all(&history);
        assert_eq!(before.len(), 4 * (round + 1));
        last = Some(before.last().unwrap().id.clone());
        // It is written soon, and what is not yet is written at the end.
        if round % 2 == 0 {
            drop(store);
        } else {
            let file = || std::fs::metadata(dir.join("0000000001.seg")).unwrap().len();
            let size = file();
            until(|| file() > size);
            drop(store);
        }
    }
    let mut ids: Vec<&str> = before.iter().map(|event| event.id.as_str()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 16);
    let (history, _store) = started(&dir, MIB);
    assert_eq!(numbers_of(&history, "a").len(), 8);
    assert_eq!(numbers_of(&history, "a")[0], 12);
    assert_eq!(numbers_of(&history, "b").len(), 4);
}

#[test]
fn a_clock_that_was_set_back_gives_no_id_twice() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    let (history, store) = started(&dir, MIB);
    history.kept().epoch = u64::MAX / 2;
    history.note("x", String::new());
    drop(store);
    let (later, _store) = started(&dir, MIB);
    later.note("x", String::new());
    let ids: Vec<String> = all(&later).into_iter().map(|event| event.id).collect();
    assert_eq!(
        ids,
        [
            format!("{:x}-1", u64::MAX / 2),
            format!("{:x}-2", u64::MAX / 2 + 1)
        ]
    );
}

/// Bytes of all files.
fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn a_busy_cluster_does_not_push_out_others_on_disk_either() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    let (history, store) = started(&dir, MIB);
    for n in 0..50 {
        decide(&history, &format!("quiet-{n}"));
    }
    drop(store);
    // Each round is more than there is room for.
    for round in 1..=4 {
        let (history, store) = started(&dir, MIB);
        for _ in 0..4000 {
            decide(&history, "busy");
            history.note("noise", "x".repeat(100));
        }
        drop(store);
        assert!((MIB / 2..=MIB).contains(&size(&dir)), "{}", size(&dir));
        let (history, _store) = started(&dir, MIB);
        assert_eq!(history.health(), Some(Health::Good));
        for n in 0..50 {
            let left = numbers_of(&history, &format!("quiet-{n}"));
            assert_eq!(left, [n + 1], "round {round}");
        }
        let busy = numbers_of(&history, "busy");
        assert_eq!((busy.len(), busy[0]), (32, 50 + 4000 * round));
    }
}

#[test]
fn more_decisions_than_there_is_room_for_are_shared_out() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    // 300 clusters with 20 decisions each.
    for _ in 0..4 {
        let (history, store) = started(&dir, MIB);
        for _ in 0..5 {
            for cluster in 0..300 {
                decide(&history, &format!("c{cluster}"));
            }
        }
        drop(store);
        assert!(size(&dir) <= MIB, "{}", size(&dir));
    }
    let (history, _store) = started(&dir, MIB);
    let counts: Vec<usize> = (0..300)
        .map(|n| numbers_of(&history, &format!("c{n}")).len())
        .collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least >= 3 && most - least <= 1, "{least} {most}");
}

#[test]
fn a_reader_hears_of_events_that_came_too_fast_for_the_disk() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    let (history, store) = started(&dir, 16 * MIB);
    let first = {
        history.note("x", String::new());
        all(&history)[0].id.clone()
    };
    // At once, and more than may wait.
    for _ in 0..60 {
        history.note("large", "x".repeat(100_000));
    }
    until(|| size(&dir) > 3 * MIB);
    history.note("after", String::new());
    drop(store);
    assert!(size(&dir) < 5 * MIB);
    let (later, _store) = started(&dir, 16 * MIB);
    later.note("y", String::new());
    let at = later.place(&first).unwrap();
    let page = later.events(at.cursor, None, 1000);
    assert!(page.gap && page.events.len() < 60);
    assert_eq!(page.events.last().unwrap().kind, "y");
}

#[test]
fn what_can_t_be_used_keeps_nobody_from_starting() {
    let place = tempfile::tempdir().unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let used = place.path().join("used");
    let (_first, _its_store) = started(&used, MIB);
    for dir in [&link, &file, &used] {
        let (history, store) = started(dir, MIB);
        let Some(Health::Failing(why)) = history.health() else {
            panic!("{dir:?}: {:?}", history.health());
        };
        assert!(why.contains(&dir.display().to_string()), "{why}");
        decide(&history, "a");
        assert_eq!(numbers_of(&history, "a"), [1]);
        drop(store);
    }
    assert_eq!(size(&elsewhere), 0);
}

/// What happens to a history.
#[derive(Debug, Clone)]
enum Step {
    Decide(u8),
    Note(u16),
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// While nothing is pushed out, a restart changes nothing at all.
    #[test]
    fn whatever_is_written_is_read(steps in proptest::collection::vec(prop_oneof![
        8 => (0_u8..5).prop_map(Step::Decide),
        8 => (0_u16..3000).prop_map(Step::Note),
        1 => Just(Step::Restart),
    ], 1..80)) {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("history");
        let (mut history, mut store) = started(&dir, 4 * MIB);
        for step in steps.iter().chain([&Step::Restart]) {
            match step {
                Step::Decide(cluster) => decide(&history, &format!("c{cluster}")),
                Step::Note(length) => history.note("n", "x".repeat(usize::from(*length))),
                Step::Restart => {
                    let (events, decisions) = (all(&history), history.decisions(None, 1000));
                    drop((store, history));
                    (history, store) = started(&dir, 4 * MIB);
                    prop_assert_eq!(history.health(), Some(Health::Good));
                    prop_assert_eq!(all(&history), events);
                    prop_assert_eq!(history.decisions(None, 1000), decisions);
                }
            }
        }
        drop(store);
    }
}

/// A release build takes some 70 ms for 50,000 records; this one is slower.
#[test]
fn a_full_history_of_thousands_of_clusters_is_read_at_once() {
    const CLUSTERS: u64 = 5000;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("history");
    let mut rounds = 0;
    while rounds < 2 || size(&dir) < 13 * MIB {
        let (history, store) = started(&dir, 16 * MIB);
        for cluster in 0..CLUSTERS {
            decide(&history, &format!("cluster-{cluster}"));
        }
        drop(store);
        rounds += 1;
        assert!(rounds < 30);
    }
    let begin = Instant::now();
    let (history, _store) = started(&dir, 16 * MIB);
    let loaded = begin.elapsed();
    let begin = Instant::now();
    for cluster in 0..CLUSTERS {
        let found = numbers_of(&history, &format!("cluster-{cluster}"));
        assert_eq!(found[0], (rounds - 1) * CLUSTERS + cluster + 1);
    }
    let each = begin.elapsed() / u32::try_from(CLUSTERS).unwrap();
    println!(
        "{} bytes are read in {loaded:?}, a cluster's decisions in {each:?}",
        size(&dir)
    );
    assert!(loaded < Duration::from_secs(3), "{loaded:?}");
    assert!(each < Duration::from_millis(1), "{each:?}");
    let kept = history.kept();
    assert!(kept.event_bytes <= 4 << 20 && kept.decision_bytes <= 8 << 20);
}
