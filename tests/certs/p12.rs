//! `qarbiter import --p12` with files that pk12util and openssl made.

use std::fs;
use std::path::PathBuf;

use crate::arbiter::shown_by_node;
use crate::sandbox::{Outcome, Whose};
use crate::site::{DB, Site, states};

const NAMES: [(&str, &str); 2] = [("ca", "QNet CA"), ("server", "QNetd Cert")];

struct World {
    site: Site,
}

impl World {
    fn new(whose: Whose) -> Self {
        Self {
            site: Site::with_alpha(whose),
        }
    }

    fn sh(&self, script: &str, arguments: &[&str]) {
        let all = [&["-euc", script, "x"], arguments].concat();
        self.site.sandbox.run("sh", &all).ok();
    }

    /// Exports as provisioning spec 7.1 does.
    fn export(&self, password: &str) {
        for (file, name) in NAMES {
            let file = format!("/etc/corosync/{file}.p12");
            let keep = format!("{DB}/pwdfile.txt");
            let arguments = [
                "-o", &file, "-d", DB, "-n", name, "-k", &keep, "-W", password,
            ];
            self.site.sandbox.run("pk12util", &arguments).ok();
        }
        fs::write(self.outside("password"), format!("{password}\n")).unwrap();
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.site.sandbox.outside(&format!("/etc/corosync/{name}"))
    }

    /// The machine's own certificates are gone.
    fn wipe(&self) {
        fs::remove_dir_all(self.site.db()).unwrap();
    }

    fn import(&self, files: &[&str]) -> Outcome {
        let mut arguments = vec!["import".to_owned()];
        for file in files {
            arguments.extend(["--p12".to_owned(), format!("/etc/corosync/{file}.p12")]);
        }
        if self.outside("password").exists() {
            let file = "/etc/corosync/password".to_owned();
            arguments.extend(["--password-file".to_owned(), file]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.site.qarbiter(&arguments)
    }

    fn accepts_the_node(&self) {
        let shown = shown_by_node(&self.site.sandbox, &self.site.db(), "Alpha");
        assert_eq!(shown, Ok(103));
    }
}

fn failed(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
}

#[test]
fn what_pk12util_exported_makes_the_same_arbiter() {
    for (whose, password) in [
        (Whose::Theirs, ""),
        (Whose::Theirs, "Gr\u{f6}\u{df}e"),
        (Whose::Ours, "geheim"),
    ] {
        let world = World::new(whose);
        let show = ["certs", "show", "server", "--pem"];
        let server = world.site.qarbiter(&show).ok().stdout;
        world.export(password);
        world.wipe();
        world.import(&["ca", "server"]).ok();
        world.accepts_the_node();
        assert_eq!(world.site.qarbiter(&show).ok().stdout, server);
    }
}

#[test]
fn the_ca_alone_gets_a_new_server_certificate_and_numbers_leave_a_gap() {
    let world = World::new(Whose::Theirs);
    world.export("");
    world.wipe();
    fs::remove_file(world.outside("password")).unwrap();
    let said = world.import(&["ca"]).ok().stdout;
    assert!(said.contains("a new server certificate"), "{said}");
    world.accepts_the_node();
    world.site.sign("Beta");
    let [(serial, _)] = &world.site.states("Beta")[..] else {
        panic!("one certificate");
    };
    assert!(serial.parse::<u64>().unwrap() > 1000, "{serial}");
}

#[test]
fn files_of_openssl_are_read_new_and_old_ones() {
    for kind in [
        "",
        "-legacy",
        "-legacy -certpbe PBE-SHA1-3DES",
        "-keypbe NONE -certpbe NONE",
    ] {
        let world = World::new(Whose::Theirs);
        world.export("geheim");
        world.sh(
            "cd /etc/corosync && openssl pkcs12 -in ca.p12 -nodes -passin pass:geheim -out ca.pem \
             && openssl pkcs12 -export $1 -in ca.pem -passout pass:geheim -out again.p12",
            &[kind],
        );
        world.wipe();
        world.import(&["again"]).ok();
        world.accepts_the_node();
    }
}

#[test]
fn nothing_is_made_of_files_that_are_of_no_use() {
    let world = World::new(Whose::Theirs);
    world.export("geheim");
    failed(&world.import(&["ca"]), "already exists");
    world.wipe();
    failed(&world.import(&["server"]), "there is no CA with its key");
    failed(&world.import(&["missing"]), "there is no such file");
    let good = fs::read(world.outside("ca.p12")).unwrap();
    for (contents, text) in [
        (&good[..good.len() / 2], "not a PKCS #12 file"),
        (b"", "not a PKCS #12 file"),
        (b"-----BEGIN CERTIFICATE-----", "not a PKCS #12 file"),
    ] {
        fs::write(world.outside("bad.p12"), contents).unwrap();
        failed(&world.import(&["bad"]), text);
    }
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    fs::write(world.outside("bad.p12"), changed).unwrap();
    failed(
        &world.import(&["bad"]),
        "the password is wrong, or the file is damaged",
    );
    fs::write(world.outside("password"), "Geheim").unwrap();
    failed(&world.import(&["ca"]), "the password is wrong");
    assert!(!world.site.db().exists());
    fs::write(world.outside("password"), "geheim").unwrap();
    world.import(&["ca", "server"]).ok();
    assert_eq!(world.site.states("Alpha"), states(&[]));
}
