//! Why the identity cannot be used.

use std::path::PathBuf;

use thiserror::Error;

use crate::pki::ca::CaError;
use crate::pki::csr::RequestError;
use crate::pki::dir::DirError;
use crate::pki::nss::NssError;
use crate::pki::revoked::RevokedError;

/// Why the identity cannot be used. The texts are for the administrator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is an identity already. The text is the reference's.
    #[error(
        "Certificate database ({path}) already exists. Delete it to initialize new db",
        path = .0.display()
    )]
    AlreadyExists(PathBuf),
    /// There is no identity in the directory, or no directory.
    #[error(
        "there are no certificates in {path}; make them with `corosync-qnetd-certutil -i`",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// The directory has a database of NSS before version 3.35 and no newer one.
    #[error(
        "{path} holds a certificate database of the old kind (cert8.db); convert it with \
         `certutil -N -d sql:{path} -f {path}/pwdfile.txt -@ {path}/pwdfile.txt`, \
         for which an empty pwdfile.txt must be given a line feed first (`echo > pwdfile.txt`)",
        path = .0.display()
    )]
    OldDatabase(PathBuf),
    /// The database cannot be used.
    #[error("the certificates in {path} cannot be used: {source}", path = path.display())]
    Database {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: NssError,
    },
    /// The parts of the identity do not belong together, or the file of an earlier version is
    /// damaged.
    #[error(
        "{path} is damaged: {reason}; restore it from a backup, \
         or delete the directory and give every node the new CA",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's key or certificate is too weak or of a kind that cannot be used.
    #[error(
        "the server certificate in {path} cannot be used: {reason}; make a new one with \
         `qarbiter certs renew`, which changes nothing for the clusters",
        path = path.display()
    )]
    Server {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The CA's key is too weak or of a kind that cannot be used. Nothing can be signed with it;
    /// clusters that have a certificate are not affected.
    #[error(
        "the CA in {path} cannot sign: {reason}; clusters that were signed can go on, \
         but for a new one make a new identity in another directory and join every node to it",
        path = path.display()
    )]
    Authority {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The file with the last serial number cannot be relied on.
    #[error(
        "{path} {reason}; write the highest serial number of all certificates that were issued \
         here into it, as a decimal number (`openssl x509 -inform DER -noout -serial -in FILE` \
         shows one, in hexadecimal)",
        path = path.display()
    )]
    Serial {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A certificate could not be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The list of revoked certificates cannot be relied on.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// The request is not acceptable.
    #[error("the certificate request is not acceptable: {0}")]
    Request(#[from] RequestError),
    /// The request is for a cluster of another name.
    #[error(
        "the certificate request is for the cluster `{requested}`, not for `{given}`; \
         nothing was signed, because `{given}` could not use it: \
         repeat with the name that corosync.conf has as cluster_name"
    )]
    OtherName {
        /// The request's common name.
        requested: String,
        /// The name to sign for.
        given: String,
    },
    /// The certificate's file is another cluster's, for instance on a volume that does not tell
    /// upper and lower case apart.
    #[error(
        "{path} is the certificate of the cluster `{owner}`; nothing was signed for `{given}`, \
         because that would replace it: move the file away first",
        path = path.display()
    )]
    NameTaken {
        /// The file.
        path: PathBuf,
        /// The cluster that the certificate names.
        owner: String,
        /// The name to sign for.
        given: String,
    },
    /// A certificate that was to be issued anew is not one that this CA issued for the cluster.
    #[error("the certificate of `{name}` cannot be issued anew: {reason}")]
    Reissue {
        /// The cluster.
        name: String,
        /// What is wrong with the certificate.
        reason: String,
    },
}
