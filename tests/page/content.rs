//! What the page says about clusters and about the arbiter.

use crate::browser::Browser;
use crate::lab::Arbiter;
use qarbiter::pki::expiry::Warning;
use qarbiter::pki::facts::{Facts, Fingerprint, Moment, Serial};
use qarbiter::pki::inventory::Role;
use rustls::pki_types::CertificateDer;

/// Opens the page and waits for its first content.
pub(crate) fn page(arbiter: &Arbiter) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/", arbiter.http));
    // Clusters and arbiter are asked for at the same time; either may answer first.
    browser.until("!document.getElementById('main').hidden");
    browser.until("document.querySelector('#arbiter .facts')");
    browser
}

/// Nothing that the browser complains of.
pub(crate) fn assert_calm(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_whole_cluster_and_the_arbiter_are_explained() {
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"site-berlin");
    let browser = page(&arbiter);
    let row = browser.texts("#list > li").concat();
    assert!(row.contains("OK"), "{row}");
    let sentence = "site-berlin: both nodes connected; if one dies the other keeps running";
    assert!(row.replace('\n', "").contains(sentence), "{row}");
    assert!(row.contains("2/2"), "{row}");
    let own = browser.texts("#arbiter").concat();
    for said in [
        "version 0.",
        "TLS unsupported",
        "journal none",
        "2 connections",
        "There is no journal",
    ] {
        assert!(own.contains(said), "{said}: {own}");
    }
    browser.click("#list summary");
    browser.until("document.querySelector('.drawing')");
    let inside = browser.texts(".inside").concat();
    for said in [
        "Nodes 1 and 2 have the vote.",
        "Assuming one vote for each of the 2 nodes and 1 for the arbiter (nodes do not report their votes): 3 in all, and 2 are needed to run.",
        "Nodes that may fail with the arbiter\t1",
        "while the arbiter is down\t0",
        "CLEAR TEXT",
        "Vote to nodes 1 and 2",
        "tie-breaker lowest",
    ] {
        assert!(inside.contains(said), "{said}: {inside}");
    }
    let drawn = browser.run("return document.querySelector('.drawing').getAttribute('aria-label')");
    assert_eq!(drawn, "Nodes 1 and 2 see each other and have the vote.");
    assert_calm(&browser);
    browser.picture("light");
}

#[test]
fn the_certificates_are_shown() {
    let arbiter = Arbiter::start();
    arbiter.certify(2090, 2095);
    let _nodes = arbiter.pair(b"a");
    let browser = page(&arbiter);
    browser.until_text("server certificate until");
    let own = browser.texts("#arbiter").concat();
    for said in ["until 2090-01-01 (", "CA certificate until 2095-01-01 ("] {
        assert!(own.contains(said), "{said}: {own}");
    }
    browser.click("#arbiter [data-part=checks] summary");
    let certificates = arbiter.json("/api/v1/certificates");
    for certificate in certificates["certificates"].as_array().unwrap() {
        let fingerprint = certificate["sha256"].as_str().unwrap();
        browser.until_text(&fingerprint[..16]);
    }
    browser.until_text("EC 256");
    assert_calm(&browser);
    browser.picture("certificates");
}

#[test]
fn an_arbiter_that_is_not_in_order_is_in_the_title() {
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"a");
    let socket = arbiter.shared.live().settings.socket.clone();
    std::fs::remove_file(socket).unwrap();
    let browser = page(&arbiter);
    browser.until_text("control socket: not in order");
    browser.until("document.title === 'arbiter not in order – qarbiter'");
    // The red of what is critical.
    browser.until("document.getElementById('icon').href.includes('c21f2c')");
}

#[test]
fn an_odd_cluster_is_warned_about_and_who_is_missing_is_drawn() {
    let arbiter = Arbiter::start();
    let mut nodes = [1, 2].map(|id| arbiter.join(b"three", id, &[1, 2, 3], 4));
    for node in &mut nodes {
        let members = [1, 2].map(qarbiter::wire::NodeId);
        arbiter
            .run(node.see(qarbiter::wire::RingId::new(1, 8), &members))
            .unwrap();
    }
    arbiter.until("/api/v1/clusters/three", |cluster| {
        cluster["partitions"][0]["nodes"] == serde_json::json!([1, 2])
            && cluster["nodes"].as_array().unwrap().len() == 2
    });
    let browser = page(&arbiter);
    browser.click("#list summary");
    browser.until("document.querySelector('.drawing')");
    let inside = browser.texts(".inside").concat();
    for said in [
        "3 nodes is an odd number: with ffsplit the arbiter makes it worse",
        "Node 3 is configured and has never connected here",
        "The number of nodes is odd: see the warnings.",
        "never connected",
        "dotted: never connected",
    ] {
        assert!(inside.contains(said), "{said}: {inside}");
    }
    assert_eq!(
        browser.run("return document.querySelectorAll('.node.never').length"),
        1
    );
    let [_one, two] = nodes;
    drop(two);
    browser.until("document.querySelectorAll('.node.gone, .node.unlinked').length === 1");
    browser.until_text("not connected for");
    assert_calm(&browser);
}

#[test]
fn an_arbiter_without_clusters_says_what_to_do() {
    let arbiter = Arbiter::start();
    let browser = page(&arbiter);
    let said = browser.texts("#empty").concat();
    assert!(said.contains("pvecm qdevice setup"), "{said}");
    assert!(
        said.contains("corosync-qdevice-net-certutil -Q -n CLUSTER"),
        "{said}"
    );
    browser.picture("empty");
    let _nodes = arbiter.pair(b"first");
    browser.until_text("first: both nodes connected");
    assert!(browser.texts("#empty").is_empty());
    assert_calm(&browser);
}

