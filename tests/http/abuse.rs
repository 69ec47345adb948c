//! Hostile HTTP clients, while votes are timed.

use crate::lab::{Answer, Arbiter, PATIENCE, head};
use qarbiter::client::Node;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How long a vote takes, over and over: the median, and the slowest but 2 %.
fn votes(arbiter: &Arbiter, nodes: &mut [Node; 2], ring: &mut u64) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            *ring += 4;
            let begin = Instant::now();
            arbiter.split(nodes, *ring);
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times[times.len() / 2], times[times.len() * 98 / 100])
}

/// Does something again and again on several threads while votes are timed.
fn meanwhile(name: &str, harm: impl Fn(&Arbiter, &AtomicBool) + Sync) {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"victim");
    let mut ring = 4;
    let (calm, calm_slow) = votes(&arbiter, &mut nodes, &mut ring);
    let stop = AtomicBool::new(false);
    let (harmed, harmed_slow) = scope(|scope| {
        scope.spawn(|| harm(&arbiter, &stop));
        sleep(Duration::from_millis(300));
        let times = votes(&arbiter, &mut nodes, &mut ring);
        stop.store(true, Ordering::Relaxed);
        times
    });
    println!(
        "{name}: votes took {calm:?} / {calm_slow:?} before, {harmed:?} / {harmed_slow:?} meanwhile"
    );
    // The attackers use the same two processors, so some delay is theirs and not the arbiter's.
    assert!(
        harmed < calm + Duration::from_millis(5),
        "{name}: {calm:?}, then {harmed:?}"
    );
    assert!(
        harmed_slow < Duration::from_millis(200),
        "{name}: {harmed_slow:?}"
    );
    // And afterwards everybody is served again.
    let begin = Instant::now();
    loop {
        let answer = arbiter.try_get("/healthz");
        if answer.is_some_and(|answer| answer.status == 200) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{name}: HTTP does not recover");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn slow_requests_delay_no_vote_and_are_ended() {
    meanwhile("slowloris", |arbiter, stop| {
        let mut slow: Vec<TcpStream> = Vec::new();
        let begin = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if slow.len() < 500 {
                slow.extend(TcpStream::connect(arbiter.http).ok());
            }
            for stream in &mut slow {
                // A byte of a head that never ends; those that were turned away are closed.
                let _ = stream.write_all(b"x");
            }
            sleep(Duration::from_millis(5));
        }
        // Whoever does not finish its head in time is not waited for.
        let mut one = slow.swap_remove(0);
        one.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        let ended = one.read_to_end(&mut said);
        assert!(!matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock));
        assert!(begin.elapsed() < PATIENCE);
    });
}

#[test]
fn huge_requests_delay_no_vote_and_are_refused() {
    let arbiter = Arbiter::start();
    let mut stream = arbiter.connect();
    let huge = [("X-Huge", "x".repeat(100_000))];
    let huge: Vec<(&str, &str)> = huge.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let _ = stream.write_all(head("GET", "/", &huge).as_bytes());
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty() || Answer::parse(&said).status == 431);
    let many: Vec<(&str, &str)> = (0..100).map(|_| ("X", "y")).collect();
    assert_eq!(arbiter.ask("GET", "/", &many).status, 431);

    meanwhile("huge heads and bodies", |arbiter, stop| {
        let junk = "x".repeat(64 * 1024);
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(arbiter.http) else {
                continue;
            };
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Huge: ");
            let _ = stream.write_all(junk.as_bytes());
            let Ok(mut stream) = TcpStream::connect(arbiter.http) else {
                continue;
            };
            let _ = stream.write_all(
                b"POST /api/v1/clusters/victim/release HTTP/1.1\r\nHost: localhost\r\n\
                  Content-Length: 1000000000\r\n\r\n",
            );
            let _ = stream.write_all(junk.as_bytes());
        }
    });
}

#[test]
fn thousands_of_readers_delay_no_vote() {
    meanwhile("event readers", |arbiter, stop| {
        let request = head("GET", "/api/v1/events", &[("Accept", "text/event-stream")]);
        let mut readers = Vec::new();
        let mut tried = 0;
        while !stop.load(Ordering::Relaxed) || tried < 3000 {
            if tried < 3000 {
                tried += 1;
                if let Ok(mut stream) = TcpStream::connect(arbiter.http) {
                    let _ = stream.write_all(request.as_bytes());
                    readers.push(stream);
                }
            } else {
                sleep(Duration::from_millis(10));
            }
        }
        let text = loop {
            // The attacker has all the places that one address can have; it makes room.
            readers.truncate(readers.len() / 2);
            if let Some(answer) = arbiter.try_get("/metrics") {
                break answer.text();
            }
        };
        let refused = text.lines().find_map(|line| {
            line.strip_prefix("qarbiter_http_refused_total{reason=\"connections\"} ")
        });
        let refused: u64 = refused
            .expect("readers that were turned away")
            .parse()
            .unwrap();
        assert!(refused > 2500, "{refused}");
    });
}

#[test]
fn everything_at_once_delays_no_vote() {
    meanwhile("requests of all kinds", |arbiter, stop| {
        scope(|scope| {
            for path in [
                "/metrics",
                "/api/v1/clusters?limit=1000",
                "/readyz",
                "/nothing",
            ] {
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = arbiter.get(path);
                        assert!(answer.status < 500 || answer.status == 503, "{answer:?}");
                    }
                });
            }
        });
    });
}
