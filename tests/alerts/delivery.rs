//! Receivers that fail, refuse, redirect and check signatures.

use crate::lab::{Arbiter, webhooks};
use crate::receiver::{ENDLESS, Receiver};
use std::process::Command;
use std::time::Duration;

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
const LATER: &str = "HTTP/1.1 429 Slow down\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n";
const GONE: &str = "HTTP/1.1 404 Not found\r\nContent-Length: 0\r\n\r\n";
const MOVED: &str =
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n";

const SENT: &str = "qarbiter_alerts_total{hook=\"webhook1\",outcome=\"sent\"}";
const FAILED: &str = "qarbiter_alerts_total{hook=\"webhook1\",outcome=\"failed\"}";

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < crate::lab::PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_fails_is_sent_again_later_with_the_same_id() {
    let receiver = Receiver::with(&[Some(BUSY), Some(LATER)]);
    let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/hook?x=1"))));
    let got = receiver.wait_for_requests(3);
    assert_eq!(got[0].line, "POST /hook?x=1 HTTP/1.1");
    for again in &got[1..3] {
        assert_eq!(again.body, got[0].body);
        assert_eq!(
            again.headers["idempotency-key"],
            got[0].headers["idempotency-key"]
        );
    }
    let first = got[1].at - got[0].at;
    let bounds = Duration::from_millis(450)..Duration::from_millis(2500);
    assert!(bounds.contains(&first), "{first:?}");
    let asked = got[2].at - got[1].at;
    assert!(asked >= Duration::from_secs(3), "{asked:?}");
    until("sent", || arbiter.metric(SENT) > 0);
    assert_eq!(arbiter.metric(FAILED), 0);
}

#[test]
fn refusals_and_redirects_are_not_repeated() {
    for answer in [GONE, MOVED] {
        let receiver = Receiver::with(&[Some(answer)]);
        let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
        receiver.wait_for_requests(1);
        until("given up", || arbiter.metric(FAILED) == 1);
        std::thread::sleep(Duration::from_millis(1700));
        let again = receiver.all().into_iter().skip(1);
        let again: Vec<_> = again.map(|got| got.json()).collect();
        let started = |body: &serde_json::Value| body.to_string().contains("arbiter_started");
        assert!(!again.iter().any(started), "{again:?}");
    }
}

#[test]
fn an_answer_whose_text_does_not_end_is_an_answer() {
    let receiver = Receiver::with(&[Some(ENDLESS)]);
    let arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    receiver.wait_for_requests(1);
    let begin = std::time::Instant::now();
    until("sent", || arbiter.metric(SENT) > 0);
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    let started = "arbiter_started event".to_owned();
    let said = receiver.said();
    assert_eq!(
        said.iter().filter(|said| **said == started).count(),
        1,
        "{said:?}"
    );
}

#[test]
fn a_receiver_that_is_back_hears_of_the_end() {
    let receiver = Receiver::with(&[Some(BUSY); 4]);
    let mut arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    receiver.wait_for_requests(4);
    let begin = std::time::Instant::now();
    arbiter.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    let said = receiver.said();
    assert_eq!(said.last().unwrap(), "arbiter_stopping event", "{said:?}");
}

#[test]
fn a_receiver_that_is_away_delays_the_end_by_little() {
    let receiver = Receiver::with(&[Some(BUSY), Some(BUSY), None]);
    let mut arbiter = Arbiter::start(webhooks(&format!("json {}", receiver.url("/"))));
    receiver.wait_for_requests(3);
    let begin = std::time::Instant::now();
    arbiter.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn only_what_is_grave_enough_comes() {
    let (all, grave) = (Receiver::start(), Receiver::start());
    let text = format!(
        "json {}\njson {} severity=warning",
        all.url("/"),
        grave.url("/")
    );
    let mut arbiter = Arbiter::start(webhooks(&text));
    all.wait_for("arbiter_started", "event");
    arbiter.stop();
    assert!(all.said().contains(&"arbiter_started event".to_owned()));
    assert!(!grave.said().contains(&"arbiter_started event".to_owned()));
    assert!(grave.said().contains(&"arbiter_stopping event".to_owned()));
}

/// The example in docs/ALERTS.md, with another implementation of HMAC than ours.
#[test]
fn openssl_finds_the_signature_right() {
    let dir = tempfile::tempdir().unwrap();
    let key = "a key with $igns, 0123";
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let receiver = Receiver::start();
    let text = format!("json {} secret_file={}", receiver.url("/"), file.display());
    let _arbiter = Arbiter::start(webhooks(&text));
    let got = &receiver.wait_for_requests(1)[0];
    let documentation = include_str!("../../docs/ALERTS.md");
    let (_, example) = documentation.split_once("```sh verify\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert!(example.lines().count() <= 5);
    let body = dir.path().join("body");
    let verify = |bytes: &[u8]| {
        std::fs::write(&body, bytes).unwrap();
        let output = Command::new("bash")
            .args(["-euc", example])
            .env("KEY_FILE", &file)
            .env("TIMESTAMP", &got.headers["x-qarbiter-timestamp"])
            .env("SIGNATURE", &got.headers["x-qarbiter-signature"])
            .env("BODY_FILE", &body)
            .output()
            .unwrap();
        (output.status.success(), output)
    };
    let (is_good, output) = verify(&got.body);
    assert!(is_good, "{output:?}");
    let mut changed = got.body.clone();
    changed[10] ^= 1;
    assert!(!verify(&changed).0);
}

#[test]
fn a_token_and_a_user_are_sent() {
    let (bearer, basic) = (Receiver::start(), Receiver::start());
    let with_user = basic.url("/").replace("http://", "http://me:s%20cret@");
    let text = format!("json {} token=tk_1;json {with_user}", bearer.url("/"));
    let _arbiter = Arbiter::start(webhooks(&text));
    let token = &bearer.wait_for_requests(1)[0].headers["authorization"];
    assert_eq!(token, "Bearer tk_1");
    let user = &basic.wait_for_requests(1)[0].headers["authorization"];
    assert_eq!(user, "Basic bWU6cyBjcmV0");
}
