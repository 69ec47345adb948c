//! Ssh between machines: servers with a password, keys, and the person who types the password.

use crate::machine::{Machine, Outcome, until};

/// Prepends what a person at a terminal would answer. Without a terminal, ssh asks the program for everything, also
/// whether it knows the host.
const PERSON: [&str; 6] = [
    "env",
    "HOME=/root",
    "DISPLAY=:0",
    "SSH_ASKPASS=/run/askpass",
    "SSH_ASKPASS_REQUIRE=force",
    "setsid",
];

/// Starts Debian's sshd with Debian's configuration, and root's login with a password allowed, as `pvecm` needs it.
pub(crate) fn serve(machine: &Machine) {
    machine.write("/etc/ssh/sshd_config.d/root.conf", "PermitRootLogin yes\n");
    machine.sh("rm -f /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key");
    machine.sh("echo root:arbiter-password | chpasswd");
    machine.start("sshd", &["/usr/sbin/sshd", "-D", "-e"]);
    until("sshd listens", || {
        let sockets = machine.run(&["ss", "-ltn", "sport = :22"]);
        sockets.contains("LISTEN")
    });
}

/// Makes root's RSA key, as Proxmox VE does it.
pub(crate) fn key(machine: &Machine) {
    machine.sh("mkdir -m 700 -p /root/.ssh");
    machine.sh("ssh-keygen -q -t rsa -b 2048 -N '' -f /root/.ssh/id_rsa");
    machine.write_program("/run/askpass", include_str!("askpass.sh"));
}

/// Lets root of one machine in on another one and makes the host known, as in a cluster that exists already.
pub(crate) fn introduce(from: &Machine, to: &Machine) {
    let key = from.read("/root/.ssh/id_rsa.pub");
    let key = String::from_utf8(key).unwrap();
    to.sh(&format!(
        "umask 077; mkdir -p /root/.ssh; echo '{}' >> /root/.ssh/authorized_keys",
        key.trim()
    ));
    let scan = "umask 077; mkdir -p /root/.ssh; ssh-keyscan -t ed25519";
    from.sh(&format!(
        "{scan} {} >> /root/.ssh/known_hosts 2>/dev/null",
        to.address
    ));
}

/// Runs a command for which somebody is there to answer its questions.
pub(crate) fn with_person(machine: &Machine, command: &[&str]) -> Outcome {
    machine.outcome(&[&PERSON, command].concat())
}
