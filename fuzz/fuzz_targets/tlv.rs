//! Decoding the body of a message: what can be decoded survives being encoded again, and unknown
//! options change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qarbiter::wire::{
    DEFAULT_MESSAGE_SIZE, Frame, FrameDecoder, Heuristics, Init, ListType, Message, NodeId,
    Options, RingId, TieBreaker,
};

/// An option of type 0xffff without a value.
const UNKNOWN: [u8; 4] = [0xff, 0xff, 0, 0];

fuzz_target!(|body: &[u8]| {
    let options = match Options::decode(body) {
        Ok(options) => options,
        Err(error) => {
            // What stands before the first problem decides about the number in the refusal.
            let again = [&UNKNOWN, body].concat();
            assert!(body.is_empty() || Options::decode(&again) == Err(error));
            return;
        }
    };
    let padded = [&UNKNOWN, body, &UNKNOWN].concat();
    assert_eq!(Options::decode(&padded).as_ref(), Ok(&options));

    let list = Message::NodeList {
        seq: options.seq.unwrap_or(7),
        list_type: options.list_type.unwrap_or(ListType::Quorum),
        ring_id: options.ring_id,
        config_version: options.config_version,
        quorate: options.quorate,
        nodes: options.nodes.clone(),
        heuristics: options.heuristics,
    };
    let back = round_trip(&list);
    assert_eq!(back.seq, Some(options.seq.unwrap_or(7)));
    assert_eq!(
        back.list_type,
        Some(options.list_type.unwrap_or(ListType::Quorum))
    );
    assert_eq!(back.ring_id, options.ring_id);
    assert_eq!(back.config_version, options.config_version);
    assert_eq!(back.quorate, options.quorate);
    assert_eq!(back.nodes, options.nodes);
    assert_eq!(back.heuristics, options.heuristics);

    let init = Init {
        seq: options.seq,
        node: options.node_id.unwrap_or(NodeId(1)),
        algorithm: options.algorithm.unwrap_or(1),
        heartbeat_ms: options.heartbeat_ms.unwrap_or(8000),
        tie_breaker: options.tie_breaker.unwrap_or(TieBreaker::Lowest),
        ring_id: options.ring_id.unwrap_or(RingId::NONE),
    };
    let back = round_trip(&Message::Init(init.clone()));
    assert_eq!(back.seq, init.seq);
    assert_eq!(back.node_id, Some(init.node));
    assert_eq!(back.algorithm, Some(init.algorithm));
    assert_eq!(back.heartbeat_ms, Some(init.heartbeat_ms));
    assert_eq!(back.tie_breaker, Some(init.tie_breaker));
    assert_eq!(back.ring_id, Some(init.ring_id));

    let reply = Message::HeuristicsChangeReply {
        seq: options.seq.unwrap_or(7),
        vote: options.vote.unwrap_or(qarbiter::wire::Vote::Nack),
        ring_id: init.ring_id,
        heuristics: options.heuristics.unwrap_or(Heuristics::Fail),
    };
    let back = round_trip(&reply);
    assert_eq!(
        back.vote,
        Some(options.vote.unwrap_or(qarbiter::wire::Vote::Nack))
    );

    let echo = Message::EchoReply {
        body: body.to_vec(),
    };
    assert_eq!(round_trip(&echo), options);
});

fn round_trip(message: &Message) -> Options {
    let bytes = message.encode();
    let mut rest = &bytes[..];
    // Options that filled the body of one message fit into several times its size.
    let mut decoder = FrameDecoder::new(16 * DEFAULT_MESSAGE_SIZE);
    let Some(Frame::Message { kind, body }) = decoder.next(&mut rest) else {
        panic!("{message:?} is not one message");
    };
    assert_eq!(kind, message.kind());
    assert!(rest.is_empty());
    Options::decode(&body).expect("what we encode can be decoded")
}
