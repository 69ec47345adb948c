use super::*;
use crate::wire::{
    ClusterName, ErrorCode, Frame, FrameDecoder, Heuristics, ListType, NodeId, Options, TlsSupport,
    Vote,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|c| (c as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn options(message: &Message) -> Options {
    let bytes = message.encode();
    let mut input = &bytes[..];
    let Some(Frame::Message { kind, body }) = FrameDecoder::new(70_000).next(&mut input) else {
        panic!("no frame")
    };
    assert_eq!(kind, message.kind());
    Options::decode(&body).unwrap()
}

/// The captures of section 5.
#[test]
fn bytes_are_those_of_the_captures() {
    let ring = RingId::new(1, 5);
    let cases = [
        (
            Message::Preinit {
                seq: Some(1),
                cluster: ClusterName::new(b"Alpha"),
            },
            "0000 00000011  0000 0004 00000001  0001 0005 416c706861",
        ),
        (
            Message::PreinitReply {
                seq: Some(1),
                tls: TlsSupport::Unsupported,
                client_cert_required: true,
            },
            "0001 00000012  0000 0004 00000001  0002 0001 00  0003 0001 01",
        ),
        (
            Message::StartTls { seq: Some(2) },
            "0002 00000008  0000 0004 00000002",
        ),
        (
            Message::SetOption {
                seq: Some(3),
                heartbeat_ms: None,
                keep_active: Some(true),
            },
            "0006 0000000d  0000 0004 00000003  0017 0001 01",
        ),
        (
            Message::SetOptionReply {
                seq: Some(3),
                heartbeat_ms: None,
                keep_active: Some(true),
            },
            "0007 0000000d  0000 0004 00000003  0017 0001 01",
        ),
        (
            Message::EchoRequest { seq: Some(1) },
            "0008 00000008  0000 0004 00000001",
        ),
        (
            Message::EchoReply {
                body: hex("0000 0004 00000001"),
            },
            "0009 00000008  0000 0004 00000001",
        ),
        (
            Message::NodeList {
                seq: 5,
                list_type: ListType::Membership,
                ring_id: Some(ring),
                config_version: None,
                quorate: None,
                nodes: vec![NodeInfo::new(1)],
                heuristics: Some(Heuristics::Fail),
            },
            "000a 0000002e  0000 0004 00000005  0012 0001 02 \
             000d 000c 00000001 0000000000000005 0011 0008 0009 0004 00000001  0016 0001 02",
        ),
        (
            Message::NodeListReply {
                seq: 5,
                list_type: ListType::Membership,
                ring_id: ring,
                vote: Vote::NoChange,
            },
            "000b 00000022  0000 0004 00000005  0012 0001 02 \
             000d 000c 00000001 0000000000000005  0013 0001 05",
        ),
        (
            Message::NodeList {
                seq: 6,
                list_type: ListType::Quorum,
                ring_id: None,
                config_version: None,
                quorate: Some(false),
                nodes: vec![NodeInfo {
                    id: NodeId(1),
                    data_center: 0,
                    state: Some(crate::wire::NodeState::Member),
                }],
                heuristics: None,
            },
            "000a 00000023  0000 0004 00000006  0012 0001 03  0014 0001 00 \
             0011 000d 0009 0004 00000001 0010 0001 01",
        ),
        (
            Message::VoteInfo {
                seq: 1,
                vote: Vote::Ack,
                ring_id: ring,
            },
            "000e 0000001d  0000 0004 00000001  0013 0001 01 \
             000d 000c 00000001 0000000000000005",
        ),
        (
            Message::VoteInfoReply { seq: 1 },
            "000f 00000008  0000 0004 00000001",
        ),
        (
            Message::HeuristicsChange {
                seq: 8,
                heuristics: Heuristics::Pass,
            },
            "0010 0000000d  0000 0004 00000008  0016 0001 01",
        ),
        (
            Message::HeuristicsChangeReply {
                seq: 8,
                vote: Vote::NoChange,
                ring_id: ring,
                heuristics: Heuristics::Pass,
            },
            "0011 00000022  0000 0004 00000008  0013 0001 05 \
             000d 000c 00000001 0000000000000005  0016 0001 01",
        ),
        (
            Message::ServerError {
                seq: Some(3),
                code: ErrorCode::PreinitRequired,
            },
            "0005 0000000e  0000 0004 00000003  0006 0002 0006",
        ),
        (
            Message::ServerError {
                seq: None,
                code: ErrorCode::ErrorDecodingMsg,
            },
            "0005 00000006  0006 0002 0009",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message.encode(), hex(expected), "{message:?}");
    }
}

#[test]
fn init_and_its_reply_are_those_of_the_capture() {
    let init = Message::Init(Init {
        seq: Some(2),
        node: NodeId(1),
        algorithm: 1,
        heartbeat_ms: 8000,
        tie_breaker: TieBreaker::Lowest,
        ring_id: RingId::new(1, 5),
    });
    let messages = "0000 0001 0002 0003 0004 0005 0006 0007 0008 0009 000a 000b 000c 000d \
                    000e 000f 0010 0011";
    let options = format!("{messages} 0012 0013 0014 0015 0016 0017");
    let expected = format!(
        "0003 00000093  0000 0004 00000002 0004 0024 {messages} 0005 0030 {options} \
         0009 0004 00000001  000b 0002 0001  000c 0004 00001f40 \
         0015 0005 01 00000000  000d 000c 00000001 0000000000000005"
    );
    assert_eq!(init.encode(), hex(&expected));
    let reply = Message::InitReply(InitReply {
        code: ErrorCode::NoError,
        list_messages: true,
        list_options: true,
        seq: Some(2),
        max_request_size: 32_768,
        max_reply_size: 32_768,
    });
    let expected = format!(
        "0004 00000086  0006 0002 0000 0004 0024 {messages} 0005 0030 {options} \
         0000 0004 00000002 0007 0004 00008000  0008 0004 00008000 \
         000a 0008 0000 0001 0002 0003"
    );
    assert_eq!(reply.encode(), hex(&expected));
}

#[test]
fn what_is_encoded_is_decoded() {
    let nodes = vec![
        NodeInfo::new(1),
        NodeInfo {
            id: NodeId(u32::MAX),
            data_center: 7,
            state: None,
        },
    ];
    let list = Message::NodeList {
        seq: u32::MAX,
        list_type: ListType::ChangedConfig,
        ring_id: Some(RingId::new(u32::MAX, u64::MAX)),
        config_version: Some(u64::MAX),
        quorate: Some(true),
        nodes: nodes.clone(),
        heuristics: Some(Heuristics::Pass),
    };
    let decoded = options(&list);
    assert_eq!(decoded.seq, Some(u32::MAX));
    assert_eq!(decoded.list_type, Some(ListType::ChangedConfig));
    assert_eq!(decoded.ring_id, Some(RingId::new(u32::MAX, u64::MAX)));
    assert_eq!(decoded.config_version, Some(u64::MAX));
    assert_eq!(decoded.quorate, Some(true));
    assert_eq!(decoded.nodes, nodes);
    assert_eq!(decoded.heuristics, Some(Heuristics::Pass));
    let tie = options(&Message::Init(Init {
        seq: None,
        node: NodeId(3),
        algorithm: 99,
        heartbeat_ms: 1,
        tie_breaker: TieBreaker::Node(NodeId(3)),
        ring_id: RingId::NONE,
    }));
    assert_eq!(tie.tie_breaker, Some(TieBreaker::Node(NodeId(3))));
    assert_eq!(tie.algorithm, Some(99));
    let ask = options(&Message::AskForVoteReply {
        seq: 4,
        vote: Vote::AskLater,
        ring_id: RingId::NONE,
    });
    assert_eq!((ask.seq, ask.vote), (Some(4), Some(Vote::AskLater)));
}
