//! The real Alertmanager (Debian package prometheus-alertmanager).

use crate::lab::{Arbiter, PATIENCE, webhooks};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n";
        std::fs::write(dir.path().join("am.yml"), config).unwrap();
        let address = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap()
        };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus-alertmanager"])
            .arg(format!(
                "--config.file={}",
                dir.path().join("am.yml").display()
            ))
            .arg(format!("--storage.path={}", dir.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let alertmanager = Self {
            child,
            address,
            _dir: dir,
        };
        let begin = Instant::now();
        while alertmanager.try_get("/-/ready").is_none() {
            assert!(
                begin.elapsed() < PATIENCE,
                "apt-get install prometheus-alertmanager"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        alertmanager
    }

    fn try_get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }

    /// What is active there now, by name of the alert and key.
    fn active(&self) -> Vec<Value> {
        let text = self.try_get("/api/v2/alerts?active=true").unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    }

    fn until(&self, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let active = self.active();
            if is_so(&active) {
                return active;
            }
            assert!(begin.elapsed() < PATIENCE, "{active:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn named<'a>(alerts: &'a [Value], name: &str) -> Option<&'a Value> {
    alerts
        .iter()
        .find(|alert| alert["labels"]["alertname"] == name)
}

#[test]
fn a_split_is_active_there_until_it_is_over() {
    let alertmanager = Alertmanager::start();
    let arbiter = Arbiter::start(webhooks(&format!(
        "alertmanager http://{}",
        alertmanager.address
    )));
    let mut nodes = arbiter.pair(b"site-rom");
    arbiter.split(&mut nodes, 8);
    let active = alertmanager.until(|active| named(active, "QarbiterSplit").is_some());
    let split = named(&active, "QarbiterSplit").unwrap();
    assert_eq!(split["labels"]["cluster"], "site-rom");
    assert_eq!(split["labels"]["arbiter"], "arbiter-1");
    assert_eq!(split["labels"]["severity"], "warning");
    let reason = split["annotations"]["reason"].as_str().unwrap();
    assert!(reason.contains("exact tie goes to the lowest"), "{reason}");
    assert!(named(&active, "QarbiterVoteGranted").is_some());
    arbiter.heal(&mut nodes, 16);
    alertmanager.until(|active| named(active, "QarbiterSplit").is_none());
}
