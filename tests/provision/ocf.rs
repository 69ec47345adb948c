//! The resource agent `ocf:heartbeat:corosync-qnetd` of the package resource-agents (provisioning spec 1.6).

use crate::machine::{DB, Machine, Outcome, Site};

const AGENT: &str = "/usr/lib/ocf/resource.d/heartbeat/corosync-qnetd";
const PID: &str = "/var/run/corosync-qnetd/corosync-qnetd-vote.pid";

fn agent(machine: &Machine, parameters: &[&str], action: &str) -> Outcome {
    let environment = [
        "env",
        "OCF_ROOT=/usr/lib/ocf",
        "OCF_RESOURCE_INSTANCE=vote",
        "OCF_RESOURCE_TYPE=corosync-qnetd",
        "HA_LOGTAG=agent",
    ];
    let command = [&environment[..], parameters, &[AGENT, action]].concat();
    machine.outcome(&command)
}

const RUNNING: i32 = 0;
const NOT_RUNNING: i32 = 7;

fn life(machine: &Machine, parameters: &[&str], tool: &[&str]) {
    let call = |action: &str| agent(machine, parameters, action);
    call("validate-all").ok();
    assert_eq!(call("monitor").code, NOT_RUNNING);
    call("start").ok();
    assert_eq!(call("monitor").code, RUNNING);
    assert_eq!(call("status").code, RUNNING);
    let pid = machine.run(&["cat", PID]);
    let process = format!("/proc/{}", pid.trim());
    assert_eq!(
        machine.run(&["cat", &format!("{process}/comm")]),
        "corosync-qnetd\n"
    );
    assert_eq!(machine.run(&["stat", "-c", "%U", &process]), "coroqnetd\n");
    machine.run(tool);
    // Started again it stays as it is.
    call("start").ok();
    assert_eq!(machine.run(&["cat", PID]), pid);
    call("stop").ok();
    assert_eq!(call("monitor").code, NOT_RUNNING);
    call("stop").ok();
    // It leaves nothing that the next start could trip over.
    call("start").ok();
    machine.run(&["kill", "-KILL", machine.run(&["cat", PID]).trim()]);
    assert_eq!(call("monitor").code, NOT_RUNNING);
    call("start").ok();
    assert_eq!(call("monitor").code, RUNNING);
    call("stop").ok();
}

#[test]
fn the_agent_starts_watches_and_stops_it() {
    let site = Site::new();
    let machine = site.machine("arbiter");
    machine.initialize();
    let socket = "/var/run/corosync-qnetd/corosync-qnetd-vote.sock";
    life(&machine, &[], &["corosync-qnetd-tool", "-s", "-p", socket]);
}

#[test]
fn the_agent_with_every_parameter_set() {
    let site = Site::new();
    let machine = site.machine("arbiter");
    machine.initialize();
    // The directory is copied to every host of the resource.
    machine.sh(&format!(
        "mkdir -p /tmp/shared; cp -a {DB} /tmp/shared/; rm -r {DB}"
    ));
    let address = format!("OCF_RESKEY_ip={}", machine.address);
    let parameters = [
        "OCF_RESKEY_nss_db_dir=/tmp/shared/nssdb",
        "OCF_RESKEY_port=5499",
        "OCF_RESKEY_qnetd_opts=-4 -m 100",
        "OCF_RESKEY_ipc_sock=/run/elsewhere/socket",
        &address,
    ];
    let tool = [
        "corosync-qnetd-tool",
        "-s",
        "-v",
        "-p",
        "/run/elsewhere/socket",
    ];
    life(&machine, &parameters, &tool);
}
