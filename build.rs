//! Compiles the schemas in `proto/` to Rust, without the protoc program.

use std::error::Error;

const FILES: [&str; 1] = ["proto/qarbiter/v1/journal.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().compile_fds(schema)?;
    Ok(())
}