#[test]
fn a_cluster_whose_nodes_have_all_left_stays_in_sight() {
    let arbiter = Arbiter::start();
    let nodes = arbiter.pair(b"site-rom");
    let browser = page(&arbiter);
    browser.until_text("site-rom: both nodes connected");
    drop(nodes);
    browser.until("document.querySelector('#gone > li')");
    let said = browser.texts("#gone").concat().replace('\n', "");
    assert!(
        said.contains("CRITICALsite-rom: no node has been connected for "),
        "{said}"
    );
    assert!(browser.texts("#empty").is_empty());
    browser.until("document.title === '1 without nodes – qarbiter'");
    browser.picture("gone");
    assert_calm(&browser);
    let _nodes = arbiter.pair(b"site-rom");
    browser.until_text("site-rom: both nodes connected");
    browser.until("document.title === 'all ok – qarbiter'");
    assert!(browser.texts("#gone").is_empty());
}

#[test]
fn names_are_text_whatever_is_in_them() {
    let arbiter = Arbiter::start();
    let long = "x".repeat(128);
    let names: [&[u8]; 6] = [
        b"<script>document.title='owned'</script>",
        b"<img src=x onerror=document.title='owned'>",
        "right\u{202e}tfel\u{200b}".as_bytes(),
        long.as_bytes(),
        b"..",
        b"\xff/?#%",
    ];
    let _nodes: Vec<_> = names.iter().map(|name| arbiter.pair(name)).collect();
    let browser = page(&arbiter);
    browser.until("document.querySelectorAll('#list > li').length === 6");
    let shown = browser.texts("#list .name");
    for name in [
        "<script>document.title='owned'</script>",
        "<img src=x onerror=document.title='owned'>",
        "right\\u{202e}tfel\\u{200b}",
        &long,
        "..",
        "\\xff/?#%",
    ] {
        assert!(shown.iter().any(|text| text == name), "{name}: {shown:?}");
    }
    // Each can be opened, and what is shown is about it.
    for place in 1..=6 {
        browser.click(&format!("#list > li:nth-child({place}) summary"));
        browser.until(&format!(
            "document.querySelector('#list > li:nth-child({place}) .drawing')"
        ));
        let script = format!(
            "return location.hash === '#' + document.querySelector('#list > li:nth-child({place})').dataset.key"
        );
        assert_eq!(browser.run(&script), true, "{place}");
    }
    assert_eq!(
        browser.run("return document.querySelectorAll('#list img, #list script').length"),
        0
    );
    browser.size(360, 740);
    browser.assert_fits();
    assert!(
        browser
            .run("return document.title")
            .as_str()
            .unwrap()
            .ends_with("qarbiter")
    );
    assert_calm(&browser);
    browser.picture("hostile");
}

#[test]
fn a_lost_holder_is_waited_for_in_sight() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"site-oslo");
    let ring = |id: u32, sequence| qarbiter::wire::RingId::new(id, sequence);
    arbiter.split(&mut nodes, 8);
    arbiter.settled("site-oslo");
    let [mut one, mut two] = nodes;
    // Node 1 breaks the rules, so its connection ends, and nobody knows whether it goes on.
    arbiter.run(async {
        let too_late = qarbiter::wire::Message::StartTls { seq: Some(1) };
        one.connection().send(&too_late).await.unwrap();
        while one.next().await.is_ok() {}
    });
    arbiter.run(two.see(ring(2, 12), &[two.id()])).unwrap();
    arbiter.until("/api/v1/clusters/site-oslo", |cluster| {
        cluster["leases"][0]["node"] == 1
    });
    let browser = page(&arbiter);
    browser.click("#list summary");
    browser.until("document.querySelector('.drawing .node.lease')");
    let row = browser.texts("#list > li").concat();
    assert!(row.contains("CRITICAL"), "{row}");
    let inside = browser.texts(".inside").concat();
    assert!(inside.contains("Lease: node 1 can't be reached and may still cast the vote for"));
    assert!(inside.contains("Vote to node 2 has to wait"), "{inside}");
    let left = "return parseInt(document.querySelector('time[data-until]').textContent)";
    let before = browser.run(left).as_u64().unwrap();
    browser.until(&format!(
        "parseInt(document.querySelector('time[data-until]')?.textContent) < {before}"
    ));
    browser.picture("lease");
    browser.until_text("node 2 keeps running");
    assert_calm(&browser);
}

#[test]
fn what_the_arbiter_warns_of_is_at_the_top() {
    let arbiter = Arbiter::start();
    let endings = (1..=5).map(|n| Warning {
        role: Role::Cluster,
        facts: Facts {
            name: format!("<b>{n}</b>"),
            serial: Serial::from(n),
            not_before: Moment(1_700_000_000),
            not_after: Moment(1_800_000_000),
            sha256: Fingerprint::of(&CertificateDer::from(vec![])),
        },
        days_left: 40,
        superseded: false,
    });
    arbiter.shared.guests.set_endings(endings.collect());
    let browser = page(&arbiter);
    // The journal's own, and two of these; the rest on demand.
    let own = browser.texts("#arbiter").concat();
    assert!(
        own.contains("The certificate of cluster \"<b>2</b>\" (number 2) ends on"),
        "{own}"
    );
    assert!(own.contains("3 more warnings"), "{own}");
    assert!(!own.contains("<b>5</b>"), "{own}");
    browser.click("#arbiter [data-part=more] summary");
    browser.until_text("The certificate of cluster \"<b>5</b>\" (number 5) ends on");
    assert_calm(&browser);
}
