//! The lines of a node: lists, rings, heuristics, votes, and names that nobody would choose.

use qarbiter::client::{Connection, Received};
use qarbiter::wire::{
    Algorithm, ClusterName, Heuristics, Init, ListType, Message, MessageType, NodeId, NodeInfo,
    NodeState, RingId, TieBreaker,
};

use crate::nodes::in_time;
use crate::pair::{Daemon, Pair};

/// A client that sends what a test wants, and reads until the answer to it has come.
struct Client(Connection);

impl Client {
    async fn introduced(daemon: &Daemon, cluster: &[u8], init: &Init) -> Self {
        let name = ClusterName::new(cluster);
        let mut connection = in_time(Connection::open(daemon.running.address, &name, None))
            .await
            .unwrap();
        let init = Init {
            seq: Some(connection.next_number()),
            ..init.clone()
        };
        in_time(connection.send(&Message::Init(init)))
            .await
            .unwrap();
        in_time(connection.expect(MessageType::InitReply))
            .await
            .unwrap();
        Self(connection)
    }

    async fn exchange(&mut self, message: Message, answer: MessageType) -> Received {
        in_time(self.0.send(&message)).await.unwrap();
        loop {
            let received = in_time(self.0.receive()).await.unwrap();
            if let (MessageType::VoteInfo, Some(seq)) = (received.kind, received.options.seq) {
                in_time(self.0.send(&Message::VoteInfoReply { seq }))
                    .await
                    .unwrap();
            }
            if received.kind == answer {
                return received;
            }
        }
    }

    async fn list(&mut self, list: List<'_>) {
        let message = Message::NodeList {
            seq: self.0.next_number(),
            list_type: list.list_type,
            ring_id: list.ring,
            config_version: list.version,
            quorate: (list.list_type == ListType::Quorum).then_some(true),
            nodes: list.nodes.to_vec(),
            heuristics: list.heuristics,
        };
        self.exchange(message, MessageType::NodeListReply).await;
    }

    async fn heuristics(&mut self, heuristics: Heuristics) {
        let seq = self.0.next_number();
        let message = Message::HeuristicsChange { seq, heuristics };
        self.exchange(message, MessageType::HeuristicsChangeReply)
            .await;
    }
}

struct List<'a> {
    list_type: ListType,
    ring: Option<RingId>,
    version: Option<u64>,
    nodes: &'a [NodeInfo],
    heuristics: Option<Heuristics>,
}

fn configuration(nodes: &[NodeInfo], version: Option<u64>) -> List<'_> {
    List {
        list_type: ListType::InitialConfig,
        ring: None,
        version,
        nodes,
        heuristics: None,
    }
}

fn membership(ring: RingId, nodes: &[NodeInfo], heuristics: Option<Heuristics>) -> List<'_> {
    List {
        list_type: ListType::Membership,
        ring: Some(ring),
        version: None,
        nodes,
        heuristics,
    }
}

fn node(id: u32) -> Init {
    Init {
        seq: None,
        node: NodeId(id),
        algorithm: Algorithm::Test.to_wire(),
        heartbeat_ms: 8000,
        tie_breaker: TieBreaker::Lowest,
        ring_id: RingId {
            node: NodeId(id),
            seq: 1,
        },
    }
}

fn ids(ids: &[u32]) -> Vec<NodeInfo> {
    ids.iter().map(|id| NodeInfo::new(*id)).collect()
}

