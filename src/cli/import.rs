//! `qarbiter import`: an identity from PKCS #12 files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use super::{complain, secret};
use crate::pki::facts::Facts;
use crate::pki::p12::Contents;
use crate::pki::{Access, KeyKind, Profile, Store, StoreError, Years};

type Failure = Box<dyn std::error::Error>;

/// Above any such file.
const MAX_BYTES: u64 = 1024 * 1024;

/// Options of `qarbiter import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// A file with the CA and its key, or with the server's certificate and key; may be given
    /// twice. Without a server certificate a new one is made, of which nodes notice nothing
    #[arg(long, value_name = "FILE", required = true)]
    p12: Vec<PathBuf>,
    /// File with the password of the files in one line, - for the standard input
    /// [default: an empty password]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Directory for the arbiter's certificates [default: where corosync-qnetd has them]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The number in the former arbiter's serial.txt [default: unknown, so that some numbers are
    /// left out]
    #[arg(long, value_name = "N")]
    last_serial: Option<u64>,
    /// How many years a new server certificate is valid
    #[arg(long, value_name = "N", default_value_t)]
    years: Years,
    /// Kind of a new server's key: p256 or rsa2048
    #[arg(long, value_name = "KIND", default_value_t)]
    key: KeyKind,
}

impl Import {
    pub(crate) fn run(self) -> ExitCode {
        match self.import() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain("qarbiter import", &error);
                ExitCode::FAILURE
            }
        }
    }

    fn import(&self) -> Result<(), Failure> {
        let default = || super::certutil::DEFAULT_STATE_DIR.into();
        let state_dir = self.state_dir.clone().unwrap_or_else(default);
        // Before the work of opening the files.
        if Store::exists(&state_dir)? {
            return Err(StoreError::AlreadyExists(state_dir).into());
        }
        let password = match &self.password_file {
            Some(file) => secret::from_file(file)?,
            None => String::new(),
        };
        let mut contents = Contents::default();
        for path in &self.p12 {
            let file = super::identity::read(path, MAX_BYTES)?;
            contents
                .add(&file, &password)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let found = contents.find()?;
        let ca = Facts::of(&found.ca.certificate)?;
        let is_new = found.server.is_none();
        let profile = Profile {
            key: self.key,
            valid_for: self.years,
        };
        let store = Store::create_from(
            &state_dir,
            Access::GroupWrite,
            found.ca,
            found.server,
            profile,
            self.last_serial,
            SystemTime::now(),
        )?;
        println!(
            "The CA (SHA-256 {}) and {} server certificate are in {}.\n\
             Clusters that this CA signed can connect as before.",
            ca.sha256,
            if is_new { "a new" } else { "its" },
            store.path().display()
        );
        if self.last_serial.is_none() {
            println!(
                "Certificate numbers go on with a gap, because the files do not say which were \
                 given out. With the former serial.txt, --last-serial avoids that."
            );
        }
        Ok(())
    }
}
