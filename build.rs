//! Compiles the schemas in `proto/` to Rust, without the protoc program.

use std::error::Error;

const FILES: [&str; 5] = [
    "proto/qarbiter/v1/alert.proto",
    "proto/qarbiter/v1/event.proto",
    "proto/qarbiter/v1/history.proto",
    "proto/qarbiter/v1/journal.proto",
    "proto/qarbiter/v1/status.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(FILES, ["proto"])?;
    let mut config = prost_build::Config::new();
    // What is only in files is never shown as JSON.
    let shown = schema.file.iter().filter(|file| {
        let name = file.name();
        !name.ends_with("journal.proto") && !name.ends_with("history.proto")
    });
    for message in shown.flat_map(|file| &file.message_type) {
        let path = format!(".qarbiter.v1.{}", message.name());
        // JSON has the names of the schema, and leaves out what is missing.
        for field in message.field.iter().filter(|field| field.proto3_optional()) {
            config.field_attribute(
                format!("{path}.{}", field.name()),
                "#[serde(default, skip_serializing_if = \"Option::is_none\")]",
            );
        }
        config.message_attribute(path, "#[derive(serde::Serialize, serde::Deserialize)]");
    }
    config.compile_fds(schema)?;
    Ok(())
}
