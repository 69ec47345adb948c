//! Reading the server's metrics as Prometheus does.

use crate::Failure;
use crate::process::Usage;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Scrapes of which the median counts.
const SAMPLES: u32 = 5;

/// No scrape takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What scrapes took.
pub(crate) struct Scrapes {
    /// From the request to the last byte, median.
    pub(crate) took: Duration,
    /// Server CPU of one.
    pub(crate) cpu: Duration,
    /// Bytes of one.
    pub(crate) bytes: usize,
    /// Lines of one, without comments.
    pub(crate) series: usize,
    /// What the server's memory grew by, KiB.
    pub(crate) memory_kib: f64,
}

fn scrape(address: SocketAddr) -> Result<Vec<u8>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
        return Err("the server's metrics can't be read".into());
    }
    Ok(answer)
}

/// Scrapes a few times, one after the other.
pub(crate) fn measure(address: SocketAddr, pid: u32) -> Result<Scrapes, Failure> {
    let before = Usage::of(pid)?;
    let mut all = Vec::new();
    let mut text = Vec::new();
    for _ in 0..SAMPLES {
        let begin = Instant::now();
        text = scrape(address)?;
        all.push(begin.elapsed());
    }
    let after = Usage::of(pid)?;
    all.sort();
    let lines = text.split(|byte| *byte == b'\n');
    Ok(Scrapes {
        took: all.get(all.len() / 2).copied().unwrap_or_default(),
        cpu: after.cpu_since(&before) / SAMPLES,
        bytes: text.len(),
        series: lines.filter(|line| line.starts_with(b"qarbiter_")).count(),
        memory_kib: after.memory_kib - before.memory_kib,
    })
}

/// Somebody who scrapes all the time.
pub(crate) struct Storm {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Storm {
    /// Begins.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                scrape(address)?;
            }
            Ok(())
        });
        Self { stop, thread }
    }

    /// Ends.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the thread that scrapes failed")?
    }
}
