//! Renewed and revoked certificates, seen from a node with the real tools.

use std::fs;

use qarbiter::tls::TlsError;

use crate::arbiter::shown_by_node;
use crate::sandbox::{NODE_CERTUTIL, NODE_DB, Whose};
use crate::site::{CA, Site, states};

/// Renews and brings the certificate to the node by the steps that are printed.
#[test]
fn the_printed_steps_bring_a_renewed_certificate_to_a_node() {
    for whose in [Whose::Ours, Whose::Theirs] {
        let site = Site::with_alpha(whose);
        let shown = || shown_by_node(&site.sandbox, &site.db(), "Alpha");
        assert_eq!(shown(), Ok(103), "{whose:?}");
        let said = site.qarbiter(&["certs", "renew", "Alpha"]).ok().stdout;
        assert!(said.contains("number 104"), "{said}");
        assert_eq!(shown(), Ok(103), "the former one is still good");

        // The line for the node, with the file where scp would have put it.
        let line = said.lines().find(|line| line.contains(" -M -c ")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..3], ["corosync-qdevice-net-certutil", "-M", "-c"]);
        assert_eq!(words[3], "/root/cluster-Alpha.crt");
        let arguments = ["-M", "-c", &site.alpha()];
        site.sandbox.run(NODE_CERTUTIL, &arguments).ok();
        assert_eq!(site.numbers_on_node(), [104, 103]);
        assert_eq!(shown(), Ok(104), "{whose:?}");
    }
}

/// Nodes without the request's directory get a p12, as when a cluster is set up.
#[test]
fn a_p12_brings_a_renewed_certificate_to_the_other_nodes() {
    let site = Site::with_alpha(Whose::Ours);
    let p12 = || {
        fs::read(
            site.sandbox
                .outside(&format!("{NODE_DB}/qdevice-net-node.p12")),
        )
        .unwrap()
    };
    let first = p12();
    site.qarbiter(&["certs", "renew", "Alpha"]).ok();
    site.sandbox
        .run(NODE_CERTUTIL, &["-M", "-c", &site.alpha()])
        .ok();
    let second = p12();
    // The other node is the same machine with an empty database.
    let away = site.sandbox.outside("/etc/corosync/away");
    fs::rename(site.sandbox.outside(NODE_DB), away).unwrap();
    site.sandbox.run(NODE_CERTUTIL, &["-i", "-c", CA]).ok();
    for (p12, numbers) in [(first, &[103][..]), (second, &[104, 103])] {
        fs::write(site.sandbox.outside("/etc/corosync/node.p12"), p12).unwrap();
        let arguments = ["-m", "-c", "/etc/corosync/node.p12"];
        site.sandbox.run(NODE_CERTUTIL, &arguments).ok();
        assert_eq!(site.numbers_on_node(), numbers);
        let shown = shown_by_node(&site.sandbox, &site.db(), "Alpha");
        assert_eq!(shown, Ok(numbers[0]));
    }
}

#[test]
fn nodes_notice_nothing_of_a_new_server_certificate() {
    for whose in [Whose::Ours, Whose::Theirs] {
        let site = Site::with_alpha(whose);
        let said = site.qarbiter(&["certs", "renew", "server"]).ok().stdout;
        assert!(said.contains("number 104"), "{said}");
        assert_eq!(shown_by_node(&site.sandbox, &site.db(), "Alpha"), Ok(103));
        let shown = site.qarbiter(&["certs", "show", "server"]).ok().stdout;
        assert!(shown.contains("Number:      104"), "{shown}");
    }
}

#[test]
fn a_revoked_certificate_is_refused_and_joining_again_helps() {
    for whose in [Whose::Ours, Whose::Theirs] {
        let site = Site::with_alpha(whose);
        let shown = || shown_by_node(&site.sandbox, &site.db(), "Alpha");
        let said = site.qarbiter(&["certs", "revoke", "Alpha"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.stdout.contains("loses this arbiter's vote"),
            "{said:?}"
        );
        assert!(said.stderr.contains("--yes"), "{said:?}");
        assert_eq!(shown(), Ok(103), "nothing was changed");

        site.qarbiter(&["certs", "revoke", "Alpha", "--yes"]).ok();
        assert_eq!(shown(), Err(TlsError::CertificateRevoked));
        let refused = site.qarbiter(&["certs", "renew", "Alpha"]);
        assert_eq!(refused.code, 1, "{refused:?}");

        // As `pvecm qdevice setup --force` does it: an empty database, a new key.
        fs::remove_dir_all(site.sandbox.outside(NODE_DB)).unwrap();
        let request = site.sandbox.node_request("Alpha");
        site.sandbox
            .certutil(&["-s", "-c", &request, "-n", "Alpha"])
            .ok();
        site.sandbox
            .run(NODE_CERTUTIL, &["-M", "-c", &site.alpha()])
            .ok();
        assert_eq!(shown(), Ok(104));
    }
}

#[test]
fn revoking_all_but_the_newest_spares_the_nodes_that_have_it() {
    let site = Site::with_alpha(Whose::Ours);
    site.qarbiter(&["certs", "renew", "Alpha"]).ok();
    let revoke = ["certs", "revoke", "Alpha", "--keep-newest", "--yes"];
    let said = site.qarbiter(&revoke).ok().stdout;
    assert!(
        said.contains("number 103") && !said.contains("number 104"),
        "{said}"
    );
    let expected = states(&[("103", "revoked"), ("104", "valid")]);
    assert_eq!(site.states("Alpha"), expected);
    let shown = || shown_by_node(&site.sandbox, &site.db(), "Alpha");
    assert_eq!(shown(), Err(TlsError::CertificateRevoked));
    site.sandbox
        .run(NODE_CERTUTIL, &["-M", "-c", &site.alpha()])
        .ok();
    assert_eq!(shown(), Ok(104));
    // A mistake can be taken back.
    let undo = [
        "certs", "revoke", "Alpha", "--undo", "--serial", "103", "--yes",
    ];
    site.qarbiter(&undo).ok();
    let expected = states(&[("103", "superseded"), ("104", "valid")]);
    assert_eq!(site.states("Alpha"), expected);
}
