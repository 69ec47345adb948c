//! What is told after which views, with the time as an argument.

use super::*;

const RULES: Rules = Rules {
    settle: Duration::from_secs(3),
    absent_after: Some(Duration::from_secs(300)),
    grace: Duration::from_secs(60),
};

/// A clock that is turned by hand, and what was told by it.
struct Story {
    deriver: Deriver,
    seconds: u64,
}

impl Story {
    fn new() -> Self {
        Self {
            deriver: Deriver::new(RULES),
            seconds: 0,
        }
    }

    /// Both nodes are there, and the start is long over.
    fn calm() -> Self {
        let mut story = Self::new();
        story.see(&both());
        assert_eq!(story.after(10), Vec::<String>::new());
        story.see(&both());
        story.after(90);
        story
    }

    fn now(&self) -> Now {
        Now {
            up: Duration::from_secs(self.seconds),
            unix_ms: 1_000_000 + self.seconds * 1000,
        }
    }

    fn see(&mut self, view: &View) -> bool {
        self.deriver.look(view, self.now())
    }

    /// What is told now, after this view has lasted for so long, looked at each second.
    fn lasting(&mut self, view: &View, seconds: u64) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..seconds {
            self.see(view);
            said.extend(self.after(1));
        }
        said
    }

    fn after(&mut self, seconds: u64) -> Vec<String> {
        self.seconds += seconds;
        self.take().iter().map(short).collect()
    }

    fn take(&mut self) -> Vec<Alert> {
        self.deriver.take(self.now())
    }
}

/// `split firing critical`.
fn short(alert: &Alert) -> String {
    let status = alert.status.map_or("event", Status::word);
    let several = alert
        .count
        .map(|count| format!(" x{count}"))
        .unwrap_or_default();
    let fact = &alert.fact;
    format!(
        "{} {status} {}{several}",
        fact.kind.word(),
        fact.severity.word()
    )
}

fn both() -> View {
    of("site")
}

fn of(cluster: &str) -> View {
    View {
        is_listed: true,
        connected: vec![1, 2],
        severity: Severity::Info,
        sentence: "both nodes connected".to_owned(),
        holders: vec![1, 2],
        reason: Some("it has 2 of 2 configured nodes".to_owned()),
        ..View::empty(cluster)
    }
}

fn split() -> View {
    View {
        severity: Severity::Warning,
        sentence: "split; node 1 holds the vote".to_owned(),
        is_split: true,
        holders: vec![1],
        reason: Some("an exact tie goes to the lowest node id, which is 1".to_owned()),
        ..both()
    }
}

fn without_two(mut view: View) -> View {
    view.connected = vec![1];
    view.absent = vec![2];
    view.holders = vec![1];
    view.severity = Severity::Warning;
    view
}

/// Only the connection to the arbiter is lost: the nodes see each other.
fn without_link_of(node: u32) -> View {
    let mut view = both();
    view.connected.retain(|other| *other != node);
    view.absent = vec![node];
    view.severity = Severity::Warning;
    view
}

#[test]
fn a_split_is_told_once_and_its_end_too() {
    let mut story = Story::calm();
    let said = story.lasting(&split(), 10);
    assert_eq!(said, ["split firing warning", "vote_granted event warning"]);
    assert!(story.lasting(&split(), 1000).is_empty());
    let said = story.lasting(&both(), 10);
    assert_eq!(said, ["split resolved warning", "vote_granted event info"]);
}

#[test]
fn alerts_say_what_why_and_since_when() {
    let mut story = Story::calm();
    story.see(&split());
    let began = story.now().unix_ms;
    story.seconds += 4;
    story.see(&split());
    let told = story.take();
    let (split_alert, vote) = (&told[0], &told[1]);
    assert_eq!(split_alert.fact.key, "split/site");
    assert_eq!(
        split_alert.fact.message,
        "site: split; node 1 holds the vote"
    );
    assert_eq!(split_alert.fact.reason, split().reason);
    assert_eq!(split_alert.since_unix_ms, Some(began));
    assert_eq!(vote.fact.key, "vote/site");
    assert_eq!(vote.fact.nodes, [1]);
    assert_eq!(vote.fact.reason, split().reason);
    let message = "site: node 1 has the vote: an exact tie goes to the lowest node id, which is 1";
    assert_eq!(vote.fact.message, message);
    assert_eq!(vote.status, None);
}

#[test]
fn what_does_not_last_is_not_told() {
    let mut story = Story::calm();
    assert!(story.lasting(&split(), 3).is_empty());
    assert!(story.lasting(&both(), 100).is_empty());
}

