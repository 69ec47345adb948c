//! Many clusters: what a scrape takes, and what votes take meanwhile.
//!
//! HTTP_TEST_CLUSTERS=10000 measures with more than the usual 1,000 (two descriptors per node).

use crate::lab::Arbiter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

#[test]
fn a_scrape_of_many_clusters_delays_no_vote() {
    let count = std::env::var("HTTP_TEST_CLUSTERS").unwrap_or_else(|_| "1000".to_owned());
    let count: usize = count.parse().unwrap();
    let arbiter = Arbiter::start();
    let mut victim = arbiter.pair(b"victim");
    let _others: Vec<_> = (1..count)
        .flat_map(|n| {
            let name = format!("cluster-{n}");
            [1, 2].map(|id| arbiter.join(name.as_bytes(), id, &[1, 2], 4))
        })
        .collect();
    let mut took = Vec::new();
    let mut size = 0;
    for _ in 0..5 {
        let begin = Instant::now();
        let answer = arbiter.get("/metrics");
        took.push(begin.elapsed());
        size = answer.body.len();
        let text = answer.text();
        let connected = text
            .lines()
            .filter(|line| line.starts_with("qarbiter_node_connected{") && line.ends_with(" 1"));
        assert_eq!(connected.count(), count * 2);
    }
    took.sort();
    let begin = Instant::now();
    let page = arbiter.json("/api/v1/clusters?limit=100");
    assert_eq!(page["total"], count);
    println!(
        "{count} clusters: a scrape is {size} bytes and takes {:?}, a page of 100 clusters {:?}",
        took[2],
        begin.elapsed()
    );
    assert!(size < count * 2000 + 20_000, "{size}");

    let mut ring = 4;
    let mut votes = || {
        let mut times: Vec<Duration> = (0..100)
            .map(|_| {
                ring += 4;
                let begin = Instant::now();
                arbiter.split(&mut victim, ring);
                begin.elapsed()
            })
            .collect();
        times.sort();
        (times[50], times[98])
    };
    let calm = votes();
    let stop = AtomicBool::new(false);
    let scraped = scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                arbiter.get("/metrics");
            }
        });
        let scraped = votes();
        stop.store(true, Ordering::Relaxed);
        scraped
    });
    println!("votes took {calm:?} before and {scraped:?} while it is scraped all the time");
    assert!(
        scraped.0 < calm.0 + Duration::from_millis(5),
        "{calm:?}, {scraped:?}"
    );
    assert!(scraped.1 < Duration::from_millis(200), "{scraped:?}");
}
