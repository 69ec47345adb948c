//! Who may ask, and what browsers are told.

use crate::lab::Arbiter;
use qarbiter::engine::Verdict;
use qarbiter::http::HttpSettings;
use std::path::PathBuf;
use tempfile::TempDir;

const READ: &str = "read-0123456789abcdef";
const ADMIN: &str = "admin-0123456789abcdef";

fn token_file(dir: &TempDir, token: &str) -> Option<PathBuf> {
    let path = dir.path().join(&token[..4]);
    std::fs::write(&path, format!("{token}\n")).unwrap();
    Some(path)
}

fn status(arbiter: &Arbiter, method: &str, path: &str, token: &str) -> u16 {
    let value = format!("Bearer {token}");
    arbiter
        .ask(method, path, &[("Authorization", &value)])
        .status
}

#[test]
fn tokens_open_what_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let arbiter = Arbiter::with(|http| {
        http.read_token = token_file(&dir, READ);
        http.admin_token = token_file(&dir, ADMIN);
    });
    let _nodes = arbiter.pair(b"a");
    for path in [
        "/metrics",
        "/api/v1/overview",
        "/api/v1/clusters",
        "/api/v1/events",
        "/nothing",
    ] {
        let answer = arbiter.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
        assert_eq!(
            status(&arbiter, "GET", path, "wrong-0123456789"),
            401,
            "{path}"
        );
        let expected = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(status(&arbiter, "GET", path, READ), expected, "{path}");
        assert_eq!(status(&arbiter, "GET", path, ADMIN), expected, "{path}");
    }
    for open in ["/", "/healthz", "/readyz"] {
        assert_eq!(arbiter.get(open).status, 200, "{open}");
    }
    let release = "/api/v1/clusters/a/release";
    assert_eq!(arbiter.ask("POST", release, &[]).status, 401);
    assert_eq!(status(&arbiter, "POST", release, READ), 403);
    // Nobody is lost, so there is nothing to release.
    assert_eq!(status(&arbiter, "POST", release, ADMIN), 409);
    assert_eq!(status(&arbiter, "GET", release, ADMIN), 405);
    assert_eq!(
        status(&arbiter, "POST", "/api/v1/clusters/none/release", ADMIN),
        404
    );
}

#[test]
fn one_token_for_everything_is_refused() {
    let arbiter = Arbiter::start();
    let dir = tempfile::tempdir().unwrap();
    let settings = HttpSettings {
        read_token: token_file(&dir, READ),
        admin_token: token_file(&dir, READ),
        ..HttpSettings::default()
    };
    let refused = arbiter.keys().reload(&settings).unwrap_err();
    assert!(refused.to_string().contains("hold the same token"));
    // Nothing has changed.
    assert_eq!(arbiter.get("/metrics").status, 200);
}

#[test]
fn a_lost_holder_can_be_released() {
    let dir = tempfile::tempdir().unwrap();
    let arbiter = Arbiter::with(|http| http.admin_token = token_file(&dir, ADMIN));
    let mut nodes = arbiter.pair(b"a");
    // Node 1, which has the vote alone, loses its connection; node 2 has to wait.
    arbiter.split(&mut nodes, 8);
    arbiter.settled("a");
    let [one, mut two] = nodes;
    lose(&arbiter, one);
    arbiter
        .run(two.see(qarbiter::wire::RingId::new(2, 12), &[two.id()]))
        .unwrap();
    let waits = |cluster: &serde_json::Value| cluster["decision"]["outcome"] == "withheld";
    let cluster = arbiter.until("/api/v1/clusters/a", waits);
    assert_eq!(cluster["leases"][0]["node"], 1);
    assert_eq!(
        status(&arbiter, "POST", "/api/v1/clusters/a/release", ADMIN),
        200
    );
    assert_eq!(arbiter.vote(&mut two), Verdict::Ack);
    let list = arbiter.until("/api/v1/events", |list| {
        let events = list["events"].as_array().unwrap();
        events.iter().any(|event| event["kind"] == "lease_ended")
    });
    assert!(list.to_string().contains("released by the operator"));
}

/// Ends a node's connection as the arbiter sees it when the node breaks the rules: it may go on.
fn lose(arbiter: &Arbiter, mut node: qarbiter::client::Node) {
    let too_long = qarbiter::wire::Message::StartTls { seq: Some(1) };
    arbiter.run(async {
        // TLS is off here, so this ends the connection from the other side.
        node.connection().send(&too_long).await.unwrap();
        while node.next().await.is_ok() {}
    });
}

#[test]
fn nothing_can_be_changed_without_a_token_for_it() {
    let arbiter = Arbiter::start();
    let _nodes = arbiter.pair(b"a");
    let answer = arbiter.ask("POST", "/api/v1/clusters/a/release", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("no token"));
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(
            arbiter.ask(method, "/api/v1/clusters", &[]).status,
            403,
            "{method}"
        );
    }
}

#[test]
fn a_page_of_somebody_else_can_t_read_through_a_browser() {
    let arbiter = Arbiter::start();
    for host in [
        "evil.example",
        "evil.example:8403",
        "127.0.0.1.evil.example",
    ] {
        let answer = arbiter.ask("GET", "/api/v1/clusters", &[("Host", host)]);
        assert_eq!(answer.status, 421, "{host}");
    }
    for host in ["localhost:8403", "127.0.0.1", "[::1]:8403"] {
        let answer = arbiter.ask(
            "GET",
            "/api/v1/clusters",
            &[("Host", host), ("Origin", "http://evil.example")],
        );
        assert_eq!(answer.status, 200, "{host}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers[name], value);
        }
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'"));
    }
    let targets = [
        "/../etc/passwd",
        "/%2e%2e/",
        "//",
        "/api/",
        "/api/v1/clusters/",
    ];
    for target in targets {
        assert_eq!(arbiter.get(target).status, 404, "{target}");
    }
}
