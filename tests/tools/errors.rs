//! What goes wrong, in the words and with the exit codes of the reference.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Outcome, run};
use crate::nodes::Cluster;
use crate::pair::{Pair, THEIR_TOOL};

/// Both tools, called by the same name as far as that goes: what getopt(3) says begins with it.
fn same(lab: &Lab, before: &[&str], arguments: &[&str]) -> Outcome {
    let ours = lab.named("corosync-qnetd-tool");
    let [theirs, ours] = [Path::new(THEIR_TOOL), &ours].map(|tool| {
        let mut command = match before {
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(tool);
                command
            }
            [] => Command::new(tool),
        };
        let outcome = run(command.args(arguments));
        let called = format!("{}: ", tool.display());
        Outcome {
            stderr: outcome.stderr.replace(&called, "CALLED: "),
            ..outcome
        }
    });
    assert_eq!(ours, theirs, "{arguments:?}");
    ours
}

#[test]
fn nobody_is_there() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "").unwrap();
    fs::create_dir(lab.path("dir")).unwrap();
    let long = "p".repeat(200);
    for (path, reason) in [
        ("socket", "No such file or directory"),
        ("file", "Connection refused"),
        ("dir", "Connection refused"),
        ("file/socket", "Not a directory"),
        (&*long, "File name too long"),
    ] {
        let path = lab.path(path);
        for flag in ["-s", "-l", "-sv", "-lv", "-H"] {
            let outcome = same(&lab, &[], &[flag, "-p", path.to_str().unwrap()]);
            assert_eq!(outcome.code, Some(3));
            assert_eq!(outcome.stdout, "");
            let text = "corosync-qnetd-tool: Can't connect to qnetd socket (is QNetd running?): ";
            assert_eq!(outcome.stderr, format!("{text}{reason}\n"));
        }
    }
    let empty = same(&lab, &[], &["-s", "-p", ""]);
    assert_eq!(empty.code, Some(3));
}

/// Something else listens there, or the daemon has no place for another question. The reference takes silence and half
/// an answer for success: a check that goes by the exit code would call a daemon healthy that says nothing.
#[test]
fn an_answer_that_is_none() {
    for (answer, theirs, ours) in [
        (&b""[..], 0, 3),
        (b"OK", 0, 3),
        (b"nonsense\n", 3, 3),
        (b"OK\n", 0, 0),
        (b"OK\nhalf a line", 0, 0),
        (b"OK\n\xff\xfe\n", 0, 0),
        (b"Error\nwhat\n", 4, 4),
        (b"Error\na\nb\n", 4, 4),
    ] {
        let lab = Lab::new();
        let listener = UnixListener::bind(lab.socket()).unwrap();
        let peer = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = [0; 100];
                assert!(stream.read(&mut line).unwrap() > 0);
                stream.write_all(answer).unwrap();
            }
        });
        let tools = [THEIR_TOOL.into(), lab.named("corosync-qnetd-tool")];
        let outputs = tools.map(|tool| {
            let mut tool = Command::new(tool);
            tool.arg("-sp").arg(lab.socket()).output().unwrap()
        });
        peer.join().unwrap();
        let codes = outputs.each_ref().map(|output| output.status.code());
        assert_eq!(codes, [Some(theirs), Some(ours)], "{outputs:?}");
        let [theirs, ours] = outputs;
        assert_eq!(ours.stdout, theirs.stdout);
        if theirs.status.code() != Some(3) && ours.status.code() != Some(3) {
            assert_eq!(ours.stderr, theirs.stderr);
        }
    }
}

#[test]
fn an_unprivileged_user_is_told_to_look_whether_it_runs() {
    let lab = Lab::new();
    // A copy in a place that everybody may enter; the socket is in one that nobody may.
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ours = open.path().join("corosync-qnetd-tool");
    fs::copy(crate::lab::QARBITER, &ours).unwrap();
    let closed = lab.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let socket = closed.join("socket");
    let [theirs, ours] = [Path::new(THEIR_TOOL), &ours].map(|tool| {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        run(Command::new("setpriv")
            .args(nobody)
            .arg(tool)
            .arg("-sp")
            .arg(&socket))
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours.code, Some(3));
    assert!(ours.stderr.ends_with(": Permission denied\n"), "{ours:?}");
}

#[test]
fn command_lines() {
    let lab = Lab::new();
    let socket = lab.socket();
    let socket = socket.to_str().unwrap();
    for (arguments, code) in [
        (&["-h"][..], 1),
        (&["-hs"], 1),
        (&["-s", "-h"], 1),
        (&[], 1),
        (&["-v"], 1),
        (&["-c", "x"], 1),
        (&["-p", socket], 1),
        (&["word"], 1),
        (&["--"], 1),
        (&["--", "-s"], 1),
        (&["-x"], 1),
        (&["-sx"], 1),
        (&["-c"], 1),
        (&["-sp"], 1),
        (&["--status"], 1),
        (&["-s", "-?"], 1),
        (&["-s", "word", "-p", socket], 3),
        (&["word", "-sp", socket], 3),
        (&["-s", "-l", "-p", socket], 3),
    ] {
        assert_eq!(same(&lab, &[], arguments).code, Some(code), "{arguments:?}");
    }
}

/// The last operation counts, and words that belong to no flag are passed over.
#[tokio::test]
async fn unusual_questions_to_a_daemon() {
    let pair = Pair::new();
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        nodes.push(daemon.cluster("Alpha", &[1]).whole().await);
    }
    let list = pair.ask(&["-l"]).stdout;
    let status = pair.ask(&["-s"]).stdout;
    assert_eq!(pair.ask(&["-sl"]).stdout, list);
    assert_eq!(pair.ask(&["-ls"]).stdout, status);
    assert_eq!(pair.ask(&["word", "-s", "word"]).stdout, status);
    assert_eq!(pair.ask(&["-l", "-c", "Beta", "-c", "Alpha"]).stdout, list);
    assert_eq!(pair.ask(&["-lcAlpha"]).stdout, list);
    assert_eq!(pair.ask(&["-l", "-c", "alpha"]).stdout, "");
}

/// An answer that does not fit into the server's limit is refused as a whole, to the byte.
#[tokio::test]
async fn an_answer_that_is_too_long() {
    let flags = ["-s", "off", "-S", "ipc_max_send_size=1024"];
    let pair = Pair::with_flags(&flags);
    let names: Vec<_> = (0..24).map(|more| "n".repeat(780 + more)).collect();
    let mut nodes = Vec::new();
    for daemon in pair.daemons() {
        for name in &names {
            nodes.push(
                Cluster::new(daemon.running.address, name, &[1])
                    .whole()
                    .await,
            );
        }
    }
    let answers: Vec<_> = names
        .iter()
        .map(|name| pair.ask(&["-l", "-c", name]))
        .collect();
    let refused: Vec<_> = answers
        .iter()
        .map(|answer| answer.code == Some(4))
        .collect();
    assert!(
        refused.is_sorted() && refused.contains(&true) && refused.contains(&false),
        "{answers:?}"
    );
    let all = pair.ask(&["-lv"]);
    assert_eq!(
        (all.code, &*all.stderr),
        (Some(4), "Error: Can't get QNetd cluster list\n")
    );
    assert_eq!(pair.ask(&["-s"]).code, Some(0));
}
