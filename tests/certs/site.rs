//! An arbiter's machine with a cluster, in a sandbox.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{NODE_CERTUTIL, NODE_DB, Outcome, Sandbox, Whose};

const QARBITER: &str = env!("CARGO_BIN_EXE_qarbiter");

/// Where the arbiter's certificates are, in the sandbox.
pub(crate) const DB: &str = "/etc/corosync/qnetd/nssdb";

/// The CA's certificate, in the sandbox.
pub(crate) const CA: &str = "/etc/corosync/qnetd/nssdb/qnetd-cacert.crt";

pub(crate) struct Site {
    pub(crate) sandbox: Sandbox,
}

impl Site {
    /// An arbiter whose certificates ours or the reference's tool made.
    pub(crate) fn new(whose: Whose) -> Self {
        let sandbox = Sandbox::new(whose);
        sandbox.certutil(&["-i"]).ok();
        Self { sandbox }
    }

    /// The same with the cluster `Alpha` joined: its first certificate has number 103.
    pub(crate) fn with_alpha(whose: Whose) -> Self {
        let site = Self::new(whose);
        let request = site.sandbox.node_request("Alpha");
        site.sandbox
            .certutil(&["-s", "-c", &request, "-n", "Alpha"])
            .ok();
        site.sandbox
            .run(NODE_CERTUTIL, &["-M", "-c", &site.alpha()])
            .ok();
        site
    }

    /// Alpha's newest certificate, in the sandbox.
    pub(crate) fn alpha(&self) -> String {
        format!("{DB}/cluster-Alpha.crt")
    }

    /// Signs a request that openssl makes.
    pub(crate) fn sign(&self, name: &str) {
        let subject = format!("/CN={name}");
        let request = self.sandbox.openssl_request(
            "request.pem",
            &["-newkey", "rsa:2048", "-outform", "DER", "-subj", &subject],
        );
        self.sandbox
            .certutil(&["-s", "-c", &request, "-n", name])
            .ok();
    }

    pub(crate) fn qarbiter(&self, arguments: &[&str]) -> Outcome {
        self.sandbox.run(QARBITER, arguments)
    }

    /// `certs list --json`.
    pub(crate) fn list(&self) -> Value {
        let data = self.data();
        let arguments = ["certs", "list", "--json", "--data-dir", &data];
        serde_json::from_str(&self.qarbiter(&arguments).ok().stdout).unwrap()
    }

    /// The daemon's data directory, by a path that is the same inside and outside.
    pub(crate) fn data(&self) -> String {
        let data = self.sandbox.outside("/etc/corosync/data");
        fs::create_dir_all(&data).unwrap();
        data.to_str().unwrap().to_owned()
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.sandbox.db()
    }

    /// State and serial number of each certificate of a cluster.
    pub(crate) fn states(&self, name: &str) -> Vec<(String, String)> {
        let list = self.list();
        let all = list["certificates"].as_array().unwrap().iter();
        all.filter(|entry| entry["role"] == "cluster" && entry["name"] == name)
            .map(|entry| {
                let text = |key: &str| entry[key].as_str().unwrap().to_owned();
                (text("serial"), text("state"))
            })
            .collect()
    }

    /// The serial numbers that the node's database has for the cluster, newest first.
    pub(crate) fn numbers_on_node(&self) -> Vec<u64> {
        let arguments = ["-L", "-d", NODE_DB, "-n", "Cluster Cert"];
        let text = self.sandbox.run("certutil", &arguments).ok().stdout;
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Serial Number: "))
            .map(|number| number.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }
}

pub(crate) fn states(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(serial, state)| ((*serial).to_owned(), (*state).to_owned()))
        .collect()
}
