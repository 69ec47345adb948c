//! Looks at the arbiter and its clusters, and hands alerts to the hooks.

use super::alert::{Alert, Fact, Kind, Severity};
use super::derive::{Deriver, Now, Rules};
use super::former;
use super::hook::{Hook, Target, adopt};
use super::settings::AlertSettings;
use super::view::View;
use crate::journal::Health;
use crate::net::live::{Live, TlsState};
use crate::net::server::Shared;
use crate::pki::expiry::{self, Warning};
use crate::pki::facts::{Facts, Moment};
use crate::pki::inventory::Role;
use crate::proto::v1;
use crate::telemetry::history::unix_ms;
use crate::wire::ClusterName;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// How often all clusters are looked at.
const SWEEP: Duration = Duration::from_secs(10);

/// How often settings and the arbiter itself are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(50);

/// Events read at a time.
const PAGE: usize = 500;

/// A certificate is urgent with so many days left or less.
const URGENT_DAYS: i64 = 14;

/// Watches until the server stops, then lets the hooks finish.
pub(super) async fn run(shared: Arc<Shared>, grace: Duration) {
    // Events get their numbers behind those of former processes.
    shared.history.loaded().await;
    tokio::spawn(remember_gone(shared.clone(), grace));
    let mut watcher = Watcher::new(shared.clone(), grace);
    watcher.take_settings();
    let version = env!("CARGO_PKG_VERSION");
    watcher.note(
        Kind::ArbiterStarted,
        Severity::Info,
        &format!("qarbiter {version} started"),
    );
    let mut changes = shared.history.changes();
    loop {
        let pause = watcher.pause();
        tokio::select! {
            biased;
            () = shared.stopped() => break,
            () = sleep(pause) => {}
            // Without its sender there are no more events, and only the time wakes us.
            changed = changes.changed(), if watcher.is_on() => match changed {
                Ok(()) => sleep(SHORTEST).await,
                Err(_) => sleep(pause).await,
            },
        }
        watcher.take_settings();
        if watcher.is_on() {
            watcher.look();
        }
    }
    watcher.note(
        Kind::ArbiterStopping,
        Severity::Warning,
        &format!("qarbiter {version} is stopping"),
    );
    watcher.finish().await;
}

/// Clusters that have not come back after a restart are shown as gone, when they have had the time to.
async fn remember_gone(shared: Arc<Shared>, grace: Duration) {
    sleep(grace).await;
    let (entries, _) = shared.history.all(None, false);
    for former in former::clusters(&entries, unix_ms(SystemTime::now())) {
        let gone_for = former.nodes.iter().map(|node| node.gone_for).min();
        let gone_for = gone_for.unwrap_or_default();
        shared.hub.remember_gone(&former.name, gone_for);
    }
}

struct Watcher {
    shared: Arc<Shared>,
    grace: Duration,
    live: Option<Arc<Live>>,
    settings: AlertSettings,
    arbiter: String,
    hooks: Vec<Hook>,
    deriver: Deriver,
    /// When the deriver began.
    begin: Instant,
    /// The last event that was read.
    cursor: u64,
    /// Clusters to look at soon.
    restless: HashSet<String>,
    /// Clusters by their printable names.
    names: HashMap<String, ClusterName>,
    swept: Option<Instant>,
    /// Numbers of alerts.
    start_ms: u64,
    last: u64,
}

impl Watcher {
    fn new(shared: Arc<Shared>, grace: Duration) -> Self {
        let settings = AlertSettings::default();
        Self {
            deriver: Deriver::new(rules(&settings, grace)),
            arbiter: String::new(),
            hooks: Vec::new(),
            begin: Instant::now(),
            cursor: shared.history.last_event(),
            restless: HashSet::new(),
            names: HashMap::new(),
            swept: None,
            start_ms: unix_ms(SystemTime::now()),
            last: 0,
            live: None,
            shared,
            grace,
            settings,
        }
    }

    /// Begins as after a start.
    fn begin(&mut self) {
        self.deriver = Deriver::new(rules(&self.settings, self.grace));
        self.begin = Instant::now();
        self.swept = None;
        let (entries, last) = self.shared.history.all(None, false);
        self.cursor = last;
        for former in former::clusters(&entries, self.now().unix_ms) {
            self.deriver.expect(former);
        }
    }

    fn is_on(&self) -> bool {
        !self.hooks.is_empty()
    }

    fn now(&self) -> Now {
        Now {
            up: self.begin.elapsed(),
            unix_ms: unix_ms(SystemTime::now()),
        }
    }

    /// How long to wait for the next look, if nothing happens.
    fn pause(&self) -> Duration {
        match self.restless.is_empty() {
            true => LOOK,
            false => (self.settings.settle / 4).clamp(SHORTEST, LOOK),
        }
    }

