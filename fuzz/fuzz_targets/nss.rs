//! A database that holds anything: no panic, nothing without bound.
//!
//! The first byte chooses between the decoder of encrypted values by itself, and a whole file of a
//! database of which some bytes are changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qarbiter::pki::nss::crypto::PassKey;
use qarbiter::pki::{Access, Profile, Store};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::SystemTime;

const FILES: [&str; 2] = ["cert9.db", "key4.db"];

/// A directory to damage, and what its files are like.
static WHOLE: LazyLock<(PathBuf, [Vec<u8>; 2])> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("qarbiter-fuzz-nss-{}", std::process::id()));
    Store::create(&path, Access::Owner, Profile::default(), SystemTime::now()).unwrap();
    let files = FILES.map(|file| fs::read(path.join(file)).unwrap());
    (path, files)
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => database(data, 0),
        1 => database(data, 1),
        _ => value(data),
    }
});

/// What was encrypted decrypts to itself, and anything else to something or an error.
fn value(data: &[u8]) {
    let key = PassKey::derive(b"salt", b"");
    let encrypted = key.encrypt(data).unwrap();
    assert_eq!(key.decrypt(&encrypted).unwrap().as_slice(), data);
    let _ = key.decrypt(data);
}

/// Each three bytes of `data` change one byte: two say which, one how.
fn database(data: &[u8], which: usize) {
    let (path, whole) = &*WHOLE;
    let mut changed = whole[which].clone();
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= change[2];
        }
    }
    fs::write(path.join(FILES[which]), &changed).unwrap();
    let _ = Store::open(path).map(|store| store.authority());
    fs::write(path.join(FILES[which]), &whole[which]).unwrap();
}
