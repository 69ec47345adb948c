//! Plays one scenario against one server and writes down, for each client, what arrived.
//!
//! | step | meaning |
//! |---|---|
//! | `A connect`, `A close`, `A reset`, `A half` | open, close in order, close with a reset, close the sending half |
//! | `A > MESSAGE`, `A >hex BYTES` | send ([`wire::encode`]); `>+` holds it back for the next send, `>1` sends single bytes |
//! | `A >pad N BYTE` | send the byte N times |
//! | `A < MESSAGE`, `A <hex BYTES` | exactly this message arrives next |
//! | `A join k=v..` | connect, PREINIT, (TLS,) INIT, SET_OPTION, with all their replies |
//! | `A tls VERSION CERT`, `A tls-refused VERSION CERT` | a handshake that succeeds, that fails (1.3: with the first read) |
//! | `A starttls VERSION CERT` | STARTTLS and the ClientHello in one segment, then the handshake |
//! | `A identity` | the server's certificate is the one that clients expect |
//! | `A cfg 1,2`, `A cfg+ 1,2` | initial and changed configuration list |
//! | `A mem 1,2 @1.9 +fail`, `A quorum 1,2`, `A ask`, `A hc pass`, `A ok [N]` | the working messages |
//! | `A re VOTE`, `A push VOTE`, `A err CODE` | reply to the last of them, VOTE_INFO, SERVER_ERROR |
//! | `A init-reply CODE SEQ` | INIT_REPLY with both lists |
//! | `A eof`, `A gone`, `A refused` | the connection was closed in order; closed or reset; refused by TLS |
//! | `A flood`, `A stuff` | read nothing and send echoes until dropped; until the server's socket is full |
//! | `A pester served` | repeat the membership until the queue of a stuffed peer is full; `served` or `dropped` |
//! | `A noprobe`, `A probe` | an echo would (not) disturb the client from here on |
//! | `mark`, `at MS` | start a clock; check it |
//! | `wait MS`, `settle` | pause; prove that nothing more arrives |
//! | `term`, `alive`, `ended`, `crashed` | stop the server; it runs; it ended with status 0; with a signal |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Conn, End, Next};
use crate::script::{Scenario, Step};
use crate::servers::{Fleet, Server};
use crate::wire::{encode, sequence, summary, unhex};

/// How long an expected message may take: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence must last where an echo cannot prove it.
const SILENCE: Duration = Duration::from_millis(60);
/// What a timed event may be late by, on a busy machine, and early by (timers count whole milliseconds).
const LATE: Duration = Duration::from_millis(450);
const EARLY: Duration = Duration::from_millis(15);
/// Sequence numbers from here on belong to the echoes that prove silence, never to a scenario.
const PROBE: u32 = 0xEC00_0000;

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

/// All clients' events, in the order in which each client saw them.
pub(crate) type Transcript = BTreeMap<char, Vec<Event>>;

/// What playing a scenario brought.
pub(crate) struct Outcome {
    pub(crate) transcript: Transcript,
    /// Place of the first step that went wrong, and how.
    pub(crate) failure: Option<String>,
}

/// A working message that has not been answered yet.
struct Pending {
    seq: u32,
    kind: Kind,
    ring: Option<String>,
}

enum Kind {
    List(u8),
    Ask,
    Heuristics(String),
}

/// A client and what it has to remember to say exactly what the server must answer.
#[derive(Default)]
struct Player {
    conn: Option<Conn>,
    held: Vec<u8>,
    events: Vec<Event>,
    seq: u32,
    node: String,
    ring: String,
    pushes: u32,
    pending: Option<Pending>,
    /// An echo would get an answer in the present state.
    probe: bool,
    tls: bool,
    /// It reads nothing any more, on purpose.
    deaf: bool,
}

