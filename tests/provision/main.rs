//! Provisioning: what cluster tools do to an arbiter, done to ours by the tools themselves.
//!
//! Every test has machines of its own, made of namespaces: a private network, process tree, `/etc`, `/usr/bin`, `/root`,
//! `/tmp` and `/run`. On the arbiter, `/usr/bin/corosync-qnetd`, `-tool` and `-certutil` are links to the binary under
//! test. Real are ssh with its server, scp, sftp and ssh-copy-id, corosync, corosync-qdevice and its tools, NSS's
//! `certutil`, pcs, crmsh, the resource agent and `killall`. Stand-ins are `systemctl` (`systemctl.py`, which does what
//! Debian's own unit files say) and the person who types a password (`askpass.sh`).
//!
//! Needs root and the Debian packages corosync, corosync-qdevice, corosync-qnetd, libnss3-tools, openssl, iproute2,
//! util-linux, openssh-server, openssh-client, psmisc, python3, pcs, crmsh and resource-agents. A missing one fails the tests.

// A test may fail by any panic; the exceptions in clippy.toml do not reach the helpers of a test target.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bad_input;
mod cluster;
mod crmsh;
mod machine;
#[allow(dead_code, reason = "the interop tests use all of it")]
#[path = "../interop/namespace.rs"]
mod namespace;
mod net_certutil;
mod ocf;
mod pcs;
mod pvecm;
mod requests;
mod ssh;
mod takeover;
mod traps;
