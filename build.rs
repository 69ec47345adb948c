//! Compiles the schemas in `proto/` to Rust, without the protoc program, and finds out what
//! `qarbiter --version` says.

use std::error::Error;
use std::process::Command;

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
    set("TARGET", &std::env::var("TARGET")?);
    set("RUSTLS", &locked("rustls", "0.24.")?);
    set("RING", &locked("ring", "0.17.")?);
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    // Otherwise each commit would make everything be compiled again.
    let is_release = std::env::var("PROFILE")? == "release";
    let named = std::env::var("BUILD_COMMIT").ok();
    let commit = named.or_else(|| is_release.then(checked_out).flatten());
    set("COMMIT", commit.as_deref().unwrap_or("unknown"));
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    set("LINKED", if is_static { "static" } else { "dynamic" });
    Ok(())
}

/// Not `QARBITER_...`: cargo sets it also for what it runs, where that would be a setting.
fn set(name: &str, value: &str) {
    println!("cargo:rustc-env=VERSION_{name}={value}");
}

/// The version of a dependency, of those that begin like this.
fn locked(name: &str, begin: &str) -> Result<String, Box<dyn Error>> {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock")?;
    let wanted = format!("name = \"{name}\"\nversion = \"{begin}");
    let (_, rest) = lock
        .split_once(&wanted)
        .ok_or_else(|| format!("Cargo.lock has no {name} {begin}"))?;
    let end = rest.split('"').next().unwrap_or_default();
    Ok(format!("{begin}{end}"))
}

/// The commit of the work tree, if this is one.
fn checked_out() -> Option<String> {
    // A source inside of another one's work tree, such as a distribution's, is not of that commit.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let head = git(&["rev-parse", "HEAD"])?;
    // What changes with the next commit; none of it is there in every work tree.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for path in names.filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    Some(head)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
