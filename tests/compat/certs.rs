//! Identities: the CA and server certificate of each server, made by its own `corosync-qnetd-certutil`, and client
//! certificates of every kind, signed with that CA's key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustls23::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls23::client::verify_server_cert_signed_by_trust_anchor;
use rustls23::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls23::pki_types::pem::PemObject;
use rustls23::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls23::server::ParsedCertificate;
use rustls23::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Serial numbers must differ per issuer name, also between CAs of the same name, or NSS refuses a certificate for
/// that reason alone.
static SERIAL: AtomicU32 = AtomicU32::new(1000);

/// Runs in its own mount namespace because the tool knows only one directory, `/etc/corosync/qnetd`.
const PROVISION: &str = r#"
set -e
mount -t tmpfs none /etc/corosync
mkdir /etc/corosync/qnetd
"$1" -i
openssl req -new -newkey rsa:2048 -nodes -keyout "$2/client.key" -subj /CN=Signed -outform DER -out "$2/signed.crq"
"$1" -s -c "$2/signed.crq" -n Signed
cp -a /etc/corosync/qnetd/nssdb "$2/nssdb"
openssl x509 -inform DER -in "$2/nssdb/cluster-Signed.crt" -out "$2/signed.crt"
"#;

/// Takes the CA's key out of the server's database, to sign what the tool would never sign.
const EXPORT_CA_KEY: &str = r#"
set -e
openssl x509 -in "$1/nssdb/qnetd-cacert.crt" -out "$1/ca.crt"
pk12util -d "$1/nssdb" -k "$1/nssdb/pwdfile.txt" -n "QNet CA" -W "" -o "$1/ca.p12"
openssl pkcs12 -in "$1/ca.p12" -nodes -nocerts -passin pass: | openssl pkey -out "$1/ca.key"
"#;

/// Dates before and after now need `openssl ca`; everything else is simpler without it.
const SIGN: &str = r#"
set -e
d=$1 out=$2 subj=$3 ext=$4 dates=$5 ca=$6 serial=$7
# With an extension openssl makes version 3, as certutil does without any.
printf '%b' "subjectKeyIdentifier=hash\n$ext" > "$out.ext"
openssl req -new -utf8 -key "$d/client.key" -subj "$subj" -out "$out.csr"
case $dates in
now) openssl x509 -req -in "$out.csr" -CA "$ca.crt" -CAkey "$ca.key" -days 30 -set_serial "$serial" -extfile "$out.ext" -out "$out" ;;
*)
    : > "$out.index"
    printf '%08x' "$serial" > "$out.serial"
    cat > "$out.conf" <<END
[ca]
default_ca = d
[d]
database = $out.index
serial = $out.serial
new_certs_dir = $(dirname "$out")
default_md = sha256
policy = p
x509_extensions = x
[x]
subjectKeyIdentifier = hash
[p]
commonName = supplied
END
    openssl ca -batch -notext -config "$out.conf" -in "$out.csr" -cert "$ca.crt" -keyfile "$ca.key" \
        -startdate "${dates%-*}" -enddate "${dates#*-}" -out "$out" ;;
esac
"#;

const FOREIGN_CA: &str = r#"
set -e
openssl req -x509 -new -newkey rsa:2048 -nodes -keyout "$1/foreign.key" -subj "/CN=QNet CA" -days 30 \
    -set_serial 500000 -out "$1/foreign.crt"
"#;

