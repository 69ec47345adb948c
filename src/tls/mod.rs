//! TLS for the vote port, as one pure state machine (protocol spec 6, design 3).
//!
//! Bytes come in, plaintext and bytes for the peer come out; nothing here touches a socket, a task
//! or the system's clock (the clock is injected).
//!
//! - [`config`] builds the rustls configurations of the server and of our own client.
//! - [`policy`] decides which certificates are trusted, also while the clock is unset.
//! - [`names`] decides which cluster a trusted certificate may speak for.
//! - [`stream`] drives one connection.
//! - [`error`] says in an operator's words what the peer did wrong.
//!
//! Trust and authorisation are two steps on purpose: the handshake proves that a certificate comes
//! from our CA, and only the first working message says which cluster it is used for (protocol spec
//! 6.3), so [`names::ClusterAuthorisation`] is asked by the caller at that point.

pub mod config;
pub mod error;
pub mod names;
pub mod policy;
pub mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use config::{
    ClientCertMode, ClientSettings, Identity, ServerSettings, TlsConfigError, Versions,
};
pub use error::TlsError;
pub use names::{AuthorisationError, CertificateNames, ClusterAuthorisation, serial_number};
pub use policy::{ExpiredServer, IsRevoked, SystemClock, UnsetClock};
pub use stream::{Received, Tls, TlsClient, TlsSession};
