//! `qarbiter identity`: the whole identity in one encrypted file, and back.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use super::{complain, secret};
use crate::config::{PASSPHRASE_VARIABLE, settings_of};
use crate::pki::bundle::{Bundle, BundleError, SERIAL_MARGIN};
use crate::pki::{Access, StoreError};

type Failure = Box<dyn std::error::Error>;

/// Where the configuration file is.
const CONFIG: &str = "/etc/qarbiter/qarbiter.toml";

/// Above any export.
const MAX_EXPORT: u64 = 512 * 1024 * 1024;

/// Above any configuration file.
const MAX_CONFIG: u64 = 1024 * 1024;

/// Passphrases that can be guessed protect nothing.
const MIN_PASSPHRASE: usize = 10;

/// Options of `qarbiter identity`.
#[derive(Debug, clap::Args)]
pub(crate) struct Identity {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write everything that makes this arbiter into one encrypted file.
    ///
    /// Who has the file and its passphrase can pose as this arbiter: keep them apart. The file is
    /// in the age format: `age -d FILE | tar x` opens it too.
    Export {
        #[command(flatten)]
        place: Place,
        /// The file to make; - for the standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Become the arbiter that was exported; the machine must not have an identity yet
    Import {
        #[command(flatten)]
        place: Place,
        /// The exported file; - for the standard input
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Directory with the arbiter's certificates [default: where corosync-qnetd has them]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// File with the passphrase in one line, - for the standard input; the environment variable
    /// QARBITER_PASSPHRASE counts too. Without both, an export makes one and shows it, and an import
    /// is refused
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The configuration file, which is exported along if it exists, and which an import does not
    /// overwrite [default: /etc/qarbiter/qarbiter.toml without --state-dir, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn state_dir(&self) -> Result<PathBuf, Failure> {
        Ok(settings_of(self.state_dir.clone())?.identity_dir)
    }

    fn config(&self) -> Option<PathBuf> {
        match (&self.config, &self.state_dir) {
            (Some(config), _) => Some(config.clone()),
            (None, None) => Some(CONFIG.into()),
            (None, Some(_)) => None,
        }
    }

    fn passphrase(&self) -> Result<Option<String>, Failure> {
        let given = secret::passphrase(self.passphrase_file.as_deref())?;
        match &given {
            Some(short) if short.chars().count() < MIN_PASSPHRASE => Err(format!(
                "the passphrase has fewer than {MIN_PASSPHRASE} characters, which is too easy to guess"
            )
            .into()),
            _ => Ok(given),
        }
    }
}

impl Identity {
    pub(crate) fn run(self) -> ExitCode {
        let done = match &self.command {
            Command::Export { place, out } => export(place, out),
            Command::Import { place, file } => import(place, file),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain("qarbiter identity", &error);
                ExitCode::FAILURE
            }
        }
    }
}

fn export(place: &Place, out: &Path) -> Result<(), Failure> {
    let given = place.passphrase()?;
    let config = match place.config() {
        Some(path) => read_if_there(&path, MAX_CONFIG)?,
        None => None,
    };
    let has_config = config.is_some();
    let bundle = Bundle::collect(&place.state_dir()?, config, SystemTime::now())?;
    let is_new = given.is_none();
    let passphrase = given.map_or_else(secret::generated, Ok)?;
    let sealed = bundle.seal(&passphrase)?;
    write_new(out, &sealed, 0o600)?;
    // Not the standard output, which may be the export.
    eprintln!(
        "Exported {} files{} to {}.",
        bundle.files(),
        if has_config {
            " and the configuration"
        } else {
            ""
        },
        out.display()
    );
    if is_new {
        eprintln!(
            "The passphrase, which is shown only now:\n\n  {passphrase}\n\n\
             Write it down and keep it apart from the file: without it the file is useless, and \
             with both anybody can pose as this arbiter."
        );
    }
    Ok(())
}

fn import(place: &Place, file: &Path) -> Result<(), Failure> {
    let passphrase = secret::passphrase(place.passphrase_file.as_deref())?.ok_or_else(|| {
        format!(
            "the passphrase is needed: --passphrase-file FILE, or the environment variable {}",
            PASSPHRASE_VARIABLE
        )
    })?;
    let mut sealed = Vec::new();
    let named = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let input: Box<dyn Read> = if file == Path::new("-") {
        if place.passphrase_file.as_deref() == Some(Path::new("-")) {
            return Err("the export and the passphrase cannot both be the standard input".into());
        }
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(named)?)
    };
    input
        .take(MAX_EXPORT)
        .read_to_end(&mut sealed)
        .map_err(named)?;
    let state_dir = place.state_dir()?;
    let bundle = Bundle::open(&sealed, &passphrase)?;
    let imported = match bundle.install(&state_dir, Access::GroupWrite) {
        Err(BundleError::Store(StoreError::AlreadyExists(taken))) => {
            return Err(format!(
                "an identity already exists in {0}. If no node has joined it, stop the arbiter, move \
                 {0} away, import again, and start the arbiter",
                taken.display()
            )
            .into());
        }
        done => done?,
    };
    println!(
        "This machine has the identity that was exported on {}: {} files in {}.\n\
         The next certificate gets a number that is {SERIAL_MARGIN} higher than it would have \
         been, because the other machine may have given some out since.\n\
         Never run both at the same time under one address.",
        imported.created,
        imported.files,
        state_dir.display()
    );
    if let Some(config) = imported.config {
        take_config(place, &config)?;
    }
    Ok(())
}

fn take_config(place: &Place, exported: &[u8]) -> Result<(), Failure> {
    let Some(path) = place.config() else {
        println!("The export has a configuration, too; --config FILE says where to put it.");
        return Ok(());
    };
    match read_if_there(&path, MAX_CONFIG)? {
        Some(present) if present == exported => {}
        Some(_) => println!(
            "{} differs from the one that was exported, and was left as it is.",
            path.display()
        ),
        None => {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)
                    .map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
            }
            // Nothing in it is secret, and the daemon's user has to read it.
            write_new(&path, exported, 0o644)?;
            println!("The configuration is in {}.", path.display());
        }
    }
    Ok(())
}

/// Reads a file that must be there.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    read_if_there(path, limit)?
        .ok_or_else(|| format!("cannot read {}: there is no such file", path.display()).into())
}

fn read_if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut contents = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut contents)) {
        Ok(_) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
    }
}

/// Writes a file that does not exist yet, with this mode, or the standard output.
fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), Failure> {
    let named = |error: io::Error| format!("cannot write {}: {error}", path.display());
    if path == Path::new("-") {
        let mut output = io::stdout().lock();
        return Ok(output
            .write_all(contents)
            .and_then(|()| output.flush())
            .map_err(named)?);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(named)?;
    file.write_all(contents)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            // A part of an export is worth nothing.
            let removed = std::fs::remove_file(path);
            match removed {
                Ok(()) => named(error),
                Err(_) => format!("{}, and a part of it stays there", named(error)),
            }
        })?;
    Ok(())
}
