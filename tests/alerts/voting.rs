//! Votes while receivers and programs hang.

use crate::lab::{Arbiter, webhooks};
use crate::receiver::Receiver;
use qarbiter::client::votes;
use qarbiter::notify::AlertSettings;
use qarbiter::wire::RingId;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 300;

/// Times from a report of both nodes of a cluster to both their votes, sorted.
fn measure(arbiter: &Arbiter) -> Vec<Duration> {
    let mut nodes = arbiter.pair(b"measured");
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let begin = Instant::now();
            arbiter.run(async {
                let both = [nodes[0].id(), nodes[1].id()];
                for node in &mut nodes {
                    node.see(RingId::new(1, 8 + 4 * round), &both)
                        .await
                        .unwrap();
                }
                let [one, two] = &mut nodes;
                votes(one, two).await.unwrap();
            });
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn quantile(times: &[Duration], part: f64) -> Duration {
    times[((times.len() - 1) as f64 * part) as usize]
}

#[test]
fn hanging_hooks_delay_no_vote() {
    let calm = measure(&Arbiter::start(AlertSettings::default()));

    let silent = Receiver::silent();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("hang");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let settings = AlertSettings {
        exec: Some(program),
        exec_timeout: Duration::from_secs(600),
        exec_at_once: 4,
        ..webhooks(&format!(
            "json {}\nslack {}",
            silent.url("/"),
            silent.url("/")
        ))
    };
    let mut arbiter = Arbiter::start(settings);
    // Something to tell, all the time.
    let others: Vec<_> = (0..20)
        .map(|n| arbiter.pair(format!("c{n}").as_bytes()))
        .collect();
    silent.wait_for_requests(2);
    drop(others);
    let hanging = measure(&arbiter);
    for part in [0.5, 0.99] {
        let (calm, hanging) = (quantile(&calm, part), quantile(&hanging, part));
        println!("quantile {part}: {calm:?} without hooks, {hanging:?} while all of them hang");
        let allowed = calm * 3 + Duration::from_millis(20);
        assert!(hanging < allowed, "{part}: {hanging:?} instead of {calm:?}");
    }
    let begin = Instant::now();
    arbiter.stop();
    let took = begin.elapsed();
    println!("the end took {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}
