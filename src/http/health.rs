//! Whether the arbiter serves, and whether it is ready to.

use crate::journal;
use crate::net::live::TlsState;
use crate::net::server::{Full, Shared};
use crate::pki::expiry;
use crate::pki::facts::{Facts, Moment};
use crate::pki::inventory::Role;
use crate::proto::v1::{Check, Health};
use crate::telemetry::history;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// How long each thing may take that is looked at.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process serves: votes make progress.
pub async fn live(votes: &Handle) -> Health {
    health(vec![votes_run(votes).await])
}

/// Whether everything is there that nodes and operators need.
pub async fn ready(shared: &Shared, votes: &Handle) -> Health {
    health(vec![
        votes_run(votes).await,
        port(shared).await,
        certificates(shared),
        journal(shared),
        history(shared),
        control_socket(shared).await,
    ])
}

fn health(checks: Vec<Check>) -> Health {
    Health {
        ok: checks.iter().all(|check| check.ok),
        checks,
    }
}

fn check(name: &str, found: Result<String, String>) -> Check {
    let ok = found.is_ok();
    let (Ok(detail) | Err(detail)) = found;
    Check {
        name: name.to_owned(),
        ok,
        detail,
    }
}

async fn votes_run(votes: &Handle) -> Check {
    let begin = Instant::now();
    let ran = timeout(PATIENCE, votes.spawn(async {})).await;
    let found = match ran {
        Ok(Ok(())) => Ok(format!(
            "the threads that serve votes answer within {} ms",
            begin.elapsed().as_millis().max(1)
        )),
        Ok(Err(_)) => Err("the arbiter is going down".to_owned()),
        Err(_) => Err(format!(
            "the threads that serve votes have done nothing for {} s; restart the arbiter and \
             report this",
            PATIENCE.as_secs()
        )),
    };
    check("votes", found)
}

/// Connects as a node would, and waits until the connection is taken.
async fn port(shared: &Shared) -> Check {
    check("vote_port", connect(shared).await)
}

async fn connect(shared: &Shared) -> Result<String, String> {
    let address = shared
        .address()
        .ok_or("the port is not open: the arbiter is starting or going down")?;
    // One that is refused would be counted, logged and alerted on as if a node had been.
    if let Some(full) = shared.full(&shared.live().settings) {
        return Err(words(full));
    }
    let targets = reachable(address);
    let accepted = &shared.hub.observer().metrics.accepted;
    let before = accepted.get();
    let attempt = timeout(PATIENCE, TcpStream::connect(&*targets)).await;
    let _connection = attempt
        .map_err(|_| format!("no connection to {address} within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("no connection to {address}: {error}"))?;
    let taken = async {
        while accepted.get() == before {
            sleep(Duration::from_millis(2)).await;
        }
    };
    match timeout(PATIENCE, taken).await {
        Ok(()) => Ok(format!("connections to {address} are taken")),
        Err(_) => Err(format!(
            "connections to {address} are not taken within {} s",
            PATIENCE.as_secs()
        )),
    }
}

fn words(full: Full) -> String {
    match full {
        Full::Clients(most) => format!(
            "full: {most} of {most} connections, and no other is taken; raise \
             listen.max_clients (-m)"
        ),
        Full::Pending(pending) => format!(
            "full: {pending} connections have not introduced themselves, and no other is taken; \
             close the port to everybody but the nodes, or raise limits.max_pending_clients"
        ),
    }
}

/// Where this machine itself reaches an address that is listened on, the likelier one first.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let v4 = Ipv4Addr::LOCALHOST.into();
    let ips = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        // Usually both families; and in most containers `::` can be listened on, but `::1` is not there.
        IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), v4],
        ip => vec![ip],
    };
    let with_port = ips
        .into_iter()
        .map(|ip| SocketAddr::new(ip, address.port()));
    with_port.collect()
}

fn certificates(shared: &Shared) -> Check {
    let live = shared.live();
    let found = match &live.tls {
        TlsState::Off => Ok("TLS is off by setting".to_owned()),
        TlsState::Waiting => Err(format!(
            "there are no certificates in {} yet; make them with `corosync-qnetd-certutil -i`",
            live.settings.identity_dir.display()
        )),
        TlsState::Ready { certificates, .. } => loaded(certificates),
    };
    check("certificates", found)
}

/// Their end is never a reason not to be ready: nodes go on without looking at it
/// ([`crate::pki::expiry`]). The CA's is not even worth a warning.
fn loaded(chain: &[CertificateDer<'_>]) -> Result<String, String> {
    let unreadable = || "the server's certificate can't be read".to_owned();
    let server = chain.first().ok_or_else(unreadable)?;
    let facts = Facts::of(server).map_err(|_| unreadable())?;
    let now = Moment::from(SystemTime::now());
    Ok(match expiry::warning(Role::Server, &facts, now, 0) {
        Some(ended) => format!("warning: {ended}"),
        None => format!(
            "loaded; the server's certificate is valid for {} days",
            now.days_until(facts.not_after)
        ),
    })
}

fn journal(shared: &Shared) -> Check {
    let found = match shared.hub.journal_health() {
        Some(journal::Health::Good) => Ok("what must survive a restart is written down".to_owned()),
        Some(journal::Health::Failing(why)) => Err(format!(
            "it can't be written, so votes stay where they are: {why}"
        )),
        None => Ok("there is none: a restart forgets who holds a vote".to_owned()),
    };
    check("journal", found)
}

/// Never a reason not to be ready: no vote depends on it.
fn history(shared: &Shared) -> Check {
    let detail = match shared.history.health() {
        Some(history::Health::Good) => "what happens is written down".to_owned(),
        Some(history::Health::Damaged(what)) => format!("warning: a part of it is lost: {what}"),
        Some(history::Health::Failing(why)) => {
            format!("warning: it is kept in memory only: {why}")
        }
        None => "it is kept in memory only".to_owned(),
    };
    check("history", Ok(detail))
}

async fn control_socket(shared: &Shared) -> Check {
    let path = shared.live().settings.socket.clone();
    let found = match timeout(PATIENCE, UnixStream::connect(&path)).await {
        Ok(Ok(_)) => Ok(format!("{} answers", path.display())),
        Ok(Err(error)) => Err(format!("{} does not answer: {error}", path.display())),
        Err(_) => Err(format!("{} does not answer", path.display())),
    };
    check("control_socket", found)
}
