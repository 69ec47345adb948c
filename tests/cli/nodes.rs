//! Nodes of clusters, with certificates from the arbiter under test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qarbiter::client::{Connection, Node, NodeSettings};
use qarbiter::pki::{ClusterName as CertificateName, Store, Years};
use qarbiter::tls::config::client_config;
use qarbiter::tls::{ClientSettings, Identity};
use qarbiter::wire::{Algorithm, ClusterName, NodeId, RingId, TieBreaker};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates for a cluster's nodes, made as `corosync-qnetd-certutil -s` makes them.
pub(crate) fn certificates(identity: &Path, cluster: &str) -> Arc<ClientConfig> {
    foreign_certificates(identity, identity, cluster)
}

/// Certificates that one arbiter made, for nodes that trust another one.
pub(crate) fn foreign_certificates(
    issuer: &Path,
    trusted: &Path,
    cluster: &str,
) -> Arc<ClientConfig> {
    let issuer = Store::open(issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cluster);
    let request = params.serialize_request(&key).unwrap();
    let name = CertificateName::new(cluster).unwrap();
    let signed = issuer.sign(request.der(), &name, Years::DEFAULT, SystemTime::now());
    let identity = Identity {
        chain: vec![signed.unwrap().der, issuer.identity().ca],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    };
    client_config(ClientSettings {
        identity: Some(identity),
        ..ClientSettings::new(vec![Store::open(trusted).unwrap().identity().ca])
    })
    .unwrap()
}

/// What the nodes of a cluster have in common.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) tie_breaker: TieBreaker,
    pub(crate) heartbeat_ms: u32,
    pub(crate) configured: Vec<u32>,
}

impl Cluster {
    /// An ffsplit cluster in clear text.
    pub(crate) fn new(address: SocketAddr, name: &str, configured: &[u32]) -> Self {
        Self {
            address,
            name: name.to_owned(),
            tls: None,
            algorithm: Algorithm::FfSplit,
            tie_breaker: TieBreaker::Lowest,
            heartbeat_ms: 8000,
            configured: configured.to_vec(),
        }
    }

    /// The same with certificates from this identity directory.
    pub(crate) fn with_certificates(self, identity: &Path) -> Self {
        let tls = Some(certificates(identity, &self.name));
        Self { tls, ..self }
    }

    pub(crate) async fn connect(&self) -> Connection {
        let name = ClusterName::new(self.name.as_bytes());
        let opened = Connection::open(self.address, &name, self.tls.clone());
        in_time(opened).await.unwrap()
    }

    pub(crate) fn settings(&self, node: u32, ring: RingId, members: &[u32]) -> NodeSettings {
        NodeSettings {
            node: NodeId(node),
            algorithm: self.algorithm,
            tie_breaker: self.tie_breaker,
            heartbeat_ms: self.heartbeat_ms,
            configured: ids(&self.configured),
            ring,
            members: ids(members),
        }
    }

    /// A node that joins with a membership.
    pub(crate) async fn join(&self, node: u32, ring: RingId, members: &[u32]) -> Node {
        let settings = self.settings(node, ring, members);
        let connection = self.connect().await;
        in_time(Node::join(connection, settings)).await.unwrap()
    }

    /// All configured nodes, in one membership and with a vote.
    pub(crate) async fn whole(&self) -> Vec<Node> {
        let ring = ring(self.configured[0], 1);
        let mut nodes = Vec::new();
        for node in &self.configured {
            let mut node = self.join(*node, ring, &self.configured).await;
            // One after the other, so that the arbiter hears everything in the same order each time.
            in_time(node.heartbeat()).await.unwrap();
            nodes.push(node);
        }
        settle(&mut nodes).await;
        nodes
    }
}

/// Splits a cluster of two into rings 1.2 and 2.2, in the same order each time.
pub(crate) async fn split(nodes: &mut [Node]) {
    for (node, number) in nodes.iter_mut().zip([1, 2]) {
        in_time(node.see(ring(number, 2), &ids(&[number])))
            .await
            .unwrap();
        in_time(node.heartbeat()).await.unwrap();
    }
    settle(nodes).await;
}

pub(crate) fn ring(node: u32, seq: u64) -> RingId {
    RingId {
        node: NodeId(node),
        seq,
    }
}

pub(crate) fn ids(nodes: &[u32]) -> Vec<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// Waits until every node has handled what was sent to it and knows the decision. What one confirms
/// can make the arbiter tell another something, after a moment in which it writes that down.
pub(crate) async fn settle(nodes: &mut [Node]) {
    let mut undecided = 0;
    let mut decided = 0;
    // Where a node is told to wait, nothing more comes.
    while decided < 4 && undecided < 30 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        for node in nodes.iter_mut() {
            in_time(node.heartbeat()).await.unwrap();
        }
        if nodes.iter().all(|node| node.decided().is_some()) {
            decided += 1;
        } else {
            undecided += 1;
        }
    }
}

pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("an answer in time")
}
