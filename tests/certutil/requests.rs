//! What is signed and what is not.

use std::fs;

use crate::sandbox::{Sandbox, Whose};

fn server() -> Sandbox {
    let sandbox = Sandbox::new(Whose::Ours);
    sandbox.certutil(&["-i"]).ok();
    sandbox
}

/// Demands a loud failure that leaves everything as it was.
fn assert_refused(sandbox: &Sandbox, request: &str, name: &str, reason: &str) {
    let files = || {
        let mut all: Vec<_> = fs::read_dir(sandbox.db())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        all.sort();
        all
    };
    let before = files();
    let outcome = sandbox.certutil(&["-s", "-c", request, "-n", name]);
    assert_eq!(outcome.code, 1, "{name}: {outcome:?}");
    assert!(!outcome.stdout.contains("stored in"), "{outcome:?}");
    assert!(outcome.stderr.contains(reason), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(before == files(), "{name}: files changed");
}

#[test]
fn what_other_tools_make_is_signed() {
    let sandbox = server();
    for (name, arguments) in [
        (
            "der",
            &["-newkey", "rsa:2048", "-outform", "DER", "-subj", "/CN=der"][..],
        ),
        (
            "pem",
            &["-newkey", "rsa:2048", "-sha512", "-subj", "/CN=pem"],
        ),
        (
            "big",
            &["-newkey", "rsa:4096", "-sha384", "-subj", "/CN=big"],
        ),
        (
            "p256",
            &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=p256",
            ],
        ),
        (
            "p384",
            &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-384",
                "-subj",
                "/CN=p384",
            ],
        ),
        // An authority's rights are not granted because they are asked for.
        (
            "ext",
            &[
                "-newkey",
                "rsa:2048",
                "-subj",
                "/O=Org/CN=ext",
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "subjectAltName=DNS:other",
                "-addext",
                "1.2.3.4=DER:0500",
            ],
        ),
    ] {
        let request = sandbox.openssl_request(name, arguments);
        sandbox.certutil(&["-s", "-c", &request, "-n", name]).ok();
        let path = format!("/etc/corosync/qnetd/nssdb/cluster-{name}.crt");
        let shown = sandbox
            .run(
                "openssl",
                &[
                    "x509", "-inform", "DER", "-in", &path, "-noout", "-text", "-nameopt",
                    "RFC2253",
                ],
            )
            .ok()
            .stdout;
        assert!(shown.contains(&format!("Subject: CN={name}\n")), "{shown}");
        assert!(shown.contains("Version: 3 (0x2)"), "{shown}");
        let extensions: Vec<_> = shown
            .lines()
            .filter(|line| line.starts_with("            X509v3"))
            .map(str::trim)
            .collect();
        assert_eq!(extensions, ["X509v3 Extended Key Usage:"], "{shown}");
        let ca = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";
        sandbox
            .run("openssl", &["verify", "-CAfile", ca, &path])
            .ok();
    }
}

#[test]
fn weak_or_foreign_requests_are_refused_with_the_reason() {
    let sandbox = server();
    for (file, arguments, reason) in [
        (
            "short",
            &["-newkey", "rsa:1024", "-subj", "/CN=A"][..],
            "RSA key has 1024 bits",
        ),
        (
            "odd",
            &["-newkey", "rsa:2047", "-subj", "/CN=A"],
            "RSA key has 2047 bits",
        ),
        (
            "sha1",
            &["-newkey", "rsa:2048", "-sha1", "-subj", "/CN=A"],
            "SHA-1",
        ),
        (
            "md5",
            &["-newkey", "rsa:2048", "-md5", "-subj", "/CN=A"],
            "MD5",
        ),
        (
            "pss",
            &[
                "-newkey",
                "rsa:2048",
                "-sigopt",
                "rsa_padding_mode:pss",
                "-subj",
                "/CN=A",
            ],
            "unknown algorithm (object identifier 1.2.840.113549.1.1.10)",
        ),
        (
            "p521",
            &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-521",
                "-subj",
                "/CN=A",
            ],
            "P-256 and P-384",
        ),
        (
            "ed",
            &["-newkey", "ed25519", "-subj", "/CN=A"],
            "P-256 and P-384",
        ),
        (
            "none",
            &["-newkey", "rsa:2048", "-subj", "/O=A"],
            "exactly one common name",
        ),
        (
            "two",
            &["-newkey", "rsa:2048", "-subj", "/CN=A/CN=A"],
            "exactly one common name",
        ),
        (
            "other",
            &["-newkey", "rsa:2048", "-subj", "/CN=B"],
            "is for the cluster `B`, not for `A`",
        ),
    ] {
        let request = sandbox.openssl_request(file, arguments);
        assert_refused(&sandbox, &request, "A", reason);
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let sandbox = server();
    let write = |name: &str, contents: &[u8]| {
        fs::write(sandbox.outside("/etc/corosync/").join(name), contents).unwrap();
        format!("/etc/corosync/{name}")
    };
    let empty = write("empty", b"");
    assert_refused(&sandbox, &empty, "A", "not a certificate request");
    let junk = write("junk", b"\x30\x82\xff\xff junk");
    assert_refused(&sandbox, &junk, "A", "not a certificate request");
    let long = write("long", &vec![b'0'; 100_000]);
    assert_refused(&sandbox, &long, "A", "too long");
    assert_refused(&sandbox, "/etc/corosync", "A", "cannot read /etc/corosync");
    let ca = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";
    assert_refused(&sandbox, ca, "A", "not a certificate request");

    let request = sandbox.node_request("A");
    let mut altered = fs::read(sandbox.outside(&request)).unwrap();
    // The name's last letter: after it, only the key follows.
    let name = altered.windows(3).position(|w| w == b"\x13\x01A").unwrap() + 2;
    altered[name] = b'B';
    let altered = write("altered", &altered);
    assert_refused(&sandbox, &altered, "B", "own signature is wrong");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let sandbox = server();
    for (name, reason) in [
        ("a/b", "`/` and control characters"),
        ("../../x", "`/` and control characters"),
        ("..", "cannot start with a dot"),
        (".x", "cannot start with a dot"),
        ("a\nb", "control characters"),
        ("Qnetd Server", "pretend to be the arbiter"),
    ] {
        let subject = format!("/CN={}", name.replace('/', "\\/"));
        let arguments = ["-newkey", "rsa:2048", "-subj", &subject];
        let request = sandbox.openssl_request("escape", &arguments);
        assert_refused(&sandbox, &request, name, reason);
    }
    let long = "n".repeat(244);
    let request = sandbox.node_request(&long);
    assert_refused(&sandbox, &request, &long, "at most 243");
    let longest = &long[1..];
    let request = sandbox.node_request(longest);
    sandbox
        .certutil(&["-s", "-c", &request, "-n", longest])
        .ok();
}
