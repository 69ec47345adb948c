//! A disk that is full: an error, and nothing half-written.

use std::process::Command;

use crate::sandbox::ours_in;

/// Runs a script in a mount namespace with a small disk at `$2`. `$1` is our tool.
fn on_a_small_disk(script: &str, kilobytes: u32) -> String {
    let around = tempfile::tempdir().unwrap();
    let program = ours_in(around.path());
    let disk = around.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let prepare = format!(
        "mount -t tmpfs -o size={kilobytes}k none \"$2\"\n\
         export QARBITER_STATE_DIR=\"$2/db\"\n{script}"
    );
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            &prepare,
        ])
        .args(["script".as_ref(), program.as_os_str(), disk.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{kilobytes}k: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn creating_fails_without_an_identity_and_succeeds_when_there_is_room() {
    let script = "
        openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
            -keyout /dev/null -subj /CN=A -out /dev/shm/$$.crq 2>/dev/null
        if \"$1\" -i >/dev/null 2>\"/dev/shm/$$.err\"; then echo made; else
            grep -q 'No space left on device' /dev/shm/$$.err
            test ! -e \"$2/db/cert9.db\"
            test ! -e \"$2/db/key4.db\"
            mount -o remount,size=1m \"$2\"
            \"$1\" -i >/dev/null
            echo refused
        fi
        mount -o remount,size=1m \"$2\"
        \"$1\" -s -c /dev/shm/$$.crq -n A >/dev/null
        openssl verify -CAfile \"$2/db/qnetd-cacert.crt\" \"$2/db/cluster-A.crt\" >/dev/null
        rm -f /dev/shm/$$.*";
    let outcomes: Vec<_> = (8..120)
        .step_by(8)
        .map(|kilobytes| on_a_small_disk(script, kilobytes))
        .collect();
    let count = |what: &str| outcomes.iter().filter(|one| one.trim() == what).count();
    assert!(count("refused") >= 5, "{outcomes:?}");
    assert!(count("made") >= 1, "{outcomes:?}");
}

#[test]
fn signing_fails_without_a_certificate() {
    let script = "
        openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
            -keyout /dev/null -subj /CN=A -out /dev/shm/$$.crq 2>/dev/null
        \"$1\" -i >/dev/null
        sha256sum \"$2\"/db/*.db >/dev/shm/$$.sums
        head -c 1000000 /dev/zero >\"$2/fill\" 2>/dev/null || true
        if \"$1\" -s -c /dev/shm/$$.crq -n A >/dev/null 2>/dev/shm/$$.err; then exit 1; fi
        grep 'No space left on device' /dev/shm/$$.err
        test ! -e \"$2/db/cluster-A.crt\"
        sha256sum --quiet -c /dev/shm/$$.sums
        rm \"$2/fill\"
        \"$1\" -s -c /dev/shm/$$.crq -n A >/dev/null
        rm -f /dev/shm/$$.*";
    let said = on_a_small_disk(script, 200);
    assert!(said.contains("cannot write"), "{said}");
}
