//! The files: damage, limits, what the system refuses, and who may read them.

use super::*;
use crate::wire::ClusterName;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

fn entry(number: u64, cluster: &str, bytes: usize) -> Entry {
    Entry {
        epoch: 7,
        number,
        decision: Some(number),
        cluster: Some(ClusterName::new(cluster.as_bytes())),
        message: vec![b'x'; bytes].into(),
    }
}

fn append(disk: &mut Disk, numbers: impl IntoIterator<Item = u64>) -> io::Result<()> {
    let mut entries = numbers.into_iter().map(|n| entry(n, "a", 100)).collect();
    disk.append(&mut entries, &|_| false)
}

fn load(disk: &mut Disk) -> (Vec<u64>, Vec<Damage>) {
    let mut numbers = Vec::new();
    let damages = disk.load(|entry, _| numbers.push(entry.number));
    (numbers, damages)
}

fn reopened(path: &Path) -> (Disk, Vec<u64>, Vec<Damage>) {
    let mut disk = Disk::open(path, 1 << 20).unwrap();
    let (numbers, damages) = load(&mut disk);
    (disk, numbers, damages)
}

/// A history of three records, and where each ends.
fn three(path: &Path) -> (Vec<u8>, [usize; 3]) {
    let mut disk = Disk::open(path, 1 << 20).unwrap();
    let mut ends = [0; 3];
    for (end, number) in ends.iter_mut().zip(1..) {
        append(&mut disk, [number]).unwrap();
        *end = usize::try_from(disk.total()).unwrap();
    }
    (std::fs::read(path.join(name(1))).unwrap(), ends)
}

#[test]
fn a_file_that_was_cut_anywhere_goes_on_behind_its_last_whole_record() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let (bytes, ends) = three(&path);
    for length in 0..=bytes.len() {
        std::fs::write(path.join(name(1)), &bytes[..length]).unwrap();
        let whole: Vec<u64> = (1..)
            .zip(ends)
            .filter(|(_, end)| *end <= length)
            .map(|(n, _)| n)
            .collect();
        let (mut disk, numbers, damages) = reopened(&path);
        assert_eq!((&numbers, damages), (&whole, vec![]), "{length}");
        append(&mut disk, [4, 5]).unwrap();
        drop(disk);
        let (_, numbers, damages) = reopened(&path);
        let expected = [whole, vec![4, 5]].concat();
        assert_eq!((numbers, damages), (expected, vec![]), "{length}");
        for file in std::fs::read_dir(&path).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_record() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let (bytes, ends) = three(&path);
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(path.join(name(1)), &damaged).unwrap();
        let (mut disk, numbers, damages) = reopened(&path);
        let hit = (1..).zip(ends).find(|(_, end)| place < *end).unwrap().0;
        let left: Vec<u64> = match place {
            // Without what a file begins with it is none of ours.
            0..8 => vec![],
            _ => (1..=3).filter(|n| *n != hit).collect(),
        };
        assert_eq!(numbers, left, "{place}");
        // The end of the last file is no damage: it looks the same after a power loss.
        assert_eq!(
            damages.is_empty(),
            place >= 8 && hit == 3,
            "{place}: {damages:?}"
        );
        append(&mut disk, [4]).unwrap();
        drop(disk);
        let (_, numbers, _) = reopened(&path);
        assert_eq!(numbers, [left, vec![4]].concat(), "{place}");
        for file in std::fs::read_dir(&path).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn damage_in_older_files_is_told_and_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let mut disk = Disk::open(&path, 1 << 20).unwrap();
    append(&mut disk, 1..=3000).unwrap();
    drop(disk);
    let (_, numbers, damages) = reopened(&path);
    assert_eq!((numbers.len(), damages.len()), (3000, 0));
    // The first file is no longer one, the second one ends in the middle.
    std::fs::write(path.join(name(1)), "something else").unwrap();
    let second = path.join(name(2));
    let length = std::fs::metadata(&second).unwrap().len();
    File::options()
        .write(true)
        .open(&second)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    let (_, numbers, damages) = reopened(&path);
    assert!((200..2500).contains(&numbers.len()), "{}", numbers.len());
    assert_eq!(*numbers.last().unwrap(), 3000);
    let files: Vec<&Path> = damages.iter().map(|damage| damage.file.as_path()).collect();
    assert_eq!(files, [path.join(name(1)), second]);
}

#[test]
fn somebody_s_marks_without_end_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let (good, ends) = three(&path);
    // Each asks for the checksum of almost a record of the largest kind.
    let mut bad = MAGIC.to_vec();
    for _ in 0..400_000 {
        bad.extend_from_slice(b"\xf5qhe\x00\x00\x3f\x00\x01\x02\x03\x04");
    }
    bad.extend_from_slice(&good[8..ends[0]]);
    std::fs::write(path.join(name(1)), bad).unwrap();
    // What else runs here shall not count.
    let worked = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let begin = worked();
    let (_, numbers, _) = reopened(&path);
    assert!(numbers.is_empty());
    let took = worked() - begin;
    assert!(took.tv_sec < 2, "{took:?}");
}

