//! The OpenAPI document against the running server, by schemathesis (Python), which makes up
//! requests from the document and checks the answers against it.

use crate::lab::Arbiter;
use std::path::PathBuf;
use std::process::Command;

/// The release that the test was written with.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Schemathesis in an environment of its own below target/.
fn schemathesis() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../schemathesis");
    let program = dir.join("bin/st");
    if !program.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
        let pip = dir.join("bin/pip");
        run(Command::new(pip).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            SCHEMATHESIS,
        ]));
    }
    program
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn the_document_and_the_server_agree() {
    let dir = tempfile::tempdir().unwrap();
    let token = "admin-0123456789abcdef";
    let file = dir.path().join("token");
    std::fs::write(&file, token).unwrap();
    let arbiter = Arbiter::with(|http| http.admin_token = Some(file));
    let mut nodes = arbiter.pair(b"a");
    arbiter.split(&mut nodes, 8);
    let document = format!("http://{}/api/v1/openapi.json", arbiter.http);
    let config = dir.path().join("schemathesis.toml");
    // The name of a cluster that is there, so that not only 404 is seen.
    std::fs::write(&config, "[parameters]\n\"path.name\" = \"a\"\n").unwrap();
    let said = run(Command::new(schemathesis())
        .current_dir(dir.path())
        .arg("--config-file")
        .arg(&config)
        .args(["run", &document, "--workers", "1", "--max-examples", "20"])
        .args(["--phases", "examples,coverage,fuzzing", "--checks", "all"])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--seed", "1"]));
    // It ends with an error if something does not fit; this is that it has looked at all.
    assert!(said.contains("Tested: 13"), "{said}");
}
