//! `corosync-qnetd`: the reference's command line (protocol spec, section 9.1).

use super::daemon::{self, Start, StartError};
use super::getopt::{self, Flags};
use super::{complain, detach};
use crate::config::{CommandLine, ConfigErrors, Family, FlagError, Loaded, Sources};
use crate::telemetry::log::{self, Sinks};
use crate::telemetry::syslog::Syslog;
use crate::telemetry::systemd;
use crate::wire::{Algorithm, MessageType};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

const NAME: &str = "corosync-qnetd";

const USAGE: &str = "\
usage: corosync-qnetd [-46dfhv] [-l listen_addr] [-p listen_port] [-s tls]
              [-c client_cert_required] [-m max_clients] [-S option=value[,option2=value2,...]]
";

/// What the command line asks for.
enum Wanted {
    Usage,
    Version,
    Run(Box<Run>),
}

struct Run {
    command_line: CommandLine,
    foreground: bool,
}

#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Setting(#[from] FlagError),
    #[error(transparent)]
    Usage(#[from] getopt::FlagError),
}

/// The daemon can't be started.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the command.
pub(crate) fn main(program: &OsStr, arguments: Vec<OsString>) -> ExitCode {
    match parse(arguments.clone()) {
        Ok(Wanted::Usage) => {
            print!("{USAGE}");
            ExitCode::FAILURE
        }
        Ok(Wanted::Version) => {
            print!("{}", version());
            ExitCode::FAILURE
        }
        Ok(Wanted::Run(run)) => run.start(program, &arguments),
        Err(error) => {
            complain(NAME, &error);
            if matches!(error, LineError::Usage(_)) {
                print!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Wanted, LineError> {
    let mut flags = Flags::new(arguments, b"46dfhv", b"lpscmS");
    let mut run = Run {
        command_line: CommandLine::default(),
        foreground: false,
    };
    let line = &mut run.command_line;
    while let Some((flag, value)) = flags.next()? {
        let value = value.to_string_lossy();
        match flag {
            b'4' => line.family(Family::V4),
            b'6' => line.family(Family::V6),
            b'd' => line.debug(),
            b'f' => run.foreground = true,
            b'h' => return Ok(Wanted::Usage),
            b'v' => return Ok(Wanted::Version),
            b'l' => line.listen(&value),
            b'p' => line.port(&value)?,
            b's' => line.tls(&value)?,
            b'c' => line.client_cert(&value)?,
            b'm' => line.max_clients(&value)?,
            _ => line.advanced(&value)?,
        }
    }
    Ok(Wanted::Run(Box::new(run)))
}

impl Run {
    fn start(self, program: &OsStr, arguments: &[OsString]) -> ExitCode {
        if !self.foreground && !detach::is_detached() {
            return detach::launch(program, arguments).unwrap_or_else(|error| {
                complain(NAME, &format_args!("can't run in the background: {error}"));
                ExitCode::FAILURE
            });
        }
        match self.load_and_serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Where there is a system log, it is what operators look at. The journal would
                // have each line twice, and knows better who wrote to the standard error.
                let is_journal = systemd::stderr_is_journal();
                let syslog = Syslog::open(NAME).ok().filter(|_| !is_journal);
                for line in error.to_string().lines() {
                    match is_journal {
                        true => eprintln!("<3>{line}"),
                        false => complain(NAME, &line),
                    }
                    if let Some(syslog) = &syslog {
                        let _ = syslog.send(tracing::Level::ERROR, line);
                    }
                }
                ExitCode::FAILURE
            }
        }
    }

    fn load_and_serve(self) -> Result<(), RunError> {
        let sources = Sources::of_process(None, self.command_line);
        let loaded = sources.load()?;
        Ok(serve(loaded, sources, self.foreground)?)
    }
}

fn serve(loaded: Loaded, sources: Sources, foreground: bool) -> Result<(), StartError> {
    if !foreground {
        detach::leave_session(NAME)?;
    }
    let settings = loaded.settings;
    let _log = log::start(Sinks {
        stderr: foreground,
        syslog: Some(NAME.to_owned()),
        debug: settings.debug,
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let ready = Box::new(move || {
        if foreground {
            Ok(())
        } else {
            detach::announce()
        }
    });
    let reload = daemon::reload_from(sources);
    daemon::run(settings, Start { reload, ready })
}

fn version() -> String {
    let list = |names: Vec<String>| names.join(", ");
    let algorithms = Algorithm::ALL
        .iter()
        .map(|a| format!("{a} ({})", a.to_wire()))
        .collect();
    let messages = MessageType::ALL
        .iter()
        .map(|m| format!("{m} ({})", m.to_wire()))
        .collect();
    format!(
        "Corosync Qdevice Network Daemon, version 'qarbiter {}'\n\n\
         Supported algorithms: {}\nSupported message types: {}\n",
        env!("CARGO_PKG_VERSION"),
        list(algorithms),
        list(messages)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::wire::TlsSupport;

    fn run(arguments: &[&str]) -> Result<Run, LineError> {
        match parse(arguments.iter().map(OsString::from).collect())? {
            Wanted::Run(run) => Ok(*run),
            Wanted::Usage | Wanted::Version => panic!("nothing to run"),
        }
    }

    /// As they are without a file and without variables.
    fn settings(run: Run) -> Settings {
        let loaded = Sources::alone(run.command_line).load();
        loaded.unwrap_or_else(|error| panic!("{error}")).settings
    }

    #[test]
    fn flags_are_combined_and_repeated() {
        let run = run(&[
            "-fd4",
            "-l",
            "127.0.0.1",
            "-p15403",
            "-sREQ",
            "-c",
            "no",
            "-m",
            "7",
            "-S",
            "nss_db_dir=/x,listen_backlog=3",
            "-Srules=reference",
            "-d",
        ])
        .unwrap_or_else(|error| panic!("{error}"));
        assert!(run.foreground);
        let settings = settings(run);
        assert!(settings.debug);
        assert_eq!(settings.family, Family::V4);
        assert_eq!(settings.listen.as_deref(), Some("127.0.0.1"));
        assert_eq!((settings.port, settings.max_clients), (15403, 7));
        assert_eq!(settings.session.tls, TlsSupport::Required);
        assert!(!settings.session.client_cert_required);
        assert_eq!(settings.identity_dir.to_str(), Some("/x"));
        assert_eq!(settings.listen_backlog, 3);
    }

    #[test]
    fn tls_is_required_by_default() {
        let run = run(&["-f"]).unwrap_or_else(|error| panic!("{error}"));
        let settings = settings(run);
        assert_eq!(settings.session.tls, TlsSupport::Required);
        assert!(settings.session.client_cert_required);
    }

    #[test]
    fn bad_values_have_the_texts_of_the_reference() {
        let cases = [
            (&["-s", "maybe"][..], "tls must be one of on, off, req"),
            (&["-p", "0"], "host port must be in range 1-65535"),
            (&["-p", "65536"], "host port must be in range 1-65535"),
            (
                &["-c", "2"],
                "client_cert_required should be on/yes/1, off/no/0",
            ),
            (&["-m", "x"], "max clients value x is invalid"),
            (&["-S", "a=1"], "Unknown option 'a'"),
            (
                &["-S", "dpd_enabled=x"],
                "Invalid value 'x' for option 'dpd_enabled'",
            ),
        ];
        for (arguments, text) in cases {
            let Err(error) = run(arguments) else {
                panic!("{arguments:?} was taken")
            };
            assert_eq!(error.to_string(), text);
        }
        assert!(run(&["-x"]).is_err() && run(&["-p"]).is_err());
    }
}
