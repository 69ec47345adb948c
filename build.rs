//! Compiles the schemas in `proto/` to Rust, without the protoc program.

use std::error::Error;

const FILES: [&str; 2] = [
    "proto/qarbiter/v1/status.proto",
    "proto/qarbiter/v1/event.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let schema = protox::compile(FILES, ["proto"])?;
    // JSON has the names of the schema, and leaves out what is missing.
    let optional: Vec<String> = schema
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .flat_map(|message| {
            let of = message.name();
            let fields = message.field.iter().filter(|field| field.proto3_optional());
            fields.map(move |field| format!(".qarbiter.v1.{of}.{}", field.name()))
        })
        .collect();
    let mut config = prost_build::Config::new();
    config.message_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
    for path in optional {
        config.field_attribute(
            path,
            "#[serde(default, skip_serializing_if = \"Option::is_none\")]",
        );
    }
    config.compile_fds(schema)?;
    Ok(())
}
