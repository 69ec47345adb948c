//! The texts of `status` and `list`, byte for byte those of the reference (protocol spec,
//! sections 10.3 and 10.4).

use crate::config::Settings;
use crate::engine::Verdict;
use crate::engine::snapshot::{ClientSnapshot, ClusterSnapshot};
use crate::wire::{Algorithm, Heuristics, TieBreaker, TlsSupport};
use std::fmt::Display;
use std::io::Write;

/// Numbers for [`status`].
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Connections, with those that have not introduced themselves.
    pub clients: usize,
    /// Clusters with a client.
    pub clusters: usize,
}

/// A text that grows; writing to memory does not fail.
struct Text(Vec<u8>);

impl Text {
    fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{line}");
    }
}

/// The answer to `status`.
pub fn status(settings: &Settings, counts: Counts, verbose: bool) -> Vec<u8> {
    let mut text = Text(Vec::new());
    let host = settings.listen.as_deref().unwrap_or("*");
    text.line(format_args!("QNetd address:\t\t\t{host}:{}", settings.port));
    let session = &settings.session;
    let suffix = if session.tls != TlsSupport::Unsupported && session.client_cert_required {
        " (client certificate required)"
    } else {
        ""
    };
    text.line(format_args!("TLS:\t\t\t\t{}{suffix}", session.tls));
    text.line(format_args!("Connected clients:\t\t{}", counts.clients));
    text.line(format_args!("Connected clusters:\t\t{}", counts.clusters));
    if verbose {
        if settings.max_clients > 0 {
            text.line(format_args!(
                "Maximum allowed clients:\t{}",
                settings.max_clients
            ));
        }
        text.line(format_args!(
            "Maximum send/receive size:\t{}/{} bytes",
            session.max_send, session.max_receive
        ));
    }
    text.0
}

/// The answer to `list`, for clusters in the order of their creation.
pub fn list(clusters: &[ClusterSnapshot], verbose: bool) -> Vec<u8> {
    let mut text = Text(Vec::new());
    for cluster in clusters {
        text.0.extend_from_slice(b"Cluster \"");
        text.0.extend_from_slice(cluster.name.as_bytes());
        text.0.extend_from_slice(b"\":\n");
        let keeps_active = cluster.algorithm == Algorithm::FfSplit
            && cluster.clients.iter().all(|client| client.keep_active);
        let suffix = if keeps_active {
            " (KAP Tie-breaker)"
        } else {
            ""
        };
        text.line(format_args!(
            "    Algorithm:\t\t{}{suffix}",
            cluster.algorithm
        ));
        let tie_breaker = match cluster.tie_breaker {
            TieBreaker::Lowest => "Node with lowest node ID".to_owned(),
            TieBreaker::Highest => "Node with highest node ID".to_owned(),
            TieBreaker::Node(node) => format!("Node with node ID {node}"),
        };
        text.line(format_args!("    Tie-breaker:\t{tie_breaker}"));
        for client in &cluster.clients {
            client_lines(&mut text, client, verbose);
        }
    }
    text.0
}

fn client_lines(text: &mut Text, client: &ClientSnapshot, verbose: bool) {
    text.line(format_args!("    Node ID {}:", client.node));
    text.line(format_args!(
        "        Client address:\t\t{}",
        client.peer.address
    ));
    if verbose {
        text.line(format_args!(
            "        HB interval:\t\t{}ms",
            client.heartbeat_ms
        ));
    }
    if let Some(version) = client.config_version {
        text.line(format_args!("        Configuration version:\t{version}"));
    }
    if !client.configured.is_empty() {
        let nodes = client.configured.iter().map(|node| match node.data_center {
            0 => node.id.to_string(),
            data_center => format!("{} ({data_center})", node.id),
        });
        text.line(format_args!(
            "        Configured node list:\t{}",
            joined(nodes)
        ));
    }
    if verbose {
        text.line(format_args!("        Ring ID:\t\t{}", client.ring));
    }
    if !client.membership.is_empty() {
        let nodes = client.membership.iter().map(ToString::to_string);
        text.line(format_args!(
            "        Membership node list:\t{}",
            joined(nodes)
        ));
    }
    if verbose {
        text.line(format_args!(
            "        Heuristics:\t\t{} (membership: {}, regular: {})",
            heuristics(client.heuristics),
            heuristics(client.membership_heuristics),
            heuristics(client.regular_heuristics)
        ));
        let tls = match (client.peer.tls, client.peer.verified) {
            (false, _) => "No",
            (true, false) => "Yes",
            (true, true) => "Yes (client certificate verified)",
        };
        text.line(format_args!("        TLS active:\t\t{tls}"));
    } else if client.heuristics.is_some() {
        text.line(format_args!(
            "        Heuristics:\t\t{}",
            heuristics(client.heuristics)
        ));
    }
    if let Some(vote) = client.last_vote {
        let verdict = match client.verdict {
            Some(Verdict::Ack) => " (ACK)",
            Some(Verdict::Nack) => " (NACK)",
            None => "",
        };
        text.line(format_args!("        Vote:\t\t\t{vote}{verdict}"));
    }
}

fn heuristics(heuristics: Option<Heuristics>) -> &'static str {
    heuristics.map_or("Undefined", Heuristics::name)
}

fn joined(nodes: impl Iterator<Item = String>) -> String {
    nodes.collect::<Vec<_>>().join(", ")
}