/// From the introduction on, a line comes with each message.
#[tokio::test]
async fn a_node_line_by_line() {
    let pair = Pair::new();
    let mut clients = Vec::new();
    for daemon in pair.daemons() {
        clients.push(Client::introduced(daemon, b"Alpha", &node(1)).await);
    }
    let bare = pair.compare(&["Alpha"]);
    assert!(
        !bare.contains("node list") && !bare.contains("Vote:"),
        "{bare}"
    );

    let far = NodeInfo {
        data_center: 5,
        ..NodeInfo::new(2)
    };
    let further = NodeInfo {
        data_center: u32::MAX,
        ..NodeInfo::new(u32::MAX)
    };
    let configured = [NodeInfo::new(1), far, further];
    for client in &mut clients {
        client
            .list(configuration(&configured, Some(u64::MAX)))
            .await;
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(
        seen.contains("Configuration version:\t18446744073709551615\n"),
        "{seen}"
    );
    assert!(
        seen.contains("1, 2 (5), 4294967295 (4294967295)\n"),
        "{seen}"
    );

    let ring = RingId {
        node: NodeId(0xabcd_ef01),
        seq: 0x1234_5678_9abc_def0,
    };
    for client in &mut clients {
        client
            .list(membership(ring, &ids(&[1, u32::MAX]), None))
            .await;
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(
        seen.contains("Ring ID:\t\tabcdef01.123456789abcdef0\n"),
        "{seen}"
    );
    assert!(
        seen.contains("Membership node list:\t1, 4294967295\n"),
        "{seen}"
    );

    let states = [
        NodeInfo {
            state: Some(NodeState::Member),
            ..NodeInfo::new(1)
        },
        NodeInfo {
            state: Some(NodeState::Dead),
            ..NodeInfo::new(2)
        },
    ];
    for client in &mut clients {
        let quorum = List {
            list_type: ListType::Quorum,
            ..configuration(&states, None)
        };
        client.list(quorum).await;
    }
    pair.compare(&["Alpha"]);

    for client in &mut clients {
        let changed = List {
            list_type: ListType::ChangedConfig,
            ..configuration(&configured[..1], Some(2))
        };
        client.list(changed).await;
    }
    let seen = pair.compare(&["Alpha"]);
    assert!(seen.contains("Configured node list:\t1\n"), "{seen}");
}

#[tokio::test]
async fn every_state_of_the_heuristics() {
    let pair = Pair::new();
    let mut clients = Vec::new();
    for daemon in pair.daemons() {
        let mut client = Client::introduced(daemon, b"Alpha", &node(1)).await;
        client.list(configuration(&ids(&[1, 2]), None)).await;
        clients.push(client);
    }
    assert!(
        pair.compare(&["Alpha"])
            .contains("Undefined (membership: Undefined, regular: Undefined)")
    );
    let mut seq = 1;
    for with_list in [Some(Heuristics::Fail), Some(Heuristics::Pass), None] {
        seq += 4;
        let ring = RingId {
            node: NodeId(1),
            seq,
        };
        for client in &mut clients {
            client.list(membership(ring, &ids(&[1]), with_list)).await;
        }
        let first = pair.compare(&["Alpha"]);
        for regular in [Heuristics::Pass, Heuristics::Fail] {
            for client in &mut clients {
                client.heuristics(regular).await;
            }
            let seen = pair.compare(&["Alpha"]);
            assert!(
                seen.contains(&format!("regular: {}", regular.name())),
                "{first}{seen}"
            );
        }
    }
}

/// With the algorithm for tests, a node hears each kind of vote.
#[tokio::test]
async fn every_kind_of_vote() {
    let pair = Pair::new();
    let mut clients = Vec::new();
    for daemon in pair.daemons() {
        let lms = Init {
            algorithm: Algorithm::Lms.to_wire(),
            heartbeat_ms: 1000,
            ..node(1)
        };
        clients.push(Client::introduced(daemon, b"Waiting", &lms).await);
        let mut client = Client::introduced(
            daemon,
            b"Half",
            &Init {
                algorithm: Algorithm::FfSplit.to_wire(),
                heartbeat_ms: 120_000,
                ..node(2)
            },
        )
        .await;
        client.list(configuration(&ids(&[1, 2]), None)).await;
        let ring = RingId {
            node: NodeId(2),
            seq: 9,
        };
        client.list(membership(ring, &ids(&[2]), None)).await;
        clients.push(client);
    }
    let seen = pair.compare(&["Waiting", "Half"]);
    assert!(
        seen.contains("HB interval:\t\t120000ms\n") && seen.contains("HB interval:\t\t1000ms\n"),
        "{seen}"
    );
    assert!(seen.contains("Vote:"), "{seen}");
}

#[tokio::test]
async fn names_that_nobody_would_choose() {
    let names = [
        "two words",
        "quo\"te",
        "back\\slash",
        "tab\there",
        "line\nend",
        "k\u{f6}ln \u{2603}",
        "-l",
        "*",
        "a:1",
    ];
    let pair = Pair::new();
    let mut clients = Vec::new();
    for daemon in pair.daemons() {
        for name in names {
            clients.push(Client::introduced(daemon, name.as_bytes(), &node(1)).await);
        }
    }
    pair.compare(&[
        "two words",
        "quo\"te",
        "back\\slash",
        "tab\there",
        "k\u{f6}ln \u{2603}",
        "-l",
        "*",
        "a:1",
    ]);
    // The line of the socket ends there.
    assert_eq!(pair.ask(&["-l", "-c", "line\nend"]).stdout, "");

    let long = "n".repeat(255);
    let mut long_named = Vec::new();
    for daemon in pair.daemons() {
        long_named.push(Client::introduced(daemon, long.as_bytes(), &node(1)).await);
    }
    pair.compare(&[&long]);
}