#[test]
fn what_becomes_graver_is_told_again() {
    let mut story = Story::calm();
    assert_eq!(story.lasting(&split(), 10).len(), 2);
    let worse = View {
        severity: Severity::Critical,
        ..split()
    };
    assert_eq!(story.lasting(&worse, 20), ["split firing critical"]);
    assert!(story.lasting(&split(), 20).is_empty());
    let said = story.lasting(&both(), 20);
    assert!(
        said.contains(&"split resolved critical".to_owned()),
        "{said:?}"
    );
}

#[test]
fn a_vote_that_moves_is_told_as_such() {
    let mut story = Story::calm();
    story.lasting(&split(), 10);
    let other = View {
        holders: vec![2],
        ..split()
    };
    assert_eq!(story.lasting(&other, 20), ["vote_moved event warning"]);
}

#[test]
fn a_lost_connection_moves_no_vote() {
    let mut story = Story::calm();
    let said = story.lasting(&without_link_of(1), 10);
    assert_eq!(said, ["node_lost firing warning"]);
    let said = story.lasting(&without_link_of(2), 20);
    let other = ["node_lost resolved warning", "node_lost firing warning"];
    assert_eq!(said, other);
}

#[test]
fn a_part_that_gets_the_vote_is_told_soon_after_a_start_too() {
    let mut story = Story::new();
    story.lasting(&both(), 10);
    let said = story.lasting(&without_two(both()), 5);
    assert!(
        said.contains(&"vote_granted event warning".to_owned()),
        "{said:?}"
    );
}

#[test]
fn a_vote_that_is_withheld_and_given() {
    let mut story = Story::calm();
    let withheld = View {
        holders: vec![],
        withheld: Some("node 2 may still cast it".to_owned()),
        severity: Severity::Critical,
        ..without_two(both())
    };
    story.see(&withheld);
    story.seconds += 4;
    story.see(&withheld);
    let told = story.take();
    let all: Vec<String> = told.iter().map(short).collect();
    assert_eq!(
        all,
        ["node_lost firing critical", "vote_withheld firing critical"]
    );
    assert_eq!(
        told[1].fact.reason.as_deref(),
        Some("node 2 may still cast it")
    );
    let said = story.lasting(&without_two(both()), 10);
    assert_eq!(
        said,
        [
            "vote_withheld resolved critical",
            "vote_granted event warning"
        ]
    );
}

#[test]
fn a_node_is_lost_absent_and_back() {
    let mut story = Story::calm();
    let alone = without_two(both());
    story.see(&alone);
    story.deriver.left(
        "site",
        2,
        "node 2 at 192.0.2.2:1 left: it was silent for too long",
    );
    story.seconds += 4;
    story.see(&alone);
    let told = story.take();
    assert_eq!(short(&told[0]), "node_lost firing warning");
    assert_eq!(told[0].fact.key, "node_lost/site/2");
    let how = "node 2 at 192.0.2.2:1 left: it was silent for too long";
    assert_eq!(told[0].fact.reason.as_deref(), Some(how));
    assert!(story.lasting(&alone, 280).is_empty());
    story.see(&alone);
    let said = story.lasting(&alone, 30);
    assert_eq!(said, ["node_absent firing warning"]);
    let said = story.lasting(&both(), 10);
    let back = [
        "node_absent resolved warning",
        "node_lost resolved warning",
        "vote_granted event info",
    ];
    assert_eq!(said, back);
}

#[test]
fn a_node_that_never_came_is_absent_but_not_lost() {
    let mut story = Story::new();
    let alone = without_two(both());
    assert_eq!(story.lasting(&alone, 290).len(), 2, "connected, granted");
    assert_eq!(story.lasting(&alone, 30), ["node_absent firing warning"]);
}

#[test]
fn a_cluster_whose_nodes_all_left_is_not_forgotten() {
    let mut story = Story::calm();
    let nobody = HashSet::new();
    story.deriver.missing(&nobody, story.now());
    story.seconds += 4;
    story.deriver.missing(&nobody, story.now());
    let said: Vec<String> = story.take().iter().map(short).collect();
    assert_eq!(said, ["node_lost firing critical"; 2]);
    story.seconds += 8 * 24 * 60 * 60;
    story.deriver.missing(&nobody, story.now());
    assert_eq!(story.after(0), ["node_lost resolved critical"; 2]);
    assert!(!story.deriver.knows("site"));
}

#[test]
fn invented_clusters_are_not_remembered_without_end() {
    let mut story = Story::calm();
    for number in 0..EMPTY + 5 {
        story.see(&of(&format!("c{number}")));
    }
    story.see(&without_two(both()));
    let site: HashSet<String> = HashSet::from(["site".to_owned()]);
    story.deriver.missing(&site, story.now());
    story.deriver.missing(&site, story.now());
    assert_eq!(story.deriver.empty().count(), EMPTY);
    assert!(story.deriver.knows("site"));
}

