//! Running in the background, as the reference does without `-f`.
//!
//! The program starts itself again in a session of its own and waits until that one listens, so
//! that a start that fails is seen by whoever started it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Marks the process in the background.
const MARK: &str = crate::config::DETACHED_VARIABLE;

/// What the process in the background says when it listens.
const READY: &[u8] = b"ready\n";

/// Whether this is the process in the background.
pub(crate) fn is_detached() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the process in the background and waits until it is ready or has failed.
///
/// # Errors
/// It can't be started.
pub(crate) fn launch(program: &OsStr, arguments: &[OsString]) -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(program)
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1)))
}

/// In the background: leaves the session of whoever started it, and takes the name back that the
/// process was started under, which tools look for (`killall corosync-qnetd`).
///
/// # Errors
/// The system refuses.
pub(crate) fn leave_session(name: &str) -> io::Result<()> {
    rustix::process::setsid()?;
    std::fs::write("/proc/self/comm", name)
}

/// In the background: says that it listens, and lets go of the terminal.
///
/// # Errors
/// The one that waits is gone, or there is no /dev/null.
pub(crate) fn announce() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(READY)?;
    stdout.flush()?;
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
