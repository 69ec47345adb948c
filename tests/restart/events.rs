//! What happened, told after a restart: `qarbiter events`, and the ids of the event stream.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use qarbiter::wire::Algorithm;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::holders::{cluster, split_cluster, start};
use crate::lab::{Lab, Outcome, QARBITER, run};
use crate::nodes::{Cluster, ids, in_time, ring};

const PATIENCE: Duration = Duration::from_secs(20);

fn command(lab: &Lab, more: &[&str]) -> Command {
    let mut command = Command::new(QARBITER);
    command.arg("events").arg("--state-dir").arg(lab.state());
    command.args(more);
    command
}

fn events(lab: &Lab, more: &[&str]) -> Outcome {
    run(&mut command(lab, more))
}

/// Asks until the answer is as it should be: what happens is known a little later.
fn until(lab: &Lab, more: &[&str], is_so: impl Fn(&str) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let outcome = events(lab, more);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        if is_so(&outcome.stdout) {
            return outcome.stdout;
        }
        assert!(begin.elapsed() < PATIENCE, "{outcome:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))
}

const WON: &str = "Alpha: the vote goes to {1} in ring 1.2: ";

#[tokio::test]
async fn the_reason_is_known_after_a_restart() {
    for signal in [Signal::TERM, Signal::KILL] {
        let lab = Lab::new();
        let mut arbiter = start(&lab);
        let nodes = split_cluster(&cluster(&arbiter, Algorithm::FfSplit)).await;
        let before = until(&lab, &["--decisions", "--cluster", "Alpha"], |text| {
            text.contains(WON)
        });
        assert!(
            before.contains("node 2 saw {2} of 2 nodes, ring 2.2"),
            "{before}"
        );
        let in_json = until(&lab, &["--json", "--limit", "1000"], |text| {
            !text.is_empty()
        });
        // Decisions are written within a tenth of a second, however the process ends.
        std::thread::sleep(Duration::from_millis(500));
        arbiter.end_with(signal);
        let gone = events(&lab, &[]);
        assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
        assert!(gone.stderr.contains("is the arbiter running?"), "{gone:?}");

        if signal == Signal::TERM {
            // What docs/CONFIGURATION.md says of the wear of cards.
            let dir = lab.state().join(format!("history-{}", lab.port));
            let file = std::fs::read(dir.join("0000000001.seg")).unwrap();
            let ends = file
                .windows(4)
                .enumerate()
                .filter(|(_, mark)| *mark == b"\xf5qhe");
            let ends: Vec<usize> = ends.map(|(at, _)| at).chain([file.len()]).collect();
            let sizes: Vec<usize> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
            println!("bytes of the records: {sizes:?}");
            assert!(sizes.len() >= in_json.lines().count());
            assert!(
                sizes.iter().all(|size| (50..500).contains(size)),
                "{sizes:?}"
            );
        }
        drop(nodes);
        let _arbiter = start(&lab);
        let after = until(&lab, &["--decisions", "--cluster", "Alpha"], |text| {
            text.starts_with(&before)
        });
        assert!(after.contains(WON));
        let again = until(&lab, &["--json", "--limit", "1000"], |text| {
            text.matches("\"arbiter_started\"").count() == 2
        });
        // Events that are no decisions may wait for a second.
        let common = again
            .lines()
            .zip(in_json.lines())
            .take_while(|(a, b)| a == b);
        let common = common.count();
        assert!(
            common == in_json.lines().count() || signal == Signal::KILL && common > 1,
            "{signal:?}\n{in_json}\n{again}"
        );
        let all: Vec<Value> = again.lines().map(json).collect();
        let ids: BTreeSet<&str> = all
            .iter()
            .map(|event| event["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), all.len());
        let last = events(&lab, &["--limit", "1"]);
        assert_eq!(last.stdout.lines().count(), 1);
        assert!(last.stdout.contains("  arbiter: qarbiter "), "{last:?}");
        assert_eq!(
            events(&lab, &["--since", "1h"]).stdout.lines().count(),
            all.len()
        );
        assert_eq!(
            events(&lab, &["--since", "2999-01-01T00:00:00Z"]).stdout,
            ""
        );

        let unknown = events(&lab, &["--cluster", "Beta"]);
        assert_eq!(unknown.code, Some(1));
        let why = "no cluster \"Beta\" is connected, and nothing is known of one";
        assert!(unknown.stderr.contains(why), "{unknown:?}");
        let wrong = events(&lab, &["--since", "yesterday"]);
        assert_eq!(wrong.code, Some(2));
        assert!(wrong.stderr.contains("say how long ago"), "{wrong:?}");
    }
}

#[tokio::test]
async fn without_files_a_restart_forgets() {
    let lab = Lab::new();
    let mut serve = lab.serve(&["-s", "off"]);
    serve.env("QARBITER_HISTORY_MAX_SIZE", "0");
    let mut arbiter = lab.start(&serve);
    let _nodes = split_cluster(&cluster(&arbiter, Algorithm::FfSplit)).await;
    until(&lab, &["--decisions"], |text| text.contains(WON));
    arbiter.end_with(Signal::TERM);
    let _arbiter = lab.start(&serve);
    let text = until(&lab, &[], |text| text.contains("started"));
    assert_eq!(text.lines().count(), 1, "{text}");
    let files = std::fs::read_dir(lab.state()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("history")));
}

/// `qarbiter events --follow` while it runs.
struct Follower {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Follower {
    fn start(lab: &Lab, more: &[&str]) -> Self {
        let mut child = command(lab, more)
            .arg("--follow")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            out: lines(child.stdout.take().unwrap()),
            err: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// The lines up to the first with these words.
    fn until(&self, words: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.out.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {words:?} after {seen:#?}"));
            let is_it = line.contains(words);
            seen.push(line);
            if is_it {
                return seen;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ended(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn following_goes_on_over_restarts() {
    let lab = Lab::new();
    let mut arbiter = start(&lab);
    let follower = Follower::start(&lab, &["--json"]);
    let mut seen = follower.until("\"arbiter_started\"");
    let of_alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]);
    for signal in [Signal::TERM, Signal::KILL] {
        let node = of_alpha.join(1, ring(1, 1), &[1]).await;
        seen.extend(follower.until("\"vote_told\""));
        if signal == Signal::KILL {
            // What was told and not yet written would be told again under another id.
            std::thread::sleep(Duration::from_millis(1500));
        }
        arbiter.end_with(signal);
        drop(node);
        let first = follower.err.recv_timeout(PATIENCE).unwrap();
        assert!(
            first.contains("is lost; waiting for it to come back"),
            "{first}"
        );
        std::thread::sleep(Duration::from_secs(1));
        arbiter = start(&lab);
        let second = follower.err.recv_timeout(PATIENCE).unwrap();
        assert!(second.ends_with("connected again"), "{second}");
        seen.extend(follower.until("\"arbiter_started\""));
    }
    // Said once each, and nothing about a gap.
    assert!(follower.err.try_recv().is_err());
    let all = until(&lab, &["--json", "--limit", "1000"], |text| {
        !text.is_empty()
    });
    let told: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(told, all.lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn readers_that_stop_or_go_harm_nobody() {
    let lab = Lab::new();
    let arbiter = start(&lab);
    // Nobody reads it any more, and nothing happens either: it sees it all the same.
    let mut left = Follower::start(&lab, &[]);
    left.until("started");
    let (_, nothing) = channel();
    drop(std::mem::replace(&mut left.out, nothing));
    // The thread that reads for it ends with its next line only, so the pipe itself is closed.
    let mut piped = Command::new("sh");
    let program = format!(
        "{QARBITER} events --follow --state-dir {} | head -n 1",
        lab.state().display()
    );
    let piped = run(piped.args(["-c", &program]));
    assert_eq!((piped.code, piped.stderr.as_str()), (Some(0), ""));
    assert_eq!(piped.stdout.lines().count(), 1);

    left.signal(Signal::INT);
    assert_eq!(left.ended(), None, "by the signal");
    assert!(left.err.recv_timeout(PATIENCE).is_err(), "without a word");

    // Sixteen that stand still, and one more.
    let still: Vec<Follower> = (0..16)
        .map(|_| Follower::start(&lab, &["--json"]))
        .collect();
    for follower in &still {
        follower.until("\"arbiter_started\"");
        follower.signal(Signal::STOP);
    }
    let refused = events(&lab, &["--follow"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("16 others read events already"),
        "{refused:?}"
    );
    let status = Command::new(QARBITER)
        .args(["status", "--state-dir"])
        .arg(lab.state())
        .output()
        .unwrap();
    assert!(status.status.success());
    // More than the sockets hold, and less than is kept. Votes go on meanwhile.
    let of_alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]);
    let mut node = of_alpha.join(1, ring(1, 1), &[1]).await;
    let begin = Instant::now();
    for seq in 2..1500 {
        in_time(node.see(ring(1, seq), &ids(&[1]))).await.unwrap();
        in_time(node.vote()).await.unwrap();
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{begin:?}");
    // After ten seconds without reading the places are free.
    while events(&lab, &["--limit", "1"]).code != Some(0) {
        assert!(begin.elapsed() < PATIENCE * 2);
        std::thread::sleep(Duration::from_millis(200));
    }
    // The first place was free as soon as one of them was given up; the others follow, since all
    // of them stopped reading at the same time.
    std::thread::sleep(Duration::from_secs(5));
    // One that goes on goes on where it was.
    let resumed = &still[0];
    resumed.signal(Signal::CONT);
    let lost = resumed.err.recv_timeout(PATIENCE).unwrap();
    assert!(lost.contains("is lost"), "{lost}");
    let mut numbers = Vec::new();
    while let Ok(line) = resumed.out.recv_timeout(Duration::from_secs(2)) {
        let id = json(&line)["id"].as_str().unwrap().to_owned();
        numbers.push(id.split_once('-').unwrap().1.parse::<u64>().unwrap());
    }
    assert!(numbers.len() > 100, "{}", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

/// One HTTP answer, or the first event of a stream.
fn get(port: u16, path: &str, headers: &str) -> String {
    let begin = Instant::now();
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        text += &line;
        text += "\n";
        if headers.contains("event-stream") && line.starts_with("data: ") {
            break;
        }
    }
    text
}

#[tokio::test]
async fn ids_of_the_event_stream_outlive_a_restart() {
    let lab = Lab::new();
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = http.local_addr().unwrap().port();
    drop(http);
    let mut serve = lab.serve(&["-s", "off"]);
    serve.env("QARBITER_HTTP_ADDRESS", format!("127.0.0.1:{port}"));
    let mut arbiter = lab.start(&serve);
    let _nodes = split_cluster(&cluster(&arbiter, Algorithm::FfSplit)).await;
    until(&lab, &["--decisions"], |text| text.contains(WON));
    arbiter.end_with(Signal::TERM);
    arbiter = lab.start(&serve);
    let text = until(&lab, &["--json", "--limit", "1000"], |text| {
        text.matches("\"arbiter_started\"").count() == 2
    });
    let lines: Vec<&str> = text.lines().collect();
    let is_start = |line: &&str| line.contains("\"arbiter_started\"");
    let second = lines.iter().rposition(is_start).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| json(line)["id"].as_str().unwrap().to_owned())
        .collect();
    // The last one that somebody saw of the first process.
    let last = &ids[second - 1];
    let list = get(port, &format!("/api/v1/events?after={last}"), "");
    assert!(
        list.contains(&format!("\"id\":\"{}\"", ids[second])),
        "{list}"
    );
    assert!(list.contains("\"gap\":false"), "{list}");
    let resumed = format!("Accept: text/event-stream\r\nLast-Event-ID: {last}\r\n");
    let stream = get(port, "/api/v1/events", &resumed);
    assert!(
        stream.contains(&format!("id: {}\n", ids[second])),
        "{stream}"
    );
    assert!(!stream.contains("event: gap"), "{stream}");
    let first = format!("Accept: text/event-stream\r\nLast-Event-ID: {}\r\n", ids[0]);
    let stream = get(port, "/api/v1/events", &first);
    assert!(stream.contains(&format!("id: {}\n", ids[1])), "{stream}");
    // One that nobody gave.
    let stream = get(
        port,
        "/api/v1/events",
        "Accept: text/event-stream\r\nLast-Event-ID: 1-1\r\n",
    );
    assert!(stream.contains("event: gap"), "{stream}");
    let decisions = get(port, "/api/v1/clusters/Alpha/decisions", "");
    assert!(
        decisions.contains("the vote goes to") || decisions.contains("\"rule\""),
        "{decisions}"
    );
    assert!(get(port, "/readyz", "").contains("what happens is written down"));
    assert!(arbiter.is_running());
}
