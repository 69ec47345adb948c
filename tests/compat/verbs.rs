//! What a client of a scenario can do and expect, verb by verb; the table is in [`crate::run`].

use std::time::{Duration, Instant};

use crate::client::Next;
use crate::player::{Event, Kind, PATIENCE, Pending, Player};
use crate::wire::{encode, sequence, unhex};

/// Sizes and algorithms as every INIT_REPLY of a server with default settings announces them.
pub(crate) const SIZES: &str = "maxreq=32768 maxrep=32768 algs=0,1,2,3";

/// The verbs that wait for something; all others do something.
const RECEIPTS: [&str; 11] = [
    "<",
    "<hex",
    "<raw",
    "<echo-of-last",
    "re",
    "push",
    "err",
    "init-reply",
    "eof",
    "gone",
    "refused",
];

pub(crate) fn is_receipt(verb: &str) -> bool {
    RECEIPTS.contains(&verb) || verb == "identity"
}

impl Player {
    pub(crate) fn act(&mut self, verb: &str, args: &str) -> Result<(), String> {
        let word = |index: usize| args.split_whitespace().nth(index).unwrap_or("");
        match verb {
            ">" | ">+" | ">1" | ">hex" | ">hex+" | ">pad" => self.transmit(verb, args),
            "close" => {
                self.conn.take().ok_or("not connected")?.close();
                self.note(Event::Fact("closes".to_owned()));
                Ok(())
            }
            "reset" => {
                self.conn.take().ok_or("not connected")?.reset();
                self.note(Event::Fact("resets".to_owned()));
                Ok(())
            }
            "half" => {
                self.probe = false;
                self.live()?.shutdown();
                Ok(())
            }
            "flood" => {
                let echo = encode(&format!("ECHO_REQUEST seq=1 x100:{}", "00".repeat(30000)))?;
                let conn = self.live()?;
                let taken = (0..4000)
                    .take_while(|_| conn.send_within(&echo, PATIENCE))
                    .count();
                self.conn = None;
                self.note(Event::Fact("dropped while it read nothing".to_owned()));
                if taken < 4000 {
                    Ok(())
                } else {
                    Err("never dropped".to_owned())
                }
            }
            "pester" => self.pester(args),
            "noprobe" | "probe" => {
                self.probe = verb == "probe";
                Ok(())
            }
            "cfg" | "cfg+" => self.list(u8::from(verb == "cfg+"), word(0), ""),
            "mem" => {
                let ring = word(1)
                    .strip_prefix('@')
                    .ok_or("mem NODES @RING [+HEURISTICS]")?;
                let heuristics = word(2)
                    .strip_prefix('+')
                    .map_or(String::new(), |h| format!(" heur={h}"));
                self.list(2, word(0), &format!("{ring}{heuristics}"))
            }
            "quorum" => self.list(3, word(0), if word(1) == "no" { "0" } else { "1" }),
            "ask" => self.request("ASK_FOR_VOTE seq={}", Kind::Ask, None),
            "hc" => self.request(
                &format!("HEURISTICS_CHANGE seq={{}} heur={args}"),
                Kind::Heuristics(args.to_owned()),
                None,
            ),
            "ok" => {
                let number = if args.is_empty() {
                    self.pushes.to_string()
                } else {
                    args.to_owned()
                };
                self.send(&encode(&format!("VOTE_INFO_REPLY seq={number}"))?)
            }
            "ok-old" => self.send(&encode(&format!(
                "VOTE_INFO_REPLY seq={}",
                self.pushes.saturating_sub(1)
            ))?),
            _ => Err("unknown step".to_owned()),
        }
    }

    /// Repeats the membership until the queue of every peer that reads nothing must be full. Whether the pushes that
    /// come in between belong to a request or to the peer's departure is left open; the replies are what counts.
    fn pester(&mut self, wanted: &str) -> Result<(), String> {
        let mut fact = "served";
        for number in 1000..1060 {
            let conn = self.live()?;
            conn.send(&encode(&format!(
                "NODE_LIST seq={number} type=2 ring=1.4 ni=1 ni=2"
            ))?);
            let answer = loop {
                match conn.next(Instant::now() + PATIENCE) {
                    Next::Message(bytes) if bytes.starts_with(&[0, 0x0e]) => {}
                    other => break other,
                }
            };
            match answer {
                Next::Message(bytes) if sequence(&bytes) == Some(number) => {}
                Next::End(_) => {
                    fact = "dropped";
                    self.conn = None;
                    break;
                }
                other => return Err(format!("{other:?}")),
            }
        }
        self.note(Event::Fact(fact.to_owned()));
        if fact == wanted {
            Ok(())
        } else {
            Err(format!("the client was {fact}"))
        }
    }

