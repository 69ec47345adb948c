//! `corosync-qnetd-certutil`: makes the arbiter's certificates and signs those of clusters.
//!
//! Options, texts and exit codes are those of the reference's script (provisioning spec, section
//! 2), because cluster tools call it by this name. The differences:
//!
//! - A failure is never reported as success: the script prints `Certificate stored in` and exits
//!   0 even when it stored nothing.
//! - What only concerned NSS's own tool is not printed (its questions).
//! - The directory is `/etc/corosync/qnetd/nssdb`, as there, unless the configuration file or the
//!   environment name another (`QARBITER_STATE_DIR`). There is no option for it, so that every
//!   option letter means, or is refused as, the same as there.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use crate::config::{ConfigErrors, identity_settings};
use crate::pki::{Access, ClusterName, Profile, Store, StoreError};

/// Where the reference keeps its certificates.
pub const DEFAULT_STATE_DIR: &str = "/etc/corosync/qnetd/nssdb";

/// Far above any request; the ones that nodes make have 600 to 800 bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// The work could not be done.
const FAILED: u8 = 1;

/// A needed argument is missing, or names a file that is not there.
const INCOMPLETE: u8 = 2;

/// Runs the tool in the process's environment.
pub fn main(program: &OsStr, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(program, arguments, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            let mut line = stop.message;
            line.push(b'\n');
            // Nothing is left to tell it to when this fails; the exit code still does.
            let _ = io::stderr().write_all(&line);
            ExitCode::from(stop.code)
        }
    }
}

/// Why the tool ends without success. Bytes, because file names and options need not be UTF-8.
#[derive(Debug, PartialEq, Eq)]
struct Stop {
    code: u8,
    message: Vec<u8>,
}

impl Stop {
    fn failed(message: impl Display) -> Self {
        Self {
            code: FAILED,
            message: message.to_string().into_bytes(),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<ConfigErrors> for Stop {
    fn from(errors: ConfigErrors) -> Self {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Self::failed(lines.join("\n"))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::failed(format_args!("cannot write to the standard output: {error}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Initialize,
    Sign,
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Usage,
    Run(Options),
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    operation: Operation,
    access: Access,
    request: OsString,
    name: OsString,
}

fn run(
    program: &OsStr,
    arguments: impl IntoIterator<Item = OsString>,
    output: &mut dyn Write,
) -> Result<(), Stop> {
    match parse(arguments)? {
        Command::Usage => usage(program, output)?,
        Command::Run(options) => {
            let (directory, profile) = identity_settings()?;
            let tool = Tool {
                program,
                directory: &directory,
                profile,
            };
            match options.operation {
                Operation::Initialize => tool.initialize(options.access, output)?,
                Operation::Sign => tool.sign(&options, output)?,
            }
        }
    }
    Ok(output.flush()?)
}

fn usage(program: &OsStr, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(program.as_bytes())?;
    output.write_all(
        b": [-i|-s] [-c certificate] [-G] [-n cluster_name]\n\
          \n\
          \x20-i                  Initialize QNetd CA and generate server certificate\n\
          \x20-s                  Sign cluster certificate (needs cluster certificate)\n\
          \x20-c certificate      CRQ certificate file name\n\
          \x20-G                  Do not set group write bit for new files\n\
          \x20-n cluster_name     Name of cluster (for -s operation)\n",
    )
}

struct Tool<'a> {
    program: &'a OsStr,
    directory: &'a Path,
    /// What new keys and certificates are like.
    profile: Profile,
}

impl Tool<'_> {
    fn initialize(&self, access: Access, output: &mut dyn Write) -> Result<(), Stop> {
        if Store::exists(self.directory)? {
            return Err(StoreError::AlreadyExists(self.directory.to_owned()).into());
        }
        if !self.directory.is_dir() {
            writeln!(output, "Creating {}", self.directory.display())?;
        }
        writeln!(output, "Creating new key and cert db")?;
        let noise = self.directory.join("noise.txt");
        let which = if noise.exists() {
            "Using existing"
        } else {
            "Creating new"
        };
        writeln!(output, "{which} noise file {}", noise.display())?;
        writeln!(output, "Creating new CA")?;
        let store = Store::create(self.directory, access, self.profile, SystemTime::now())?;
        writeln!(
            output,
            "QNetd CA certificate is exported as {}",
            store.ca_path().display()
        )?;
        Ok(())
    }

    fn sign(&self, options: &Options, output: &mut dyn Write) -> Result<(), Stop> {
        let file = Path::new(&options.request);
        // The order of the checks is the reference's.
        if !file.exists() {
            return Err(Stop {
                code: INCOMPLETE,
                message: [
                    b"Can't open certificate file ".as_slice(),
                    options.request.as_bytes(),
                ]
                .concat(),
            });
        }
        if options.name.is_empty() {
            return Err(Stop {
                code: INCOMPLETE,
                message: b"You have to specify cluster name".to_vec(),
            });
        }
        let store = match Store::open(self.directory) {
            Err(StoreError::Missing(_)) => {
                return Err(Stop {
                    code: FAILED,
                    message: [
                        b"Certificate database doesn't exists. Use ".as_slice(),
                        self.program.as_bytes(),
                        b" -i to create it",
                    ]
                    .concat(),
                });
            }
            other => other?,
        };
        let name = options.name.to_str().ok_or_else(|| {
            Stop::failed("the cluster name is not valid UTF-8, so it cannot be in a certificate")
        })?;
        let name = ClusterName::new(name).map_err(Stop::failed)?;
        writeln!(output, "Signing cluster certificate")?;
        let request = read_request(file).map_err(|error| {
            Stop::failed(format_args!("cannot read {}: {error}", file.display()))
        })?;
        let signed = store
            .sign(&request, &name, self.profile.valid_for, SystemTime::now())
            .map_err(|error| match error {
                StoreError::Request(_) | StoreError::OtherName { .. } => {
                    Stop::failed(format_args!("{}: {error}", file.display()))
                }
                other => other.into(),
            })?;
        // pcs takes the path from this line, the last one.
        output.write_all(b"Certificate stored in ")?;
        output.write_all(signed.path.as_os_str().as_bytes())?;
        output.write_all(b"\n")?;
        Ok(())
    }
}

fn read_request(file: &Path) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    File::open(file)?
        .take(MAX_REQUEST + 1)
        .read_to_end(&mut request)?;
    if request.len() as u64 > MAX_REQUEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is too long for a certificate request",
        ));
    }
    Ok(request)
}

