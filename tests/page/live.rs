//! The page follows what happens, and says so when it can't.

use crate::content::{assert_calm, page};
use crate::lab::Arbiter;
use qarbiter::engine::Verdict;
use qarbiter::http::HttpAddress;
use std::time::{Duration, Instant};

#[test]
fn a_split_is_seen_as_it_happens() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"site-rom");
    let _other = arbiter.pair(b"site-berlin");
    let browser = page(&arbiter);
    browser.click("#list > li[data-key=site-rom] summary");
    browser.until("document.querySelector('.drawing')");
    browser.until("document.getElementById('connection').textContent === 'live'");
    assert_eq!(browser.run("return document.title"), "all ok – qarbiter");

    assert_eq!(arbiter.split(&mut nodes, 8), [Verdict::Ack, Verdict::Nack]);
    let begin = Instant::now();
    browser.until(
        "document.querySelector('#list > li').innerText.replace(/\\n/g, '').includes(\
         'site-rom: split; node 1 holds the vote because the tie-breaker is lowest')",
    );
    let took = begin.elapsed();
    println!("a split is on the page after {took:?}");
    // Long before it asks by itself.
    assert!(took < Duration::from_secs(3), "{took:?}");
    browser.until("document.querySelectorAll('.drawing .with-vote .node.connected').length === 1");
    browser.until("document.querySelectorAll('.drawing .cut').length === 1");
    browser.until_text("Node 1 has the vote.");
    let inside = browser.texts(".inside").concat();
    let reason = &arbiter.settled("site-rom")["decision"]["reason"];
    assert!(
        inside
            .to_lowercase()
            .contains(&reason.as_str().unwrap().to_lowercase()),
        "{reason}: {inside}"
    );
    let said = browser.run("return document.getElementById('changes').textContent");
    let said = said.as_str().unwrap();
    assert!(
        said.contains("site-rom was OK and is now DEGRADED"),
        "{said}"
    );
    assert_eq!(
        browser.run("return document.title"),
        "1 degraded – qarbiter"
    );
    browser.click(".decisions details summary");
    browser.until_text("Configured");
    // What was opened stays open while the page goes on.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(
        browser.run("return document.querySelectorAll('.decisions details[open]').length"),
        1
    );
    browser.picture("split");

    for node in &mut nodes {
        let members = [1, 2].map(qarbiter::wire::NodeId);
        arbiter
            .run(node.see(qarbiter::wire::RingId::new(1, 12), &members))
            .unwrap();
    }
    browser.until_text("site-rom: both nodes connected");
    // Newer decisions came above the one that is open.
    let open = browser
        .texts(".decisions > li:has(details[open]) summary")
        .concat();
    assert!(open.contains("rule tie_breaker"), "{open}");
    assert!(
        !browser
            .texts(".decisions > li:first-child")
            .concat()
            .contains("tie_breaker")
    );
    assert_calm(&browser);
}

#[test]
fn what_is_out_of_date_does_not_look_fresh() {
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"a");
    let browser = page(&arbiter);
    browser.until("document.getElementById('connection').textContent === 'live'");
    assert_calm(&browser);
    let address = arbiter.http;
    drop(arbiter);
    let begin = Instant::now();
    browser.until("document.body.classList.contains('old')");
    println!("a lost arbiter is seen after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(8));
    std::thread::sleep(Duration::from_secs(3));
    let lost = browser.texts("#lost").concat();
    assert!(lost.contains("No answer from the arbiter for"), "{lost}");
    assert!(lost.contains("as it was at"), "{lost}");
    assert_eq!(browser.run("return document.title"), "no answer – qarbiter");
    let filter = browser.run("return getComputedStyle(document.querySelector('main')).filter");
    assert_eq!(filter, "grayscale(1)");
    browser.picture("lost");

    // It comes back by itself, and shows what is so now.
    let arbiter = Arbiter::with(|http| http.listen = HttpAddress::At(address));
    browser.until("!document.body.classList.contains('old')");
    browser.until_text("No cluster has joined yet");
    let _nodes = arbiter.pair(b"b");
    browser.until_text("b: both nodes connected");
    assert!(browser.texts("#lost").is_empty());
    // Nothing but that nobody answered.
    for complaint in browser.complaints() {
        assert!(complaint.contains("net::ERR_"), "{complaint}");
    }
}

#[test]
fn an_arbiter_that_hangs_is_lost_too() {
    // It takes connections and never answers, after the page itself.
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"a");
    let browser = page(&arbiter);
    browser.run(
        "const real = window.fetch; \
         window.fetch = (path, options) => new Promise((_, reject) => \
           options.signal.addEventListener('abort', () => reject(options.signal.reason)));",
    );
    let begin = Instant::now();
    browser.until("document.body.classList.contains('old')");
    assert!(
        begin.elapsed() < Duration::from_secs(14),
        "{:?}",
        begin.elapsed()
    );
}
