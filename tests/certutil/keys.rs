//! Databases that an administrator made or changed with NSS's own tools: passwords, other kinds of
//! keys, several certificates of a name.

use std::fs;

use qarbiter::pki::{Profile, ServerNickname, Store};

use crate::databases::{
    CA, DB, PASSWORD, SERVER, assert_complete, assert_same_identity, nss, sign,
};
use crate::sandbox::{Sandbox, Whose};

/// A database with this in its password file, made as the reference's script makes it.
fn database(password: &str, ca: &[&str], server: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new(Whose::Ours);
    fs::create_dir(sandbox.db()).unwrap();
    let write = |file: &str, contents: &str| fs::write(sandbox.db().join(file), contents).unwrap();
    write("pwdfile.txt", password);
    write("noise.txt", "0123456789012345678901234567890123456789\n");
    write("serial.txt", "102\n");
    nss(&sandbox, &["-N"]).ok();
    let noise = format!("{DB}/noise.txt");
    let questions = format!(
        "printf 'y\\n0\\ny\\n' | certutil -S -2 -n '{CA}' -s 'CN=QNet CA' -x -t CT,, -m 101 -v 1200 \
         -d {DB} -f {PASSWORD} -z {noise} {}",
        ca.join(" ")
    );
    sandbox.run("sh", &["-euc", &questions]).ok();
    add_server(&sandbox, "102", server);
    let export = format!("certutil -L -d {DB} -n '{CA}' -a > {DB}/qnetd-cacert.crt");
    sandbox.run("sh", &["-euc", &export]).ok();
    sandbox
}

fn add_server(sandbox: &Sandbox, serial: &str, options: &[&str]) {
    let noise = format!("{DB}/noise.txt");
    let fixed = [
        "-S",
        "-n",
        SERVER,
        "-s",
        "CN=Qnetd Server",
        "-c",
        CA,
        "-t",
        "u,u,u",
        "-m",
        serial,
        "-v",
        "1200",
        "-z",
        &noise,
    ];
    nss(sandbox, &[&fixed, options].concat()).ok();
}

const RSA: &[&str] = &["-k", "rsa", "-g", "2048"];

#[test]
fn the_password_is_the_first_line_of_its_file() {
    let sandbox = database("s3cret pass\n", RSA, RSA);
    assert_same_identity(&sandbox);
    sign(&sandbox, Whose::Ours, "Alpha", "67");
    let nickname = ServerNickname::default();
    let now = std::time::SystemTime::now();
    Store::renew_server(&sandbox.db(), &nickname, Profile::default(), now).unwrap();
    assert_complete(&sandbox);
    assert_same_identity(&sandbox);
    for wrong in ["", "\n", "other\ns3cret pass\n", " s3cret pass\n"] {
        fs::write(sandbox.db().join("pwdfile.txt"), wrong).unwrap();
        let error = Store::open(&sandbox.db()).unwrap_err().to_string();
        assert!(error.contains("first line of pwdfile.txt"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    fs::remove_file(sandbox.db().join("pwdfile.txt")).unwrap();
    let error = Store::open(&sandbox.db()).unwrap_err().to_string();
    assert!(error.contains("first line of pwdfile.txt"), "{error}");
    fs::write(sandbox.db().join("pwdfile.txt"), "s3cret pass").unwrap();
    Store::open(&sandbox.db()).unwrap();
}

#[test]
fn keys_on_both_curves_are_read_and_sign() {
    for curve in ["nistp256", "nistp384"] {
        let ec = ["-k", "ec", "-q", curve];
        let sandbox = database("\n", &ec, &ec);
        assert_same_identity(&sandbox);
        sign(&sandbox, Whose::Ours, "Alpha", "67");
        sign(&sandbox, Whose::Theirs, "Beta", "68");
    }
}

#[test]
fn a_server_key_that_cannot_be_used_is_replaced_under_the_same_ca() {
    for (options, reason) in [
        (&["-k", "rsa", "-g", "1024"][..], "an RSA key of 1024 bits"),
        (&["-k", "ec", "-q", "nistp521"], "on the curve P-521"),
        (&["-k", "rsa", "-g", "2048", "-Z", "SHA1"], "SHA-1"),
    ] {
        let sandbox = database("\n", RSA, options);
        let error = Store::open(&sandbox.db()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("`qarbiter certs renew`"), "{error}");
        let nickname = ServerNickname::default();
        let now = std::time::SystemTime::now();
        Store::renew_server(&sandbox.db(), &nickname, Profile::default(), now).unwrap();
        assert_same_identity(&sandbox);
        assert_complete(&sandbox);
        sign(&sandbox, Whose::Ours, "Alpha", "68");
    }
}

#[test]
fn a_ca_key_that_cannot_be_used_is_said_to_be() {
    let sandbox = database("\n", &["-k", "ec", "-q", "nistp521"], RSA);
    let error = Store::renew_server(
        &sandbox.db(),
        &ServerNickname::default(),
        Profile::default(),
        std::time::SystemTime::now(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("on the curve P-521"), "{error}");
    assert!(error.contains("make a new identity"), "{error}");
}

#[test]
fn of_several_server_certificates_the_latest_is_used() {
    let sandbox = database("\n", RSA, &["-k", "rsa", "-g", "2048", "-w", "-2"]);
    let serial = |sandbox: &Sandbox| {
        let store = Store::open(&sandbox.db()).unwrap();
        let der = store.server().certificate.clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        parsed.raw_serial().to_vec()
    };
    for (number, since, expected) in [
        ("103", "-1", [103]),
        ("104", "-3", [103]),
        ("105", "0", [105]),
    ] {
        add_server(&sandbox, number, &["-k", "rsa", "-g", "2048", "-w", since]);
        assert_eq!(serial(&sandbox), expected);
    }
    // The same number again would be a certificate that nodes have already.
    sign(&sandbox, Whose::Ours, "Alpha", "6A");
}
