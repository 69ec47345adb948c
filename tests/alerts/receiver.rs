//! Somebody who gets webhooks, and answers as the test wants.

use crate::lab::PATIENCE;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers that are still to be given, in order; `None` stands for silence. Afterwards all is well.
type Script = Arc<Mutex<VecDeque<Option<&'static str>>>>;

/// An answer whose text does not end.
pub(crate) const ENDLESS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok";

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    script: Script,
    is_silent: bool,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(answers: &[Option<&'static str>]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
            script: Arc::new(Mutex::new(answers.iter().copied().collect())),
            is_silent: false,
        };
        receiver.serve(listener)
    }

    /// One that takes connections and never says anything.
    pub(crate) fn silent() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
            script: Arc::default(),
            is_silent: true,
        };
        receiver.serve(listener)
    }

    fn serve(self, listener: TcpListener) -> Self {
        let own = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (receiver, mut stream) = (own.clone(), stream.unwrap());
                std::thread::spawn(move || receiver.one(&mut stream));
            }
        });
        self
    }

    /// Reads one request and answers it.
    pub(crate) fn one(&self, stream: &mut (impl Read + Write)) {
        let Some(got) = read(stream) else { return };
        self.got.lock().unwrap().push(got);
        let answer = self.script.lock().unwrap().pop_front();
        match answer.unwrap_or((!self.is_silent).then_some(OK)) {
            Some(answer) => {
                let _ = stream.write_all(answer.as_bytes());
                if answer == ENDLESS {
                    std::thread::sleep(PATIENCE * 10);
                }
            }
            None => std::thread::sleep(PATIENCE * 10),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// All alerts that came so far, in our own format.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let all = self.all();
        let all = all
            .iter()
            .flat_map(|got| got.json()["alerts"].as_array().unwrap().clone());
        all.collect()
    }

    /// Waits for an alert of that kind and status (`event` for none).
    pub(crate) fn wait_for(&self, kind: &str, status: &str) -> Value {
        let is_it = |alert: &Value| {
            alert["kind"] == kind && alert["status"].as_str().unwrap_or("event") == status
        };
        let begin = Instant::now();
        loop {
            if let Some(found) = self.alerts().into_iter().find(is_it) {
                return found;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{kind} {status}: {:#?}",
                self.alerts()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until so many requests came.
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Got> {
        let begin = Instant::now();
        while self.all().len() < count {
            assert!(begin.elapsed() < PATIENCE, "{:?}", self.all());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.all()
    }

    /// `KIND STATUS`, as they came.
    pub(crate) fn said(&self) -> Vec<String> {
        let alerts = self.alerts();
        let short = |alert: &Value| {
            let status = alert["status"].as_str().unwrap_or("event");
            format!("{} {status}", alert["kind"].as_str().unwrap())
        };
        alerts.iter().map(short).collect()
    }
}

fn read(stream: &mut impl Read) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.trim_end().lines();
    let line = lines.next().unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Got {
        at: Instant::now(),
        line,
        headers,
        body,
    })
}
