//! More of what is allowed than anybody needs.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use qarbiter::wire::{ListType, Message, NodeInfo};

use crate::nodes::ring;
use crate::raw::{Raw, init};
use crate::victim::Scene;

/// More than a machine has processors: whoever waits in turn for each of them waits long.
const ATTACKERS: u32 = 12;

const WHILE: Duration = Duration::from_millis(1500);

#[test]
fn a_flood_of_refused_inits() {
    let mut scene = Scene::new(&[]);
    // A heartbeat of 1 ms is below the least allowed one.
    let many = init(1, 1).encode().repeat(50);
    let sent = scene.under("refused INITs", |scene| {
        let address = scene.arbiter.address;
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|number| {
                let many = many.clone();
                let cluster = format!("attacker{number}");
                std::thread::spawn(move || Raw::named(address, &cluster).flood(&many, WHILE))
            })
            .collect();
        // And some that connect anew each time.
        let start = Instant::now();
        let mut connections = 0;
        while start.elapsed() < WHILE {
            let mut raw = Raw::named(address, "visitor");
            raw.send(&init(1, 1));
            raw.expect(qarbiter::wire::MessageType::InitReply);
            connections += 1;
        }
        println!("{connections} connections");
        let counts = attackers.into_iter().map(|one| one.join().unwrap());
        counts.sum::<usize>()
    });
    println!("{} INITs were sent", sent * 50);
    assert!(sent > 12, "the attack did not get through");
}

#[test]
fn large_node_lists() {
    const LISTS: usize = 2000;
    let mut scene = Scene::new(&[]);
    let list = Message::NodeList {
        seq: 3,
        list_type: ListType::Membership,
        ring_id: Some(ring(1, 1)),
        config_version: None,
        quorate: None,
        nodes: (1..=2700).map(NodeInfo::new).collect(),
        heuristics: None,
    };
    let bytes = list.encode();
    // As large as a message may be, or nearly.
    assert!((30_000..=32_768).contains(&bytes.len()), "{}", bytes.len());
    let time = scene.under("2000 lists of 2700 nodes", |scene| {
        let mut raw = Raw::joined(scene.arbiter.address, "attacker", 1);
        let mut reader = raw.stream.try_clone().unwrap();
        let start = Instant::now();
        let writer = std::thread::spawn(move || {
            for _ in 0..LISTS {
                raw.stream.write_all(&bytes).unwrap();
            }
            let end = Message::EchoRequest { seq: Some(77) }.encode();
            raw.stream.write_all(&end).unwrap();
            raw
        });
        // The echo's answer is the last one.
        let end = Message::EchoReply {
            body: Message::EchoRequest { seq: Some(77) }.encode()[6..].to_vec(),
        };
        let (end, mut tail, mut buffer) = (end.encode(), Vec::new(), [0; 4096]);
        while !tail.ends_with(&end) {
            let read = reader.read(&mut buffer).unwrap();
            assert!(read > 0, "disconnected");
            tail.extend_from_slice(&buffer[..read]);
            let excess = tail.len().saturating_sub(end.len());
            tail.drain(..excess);
        }
        drop(writer.join().unwrap());
        start.elapsed()
    });
    println!("{LISTS} lists took {time:?}");
}

#[test]
fn a_flood_of_echo_requests() {
    let mut scene = Scene::new(&[]);
    let many = Message::EchoRequest { seq: Some(5) }.encode().repeat(500);
    let sent = scene.under("echo requests", |scene| {
        let address = scene.arbiter.address;
        let attackers: Vec<_> = (1..=ATTACKERS)
            .map(|node| {
                let many = many.clone();
                std::thread::spawn(move || {
                    Raw::joined(address, "attacker", node).flood(&many, WHILE)
                })
            })
            .collect();
        let counts = attackers.into_iter().map(|one| one.join().unwrap());
        counts.sum::<usize>()
    });
    println!("{} echo requests were sent", sent * 500);
    assert!(sent > 12, "the attack did not get through");
}
