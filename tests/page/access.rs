//! Who may see it: tokens, headers, and a proxy that puts the page below a path of its own.

use crate::browser::{Browser, ENTER};
use crate::content::assert_calm;
use crate::lab::{Answer, Arbiter};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

const READ: &str = "read-0123456789abcdef";

#[test]
fn the_token_is_asked_for_and_kept_for_the_tab() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, READ).unwrap();
    let arbiter = Arbiter::with(|http| http.read_token = Some(file));
    let mut nodes = {
        // The lab's own look at the state has no token.
        let mut nodes = [1, 2].map(|id| arbiter.join(b"secret-site", id, &[1, 2], 4));
        for node in &mut nodes {
            arbiter.vote(node);
        }
        nodes
    };
    let browser = Browser::start();
    browser.open(&format!("http://{}/", arbiter.http));
    browser.until("!document.getElementById('ask').hidden");
    assert!(!browser.text().contains("secret-site"));
    assert_eq!(browser.run("return document.activeElement.id"), "token");
    browser.picture("token");
    browser.keys("wrong-wrong-wrong-wrong");
    browser.keys(ENTER);
    browser.until_text("The arbiter does not accept this token.");
    browser.keys(READ);
    browser.keys(ENTER);
    browser.until_text("secret-site: both nodes connected");
    browser.until("document.getElementById('connection').textContent === 'live'");
    // The stream works with a token, too.
    arbiter.split(&mut nodes, 8);
    browser.until_text("split; node 1 holds the vote");
    browser.open(&format!("http://{}/?again", arbiter.http));
    browser.until_text("secret-site: split");
    let kept = browser.run("return [sessionStorage.length, localStorage.length, document.cookie]");
    assert_eq!(kept, serde_json::json!([1, 0, ""]));
    // Only that a token was needed.
    for complaint in browser.complaints() {
        assert!(complaint.contains("401"), "{complaint}");
    }
}

#[test]
fn the_page_runs_its_own_script_only_and_is_sent_once() {
    let arbiter = Arbiter::start();
    let answer = arbiter.get("/");
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < 60_000, "{}", answer.body.len());
    let policy = &answer.headers["content-security-policy"];
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["x-frame-options"], "SAMEORIGIN");
    let etag = &answer.headers["etag"];
    let again = arbiter.ask("GET", "/", &[("If-None-Match", etag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(
        arbiter
            .ask("GET", "/", &[("If-None-Match", "\"x\"")])
            .status,
        200
    );

    // What is put into the page is not run.
    let browser = Browser::start();
    browser.open(&format!("http://{}/", arbiter.http));
    let blocked = browser.run(
        "const script = document.createElement('script'); \
         try { script.textContent = 'document.title = \"owned\"'; } catch { return 'refused'; } \
         document.head.append(script); return document.title",
    );
    assert_eq!(blocked, "refused");
    let blocked = browser.run(
        "try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch { return 'refused' }",
    );
    assert_eq!(blocked, "refused");
}

/// A proxy that shows the arbiter below a path and passes on what is asked for there.
fn proxy(arbiter: SocketAddr, prefix: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || pass(&stream, arbiter, prefix));
        }
    });
    address
}

/// One request; `None` if either side goes away, or for another path.
fn pass(mut browser: &TcpStream, arbiter: SocketAddr, prefix: &str) -> Option<()> {
    let mut lines = BufReader::new(browser).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.strip_prefix(prefix)?;
    let mut head = format!("GET /{path} HTTP/1.1\r\nConnection: close\r\n");
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head += &format!("{line}\r\n");
        }
    }
    let mut server = TcpStream::connect(arbiter).ok()?;
    server.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    let mut piece = [0; 4096];
    loop {
        match server.read(&mut piece).ok()? {
            0 => return browser.shutdown(std::net::Shutdown::Both).ok(),
            length => browser.write_all(&piece[..length]).ok()?,
        }
    }
}

#[test]
fn it_works_below_another_path() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"a");
    let prefix = "/api/hassio_ingress/TOKEN/";
    let proxy = proxy(arbiter.http, prefix);
    let browser = Browser::start();
    browser.open(&format!("http://{proxy}{prefix}"));
    browser.until_text("a: both nodes connected");
    browser.until("document.getElementById('connection').textContent === 'live'");
    arbiter.split(&mut nodes, 8);
    browser.until_text("a: split");
    browser.click("#list summary");
    browser.until("document.querySelector('.drawing')");
    let links =
        browser.run("return [...document.querySelectorAll('#links a')].map((a) => a.pathname)");
    assert_eq!(links[0], format!("{prefix}metrics"));
    assert_calm(&browser);
    // The links lead somewhere.
    let mut stream = TcpStream::connect(proxy).unwrap();
    write!(
        stream,
        "GET {prefix}metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    assert_eq!(Answer::read(stream).status, 200);
}