struct Play<'a> {
    scenario: &'a Scenario,
    fleet: &'a Fleet,
    server: Arc<Server>,
    players: BTreeMap<char, Player>,
    mark: Instant,
    probes: u32,
    /// Whose action was last; silence is proved before anybody else acts.
    actor: Option<char>,
    settled: bool,
    /// A connection was closed since silence was proved last; the server notices that in its own time.
    closed: bool,
}

/// Plays `scenario` on `fleet`.
pub(crate) fn play(scenario: &Scenario, fleet: &Fleet) -> Outcome {
    let mut play = Play {
        scenario,
        fleet,
        server: fleet.server(scenario),
        players: BTreeMap::new(),
        mark: Instant::now(),
        probes: 0,
        actor: None,
        settled: true,
        closed: false,
    };
    let result = play.all();
    if result.is_err() {
        play.drain();
    }
    Outcome {
        transcript: play
            .players
            .into_iter()
            .map(|(who, player)| (who, player.events))
            .collect(),
        failure: result.err(),
    }
}

impl Play<'_> {
    fn all(&mut self) -> Result<(), String> {
        let scenario = self.scenario;
        for step in &scenario.steps {
            if step.only.is_none_or(|side| side == self.fleet.side) {
                self.step(step)
                    .map_err(|why| format!("{}: {} {}: {why}", step.place, step.verb, step.args))?;
            }
        }
        self.settle()
            .map_err(|why| format!("after the last step: {why}"))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let args = self.fill_in(&step.args);
        match step.who {
            None => self.global(&step.verb, &args),
            Some(who) if is_receipt(&step.verb) => {
                self.settled = false;
                self.actor = None;
                self.receipt(who, &step.verb, &args)
            }
            Some(who) => {
                if self.actor != Some(who) {
                    self.settle()?;
                }
                self.actor = Some(who);
                self.settled = false;
                self.action(who, &step.verb, &args)
            }
        }
    }

    /// Puts the scenario's own cluster names in.
    fn fill_in(&self, args: &str) -> String {
        let name = format!("Compat{:03}", self.scenario.index);
        args.replace("$C", &name)
            .replace("$U", &name.to_uppercase())
            .replace("$D", &format!("Other{}", &name[6..]))
    }

    fn global(&mut self, verb: &str, args: &str) -> Result<(), String> {
        let millis = |text: &str| {
            text.parse()
                .map(Duration::from_millis)
                .map_err(|_| "not a time".to_owned())
        };
        match verb {
            "mark" => {
                self.settle()?;
                self.mark = Instant::now();
            }
            "at" => {
                let (wanted, passed) = (millis(args)?, self.mark.elapsed());
                if passed + EARLY < wanted || passed > wanted + LATE {
                    return Err(format!("it happened after {} ms", passed.as_millis()));
                }
            }
            "wait" => {
                std::thread::sleep(millis(args)?);
                self.actor = None;
            }
            "settle" => {
                self.settled = false;
                self.settle()?;
            }
            "term" => {
                self.settle()?;
                self.server.terminate();
            }
            "alive" | "crashed" | "ended" => self.fate(verb)?,
            _ => return Err("unknown step".to_owned()),
        }
        Ok(())
    }

    fn fate(&mut self, verb: &str) -> Result<(), String> {
        let limit = if verb == "alive" { SILENCE } else { PATIENCE };
        let status = self.server.ended(limit);
        let fact = match &status {
            None => "alive",
            Some(text) if text.contains("signal") => "crashed",
            Some(text) if text == "exit status: 0" => "ended",
            Some(_) => "failed",
        };
        if let Some(player) = self.players.values_mut().next() {
            player.events.push(Event::Fact(format!("server {fact}")));
        }
        if fact == verb {
            Ok(())
        } else {
            Err(format!(
                "the server is {fact} ({status:?})\n{}",
                self.server.log_tail()
            ))
        }
    }

    /// Proves that no client has anything more to receive: the answer to an echo comes after all that was queued
    /// before it. Two rounds, because the first only proves that the server has seen everything.
    fn settle(&mut self) -> Result<(), String> {
        if self.settled {
            return Ok(());
        }
        self.settled = true;
        self.actor = None;
        let rounds = if std::mem::take(&mut self.closed) {
            std::thread::sleep(SILENCE);
            2
        } else {
            1
        };
        for _ in 0..rounds {
            let names: Vec<char> = self.players.keys().copied().collect();
            for who in names {
                self.probes += 1;
                let number = PROBE + self.probes;
                let quiet = self.scenario.quiet;
                let player = self.player(who)?;
                player
                    .silent(number, quiet)
                    .map_err(|why| format!("client {who}: {why}"))?;
            }
        }
        Ok(())
    }

    /// After a failure: collects what else arrives, for the report.
    fn drain(&mut self) {
        for player in self.players.values_mut() {
            let deadline = Instant::now() + 2 * SILENCE;
            while player.conn.is_some() {
                match player.read(deadline) {
                    Next::Message(_) => {}
                    Next::End(_) | Next::Silence => break,
                }
            }
        }
    }

    fn player(&mut self, who: char) -> Result<&mut Player, String> {
        self.players
            .get_mut(&who)
            .ok_or_else(|| format!("client {who} is not connected"))
    }

    fn action(&mut self, who: char, verb: &str, args: &str) -> Result<(), String> {
        match verb {
            "connect" => return self.connect(who, args == "small"),
            "join" => return self.join(who, args),
            "tls" | "tls-refused" | "starttls" => return self.handshake(who, verb, args),
            "stuff" => return self.stuff(who),
            "close" | "reset" | "half" => self.closed = true,
            _ => {}
        }
        self.player(who)?.act(verb, args)
    }

    fn receipt(&mut self, who: char, verb: &str, args: &str) -> Result<(), String> {
        let player = self.player(who)?;
        player
            .expect_step(verb, args)
            .map_err(|why| format!("client {who}: {why}"))
    }

    fn connect(&mut self, who: char, small: bool) -> Result<(), String> {
        let conn = Conn::open(self.server.addr, small)
            .map_err(|error| format!("cannot connect: {error}\n{}", self.server.log_tail()))?;
        let player = self.players.entry(who).or_default();
        if !player.events.is_empty() {
            player.events.push(Event::Fact("connects again".to_owned()));
        }
        let events = std::mem::take(&mut player.events);
        let number = u32::from(who) - u32::from('A') + 1;
        *player = Player {
            conn: Some(conn),
            events,
            node: number.to_string(),
            ring: "0.0".to_owned(),
            probe: true,
            ..Player::default()
        };
        Ok(())
    }

    fn join(&mut self, who: char, args: &str) -> Result<(), String> {
        self.connect(who, false)?;
        let number = u32::from(who) - u32::from('A') + 1;
        let mut options = BTreeMap::from([
            ("alg".to_owned(), "ffsplit".to_owned()),
            ("tie".to_owned(), "lowest".to_owned()),
            ("hb".to_owned(), "8000".to_owned()),
            ("kap".to_owned(), "1".to_owned()),
            ("node".to_owned(), number.to_string()),
            ("ring".to_owned(), format!("{number}.1")),
            ("name".to_owned(), self.fill_in("$C")),
        ]);
        for pair in format!("{} {args}", self.scenario.join).split_whitespace() {
            let (key, value) = pair.split_once('=').ok_or("join takes key=value")?;
            options.insert(key.to_owned(), self.fill_in(value));
        }
        let get = |key: &str| options.get(key).map_or("", String::as_str).to_owned();
        let flags = &self.scenario.server;
        let tls = if flags.contains("-s off") {
            0
        } else {
            1 + u8::from(flags.contains("-s req"))
        };
        let cert = u8::from(!flags.contains("-c off"));
        let player = self.player(who)?;
        (player.node, player.ring) = (get("node"), get("ring"));
        player.exchange(
            &format!("PREINIT seq={{}} name={}", get("name")),
            &format!("PREINIT_REPLY seq={{}} tls={tls} cert={cert}"),
        )?;
        if options.contains_key("tls") {
            self.handshake(who, "starttls", &format!("{} {}", get("tls"), get("cert")))?;
        }
        let player = self.player(who)?;
        let init = format!(
            "INIT seq={{}} msgs=all opts=all node={} alg={} hb={} tie={} ring={}",
            get("node"),
            get("alg"),
            get("hb"),
            get("tie"),
            get("ring")
        );
        player.exchange(
            &init,
            &format!("INIT_REPLY code=0 msgs=all opts=all seq={{}} {SIZES}"),
        )?;
        if get("kap") != "-" {
            let kap = get("kap");
            player.exchange(
                &format!("SET_OPTION seq={{}} kap={kap}"),
                &format!("SET_OPTION_REPLY seq={{}} kap={kap}"),
            )?;
        }
        Ok(())
    }

    fn handshake(&mut self, who: char, verb: &str, args: &str) -> Result<(), String> {
        let (version, spec) = args.split_once(' ').ok_or("VERSION CERT")?;
        let config = self.fleet.identity.client(version, spec);
        let player = self.player(who)?;
        let mut ahead = std::mem::take(&mut player.held);
        if verb == "starttls" {
            player.seq += 1;
            ahead.extend(encode(&format!("STARTTLS seq={}", player.seq))?);
        }
        player.events.push(Event::Sent(ahead.clone()));
        (player.probe, player.tls) = (false, true);
        let done = player.live()?.handshake(config, &ahead);
        if verb == "tls-refused" {
            // A TLS 1.3 client has finished its side before the server judges the certificate.
            let last = match done {
                Ok(()) => player.live()?.next(Instant::now() + PATIENCE),
                Err(end) => Next::End(end),
            };
            player.conn = None;
            let Next::End(_) = last else {
                return Err(format!("not refused but {last:?}"));
            };
            player.events.push(Event::Ended(End::Refused));
            return Ok(());
        }
        done.map_err(|end| format!("handshake failed: {end:?}"))?;
        player
            .events
            .push(Event::Fact(format!("TLS {version} is up")));
        Ok(())
    }

    /// Fills everything between the server and a client that reads nothing, without letting the server's own queue
    /// for it grow beyond a few messages.
    fn stuff(&mut self, who: char) -> Result<(), String> {
        let server = Arc::clone(&self.server);
        let player = self.player(who)?;
        let port = player.live()?.local_port();
        let echo = encode(&format!("ECHO_REQUEST seq=1 x100:{}", "00".repeat(30000)))?;
        player.deaf = true;
        let mut last = 0;
        let mut still = 0;
        for _ in 0..1000 {
            if !player.live()?.send_within(&echo, PATIENCE) {
                return Err("the server takes no more messages".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
            let now = server.unsent(port);
            // One echo more may lie in the server's queue than the socket took; three mean that it is full.
            still = if now == last { still + 1 } else { 0 };
            if still == 3 {
                return Ok(());
            }
            last = now;
        }
        Err("the server's socket does not fill".to_owned())
    }
}

/// Sizes and algorithms as every INIT_REPLY of a server with default settings announces them.
const SIZES: &str = "maxreq=32768 maxrep=32768 algs=0,1,2,3";

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

fn is_receipt(verb: &str) -> bool {
    RECEIPTS.contains(&verb) || verb == "identity"
}

impl Player {
    fn live(&mut self) -> Result<&mut Conn, String> {
        self.conn.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.events.push(Event::Sent(bytes.to_vec()));
        self.live()?.send(bytes);
        Ok(())
    }

    /// One read; what it brings becomes part of the transcript.
    fn read(&mut self, deadline: Instant) -> Next {
        let Some(conn) = &mut self.conn else {
            return Next::Silence;
        };
        let next = conn.next(deadline);
        match &next {
            Next::Message(bytes) => self.events.push(Event::Got(bytes.clone())),
            Next::End(end) => {
                self.events.push(Event::Ended(*end));
                self.conn = None;
            }
            Next::Silence => {}
        }
        next
    }

    /// Nothing arrives and the connection stays open.
    fn silent(&mut self, number: u32, quiet: bool) -> Result<(), String> {
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
                self.events.push(Event::Got(bytes.clone()));
                Err(format!("expected nothing, got {}", summary(&bytes)))
            }
            Next::End(end) => {
                self.events.push(Event::Ended(end));
                self.conn = None;
                Err(format!("the connection ended: {end:?}"))
            }
            Next::Silence if probe => Err("no answer to an echo".to_owned()),
            Next::Silence => Ok(()),
        }
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<(), String> {
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
    fn exchange(&mut self, request: &str, reply: &str) -> Result<(), String> {
        self.seq += 1;
        let number = self.seq.to_string();
        self.send(&encode(&request.replace("{}", &number))?)?;
        self.expect(&encode(&reply.replace("{}", &number))?)?;
        if request.starts_with("INIT") {
            self.probe = true;
        }
        Ok(())
    }

    fn act(&mut self, verb: &str, args: &str) -> Result<(), String> {
        let word = |index: usize| args.split_whitespace().nth(index).unwrap_or("");
        match verb {
            ">" | ">+" | ">1" | ">hex" | ">hex+" | ">pad" => self.transmit(verb, args),
            "close" => {
                self.conn.take().ok_or("not connected")?.close();
                self.events.push(Event::Fact("closes".to_owned()));
                Ok(())
            }
            "reset" => {
                self.conn.take().ok_or("not connected")?.reset();
                self.events.push(Event::Fact("resets".to_owned()));
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
                self.events
                    .push(Event::Fact("dropped while it read nothing".to_owned()));
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
        self.events.push(Event::Fact(fact.to_owned()));
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
            self.events.push(Event::Sent(all.clone()));
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

    fn expect_step(&mut self, verb: &str, args: &str) -> Result<(), String> {
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
                let sent = self.events.iter().rev().find_map(|event| match event {
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

    fn expect_end(&mut self, verb: &str) -> Result<(), String> {
        // Timed closes wait for timers; `at` checks the time itself.
        let end = match self.live()?.next(Instant::now() + 3 * PATIENCE) {
            Next::End(end) => end,
            Next::Message(bytes) => {
                self.events.push(Event::Got(bytes.clone()));
                return Err(format!("expected the end, got {}", summary(&bytes)));
            }
            Next::Silence => return Err("still open".to_owned()),
        };
        self.conn = None;
        let (fits, seen) = match verb {
            "eof" => (end == End::Eof, end),
            // Whether the server had read everything before it closed decides between the two.
            "gone" => (true, End::Eof),
            _ => (true, End::Refused),
        };
        self.events.push(Event::Ended(seen));
        if fits {
            Ok(())
        } else {
            Err(format!("ended with {end:?}"))
        }
    }

    /// The first bytes of an answer that is no message.
    fn expect_raw(&mut self, wanted: &[u8]) -> Result<(), String> {
        let got = self
            .live()?
            .raw(wanted.len(), Instant::now() + PATIENCE)
            .ok_or("no such answer")?;
        let start = got[..wanted.len()].to_vec();
        self.events.push(Event::Fact(format!(
            "answer begins {}",
            crate::wire::hex(&start)
        )));
        if start == wanted {
            Ok(())
        } else {
            Err(format!("the answer begins {}", crate::wire::hex(&start)))
        }
    }

    /// Clients check the name `Qnetd Server` in the CN, and a SAN would hide it (protocol spec 6.6).
    fn identity(&mut self) -> Result<(), String> {
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
        self.events.push(Event::Fact(fact.clone()));
        let wanted = "names [\"Qnetd Server\"], SAN false, chain of 2, ALPN false";
        if fact == wanted {
            Ok(())
        } else {
            Err(format!("the server shows {fact}"))
        }
    }
}