#[test]
fn what_is_told_alone_is_told_as_over_however_much_else_is_told() {
    let mut story = Story::new();
    let clusters: Vec<View> = (0..40).map(|number| of(&format!("c{number}"))).collect();
    clusters.iter().for_each(|view| _ = story.see(view));
    story.after(100);
    let worse = |view: &View| View {
        severity: Severity::Critical,
        ..without_two(view.clone())
    };
    let mut told = Vec::new();
    for second in 0..60 {
        for view in &clusters {
            let view = if second < 10 {
                without_two(view.clone())
            } else {
                worse(view)
            };
            story.see(&view);
        }
        story.seconds += 1;
        told.extend(story.take());
    }
    for _ in 0..60 {
        clusters.iter().for_each(|view| _ = story.see(view));
        story.seconds += 1;
        told.extend(story.take());
    }
    told.retain(|alert| alert.fact.kind == Kind::NodeLost);
    let mut state: BTreeMap<String, Option<Status>> = BTreeMap::new();
    for alert in &told {
        state.insert(alert.fact.key.clone(), alert.status);
    }
    assert_eq!(state.len(), 21, "{:?}", state.keys());
    assert!(
        state.values().all(|last| *last == Some(Status::Resolved)),
        "{state:?}"
    );
    // What got graver was told as such, as far as there was room for it.
    let critical = |alert: &&Alert| alert.fact.severity == Severity::Critical;
    assert!(
        told.iter()
            .filter(critical)
            .any(|alert| alert.fact.key != "node_lost/several")
    );
}

#[test]
fn what_can_not_be_seen_is_not_over() {
    let mut story = Story::calm();
    assert_eq!(story.lasting(&split(), 10).len(), 2);
    // The link of the loser drops; the winner sees itself alone.
    let alone = View {
        seen: vec![1],
        ..without_two(both())
    };
    assert_eq!(story.lasting(&alone, 10), ["node_lost firing warning"]);
    assert_eq!(story.lasting(&split(), 10), ["node_lost resolved warning"]);
    // It comes back into the membership, but not yet to the arbiter.
    story.see(&without_link_of(2));
    let together = View {
        seen: vec![1, 2],
        ..without_link_of(2)
    };
    let said = story.lasting(&together, 30);
    assert!(
        said.contains(&"split resolved warning".to_owned()),
        "{said:?}"
    );
}

#[test]
fn a_withheld_vote_is_withheld_until_somebody_has_it() {
    let mut story = Story::calm();
    let withheld = View {
        holders: vec![],
        withheld: Some("no connected partition has half".to_owned()),
        severity: Severity::Critical,
        ..without_two(both())
    };
    assert_eq!(story.lasting(&withheld, 10).len(), 2);
    let nobody = View::empty("site");
    let said = story.lasting(&nobody, 10);
    assert_eq!(said, ["node_lost firing critical"]);
    story.see(&both());
    story.seconds += 4;
    story.see(&both());
    let told = story.take();
    let over = told
        .iter()
        .find(|alert| alert.fact.kind == Kind::VoteWithheld)
        .unwrap();
    assert_eq!(
        (over.status, &over.fact.reason),
        (Some(Status::Resolved), &None)
    );
}

fn former(gone_minutes: u64) -> Former {
    let node = |node| FormerNode {
        node,
        gone_for: Duration::from_secs(gone_minutes * 60),
        how: "it was connected before".to_owned(),
    };
    Former {
        name: crate::wire::ClusterName::new(b"site"),
        nodes: vec![node(1), node(2)],
    }
}

#[test]
fn a_cluster_that_is_down_across_a_start_is_lost_after_the_first_minute() {
    let mut story = Story::new();
    story.deriver.expect(former(1));
    let nobody = HashSet::new();
    let mut said = Vec::new();
    for _ in 0..30 {
        story.deriver.missing(&nobody, story.now());
        said.push((story.seconds, story.after(10)));
    }
    said.retain(|(_, said)| !said.is_empty());
    let lost = vec!["node_lost firing critical".to_owned(); 2];
    let absent = vec!["node_absent firing critical".to_owned(); 2];
    assert_eq!(said, [(70, lost), (250, absent)]);
    // And it is forgotten as others are.
    story.seconds += 7 * 24 * 60 * 60;
    story.deriver.missing(&nobody, story.now());
    assert_eq!(story.after(0).len(), 4);
    assert!(!story.deriver.knows("site"));
}

#[test]
fn a_cluster_that_comes_back_after_a_start_is_no_news() {
    let mut story = Story::new();
    story.deriver.expect(former(60 * 24));
    assert!(story.lasting(&both(), 50).is_empty());
    // As all nodes that connect in the first minute.
    assert_eq!(story.lasting(&both(), 50), ["node_connected event info x2"]);
}

