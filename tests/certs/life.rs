//! `qarbiter certs` on the arbiter's machine.

use std::fs;
use std::time::SystemTime;

use qarbiter::pki::facts::Moment;
use qarbiter::pki::seen::Seen;
use qarbiter::pki::{Store, issued, revoked};
use rustls::pki_types::CertificateDer;

use crate::sandbox::{Outcome, Whose};
use crate::site::{CA, Site, states};

fn failed(outcome: Outcome, text: &str) {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
}

/// Lets the daemon's notes say that a certificate was seen at a moment.
fn see(site: &Site, certificate: &[u8], at: SystemTime) {
    let ca = Store::open(&site.db()).unwrap().identity().ca;
    let (mut seen, error) = Seen::load(site.data().as_ref(), &ca, Moment(0));
    assert!(error.is_none(), "{error:?}");
    let certificate = CertificateDer::from(certificate);
    seen.record(&certificate, at.into()).unwrap();
    seen.last_page(at.into()).unwrap().write().unwrap();
}

#[test]
fn every_certificate_is_listed_from_where_it_is_known() {
    let site = Site::new(Whose::Theirs);
    site.sign("Alpha");
    let first = fs::read(site.db().join("cluster-Alpha.crt")).unwrap();
    site.sign("Alpha");
    // The reference keeps no record of what it overwrites.
    assert_eq!(site.states("Alpha"), states(&[("104", "valid")]));
    see(&site, &first, SystemTime::now());
    let expected = states(&[("103", "superseded"), ("104", "valid")]);
    assert_eq!(site.states("Alpha"), expected);

    // From now on by ours, on the same directory.
    let ours = site.qarbiter(&["certs", "renew", "Alpha"]).ok();
    assert!(ours.stdout.contains("number 105"), "{ours:?}");
    fs::remove_file(site.db().join("cluster-Alpha.crt")).unwrap();
    let list = site.list();
    let entries = list["certificates"].as_array().unwrap();
    let own: Vec<_> = entries
        .iter()
        .take(2)
        .map(|e| (&e["role"], &e["serial"]))
        .collect();
    assert_eq!(own[0].0, "ca");
    assert_eq!(own[0].1, "101");
    assert_eq!(own[1].0, "server");
    assert_eq!(own[1].1, "102");
    let newest = entries
        .iter()
        .find(|entry| entry["serial"] == "105")
        .unwrap();
    assert!(newest["issued"].is_string() && newest["file"].is_null());
    let first = entries
        .iter()
        .find(|entry| entry["serial"] == "103")
        .unwrap();
    assert!(first["issued"].is_null() && first["last_seen"].is_string());
}

#[test]
fn the_table_is_for_people() {
    let site = Site::new(Whose::Ours);
    site.sign("Alpha");
    let text = site.qarbiter(&["certs", "list"]).ok().stdout;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["WHAT", "NAME", "NUMBER"]);
    assert_eq!(lines[1][..4], ["ca", "QNet", "CA", "101"]);
    assert_eq!(lines[2][..4], ["server", "Qnetd", "Server", "102"]);
    assert_eq!(lines[3][..3], ["cluster", "Alpha", "103"]);
    assert_eq!(lines[3][5..], ["valid", "-", "cluster-Alpha.crt"]);
    assert_eq!(lines.len(), 4, "{text}");
}

#[test]
fn what_cannot_be_read_is_named_and_costs_nothing_else() {
    let site = Site::new(Whose::Ours);
    site.sign("Alpha");
    site.sign("Beta");
    // The second of two lines, the way a failing disk leaves it.
    let index = site.db().join(issued::FILE);
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, &text[..text.len() - 40]).unwrap();
    // Sorted by name: what the reference leaves after a failed signing, and another CA's certificate.
    fs::write(site.db().join("cluster-A-empty.crt"), "").unwrap();
    let other = Site::new(Whose::Theirs);
    other.sign("Gamma");
    fs::copy(
        other.db().join("cluster-Gamma.crt"),
        site.db().join("cluster-Gamma.crt"),
    )
    .unwrap();

    assert_eq!(site.states("Alpha"), states(&[("103", "valid")]));
    assert_eq!(site.states("Beta"), states(&[("104", "valid")]));
    assert!(site.states("Gamma").is_empty());
    let outcome = site.qarbiter(&["certs", "list"]).ok();
    let complaints: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(complaints.len(), 3, "{outcome:?}");
    for (complaint, text) in complaints.iter().zip([
        "line 2 of",
        "cluster-A-empty.crt is not listed: it is empty",
        "cluster-Gamma.crt is not listed: the certificate of `CN=Gamma` is not signed",
    ]) {
        assert!(complaint.contains(text), "{text}: {complaint}");
    }
    site.sign("Beta");
    // The damaged line was all that told of number 104, whose file is overwritten now.
    assert_eq!(site.states("Beta"), states(&[("105", "valid")]));
}

