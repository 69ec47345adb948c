//! Reading a file of the history: whatever is in it, what comes out can be written and read again,
//! and damage before and behind good records costs none of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qarbiter::telemetry::history::Entry;
use qarbiter::telemetry::history::segment::{HEADER, MAGIC, encode, read};

fn all(bytes: &[u8]) -> Vec<(Entry, bool)> {
    let mut entries = Vec::new();
    let found = read(bytes, |entry, carried| entries.push((entry, carried)));
    assert_eq!(found.records, entries.len());
    assert!(found.intact <= bytes.len() && found.tail <= bytes.len());
    assert!(found.records * HEADER <= bytes.len());
    entries
}

fuzz_target!(|input: (bool, usize, &[u8])| {
    let (begins, cut, bytes) = input;
    let file = match begins {
        true => [MAGIC.as_slice(), bytes].concat(),
        false => bytes.to_vec(),
    };
    let entries = all(&file);

    let mut again = MAGIC.to_vec();
    let mut ends = vec![again.len()];
    for (entry, carried) in &entries {
        encode(entry, *carried, &mut again);
        ends.push(again.len());
        // What is asked for is in no form that can't be read.
        let _ = entry.event();
    }
    assert_eq!(all(&again), entries);

    // Cut anywhere: the whole records before it are left.
    let cut = cut % (again.len() + 1);
    let whole = ends.iter().filter(|end| **end <= cut).count();
    assert_eq!(all(&again[..cut]).len(), whole.saturating_sub(1));

    // Good records behind anything: they are found again. A mark at its end would swallow some.
    let entry = Entry {
        epoch: 1,
        number: 2,
        decision: Some(3),
        cluster: None,
        message: b"x".to_vec().into(),
    };
    if !bytes.contains(&0xf5) {
        let mut behind = [MAGIC.as_slice(), bytes].concat();
        encode(&entry, true, &mut behind);
        assert_eq!(all(&behind), [(entry, true)]);
    }
});