    /// Takes up settings that changed. Hooks go on with what they have, and who is new is told what
    /// is so.
    fn take_settings(&mut self) {
        let live = self.shared.live();
        let is_same = |former: &Arc<Live>| Arc::ptr_eq(former, &live);
        if self.live.as_ref().is_some_and(is_same) {
            return;
        }
        let settings = live.settings.alerts.clone();
        self.live = Some(live);
        let arbiter = settings.arbiter();
        if settings == self.settings && arbiter == self.arbiter {
            return;
        }
        let was_on = self.is_on();
        let is_renamed = arbiter != self.arbiter;
        let former = std::mem::take(&mut self.hooks);
        let targets = Target::all(&settings);
        let adopted = adopt(former, targets, &arbiter, is_renamed, &self.shared);
        for hook in adopted.left_over {
            let waiting = hook.waiting();
            if waiting > 0 {
                tracing::warn!(
                    "alerts: {} is no longer set, and {waiting} alerts for it are lost",
                    hook.target.name()
                );
            }
        }
        self.arbiter = arbiter;
        self.settings = settings;
        let mut is_told = Vec::new();
        for (hook, was_told) in adopted.hooks {
            self.hooks.push(hook);
            is_told.push(was_told);
        }
        self.deriver.set_rules(rules(&self.settings, self.grace));
        if self.is_on() && !was_on {
            self.begin();
        }
        if is_told.contains(&false) {
            for alert in self.deriver.firing(self.now()) {
                let alert = self.numbered(alert);
                let hooks = self.hooks.iter().zip(&is_told);
                for (hook, _) in hooks.filter(|(_, is_told)| !**is_told) {
                    hook.push(&alert);
                }
            }
        }
    }

    fn note(&mut self, kind: Kind, severity: Severity, message: &str) {
        if self.is_on() {
            let now = self.now();
            self.deriver
                .note(Fact::of_arbiter(kind, severity, message), now);
            self.tell(now);
        }
    }

    /// Looks at what may have changed.
    fn look(&mut self) {
        self.read_events();
        let now = self.now();
        let is_due = |at: Instant| at.elapsed() >= SWEEP;
        if self.swept.is_none_or(is_due) {
            self.sweep(now);
        } else {
            for name in std::mem::take(&mut self.restless) {
                let cluster = self.names.get(&name).cloned();
                let cluster = cluster.unwrap_or_else(|| ClusterName::new(name.as_bytes()));
                self.look_at(&cluster, &name, now);
            }
        }
        self.deriver.arbiter(self.own_facts(), now);
        self.tell(now);
    }

    fn read_events(&mut self) {
        loop {
            let page = self.shared.history.events(self.cursor, None, PAGE);
            self.cursor = page.cursor;
            if page.gap {
                self.swept = None;
            }
            let is_last = page.events.len() < PAGE;
            for event in page.events {
                let Some(cluster) = event.cluster else {
                    continue;
                };
                if let ("node_left", Some(node)) = (event.kind.as_str(), event.node) {
                    self.deriver.left(&cluster, node, &event.message);
                }
                self.restless.insert(cluster);
            }
            if is_last {
                return;
            }
        }
    }

    /// Looks at all clusters.
    fn sweep(&mut self, now: Now) {
        self.swept = Some(Instant::now());
        self.restless.clear();
        let all = self.shared.hub.visit(|cluster| cluster.name().clone());
        self.names = all
            .into_iter()
            .map(|name| (name.to_string(), name))
            .collect();
        let present: HashSet<String> = self.names.keys().cloned().collect();
        for (name, cluster) in self.names.clone() {
            self.look_at(&cluster, &name, now);
        }
        self.forget_revoked(now);
        let restless = self.deriver.missing(&present, now);
        self.restless.extend(restless);
    }

    /// A cluster whose certificates were all revoked is not coming back.
    fn forget_revoked(&mut self, now: Now) {
        let empty: HashSet<String> = self.deriver.empty().cloned().collect();
        if empty.is_empty() {
            return;
        }
        for cluster in self.shared.guests.revoked_clusters().intersection(&empty) {
            let why = "its certificates are revoked, so it is not waited for";
            self.deriver.forget(cluster, why, now);
        }
    }

    fn look_at(&mut self, cluster: &ClusterName, name: &str, now: Now) {
        let snapshot = self.shared.hub.snapshot(cluster);
        let view = match &snapshot {
            Some(snapshot) => View::of(snapshot),
            None if self.deriver.knows(name) => View::empty(name),
            None => return,
        };
        if self.deriver.look(&view, now) {
            self.restless.insert(name.to_owned());
        }
    }