#[test]
fn what_is_firing_can_be_told_again() {
    let mut story = Story::calm();
    story.lasting(&split(), 10);
    let views: Vec<View> = (0..40).map(|number| of(&format!("c{number}"))).collect();
    views.iter().for_each(|view| _ = story.see(view));
    story.after(1);
    for _ in 0..10 {
        for view in &views {
            story.see(&without_two(view.clone()));
        }
        story.after(1);
    }
    let now = story.now();
    let firing: Vec<String> = story.deriver.firing(now).iter().map(short).collect();
    assert_eq!(firing[0], "split firing warning");
    let single = firing
        .iter()
        .filter(|said| *said == "node_lost firing warning");
    assert_eq!(single.count(), 20);
    assert_eq!(firing[21..], ["node_lost firing warning x20"]);
}

#[test]
fn flapping_is_told_ever_more_rarely() {
    let mut story = Story::calm();
    let alone = View {
        holders: vec![1, 2],
        ..without_two(both())
    };
    let mut told = 0;
    // Five seconds each, for half an hour: 180 times up and down.
    for _ in 0..180 {
        told += story.lasting(&alone, 5).len();
        told += story.lasting(&both(), 5).len();
    }
    assert!((2..=12).contains(&told), "{told}");
    // The last state is told in the end.
    let last = story.lasting(&alone, 400);
    assert!(
        last.contains(&"node_lost firing warning".to_owned()) || told % 2 == 1,
        "{last:?}"
    );
}

#[test]
fn a_restart_with_a_thousand_clusters_is_one_alert() {
    let mut story = Story::new();
    let mut told = Vec::new();
    for second in 0..100 {
        for number in 0..1000 {
            // They come one after the other, and of each cluster one node first.
            let view = match (second * 40).cmp(&number) {
                std::cmp::Ordering::Less => continue,
                _ if second * 40 - number < 300 => View {
                    cluster: format!("c{number}"),
                    ..without_link_of(2)
                },
                _ => of(&format!("c{number}")),
            };
            story.see(&view);
        }
        story.seconds += 1;
        told.extend(story.take());
    }
    let all: Vec<String> = told.iter().map(short).collect();
    assert_eq!(all, ["node_connected event info x2000"]);
    let message = "nodes that connected: 2000, in clusters: 1000 (c0, c1, c10, c100, c101, ...)";
    assert_eq!(told[0].fact.message, message);
}

#[test]
fn the_loss_of_a_thousand_clusters_is_a_handful() {
    let mut story = Story::new();
    let clusters: Vec<View> = (0..1000).map(|number| of(&format!("c{number}"))).collect();
    clusters.iter().for_each(|view| _ = story.see(view));
    story.after(100);
    let mut told = Vec::new();
    for _ in 0..120 {
        for view in &clusters {
            story.see(&without_two(view.clone()));
        }
        told.extend(story.after(1));
    }
    let sums: Vec<&String> = told.iter().filter(|said| said.contains('x')).collect();
    assert!(told.len() < 100, "{} alerts", told.len());
    assert_eq!(sums[0], "node_lost firing warning x980");
    // All of them come back.
    let mut told = Vec::new();
    for _ in 0..20 {
        clusters.iter().for_each(|view| _ = story.see(view));
        told.extend(story.after(1));
    }
    let lost: Vec<&String> = told
        .iter()
        .filter(|said| said.starts_with("node_lost"))
        .collect();
    assert_eq!(lost.len(), 21, "{told:?}");
    assert!(
        lost.iter()
            .all(|said| *said == "node_lost resolved warning")
    );
}

#[test]
fn the_arbiter_itself() {
    let mut story = Story::new();
    let trouble = || {
        let mut fact = Fact::of_arbiter(Kind::JournalTrouble, Severity::Critical, "no room");
        fact.reason = Some("ENOSPC".to_owned());
        vec![fact]
    };
    story.deriver.note(
        Fact::of_arbiter(Kind::ArbiterStarted, Severity::Info, "s"),
        story.now(),
    );
    story.deriver.arbiter(trouble(), story.now());
    assert_eq!(story.after(4), ["arbiter_started event info"]);
    story.deriver.arbiter(trouble(), story.now());
    assert_eq!(story.after(1), ["journal_trouble firing critical"]);
    story.deriver.arbiter(Vec::new(), story.now());
    story.seconds += 4;
    story.deriver.arbiter(Vec::new(), story.now());
    let told = story.take();
    assert_eq!(short(&told[0]), "journal_trouble resolved critical");
    assert_eq!(told[0].fact.message, "the journal can be written again");
}

#[test]
fn an_odd_cluster_is_told_once() {
    let mut story = Story::calm();
    let odd = View {
        odd: Some("3 nodes is an odd number".to_owned()),
        ..both()
    };
    assert_eq!(story.lasting(&odd, 30), ["odd_cluster firing warning"]);
    assert_eq!(story.lasting(&both(), 30), ["odd_cluster resolved warning"]);
}
