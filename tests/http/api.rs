//! The API: the same facts in JSON and protobuf, before, during and after a split.

use crate::lab::Arbiter;
use prost::Message;
use qarbiter::engine::Verdict;
use qarbiter::proto::v1;
use serde_json::{Value, json};

const PROTOBUF: (&str, &str) = ("Accept", "application/x-protobuf");

#[test]
fn a_split_is_told_with_its_reason_and_inputs() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"site-rom");
    let cluster = arbiter.json("/api/v1/clusters/site-rom");
    assert_eq!(cluster["vote_held_by"], json!([1, 2]));
    assert_eq!(cluster["partitions"].as_array().unwrap().len(), 1);
    assert_eq!(cluster["absent_nodes"], json!([]));
    assert_eq!(cluster["quorum"]["quorum"], 2);
    assert_eq!(cluster["quorum"]["expected_votes"], 3);

    assert_eq!(arbiter.split(&mut nodes, 8), [Verdict::Ack, Verdict::Nack]);
    let cluster = arbiter.settled("site-rom");
    let partitions = cluster["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 2);
    assert_eq!(partitions[0]["nodes"], json!([1]));
    assert_eq!(partitions[0]["has_vote"], true);
    assert_eq!(partitions[1]["has_vote"], false);
    assert_eq!(cluster["nodes"][1]["verdict"], "nack");

    let is_tie = |list: &Value| list["decisions"][0]["rule"] == "tie_breaker";
    let list = arbiter.until("/api/v1/clusters/site-rom/decisions", |list| {
        is_tie(list) && list["decisions"][0]["outcome"] == "granted"
    });
    let decision = &list["decisions"][0];
    assert_eq!(decision["winner"], json!([1]));
    assert_eq!(decision["cluster"], "site-rom");
    let reason = decision["reason"].as_str().unwrap();
    assert!(reason.contains("lowest"), "{reason}");
    assert_eq!(cluster["decision"]["reason"], decision["reason"]);
    let inputs = decision["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 2);
    assert_eq!(inputs[1]["node"], 2);
    assert_eq!(inputs[1]["membership"], json!([2]));
    assert_eq!(inputs[1]["configured"], 2);
    // The state and the history have the same time, give or take what it takes to note it.
    let at = |decision: &Value| decision["unix_ms"].as_u64().unwrap();
    assert!(at(&cluster["decision"]).abs_diff(at(decision)) < 1000);
}

#[test]
fn nodes_that_are_missing_are_named() {
    let arbiter = Arbiter::start();
    let _one = arbiter.join(b"four", 3, &[1, 2, 3, 4], 4);
    let nodes = arbiter.until("/api/v1/clusters/four/nodes", |nodes| {
        nodes["nodes"][0]["configured"] == json!([1, 2, 3, 4])
    });
    assert_eq!(nodes["absent_nodes"], json!([1, 2, 4]));
    assert_eq!(nodes["nodes"][0]["tls"], false);
    assert!(nodes["nodes"][0]["heartbeat_age_ms"].as_u64().unwrap() < 10_000);
}

#[test]
fn protobuf_says_the_same_as_json() {
    let arbiter = Arbiter::start();
    let mut nodes = arbiter.pair(b"a");
    arbiter.split(&mut nodes, 8);
    arbiter.until("/api/v1/decisions", |list| {
        list["decisions"][0]["outcome"] == "granted"
    });
    fn same<M>(arbiter: &Arbiter, path: &str)
    where
        M: Message + Default + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let plain = arbiter.get(path);
        assert_eq!(plain.headers["content-type"], "application/json");
        let from_json: M = serde_json::from_slice(&plain.body).unwrap();
        let binary = arbiter.ask("GET", path, &[PROTOBUF]);
        assert_eq!(binary.headers["content-type"], "application/x-protobuf");
        let decoded = M::decode(&*binary.body).unwrap();
        assert_eq!(decoded, from_json, "{path}");
        assert_ne!(decoded, M::default(), "{path}");
    }
    same::<v1::DecisionList>(&arbiter, "/api/v1/clusters/a/decisions");
    same::<v1::DecisionList>(&arbiter, "/api/v1/decisions");
    same::<v1::EventList>(&arbiter, "/api/v1/events");
    same::<v1::Problem>(&arbiter, "/nothing");
    // These have ages in them.
    arbiter.settled("a");
    let list = arbiter.ask("GET", "/api/v1/clusters", &[PROTOBUF]);
    let list = v1::ClusterList::decode(&*list.body).unwrap();
    assert_eq!(list.clusters[0].vote_held_by, [1]);
    let own = arbiter.ask("GET", "/api/v1/arbiter", &[PROTOBUF]);
    let own = v1::Arbiter::decode(&*own.body).unwrap();
    assert_eq!((own.clusters, own.nodes, own.connections), (1, 2, 2));
}

