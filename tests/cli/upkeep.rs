//! What changes while the arbiter runs: certificates appear or change, settings are read again.
//! No connection ends by it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use qarbiter::client::Node;
use qarbiter::engine::Verdict;

use crate::lab::{Lab, Running, run};
use crate::nodes::{Cluster, in_time};

/// Makes an identity as the cluster tools do.
fn initialize(lab: &Lab) {
    let mut certutil = Command::new(lab.named("corosync-qnetd-certutil"));
    let made = run(certutil.arg("-i").env("QARBITER_STATE_DIR", lab.state()));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
}

fn hang_up(arbiter: &Running) {
    let pid = Pid::from_raw(i32::try_from(arbiter.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

async fn has_its_vote(cluster: &Cluster) -> Vec<Node> {
    let mut nodes = cluster.whole().await;
    for node in &mut nodes {
        assert_eq!(in_time(node.vote()).await.unwrap(), Verdict::Ack);
    }
    nodes
}

/// Provisioning spec, trap T14.
#[tokio::test]
async fn certificates_that_appear_are_used_without_a_restart() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]));
    arbiter.logged(&["there are no certificates in"]);
    // The tools must be able to talk to it already.
    let mut tool = Command::new(lab.named("corosync-qnetd-tool"));
    assert_eq!(
        run(tool.arg("-sp").arg(lab.socket())).code,
        Some(0),
        "the control socket answers"
    );
    initialize(&lab);
    arbiter.logged(&["new certificates in", "are in use"]);
    let cluster = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    has_its_vote(&cluster).await;
}

#[tokio::test]
async fn a_new_identity_is_taken_up_and_connections_stay() {
    let lab = Lab::new();
    initialize(&lab);
    let arbiter = lab.start(&lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]));
    let old = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = has_its_vote(&old).await;

    std::fs::remove_dir_all(lab.state()).unwrap();
    arbiter.logged(&["are gone; going on with those in memory"]);
    initialize(&lab);
    arbiter.logged(&["new certificates in", "are in use"]);

    let new = Cluster::new(arbiter.address, "Beta", &[1, 2]).with_certificates(&lab.state());
    has_its_vote(&new).await;
    for node in &mut nodes {
        in_time(node.heartbeat()).await.unwrap();
    }
}

#[tokio::test]
async fn damaged_certificates_are_reported_and_the_former_ones_stay() {
    let lab = Lab::new();
    initialize(&lab);
    let arbiter = lab.start(&lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]));
    let cluster = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let whole = identity_file(&lab.state());
    let good = std::fs::read(&whole).unwrap();
    std::fs::write(&whole, &good[..good.len() / 2]).unwrap();
    arbiter.logged(&["error", "the certificates were changed and can't be used"]);
    has_its_vote(&cluster).await;
    std::fs::write(&whole, &good).unwrap();
    arbiter.logged(&["new certificates in", "are in use"]);
    has_its_vote(&cluster).await;
}

fn identity_file(dir: &Path) -> std::path::PathBuf {
    dir.join("cert9.db")
}

#[tokio::test]
async fn a_hangup_drops_no_connection() {
    let lab = Lab::new();
    initialize(&lab);
    let arbiter = lab.start(&lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]));
    let cluster = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = has_its_vote(&cluster).await;
    for _ in 0..3 {
        hang_up(&arbiter);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    arbiter.logged(&["reload: settings and certificates were read again"]);
    for node in &mut nodes {
        in_time(node.heartbeat()).await.unwrap();
    }
    assert!(!arbiter.log().contains(" left: "), "{}", arbiter.log());
}

#[tokio::test]
async fn a_hangup_changes_settings_and_names_those_that_need_a_restart() {
    let lab = Lab::new();
    initialize(&lab);
    let file = lab.path("qarbiter.toml");
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    let mut command = lab.qnetd(&lab.named("corosync-qnetd"), &["-f"]);
    let arbiter = lab.start(command.env("QARBITER_CONFIG", &file));
    let cluster = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let mut nodes = has_its_vote(&cluster).await;

    let settings = "[log]\nlevel = \"debug\"\n\
                    [listen]\nmax_clients = 2\nbacklog = 7\n\
                    [votes]\nlost_holder = \"manual\"\n";
    std::fs::write(&file, settings).unwrap();
    hang_up(&arbiter);
    arbiter.logged(&["info", "reload: listen.max_clients = 2, was 0"]);
    arbiter.logged(&["warn", "reload: listen.backlog = 7", "started again"]);
    arbiter.logged(&["warn", "cluster \"Alpha\" keeps its former rules"]);
    arbiter.logged(&["reload: settings and certificates were read again"]);
    for node in &mut nodes {
        in_time(node.heartbeat()).await.unwrap();
    }
    // There is no place for a third one.
    let third = tokio::net::TcpStream::connect(arbiter.address)
        .await
        .unwrap();
    arbiter.logged(&["Maximum clients reached"]);
    drop(third);

    std::fs::write(&file, "[listen]\nmax_client = 9\n").unwrap();
    hang_up(&arbiter);
    arbiter.logged(&[
        "error",
        "max_client",
        "max_clients",
        "the former settings stay",
    ]);
    drop(nodes);
}

