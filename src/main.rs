//! qarbiter: one program that goes by several names.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    match Path::new(&program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some("corosync-qnetd-certutil") => qarbiter::cli::certutil::main(&program, arguments),
        _ => ExitCode::FAILURE,
    }
}