#[test]
fn any_name_can_be_asked_for() {
    let arbiter = Arbiter::start();
    let names: [&[u8]; 6] = [
        b"",
        b"a/b",
        b"\xff\xfe",
        b"..",
        b"with space?#%",
        "Zürich".as_bytes(),
    ];
    let _nodes: Vec<_> = names.iter().map(|name| arbiter.pair(name)).collect();
    let list = arbiter.json("/api/v1/clusters");
    let clusters = list["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), names.len());
    for cluster in clusters {
        let path = cluster["path"].as_str().unwrap();
        assert_eq!(arbiter.json(path)["name"], cluster["name"], "{path}");
        assert_eq!(
            arbiter.json(&format!("{path}/nodes"))["nodes"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
    let absent = arbiter.get("/api/v1/clusters/absent");
    assert_eq!(absent.status, 404);
    assert_eq!(absent.json()["status"], 404);
}

#[test]
fn many_clusters_come_in_pages() {
    let arbiter = Arbiter::start();
    let names: Vec<String> = (0..25).map(|n| format!("c {n:02}")).collect();
    let _nodes: Vec<_> = names
        .iter()
        .map(|name| arbiter.join(name.as_bytes(), 1, &[1, 2], 4))
        .collect();
    let mut seen = Vec::new();
    let mut path = "/api/v1/clusters?limit=10".to_owned();
    loop {
        let page = arbiter.json(&path);
        assert_eq!(page["total"], 25);
        let clusters = page["clusters"].as_array().unwrap();
        seen.extend(
            clusters
                .iter()
                .map(|c| c["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/clusters?limit=10&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names);
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=",
        "limit=1&limit=2",
    ] {
        let answer = arbiter.get(&format!("/api/v1/clusters?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn decisions_outlive_their_cluster() {
    let arbiter = Arbiter::start();
    let nodes = arbiter.pair(b"gone");
    let path = "/api/v1/clusters/gone/decisions";
    arbiter.until(path, |list| list["decisions"][0]["outcome"] == "granted");
    drop(nodes);
    while arbiter.get("/api/v1/clusters/gone").status != 404 {}
    assert_eq!(arbiter.get(path).status, 200);
}

#[test]
fn health_says_what_is_not_in_order() {
    let arbiter = Arbiter::start();
    for path in ["/healthz", "/readyz"] {
        let answer = arbiter.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["ok"], true);
    }
    let socket = arbiter.shared.live().settings.socket.clone();
    std::fs::remove_file(socket).unwrap();
    arbiter.shared.stop();
    while arbiter.shared.address().is_some() {}
    // What was seen a moment ago is good for a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let answer = arbiter.get("/readyz");
    assert_eq!(answer.status, 503);
    let health = answer.json();
    let failed: Vec<&str> = health["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["vote_port", "control_socket"]);
    assert_eq!(arbiter.get("/healthz").status, 200);
}

#[test]
fn the_overview_has_the_worst_first_and_counts_all() {
    let arbiter = Arbiter::start();
    let _nodes = ["a", "b", ".."].map(|name| arbiter.pair(name.as_bytes()));
    let mut split = arbiter.pair(b"split");
    arbiter.split(&mut split, 8);
    arbiter.settled("split");
    let names = |query: &str| -> Vec<String> {
        let list = arbiter.json(&format!("/api/v1/overview{query}"));
        let counts =
            json!({"clusters": 4, "ok": 3, "degraded": 1, "critical": 0, "warned": 4, "gone": 0});
        assert_eq!(list["counts"], counts);
        let clusters = list["clusters"].as_array().unwrap().iter();
        clusters
            .map(|cluster| cluster["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(""), ["split", "..", "a", "b"]);
    assert_eq!(names("?level=ok&limit=2"), ["..", "a"]);
    assert_eq!(names("?limit=1"), ["split"]);
    assert_eq!(names("?level=degraded"), ["split"]);
    assert_eq!(names("?search=TIE-BREAKER"), ["split"]);
    assert_eq!(names("?search=nothing%20like%20it"), [""; 0]);
    for wrong in ["limit=0", "limit=x", "level=bad", "warned=1"] {
        let answer = arbiter.get(&format!("/api/v1/overview?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let list = arbiter.ask("GET", "/api/v1/overview", &[PROTOBUF]);
    let list = v1::Overview::decode(&*list.body).unwrap();
    let health = list.clusters[0].health.as_ref().unwrap();
    assert_eq!(health.level, "degraded");
    let reason = "split; node 1 holds the vote because the tie-breaker is lowest";
    assert_eq!(health.sentence, reason);
    let whole = arbiter.json("/api/v1/clusters/split");
    assert_eq!(whole["health"]["sentence"], reason);
    assert_eq!(whole["vote_leases"], true);
    assert_eq!(whole["lost_holder"], "timed");
}

#[test]
fn a_name_that_no_path_can_have_can_be_asked_for() {
    let arbiter = Arbiter::start();
    let _nodes = [&b".."[..], b"\xff%", b"other"].map(|name| arbiter.pair(name));
    for (asked, name) in [("..", ".."), ("%FF%25", "\\xff%")] {
        let list = arbiter.json(&format!("/api/v1/clusters?name={asked}"));
        assert_eq!(list["total"], 1, "{asked}");
        assert_eq!(list["clusters"][0]["name"], name);
        let is_about = |list: &Value| {
            let made = list["decisions"].as_array().unwrap();
            !made.is_empty() && made.iter().all(|made| made["cluster"] == name)
        };
        arbiter.until(&format!("/api/v1/decisions?cluster={asked}"), is_about);
    }
    let none = arbiter.json("/api/v1/clusters?name=none");
    assert_eq!((&none["total"], &none["clusters"]), (&json!(0), &json!([])));
}

#[test]
fn a_name_is_decoded_once() {
    let arbiter = Arbiter::start();
    let names: [&[u8]; 5] = [b"A", b"%41", b"a+b", b"a b", b""];
    let _nodes = names.map(|name| arbiter.pair(name));
    for (encoded, name) in [
        ("A", "A"),
        ("%41", "A"),
        ("%2541", "%41"),
        ("a%2Bb", "a+b"),
        ("a+b", "a b"),
        ("", ""),
    ] {
        let list = arbiter.json(&format!("/api/v1/clusters?name={encoded}"));
        assert_eq!(list["clusters"][0]["name"], name, "{encoded}");
        for path in ["/api/v1/decisions", "/api/v1/events"] {
            let path = format!("{path}?cluster={encoded}");
            let list = arbiter.until(&path, |list| {
                list.to_string().contains("\"outcome\":\"granted\"")
            });
            let list = list["decisions"].as_array().or(list["events"].as_array());
            let is_about = |one: &Value| one["cluster"] == name;
            assert!(list.unwrap().iter().all(is_about), "{path}");
        }
    }
    for path in ["clusters?name=a&name=b", "events?cluster=a&cluster=b"] {
        assert_eq!(arbiter.get(&format!("/api/v1/{path}")).status, 400);
    }
    // One by one, in the order of their bytes.
    let mut seen = Vec::new();
    let mut path = "/api/v1/clusters?limit=1".to_owned();
    loop {
        let page = arbiter.json(&path);
        seen.push(page["clusters"][0]["name"].as_str().unwrap().to_owned());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        assert!(seen.len() < names.len(), "{seen:?}");
        path = format!("/api/v1/clusters?limit=1&after={next}");
    }
    assert_eq!(seen, ["", "%41", "A", "a b", "a+b"]);
    for wrong in ["4", "4g", "+1", "A%20"] {
        let answer = arbiter.get(&format!("/api/v1/clusters?after={wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn who_is_gone_is_told_from_who_never_came() {
    let arbiter = Arbiter::start();
    let _one = arbiter.join(b"a", 1, &[1, 2, 3], 4);
    drop(arbiter.join(b"a", 2, &[1, 2, 3], 4));
    let cluster = arbiter.until("/api/v1/clusters/a", |cluster| {
        cluster["absent_nodes"] == json!([2, 3])
    });
    assert_eq!(cluster["absent"][0]["node"], 2);
    assert!(cluster["absent"][0]["gone_ms"].as_u64().unwrap() < 20_000);
    assert_eq!(cluster["absent"][1], json!({"node": 3}));
}

/// Nothing is decided for it any more, but it is not to vanish without a word.
#[test]
fn a_cluster_whose_nodes_have_all_left_is_not_forgotten() {
    let arbiter = Arbiter::start();
    let overview = |gone: usize| {
        arbiter.until("/api/v1/overview", |overview| {
            overview["gone"].as_array().unwrap().len() == gone
        })
    };
    let nodes = arbiter.pair(b"site-rom");
    let _other = arbiter.pair(b"site-berlin");
    assert_eq!(overview(0)["counts"]["clusters"], 2);
    drop(nodes);
    let found = overview(1);
    assert_eq!(found["counts"]["clusters"], 1);
    assert_eq!(found["counts"]["gone"], 1);
    assert_eq!(found["gone"][0]["name"], "site-rom");
    assert!(found["gone"][0]["gone_ms"].as_u64().unwrap() < 60_000);
    let metrics = arbiter.get("/metrics").body;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("\nqarbiter_clusters_gone 1\n"),
        "{metrics}"
    );
    let _back = arbiter.join(b"site-rom", 1, &[1, 2], 4);
    assert_eq!(overview(0)["counts"]["clusters"], 2);
}
