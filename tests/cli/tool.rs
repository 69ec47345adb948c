//! `corosync-qnetd-tool`, ours and theirs, against the daemon, ours and theirs: the same bytes for
//! the same state.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use qarbiter::client::Node;
use qarbiter::wire::{Algorithm, Heuristics, Message, TieBreaker};

use crate::lab::{Lab, Outcome, Running, THEIR_QNETD, run};
use crate::nodes::{Cluster, in_time, ring, settle, split};

const THEIR_TOOL: &str = "/usr/bin/corosync-qnetd-tool";

/// A daemon without TLS that decides as the reference does.
struct Daemon {
    lab: Lab,
    running: Running,
}

fn daemons() -> [Daemon; 2] {
    let (theirs, ours) = (Lab::new(), Lab::new());
    let command = theirs.qnetd(Path::new(THEIR_QNETD), &["-f", "-s", "off", "-m", "9"]);
    let theirs = Daemon {
        running: theirs.start(&command),
        lab: theirs,
    };
    let flags = ["-f", "-s", "off", "-m", "9", "-S", "rules=reference"];
    let command = ours.qnetd(&ours.named("corosync-qnetd"), &flags);
    let ours = Daemon {
        running: ours.start(&command),
        lab: ours,
    };
    [theirs, ours]
}

/// The text with ports, which no two runs have in common, taken out.
fn without_ports(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut pieces = text.split(HOST);
    let mut rest = pieces.next().unwrap().to_owned();
    for piece in pieces {
        rest += HOST;
        rest += "PORT";
        rest += piece.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    rest
}

impl Daemon {
    fn tools(&self) -> [PathBuf; 2] {
        [THEIR_TOOL.into(), self.lab.named("corosync-qnetd-tool")]
    }

    /// What both tools say of this daemon, which must be the same.
    fn ask(&self, arguments: &[&str]) -> Outcome {
        let [theirs, ours] = self.tools().map(|tool| {
            run(Command::new(tool)
                .arg("-p")
                .arg(self.lab.socket())
                .args(arguments))
        });
        assert_eq!(ours, theirs, "the tools differ: {arguments:?}");
        Outcome {
            stdout: without_ports(&ours.stdout),
            ..ours
        }
    }

    /// The raw answer to a line.
    fn answer(&self, line: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.lab.socket()).unwrap();
        stream
            .set_read_timeout(Some(crate::nodes::PATIENCE))
            .unwrap();
        stream.write_all(line).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        without_ports(&String::from_utf8(answer).unwrap()).into_bytes()
    }

    fn cluster(&self, name: &str, configured: &[u32]) -> Cluster {
        Cluster::new(self.running.address, name, configured)
    }
}

/// Compares all that can be asked. The answer to `-l -v`, for a look at what was compared.
fn compare(daemons: &[Daemon; 2]) -> String {
    let [theirs, ours] = daemons;
    let questions: &[&[&str]] = &[
        &["-s"],
        &["-s", "-v"],
        &["-vs"],
        &["-l"],
        &["-l", "-v"],
        &["-lvc", "alpha"],
        &["-l", "-c", "beta"],
        &["-l", "-c", "nosuch"],
        &["-l", "-c", ""],
        &["-s", "-c", "alpha"],
    ];
    for question in questions {
        let expected = theirs.ask(question);
        assert_eq!(expected.code, Some(0), "{question:?}: {expected:?}");
        assert_eq!(ours.ask(question), expected, "{question:?}");
    }
    ours.ask(&["-lv"]).stdout
}

#[tokio::test]
async fn without_clients() {
    let daemons = daemons();
    assert_eq!(compare(&daemons), "");
}

#[tokio::test]
async fn whole_and_split_clusters() {
    let daemons = daemons();
    let mut alphas = Vec::new();
    for daemon in &daemons {
        alphas.push(daemon.cluster("alpha", &[1, 2]).whole().await);
    }
    let seen = compare(&daemons);
    assert_eq!(seen.matches("Node ID ").count(), 2, "{seen}");
    assert_eq!(seen.matches("(ACK)").count(), 2, "{seen}");

    let mut betas = Vec::new();
    for daemon in &daemons {
        let beta = Cluster {
            tie_breaker: TieBreaker::Highest,
            heartbeat_ms: 10_000,
            ..daemon.cluster("beta", &[10, 11, 12, 13])
        };
        betas.push(beta.whole().await);
    }
    let seen = compare(&daemons);
    assert_eq!(seen.matches("Cluster \"").count(), 2, "{seen}");

    for alpha in &mut alphas {
        split(alpha).await;
    }
    let seen = compare(&daemons);
    assert_eq!(seen.matches("(NACK)").count(), 1, "{seen}");

    // Node 2 leaves; its cluster stays.
    for (alpha, daemon) in alphas.iter_mut().zip(&daemons) {
        drop(alpha.pop());
        let deadline = std::time::Instant::now() + crate::nodes::PATIENCE;
        // Not with both tools: between them the state may change.
        let still_there = || {
            let answer = daemon.answer(b"list cluster alpha\n");
            String::from_utf8(answer).unwrap().contains("Node ID 2:")
        };
        while still_there() {
            assert!(std::time::Instant::now() < deadline, "node 2 stays");
        }
        settle(alpha).await;
    }
    let seen = compare(&daemons);
    assert!(
        seen.contains("Node ID 1:") && !seen.contains("Node ID 2:"),
        "{seen}"
    );
}