fn certs(lab: &Lab, arguments: &[&str]) -> crate::lab::Outcome {
    let mut qarbiter = Command::new(crate::lab::QARBITER);
    let state = lab.state();
    run(qarbiter
        .arg("certs")
        .args(arguments)
        .arg("--state-dir")
        .arg(state))
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_connections_and_opens_no_new_one() {
    let lab = Lab::new();
    let arbiter = lab.start(&lab.serve(&[]));
    let alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let beta = Cluster::new(arbiter.address, "Beta", &[1, 2]).with_certificates(&lab.state());
    let mut revoked = has_its_vote(&alpha).await;
    let mut others = has_its_vote(&beta).await;

    let done = certs(&lab, &["revoke", "Alpha", "--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    arbiter.logged(&[
        "warn",
        "2 connections ended because their certificate was revoked",
    ]);
    for node in &mut revoked {
        assert!(in_time(node.heartbeat()).await.is_err());
    }
    for node in &mut others {
        in_time(node.heartbeat()).await.unwrap();
    }
    let name = qarbiter::wire::ClusterName::new(b"Alpha");
    let again = qarbiter::client::Connection::open(arbiter.address, &name, alpha.tls.clone());
    let refused = match in_time(again).await {
        Err(_) => true,
        // With TLS 1.3 the client learns of it with the first answer.
        Ok(connection) => {
            let settings = alpha.settings(1, crate::nodes::ring(1, 9), &[1, 2]);
            in_time(Node::join(connection, settings)).await.is_err()
        }
    };
    assert!(refused, "a revoked certificate was accepted");
    arbiter.logged(&["revoked", "Alpha"]);

    // It is not missed, unlike a cluster that leaves by itself.
    drop(others);
    let begin = std::time::Instant::now();
    loop {
        let text = run(Command::new(crate::lab::QARBITER)
            .args(["status", "--json", "--state-dir"])
            .arg(lab.state()))
        .stdout;
        let status: qarbiter::ipc::json::Status = serde_json::from_str(&text).unwrap();
        if status.clusters.is_empty() {
            let gone: Vec<&str> = status
                .gone_clusters
                .iter()
                .map(|gone| &*gone.name)
                .collect();
            assert_eq!(gone, ["Beta"]);
            break;
        }
        assert!(begin.elapsed().as_secs() < 60, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    // Joining the cluster again gives it a new certificate, which is none of those.
    let alpha = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    has_its_vote(&alpha).await;
}

#[tokio::test]
async fn certificates_that_end_are_warned_about_and_seen_ones_are_remembered() {
    let lab = Lab::new();
    let file = lab.path("qarbiter.toml");
    std::fs::write(&file, "[certificates]\nwarn_days = 36500\n").unwrap();
    let mut command = lab.serve(&[]);
    let mut arbiter = lab.start(command.env("QARBITER_CONFIG", &file));
    arbiter.logged(&["warn", "server", "qarbiter certs renew server"]);
    let cluster = Cluster::new(arbiter.address, "Alpha", &[1, 2]).with_certificates(&lab.state());
    let nodes = has_its_vote(&cluster).await;
    arbiter.logged(&["warn", "Alpha", "qarbiter certs renew"]);
    let status = run(Command::new(crate::lab::QARBITER)
        .args(["status", "--state-dir"])
        .arg(lab.state()));
    assert!(
        status.stdout.contains("qarbiter certs renew server"),
        "{}",
        status.stdout
    );
    arbiter.end_with(Signal::TERM);
    drop(nodes);
    let list = certs(&lab, &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let seen = list.to_string();
    assert!(seen.contains("Alpha"), "{seen}");
}
