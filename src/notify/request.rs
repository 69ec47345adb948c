//! One request to a webhook, from the look-up of its name to its answer, with a limit for
//! everything.

use super::address::{Address, BadAddress};
use super::format::Body;
use super::roots::{self, RootsError};
use super::settings::{Secret, Webhook};
use super::waits::Waits;
use crate::http::stream::TlsStream;
use hmac::{Hmac, Mac};
use http_body::Body as _;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::http::response;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha2::Sha256;
use std::fmt::Write as _;
use std::io;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the look-up of a name may take.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long each address of it may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the answer may take to begin.
const ANSWER: Duration = Duration::from_secs(15);

/// How long its text may take. That is only shown to people; the status counts.
const TEXT: Duration = Duration::from_secs(2);

/// Addresses that are tried.
const ADDRESSES: usize = 4;

/// As much of an answer as is looked at, bytes.
const LOOKED_AT: usize = 2048;

/// As much of it as is shown, characters.
const SHOWN: usize = 200;

/// Longest file of an address, a key or a token, bytes.
const LONGEST_FILE: u64 = 8192;

/// What a webhook answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// For how long it does not want to be asked again.
    pub retry_after: Option<Duration>,
    /// The beginning of what it says, without anything that is secret.
    pub text: String,
}

impl Answer {
    /// Whether the receiver took what it was sent.
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// A file of an address, a key or a token can't be read.
    #[error("can't read {what} in {path}: {error}", path = path.display())]
    File {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not one line of text.
    #[error("{what} in {path} must be one line of printable characters", path = path.display())]
    NotALine {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file holds no address.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// There is nothing to check certificates with.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The name can't be looked up.
    #[error("{place}: the name can't be looked up: {error}")]
    Name {
        /// Scheme and host.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// Nobody answers there.
    #[error("{place}: no connection: {error}")]
    Connect {
        /// Scheme and host.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// The TLS handshake failed.
    #[error("{place}: {}", tls_text(.error))]
    Tls {
        /// Scheme and host.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// It was silent for too long, or spoke something else than HTTP.
    #[error("{place}: {why}")]
    Http {
        /// Scheme and host.
        place: String,
        /// Why.
        why: String,
    },
}

/// The words for a vote's TLS would mislead here.
fn tls_text(error: &io::Error) -> String {
    use crate::tls::TlsError;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    match inner {
        Some(TlsError::UnknownCa | TlsError::ForeignCa) => {
            "its certificate comes from a CA that is not trusted here; name its CA with ca_file="
                .to_owned()
        }
        Some(TlsError::CertificateExpired { .. }) => "its certificate has expired".to_owned(),
        Some(TlsError::NotTls { .. }) => "it does not speak TLS; use http://?".to_owned(),
        Some(TlsError::CertificateRefused(why)) => format!("its certificate is refused: {why}"),
        Some(other) => format!("TLS failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection in the TLS handshake".to_owned()
        }
        None => format!("TLS failed: {error}"),
    }
}

/// A request that is the same each time it is sent, but for its time.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// For receivers that want to know what they have had already.
    pub(super) id: String,
    pub(super) unix_seconds: u64,
}

/// What is needed for a request, as the files have it now.
pub(super) struct Prepared {
    pub(super) address: Address,
    secret: Option<String>,
    token: Option<String>,
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Prepared {
    /// Reads the files that a webhook needs. It may block, as files do.
    pub(super) fn read(hook: &Webhook) -> Result<Self, RequestError> {
        let address = Address::parse(&read("the address of the webhook", &hook.url)?)?;
        let of = |what, secret: &Option<Secret>| {
            secret.as_ref().map(|secret| read(what, secret)).transpose()
        };
        let tls = address
            .is_tls
            .then(|| roots::client_config(hook.ca_file.as_deref()));
        Ok(Self {
            secret: of("the key for signatures", &hook.secret)?,
            token: of("the token", &hook.token)?,
            tls: tls.transpose()?,
            address,
        })
    }

    /// Takes everything secret out of a text that somebody else wrote.
    fn redacted(&self, text: &str) -> String {
        let mut secrets = self.address.secrets();
        secrets.extend(self.secret.clone());
        secrets.extend(self.token.clone());
        secrets.retain(|secret| secret.len() > 1);
        // The longest first, so that none leaves a rest of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = text.to_owned();
        for secret in secrets {
            text = text.replace(&secret, "***");
        }
        text
    }

    /// Sends a request and waits for the answer.
    pub(super) async fn send(
        self,
        body: Body,
        as_: &Outgoing,
        waits: &Waits,
    ) -> Result<Answer, RequestError> {
        let socket = self.connect(waits).await?;
        match self.tls.clone() {
            None => self.exchange(socket, body, as_).await,
            Some(config) => {
                let place = || self.address.to_string();
                let name = ServerName::try_from(self.address.host.clone());
                let name = name.map_err(|error| RequestError::Tls {
                    place: place(),
                    error: io::Error::other(error),
                })?;
                let handshake = timeout(HANDSHAKE, TlsStream::connect(socket, config, name)).await;
                let stream = handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let stream = stream.map_err(|error| RequestError::Tls {
                    place: place(),
                    error,
                })?;
                self.exchange(stream, body, as_).await
            }
        }
    }

    async fn connect(&self, waits: &Waits) -> Result<TcpStream, RequestError> {
        let place = || self.address.to_string();
        let name = (self.address.host.clone(), self.address.port);
        let look_up = move || (name.0.as_str(), name.1).to_socket_addrs();
        let found = waits.name(LOOK_UP, look_up).await;
        let found = found.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let found = found.map_err(|error| RequestError::Name {
            place: place(),
            error,
        })?;
        let mut last = io::Error::other("the name has no address");
        for address in found.take(ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(RequestError::Connect {
            place: place(),
            error: last,
        })
    }

    async fn exchange<S>(
        &self,
        stream: S,
        body: Body,
        as_: &Outgoing,
    ) -> Result<Answer, RequestError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let place = self.address.to_string();
        let failed = |why: String| RequestError::Http {
            place: place.clone(),
            why,
        };
        let request = self
            .request(body, as_)
            .map_err(|error| failed(error.to_string()))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(64)
            .max_buf_size(16 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(chain(&error)))?;
        // The connection does the work; it ends with this call.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = timeout(ANSWER, sender.send_request(request)).await;
        let response = response
            .map_err(|_| failed(format!("no answer within {} s", ANSWER.as_secs())))?
            .map_err(|error| failed(chain(&error)))?;
        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        // An answer that breaks off or does not end is an answer all the same.
        let _ = timeout(TEXT, beginning(body, &mut text)).await;
        Ok(self.answer(&head, &text))
    }

    fn request(&self, body: Body, as_: &Outgoing) -> Result<Request<OneBody>, hyper::http::Error> {
        let time = as_.unix_seconds.to_string();
        let mut request = Request::post(body.path)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("qarbiter/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", &as_.id)
            .header("x-qarbiter-id", &as_.id)
            .header("x-qarbiter-timestamp", &time);
        if let Some(secret) = &self.secret {
            let signature = signature(secret.as_bytes(), &time, &body.bytes);
            request = request.header("x-qarbiter-signature", format!("v1={signature}"));
        }
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if let Some(authorization) = bearer.or_else(|| self.address.basic()) {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(OneBody(Some(body.bytes.into())))
    }

    fn answer(&self, head: &response::Parts, text: &[u8]) -> Answer {
        let retry_after = head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = self.redacted(&String::from_utf8_lossy(text));
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Answer {
            status: head.status.as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            text: text.trim().chars().map(printable).take(SHOWN).collect(),
        }
    }
}

/// Reads the beginning of a body.
async fn beginning(body: Incoming, bytes: &mut Vec<u8>) {
    let mut body = pin!(body);
    while bytes.len() < LOOKED_AT {
        let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await;
        let Some(Ok(frame)) = frame else { break };
        if let Ok(data) = frame.into_data() {
            let room = LOOKED_AT - bytes.len();
            bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
    }
}

/// Bytes that are there at once.
struct OneBody(Option<Bytes>);

impl http_body::Body for OneBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        http_body::SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// HMAC-SHA256 over time, a dot and the body, in hexadecimal.
fn signature(key: &[u8], time: &str, body: &[u8]) -> String {
    let mut text = String::new();
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return text;
    };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    for byte in mac.finalize().into_bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A secret as it is now.
fn read(what: &'static str, secret: &Secret) -> Result<String, RequestError> {
    use std::io::Read as _;
    let path = match secret {
        Secret::Inline(hidden) => return Ok(hidden.reveal().to_owned()),
        Secret::File(path) => path,
    };
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(LONGEST_FILE).read_to_string(&mut text));
    read.map_err(|error| RequestError::File {
        what,
        path: path.clone(),
        error,
    })?;
    let line = text.trim();
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(RequestError::NotALine {
            what,
            path: path.clone(),
        });
    }
    Ok(line.to_owned())
}

/// An error with those that it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '1795402800.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature(b"key", "1795402800", br#"{"a":1}"#),
            "544ce3a5a0d6939b1b5ea8738eea53e65fd7506bd1b56870c9f70c8570b11828"
        );
    }
}
