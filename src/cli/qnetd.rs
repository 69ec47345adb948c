//! `corosync-qnetd`: the reference's command line (protocol spec, section 9.1).

use super::daemon::{self, Start, StartError};
use super::getopt::{self, Flags};
use super::{complain, detach};
use crate::config::{Family, SettingError, Settings, advanced};
use crate::telemetry::log::{self, Sinks};
use crate::telemetry::syslog::Syslog;
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
    settings: Settings,
    foreground: bool,
    warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum FlagError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Usage(#[from] getopt::FlagError),
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
            if matches!(error, FlagError::Usage(_)) {
                print!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Wanted, FlagError> {
    let mut flags = Flags::new(arguments, b"46dfhv", b"lpscmS");
    let mut run = Run {
        settings: Settings::default(),
        foreground: false,
        warnings: Vec::new(),
    };
    let settings = &mut run.settings;
    while let Some((flag, value)) = flags.next()? {
        let value = value.to_string_lossy();
        match flag {
            b'4' => settings.family = Family::V4,
            b'6' => settings.family = Family::V6,
            b'd' => settings.debug = true,
            b'f' => run.foreground = true,
            b'h' => return Ok(Wanted::Usage),
            b'v' => return Ok(Wanted::Version),
            b'l' => settings.listen = Some(value.into_owned()),
            b'p' => settings.set_port(&value)?,
            b's' => settings.set_tls(&value)?,
            b'c' => settings.set_client_cert(&value)?,
            b'm' => settings.set_max_clients(&value)?,
            _ => run.warnings.extend(advanced::apply(settings, &value)?),
        }
    }
    settings.policies.check()?;
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
        let sinks = Sinks {
            stderr: self.foreground,
            syslog: Some(NAME.to_owned()),
            debug: self.settings.debug,
        };
        match self.serve(sinks) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(NAME, &error);
                // Where there is a system log, it is what operators look at.
                if let Ok(syslog) = Syslog::open(NAME) {
                    let _ = syslog.send(tracing::Level::ERROR, &error.to_string());
                }
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self, sinks: Sinks) -> Result<(), StartError> {
        if !self.foreground {
            detach::leave_session(NAME)?;
        }
        let _log = log::start(sinks)?;
        self.run()
    }

    fn run(self) -> Result<(), StartError> {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        let detached = !self.foreground;
        let ready = Box::new(move || if detached { detach::announce() } else { Ok(()) });
        let settings = self.settings.clone();
        let reload = Box::new(move || Ok(settings.clone()));
        daemon::run(self.settings, Start { reload, ready })
    }
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
    use crate::wire::TlsSupport;

    fn run(arguments: &[&str]) -> Result<Box<Run>, FlagError> {
        match parse(arguments.iter().map(OsString::from).collect())? {
            Wanted::Run(run) => Ok(run),
            Wanted::Usage | Wanted::Version => panic!("nothing to run"),
        }
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
        assert!(run.foreground && run.settings.debug);
        let settings = run.settings;
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
        assert_eq!(run.settings.session.tls, TlsSupport::Required);
        assert!(run.settings.session.client_cert_required);
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