#[test]
fn showing_gives_facts_and_never_keys() {
    let site = Site::with_alpha(Whose::Theirs);
    for whose in ["ca", "server", "Alpha", "cluster:Alpha"] {
        let text = site.qarbiter(&["certs", "show", whose]).ok().stdout;
        assert!(text.contains("SHA-256:"), "{text}");
        let pem = site
            .qarbiter(&["certs", "show", whose, "--pem"])
            .ok()
            .stdout;
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
        assert!(!pem.contains("PRIVATE") && !text.contains("PRIVATE"));
        fs::write(site.sandbox.outside("/etc/corosync/shown.pem"), pem).unwrap();
        let arguments = ["verify", "-CAfile", CA, "/etc/corosync/shown.pem"];
        site.sandbox.run("openssl", &arguments).ok();
    }
    failed(
        site.qarbiter(&["certs", "show", "alpha"]),
        "no certificate of a cluster \"alpha\" is known here",
    );
}

#[test]
fn a_certificate_near_its_end_is_warned_about() {
    let site = Site::new(Whose::Ours);
    site.sign("Alpha");
    let warnings = |site: &Site| {
        let list = site.list();
        let all = list["warnings"].as_array().unwrap().clone();
        all.iter()
            .map(|warning| warning["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(warnings(&site).is_empty());
    // A certificate of our CA with a short life, which only the daemon has seen.
    let store = Store::open(&site.db()).unwrap();
    let keyed = store.authority().unwrap();
    let key = rcgen::KeyPair::try_from(&keyed.key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&keyed.certificate, key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Short");
    params.serial_number = Some(500.into());
    let day = std::time::Duration::from_secs(86_400);
    let now = SystemTime::now();
    let today = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + today - day;
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + today + day * 30;
    let node = rcgen::KeyPair::generate().unwrap();
    let short = params.signed_by(&node, &issuer).unwrap();
    see(&site, short.der(), now);
    let [warning] = &warnings(&site)[..] else {
        panic!("one warning: {:?}", warnings(&site));
    };
    assert!(
        warning.contains("\"Short\" (number 500)") && warning.contains("certs renew Short"),
        "{warning}"
    );
    assert_eq!(site.states("Short"), states(&[("500", "expiring")]));
}

#[test]
fn the_ca_cannot_be_renewed_and_the_reason_is_given() {
    let site = Site::new(Whose::Ours);
    failed(site.qarbiter(&["certs", "renew", "ca"]), "needs no renewal");
}

#[test]
fn only_a_cluster_s_own_certificates_can_be_revoked_in_its_name() {
    let site = Site::new(Whose::Ours);
    site.sign("Alpha");
    site.sign("Beta");
    let revoke = |serial: &str| {
        let arguments = ["certs", "revoke", "Alpha", "--yes", "--serial", serial];
        site.qarbiter(&arguments)
    };
    failed(revoke("104"), "is a certificate of cluster \"Beta\"");
    failed(revoke("101"), "ca's own certificate");
    failed(revoke("102"), "server's own certificate");
    failed(
        site.qarbiter(&["certs", "revoke", "alpha", "--yes"]),
        "no certificate of a cluster",
    );
    assert!(!site.db().join(revoked::FILE).exists());
    // One that the reference gave out before, and of which nothing is left.
    revoke("77").ok();
    assert_eq!(site.list()["revoked_unknown"][0], "77");
    assert_eq!(site.states("Alpha"), states(&[("103", "valid")]));
    let again = revoke("77").ok();
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
}

#[test]
fn a_damaged_list_of_revoked_certificates_stops_everything() {
    let site = Site::new(Whose::Ours);
    site.sign("Alpha");
    site.qarbiter(&["certs", "revoke", "Alpha", "--yes"]).ok();
    let file = site.db().join(revoked::FILE);
    let good = fs::read(&file).unwrap();
    fs::write(
        &file,
        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
    )
    .unwrap();
    for arguments in [
        &["certs", "list"][..],
        &["certs", "revoke", "Alpha", "--yes"],
        &["certs", "renew", "Alpha"],
    ] {
        failed(site.qarbiter(arguments), "cannot be relied on");
    }
    fs::write(&file, good).unwrap();
    assert_eq!(site.states("Alpha"), states(&[("103", "revoked")]));
}

#[test]
fn without_an_identity_nothing_is_made() {
    let empty = tempfile::tempdir().unwrap();
    let site = Site::new(Whose::Ours);
    let dir = empty.path().to_str().unwrap();
    failed(
        site.qarbiter(&["certs", "list", "--state-dir", dir]),
        "there are no certificates in",
    );
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
