//! The database of NSS, the TLS library of the reference, read and written without NSS.
//!
//! It is two SQLite files: `cert9.db` has the certificates, `key4.db` the private keys, each
//! secret number of which is encrypted by itself. Nothing here knows what the certificates are
//! for; [`super::store`] does. The rules are those of the provisioning spec, section 7, found by
//! letting NSS's own tools read what was written and the other way round.
//!
//! - `schema`: tables, columns and the numbers of attributes,
//! - [`crypto`]: how secret values are encrypted, and `legacy`: how NSS did that before 2019,
//! - `mac`: the codes by which NSS notices that a key or a trust setting was altered,
//! - `key`: a private key as numbers in columns and as PKCS #8,
//! - `file`: SQLite files and their images in memory,
//! - `read`, `write`: the contents, and `rows`: how they are stored.
//!
//! The codes of `mac` are written and not checked. They are made with the database's password,
//! which is empty, so that whoever can alter the database can make them too; and what they would
//! find by accident is found better by comparing each key with its certificate.

pub mod crypto;
mod error;
mod file;
mod key;
mod legacy;
mod mac;
mod read;
mod rows;
mod schema;
mod write;

pub(super) use crypto::random;
pub use error::NssError;
pub(super) use file::Opened;
pub(super) use read::Database;
pub(super) use schema::{CERTIFICATES, KEYS};
pub(super) use write::{
    Entry, Role, add_key, create, remove_keys, replace_certificate, reserve_public_key,
};
