//! A whole arbiter without I/O: sessions and clusters, stepped by hand.
//!
//! The server keeps sessions and clusters apart, each behind its own lock; this one is for the
//! simulator, the fuzzer and tests, where one thread steps everything.

use super::cluster::Cluster;
use super::lease::LeaveCause;
use super::policy::{ClusterPolicy, SessionPolicy};
use super::session::{Session, TlsView};
use super::time::{Time, earlier};
use super::{Action, ConnId, Grant};
use crate::wire::{ClusterName, Frame};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sessions and clusters of one arbiter.
#[derive(Debug)]
pub struct Engine {
    session_policy: Arc<SessionPolicy>,
    cluster_policy: ClusterPolicy,
    sessions: BTreeMap<ConnId, Session>,
    clusters: BTreeMap<ClusterName, Cluster>,
}

impl Engine {
    /// An arbiter with nobody connected.
    pub fn new(session_policy: SessionPolicy, cluster_policy: ClusterPolicy) -> Self {
        Self {
            session_policy: Arc::new(session_policy),
            cluster_policy,
            sessions: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }

    /// Takes up what was recorded before a restart.
    pub fn restore(&mut self, now: Time, grant: &Grant) {
        let policy = self.cluster_policy;
        self.clusters
            .entry(grant.cluster.clone())
            .or_insert_with(|| Cluster::new(grant.cluster.clone(), policy))
            .restore(now, grant, std::time::Duration::ZERO);
        self.forget(&grant.cluster);
    }

    /// A connection was accepted.
    pub fn connect(&mut self, now: Time, conn: ConnId, address: &str) {
        let session = Session::new(conn, address.into(), self.session_policy.clone(), now);
        self.sessions.insert(conn, session);
    }

    /// A frame arrived. Unknown connections are ignored: they were closed a moment ago.
    pub fn receive(
        &mut self,
        now: Time,
        conn: ConnId,
        frame: Frame,
        tls: TlsView<'_>,
    ) -> Vec<Action> {
        let mut out = Vec::new();
        let Some(session) = self.sessions.get_mut(&conn) else {
            return out;
        };
        let name = session.cluster().cloned();
        let Some(name) = name.filter(|_| session.needs_cluster(&frame, &tls)) else {
            session.handle(now, frame, tls, None, &mut out);
            return out;
        };
        let policy = self.cluster_policy;
        let cluster = self
            .clusters
            .entry(name.clone())
            .or_insert_with(|| Cluster::new(name.clone(), policy));
        session.handle(now, frame, tls, Some(cluster), &mut out);
        self.forget(&name);
        out
    }

    /// A connection ended.
    pub fn disconnect(&mut self, now: Time, conn: ConnId, cause: LeaveCause) -> Vec<Action> {
        let mut out = Vec::new();
        let Some(mut session) = self.sessions.remove(&conn) else {
            return out;
        };
        let name = session.cluster().cloned();
        let cluster = name.as_ref().and_then(|name| self.clusters.get_mut(name));
        session.ended(now, cause, cluster, &mut out);
        if let Some(name) = name {
            self.forget(&name);
        }
        out
    }

    /// When [`Engine::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let sessions = self
            .sessions
            .values()
            .map(Session::poll_timeout)
            .fold(None, earlier);
        self.clusters
            .values()
            .map(Cluster::poll_timeout)
            .fold(sessions, earlier)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Action> {
        let mut out = Vec::new();
        for session in self.sessions.values_mut() {
            session.handle_timeout(now, &mut out);
        }
        for cluster in self.clusters.values_mut() {
            if cluster.poll_timeout().is_some_and(|at| at <= now) {
                cluster.handle_timeout(now, &mut out);
            }
        }
        self.clusters.retain(|_, cluster| !cluster.is_forgettable());
        out
    }

    /// A cluster, if it is known.
    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.get(name)
    }

    fn forget(&mut self, name: &ClusterName) {
        if self.clusters.get(name).is_some_and(Cluster::is_forgettable) {
            self.clusters.remove(name);
        }
    }
}
