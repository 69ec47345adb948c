//! How a connection becomes a node: PREINIT, STARTTLS, the gate and INIT (protocol spec, sections
//! 5.1 to 5.3 and 6.3).

use super::{Joined, Refusal, Session, TlsView, missing, refuse};
use crate::engine::client::Peer;
use crate::engine::cluster::{Cluster, Joining};
use crate::engine::time::Time;
use crate::engine::{Action, CloseReason, Event};
use crate::wire::{
    Algorithm, ClusterName, ErrorCode, InitReply, Message, MessageType, Options, TlsSupport,
};

impl Session {
    pub(super) fn preinit(
        &mut self,
        options: Options,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let Some(name) = options.cluster_name else {
            return Err(missing(MessageType::Preinit, "cluster name"));
        };
        // One certificate check opens one cluster (D2, D3).
        if self.joined.is_some() || self.verified {
            return refuse(
                ErrorCode::UnexpectedMessage,
                "Preinit after the cluster was settled",
            );
        }
        self.cluster = Some(ClusterName::new(&name));
        let reply = Message::PreinitReply {
            seq: options.seq,
            tls: self.policy.tls,
            client_cert_required: self.policy.client_cert_required,
        };
        self.send(reply, out);
        Ok(())
    }

    pub(super) fn start_tls(
        &mut self,
        tls: &TlsView<'_>,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if self.cluster.is_none() {
            return refuse(ErrorCode::PreinitRequired, "StartTLS before Preinit");
        }
        if self.policy.tls == TlsSupport::Unsupported {
            self.close(CloseReason::TlsIsOff, out);
            return Ok(());
        }
        if self.tls_started || tls.is_active() {
            return refuse(ErrorCode::UnexpectedMessage, "StartTLS inside TLS");
        }
        self.tls_started = true;
        out.push(Action::StartTls { conn: self.conn });
        Ok(())
    }

    /// The TLS gate (section 6.3). `Ok(false)` means that the connection is being closed.
    pub(super) fn gate(
        &mut self,
        tls: &TlsView<'_>,
        out: &mut Vec<Action>,
    ) -> Result<bool, Refusal> {
        match tls {
            TlsView::Clear if self.policy.tls == TlsSupport::Required => refuse(
                ErrorCode::TlsRequired,
                "the client wants clear text, but TLS is required (setting -s; \
                 the node's setting is quorum.device.net.tls)",
            ),
            TlsView::Clear => Ok(true),
            TlsView::Active(authorise) => {
                if self.policy.client_cert_required && !self.verified {
                    let verdict = match &self.cluster {
                        Some(cluster) => authorise(cluster),
                        None => Err("no cluster was named".to_owned()),
                    };
                    if let Err(why) = verdict {
                        let code = ErrorCode::NoError;
                        out.push(Action::Event(Event::Refused {
                            conn: self.conn,
                            code,
                            why,
                        }));
                        self.close(CloseReason::NotAuthorised, out);
                        return Ok(false);
                    }
                    self.verified = true;
                }
                Ok(true)
            }
        }
    }

    pub(super) fn init(
        &mut self,
        now: Time,
        options: &Options,
        tls: &TlsView<'_>,
        cluster: Option<&mut Cluster>,
        out: &mut Vec<Action>,
    ) {
        let result = self
            .checked_init(options, tls)
            .and_then(|joining| match cluster {
                Some(cluster) => self.join(now, joining, cluster, out),
                None => refuse(ErrorCode::PreinitRequired, "Init before Preinit"),
            });
        let code = match result {
            Ok(()) => ErrorCode::NoError,
            Err(Refusal { code, why }) => {
                out.push(Action::Event(Event::Refused {
                    conn: self.conn,
                    code,
                    why,
                }));
                code
            }
        };
        let reply = Message::InitReply(InitReply {
            code,
            list_messages: options.supported_messages.is_some(),
            list_options: options.supported_options.is_some(),
            seq: options.seq,
            max_request_size: self.policy.max_receive,
            max_reply_size: self.policy.max_send,
        });
        self.send(reply, out);
    }

    /// The checks of section 5.3 in their order; the first problem is the answer (D9).
    fn checked_init(&self, options: &Options, tls: &TlsView<'_>) -> Result<Joining, Refusal> {
        let need = |what: &str| missing(MessageType::Init, what);
        if self.cluster.is_none() {
            return refuse(ErrorCode::PreinitRequired, "Init before Preinit");
        }
        let node = options
            .node_id
            .filter(|node| node.0 != 0)
            .ok_or_else(|| need("node id set"))?;
        let ring = options.ring_id.ok_or_else(|| need("ring id set"))?;
        let heartbeat_ms = options
            .heartbeat_ms
            .ok_or_else(|| need("heartbeat interval set"))?;
        self.check_heartbeat(heartbeat_ms)?;
        let tie_breaker = options.tie_breaker.ok_or_else(|| need("tie-breaker set"))?;
        let number = options
            .algorithm
            .ok_or_else(|| need("decision algorithm"))?;
        let Some(algorithm) = Algorithm::from_wire(number) else {
            return refuse(
                ErrorCode::UnsupportedDecisionAlgorithm,
                format!("Client requested unsupported decision algorithm {number}"),
            );
        };
        if self.joined.is_some() {
            return refuse(ErrorCode::DuplicateNodeId, "second Init on one connection");
        }
        Ok(Joining {
            conn: self.conn,
            node,
            peer: Peer {
                address: self.address.clone(),
                tls: tls.is_active(),
                verified: self.verified,
            },
            heartbeat_ms,
            algorithm,
            tie_breaker,
            ring,
            keep_active: self.policy.keep_active,
        })
    }

    fn join(
        &mut self,
        now: Time,
        joining: Joining,
        cluster: &mut Cluster,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let joined = Joined {
            node: joining.node,
            heartbeat_ms: joining.heartbeat_ms,
            in_clear: !joining.peer.tls,
        };
        let peer = joining.peer.clone();
        let node = joining.node;
        if let Err(code) = cluster.join(now, joining, out) {
            return refuse(
                code,
                format!("node {node} of cluster {:?}: {code}", cluster.name()),
            );
        }
        if !peer.tls && self.policy.tls != TlsSupport::Unsupported {
            let cluster = cluster.name().clone();
            out.push(Action::Event(Event::ClearText {
                cluster,
                node,
                peer,
            }));
        }
        self.joined = Some(joined);
        Ok(())
    }

    /// What [`Session::gate`] is going to say.
    pub(super) fn passes_gate(&self, tls: &TlsView<'_>) -> bool {
        match tls {
            TlsView::Clear => self.policy.tls != TlsSupport::Required,
            TlsView::Active(authorise) => {
                !self.policy.client_cert_required
                    || self.verified
                    || self
                        .cluster
                        .as_ref()
                        .is_some_and(|name| authorise(name).is_ok())
            }
        }
    }
}
