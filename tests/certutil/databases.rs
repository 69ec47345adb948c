//! One database, used by the reference's programs and by ours in turn.

use std::fs;

use qarbiter::pki::{Profile, ServerNickname, Store};

use crate::sandbox::{Outcome, Sandbox, Whose};

pub(crate) const DB: &str = "/etc/corosync/qnetd/nssdb";
pub(crate) const PASSWORD: &str = "/etc/corosync/qnetd/nssdb/pwdfile.txt";
pub(crate) const CA: &str = "QNet CA";
pub(crate) const SERVER: &str = "QNetd Cert";

/// Runs NSS's own tool on the server's database.
pub(crate) fn nss(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let database = ["-d", DB, "-f", PASSWORD];
    sandbox.run("certutil", &[arguments, &database].concat())
}

/// Signs with one of the programs, and demands a certificate of the CA with this number.
pub(crate) fn sign(sandbox: &Sandbox, whose: Whose, name: &str, serial: &str) {
    let subject = format!("/CN={name}");
    let arguments = ["-newkey", "rsa:2048", "-outform", "DER", "-subj", &subject];
    let request = sandbox.openssl_request(name, &arguments);
    let outcome = sandbox.certutil_of(whose, &["-s", "-c", &request, "-n", name]);
    assert_eq!(outcome.code, 0, "{whose:?}: {outcome:#?}");
    let path = format!("{DB}/cluster-{name}.crt");
    let show = ["x509", "-inform", "DER", "-noout", "-serial", "-in", &path];
    let shown = sandbox.run("openssl", &show).ok().stdout;
    assert_eq!(shown, format!("serial={serial}\n"), "{whose:?}");
    let ca = format!("{DB}/qnetd-cacert.crt");
    sandbox
        .run("openssl", &["verify", "-CAfile", &ca, &path])
        .ok();
}

/// Demands that our reading of a key is what NSS exports.
fn assert_same_key(sandbox: &Sandbox, nickname: &str, ours: &[u8]) {
    let bundle = "/etc/corosync/key.p12";
    let export = [
        "-o", bundle, "-d", DB, "-n", nickname, "-k", PASSWORD, "-W", "",
    ];
    sandbox.run("pk12util", &export).ok();
    let unpack = format!(
        "openssl pkcs12 -in {bundle} -nocerts -nodes -passin pass: | \
         openssl pkcs8 -topk8 -nocrypt -outform DER -out /etc/corosync/key.der"
    );
    sandbox.run("sh", &["-c", &unpack]).ok();
    let theirs = fs::read(sandbox.outside("/etc/corosync/key.der")).unwrap();
    assert!(theirs == ours, "the keys of {nickname} differ");
}

/// Demands that both keys and certificates are read as NSS reads them.
pub(crate) fn assert_same_identity(sandbox: &Sandbox) {
    let store = Store::open(&sandbox.db()).unwrap();
    for (nickname, keyed) in [
        (CA, store.authority().unwrap()),
        (SERVER, store.server().clone()),
    ] {
        let file = "/etc/corosync/certificate.der";
        nss(sandbox, &["-L", "-n", nickname, "-r", "-o", file]).ok();
        let theirs = fs::read(sandbox.outside(file)).unwrap();
        assert!(theirs == keyed.certificate.as_ref(), "{nickname}");
        assert_same_key(sandbox, nickname, keyed.key.secret_pkcs8_der());
    }
}

/// Demands what the reference's daemon needs: trust and keys.
pub(crate) fn assert_complete(sandbox: &Sandbox) {
    let list = nss(sandbox, &["-L"]).ok().stdout;
    let trust = |nickname: &str| {
        let line = list.lines().find(|line| line.starts_with(nickname));
        line.and_then(|line| line.split_whitespace().last())
    };
    assert_eq!(trust(CA), Some("CTu,u,u"), "{list}");
    assert_eq!(trust(SERVER), Some("u,u,u"), "{list}");
    let keys = nss(sandbox, &["-K"]).ok().stdout;
    for nickname in [CA, SERVER] {
        assert!(keys.contains(&format!("DB:{nickname}\n")), "{keys}");
    }
    for (nickname, usage) in [(CA, "L"), (SERVER, "V")] {
        let outcome = nss(sandbox, &["-V", "-n", nickname, "-u", usage, "-e"]);
        assert_eq!(outcome.stdout, "certutil: certificate is valid\n");
    }
}

