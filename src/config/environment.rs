//! Environment variables: `QARBITER_SECTION_NAME` for every setting.

use super::advice::advice_for_variable;
use super::error::{ConfigError, Origin, Problem, quoted};
use super::keys::KEYS;
use super::layers::{Assignment, state_dir};
use super::value::Dialect;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What all of our variables begin with.
pub(super) const PREFIX: &str = "QARBITER_";

/// Names the configuration file.
pub const CONFIG_VARIABLE: &str = "QARBITER_CONFIG";

/// Keeps everything in one directory, as `--state-dir` does.
pub const STATE_DIR_VARIABLE: &str = "QARBITER_STATE_DIR";

/// Marks the process in the background.
pub(crate) const DETACHED_VARIABLE: &str = "QARBITER_DETACHED";

/// Variables of the tests.
const TESTS_PREFIX: &str = "QARBITER_SIM_";

/// The variables of the process that concern us. An empty one is as good as none: files for
/// containers are written like that (`QARBITER_LISTEN_PORT=${PORT:-}`).
pub(super) fn of_process() -> Vec<(String, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    variables.sort();
    variables
}

/// Reads the settings from variables.
pub(super) fn read(variables: &[(String, OsString)]) -> (Vec<Assignment>, Vec<ConfigError>) {
    let mut assignments = Vec::new();
    let mut errors = Vec::new();
    let dir = variables
        .iter()
        .find(|(name, _)| name == STATE_DIR_VARIABLE);
    if let Some((name, dir)) = dir {
        assignments = state_dir(Path::new(dir), &Origin::Variable(name.clone()));
    }
    for (name, value) in variables
        .iter()
        .filter(|(name, value)| !is_other(name, value))
    {
        match read_one(name, value) {
            Ok(assignment) => assignments.push(assignment),
            Err(error) => errors.push(error),
        }
    }
    (assignments, errors)
}

fn read_one(name: &str, value: &OsStr) -> Result<Assignment, ConfigError> {
    let origin = Origin::Variable(name.to_owned());
    let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
        let advice = advice_for_variable(name, &[CONFIG_VARIABLE, STATE_DIR_VARIABLE]);
        return Err(ConfigError::at(origin, Problem::UnknownVariable(advice)));
    };
    let Some(text) = value.to_str() else {
        return Err(ConfigError::at(origin, Problem::NotText));
    };
    match key.kind.parse(text, Dialect::Environment) {
        Ok(value) if key.check(value.as_ref()).is_ok() => Ok(Assignment::new(key, value, origin)),
        _ => Err(ConfigError::value(origin, key, quoted(text))),
    }
}

/// Whether the variable is no setting of ours, although it looks like one.
fn is_other(name: &str, value: &OsStr) -> bool {
    [CONFIG_VARIABLE, STATE_DIR_VARIABLE, DETACHED_VARIABLE].contains(&name)
        || name.starts_with(TESTS_PREFIX)
        || is_service_link(name, value)
}

/// Kubernetes and Docker tell every container where services are. With a service that is called
/// `qarbiter` or `qarbiter-NAME`, these variables have our prefix: `QARBITER_SERVICE_HOST`,
/// `QARBITER_PORT=tcp://10.0.0.1:5403`, `QARBITER_PORT_5403_TCP_ADDR` and so on.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address = value.to_str().is_some_and(|value| {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    });
    let is_of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    is_address
        || is_of_port
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
}
