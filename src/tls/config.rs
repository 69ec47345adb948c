//! The rustls configurations: one for all connections of the server, one for our own client.
//!
//! Everything is chosen for many idle connections and for stock clients (protocol spec 6.4, 6.6):
//! no resumption state is kept, no tickets are sent, and the server name that NSS sends is ignored.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::error::Error;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    InvalidSniPolicy, NoServerSessionStorage, Tls13Tickets, VerifierBuilderError,
    WebPkiClientVerifier,
};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::policy::{
    ClientPolicy, ExpiredServer, IsRevoked, OnUnsetClock, ServerPolicy, SystemClock,
};

/// The name that stock clients demand of a server certificate (protocol spec 6.6).
pub const SERVER_NAME: &str = "Qnetd Server";

/// A certificate with its key.
pub struct Identity {
    /// The own certificate first, then what the peer needs to reach its CA. The reference sends
    /// the CA's own certificate too (protocol spec 6.4).
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.chain.len();
        write!(f, "Identity({certificates} certificates, key withheld)")
    }
}

/// Whether clients must show a certificate: the reference's `-c` (protocol spec 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertMode {
    /// Every client must present a certificate of our CA.
    #[default]
    Required,
    /// None is asked for.
    NotRequested,
}

/// What the server's TLS needs.
pub struct ServerSettings {
    /// The server's certificate and key.
    pub identity: Identity,
    /// The CAs whose client certificates are trusted. Used with [`ClientCertMode::Required`].
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Whether clients must show a certificate.
    pub client_certs: ClientCertMode,
    /// The wall clock that certificate dates are judged by.
    pub clock: Arc<dyn TimeProvider>,
    /// Told when a certificate was accepted although the clock is unset.
    pub on_unset_clock: OnUnsetClock,
    /// Which of our CA's certificates were revoked. Used with [`ClientCertMode::Required`].
    pub is_revoked: IsRevoked,
}

/// Builds the configuration that all connections of a server share.
///
/// # Errors
/// [`TlsConfigError`] if a CA certificate, the certificate or its key is unusable.
pub fn server_config(settings: ServerSettings) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let verifier = match settings.client_certs {
        ClientCertMode::NotRequested => WebPkiClientVerifier::no_client_auth(),
        ClientCertMode::Required => {
            let roots = trusted(settings.client_ca)?;
            Arc::new(ClientPolicy::new(
                roots,
                settings.on_unset_clock,
                settings.is_revoked,
            )?)
        }
    };
    let provider = Arc::new(rustls_ring::DEFAULT_PROVIDER);
    let Identity { chain, key } = settings.identity;
    let chain = rustls::crypto::Identity::from_cert_chain(chain).map_err(Error::from)?;
    let mut config = ServerConfig::builder_with_details(provider, settings.clock)
        .with_client_cert_verifier(verifier)
        .with_single_cert(Arc::new(chain), key)
        .map_err(TlsConfigError::Identity)?;
    // Stock clients send "Qnetd Server" as server name, which is no host name (protocol spec 6.6).
    config.invalid_sni_policy = InvalidSniPolicy::IgnoreAll;
    config.send_tls13_tickets = Tls13Tickets { default: 0, max: 0 };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The TLS versions that our own client offers; the server always takes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.3, or else 1.2.
    #[default]
    Both,
    /// Only TLS 1.2.
    Tls12,
    /// Only TLS 1.3.
    Tls13,
}

/// What our own client's TLS needs.
pub struct ClientSettings {
    /// The CAs that a server's certificate must come from.
    pub ca: Vec<CertificateDer<'static>>,
    /// The client's certificate and key, shown when the server asks.
    pub identity: Option<Identity>,
    /// The name that the server's certificate must carry.
    pub server_name: Box<[u8]>,
    /// What to do about a server certificate whose time is over.
    pub expired_server: ExpiredServer,
    /// The TLS versions to offer.
    pub versions: Versions,
    /// The wall clock that certificate dates are judged by.
    pub clock: Arc<dyn TimeProvider>,
}

impl ClientSettings {
    /// For the stock server name and the system's clock, without a client certificate.
    pub fn new(ca: Vec<CertificateDer<'static>>) -> Self {
        Self {
            ca,
            identity: None,
            server_name: SERVER_NAME.as_bytes().into(),
            expired_server: ExpiredServer::default(),
            versions: Versions::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Builds the configuration that connections of our own client share.
///
/// No server name is sent: the stock one is no host name, and rustls sends only those.
///
/// # Errors
/// [`TlsConfigError`] if a CA certificate, the certificate or its key is unusable.
pub fn client_config(settings: ClientSettings) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let roots = trusted(settings.ca)?;
    let verifier = ServerPolicy::new(roots, settings.server_name, settings.expired_server)?;
    let provider = Arc::new(match settings.versions {
        Versions::Both => rustls_ring::DEFAULT_PROVIDER,
        Versions::Tls12 => rustls_ring::DEFAULT_TLS12_PROVIDER,
        Versions::Tls13 => rustls_ring::DEFAULT_TLS13_PROVIDER,
    });
    let builder = ClientConfig::builder_with_details(provider, settings.clock)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match settings.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let chain = rustls::crypto::Identity::from_cert_chain(chain).map_err(Error::from)?;
            builder.with_client_auth_cert(Arc::new(chain), key)
        }
    };
    let mut config = config.map_err(TlsConfigError::Identity)?;
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn trusted(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(TlsConfigError::Ca)?;
    }
    Ok(Arc::new(roots))
}

/// Why no TLS configuration can be made of the given certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A CA certificate is unusable.
    #[error("the CA certificate cannot be used ({0}); export it again from the certificate store")]
    Ca(#[source] Error),
    /// There is no CA certificate to trust.
    #[error(
        "certificates cannot be checked ({0}); the certificate store must hold a CA certificate"
    )]
    NoCa(#[from] VerifierBuilderError),
    /// The certificate or its key is unusable, or they don't belong together.
    #[error("the own certificate or its key cannot be used ({0}); check that both are one pair")]
    Identity(#[from] Error),
}
