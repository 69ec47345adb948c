//! `corosync-qnetd-tool` (protocol spec, section 10.5).

use super::complain;
use super::getopt::{FlagError, Flags};
use crate::config::control_socket;
use crate::ipc::client::{AskError, ask};
use crate::ipc::command::quoted;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

const NAME: &str = "corosync-qnetd-tool";

const USAGE: &str = "\
usage: corosync-qnetd-tool [-Hhlsv] [-c cluster_name] [-p qnetd_ipc_socket_path]
";

struct Request {
    operation: &'static str,
    verbose: bool,
    cluster: Option<OsString>,
    /// The one of the configuration if none is named.
    socket: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let request = match parse(arguments) {
        Ok(Some(request)) => request,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::from(1);
        }
        Err(error) => {
            complain(NAME, &error);
            print!("{USAGE}");
            return ExitCode::from(1);
        }
    };
    let socket = match request.socket.clone().map_or_else(control_socket, Ok) {
        Ok(socket) => socket,
        Err(errors) => {
            for error in &errors {
                complain(NAME, error);
            }
            return ExitCode::from(2);
        }
    };
    match ask(&socket, &request.line()) {
        Ok(text) => match std::io::stdout().write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        },
        Err(AskError::Refused(text)) => {
            eprintln!("Error: {text}");
            ExitCode::from(4)
        }
        Err(AskError::Connect { error, .. }) => {
            // The words are what tools look for.
            let text = format!("Can't connect to qnetd socket (is QNetd running?): {error}");
            complain(NAME, &text);
            ExitCode::from(3)
        }
        Err(error @ AskError::Strange { .. }) => {
            complain(NAME, &error);
            ExitCode::from(3)
        }
        Err(error @ AskError::Broken { .. }) => {
            complain(NAME, &error);
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Request>, FlagError> {
    let mut flags = Flags::new(arguments.collect(), b"Hhlsv", b"cp");
    let mut operation = None;
    let (mut verbose, mut cluster, mut socket) = (false, None, None);
    while let Some((flag, value)) = flags.next()? {
        match flag {
            b'H' => operation = Some("shutdown "),
            b'h' => return Ok(None),
            b'l' => operation = Some("list "),
            b's' => operation = Some("status "),
            b'v' => verbose = true,
            b'c' => cluster = Some(value),
            _ => socket = Some(value.into()),
        }
    }
    Ok(operation.map(|operation| Request {
        operation,
        verbose,
        cluster,
        socket,
    }))
}

impl Request {
    fn line(&self) -> Vec<u8> {
        let mut line = self.operation.as_bytes().to_vec();
        if self.verbose {
            line.extend_from_slice(b"verbose ");
        }
        if let Some(cluster) = &self.cluster {
            line.extend_from_slice(b"cluster ");
            line.extend(quoted(cluster.as_bytes()));
            line.push(b' ');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_references() {
        let arguments = ["-l", "-vc", "a\"b"].map(OsString::from);
        let request = parse(arguments.into_iter()).unwrap().unwrap();
        assert_eq!(request.line(), b"list verbose cluster \"a\\\"b\" ");
        assert!(
            parse(std::iter::once(OsString::from("-v")))
                .unwrap()
                .is_none()
        );
        assert!(parse(std::iter::once(OsString::from("-x"))).is_err());
    }
}
