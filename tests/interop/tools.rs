//! What a machine needs before any of this can run, checked once and reported by package name.

use std::path::Path;

use crate::server::Flavour;

/// Programs and the Debian package that each comes from.
const TOOLS: &[(&str, &str)] = &[
    ("/usr/sbin/corosync", "corosync"),
    ("/usr/sbin/corosync-quorumtool", "corosync"),
    ("/usr/sbin/corosync-qdevice", "corosync-qdevice"),
    ("/usr/sbin/corosync-qdevice-tool", "corosync-qdevice"),
    (
        "/usr/sbin/corosync-qdevice-net-certutil",
        "corosync-qdevice",
    ),
    ("/usr/bin/certutil", "libnss3-tools"),
    ("/usr/bin/pk12util", "libnss3-tools"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/sbin/ip", "iproute2"),
];

/// What only the reference server needs.
const REFERENCE_TOOLS: &[(&str, &str)] = &[
    ("/usr/bin/corosync-qnetd", "corosync-qnetd"),
    ("/usr/bin/corosync-qnetd-certutil", "corosync-qnetd"),
];

/// Panics with the list of missing packages, or because the test doesn't run as root.
pub(crate) fn require(flavour: Flavour) {
    let reference: &[_] = match flavour {
        Flavour::Theirs => REFERENCE_TOOLS,
        Flavour::Ours => &[],
    };
    let missing: Vec<_> = TOOLS
        .iter()
        .chain(reference)
        .filter(|(program, _)| !installed(program))
        .collect();
    if !missing.is_empty() {
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        panic!(
            "these programs are missing: {}. Install them with: apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    assert!(
        root,
        "the interop tests make network namespaces: run them as root"
    );
}

/// Debian is merging /usr/sbin into /usr/bin, so both places count.
fn installed(program: &str) -> bool {
    let name = Path::new(program).file_name().unwrap();
    Path::new("/usr/sbin").join(name).exists() || Path::new("/usr/bin").join(name).exists()
}
