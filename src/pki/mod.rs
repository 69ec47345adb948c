//! The arbiter's identity: its own certificate authority, its server certificate, and the
//! certificates that it issues to clusters.
//!
//! Every installation has a private CA. Nodes import the CA's certificate and so recognise the
//! server; the server signs one certificate per cluster and so recognises the nodes. The rules
//! for what goes into those certificates come from what NSS, the TLS library of stock nodes,
//! accepts (provisioning spec 3.2 and 3.3).
//!
//! - [`ca`] makes certificates,
//! - [`csr`] reads and checks certificate requests,
//! - [`name`] says which cluster names may have a certificate,
//! - [`profile`] says what new keys and certificates are like,
//! - [`store`] keeps the identity on disk; nothing else knows the names of its files,
//! - [`nss`] is the format in which it does,
//! - [`watch`] notices when it has changed.

pub mod age;
pub mod bundle;
pub mod ca;
pub mod csr;
pub(crate) mod dir;
pub mod ends;
pub mod expiry;
pub mod facts;
pub mod inventory;
pub mod issued;
pub mod name;
pub mod nss;
pub mod p12;
pub mod profile;
pub mod revoked;
mod rsa;
pub mod seen;
pub mod store;
pub mod watch;

pub use ca::CaError;
pub use dir::{Access, DirError};
pub use name::{ClusterName, NameError};
pub use profile::{KeyKind, Profile, ProfileError, Years};
pub use store::{
    Origin, RenewedServer, ServerIdentity, ServerNickname, SignedCluster, Store, StoreError,
};
pub use watch::Stamp;
