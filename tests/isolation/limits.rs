//! The limits that keep a stranger from taking every place.

use std::io::Write;
use std::time::{Duration, Instant};

use qarbiter::wire::{Message, MessageType};

use crate::raw::{Raw, frame, init};
use crate::victim::Scene;

/// A connection that is not taken is closed at once.
const AT_ONCE: Duration = Duration::from_secs(1);

fn answers(raw: &mut Raw) {
    raw.send(&Message::EchoRequest { seq: Some(9) });
    assert_eq!(raw.expect(MessageType::EchoReply).seq, Some(9));
}

/// Connects until there is a place.
fn joined_soon(scene: &Scene, cluster: &str, node: u32) -> Raw {
    let start = Instant::now();
    loop {
        let mut raw = Raw::connect(scene.arbiter.address);
        std::thread::sleep(Duration::from_millis(20));
        if raw.is_open() {
            drop(raw);
            std::thread::sleep(Duration::from_millis(20));
            return Raw::joined(scene.arbiter.address, cluster, node);
        }
        assert!(start.elapsed() < Duration::from_secs(10), "no place");
    }
}

#[test]
fn most_clients() {
    let scene = Scene::new(&["-m", "3"]);
    let address = scene.arbiter.address;
    let mut inside: Vec<_> = (1..=3)
        .map(|node| Raw::joined(address, "alpha", node))
        .collect();
    for _ in 0..5 {
        let time = Raw::connect(address).closed();
        assert!(time < AT_ONCE, "{time:?}");
    }
    scene
        .arbiter
        .logged(&["error", "Maximum clients reached", "-m", "3"]);
    inside.iter_mut().for_each(answers);
    // A place that becomes free is given away.
    drop(inside.pop());
    answers(&mut joined_soon(&scene, "beta", 1));
    inside.iter_mut().for_each(answers);
}

#[test]
fn most_clients_that_say_nothing() {
    let scene = Scene::new(&["-S", "max_pending_clients=2"]);
    let address = scene.arbiter.address;
    // Those that have joined don't count.
    let mut inside: Vec<_> = (1..=4)
        .map(|node| Raw::joined(address, "alpha", node))
        .collect();
    let mut silent = [Raw::connect(address), Raw::named(address, "beta")];
    for _ in 0..5 {
        let time = Raw::connect(address).closed();
        assert!(time < AT_ONCE, "{time:?}");
    }
    scene.arbiter.logged(&["error", "max_pending_clients"]);
    assert!(silent.iter_mut().all(Raw::is_open));
    inside.iter_mut().for_each(answers);
    // One of them joins, so there is a place.
    silent[1].send(&init(1, 8000));
    silent[1].expect(MessageType::InitReply);
    answers(&mut joined_soon(&scene, "gamma", 1));
}

#[test]
fn who_does_not_join_has_to_go() {
    let scene = Scene::new(&["-S", "init_timeout=1000"]);
    let address = scene.arbiter.address;
    let mut inside = Raw::joined(address, "alpha", 1);
    let start = Instant::now();
    let mut silent = Raw::connect(address);
    let mut named = Raw::named(address, "beta");
    let mut refused = Raw::named(address, "gamma");
    // What it says does not give it more time.
    while start.elapsed() < Duration::from_millis(800) {
        refused.send(&init(1, 1));
        refused.expect(MessageType::InitReply);
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut unfinished = Raw::connect(address);
    unfinished.stream.write_all(&frame(0, 500, b"abc")).unwrap();
    let begun = Instant::now();
    for raw in [&mut silent, &mut named, &mut refused] {
        raw.closed();
        let time = start.elapsed();
        let allowed = Duration::from_millis(900)..Duration::from_millis(2500);
        assert!(allowed.contains(&time), "closed after {time:?}");
    }
    unfinished.closed();
    let time = begun.elapsed();
    assert!(time < Duration::from_millis(2500), "closed after {time:?}");
    // Who has joined stays.
    answers(&mut inside);
}
