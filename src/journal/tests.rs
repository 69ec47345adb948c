//! What survives what.

use super::*;
use crate::engine::Partition;
use crate::wire::{Algorithm, NodeId, RingId};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::channel;
use std::time::Instant;

fn system(boot: &str, uptime_s: u64) -> System {
    System {
        boot: boot.to_owned(),
        machine: "machine".to_owned(),
        uptime: Duration::from_secs(uptime_s),
    }
}

fn grant(cluster: &str, epoch: u64) -> Grant {
    Grant {
        cluster: ClusterName::new(cluster.as_bytes()),
        epoch,
        partition: Partition {
            ring: RingId::new(1, 4 * epoch),
            nodes: vec![NodeId(1), NodeId(2)],
        },
        algorithm: Algorithm::Lms,
        heartbeats: [(NodeId(1), 8000), (NodeId(2), 10_000)].into(),
    }
}

/// Opens, writes grants, and waits until they are written.
fn write(dir: &Path, system: &System, grants: &[Grant]) -> Journal {
    let (journal, _) = open_on(dir, 1, system).unwrap();
    for grant in grants {
        let (sender, written) = channel();
        journal.record(grant.clone(), false, move || sender.send(()).unwrap());
        written.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    journal
}

fn file(dir: &Path) -> PathBuf {
    dir.join("grants-1.journal")
}

/// What a killed process leaves: the file as it is, in another directory.
fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(file(dir), file(copy.path())).unwrap();
    copy
}

fn read(dir: &Path, system: &System) -> Restored {
    open_on(dir, 1, system).unwrap().1
}

#[test]
fn the_last_grant_of_each_cluster_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let here = system("a", 500);
    let grants = [grant("x", 1), grant("y", 1), grant("x", 2)];
    let journal = write(dir.path(), &here, &grants);
    journal.clear(ClusterName::new(b"y"));
    journal.record(grant("z", 1), true, || {});
    drop(journal);
    let restored = read(killed(dir.path()).path(), &here);
    assert_eq!(restored.grants, [grant("x", 2), grant("z", 1)]);
    assert_eq!(restored.doubt, None);
}

#[test]
fn how_a_process_ended_says_what_may_be_missing() {
    let lease = lease_time(Duration::from_secs(10));
    let seconds = Duration::from_secs;
    let power_loss = |left| Some((Doubt::PowerLoss, left));
    let cases = [
        // Boot and uptime of the next process, whether the first ended in good order.
        (system("a", 500), false, None),
        (system("b", 500), true, None),
        (system("b", 500), false, None),
        (system("b", 5), false, power_loss(lease - seconds(5))),
        (
            System {
                machine: "other".to_owned(),
                ..system("b", 500)
            },
            false,
            power_loss(lease),
        ),
        (
            System {
                boot: String::new(),
                ..system("", 5)
            },
            false,
            power_loss(lease - seconds(5)),
        ),
    ];
    for (next, in_good_order, doubt) in cases {
        let dir = tempfile::tempdir().unwrap();
        let journal = write(dir.path(), &system("a", 400), &[grant("x", 1)]);
        let copy = killed(dir.path());
        drop(journal);
        let dir = if in_good_order { &dir } else { &copy };
        let restored = read(dir.path(), &next);
        assert_eq!(restored.grants, [grant("x", 1)]);
        assert_eq!(restored.doubt, doubt, "{next:?}");
    }
}

/// Otherwise an arbiter that a service manager starts again and again would wait only once.
#[test]
fn a_restart_does_not_shorten_a_doubt() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(dir.path(), &system("a", 400), &[grant("x", 1)]));
    let mut bytes = fs::read(file(dir.path())).unwrap();
    bytes.push(0);
    fs::write(file(dir.path()), &bytes).unwrap();
    let lease = lease_time(Duration::from_secs(10));
    let doubt = |uptime| read(killed(dir.path()).path(), &system("a", uptime)).doubt;

    let first = open_on(dir.path(), 1, &system("a", 500)).unwrap();
    assert!(matches!(first.1.doubt, Some((Doubt::Damaged { .. }, left)) if left == lease));
    assert_eq!(
        doubt(505),
        Some((Doubt::Before, lease - Duration::from_secs(5)))
    );
    assert_eq!(doubt(500 + lease.as_secs()), None);
}

#[test]
fn time_since_an_orderly_end_counts() {
    let dir = tempfile::tempdir().unwrap();
    drop(write(dir.path(), &System::current(), &[grant("x", 1)]));
    let mut later = System::current();
    later.uptime += Duration::from_secs(10);
    let passed = read(dir.path(), &later).ended_before;
    assert!((10..20).contains(&passed.as_secs()), "{passed:?}");
}