/// Demands that the reference's daemon starts and stays.
pub(crate) fn assert_daemon_starts(sandbox: &Sandbox) {
    let start = "ip link set lo up
        mount -t tmpfs none /run
        mkdir -p /run/corosync-qnetd
        timeout 1 corosync-qnetd -f -d";
    let arguments = ["--net", "--pid", "--fork", "sh", "-euc", start];
    let outcome = sandbox.run("unshare", &arguments);
    // 124: it was still running when its time was over.
    assert_eq!(outcome.code, 124, "{outcome:#?}");
    assert!(outcome.stderr.contains("Listening"), "{outcome:#?}");
}

#[test]
fn what_the_reference_made_is_ours() {
    let sandbox = Sandbox::new(Whose::Theirs);
    sandbox.certutil(&["-i"]).ok();
    assert_same_identity(&sandbox);
    let again = sandbox.certutil_of(Whose::Ours, &["-i"]);
    assert!(again.stderr.contains("already exists"), "{again:?}");
    sign(&sandbox, Whose::Theirs, "Alpha", "67");
    sign(&sandbox, Whose::Ours, "Beta", "68");
    sign(&sandbox, Whose::Theirs, "Gamma", "69");
    // The number's file is lost, and the certificates beside it are known still.
    fs::remove_file(sandbox.db().join("serial.txt")).unwrap();
    sign(&sandbox, Whose::Ours, "Delta", "277A");
    sign(&sandbox, Whose::Theirs, "Epsilon", "277B");
    assert_same_identity(&sandbox);
    assert_complete(&sandbox);
}

#[test]
fn what_we_made_is_the_reference_s() {
    for kind in ["p256", "rsa2048"] {
        let sandbox = Sandbox::new(Whose::Ours);
        sandbox.initialize_ours(kind).ok();
        assert_complete(&sandbox);
        assert_same_identity(&sandbox);
        sign(&sandbox, Whose::Theirs, "Alpha", "67");
        sign(&sandbox, Whose::Ours, "Beta", "68");
        assert_daemon_starts(&sandbox);
    }
}

#[test]
fn a_renewed_server_certificate_is_good_for_both() {
    let sandbox = Sandbox::new(Whose::Theirs);
    sandbox.certutil(&["-i"]).ok();
    // Something of the administrator's.
    sign(&sandbox, Whose::Theirs, "Alpha", "67");
    let other = format!("{DB}/cluster-Alpha.crt");
    nss(&sandbox, &["-A", "-n", "Kept", "-t", "P,,", "-i", &other]).ok();
    let before = Store::open(&sandbox.db()).unwrap();
    let nickname = ServerNickname::default();
    let now = std::time::SystemTime::now();
    Store::renew_server(&sandbox.db(), &nickname, Profile::default(), now).unwrap();
    let after = Store::open(&sandbox.db()).unwrap();
    assert_eq!(after.identity().ca, before.identity().ca);
    assert_ne!(after.server().certificate, before.server().certificate);
    assert_complete(&sandbox);
    assert_same_identity(&sandbox);
    let keys = nss(&sandbox, &["-K"]).ok().stdout;
    assert_eq!(keys.lines().count(), 3, "a title and two keys: {keys}");
    let list = nss(&sandbox, &["-L"]).ok().stdout;
    let kept = list.lines().find(|line| line.starts_with("Kept"));
    assert!(kept.is_some_and(|line| line.ends_with("P,,  ")), "{list}");
    sign(&sandbox, Whose::Theirs, "Beta", "69");
    assert_daemon_starts(&sandbox);
}
