//! A real browser, driven over WebDriver (chromedriver), and what it shows.

use crate::lab::PATIENCE;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One browser at a time: they are large, and two would disturb what is measured.
static ONE: Mutex<()> = Mutex::new(());

/// Switches without which Chromium does not run as root, or calls its maker.
const SWITCHES: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// Keys as WebDriver has them.
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";

pub(crate) struct Browser {
    driver: Child,
    /// Kept open, for the driver may say more.
    _said: BufReader<ChildStdout>,
    address: SocketAddr,
    session: String,
    /// Process id of the browser itself.
    browser: u64,
    _profile: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        // It chooses a port, which somebody else may take before it has it.
        let (driver, said, port) = (0..5)
            .find_map(|_| driver())
            .expect("chromedriver with a port of its own");
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            _said: said,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            session: String::new(),
            browser: 0,
            _profile: profile,
            _alone: alone,
        };
        let own = format!("--user-data-dir={}", browser._profile.path().display());
        let switches: Vec<&str> = SWITCHES.into_iter().chain([&*own]).collect();
        let session = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": switches},
            }}}),
        );
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        let process = &session["capabilities"]["goog:processID"];
        browser.browser = process.as_u64().expect("a browser");
        browser.size(1100, 900);
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.try_ask(method, path, body).unwrap();
        assert_eq!(status, 200, "{method} {path}: {value}");
        value
    }

    /// The status and the value of an answer. The driver leaves the connection open after it.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(3 * PATIENCE))?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut reader = BufReader::new(stream);
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            } else if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        Ok((
            status,
            serde_json::from_slice::<Value>(&answer)?["value"].take(),
        ))
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}/{what}", self.session), body)
    }

    pub(crate) fn open(&self, address: &str) {
        self.post("url", &json!({ "url": address }));
    }

    /// Runs a piece of JavaScript and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// What the elements have as text, as far as it is seen.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({})].filter((e) => e.checkVisibility()).map((e) => e.innerText)",
            json!(selector)
        );
        serde_json::from_value(self.run(&script)).unwrap()
    }

    /// What all of the page has as text.
    pub(crate) fn text(&self) -> String {
        self.texts("body").concat()
    }

    /// Waits until a JavaScript expression is true.
    pub(crate) fn until(&self, expression: &str) {
        let begin = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            assert!(
                begin.elapsed() < PATIENCE,
                "never: {expression}\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a text is seen.
    pub(crate) fn until_text(&self, text: &str) {
        self.until(&format!(
            "document.body.innerText.includes({})",
            json!(text)
        ));
    }

    /// Clicks in the middle of an element, as a hand would: not before it stands still, for what is
    /// scrolled into sight is drawn only then, and may push the element away.
    pub(crate) fn click(&self, selector: &str) {
        let name = json!(selector);
        self.until(&format!("document.querySelector({name})"));
        let stands = format!(
            "document.querySelector({name})?.scrollIntoView({{ block: 'nearest' }}); \
             return new Promise((done) => {{ \
               const seen = []; \
               const look = () => {{ \
                 seen.push(document.querySelector({name})?.getBoundingClientRect().top); \
                 if (seen.length < 8) requestAnimationFrame(look); \
                 else done(seen.every((top) => top === seen[0])); \
               }}; \
               look(); }})"
        );
        let begin = Instant::now();
        while self.run(&stands) != true {
            assert!(begin.elapsed() < PATIENCE, "{selector} never stands still");
        }
        let element = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = element
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap();
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) fn keys(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}))
            })
            .collect();
        let source = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.post("actions", &json!({ "actions": [source] }));
    }

    fn developer(&self, command: &str, parameters: &Value) {
        self.post(
            "goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        );
    }

    /// Room for the page, CSS pixels.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.developer("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the operator's system asks for: `prefers-color-scheme`, `prefers-reduced-motion`.
    pub(crate) fn prefers(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.developer("Emulation.setEmulatedMedia", &features);
    }

    /// Everything the browser has complained of.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }

    /// Nothing may be wider than the page.
    pub(crate) fn assert_fits(&self) {
        let wide = self.run(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]",
        );
        assert!(wide[0].as_u64() <= wide[1].as_u64(), "{wide}");
    }

    /// Keeps a picture of what is seen below target/page.
    pub(crate) fn picture(&self, name: &str) -> Vec<u8> {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../page");
        std::fs::create_dir_all(&dir).unwrap();
        let text = self.ask("GET", &format!("{}/screenshot", self.session), &json!({}));
        let picture = STANDARD.decode(text.as_str().unwrap()).unwrap();
        std::fs::write(dir.join(name).with_extension("png"), &picture).unwrap();
        picture
    }
}

/// Starts the driver. `None` if it ended instead of saying where it answers.
fn driver() -> Option<(Child, BufReader<ChildStdout>, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver (Debian package chromium-driver) is needed");
    let mut said = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        if let Some(rest) = line.strip_prefix("ChromeDriver was started successfully on port ") {
            let port = rest.trim_end().trim_end_matches('.').parse().unwrap();
            return Some((driver, said, port));
        }
        line.clear();
    }
    driver.wait().unwrap();
    None
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser outlives its driver unless it is told to end, which the test may have made
        // impossible.
        if self.try_ask("DELETE", &self.session, &json!({})).is_err() {
            let _ = Command::new("kill").arg(self.browser.to_string()).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
