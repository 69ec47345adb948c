//! How a renewed certificate gets to a cluster's nodes, which cannot fetch it by themselves.

use std::path::Path;

use crate::pki::expiry::quoted;
use crate::pki::facts::Moment;
use crate::pki::inventory::{Known, State};

/// What to do on the nodes. Every node has the key, so that every one can take the new
/// certificate by itself; NSS shows the newest of several for a key.
pub(super) fn steps(file: &Path, name: &str) -> String {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let there = quoted(&format!("/root/{file_name}"));
    format!(
        "On this machine, for every node of the cluster:\n  \
         scp {} root@NODE:{there}\n\
         On every node, one after the other:\n  \
         corosync-qdevice-net-certutil -M -c {there}\n  \
         systemctl restart corosync-qdevice\n\
         Then `qarbiter certs list` shows within an hour or two that the new one was seen. When \
         no node shows the former one any more, it can be revoked:\n  \
         qarbiter certs revoke {} --keep-newest --reason superseded",
        quoted(&file.to_string_lossy()),
        quoted(name)
    )
}

/// The steps, if nodes still show a certificate that has been replaced by one that is here.
pub(super) fn outstanding(certificates: &[&Known], now: Moment) -> Option<String> {
    let lagging = certificates
        .iter()
        .find(|known| matches!(known.state, State::Superseded) && known.is_in_use(now))?;
    let newest = certificates.last()?;
    let file = newest.file.as_ref()?;
    Some(format!(
        "Nodes still show number {}. If they were not given number {} yet:\n{}",
        lagging.facts.serial,
        newest.facts.serial,
        steps(file, &newest.facts.name)
    ))
}

/// Whether two certificates are for the same key, as far as both are here.
pub(super) fn same_key(one: &Known, other: &Known) -> bool {
    let keys = [one, other].map(|known| {
        let der = known.der.as_ref()?;
        crate::pki::facts::public_key(der).ok()
    });
    matches!(keys, [Some(one), Some(other)] if one == other)
}
