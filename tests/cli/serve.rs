//! `qarbiter serve --state-dir DIR`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{Lab, QARBITER, run};

/// Demands that the text says all of it.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

fn modes_of_key_files(dir: &Path) -> Vec<(String, u32)> {
    let is_key = |path: &Path| {
        path.is_file()
            && (fs::read(path).is_ok_and(|bytes| {
                bytes
                    .windows(b"PRIVATE KEY".len())
                    .any(|window| window == b"PRIVATE KEY")
            }) || path.file_name().is_some_and(|name| name == "key4.db"))
    };
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_key(path))
        .map(|path| {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            (path.display().to_string(), mode)
        })
        .collect()
}

#[test]
fn an_empty_directory_is_enough() {
    let lab = Lab::new();
    fs::create_dir(lab.state()).unwrap();
    let mut arbiter = lab.start(&lab.serve(&[]));
    // READY=1 has come, so the port must answer.
    drop(TcpStream::connect(arbiter.address).unwrap());
    let state = lab.state().display().to_string();
    says(
        &arbiter.out(),
        &[
            "pvecm qdevice setup 127.0.0.1",
            "corosync-qdevice-net-certutil -Q -n CLUSTER 127.0.0.1 NODE1 NODE2",
            &format!("must use port {}", lab.port),
            &format!("{state}/qnetd-cacert.crt"),
        ],
    );
    let keys = modes_of_key_files(&lab.state());
    assert!(!keys.is_empty(), "no file with a key in {state}");
    assert!(keys.iter().all(|(_, mode)| *mode == 0o600), "{keys:?}");
    let ca = fs::read_to_string(lab.state().join("qnetd-cacert.crt")).unwrap();
    assert!(!ca.contains("PRIVATE KEY"));
    let (code, _) = arbiter.end_with(Signal::TERM);
    assert_eq!(code, Some(0));
    assert_eq!(arbiter.notified().as_deref(), Some("STOPPING=1\n"));
}

#[test]
fn the_directory_is_made_and_the_identity_kept() {
    let lab = Lab::new();
    let ca = lab.state().join("qnetd-cacert.crt");
    let mut arbiter = lab.start(&lab.serve(&[]));
    arbiter.logged(&["made a new CA and server certificate"]);
    let first = fs::read(&ca).unwrap();
    arbiter.end_with(Signal::TERM);
    let again = lab.start(&lab.serve(&[]));
    assert_eq!(fs::read(&ca).unwrap(), first);
    assert!(!again.log().contains("made a new CA"), "{}", again.log());
    says(&again.out(), &["pvecm qdevice setup"]);
}

#[test]
fn signals_end_it_quickly() {
    for signal in [Signal::TERM, Signal::INT] {
        let lab = Lab::new();
        let mut arbiter = lab.start(&lab.serve(&[]));
        // A client that is there does not hold it up.
        let _client = TcpStream::connect(arbiter.address).unwrap();
        let socket = lab.state().join("qarbiter.sock");
        assert!(socket.exists());
        let (code, time) = arbiter.end_with(signal);
        assert_eq!(code, Some(0), "{signal:?}: {}", arbiter.log());
        assert!(time < Duration::from_secs(2), "{signal:?}: {time:?}");
        assert!(!socket.exists(), "{signal:?}: the socket is still there");
    }
}

#[test]
fn a_second_instance_is_kept_out() {
    let lab = Lab::new();
    let mut arbiter = lab.start(&lab.serve(&[]));
    let other = Lab::new();
    let port = other.port.to_string();
    let mut command = Command::new(QARBITER);
    command.arg("serve").arg("--state-dir").arg(lab.state());
    let second = run(command.args(["-l", "127.0.0.1", "-p", &port]));
    assert_eq!(second.code, Some(1));
    says(
        &second.stderr,
        &["Another instance is running", "qarbiter.pid"],
    );
    assert_eq!(second.stdout, "", "it must not say that it runs");
    assert!(arbiter.is_running());
    assert!(lab.state().join("qarbiter.sock").exists());
    let pid = fs::read_to_string(lab.state().join("qarbiter.pid")).unwrap();
    assert_eq!(pid, format!("{}\n", arbiter.pid()));
}

#[test]
fn a_taken_port_is_named() {
    let lab = Lab::new();
    let _taken = TcpListener::bind(("127.0.0.1", lab.port)).unwrap();
    let failed = run(&mut lab.serve(&[]));
    assert_eq!(failed.code, Some(1));
    let address = format!("127.0.0.1:{}", lab.port);
    says(
        &failed.stderr,
        &["can't listen on", &address, "in use", "-p"],
    );
    assert_eq!(failed.stdout, "", "it must not say that it runs");
}

#[test]
fn a_directory_that_cant_be_written_is_named() {
    let lab = Lab::new();
    let parent = lab.path("readonly");
    fs::create_dir(&parent).unwrap();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o555)).unwrap();
    let state = parent.join("state");
    // Root may write everywhere unless it gives that up.
    let failed = run(Command::new("setpriv")
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .args([QARBITER, "serve", "--state-dir"])
        .arg(&state));
    assert_eq!(failed.code, Some(1));
    says(
        &failed.stderr,
        &[&state.display().to_string(), "Permission denied"],
    );
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let lab = Lab::new();
    fs::write(lab.state(), "").unwrap();
    let failed = run(&mut lab.serve(&[]));
    assert_eq!(failed.code, Some(1));
    says(
        &failed.stderr,
        &[&lab.state().display().to_string(), "ot a directory"],
    );
}

#[test]
fn wrong_settings_are_refused_before_anything_is_made() {
    let lab = Lab::new();
    for (arguments, text) in [
        (&["-s", "maybe"][..], "tls must be one of on, off, req"),
        (&["-S", "speed=9"], "Unknown option 'speed'"),
        (
            &["-S", "rules=reference,vote_leases=on"],
            "vote_leases=on needs rules=safe",
        ),
    ] {
        let failed = run(&mut lab.serve(arguments));
        assert_eq!(failed.code, Some(1), "{arguments:?}");
        says(&failed.stderr, &["qarbiter serve: ", text]);
        assert!(!lab.state().exists(), "{arguments:?} made files");
    }
}
