//! One client of a scenario: its connection, what it has seen, and what it must remember to say exactly what the
//! server has to answer.

use std::time::{Duration, Instant};

use crate::client::{Conn, End, Next};
use crate::describe::summary;
use crate::wire::{encode, hex, sequence};

/// How long an expected message may take: long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence must last where an echo cannot prove it.
pub(crate) const SILENCE: Duration = Duration::from_millis(60);
/// One thing that happened at a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Context for the reports; not compared.
    Sent(Vec<u8>),
    Got(Vec<u8>),
    Ended(End),
    /// An outcome that is no message: a handshake, a certificate, the fate of the server.
    Fact(String),
}

/// A working message that has not been answered yet.
pub(crate) struct Pending {
    pub(crate) seq: u32,
    pub(crate) kind: Kind,
    pub(crate) ring: Option<String>,
}

pub(crate) enum Kind {
    List(u8),
    Ask,
    Heuristics(String),
}

/// A client and what it has to remember to say exactly what the server must answer.
#[derive(Default)]
pub(crate) struct Player {
    pub(crate) conn: Option<Conn>,
    pub(crate) held: Vec<u8>,
    /// What happened, and at which step.
    pub(crate) events: Vec<(usize, Event)>,
    /// The present step.
    pub(crate) step: usize,
    pub(crate) seq: u32,
    pub(crate) ring: String,
    pub(crate) pushes: u32,
    pub(crate) pending: Option<Pending>,
    /// An echo would get an answer in the present state.
    pub(crate) probe: bool,
    /// It reads nothing any more, on purpose.
    pub(crate) deaf: bool,
}

impl Player {
    pub(crate) fn note(&mut self, event: Event) {
        self.events.push((self.step, event));
    }

    pub(crate) fn live(&mut self) -> Result<&mut Conn, String> {
        self.conn.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.note(Event::Sent(bytes.to_vec()));
        self.live()?.send(bytes);
        Ok(())
    }

    /// One read; what it brings becomes part of the transcript.
    pub(crate) fn read(&mut self, deadline: Instant) -> Next {
        let Some(conn) = &mut self.conn else {
            return Next::Silence;
        };
        let next = conn.next(deadline);
        match &next {
            Next::Message(bytes) => self.note(Event::Got(bytes.clone())),
            Next::End(end) => {
                self.note(Event::Ended(*end));
                self.conn = None;
            }
            Next::Silence => {}
        }
        next
    }

    /// Nothing arrives and the connection stays open.
    pub(crate) fn silent(&mut self, number: u32, quiet: bool) -> Result<(), String> {
        if self.conn.is_none() || self.deaf {
            return Ok(());
        }
        let probe = self.probe && !quiet;
        let mut deadline = Instant::now() + SILENCE;
        if probe {
            deadline = Instant::now() + PATIENCE;
            self.live()?
                .send(&encode(&format!("ECHO_REQUEST seq={number}"))?);
        }
        let next = match &mut self.conn {
            Some(conn) => conn.next(deadline),
            None => Next::Silence,
        };
        match next {
            Next::Message(bytes) if probe && sequence(&bytes) == Some(number) => Ok(()),
            Next::Message(bytes) => {
                self.note(Event::Got(bytes.clone()));
                Err(format!("expected nothing, got {}", summary(&bytes)))
            }
            Next::End(end) => {
                self.note(Event::Ended(end));
                self.conn = None;
                Err(format!("the connection ended: {end:?}"))
            }
            Next::Silence if probe => Err("no answer to an echo".to_owned()),
            Next::Silence => Ok(()),
        }
    }

