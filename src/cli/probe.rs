//! `qarbiter probe`: what a node would find, step by step, without becoming one.
//!
//! It connects, names a cluster (PREINIT), does the TLS handshake and asks something that only an
//! authorised client is answered. It never sends INIT, so no cluster notices it.

use super::complain;
use crate::client::{ClientError, Connection, Offer};
use crate::http::certificates;
use crate::tls::config::client_config;
use crate::tls::{ClientSettings, Identity, TlsError};
use crate::wire::{ClusterName, ErrorCode, Message, MessageType, TlsSupport};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Options of `qarbiter probe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Probe {
    /// Name or address of the arbiter, with the port if it is not 5403
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// CA certificate of the arbiter (PEM), to check TLS: qnetd-cacert.crt
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Cluster to speak for
    #[arg(long, value_name = "NAME", default_value = "qarbiter-probe")]
    cluster: String,
    /// Certificate of the cluster (PEM), to check that it is accepted.
    ///
    /// A probe that runs again and again with --ca should have one: without, the arbiter counts
    /// each as a failed TLS handshake (no_certificate), and more than 15 in 15 minutes raise the
    /// alert QarbiterHandshakesFail.
    #[arg(long, value_name = "FILE", requires = "key", requires = "ca")]
    cert: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// How long each step may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Why an arbiter does not pass.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("{host} has no address: {error}")]
    Resolve { host: String, error: std::io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error(
        "no answer within {0} s while it should {1}; does something on the way drop packets, or \
         is it no vote server?"
    )]
    Timeout(u64, &'static str),
    #[error(
        "{0} closed the connection before it said who it is: it is no vote server, or one that \
         takes no more connections, and then its log says so; the port of a vote server is {port} \
         unless it was changed", port = crate::config::settings::DEFAULT_PORT
    )]
    Silent(SocketAddr),
    #[error(
        "{0} answers, but is no vote server ({1}); the port of one is {port} unless it was changed",
        port = crate::config::settings::DEFAULT_PORT
    )]
    Foreign(SocketAddr, ClientError),
    #[error(
        "{path} is not the CA certificate of this arbiter: copy qnetd-cacert.crt from the arbiter \
         (/etc/corosync/qnetd/nssdb), and check that this is the arbiter you mean",
        path = path.display()
    )]
    OtherCa { path: PathBuf },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("can't read {path}: {error}", path = path.display())]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{path} holds no {what} in PEM format", path = path.display())]
    NoPem { path: PathBuf, what: &'static str },
    #[error(transparent)]
    Config(#[from] crate::tls::TlsConfigError),
    #[error("it does not accept the certificate for cluster {0:?}: {1}; its log says why")]
    NotAuthorised(String, String),
    #[error("it answers a question out of place with {0}, which no vote server does")]
    Strange(ErrorCode),
    #[error("can't start: {0}")]
    Runtime(std::io::Error),
}

impl Probe {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ProbeError::Runtime);
        match runtime.and_then(|runtime| runtime.block_on(self.probe())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain("qarbiter probe", &error);
                ExitCode::FAILURE
            }
        }
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let settings = self.ca.as_deref().map(|ca| self.tls(ca)).transpose()?;
        let cluster = ClusterName::new(self.cluster.as_bytes());
        let begin = Instant::now();
        let (mut connection, offer, address) = self.introduce(&cluster).await?;
        println!(
            "ok      connected to {address}, it answers as a vote server after {}",
            since(begin)
        );
        let mark = match offer.tls {
            TlsSupport::Unsupported => "warn",
            TlsSupport::Supported | TlsSupport::Required => "ok",
        };
        println!("{mark:<6}  {}", words(offer));
        let Some(settings) = settings else {
            if offer.tls != TlsSupport::Unsupported {
                println!("--      TLS was not checked: give --ca FILE");
            }
            return Ok(());
        };
        if offer.tls == TlsSupport::Unsupported {
            return Err(ClientError::TlsNotOffered.into());
        }
        let begin = Instant::now();
        let config = client_config(settings)?;
        self.within("do the TLS handshake", connection.start_tls(config))
            .await
            .map_err(|error| self.in_our_words(error))?;
        println!("ok      TLS handshake after {}", since(begin));
        if let Some(certificate) = connection.server_certificate() {
            println!("ok      {}", facts(certificate));
        }
        self.ask(&mut connection, offer).await
    }

    /// Tries the addresses of the host in turn.
    async fn introduce(
        &self,
        cluster: &ClusterName,
    ) -> Result<(Connection, Offer, SocketAddr), ProbeError> {
        let mut last = ProbeError::NoAddress(self.host.clone());
        for address in self.addresses()? {
            let attempt = Connection::introduce(address, cluster);
            match self.within("say who it is", attempt).await {
                Ok((connection, offer)) => return Ok((connection, offer, address)),
                Err(ProbeError::Client(error)) => last = stranger(address, error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The words of TLS are those of a server about a node.
    fn in_our_words(&self, error: ProbeError) -> ProbeError {
        match (error, &self.ca) {
            (
                ProbeError::Client(ClientError::Tls(TlsError::UnknownCa | TlsError::ForeignCa)),
                Some(path),
            ) => ProbeError::OtherCa { path: path.clone() },
            (error, _) => error,
        }
    }

    /// Asks for something that needs authorisation, and that no cluster notices.
    async fn ask(&self, connection: &mut Connection, offer: Offer) -> Result<(), ProbeError> {
        let begin = Instant::now();
        let question = async {
            let seq = Some(connection.next_number());
            connection.send(&Message::EchoRequest { seq }).await?;
            connection.receive().await
        };
        let wants_certificate = offer.client_certificate != Some(false);
        match self.within("answer", question).await {
            // It has not been told who we are, so this is the right answer.
            Ok(answer) if answer.kind == MessageType::ServerError => {
                match answer.options.error_code {
                    Some(ErrorCode::InitRequired) => {
                        let may_join = if self.cert.is_some() {
                            format!("the certificate opens cluster {:?}", self.cluster)
                        } else {
                            "it would let anybody join".to_owned()
                        };
                        println!("ok      {may_join}; answer after {}", since(begin));
                        Ok(())
                    }
                    code => Err(ProbeError::Strange(code.unwrap_or(ErrorCode::NoError))),
                }
            }
            Ok(answer) => Err(ClientError::Unexpected {
                got: answer.kind,
                expected: MessageType::ServerError,
            }
            .into()),
            Err(ProbeError::Client(error)) if self.cert.is_none() && wants_certificate => {
                match error {
                    ClientError::Closed
                    | ClientError::Io(_)
                    | ClientError::Tls(TlsError::PeerAlert(_)) => {
                        println!("ok      it turns away who has no certificate, as it should");
                        println!(
                            "--      no certificate was checked: give --cert, --key, --cluster"
                        );
                        Ok(())
                    }
                    other => Err(other.into()),
                }
            }
            Err(ProbeError::Client(error)) => {
                let how = match error {
                    ClientError::Closed => "it closed the connection".to_owned(),
                    ClientError::Tls(TlsError::PeerAlert(alert)) => {
                        format!("it ended TLS with {alert}")
                    }
                    other => other.to_string(),
                };
                Err(ProbeError::NotAuthorised(self.cluster.clone(), how))
            }
            Err(error) => Err(error),
        }
    }

    async fn within<T>(
        &self,
        what: &'static str,
        step: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ProbeError> {
        match tokio::time::timeout(Duration::from_secs(self.timeout), step).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ProbeError::Timeout(self.timeout, what)),
        }
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, ProbeError> {
        let host = self.host.as_str();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let port = crate::config::settings::DEFAULT_PORT;
        let found = match (bare, host.contains(':') && !is_v6) {
            (None, true) => host.to_socket_addrs(),
            (bare, _) => (bare.unwrap_or(host), port).to_socket_addrs(),
        };
        let found = found.map_err(|error| ProbeError::Resolve {
            host: host.to_owned(),
            error,
        })?;
        Ok(found.collect())
    }

    fn tls(&self, ca: &Path) -> Result<ClientSettings, ProbeError> {
        let mut settings = ClientSettings::new(certificate_blocks(ca, "CA certificate")?);
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let is_key = |tag: &str| tag.ends_with("PRIVATE KEY");
            let what = "private key that is not encrypted";
            let no_key = || ProbeError::NoPem {
                path: key.clone(),
                what,
            };
            let block = blocks(key, what, is_key)?.into_iter().next();
            let block = block.ok_or_else(no_key)?;
            settings.identity = Some(Identity {
                chain: certificate_blocks(cert, "certificate")?,
                key: PrivateKeyDer::try_from(block).map_err(|_| no_key())?,
            });
        }
        Ok(settings)
    }
}

/// What somebody is who does not introduce itself as a vote server does.
fn stranger(address: SocketAddr, error: ClientError) -> ProbeError {
    match error {
        ClientError::Closed => ProbeError::Silent(address),
        ClientError::Io(ref broken) if broken.kind() == ErrorKind::ConnectionReset => {
            ProbeError::Silent(address)
        }
        ClientError::Undecodable { .. }
        | ClientError::Unacceptable(_)
        | ClientError::Unexpected { .. }
        | ClientError::Missing { .. }
        | ClientError::WrongNumber { .. } => ProbeError::Foreign(address, error),
        other => other.into(),
    }
}

fn certificate_blocks(
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, ProbeError> {
    let blocks = blocks(path, what, |tag| tag == "CERTIFICATE")?;
    Ok(blocks.into_iter().map(CertificateDer::from).collect())
}

fn blocks(
    path: &Path,
    what: &'static str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<u8>>, ProbeError> {
    let text = std::fs::read(path).map_err(|error| ProbeError::File {
        path: path.to_owned(),
        error,
    })?;
    let blocks = pem::parse_many(text).unwrap_or_default();
    let wanted = blocks.into_iter().filter(|block| is_wanted(block.tag()));
    let wanted: Vec<Vec<u8>> = wanted.map(pem::Pem::into_contents).collect();
    if wanted.is_empty() {
        let path = path.to_owned();
        return Err(ProbeError::NoPem { path, what });
    }
    Ok(wanted)
}

fn words(offer: Offer) -> String {
    let tls = match offer.tls {
        TlsSupport::Unsupported => {
            "it has no TLS: whoever is on the way can read and change votes, and nodes with \
             tls: required do not use it; set tls.mode = \"required\" on the arbiter"
        }
        TlsSupport::Supported => "TLS is possible",
        TlsSupport::Required => "TLS is required",
    };
    match offer.client_certificate {
        Some(true) if offer.tls != TlsSupport::Unsupported => {
            format!("{tls}, with a certificate for the cluster")
        }
        _ => tls.to_owned(),
    }
}

fn facts(certificate: &CertificateDer<'_>) -> String {
    let Some(facts) = certificates::facts(certificate, "server") else {
        return "its certificate can't be read".to_owned();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    format!(
        "its certificate: {}, signed by {}, {}, {} days left, SHA-256 {}",
        facts.subject,
        facts.issuer,
        facts.key,
        (facts.not_after_unix - now).div_euclid(86_400),
        facts.sha256
    )
}

fn since(begin: Instant) -> String {
    format!("{:.1} ms", begin.elapsed().as_secs_f64() * 1000.0)
}
