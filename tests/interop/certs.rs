//! The nodes' side of provisioning, with the nodes' own tools (provisioning spec, 1.4).

use std::path::Path;
use std::process::Command;

use crate::namespace::Namespace;

/// The node's certificate database; the node's tools are built for it.
const DATABASE: &str = "/etc/corosync/qdevice/net/nssdb";
const CERTUTIL: &str = "corosync-qdevice-net-certutil";

/// Gives a node its database with the server's CA in it, and nothing else.
pub(crate) fn trust(node: &Namespace, ca: &[u8]) {
    std::fs::write(node.path("/run/qnetd-cacert.crt"), ca).unwrap();
    node.run(&["mkdir", "-p", "/etc/corosync/qdevice/net"]);
    node.run(&[CERTUTIL, "-i", "-c", "/run/qnetd-cacert.crt"]);
}

/// Makes the cluster's key on this node; returns the request for its certificate.
pub(crate) fn request(node: &Namespace, cluster: &str) -> Vec<u8> {
    node.run(&[CERTUTIL, "-r", "-n", cluster]);
    std::fs::read(node.path(&format!("{DATABASE}/qdevice-net-node.crq"))).unwrap()
}

/// Puts the signed certificate beside the key; returns the PKCS#12 file for the other nodes.
pub(crate) fn complete(node: &Namespace, certificate: &[u8]) -> Vec<u8> {
    std::fs::write(node.path("/run/cluster.crt"), certificate).unwrap();
    node.run(&[CERTUTIL, "-M", "-c", "/run/cluster.crt"]);
    std::fs::read(node.path(&format!("{DATABASE}/qdevice-net-node.p12"))).unwrap()
}

/// Imports key and certificate that were made elsewhere.
pub(crate) fn import(node: &Namespace, pkcs12: &[u8]) {
    std::fs::write(node.path("/run/node.p12"), pkcs12).unwrap();
    node.run(&[CERTUTIL, "-m", "-c", "/run/node.p12"]);
    let listing = node.run(&["certutil", "-L", "-d", DATABASE]);
    assert!(
        listing.contains("Cluster Cert"),
        "{}: the certificate was not imported:\n{listing}",
        node.name()
    );
}

/// Makes a key and a certificate for `CN=cluster` from a CA that looks like the server's but has another key.
///
/// Its serial numbers are its own. With the serial numbers of a stock CA, NSS on the node would refuse the import
/// (issuer and serial number already known), and the server would never be asked.
pub(crate) fn foreign_pkcs12(scratch: &Path, cluster: &str) -> Vec<u8> {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(scratch)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=QNet CA",
        "-set_serial",
        "770001",
        "-keyout",
        "foreign-ca.key",
        "-out",
        "foreign-ca.crt",
    ]);
    let subject = format!("/CN={cluster}");
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        &subject,
        "-keyout",
        "foreign.key",
        "-out",
        "foreign.csr",
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        "foreign.csr",
        "-CA",
        "foreign-ca.crt",
        "-CAkey",
        "foreign-ca.key",
        "-set_serial",
        "770002",
        "-days",
        "30",
        "-out",
        "foreign.crt",
    ]);
    openssl(&[
        "pkcs12",
        "-export",
        "-inkey",
        "foreign.key",
        "-in",
        "foreign.crt",
        "-name",
        "Cluster Cert",
        "-passout",
        "pass:",
        "-out",
        "foreign.p12",
    ]);
    std::fs::read(scratch.join("foreign.p12")).unwrap()
}
