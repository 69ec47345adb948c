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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Conn, End, Next};
use crate::player::{Event, PATIENCE, Player, SILENCE};
use crate::script::{Scenario, Step};
use crate::servers::{Fleet, Server};
use crate::verbs::{SIZES, is_receipt};
use crate::wire::encode;

/// What a timed event may be late by, on a busy machine, and early by (timers count whole milliseconds).
const LATE: Duration = Duration::from_millis(450);
const EARLY: Duration = Duration::from_millis(15);
/// Sequence numbers from here on belong to the echoes that prove silence, never to a scenario.
const PROBE: u32 = 0xEC00_0000;

/// All clients' events with their steps, in the order in which each client saw them.
pub(crate) type Transcript = BTreeMap<char, Vec<(usize, Event)>>;

/// What playing a scenario brought.
pub(crate) struct Outcome {
    pub(crate) transcript: Transcript,
    /// Place of the first step that went wrong, and how.
    pub(crate) failure: Option<String>,
}

struct Play<'a> {
    scenario: &'a Scenario,
    fleet: &'a Fleet,
    server: Arc<Server>,
    players: BTreeMap<char, Player>,
    mark: Instant,
    probes: u32,
    /// The present step.
    number: usize,
    /// Whose action was last; silence is proved before anybody else acts.
    actor: Option<char>,
    settled: bool,
    /// A connection was closed since silence was proved last; the server notices that in its own time.
    closed: bool,
}

/// Plays `scenario` on `fleet`.
pub(crate) fn play(scenario: &Scenario, fleet: &Fleet) -> Outcome {
    let server = match fleet.server(scenario) {
        Ok(server) => server,
        Err(why) => {
            return Outcome {
                transcript: Transcript::new(),
                failure: Some(why),
            };
        }
    };
    let mut play = Play {
        scenario,
        fleet,
        server,
        players: BTreeMap::new(),
        mark: Instant::now(),
        probes: 0,
        number: 0,
        actor: None,
        settled: true,
        closed: false,
    };
    // A scenario that breaks is no reason to leave out the others.
    let result = catch_unwind(AssertUnwindSafe(|| play.all()))
        .unwrap_or_else(|_| Err("the scenario panicked, see above".to_owned()));
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
        for (number, step) in scenario.steps.iter().enumerate() {
            if step.only.is_none_or(|side| side == self.fleet.side) {
                self.step(number, step)
                    .map_err(|why| format!("{}: {} {}: {why}", step.place, step.verb, step.args))?;
            }
        }
        self.settle()
            .map_err(|why| format!("after the last step: {why}"))
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        let args = self.fill_in(&step.args);
        match step.who {
            None => self.global(&step.verb, &args),
            Some(who) if is_receipt(&step.verb) => {
                (self.settled, self.actor, self.number) = (false, None, number);
                self.receipt(who, &step.verb, &args)
            }
            Some(who) => {
                // A new connection must not overtake the end of the old one.
                if self.actor != Some(who) || self.closed || self.scenario.free {
                    self.settle()?;
                }
                (self.settled, self.actor, self.number) = (false, Some(who), number);
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
                self.fact(&format!("{args} ms have passed"));
            }
            "wait" => {
                std::thread::sleep(millis(args)?);
                (self.actor, self.settled) = (None, false);
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
        self.fact(&format!("server {fact}"));
        if fact == verb {
            Ok(())
        } else {
            Err(format!(
                "the server is {fact} ({status:?})\n{}",
                self.server.log_tail()
            ))
        }
    }

    /// Notes something that concerns no client in particular.
    fn fact(&mut self, text: &str) {
        if let Some(player) = self.players.values_mut().next() {
            player.note(Event::Fact(text.to_owned()));
        }
    }

    /// Proves that no client has anything more to receive: the answer to an echo comes after all that was queued
    /// before it. Two rounds, because the first only proves that the server has seen everything that was sent.
    fn settle(&mut self) -> Result<(), String> {
        if self.settled {
            return Ok(());
        }
        self.settled = true;
        self.actor = None;
        if std::mem::take(&mut self.closed) {
            std::thread::sleep(SILENCE);
        }
        let rounds = if self.scenario.quiet || self.players.len() == 1 {
            1
        } else {
            2
        };
        for _ in 0..rounds {
            let names: Vec<char> = self.players.keys().copied().collect();
            for who in names {
                self.probes += 1;
                let number = PROBE + self.probes;
                let Scenario { quiet, free, .. } = *self.scenario;
                let step = self.number;
                let player = self.player(who)?;
                player.step = step;
                let calm = if free {
                    player.collect(number)
                } else {
                    player.silent(number, quiet)
                };
                calm.map_err(|why| format!("client {who}: {why}"))?;
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
        self.players.entry(who).or_default().step = self.number;
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
        let number = self.number;
        let player = self.player(who)?;
        player.step = number;
        player
            .expect_step(verb, args)
            .map_err(|why| format!("client {who}: {why}"))
    }

    fn connect(&mut self, who: char, small: bool) -> Result<(), String> {
        let conn = Conn::open(self.server.addr, small)
            .map_err(|error| format!("cannot connect: {error}\n{}", self.server.log_tail()))?;
        let player = self.players.entry(who).or_default();
        if !player.events.is_empty() {
            player.note(Event::Fact("connects again".to_owned()));
        }
        let (events, step) = (std::mem::take(&mut player.events), player.step);
        *player = Player {
            conn: Some(conn),
            events,
            step,
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
        player.ring = get("ring");
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
        player.note(Event::Sent(ahead.clone()));
        player.probe = false;
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
            player.note(Event::Ended(End::Refused));
            return Ok(());
        }
        done.map_err(|end| format!("handshake failed: {end:?}"))?;
        player.note(Event::Fact(format!("TLS {version} is up")));
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
