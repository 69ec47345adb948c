//! Load generator: measures a running qnetd, ours or the reference, against the budgets of the
//! project.
//!
//! `cargo bench --bench load -- --help` says what it can do. Without arguments it starts the
//! `qarbiter` of this build with an identity of its own and 1,000 TLS clients with certificates.
//! `cargo test --bench load` does the same with 20 clients, to prove that it works.
//!
//! Clients are a stock node's equal on the wire, two per cluster, all in one thread: on a machine
//! of two cores the server has the other. What the generator itself needs is shown beside the
//! figures, because a storm can't be faster than whoever makes it.
//!
//! Needs Linux (/proc), `openssl` for RSA keys, root, `unshare` and `setpriv`, and `pk12util`
//! (libnss3-tools) for servers that it starts.

mod certificates;
mod clusters;
mod figures;
mod process;
mod scrape;
mod server;

use clap::{Parser, ValueEnum};
use clusters::{Fleet, Site};
use figures::{Figure, Report};
use process::Usage;
use qarbiter::wire::ClusterName;
use server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures a qnetd under the load of many two-node clusters.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// Numbers of connections, each a run of its own; even.
    #[arg(long, value_delimiter = ',', value_name = "N,..")]
    connections: Vec<usize>,

    /// The server program to start: qarbiter, or corosync-qnetd.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_qarbiter"), value_name = "PATH")]
    server: PathBuf,

    /// More arguments for the started server.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    server_argument: Vec<String>,

    /// Measure a server that runs already.
    #[arg(long, requires = "pid", value_name = "HOST:PORT")]
    address: Option<SocketAddr>,

    /// Process id of that server.
    #[arg(long, requires = "address")]
    pid: Option<u32>,

    /// Its CA, certificate and key in PEM, to make client certificates; without it, clear text.
    #[arg(long, requires = "address", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Use no TLS with the started server.
    #[arg(long, conflicts_with = "address")]
    clear: bool,

    /// Key of the clients' certificates.
    #[arg(long, value_enum, default_value_t = KeyKind::Rsa2048)]
    key: KeyKind,

    /// Most nodes that connect at the same time; 0: all. The reference needs a limit of 8 or so:
    /// its queue of new connections holds 10, and what does not fit waits for minutes.
    #[arg(long, default_value_t = 0, value_name = "N")]
    at_once: usize,

    /// Most seconds that the storm of one run may take.
    #[arg(long, default_value_t = 1200, value_name = "SECONDS")]
    patience: u64,

    /// Print JSON, one object per run.
    #[arg(long)]
    json: bool,

    /// Fail if a goal is missed.
    #[arg(long)]
    check: bool,

    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Key of a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyKind {
    /// RSA of 2048 bits, what the stock tools make.
    Rsa2048,
    /// ECDSA on P-256.
    P256,
}