#[test]
fn old_segments_go_and_what_counts_is_carried_over() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let mut disk = Disk::open(&path, 1 << 20).unwrap();
    let is_kept = |number| number % 500 == 0;
    for number in 1..=30_000 {
        let mut one = VecDeque::from([entry(number, "a", 100)]);
        disk.append(&mut one, &is_kept).unwrap();
        assert!(one.is_empty());
        assert!(disk.total() <= 1 << 20);
    }
    let on_disk: u64 = std::fs::read_dir(&path)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(on_disk, disk.total());
    drop(disk);
    let mut disk = Disk::open(&path, 1 << 20).unwrap();
    let (mut kept, mut row) = (Vec::new(), Vec::new());
    let damages = disk.load(|entry, carried| match carried {
        true => kept.push(entry.number),
        false => row.push(entry.number),
    });
    assert!(damages.is_empty());
    let first = row[0];
    assert_eq!(row, (first..=30_000).collect::<Vec<_>>());
    assert!(row.len() > 5000, "{}", row.len());
    kept.sort_unstable();
    let expected: Vec<u64> = (1..first).filter(|n| is_kept(*n)).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_smaller_limit_counts_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    let mut disk = Disk::open(&path, 8 << 20).unwrap();
    append(&mut disk, 1..=40_000).unwrap();
    drop(disk);
    let mut disk = Disk::open(&path, 1 << 20).unwrap();
    assert!(load(&mut disk).0.len() > 20_000);
    assert!(disk.total() > 4 << 20);
    append(&mut disk, [40_001]).unwrap();
    assert!(disk.total() <= 1 << 20);
    drop(disk);
    assert_eq!(reopened(&path).1.last(), Some(&40_001));
}

#[test]
fn files_are_for_owner_and_group_and_never_follow_links() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // As root on a directory of the daemon's user.
    std::os::unix::fs::chown(&data, Some(12_345), Some(12_346)).unwrap();
    let path = data.join("history");
    let mut disk = Disk::open(&path, 1 << 20).unwrap();
    append(&mut disk, [1]).unwrap();
    drop(disk);
    for (path, mode) in [(path.clone(), 0o750), (path.join(name(1)), 0o640)] {
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode);
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 12_346));
    }
    // Links and other things in the place of files are left alone.
    let victim = place.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::fs::remove_file(path.join(name(1))).unwrap();
    std::os::unix::fs::symlink(&victim, path.join(name(1))).unwrap();
    std::fs::create_dir(path.join(name(2))).unwrap();
    std::fs::write(path.join("notes.txt"), "x").unwrap();
    let (mut disk, numbers, damages) = reopened(&path);
    assert_eq!((numbers, damages), (vec![], vec![]));
    append(&mut disk, [2]).unwrap();
    assert!(path.join(name(3)).is_file());
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_number_that_something_else_has_is_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("history");
    three(&path);
    std::fs::create_dir(path.join(name(2))).unwrap();
    std::os::unix::fs::symlink("/nonexistent", path.join(name(3))).unwrap();
    let (mut disk, _, _) = reopened(&path);
    disk.close_segment();
    append(&mut disk, [4]).unwrap();
    assert!(path.join(name(4)).is_file());
    drop(disk);
    let (_, numbers, damages) = reopened(&path);
    assert_eq!((numbers, damages), (vec![1, 2, 3, 4], vec![]));
}

#[test]
fn a_full_disk_loses_nothing_that_waits() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(path)
        .status();
    assert!(mounted.unwrap().success(), "root may mount a tmpfs");
    let outcome = std::panic::catch_unwind(|| fill(path));
    let _ = Command::new("umount").arg("-l").arg(path).status();
    outcome.unwrap();
}

fn fill(path: &Path) {
    let filler = path.join("filler");
    let history = path.join("history");
    std::fs::write(&filler, vec![0; 128 * 1024]).unwrap();
    let mut disk = Disk::open(&history, 1 << 20).unwrap();
    let mut waiting: VecDeque<Entry> = (1..=1500).map(|n| entry(n, "a", 100)).collect();
    let refused = disk.append(&mut waiting, &|_| false).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(!waiting.is_empty());
    // Once more while it is still full, and then there is room.
    disk.append(&mut waiting, &|_| false).unwrap_err();
    std::fs::remove_file(&filler).unwrap();
    waiting.truncate(100);
    let last = waiting.back().unwrap().number;
    disk.append(&mut waiting, &|_| false).unwrap();
    drop(disk);
    let (_, numbers, damages) = reopened(&history);
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
    assert_eq!(damages, []);

    // A disk that can only be read: what is there counts.
    let remount = |how: &str| {
        let how = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &how]).arg(path).status();
        assert!(done.unwrap().success(), "root may mount again");
    };
    remount("ro");
    let (mut disk, numbers, _) = reopened(&history);
    assert_eq!(*numbers.last().unwrap(), last);
    let mut waiting = VecDeque::from([entry(last + 1, "a", 100)]);
    disk.append(&mut waiting, &|_| false).unwrap_err();
    // Nothing is there and nothing can be made: that is tried again.
    let mut other = Disk::open(&path.join("other"), 1 << 20).unwrap();
    assert!(load(&mut other).0.is_empty());
    append(&mut other, [1]).unwrap_err();
    remount("rw");
    disk.append(&mut waiting, &|_| false).unwrap();
    append(&mut other, [1]).unwrap();
    drop((disk, other));
    assert_eq!(*reopened(&history).1.last().unwrap(), last + 1);
    assert_eq!(reopened(&path.join("other")).1, [1]);
}
