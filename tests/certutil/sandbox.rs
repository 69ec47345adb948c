//! A private `/etc/corosync`, and commands that see it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The path by which cluster tools call it, and which its texts repeat.
pub(crate) const CERTUTIL: &str = "/usr/bin/corosync-qnetd-certutil";

/// The same on the nodes' side.
pub(crate) const NODE_CERTUTIL: &str = "/usr/sbin/corosync-qdevice-net-certutil";

/// The nodes' database.
pub(crate) const NODE_DB: &str = "/etc/corosync/qdevice/net/nssdb";

/// Ours, by its name in the sandbox.
const OURS: &str = env!("CARGO_BIN_EXE_qarbiter");

/// Whose program is behind [`CERTUTIL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Theirs,
    Ours,
}

/// A machine, as far as these tools look at it.
pub(crate) struct Sandbox {
    root: TempDir,
    whose: Whose,
}

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Demands success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Sandbox {
    pub(crate) fn new(whose: Whose) -> Self {
        let root = tempfile::tempdir().unwrap();
        // So that unprivileged users can get at what they own below.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(root.path().join("etc/qnetd")).unwrap();
        Self { root, whose }
    }

    /// A path outside for a path in `/etc/corosync`.
    pub(crate) fn outside(&self, inside: &str) -> PathBuf {
        let relative = inside.strip_prefix("/etc/corosync/").unwrap();
        self.root.path().join("etc").join(relative)
    }

    /// The server's database directory, seen from outside.
    pub(crate) fn db(&self) -> PathBuf {
        self.outside("/etc/corosync/qnetd/nssdb")
    }

    /// A command that will see the sandbox.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.command_with(self.whose, program)
    }

    /// The same with the server's tool of a choice.
    fn command_with(&self, whose: Whose, program: &str) -> Command {
        let ours = match whose {
            Whose::Theirs => "",
            Whose::Ours => OURS,
        };
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc"])
            .arg(
                "mount --bind \"$1\" /etc/corosync\n\
                 [ -z \"$2\" ] || mount --bind \"$2\" \"$3\"\n\
                 shift 3\n\
                 exec \"$@\"",
            )
            .arg("sandbox")
            .arg(self.root.path().join("etc"))
            .args([ours, CERTUTIL, program])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.command(program);
        command.args(arguments).output().unwrap().into()
    }

    /// Runs the server's tool.
    pub(crate) fn certutil(&self, arguments: &[&str]) -> Outcome {
        self.run(CERTUTIL, arguments)
    }

    /// Runs the server's tool of a choice.
    pub(crate) fn certutil_of(&self, whose: Whose, arguments: &[&str]) -> Outcome {
        let mut command = self.command_with(whose, CERTUTIL);
        command.args(arguments).output().unwrap().into()
    }

    /// Initializes with ours, with keys of a kind.
    pub(crate) fn initialize_ours(&self, kind: &str) -> Outcome {
        let mut command = self.command_with(Whose::Ours, CERTUTIL);
        let command = command.arg("-i").env("QARBITER_IDENTITY_KEY_TYPE", kind);
        command.output().unwrap().into()
    }

    /// Makes a node's request with the real tool and returns its path in the sandbox.
    pub(crate) fn node_request(&self, name: &str) -> String {
        let ca = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";
        if !self.outside(NODE_DB).exists() {
            self.run(NODE_CERTUTIL, &["-i", "-c", ca]).ok();
        }
        self.run(NODE_CERTUTIL, &["-r", "-n", name]).ok();
        let request = format!("{NODE_DB}/qdevice-net-node.crq");
        assert!(self.outside(&request).metadata().unwrap().len() > 500);
        request
    }

    /// Makes a request with openssl and returns its path in the sandbox.
    pub(crate) fn openssl_request(&self, file: &str, arguments: &[&str]) -> String {
        let path = format!("/etc/corosync/{file}");
        let fixed = [
            "req",
            "-new",
            "-nodes",
            "-keyout",
            "/dev/null",
            "-out",
            &path,
        ];
        self.run("openssl", &[&fixed, arguments].concat()).ok();
        path
    }
}

/// A second name for ours, for calls without a sandbox.
pub(crate) fn ours_in(directory: &Path) -> PathBuf {
    let link = directory.join("corosync-qnetd-certutil");
    symlink(OURS, &link).unwrap();
    link
}

/// Permission bits, user and group.
pub(crate) fn access_of(path: &Path) -> (u32, u32, u32) {
    let found = path.metadata().unwrap();
    (found.mode() & 0o7777, found.uid(), found.gid())
}