#[test]
fn whatever_is_cut_off_or_altered_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let here = system("a", 500);
    let journal = write(dir.path(), &here, &[grant("x", 1), grant("y", 1)]);
    let whole = fs::read(file(dir.path())).unwrap();
    drop(journal);
    let ends: Vec<usize> = {
        let mut ends = vec![8];
        while let Some((_, length)) = record::decode(&whole[ends[ends.len() - 1]..]) {
            ends.push(ends[ends.len() - 1] + length);
        }
        ends
    };
    assert_eq!(ends.len(), 4, "start and two grants");
    let check = |bytes: &[u8], intact: usize, whole_entries: bool| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path()), bytes).unwrap();
        let restored = read(dir.path(), &here);
        assert_eq!(restored.grants.len(), intact.saturating_sub(2));
        let doubt = matches!(restored.doubt, Some((Doubt::Damaged { .. }, wait)) if wait >= lease_time(USUAL_HEARTBEAT));
        assert_eq!(doubt, !whole_entries, "{intact}");
    };
    for cut in 1..whole.len() {
        let intact = ends.iter().filter(|end| **end <= cut).count();
        check(&whole[..cut], intact, ends.contains(&cut));
    }
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        let intact = ends.iter().filter(|end| **end <= at).count();
        check(&altered, intact, false);
    }
}

#[test]
fn a_damaged_file_is_kept_and_the_intact_part_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let here = system("a", 500);
    drop(write(dir.path(), &here, &[grant("x", 1)]));
    let mut bytes = fs::read(file(dir.path())).unwrap();
    bytes.extend_from_slice(b"garbage");
    fs::write(file(dir.path()), &bytes).unwrap();
    let (journal, restored) = open_on(dir.path(), 1, &here).unwrap();
    let Some((Doubt::Damaged { copy, .. }, _)) = restored.doubt else {
        panic!("{:?}", restored.doubt)
    };
    assert_eq!(fs::read(copy.unwrap()).unwrap(), bytes);
    drop(journal);
    // When the wait is over.
    let restored = read(dir.path(), &system("a", 600));
    assert_eq!(
        (restored.grants, restored.doubt),
        (vec![grant("x", 1)], None)
    );
}

#[test]
fn the_file_stays_short() {
    let dir = tempfile::tempdir().unwrap();
    let here = system("a", 500);
    let (journal, _) = open_on(dir.path(), 1, &here).unwrap();
    for epoch in 1..=20_000 {
        journal.record(grant("x", epoch), false, || {});
    }
    let give_up = Instant::now() + Duration::from_secs(20);
    while fs::metadata(file(dir.path())).unwrap().len() > 64 * 1024 {
        assert!(Instant::now() < give_up, "it stays long");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(journal);
    assert_eq!(read(dir.path(), &here).grants, [grant("x", 20_000)]);
}

#[test]
fn what_root_writes_belongs_to_the_daemons_user() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(12_345), Some(12_346)).unwrap();
    drop(write(&dir, &system("a", 500), &[grant("alpha", 1)]));
    for path in [file(&dir), dir.join("grants-1.journal.lock")] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 12_346));
    }
}

/// The daemon's user may have been taken over when root runs the arbiter.
#[test]
fn no_link_is_followed() {
    let place = tempfile::tempdir().unwrap();
    let precious = place.path().join("precious");
    for name in [
        "grants-1.journal",
        "grants-1.journal.new",
        "grants-1.journal.lock",
        "grants-1.journal.damaged",
    ] {
        fs::write(&precious, "precious").unwrap();
        let dir = place.path().join(format!("for {name}"));
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(12_345), Some(12_346)).unwrap();
        if name.ends_with("damaged") {
            fs::write(
                file(&dir),
                "not a journal, and long enough to be called damaged",
            )
            .unwrap();
        }
        std::os::unix::fs::symlink(&precious, dir.join(name)).unwrap();
        if let Ok((journal, _)) = open_on(&dir, 1, &system("a", 500)) {
            drop(journal);
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious", "{name}");
        assert_eq!(fs::metadata(&precious).unwrap().uid(), 0, "{name}");
    }
}

#[test]
fn two_arbiters_do_not_share_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 1).unwrap();
    assert!(matches!(open(dir.path(), 1), Err(JournalError::InUse(_))));
    open(dir.path(), 2).unwrap();
    drop(first);
    open(dir.path(), 1).unwrap();
}

#[test]
fn a_disk_that_hangs_is_noticed_and_so_is_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_on(dir.path(), 1, &system("a", 500)).unwrap();
    let (sender, blocked) = channel::<()>();
    // Whatever keeps the thread from going on.
    journal.record(grant("x", 1), false, move || blocked.recv().unwrap());
    let (written, done) = channel();
    journal.record(grant("x", 2), false, move || written.send(()).unwrap());
    let wait = |is_so: &dyn Fn(&Health) -> bool| {
        let begin = Instant::now();
        loop {
            journal.look();
            if is_so(&journal.health()) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let took = wait(
        &|health| matches!(health, Health::Failing(why) if why.ends_with("grants-1.journal: the disk does not answer")),
    );
    assert!(took > Duration::from_secs(1), "{took:?}");
    assert_eq!(journal.figures().pending, 1);
    assert_eq!(journal.figures().failures, 1);
    sender.send(()).unwrap();
    done.recv_timeout(Duration::from_secs(10)).unwrap();
    wait(&|health| *health == Health::Good);
    assert_eq!(journal.figures().pending, 0);
}