fn shell(script: &str, args: &[&str], unshare: bool) {
    let mut command = if unshare {
        Command::new("unshare")
    } else {
        Command::new("sh")
    };
    if unshare {
        command.args(["-m", "sh"]);
    }
    let output = command
        .args(["-c", script, "compat"])
        .args(args)
        .output()
        .expect("sh and unshare are installed");
    assert!(
        output.status.success(),
        "making certificates failed (needs root, openssl and libnss3-tools); arguments {args:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The CA of one server and everything signed by it.
pub(crate) struct Identity {
    dir: PathBuf,
    ca: CertificateDer<'static>,
    issued: Mutex<HashMap<String, CertificateDer<'static>>>,
}

impl Identity {
    /// Makes CA and server certificate with `tool`, a `corosync-qnetd-certutil`, in the new directory `dir`.
    pub(crate) fn create(tool: &Path, dir: PathBuf) -> Self {
        std::fs::create_dir(&dir).expect("new directory");
        let place = dir.to_str().expect("plain path");
        shell(
            PROVISION,
            &[tool.to_str().expect("plain path"), place],
            true,
        );
        let dump = std::fs::read(dir.join("nssdb/qnetd-cacert.crt")).expect("exported CA");
        let ca = CertificateDer::from_pem_slice(&dump).expect("CA in PEM");
        shell(EXPORT_CA_KEY, &[place], false);
        shell(FOREIGN_CA, &[place], false);
        Self {
            dir,
            ca,
            issued: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("nssdb")
    }

    /// The client certificate that `spec` describes, `KIND:NAME`:
    ///
    /// | kind | certificate |
    /// |---|---|
    /// | `cn` | CN=NAME, as the standard tools make it |
    /// | `cns` | one CN for each part of `a+b`, in that order |
    /// | `san` | `CN+dns+dns`: subject alternative names besides the CN |
    /// | `org` | O=Org, CN=NAME |
    /// | `expired`, `future` | CN=NAME, valid only in the past, only later |
    /// | `eku-server`, `eku-client` | CN=NAME, restricted to that purpose |
    /// | `self` | self-signed CN=NAME |
    /// | `foreign` | CN=NAME, signed by another CA of the same name |
    /// | `signed` | CN=Signed, made by the server's own `corosync-qnetd-certutil -s` |
    fn issue(&self, spec: &str) -> CertificateDer<'static> {
        // Held while signing: two scenarios may ask for the same certificate.
        let mut issued = self
            .issued
            .lock()
            .expect("no scenario panicked while signing");
        if let Some(done) = issued.get(spec) {
            return done.clone();
        }
        let (kind, name) = spec.split_once(':').unwrap_or((spec, ""));
        let place = self.dir.to_str().expect("plain path");
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let out = if kind == "signed" {
            format!("{place}/signed.crt")
        } else {
            format!("{place}/{serial}.pem")
        };
        let cn = format!("/CN={name}");
        let own = format!("{place}/ca");
        let sign = |subject: &str, ext: &str, dates: &str, ca: &str| {
            shell(
                SIGN,
                &[place, &out, subject, ext, dates, ca, &serial.to_string()],
                false,
            );
        };
        match kind {
            "signed" => {}
            "cn" => sign(&cn, "", "now", &own),
            "cns" => sign(
                &name
                    .split('+')
                    .map(|n| format!("/CN={n}"))
                    .collect::<String>(),
                "",
                "now",
                &own,
            ),
            "san" => {
                let mut names = name.split('+');
                let subject = format!("/CN={}", names.next().unwrap_or(""));
                let list: Vec<String> = names.map(|n| format!("DNS:{n}")).collect();
                sign(
                    &subject,
                    &format!("subjectAltName={}\\n", list.join(",")),
                    "now",
                    &own,
                );
            }
            "org" => sign(&format!("/O=Org{cn}"), "", "now", &own),
            "expired" => sign(&cn, "", "20200101000000Z-20210101000000Z", &own),
            "future" => sign(&cn, "", "21000101000000Z-21010101000000Z", &own),
            "eku-server" => sign(&cn, "extendedKeyUsage=serverAuth\\n", "now", &own),
            "eku-client" => sign(&cn, "extendedKeyUsage=clientAuth\\n", "now", &own),
            "foreign" => sign(&cn, "", "now", &format!("{place}/foreign")),
            "self" => shell(
                r#"openssl req -x509 -new -key "$1/client.key" -subj "$3" -days 30 -set_serial "$4" -out "$2""#,
                &[place, &out, &cn, &serial.to_string()],
                false,
            ),
            _ => panic!("unknown certificate kind {spec}"),
        }
        let made = CertificateDer::from_pem_file(&out).expect("certificate in PEM");
        issued.insert(spec.to_owned(), made.clone());
        made
    }

    /// A client configuration for one TLS version (`1.2` or `1.3`) with the certificate `spec`, or `none`.
    pub(crate) fn client(&self, version: &str, spec: &str) -> Arc<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let versions = match version {
            "1.2" => [&rustls23::version::TLS12],
            "1.3" => [&rustls23::version::TLS13],
            _ => panic!("unknown TLS version {version}"),
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .expect("versions of the provider")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned::new(&self.ca, provider)));
        let mut config = if spec == "none" {
            builder.with_no_client_auth()
        } else {
            let key = PrivateKeyDer::from_pem_file(self.dir.join("client.key"))
                .expect("client key in PEM");
            builder
                .with_client_auth_cert(vec![self.issue(spec)], key)
                .expect("key fits")
        };
        config.enable_sni = false;
        Arc::new(config)
    }
}

/// Accepts exactly the certificates that chain to the server's CA. The name cannot be checked the usual way: it is
/// `Qnetd Server`, in the CN (protocol spec 6.6); the scenario verb `identity` looks at it.
#[derive(Debug)]
struct Pinned {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(ca: &CertificateDer<'static>, provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).expect("usable CA");
        Self { roots, provider }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