    fn transmit(&mut self, verb: &str, args: &str) -> Result<(), String> {
        let bytes = match verb {
            ">hex" | ">hex+" => unhex(args)?,
            ">pad" => {
                let (count, byte) = args.split_once(' ').ok_or("COUNT BYTE")?;
                unhex(byte)?.repeat(count.parse().map_err(|_| "bad count")?)
            }
            _ => encode(args)?,
        };
        self.held.extend(bytes);
        if verb.ends_with('+') {
            return Ok(());
        }
        let all = std::mem::take(&mut self.held);
        if verb == ">1" {
            self.note(Event::Sent(all.clone()));
            for byte in all {
                self.live()?.send(&[byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            return Ok(());
        }
        self.send(&all)
    }

    fn list(&mut self, kind: u8, nodes: &str, extra: &str) -> Result<(), String> {
        let nodes: String = nodes
            .split(',')
            .filter(|n| !n.is_empty() && *n != "-")
            .map(|n| format!(" ni={n}"))
            .collect();
        let (ring, text) = match kind {
            2 => {
                let (ring, heuristics) = extra.split_once(' ').unwrap_or((extra, ""));
                (
                    Some(ring.to_owned()),
                    format!(" ring={ring}{nodes} {heuristics}"),
                )
            }
            3 => (None, format!(" quorate={extra}{nodes}")),
            _ => (None, nodes),
        };
        self.request(
            &format!("NODE_LIST seq={{}} type={kind}{text}"),
            Kind::List(kind),
            ring,
        )
    }

    fn request(&mut self, text: &str, kind: Kind, ring: Option<String>) -> Result<(), String> {
        self.seq += 1;
        self.pending = Some(Pending {
            seq: self.seq,
            kind,
            ring,
        });
        self.send(&encode(&text.replace("{}", &self.seq.to_string()))?)
    }

    pub(crate) fn expect_step(&mut self, verb: &str, args: &str) -> Result<(), String> {
        match verb {
            "<" => {
                self.expect(&encode(args)?)?;
                if args.starts_with("INIT_REPLY code=0") {
                    self.probe = true;
                }
                Ok(())
            }
            "<hex" => self.expect(&unhex(args)?),
            "<echo-of-last" => {
                let sent = self.events.iter().rev().find_map(|(_, event)| match event {
                    Event::Sent(bytes) => Some(bytes.clone()),
                    _ => None,
                });
                let mut echo = sent.ok_or("nothing was sent")?;
                echo.splice(..2, [0, 9]);
                self.expect(&echo)
            }
            "<raw" => self.expect_raw(&unhex(args)?),
            "init-reply" => {
                let (code, seq) = args.split_once(' ').ok_or("CODE SEQ")?;
                self.expect(&encode(&format!(
                    "INIT_REPLY code={code} msgs=all opts=all seq={seq} {SIZES}"
                ))?)?;
                if code == "0" {
                    self.probe = true;
                }
                Ok(())
            }
            "re" => {
                let pending = self.pending.take().ok_or("nothing was asked")?;
                if let Some(ring) = pending.ring {
                    self.ring = ring;
                }
                let (seq, ring) = (pending.seq, &self.ring);
                let text = match pending.kind {
                    Kind::List(kind) => {
                        format!("NODE_LIST_REPLY seq={seq} type={kind} ring={ring} vote={args}")
                    }
                    Kind::Ask => format!("ASK_FOR_VOTE_REPLY seq={seq} vote={args} ring={ring}"),
                    Kind::Heuristics(h) => {
                        format!(
                            "HEURISTICS_CHANGE_REPLY seq={seq} vote={args} ring={ring} heur={h}"
                        )
                    }
                };
                self.expect(&encode(&text)?)
            }
            "push" => {
                self.pushes += 1;
                let ring = self
                    .pending
                    .as_ref()
                    .and_then(|p| p.ring.as_ref())
                    .unwrap_or(&self.ring);
                self.expect(&encode(&format!(
                    "VOTE_INFO seq={} vote={args} ring={ring}",
                    self.pushes
                ))?)
            }
            "err" => {
                let pending = self.pending.take().ok_or("nothing was asked")?;
                self.expect(&encode(&format!(
                    "SERVER_ERROR seq={} code={args}",
                    pending.seq
                ))?)
            }
            "identity" => self.identity(),
            _ => self.expect_end(verb),
        }
    }
}