impl KeyKind {
    fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA-2048",
            Self::P256 => "P-256",
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.connections.is_empty() {
        arguments.connections = vec![if arguments.bench { 1000 } else { 20 }];
    }
    match run(&arguments) {
        Ok(met) if met || !arguments.check => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Does every run; whether all goals were met.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let most = arguments.connections.iter().max().copied().unwrap_or(0);
    process::allow_open_files(most + 200)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut met = true;
    for &connections in &arguments.connections {
        if connections < 2 || connections % 2 != 0 {
            return Err(format!("{connections} connections are not whole clusters of 2").into());
        }
        let report = runtime.block_on(measure(arguments, connections))?;
        met &= report.all_met();
        if arguments.json {
            println!("{}", report.json());
        } else {
            println!("{report}");
        }
    }
    Ok(met)
}

async fn measure(arguments: &Arguments, connections: usize) -> Result<Report, Failure> {
    let started = match arguments.address {
        Some(_) => None,
        None => Some(Server::start(
            &arguments.server,
            &arguments.server_argument,
            arguments.clear,
        )?),
    };
    let (address, pid, ca) = match (&started, arguments.address, arguments.pid) {
        (Some(server), ..) if arguments.clear => (server.address(), server.pid(), None),
        (Some(server), ..) => (server.address(), server.pid(), Some(server.ca_pem()?)),
        (None, Some(address), Some(pid)) => {
            let ca = arguments.ca.as_ref().map(std::fs::read_to_string);
            (address, pid, ca.transpose()?)
        }
        _ => return Err("--address needs --pid".into()),
    };
    let encrypted = ca.is_some();
    let sites = sites(connections / 2, ca.as_deref(), arguments.key)?;
    let title = format!(
        "{connections} connections, clusters of 2, {}",
        match encrypted {
            true => format!(
                "TLS, client certificates with {} keys",
                arguments.key.name()
            ),
            false => "clear text (the goals are for TLS)".to_owned(),
        }
    );
    let mut report = Report::new(title, connections, encrypted.then_some(arguments.key));

    let idle = Usage::of(pid)?;
    let own = Usage::of(std::process::id())?;
    if started.is_some() {
        report.add(Figure::IdleMemory, idle.memory_kib);
    }
    let patience = Duration::from_secs(arguments.patience);
    let storm = Fleet::assemble(address, sites, arguments.at_once);
    let (mut fleet, storm) = tokio::time::timeout(patience, storm)
        .await
        .map_err(|_| format!("not all nodes had a vote after {} s", arguments.patience))??;
    let after = Usage::of(pid)?;
    let own = Usage::of(std::process::id())?.cpu_since(&own);
    let count = connections as f64;
    report.add(Figure::StormTime, storm.took.as_secs_f64());
    report.add(Figure::Repeats, f64::from(storm.repeats));
    report.add(Figure::StormCpu, millis(after.cpu_since(&idle)) / count);
    report.add(Figure::GeneratorCpu, millis(own) / count);
    // What was only needed for the handshakes has been given back by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = Usage::of(pid)?.memory_kib - idle.memory_kib;
    report.add(Figure::ClientMemory, grown / count);

    let before = Usage::of(pid)?;
    let echoes = fleet.heartbeats().await?;
    let spent = Usage::of(pid)?.cpu_since(&before);
    let thousands = echoes.count() as f64 / 1000.0;
    report.add(Figure::HeartbeatCpu, spent.as_secs_f64() / thousands);
    report.add(Figure::EchoMedian, millis(echoes.percentile(50)));

    let (splits, heals) = fleet.splits().await?;
    report.add(Figure::SplitMedian, millis(splits.percentile(50)));
    report.add(Figure::SplitTail, millis(splits.percentile(99)));
    report.add(Figure::HealMedian, millis(heals.percentile(50)));

    let (split, healed) = fleet.half_splits().await?;
    report.add(Figure::HalfSplit, millis(split));
    report.add(Figure::HalfHeal, millis(healed));
    if let Some(http) = started.as_ref().and_then(Server::http) {
        scrapes(&mut report, &mut fleet, http, pid).await?;
    }
    Ok(report)
}

/// What it takes to watch the server, and what votes take meanwhile.
async fn scrapes(
    report: &mut Report,
    fleet: &mut Fleet,
    http: SocketAddr,
    pid: u32,
) -> Result<(), Failure> {
    let scrapes = tokio::task::spawn_blocking(move || scrape::measure(http, pid)).await??;
    report.add(Figure::ScrapeTime, millis(scrapes.took));
    report.add(Figure::ScrapeCpu, millis(scrapes.cpu));
    report.add(Figure::ScrapeSize, scrapes.bytes as f64 / 1024.0);
    report.add(Figure::ScrapeSeries, scrapes.series as f64);
    report.add(Figure::ScrapeMemory, scrapes.memory_kib);
    let storm = scrape::Storm::start(http);
    let (splits, _) = fleet.splits().await?;
    storm.end()?;
    report.add(Figure::ScrapedSplitMedian, millis(splits.percentile(50)));
    report.add(Figure::ScrapedSplitTail, millis(splits.percentile(99)));
    Ok(())
}

fn sites(count: usize, ca: Option<&str>, key: KeyKind) -> Result<Vec<Site>, Failure> {
    let issuer = ca
        .map(|pem| certificates::Issuer::new(pem, key))
        .transpose()?;
    (0..count)
        .map(|number| {
            let name = format!("load{number}");
            let tls = issuer.as_ref().map(|issuer| issuer.client(&name));
            Ok(Site {
                name: ClusterName::new(name.as_bytes()),
                tls: tls.transpose()?,
            })
        })
        .collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
