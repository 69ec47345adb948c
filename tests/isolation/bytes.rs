//! Bytes that are no messages.

use std::io::Write;
use std::time::{Duration, Instant};

use qarbiter::wire::{ClusterName, Message, MessageType};

use crate::raw::{Raw, frame};
use crate::victim::Scene;

const WHILE: Duration = Duration::from_millis(1500);

#[test]
fn huge_announced_lengths() {
    let mut scene = Scene::new(&[]);
    let sent = scene.under("huge announced lengths", |scene| {
        let address = scene.arbiter.address;
        let attackers: Vec<_> = [0, 3, 10, 999]
            .map(|kind| {
                std::thread::spawn(move || {
                    let mut raw = Raw::named(address, "attacker");
                    // 4 GiB announced; as many as the time allows follow.
                    raw.stream.write_all(&frame(kind, u32::MAX, b"")).unwrap();
                    raw.flood(&[0xa5; 65_536], WHILE)
                })
            })
            .into();
        let counts = attackers.into_iter().map(|one| one.join().unwrap());
        counts.sum::<usize>()
    });
    println!("{} MiB were sent", sent / 16);
    assert!(sent > 16, "the attack did not get through");
}

#[test]
fn endless_unknown_messages() {
    let mut scene = Scene::new(&[]);
    let many = frame(999, 0, b"").repeat(1000);
    let sent = scene.under("endless unknown messages", |scene| {
        Raw::named(scene.arbiter.address, "attacker").flood(&many, WHILE)
    });
    println!("{} thousand were sent", sent);
    assert!(sent > 1, "the attack did not get through");
    // Whoever floods does not fill the log.
    let lines = scene
        .arbiter
        .log()
        .lines()
        .filter(|line| line.contains("unknown"))
        .count();
    assert!((1..=3).contains(&lines), "{lines} lines");
}

#[test]
fn one_byte_at_a_time() {
    let mut scene = Scene::new(&[]);
    let preinit = Message::Preinit {
        seq: Some(1),
        cluster: ClusterName::new(&[b'x'; 200]),
    };
    let bytes = preinit.encode();
    scene.under("one byte at a time", |scene| {
        let mut slow: Vec<_> = (0..50)
            .map(|_| Raw::connect(scene.arbiter.address))
            .collect();
        let start = Instant::now();
        for byte in &bytes {
            for raw in &mut slow {
                raw.stream.write_all(&[*byte]).unwrap();
            }
        }
        for raw in &mut slow {
            raw.expect(MessageType::PreinitReply);
        }
        println!(
            "50 clients said {} bytes each in {:?}",
            bytes.len(),
            start.elapsed()
        );
    });
}