async fn change_heuristics(node: &mut Node, heuristics: Heuristics) {
    let connection = node.connection();
    let seq = connection.next_number();
    let change = Message::HeuristicsChange { seq, heuristics };
    in_time(connection.send(&change)).await.unwrap();
    // Whatever is said about it is handled on the way.
    in_time(node.heartbeat()).await.unwrap();
}

#[tokio::test]
async fn heuristics_and_other_algorithms() {
    let daemons = daemons();
    let mut all = Vec::new();
    for daemon in &daemons {
        let mut alpha = daemon.cluster("alpha", &[1, 2]).whole().await;
        change_heuristics(&mut alpha[0], Heuristics::Fail).await;
        change_heuristics(&mut alpha[1], Heuristics::Pass).await;
        settle(&mut alpha).await;
        all.push(alpha);
        // One node: nothing has to wait for the timer of the reference's lms.
        let lms = Cluster {
            algorithm: Algorithm::Lms,
            tie_breaker: TieBreaker::Node(qarbiter::wire::NodeId(10)),
            ..daemon.cluster("lima", &[10])
        };
        let mut lima = vec![lms.join(10, ring(10, 7), &[10]).await];
        in_time(lima[0].vote()).await.unwrap();
        settle(&mut lima).await;
        all.push(lima);
    }
    let seen = compare(&daemons);
    assert!(
        seen.contains("Fail (membership: Undefined, regular: Fail)"),
        "{seen}"
    );
    assert!(
        seen.contains("a.7") && seen.contains("Node with node ID 10"),
        "{seen}"
    );
}

#[test]
fn lines_of_the_socket() {
    same_answers(&[
        &b"status\n"[..],
        b"STATUS Verbose\n",
        b"status x verbose\n",
        b"  list \t verbose\n",
        b"list nonsense verbose\n",
        b"list cluster\n",
        b"nonsense\n",
        b"non\\ sense\n",
        b"\"two words\" status\n",
        b"\n",
        b"   \n",
        b"status\nlist\n",
        b"status\r\n",
    ]);
}

/// Quotes with nothing inside are no word.
#[test]
fn a_line_of_empty_quotes() {
    same_answers(&[b"\"\"\n", b"\"\" status\n"]);
}

fn same_answers(lines: &[&[u8]]) {
    let [theirs, ours] = daemons();
    for line in lines {
        let shown = String::from_utf8_lossy(line);
        let [expected, got] = [&theirs, &ours].map(|daemon| daemon.answer(line));
        let [expected, got] = [expected, got].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(got, expected, "{shown:?}");
        assert!(!expected.is_empty(), "{shown:?}");
    }
}

#[test]
fn without_a_daemon() {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd-tool");
    for flag in ["-s", "-l", "-H"] {
        let [theirs, ours] = [Path::new(THEIR_TOOL), &ours]
            .map(|tool| run(Command::new(tool).args([flag, "-p"]).arg(lab.socket())));
        assert_eq!(theirs.code, Some(3));
        assert_eq!(ours.code, Some(3));
        assert_eq!(ours.stdout, theirs.stdout);
        // The name may come with its path, and the reason with the system's number.
        let text = |outcome: &Outcome| {
            let (name, text) = outcome.stderr.split_once(": ").unwrap();
            assert!(name.ends_with("corosync-qnetd-tool"), "{name}");
            text.replace(" (os error 2)", "")
        };
        assert_eq!(text(&ours), text(&theirs));
    }
}

#[test]
fn no_operation() {
    for arguments in [&["-h"][..], &[], &["-v"]] {
        same_refusal(arguments);
    }
}

#[test]
fn unknown_flags_and_missing_values() {
    for arguments in [&["-x"][..], &["-c"], &["-p"], &["--list"]] {
        same_refusal(arguments);
    }
}

fn same_refusal(arguments: &[&str]) {
    let lab = Lab::new();
    let ours = lab.named("corosync-qnetd-tool");
    let [theirs, ours] =
        [Path::new(THEIR_TOOL), &ours].map(|tool| run(Command::new(tool).args(arguments)));
    assert_eq!(
        (theirs.code, ours.code),
        (Some(1), Some(1)),
        "{arguments:?}"
    );
    assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
    let text = |stderr: &str| {
        let text = stderr.split_once(": ").map(|(_, text)| text.to_owned());
        text.unwrap_or_else(|| stderr.to_owned())
    };
    assert_eq!(text(&ours.stderr), text(&theirs.stderr), "{arguments:?}");
}
