//! An exported identity is the same arbiter on another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::arbiter::shown_by_node;
use crate::sandbox::{NODE_DB, Outcome, Whose};
use crate::site::{DB, Site, states};

const PASSPHRASE: &str = "correct horse battery";

/// A site with a file for the passphrase, and a place for exports, by paths that are the same
/// inside and outside.
struct World {
    site: Site,
    place: tempfile::TempDir,
}

impl World {
    fn new(whose: Whose) -> Self {
        let world = Self {
            site: Site::with_alpha(whose),
            place: tempfile::tempdir().unwrap(),
        };
        fs::write(world.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let passphrase = self.path("passphrase");
        let mut all = vec!["identity"];
        all.extend(arguments);
        all.extend(["--passphrase-file", passphrase.to_str().unwrap()]);
        self.site.qarbiter(&all)
    }

    fn export(&self) -> PathBuf {
        let out = self.path("export.age");
        self.run(&["export", "--out", out.to_str().unwrap()]).ok();
        out
    }

    fn import(&self, file: &Path) -> Outcome {
        self.run(&["import", file.to_str().unwrap()])
    }

    /// The machine is gone; another one has an empty directory.
    fn wipe(&self) {
        fs::remove_dir_all(self.site.db()).unwrap();
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".qarbiter-lock")
        .collect();
    names.sort();
    names
}

fn failed(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
}

#[test]
fn clusters_reconnect_to_the_replacement_and_numbers_go_on() {
    for whose in [Whose::Ours, Whose::Theirs] {
        let world = World::new(whose);
        let site = &world.site;
        site.sign("Beta");
        site.qarbiter(&["certs", "revoke", "Beta", "--yes"]).ok();
        let kept = format!("{DB}/qdevice-net-node.crq.Alpha");
        fs::write(site.sandbox.outside(&kept), "for crmsh").unwrap();
        fs::write(site.db().join("notes.txt"), "not ours").unwrap();
        let before = names_in(&site.db());
        let ca = fs::read(site.db().join("qnetd-cacert.crt")).unwrap();
        let export = world.export();
        assert_eq!(
            export.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );

        world.wipe();
        world.import(&export).ok();
        let after = names_in(&site.db());
        let expected: Vec<_> = before.into_iter().filter(|n| n != "notes.txt").collect();
        assert_eq!(after, expected, "{whose:?}");
        assert_eq!(fs::read(site.db().join("qnetd-cacert.crt")).unwrap(), ca);
        assert_eq!(shown_by_node(&site.sandbox, &site.db(), "Alpha"), Ok(103));
        assert_eq!(site.states("Beta"), states(&[("104", "revoked")]));
        // 105 would have been next here, and may have been given out by the lost machine.
        site.sign("Gamma");
        assert_eq!(site.states("Gamma"), states(&[("1105", "valid")]));
        // The reference goes on with it too.
        let keys = site.sandbox.run("certutil", &["-K", "-d", DB]).ok().stdout;
        assert!(
            keys.contains("QNet CA") && keys.contains("QNetd Cert"),
            "{keys}"
        );
    }
}

#[test]
fn an_identity_is_never_overwritten() {
    let world = World::new(Whose::Ours);
    let export = world.export();
    failed(&world.import(&export), "already exists in");
    failed(&world.import(&export), "away, import again");
    let out = export.to_str().unwrap();
    failed(&world.run(&["export", "--out", out]), "File exists");
    assert_eq!(
        shown_by_node(&world.site.sandbox, &world.site.db(), "Alpha"),
        Ok(103)
    );
}

#[test]
fn a_wrong_passphrase_or_a_changed_file_leaves_nothing() {
    let world = World::new(Whose::Ours);
    let export = world.export();
    let good = fs::read(&export).unwrap();
    world.wipe();
    fs::create_dir_all(world.site.db()).unwrap();
    let bad = world.path("bad.age");
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (contents, text) in [
        (&good[..good.len() - 1], "changed or cut off"),
        (&good[..good.len() / 2], "changed or cut off"),
        (&changed, "changed or cut off"),
        (&good[..100], "not a file encrypted with a passphrase"),
        (b"", "not a file encrypted with a passphrase"),
    ] {
        fs::write(&bad, contents).unwrap();
        failed(&world.import(&bad), text);
        assert!(names_in(&world.site.db()).is_empty());
    }
    fs::write(world.path("passphrase"), "another passphrase").unwrap();
    failed(&world.import(&export), "the passphrase is wrong");
    assert!(names_in(&world.site.db()).is_empty());
    fs::write(world.path("passphrase"), PASSPHRASE).unwrap();
    world.import(&export).ok();
}

#[test]
fn an_export_whose_identity_is_unusable_leaves_nothing() {
    let world = World::new(Whose::Ours);
    // An archive made by hand, without this program's checks.
    let inner = world.path("inner");
    let tar = inner.join("made.tar");
    fs::create_dir_all(inner.join("state")).unwrap();
    for name in names_in(&world.site.db()) {
        fs::copy(world.site.db().join(&name), inner.join("state").join(&name)).unwrap();
    }
    fs::write(inner.join("state/key4.db"), "not a database").unwrap();
    fs::write(
        inner.join("qarbiter-export.json"),
        r#"{"format":1,"version":"0.1.0","created":1795402800}"#,
    )
    .unwrap();
    let script = "cd \"$1\" && tar cf made.tar qarbiter-export.json state/* && \
                  for i in 1 2; do sleep 1; echo \"$2\"; done | \
                  script -qec 'age -p -o made.age made.tar' /dev/null";
    let arguments = ["-euc", script, "x", inner.to_str().unwrap(), PASSPHRASE];
    world.site.sandbox.run("sh", &arguments).ok();
    assert!(tar.exists());
    world.wipe();
    let outcome = world.import(&inner.join("made.age"));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(names_in(&world.site.db()).is_empty(), "{outcome:?}");
}

#[test]
fn the_export_opens_with_standard_tools_alone() {
    let world = World::new(Whose::Theirs);
    let export = world.export();
    let script = "cd \"$1\" && (sleep 1; echo \"$2\") | \
                  script -qec 'age -d -o plain.tar export.age' /dev/null && tar xf plain.tar";
    let place = world.place.path().to_str().unwrap();
    let arguments = ["-euc", script, "x", place, PASSPHRASE];
    world.site.sandbox.run("sh", &arguments).ok();
    assert!(export.exists());
    for name in ["cert9.db", "key4.db", "cluster-Alpha.crt"] {
        let unpacked = fs::read(world.path("state").join(name)).unwrap();
        assert_eq!(
            unpacked,
            fs::read(world.site.db().join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_generated_passphrase_is_shown_and_works() {
    let world = World::new(Whose::Ours);
    let out = world.path("export.age");
    let export = ["identity", "export", "--out", out.to_str().unwrap()];
    let said = world.site.qarbiter(&export).ok();
    assert_eq!(said.stdout, "");
    let shown = said.stderr.lines().find(|line| line.starts_with("  "));
    fs::write(world.path("passphrase"), shown.unwrap().trim()).unwrap();
    world.wipe();
    world.import(&out).ok();
    assert_eq!(
        shown_by_node(&world.site.sandbox, &world.site.db(), "Alpha"),
        Ok(103)
    );
}

#[test]
fn the_configuration_comes_along_and_is_not_overwritten() {
    let world = World::new(Whose::Ours);
    let config = world.path("qarbiter.toml");
    fs::write(&config, "# mine\n").unwrap();
    let (out, file) = (world.path("e.age"), config.to_str().unwrap().to_owned());
    let out = out.to_str().unwrap();
    world.run(&["export", "--out", out, "--config", &file]).ok();
    for (present, text) in [
        (None, "The configuration is in"),
        (Some("# mine\n"), ""),
        (Some("# other\n"), "left as it is"),
    ] {
        world.wipe();
        match present {
            None => fs::remove_file(&config).unwrap(),
            Some(text) => fs::write(&config, text).unwrap(),
        }
        let said = world.run(&["import", out, "--config", &file]).ok();
        assert!(said.stdout.contains(text), "{said:?}");
        let expected = present.unwrap_or("# mine\n");
        assert_eq!(fs::read_to_string(&config).unwrap(), expected);
    }
}

#[test]
fn weak_and_missing_passphrases_are_refused() {
    let world = World::new(Whose::Ours);
    fs::write(world.path("passphrase"), "short\n").unwrap();
    let out = world.path("export.age");
    let out = out.to_str().unwrap();
    failed(&world.run(&["export", "--out", out]), "too easy to guess");
    assert!(!Path::new(out).exists());
    let missing = world.site.qarbiter(&["identity", "import", "/dev/null"]);
    failed(&missing, "--passphrase-file");
    assert!(world.site.sandbox.outside(NODE_DB).exists());
}