    /// Notes down whatever arrives before the answer to an echo.
    pub(crate) fn collect(&mut self, number: u32) -> Result<(), String> {
        if self.conn.is_none() {
            return Ok(());
        }
        self.live()?
            .send(&encode(&format!("ECHO_REQUEST seq={number}"))?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.live()?.next(deadline) {
                Next::Message(bytes) if sequence(&bytes) == Some(number) => return Ok(()),
                Next::Message(bytes) => {
                    if bytes.starts_with(&[0, 0x0e]) {
                        self.pushes = sequence(&bytes).unwrap_or(0);
                    }
                    self.note(Event::Got(bytes));
                }
                Next::End(end) => {
                    self.note(Event::Ended(end));
                    self.conn = None;
                    return Ok(());
                }
                Next::Silence => return Err("no answer to an echo".to_owned()),
            }
        }
    }

    pub(crate) fn expect(&mut self, wanted: &[u8]) -> Result<(), String> {
        match self.read(Instant::now() + PATIENCE) {
            Next::Message(bytes) if bytes == wanted => Ok(()),
            Next::Message(bytes) => Err(format!(
                "expected {}, got {}",
                summary(wanted),
                summary(&bytes)
            )),
            Next::End(end) => Err(format!(
                "expected {}, but the connection ended: {end:?}",
                summary(wanted)
            )),
            Next::Silence => Err(format!("expected {}, got nothing", summary(wanted))),
        }
    }

    /// A request with the next number (`{}`) and its reply.
    pub(crate) fn exchange(&mut self, request: &str, reply: &str) -> Result<(), String> {
        self.seq += 1;
        let number = self.seq.to_string();
        self.send(&encode(&request.replace("{}", &number))?)?;
        self.expect(&encode(&reply.replace("{}", &number))?)?;
        if request.starts_with("INIT") {
            self.probe = true;
        }
        Ok(())
    }

    pub(crate) fn expect_end(&mut self, verb: &str) -> Result<(), String> {
        // Timed closes wait for timers; `at` checks the time itself.
        let end = match self.live()?.next(Instant::now() + 3 * PATIENCE) {
            Next::End(end) => end,
            Next::Message(bytes) => {
                self.note(Event::Got(bytes.clone()));
                return Err(format!("expected the end, got {}", summary(&bytes)));
            }
            Next::Silence => return Err("still open".to_owned()),
        };
        self.conn = None;
        let (fits, seen) = match verb {
            "eof" => (matches!(end, End::Eof | End::Notified), end),
            // Whether the server had read everything before it closed decides between the two.
            "gone" => (true, End::Eof),
            _ => (true, End::Refused),
        };
        self.note(Event::Ended(seen));
        if fits {
            Ok(())
        } else {
            Err(format!("ended with {end:?}"))
        }
    }

    /// The first bytes of an answer that is no message.
    pub(crate) fn expect_raw(&mut self, wanted: &[u8]) -> Result<(), String> {
        let got = self
            .live()?
            .raw(wanted.len(), Instant::now() + PATIENCE)
            .ok_or("no such answer")?;
        let start = got[..wanted.len()].to_vec();
        self.note(Event::Fact(format!("answer begins {}", hex(&start))));
        if start == wanted {
            Ok(())
        } else {
            Err(format!("the answer begins {}", hex(&start)))
        }
    }

    /// Clients check the name `Qnetd Server` in the CN, and a SAN would hide it (protocol spec 6.6).
    pub(crate) fn identity(&mut self) -> Result<(), String> {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let tls = self.live()?.tls().ok_or("no TLS")?;
        let chain = tls.peer_certificates().ok_or("no certificate")?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|e| e.to_string())?;
        let names: Vec<&str> = leaf
            .subject()
            .iter_common_name()
            .filter_map(|cn| cn.as_str().ok())
            .collect();
        let san = leaf
            .subject_alternative_name()
            .map_err(|e| e.to_string())?
            .is_some();
        let alpn = tls.alpn_protocol().is_some();
        let fact = format!(
            "names {names:?}, SAN {san}, chain of {}, ALPN {alpn}",
            chain.len()
        );
        self.note(Event::Fact(fact.clone()));
        let wanted = "names [\"Qnetd Server\"], SAN false, chain of 2, ALPN false";
        if fact == wanted {
            Ok(())
        } else {
            Err(format!("the server shows {fact}"))
        }
    }
}
