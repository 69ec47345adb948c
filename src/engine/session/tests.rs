//! What a client may reach before it is let in.

use super::*;
use crate::wire::{
    Algorithm, DEFAULT_MESSAGE_SIZE, FrameDecoder, Init, RingId, TieBreaker, TlsSupport,
};

fn frame(message: &Message) -> Frame {
    let bytes = message.encode();
    let mut decoder = FrameDecoder::new(DEFAULT_MESSAGE_SIZE);
    decoder.next(&mut bytes.as_slice()).unwrap()
}

fn init() -> Frame {
    frame(&Message::Init(Init {
        seq: Some(1),
        node: NodeId(1),
        algorithm: Algorithm::FfSplit.to_wire(),
        heartbeat_ms: 8000,
        tie_breaker: TieBreaker::Lowest,
        ring_id: RingId {
            node: NodeId(1),
            seq: 1,
        },
    }))
}

/// A session that has named the cluster Alpha.
fn session(policy: SessionPolicy) -> Session {
    let address = "192.0.2.1:1".into();
    let mut session = Session::new(ConnId(1), address, Arc::new(policy), Time::ZERO);
    let preinit = frame(&Message::Preinit {
        seq: None,
        cluster: ClusterName::new(b"Alpha"),
    });
    session.handle(Time::ZERO, preinit, TlsView::Clear, None, &mut Vec::new());
    session
}

#[test]
fn a_stranger_does_not_occupy_the_cluster_that_it_names() {
    let stranger = |_: &ClusterName| Err("another cluster's certificate".to_owned());
    let own = |_: &ClusterName| Ok(());
    let echo = frame(&Message::EchoRequest { seq: None });

    let mut session = session(SessionPolicy::default());
    for tls in [TlsView::Clear, TlsView::Active(&stranger)] {
        assert!(!session.needs_cluster(&init(), &tls));
        assert!(!session.needs_cluster(&echo, &tls));
    }
    assert!(!session.needs_cluster(&echo, &TlsView::Active(&own)));
    assert!(session.needs_cluster(&init(), &TlsView::Active(&own)));

    let mut cluster = Cluster::new(
        ClusterName::new(b"Alpha"),
        crate::engine::ClusterPolicy::SAFE,
    );
    let mut out = Vec::new();
    let tls = TlsView::Active(&own);
    session.handle(Time::ZERO, init(), tls, Some(&mut cluster), &mut out);
    assert!(session.node().is_some());
    assert!(session.needs_cluster(&echo, &tls));
}

#[test]
fn clear_text_reaches_a_cluster_where_it_is_allowed() {
    let session = session(SessionPolicy {
        tls: TlsSupport::Supported,
        ..SessionPolicy::default()
    });
    assert!(session.needs_cluster(&init(), &TlsView::Clear));
}
