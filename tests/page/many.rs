//! Hundreds of clusters.
//!
//! PAGE_TEST_CLUSTERS=3000 measures with more than the usual 500 (two descriptors per node).

use crate::browser::Browser;
use crate::content::assert_calm;
use crate::lab::Arbiter;
use std::time::{Duration, Instant};

#[test]
fn hundreds_of_clusters_stay_quick() {
    let wanted = std::env::var("PAGE_TEST_CLUSTERS").unwrap_or_else(|_| "500".to_owned());
    let wanted: usize = wanted.parse().unwrap();
    let arbiter = Arbiter::start();
    let mut split = arbiter.pair(b"a-bad-one");
    let _nodes: Vec<_> = (1..wanted)
        .map(|n| format!("site-{n:04}"))
        .map(|name| {
            // Every tenth has lost a node.
            let count = if name.ends_with('7') { 1 } else { 2 };
            (1..=count)
                .map(|id| arbiter.join(name.as_bytes(), id, &[1, 2], 4))
                .collect::<Vec<_>>()
        })
        .collect();
    let begin = Instant::now();
    let answer = arbiter.get("/api/v1/overview");
    let (first, size) = (begin.elapsed(), answer.body.len());
    let begin = Instant::now();
    assert_eq!(arbiter.get("/api/v1/overview?level=critical").status, 200);
    println!(
        "overview of {wanted}: {size} bytes in {first:?}, again in {:?}",
        begin.elapsed()
    );
    assert!(size < 80_000, "{size}");

    let browser = Browser::start();
    let begin = Instant::now();
    browser.open(&format!("http://{}/", arbiter.http));
    browser.until("document.querySelectorAll('#list > li').length >= 200");
    let opened = begin.elapsed();
    let painted = browser
        .run("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0");
    browser.run("for (const li of document.querySelectorAll('#list > li')) li.dataset.mark = 1");
    arbiter.split(&mut split, 8);
    let begin = Instant::now();
    browser.until("document.querySelector('#list').textContent.includes('split; node 1 holds')");
    let seen = begin.elapsed();
    // Rows are kept, not made again.
    let kept = browser.run("return document.querySelectorAll('#list > li[data-mark]').length");
    assert!(kept.as_u64().unwrap() >= 199, "{kept}");
    browser.picture("many");
    browser.click("#more");
    browser.until(&format!(
        "document.querySelectorAll('#list > li').length === {}",
        wanted.min(1000)
    ));
    // The longest time for which the browser did nothing else.
    let busy = browser.run(
        "return new Promise((done) => { const seen = []; \
         new PerformanceObserver((list) => seen.push(...list.getEntries())) \
           .observe({ type: 'longtask', buffered: true }); \
         setTimeout(() => done(Math.max(0, ...seen.map((task) => task.duration))), 6000); })",
    );
    println!(
        "{wanted} clusters: opened after {opened:?} (first paint {painted} ms), a split seen after \
         {seen:?}, busy for {busy} ms at most"
    );
    assert!(opened < Duration::from_secs(5), "{opened:?}");
    assert!(seen < Duration::from_secs(4), "{seen:?}");
    assert!(busy.as_f64().unwrap() < 1000.0, "{busy}");
    browser.keys("/");
    browser.keys("site-0123");
    browser.until("document.querySelectorAll('#list > li').length === 1");
    assert_calm(&browser);
}

#[test]
fn a_cluster_far_down_the_list_stays_current() {
    let arbiter = Arbiter::start();
    // All of these are worse.
    let _others: Vec<_> = (0..205)
        .map(|n| arbiter.join(format!("bad-{n:03}").as_bytes(), 1, &[1, 2], 4))
        .collect();
    let mut nodes = arbiter.pair(b"named");
    let browser = Browser::start();
    browser.open(&format!("http://{}/#named", arbiter.http));
    let row = "document.querySelector('[data-key=named]')";
    browser.until(&format!("{row}?.querySelector('.drawing')"));
    browser.until("document.querySelectorAll('#list > li').length === 201");
    browser.until(&format!("{row}.innerText.includes('both nodes connected')"));

    // In the details too.
    arbiter.split(&mut nodes, 8);
    browser.until(&format!(
        "{row}.innerText.includes('split; node 1 holds the vote')"
    ));
    browser.until(&format!("{row}.innerText.includes('Node 1 has the vote.')"));
    browser.until(&format!("{row}.querySelector('.drawing .cut')"));
    drop(nodes);
    browser.until(&format!("!{row}"));
    let _again = arbiter.pair(b"named");
    browser.until(&format!("{row}?.querySelector('.drawing')"));
    browser.until("document.querySelectorAll('#list > li').length === 201");
    assert_calm(&browser);
}
