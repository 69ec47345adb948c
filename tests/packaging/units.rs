//! The systemd units, as far as they can be judged without running them.

use super::{file, silent};
use std::process::Command;

#[test]
fn units_have_no_mistakes() {
    let (service, socket) = (
        file("deploy/systemd/corosync-qnetd.service"),
        file("deploy/systemd/corosync-qnetd.socket"),
    );
    let paths = [&service, &socket].map(|path| path.to_str().unwrap());
    silent(
        "systemd-analyze",
        &["verify", "--man=no", paths[0], paths[1]],
    );
}

#[test]
fn the_service_is_exposed_by_1_5_at_most() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", "--threshold=15"])
        .arg(file("deploy/systemd/corosync-qnetd.service"))
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("Overall exposure level"), "{table}");
    assert!(output.status.success(), "{table}");
}
