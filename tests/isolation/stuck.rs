//! Clients that don't read what they are sent.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use qarbiter::engine::Verdict;
use qarbiter::wire::{ListType, Message, NodeInfo};

use crate::nodes::{Cluster, ids, in_time, ring};
use crate::raw::{Raw, frame};
use crate::victim::Scene;

/// The type of ECHO_REQUEST (protocol spec, 2): what it carries is sent back.
const ECHO_REQUEST: u16 = 8;

fn large_echo() -> Vec<u8> {
    // An option of a type that nobody knows, to be ignored but for the echo.
    let mut body = 900_u16.to_be_bytes().to_vec();
    body.extend(30_000_u16.to_be_bytes());
    body.extend([0x5a; 30_000]);
    frame(ECHO_REQUEST, body.len().try_into().unwrap(), &body)
}

#[test]
fn who_does_not_read_is_disconnected_alone() {
    let mut scene = Scene::new(&[]);
    scene.under("a client that never reads", |scene| {
        let address = scene.arbiter.address;
        let mut neighbour = Raw::joined(address, "attacker", 2);
        let mut raw = Raw::joined(address, "attacker", 1);
        let echo = large_echo();
        let start = Instant::now();
        let error = loop {
            if let Err(error) = raw.stream.write_all(&echo) {
                break error;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it is still there"
            );
        };
        println!("disconnected after {:?}: {error}", start.elapsed());
        assert!(matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ));
        scene
            .arbiter
            .logged(&["\"attacker\"", "node 1", "left: disconnected by us"]);
        neighbour.send(&Message::EchoRequest { seq: Some(9) });
        let reply = neighbour.expect(qarbiter::wire::MessageType::EchoReply);
        assert_eq!(reply.seq, Some(9));
    });
}

/// D6: a message for a node whose queue is full disconnects that node, not the one on whose behalf
/// it is sent.
#[test]
fn a_stuck_peer_does_not_cost_its_neighbour_the_vote() {
    const QUEUE: u32 = 16;
    // Without leases nothing is kept back for the journal, which has room of its own in the queue.
    let setting = format!("max_client_send_buffers={QUEUE},vote_leases=off");
    let mut scene = Scene::new(&["-S", &setting]);
    scene.under("a stuck peer", |scene| {
        let address = scene.arbiter.address;
        let alpha = Cluster::new(address, "alpha", &[1, 2]);
        let mut stuck = Raw::joined(address, "alpha", 1);
        for (list_type, seq) in [(ListType::InitialConfig, 3), (ListType::Membership, 4)] {
            stuck.send(&list(list_type, seq, 1));
            stuck.expect(qarbiter::wire::MessageType::NodeListReply);
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut healthy = alpha.join(2, ring(1, 1), &[1, 2]).await;
            in_time(healthy.vote()).await.unwrap();
            let waiting = fill(&mut stuck, scene.arbiter.address.port());
            println!("{waiting} echoes wait for the stuck peer");
            // With these and the answers to two reports the queue is full.
            for seq in 0..QUEUE - 2 - waiting {
                stuck.send(&Message::EchoRequest { seq: Some(seq) });
            }
            stuck.send(&list(ListType::Membership, 5, 2));
            stuck.send(&list(ListType::Quorum, 6, 2));
            std::thread::sleep(Duration::from_millis(50));
            let left = "left: disconnected by us";
            assert!(
                !scene.arbiter.log().contains(left),
                "{}",
                scene.arbiter.log()
            );
            // Node 2's report decides, and node 1 has to be told.
            in_time(healthy.see(ring(1, 2), &ids(&[1, 2])))
                .await
                .unwrap();
            scene.arbiter.logged(&["\"alpha\"", "node 1", left]);
            in_time(healthy.heartbeat()).await.unwrap();
            assert_eq!(in_time(healthy.vote()).await.unwrap(), Verdict::Ack);
            let log = scene.arbiter.log();
            let is_loss =
                |line: &str| line.contains("\"alpha\": node 2 at") && line.contains("left:");
            assert!(!log.lines().any(is_loss), "{log}");
        });
    });
}

fn list(list_type: ListType, seq: u32, round: u64) -> Message {
    Message::NodeList {
        seq,
        list_type,
        ring_id: (list_type == ListType::Membership).then(|| ring(1, round)),
        config_version: None,
        quorate: (list_type == ListType::Quorum).then_some(true),
        nodes: [1, 2].map(NodeInfo::new).into(),
        heuristics: None,
    }
}

/// Asks for echoes until the arbiter's system takes no more of them; how many the arbiter keeps.
fn fill(raw: &mut Raw, port: u16) -> u32 {
    let echo = large_echo();
    let size = echo.len() as u64;
    let own = raw.stream.local_addr().unwrap().port();
    // What arrived counts on both ends until it is acknowledged, which may take a little.
    std::thread::sleep(Duration::from_millis(150));
    let base = in_transit(port, own);
    let start = Instant::now();
    let mut asked = 0;
    // What the arbiter has read and the system has not taken.
    let kept = |asked: u64| (asked * size).saturating_sub(in_transit(port, own) - base);
    while start.elapsed() < Duration::from_secs(15) {
        raw.stream.write_all(&echo).unwrap();
        asked += 1;
        // It takes a little to answer.
        std::thread::sleep(Duration::from_millis(10));
        if kept(asked) > 0 {
            // The system may still make room.
            std::thread::sleep(Duration::from_millis(150));
            let left = kept(asked);
            if left > 0 {
                return left.div_ceil(size).try_into().unwrap();
            }
        }
    }
    panic!("nothing fills up");
}

/// Bytes that the arbiter has sent and the client has not read.
fn in_transit(arbiter: u16, client: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |text: &str| u16::from_str_radix(text.rsplit(':').next().unwrap(), 16).unwrap();
    let mut sum = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (unsent, unread) = fields[4].split_once(':').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        match (port(fields[1]), port(fields[2])) {
            ends if ends == (arbiter, client) => sum += number(unsent),
            ends if ends == (client, arbiter) => sum += number(unread),
            _ => {}
        }
    }
    sum
}
