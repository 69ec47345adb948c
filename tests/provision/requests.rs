//! Certificate requests without a node, and what came of them.

use crate::machine::{DB, Machine, Outcome};

/// Makes a request in DER with openssl; its path.
pub(crate) fn make(machine: &Machine, name: &str) -> String {
    let path = format!("/root/{name}.crq");
    let subject = format!("/CN={name}");
    let new = [
        "openssl", "req", "-new", "-nodes", "-outform", "DER", "-newkey", "ec",
    ];
    let key = [
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-keyout",
        "/dev/null",
    ];
    machine.run(&[&new[..], &key, &["-utf8", "-subj", &subject, "-out", &path]].concat());
    path
}

/// Makes a request and has it signed.
pub(crate) fn sign(machine: &Machine, name: &str) -> Outcome {
    let request = make(machine, name);
    machine.outcome(&["corosync-qnetd-certutil", "-s", "-c", &request, "-n", name])
}

/// The serial number of a cluster's certificate, in hexadecimal.
pub(crate) fn serial(machine: &Machine, name: &str) -> String {
    let certificate = format!("{DB}/cluster-{name}.crt");
    let show = [
        "openssl", "x509", "-noout", "-serial", "-inform", "DER", "-in",
    ];
    let shown = machine.run(&[&show[..], &[&certificate]].concat());
    shown.trim_end().trim_start_matches("serial=").to_owned()
}
