//! What a cluster is to be like, and its `corosync.conf`.

use crate::lab::SERVER_ADDRESS;

/// How the nodes prove who they are.
#[derive(Clone)]
pub(crate) enum Identity {
    /// By the real flow: a request made on the first node, signed by the server's tool, copied to the others.
    Own,
    /// With a key and certificate made elsewhere.
    Pkcs12(Vec<u8>),
    /// They trust the server's CA but have no certificate.
    Nothing,
    /// They speak without TLS.
    Plaintext,
}

/// What a cluster is to be like.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) nodes: &'static [u32],
    pub(crate) algorithm: &'static str,
    pub(crate) tie_breaker: &'static str,
    pub(crate) device_votes: u32,
    pub(crate) identity: Identity,
    /// The server's address as the nodes know it.
    pub(crate) server: &'static str,
    /// A command that every node runs as its heuristics; none by default.
    pub(crate) heuristics: Option<&'static str>,
    /// The whole `quorum` section, instead of one that is made from the fields above.
    pub(crate) quorum: Option<String>,
}

impl Spec {
    /// An `ffsplit` cluster of these nodes.
    pub(crate) fn ffsplit(name: &'static str, nodes: &'static [u32]) -> Self {
        Self {
            name,
            nodes,
            algorithm: "ffsplit",
            tie_breaker: "lowest",
            device_votes: 1,
            identity: Identity::Own,
            server: SERVER_ADDRESS,
            heuristics: None,
            quorum: None,
        }
    }

    /// The `corosync.conf` of every node; `number` is the cluster's, from [`Lab::next_cluster`](crate::lab::Lab::next_cluster).
    pub(crate) fn configuration(&self, number: u32) -> String {
        let nodes: String = self
            .nodes
            .iter()
            .map(|id| {
                format!(
                    "    node {{\n        nodeid: {id}\n        name: node{id}\n        ring0_addr: {}\n    }}\n",
                    ring_address(number, *id)
                )
            })
            .collect();
        let tls = match self.identity {
            Identity::Plaintext => "off",
            _ => "required",
        };
        let heuristics = self.heuristics.map_or_else(String::new, |command| {
            format!("        heuristics {{\n            mode: on\n            exec_check: {command}\n        }}\n")
        });
        let Self {
            name,
            algorithm,
            tie_breaker,
            device_votes,
            server,
            ..
        } = self;
        let quorum = self.quorum.clone().unwrap_or_else(|| {
            format!(
                r"quorum {{
    provider: corosync_votequorum
    device {{
        model: net
        votes: {device_votes}
        timeout: 3000
        sync_timeout: 4000
{heuristics}        net {{
            host: {server}
            port: 5403
            tls: {tls}
            algorithm: {algorithm}
            tie_breaker: {tie_breaker}
        }}
    }}
}}
"
            )
        });
        // Real-time priority is off: several corosyncs on two cores would starve each other and the server.
        format!(
            r"totem {{
    version: 2
    cluster_name: {name}
    transport: knet
    crypto_cipher: none
    crypto_hash: none
    token: 1000
}}
logging {{
    to_stderr: yes
    to_syslog: no
    to_logfile: no
    timestamp: hires
}}
system {{
    sched_rr: no
    priority: 0
    move_to_root_cgroup: no
}}
nodelist {{
{nodes}}}
{quorum}"
        )
    }
}

/// A node's address on its cluster's own network.
pub(crate) fn ring_address(cluster: u32, node: u32) -> String {
    format!("10.1.{cluster}.{node}")
}
