//! The event stream.

use crate::lab::{Answer, Arbiter, PATIENCE, head};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const STREAM: (&str, &str) = ("Accept", "text/event-stream");

/// Reads a stream of events.
struct Reader(BufReader<TcpStream>);

/// An event as it came.
#[derive(Debug, Default)]
struct Got {
    id: String,
    kind: String,
    data: Value,
}

impl Reader {
    fn open(arbiter: &Arbiter, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = arbiter.connect();
        let headers = [&[STREAM], headers].concat();
        stream
            .write_all(head("GET", path, &headers).as_bytes())
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut bytes = String::new();
        while !bytes.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut bytes).unwrap(), 0, "{bytes}");
        }
        let answer = Answer::head(&bytes);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        Self(reader)
    }

    /// The next event, comments and the sizes of chunks left out.
    fn next(&mut self) -> Got {
        let mut got = Got::default();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => got.id = id.to_owned(),
                Some(("event", kind)) => got.kind = kind.to_owned(),
                Some(("data", data)) => {
                    got.data = serde_json::from_str(data).unwrap();
                    return got;
                }
                _ => {}
            }
        }
    }

    fn until(&mut self, kind: &str) -> Got {
        loop {
            let got = self.next();
            if got.data["kind"] == kind {
                return got;
            }
        }
    }
}

/// Waits until the reader is known to be there, so that what happens next is for it.
fn until_readers(arbiter: &Arbiter, count: usize) {
    let begin = Instant::now();
    let line = format!("qarbiter_http_event_readers {count}\n");
    while !arbiter.get("/metrics").text().contains(&line) {
        assert!(begin.elapsed() < PATIENCE, "{line}");
    }
}

#[test]
fn events_come_while_they_happen() {
    let arbiter = Arbiter::start();
    let mut all = Reader::open(&arbiter, "/api/v1/events", &[]);
    let mut of_b = Reader::open(&arbiter, "/api/v1/events?cluster=b", &[]);
    until_readers(&arbiter, 2);
    let mut a = arbiter.pair(b"a");
    let joined = all.next();
    assert_eq!(joined.data["kind"], "node_joined");
    assert_eq!(joined.data["cluster"], "a");
    assert_eq!(joined.data["id"], joined.id.as_str());
    let begin = Instant::now();
    arbiter.split(&mut a, 8);
    loop {
        let decided = all.until("vote_decided");
        let decision = &decided.data["decision"];
        if decision["rule"] == "tie_breaker" && decision["outcome"] == "granted" {
            assert!(begin.elapsed() < Duration::from_secs(5));
            assert_eq!(decision["winner"][0], 1);
            assert_eq!(decision["inputs"].as_array().unwrap().len(), 2);
            break;
        }
    }
    let _b = arbiter.pair(b"b");
    let joined = of_b.next();
    assert_eq!(joined.data["cluster"], "b");
    drop(all);
    drop(of_b);
    until_readers(&arbiter, 0);
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let arbiter = Arbiter::start();
    let _a = arbiter.pair(b"a");
    let list = arbiter.until("/api/v1/events", |list| {
        list["events"].as_array().unwrap().len() >= 6
    });
    let ids: Vec<&str> = list["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    let mut reader = Reader::open(&arbiter, "/api/v1/events", &[("Last-Event-ID", ids[1])]);
    assert_eq!(reader.next().id, ids[2]);
    assert_eq!(reader.next().id, ids[3]);
    let rest = arbiter.json(&format!("/api/v1/events?after={}&limit=2", ids[2]));
    assert_eq!(rest["gap"], false);
    assert_eq!(rest["events"][0]["id"], ids[3]);
    assert_eq!(rest["events"].as_array().unwrap().len(), 2);

    // An id of a run that is not known: everything that is known follows.
    let list = arbiter.json("/api/v1/events?after=1a2b-77");
    assert_eq!(
        (&list["gap"], &list["events"][0]["id"]),
        (&true.into(), &ids[0].into())
    );
    let mut late = Reader::open(&arbiter, "/api/v1/events", &[("Last-Event-ID", "1a2b-77")]);
    assert_eq!(late.next().kind, "gap");
    assert_eq!(late.next().id, ids[0]);
    for wrong in ["x", "1-", "-"] {
        let answer = arbiter.get(&format!("/api/v1/events?after={wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn a_token_that_was_taken_away_ends_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let (old, new) = ("old-0123456789abcdef", "new-0123456789abcdef");
    std::fs::write(&file, old).unwrap();
    let mut settings = None;
    let arbiter = Arbiter::with(|http| {
        http.read_token = Some(file.clone());
        settings = Some(http.clone());
    });
    let settings = settings.unwrap();
    let shown = format!("Bearer {old}");
    let mut reader = Reader::open(&arbiter, "/api/v1/events", &[("Authorization", &shown)]);
    let _a = arbiter.pair(b"a");
    reader.until("node_joined");
    // A reload that changes nothing is none to it.
    arbiter.keys().reload(&settings).unwrap();
    let _b = arbiter.pair(b"b");
    reader.until("vote_decided");

    std::fs::write(&file, new).unwrap();
    arbiter.keys().reload(&settings).unwrap();
    let _secret = arbiter.pair(b"secret");
    let mut rest = String::new();
    reader.0.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("secret"), "{rest}");
}

#[test]
fn a_reader_that_does_not_read_is_left() {
    let arbiter = Arbiter::start();
    let stuck = Reader::open(&arbiter, "/api/v1/events", &[]);
    until_readers(&arbiter, 1);
    let begin = Instant::now();
    let mut nodes = arbiter.pair(b"a");
    let mut ring = 4;
    // More than the sockets hold, and then nothing is taken for ten seconds.
    while begin.elapsed() < PATIENCE * 2 {
        for _ in 0..50 {
            ring += 4;
            arbiter.split(&mut nodes, ring);
        }
        let text = arbiter.get("/metrics").text();
        if text.contains("qarbiter_http_event_readers 0\n") {
            drop(stuck);
            return;
        }
    }
    panic!("the reader is still there");
}