/// Reads the options by the rules of the shell's `getopts ":Ghisc:n:"`: letters may share a dash,
/// a value may follow its letter directly, `--` or the first other argument ends the options, and
/// each option takes effect, or fails, before the next is looked at.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Stop> {
    let mut arguments = arguments.into_iter();
    let mut operation = None;
    let mut access = Access::GroupWrite;
    let mut request = OsString::new();
    let mut name = OsString::new();
    while let Some(argument) = arguments.next() {
        let Some(letters) = argument.as_bytes().strip_prefix(b"-") else {
            break;
        };
        if letters.is_empty() || letters == b"-" {
            break;
        }
        let mut letters = letters.iter();
        while let Some(&letter) = letters.next() {
            match letter {
                b'i' => operation = Some(Operation::Initialize),
                b's' => operation = Some(Operation::Sign),
                b'G' => access = Access::GroupRead,
                b'h' => return Ok(Command::Usage),
                b'c' | b'n' => {
                    let rest = std::mem::take(&mut letters).as_slice();
                    let value = if rest.is_empty() {
                        arguments.next().ok_or_else(|| Stop {
                            code: FAILED,
                            message: [b"Option -", [letter].as_slice(), b" requires an argument."]
                                .concat(),
                        })?
                    } else {
                        OsString::from_vec(rest.to_vec())
                    };
                    if letter == b'c' {
                        request = value;
                    } else {
                        name = value;
                    }
                }
                unknown => {
                    return Err(Stop {
                        code: FAILED,
                        message: [b"Invalid option: -".as_slice(), &[unknown]].concat(),
                    });
                }
            }
        }
    }
    Ok(operation.map_or(Command::Usage, |operation| {
        Command::Run(Options {
            operation,
            access,
            request,
            name,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, Stop> {
        parse(arguments.iter().map(OsString::from))
    }

    fn options(operation: Operation, access: Access, request: &str, name: &str) -> Command {
        Command::Run(Options {
            operation,
            access,
            request: request.into(),
            name: name.into(),
        })
    }

    #[test]
    fn letters_and_values_combine_as_in_a_shell_script() {
        use Access::{GroupRead, GroupWrite};
        use Operation::{Initialize, Sign};
        for (arguments, expected) in [
            (&["-i"][..], options(Initialize, GroupWrite, "", "")),
            (&["-iG"], options(Initialize, GroupRead, "", "")),
            (
                &["-s", "-c", "f", "-n", "a"],
                options(Sign, GroupWrite, "f", "a"),
            ),
            (&["-scf", "-na b"], options(Sign, GroupWrite, "f", "a b")),
            (
                &["-Gsc", "-n", "-n-i"],
                options(Sign, GroupRead, "-n", "-i"),
            ),
            (&["-s", "-i"], options(Initialize, GroupWrite, "", "")),
            (&["-is"], options(Sign, GroupWrite, "", "")),
            (&["-i", "--", "-s"], options(Initialize, GroupWrite, "", "")),
            (
                &["-i", "word", "-s"],
                options(Initialize, GroupWrite, "", ""),
            ),
            (&["-i", "-", "-s"], options(Initialize, GroupWrite, "", "")),
            (
                &["-c", "a", "-cb", "-s"],
                options(Sign, GroupWrite, "b", ""),
            ),
            (&[], Command::Usage),
            (&["-G"], Command::Usage),
            (&["word", "-i"], Command::Usage),
            (&["", "-i"], Command::Usage),
            (&["-i", "-h", "-x"], Command::Usage),
        ] {
            assert_eq!(parsed(arguments), Ok(expected), "{arguments:?}");
        }
    }

    #[test]
    fn wrong_options_stop_at_once() {
        for (arguments, message) in [
            (&["-x", "-h"][..], "Invalid option: -x"),
            (&["-i:"], "Invalid option: -:"),
            (&["--help"], "Invalid option: --"),
            (&["-i", "-n"], "Option -n requires an argument."),
            (&["-sc"], "Option -c requires an argument."),
        ] {
            let stop = parsed(arguments).unwrap_err();
            assert_eq!(stop.code, 1);
            assert_eq!(stop.message, message.as_bytes(), "{arguments:?}");
        }
    }
}
