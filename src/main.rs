//! qarbiter: one program that goes by several names.

use std::process::ExitCode;

fn main() -> ExitCode {
    qarbiter::cli::main()
}
