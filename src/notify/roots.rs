//! The CAs that webhooks' certificates may come from.

use crate::tls::SystemClock;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the CAs that they trust, in one file: Debian, Alpine and Arch; Fedora and
/// RHEL; openSUSE; older RHEL.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// There is nothing to check certificates with.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    /// The system has no file of CAs.
    #[error(
        "https needs to know which CAs to trust, and there is none of {all}; install the package \
         ca-certificates, in a container mount the host's file there (-v {first}:{first}:ro), or name one \
         with ca_file=", all = BUNDLES.join(", "), first = BUNDLES[0]
    )]
    NoBundle,
    /// The file can't be read.
    #[error("can't read the CAs for https in {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It holds no CA.
    #[error("{path} holds no CA certificate in PEM format", path = .0.display())]
    Empty(PathBuf),
    /// TLS can't be set up with them.
    #[error("https can't be set up: {0}")]
    Tls(rustls::error::Error),
}

/// The settings of TLS towards a server whose certificate comes from one of the CAs in that file,
/// or else of the system's.
///
/// # Errors
/// [`RootsError`].
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, RootsError> {
    let path = match ca_file {
        Some(path) => path,
        None => {
            let known = BUNDLES.iter().map(Path::new);
            known
                .into_iter()
                .find(|path| path.exists())
                .ok_or(RootsError::NoBundle)?
        }
    };
    let text = std::fs::read(path).map_err(|error| RootsError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let blocks = pem::parse_many(text).unwrap_or_default();
    let certificates = blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE");
    let certificates = certificates.map(|block| CertificateDer::from(block.into_contents()));
    let mut roots = RootCertStore::empty();
    // Among hundreds some are of kinds that we don't know.
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(RootsError::Empty(path.to_owned()));
    }
    let provider = Arc::new(rustls_ring::DEFAULT_PROVIDER);
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(SystemClock))
        .with_root_certificates(roots)
        .with_no_client_auth()
        .map_err(RootsError::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec().into()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_say_what_to_do() {
        let text = RootsError::NoBundle.to_string();
        let mount = "-v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro";
        assert!(text.contains(mount), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let error = client_config(Some(&file)).err().unwrap().to_string();
        assert!(error.contains("ca.pem: No such file"), "{error}");
        std::fs::write(&file, "-----BEGIN NOTHING-----\n").unwrap();
        let error = client_config(Some(&file)).err().unwrap().to_string();
        assert!(
            error.ends_with("ca.pem holds no CA certificate in PEM format"),
            "{error}"
        );
    }
}
