//! HTTP inside of a namespace, whose loopback nobody else reaches.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::namespace::Namespace;

/// Asks as plainly as HTTP can be, so that the answer comes in one piece.
const ASK: &str = r#"
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: %s\r\n\r\n' "$2" "$3" >&3
cat <&3
"#;

/// The body of a successful answer, or why there is none.
pub(crate) fn get(machine: &Namespace, port: u16, path: &str) -> Result<String, String> {
    let port = port.to_string();
    let output = machine.output(&["bash", "-c", ASK, "ask", &port, path, "*/*"]);
    let answer = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    body(&answer).map_err(|error| format!("{path}: {error} {said}"))
}

/// The same from an arbiter on this machine, which must answer.
pub(crate) fn get_here(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    body(&answer).unwrap()
}

fn body(answer: &str) -> Result<String, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(answer.to_owned()),
    }
}

/// The same, as JSON.
pub(crate) fn json(machine: &Namespace, port: u16, path: &str) -> Result<Value, String> {
    let body = get(machine, port, path)?;
    serde_json::from_str(&body).map_err(|error| format!("{path}: {error}: {body}"))
}