    /// What is so about the arbiter itself.
    fn own_facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        match self.shared.hub.journal_health() {
            Some(Health::Good) => {}
            Some(Health::Failing(why)) => {
                let message = "the journal can't be written, so no vote moves until it can be";
                let mut fact = Fact::of_arbiter(Kind::JournalTrouble, Severity::Critical, message);
                fact.reason = Some(why.to_string());
                facts.push(fact);
            }
            None => facts.push(Fact::of_arbiter(
                Kind::JournalTrouble,
                Severity::Warning,
                "there is no journal, so a restart in the middle of a split may move the vote; \
                 the log of the start says why",
            )),
        }
        facts.extend(self.shared.guests.endings().iter().map(ending));
        let live = self.shared.live();
        if let TlsState::Ready { certificates, .. } = &live.tls {
            let now = Moment::from(SystemTime::now());
            let warn_days = live.settings.certificate_warn_days;
            let cas = certificates
                .iter()
                .skip(1)
                .filter_map(|der| Facts::of(der).ok());
            facts.extend(
                cas.filter_map(|ca| expiry::warning(Role::Ca, &ca, now, warn_days))
                    .map(|warning| ending_ca(&warning)),
            );
        }
        facts
    }

    /// Hands what is due to the hooks.
    fn tell(&mut self, now: Now) {
        for alert in self.deriver.take(now) {
            let alert = self.numbered(alert);
            for hook in &self.hooks {
                hook.push(&alert);
            }
        }
    }

    fn numbered(&mut self, alert: Alert) -> Arc<v1::Alert> {
        self.last += 1;
        let id = format!("{:x}-{}", self.start_ms, self.last);
        Arc::new(alert.message(id, &self.arbiter))
    }

    /// Lets the hooks tell what they have.
    async fn finish(self) {
        let begin = Instant::now();
        self.hooks.iter().for_each(Hook::hurry);
        while !self.hooks.iter().all(|hook| hook.is_done(begin.elapsed())) {
            sleep(Duration::from_millis(10)).await;
        }
        let waiting: usize = self.hooks.iter().map(Hook::waiting).sum();
        if waiting > 0 {
            tracing::warn!("alerts: {waiting} could not be told before the end");
        }
    }
}

fn rules(settings: &AlertSettings, grace: Duration) -> Rules {
    let minutes = settings.absent_minutes;
    Rules {
        settle: settings.settle,
        absent_after: (minutes > 0).then(|| Duration::from_secs(u64::from(minutes) * 60)),
        grace,
    }
}

fn ending(warning: &Warning) -> Fact {
    let severity = match warning.days_left {
        ..=URGENT_DAYS => Severity::Critical,
        _ => Severity::Warning,
    };
    let mut fact = Fact::of_arbiter(Kind::CertificateEnding, severity, warning.to_string());
    let facts = &warning.facts;
    if warning.role == Role::Cluster {
        fact.cluster = Some(facts.name.clone());
    }
    fact.key += &format!("/{}/{}", warning.role, facts.serial);
    fact
}

/// Nobody is refused for it, so it is only good to know.
fn ending_ca(warning: &Warning) -> Fact {
    let end = warning.facts.not_after.date();
    let message = match warning.days_left {
        ..0 => format!("the CA's certificate ended on {end}; nodes go on all the same"),
        days => {
            format!("the CA's certificate ends on {end}, in {days} days; nodes go on all the same")
        }
    };
    let mut fact = Fact::of_arbiter(Kind::CertificateEnding, Severity::Info, message);
    fact.key += &format!("/{}/{}", warning.role, warning.facts.serial);
    fact
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::KeyKind;
    use crate::pki::ca::Authority;

    #[test]
    fn ends_of_certificates_have_keys_and_severities() {
        let ca = Authority::generate(KeyKind::P256, 101, SystemTime::now()).unwrap();
        let warning = |role, days_left| Warning {
            role,
            facts: Facts {
                name: "site-rom".to_owned(),
                serial: 7.into(),
                ..Facts::of(&ca.keyed().certificate).unwrap()
            },
            days_left,
            superseded: false,
        };
        for (days, severity) in [
            (90, Severity::Warning),
            (15, Severity::Warning),
            (14, Severity::Critical),
            (-1, Severity::Critical),
        ] {
            let cluster = ending(&warning(Role::Cluster, days));
            assert_eq!(
                (cluster.severity, &*cluster.key),
                (severity, "certificate_ending/cluster/7")
            );
            assert_eq!(cluster.cluster.as_deref(), Some("site-rom"));
            assert_eq!(ending(&warning(Role::Server, days)).cluster, None);
        }
        let own = ending_ca(&warning(Role::Ca, -1));
        assert_eq!((own.severity, own.cluster), (Severity::Info, None));
        assert!(own.message.contains("ended on"), "{}", own.message);
    }
}
