//! A cluster whose votes are timed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qarbiter::client::{Node, votes};

use crate::lab::{Lab, Running};
use crate::nodes::{Cluster, ids, in_time, ring};

/// The longest that a vote may take while others misbehave. Corosync waits for a vote for 30 s;
/// this is what a person would call at once, on a busy machine with a program that was not
/// optimised.
const AT_ONCE: Duration = Duration::from_millis(250);

/// What the arbiter's memory may grow by, KiB, whatever is sent to it.
const GROWTH_KIB: u64 = 48 * 1024;

/// An arbiter with a victim and room for attackers, who need no TLS.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) arbiter: Running,
    memory_kib: u64,
    // One test at a time: they measure time.
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    pub(crate) fn new(flags: &[&str]) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed has told so already.
        let alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let lab = Lab::new();
        let arbiter = lab.start(&lab.serve(&[&["-s", "on"], flags].concat()));
        Self {
            memory_kib: resident_kib(arbiter.pid()),
            lab,
            arbiter,
            _alone: alone,
        }
    }

    /// A cluster whose nodes use TLS.
    pub(crate) fn cluster(&self, name: &str, configured: &[u32]) -> Cluster {
        Cluster::new(self.arbiter.address, name, configured).with_certificates(&self.lab.state())
    }

    /// Times the victim's votes while `attack` runs; fails if one is late or memory was not
    /// bounded.
    pub(crate) fn under<R>(&mut self, what: &str, attack: impl FnOnce(&Self) -> R) -> R {
        let victim = Victim::start(self.cluster("victim", &[1, 2]));
        victim.rounds_from_now(3);
        let result = attack(self);
        let rounds = victim.rounds_from_now(3);
        let mut times = victim.finish();
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let memory = resident_kib(self.arbiter.pid());
        let growth = memory.saturating_sub(self.memory_kib);
        println!(
            "{what}: {} votes, median {median:?}, worst {worst:?}; memory {} KiB, {growth} KiB more",
            times.len(),
            memory,
        );
        assert!(rounds >= 3, "the victim had no vote");
        assert!(worst <= AT_ONCE, "{what}: a vote took {worst:?}");
        assert!(growth <= GROWTH_KIB, "{what}: {growth} KiB more");
        assert!(self.arbiter.is_running());
        result
    }
}

/// Resident memory of a process, KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

/// Two nodes that split and heal again and again, on a thread of their own.
struct Victim {
    stop: Arc<AtomicBool>,
    rounds: Receiver<()>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Victim {
    fn start(cluster: Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (done, rounds) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut nodes = cluster.whole().await;
                let mut times = Vec::new();
                let mut seq = 1;
                while !stopped.load(Ordering::Relaxed) {
                    seq += 1;
                    times.push(time_of_change(&mut nodes, seq).await);
                    // Nobody counts any more once the test has what it wants.
                    let _counted = done.send(());
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                times
            })
        });
        Self {
            stop,
            rounds,
            thread,
        }
    }

    /// Waits for this many further changes; how many there were.
    fn rounds_from_now(&self, wanted: usize) -> usize {
        while self.rounds.try_recv().is_ok() {}
        (0..wanted)
            .take_while(|_| self.rounds.recv_timeout(Duration::from_secs(20)).is_ok())
            .count()
    }

    fn finish(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Splits the cluster if `seq` is even, heals it otherwise; how long until both have their vote.
async fn time_of_change(nodes: &mut [Node], seq: u64) -> Duration {
    let [one, two] = nodes else {
        panic!("two nodes");
    };
    let start = Instant::now();
    if seq % 2 == 0 {
        in_time(one.see(ring(1, seq), &ids(&[1]))).await.unwrap();
        in_time(two.see(ring(2, seq), &ids(&[2]))).await.unwrap();
    } else {
        in_time(one.see(ring(1, seq), &ids(&[1, 2]))).await.unwrap();
        in_time(two.see(ring(1, seq), &ids(&[1, 2]))).await.unwrap();
    }
    let told = in_time(votes(one, two)).await.unwrap();
    let time = start.elapsed();
    let split = seq % 2 == 0;
    use qarbiter::engine::Verdict::{Ack, Nack};
    assert_eq!(told, (Ack, if split { Nack } else { Ack }), "change {seq}");
    time
}
