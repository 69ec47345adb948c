//! The same calls to both programs give the same texts, codes and files.

use std::fs;
use std::os::unix::fs::chown;

use crate::sandbox::{Outcome, Sandbox, Whose, access_of};

/// Calls both and returns the pair, the reference's first.
fn both(theirs: &Sandbox, ours: &Sandbox, arguments: &[&str]) -> (Outcome, Outcome) {
    (theirs.certutil(arguments), ours.certutil(arguments))
}

fn assert_same(theirs: &Sandbox, ours: &Sandbox, arguments: &[&str]) -> Outcome {
    let (expected, found) = both(theirs, ours, arguments);
    assert_eq!(found, expected, "{arguments:?}");
    found
}

/// What the reference prints for `-i` without the questions of NSS's tool.
fn without_nss_talk(stdout: &str) -> String {
    stdout
        .lines()
        .filter(|line| {
            !line.starts_with("Is this a CA certificate")
                && !line.starts_with("Enter the path length constraint")
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn every_refusal_and_the_usage_are_the_same() {
    let theirs = Sandbox::new(Whose::Theirs);
    let ours = Sandbox::new(Whose::Ours);
    let no_database: &[&[&str]] = &[
        &[],
        &["-h"],
        &["-G"],
        &["-h", "-x"],
        &["word"],
        &["word", "-i"],
        &["--", "-i"],
        &["-", "-i"],
        &["", "-i"],
        &["-x"],
        &["-iX"],
        &["--help"],
        &["-:"],
        &["-d", "/tmp"],
        &["-c"],
        &["-n"],
        &["-is", "-n"],
        &["-s"],
        &["-s", "-c", ""],
        &["-s", "-c", "/nonexistent file"],
        &["-sc/nonexistent", "-nA"],
        &["-s", "-n", "A"],
        &["-i", "-s", "-c", "/nonexistent"],
        &["-s", "-c", "/etc/passwd"],
        &["-s", "-c", "/etc/passwd", "-n", ""],
        &["-s", "-c", "/etc/passwd", "-n", "A"],
        &["-s", "-c", "/etc/passwd", "-n", "../A"],
        &["-Gs", "-c", "/etc", "-n", "A"],
    ];
    for arguments in no_database {
        assert_same(&theirs, &ours, arguments);
    }
    assert!(!ours.db().exists(), "a refusal leaves nothing behind");
    let usage = assert_same(&theirs, &ours, &[]);
    assert_eq!((usage.code, usage.stdout.lines().count()), (0, 7));
    let missing = assert_same(&theirs, &ours, no_database[26]);
    assert_eq!(missing.code, 1);
    assert!(
        missing
            .stderr
            .ends_with("/corosync-qnetd-certutil -i to create it\n")
    );

    theirs.certutil(&["-i"]).ok();
    ours.certutil(&["-i"]).ok();
    for arguments in [
        &["-i"][..],
        &["-iG"],
        &["-s", "-i"],
        &["-s", "-c", "/nonexistent", "-n", "A"],
        &["-s", "-c", "/etc/passwd"],
        &["-i", "-x"],
        &["-i", "-h"],
    ] {
        assert_same(&theirs, &ours, arguments);
    }
    let again = assert_same(&theirs, &ours, &["-i"]);
    assert_eq!(again.code, 1);
    assert!(
        again
            .stderr
            .contains("(/etc/corosync/qnetd/nssdb) already exists")
    );
}

#[test]
fn initializing_says_and_leaves_the_same() {
    for group_bit in [&["-i"][..], &["-i", "-G"]] {
        let theirs = Sandbox::new(Whose::Theirs);
        let ours = Sandbox::new(Whose::Ours);
        for sandbox in [&theirs, &ours] {
            chown(
                sandbox.outside("/etc/corosync/qnetd"),
                Some(4711),
                Some(4712),
            )
            .unwrap();
        }
        let (expected, found) = both(&theirs, &ours, group_bit);
        assert_eq!((found.code, expected.code), (0, 0), "{expected:?}");
        assert_eq!(found.stdout, without_nss_talk(&expected.stdout));
        assert_eq!(found.stdout.lines().count(), 5);
        assert_eq!(found.stderr, "");

        for file in [
            "",
            "cert9.db",
            "key4.db",
            "pkcs11.txt",
            "pwdfile.txt",
            "noise.txt",
            "serial.txt",
            "qnetd-cacert.crt",
        ] {
            assert_eq!(
                access_of(&ours.db().join(file)),
                access_of(&theirs.db().join(file)),
                "{group_bit:?}: {file}"
            );
        }
        for file in ["serial.txt", "pkcs11.txt", "pwdfile.txt"] {
            let read = |sandbox: &Sandbox| fs::read(sandbox.db().join(file)).unwrap();
            assert_eq!(read(&ours), read(&theirs), "{file}");
        }
        let noise = fs::read_to_string(ours.db().join("noise.txt")).unwrap();
        assert_eq!(noise.len(), 41);
        assert!(noise.trim_end().chars().all(|c| c.is_ascii_hexdigit()));
    }
}

#[test]
fn an_existing_directory_is_not_announced() {
    let theirs = Sandbox::new(Whose::Theirs);
    let ours = Sandbox::new(Whose::Ours);
    for sandbox in [&theirs, &ours] {
        fs::create_dir(sandbox.db()).unwrap();
        fs::write(sandbox.db().join("serial.txt"), "200\n").unwrap();
        fs::write(sandbox.db().join("noise.txt"), "seed of an admin\n").unwrap();
    }
    let (expected, found) = both(&theirs, &ours, &["-i"]);
    assert_eq!(found.stdout, without_nss_talk(&expected.stdout));
    for sandbox in [&theirs, &ours] {
        let serial = fs::read_to_string(sandbox.db().join("serial.txt")).unwrap();
        assert_eq!(serial, "202\n", "a leftover number is continued");
        let noise = fs::read_to_string(sandbox.db().join("noise.txt")).unwrap();
        assert_eq!(noise, "seed of an admin\n");
    }
}

#[test]
fn signing_says_and_leaves_the_same() {
    let theirs = Sandbox::new(Whose::Theirs);
    let ours = Sandbox::new(Whose::Ours);
    for sandbox in [&theirs, &ours] {
        sandbox.certutil(&["-i"]).ok();
    }
    for (name, serial) in [("Alpha", "103\n"), ("two words", "104\n"), ("x_y", "105\n")] {
        for sandbox in [&theirs, &ours] {
            sandbox.node_request(name);
        }
        let request = "/etc/corosync/qdevice/net/nssdb/qdevice-net-node.crq";
        let outcome = assert_same(&theirs, &ours, &["-s", "-c", request, "-n", name]);
        assert_eq!(outcome.code, 0);
        assert_eq!(
            outcome.stdout.lines().last().unwrap(),
            format!("Certificate stored in /etc/corosync/qnetd/nssdb/cluster-{name}.crt")
        );
        let file = format!("cluster-{name}.crt");
        assert_eq!(
            access_of(&ours.db().join(&file)),
            access_of(&theirs.db().join(&file))
        );
        let subject = |sandbox: &Sandbox| {
            let path = format!("/etc/corosync/qnetd/nssdb/{file}");
            let shown = [
                "x509",
                "-inform",
                "DER",
                "-in",
                &path,
                "-noout",
                "-subject",
                "-issuer",
                "-serial",
                "-nameopt",
                "show_type",
            ];
            sandbox.run("openssl", &shown).ok().stdout
        };
        assert_eq!(
            subject(&ours),
            subject(&theirs),
            "names, string types, serial"
        );
        let counted = fs::read_to_string(ours.db().join("serial.txt")).unwrap();
        assert_eq!(counted, serial);
    }
}
