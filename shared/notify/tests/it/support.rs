//! What the tests of the pipeline share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditLog, AuditRow, LogError, LogFilter, LogPage, LoggedEntry};
use gam_model::configuration::Configuration;
use gam_model::{AuditEntry, ChannelSettings, Clock, LogPosition, TimeZone};
use gam_notify::{
    ChannelSecrets, DigestNote, DigestNumber, DigestRequest, DigestSource, FactSource, HttpAnswer, HttpPost,
    Mail, NoAnswer, NoSecret, Notifier, NotifyError, NotifyOrg, NotifyPorts, OrgFacts, SecretSource,
    SendOutcome, Transport,
};
use gam_store::conformance::{CommitFault, FaultyRecords};
use gam_store::{
    MemoryStore, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange, RecordStore,
};
use serde_json::Value;

pub(crate) const ORG: &str = "acme";

/// A clock that the test moves.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<DateTime<Utc>>>);

impl TestClock {
    pub(crate) fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// The rows of the store, and those that a test has drained.
pub(crate) struct TestLog {
    records: Arc<MemoryStore>,
    segments: Mutex<Vec<Vec<AuditEntry>>>,
}

fn entry(row: AuditRow, commit_id: String) -> AuditEntry {
    let kind = serde_json::to_value(row.kind).unwrap().as_str().unwrap().to_owned();
    AuditEntry {
        event_id: row.id,
        kind,
        org: row.org,
        repo: row.repo,
        repo_id: row.repo_id,
        number: row.number,
        principal: row.principal,
        subject: row.subject,
        outcome: row.outcome,
        occurred_at: row.time,
        count: None,
        origin: None,
        commit_id,
        detail: Some(serde_json::to_string(&row.detail).unwrap()),
    }
}

impl TestLog {
    async fn rows(&self, org: Option<&str>) -> Vec<(RecordKey, AuditEntry)> {
        let range = RecordRange::new(org, RecordKind::AuditRow, &[]).unwrap();
        let rows = self.records.range(&range, 100_000, DateTime::UNIX_EPOCH).await.unwrap();
        let parse = |(key, record): (RecordKey, Record)| {
            (key, entry(serde_json::from_str(&record.body).unwrap(), record.revision.to_string()))
        };
        rows.into_iter().map(parse).collect()
    }

    /// Writes the rows as a segment. Deletes them from the store only if `deletes`, as a drain that is killed does not.
    pub(crate) async fn drain(&self, deletes: bool) {
        let rows = self.rows(Some(ORG)).await;
        if rows.is_empty() {
            return;
        }
        let (keys, entries): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        self.segments.lock().unwrap().push(entries);
        if deletes {
            self.delete(keys).await;
        }
    }

    /// Writes the first rows as a segment, in order of time. Returns whether there were some.
    pub(crate) async fn drain_some(&self, max: usize, deletes: bool) -> bool {
        let rows = self.rows(Some(ORG)).await;
        let (keys, entries): (Vec<_>, Vec<_>) = rows.into_iter().take(max).unzip();
        if entries.is_empty() {
            return false;
        }
        self.segments.lock().unwrap().push(entries);
        if deletes {
            self.delete(keys).await;
        }
        true
    }

    /// Deletes the rows that the last segment has.
    pub(crate) async fn delete_drained(&self) {
        let count = self.segments.lock().unwrap().last().map_or(0, Vec::len);
        let keys = self.rows(Some(ORG)).await.into_iter().take(count).map(|(key, _)| key).collect();
        self.delete(keys).await;
    }

    pub(crate) async fn delete_rows(&self) {
        let keys = self.rows(Some(ORG)).await.into_iter().map(|(key, _)| key).collect();
        self.delete(keys).await;
    }

    async fn delete(&self, keys: Vec<RecordKey>) {
        for chunk in keys.chunks(90) {
            let commit = chunk.iter().fold(RecordCommit::new(RecordCommitId::random()), |commit, key| {
                commit.delete(key.clone(), gam_store::Expectation::Any)
            });
            self.records.commit(&commit, DateTime::UNIX_EPOCH).await.unwrap();
        }
    }
}

#[async_trait]
impl AuditLog for TestLog {
    async fn uncollected_orgs(&self) -> Result<Vec<String>, LogError> {
        Ok(Vec::new())
    }

    async fn page(
        &self,
        org: Option<&str>,
        after: LogPosition,
        limit: usize,
        _: &LogFilter,
    ) -> Result<LogPage, LogError> {
        let mut page = LogPage { entries: Vec::new(), next: after, has_more: false };
        if org.is_none() {
            return Ok(page);
        }
        let segments = self.segments.lock().unwrap().clone();
        for (number, segment) in (1..).zip(&segments) {
            for (row, entry) in (1..).zip(segment) {
                let position = LogPosition { segment: number, row };
                if position <= after {
                    continue;
                }
                if page.entries.len() == limit {
                    page.has_more = true;
                    return Ok(page);
                }
                page.next = position;
                page.entries.push(LoggedEntry { position, entry: entry.clone() });
            }
        }
        Ok(page)
    }

    async fn latest(
        &self,
        org: Option<&str>,
        _: Option<LogPosition>,
        _: usize,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEntry>, LogError> {
        let page = self.page(org, LogPosition::START, usize::MAX, filter).await?;
        Ok(page.entries.last().cloned().into_iter().collect())
    }

    async fn undrained(
        &self,
        org: Option<&str>,
        limit: usize,
        _: &LogFilter,
    ) -> Result<Vec<AuditEntry>, LogError> {
        let rows = self.rows(org).await;
        let skipped = rows.len().saturating_sub(limit);
        Ok(rows.into_iter().skip(skipped).map(|(_, entry)| entry).collect())
    }
}

/// How a service behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Takes,
    Answers(u16),
    /// It takes the request and never answers.
    Silent,
}

/// A message that a service took.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// All services, by host.
#[derive(Default)]
pub(crate) struct Services {
    behaviour: Mutex<BTreeMap<String, Service>>,
    taken: Mutex<Vec<(String, Taken)>>,
    requests: Mutex<BTreeMap<String, usize>>,
}

impl Services {
    pub(crate) fn set(&self, host: &str, behaviour: Service) {
        self.behaviour.lock().unwrap().insert(host.to_owned(), behaviour);
    }

    pub(crate) fn taken(&self, host: &str) -> Vec<Taken> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(at, _)| at == host).map(|(_, taken)| taken.clone()).collect()
    }

    pub(crate) fn requests(&self, host: &str) -> usize {
        self.requests.lock().unwrap().get(host).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Transport for Services {
    async fn post(&self, request: HttpPost) -> Result<HttpAnswer, NoAnswer> {
        let host = request.url.host_str().unwrap().trim_end_matches(".example.com").to_owned();
        *self.requests.lock().unwrap().entry(host.clone()).or_default() += 1;
        let behaviour = self.behaviour.lock().unwrap().get(&host).copied().unwrap_or(Service::Takes);
        let status = match behaviour {
            Service::Takes => 200,
            Service::Answers(status) => status,
            Service::Silent => std::future::pending().await,
        };
        if status == 200 {
            let id = request.headers.iter().find(|(name, _)| *name == "webhook-id");
            let id = id.map_or_else(String::new, |(_, id)| id.clone());
            let body = serde_json::from_slice(&request.body).unwrap();
            self.taken.lock().unwrap().push((host, Taken { id, body }));
        }
        Ok(HttpAnswer { status, retry_after: None, date: None, body: String::new() })
    }

    async fn mail(&self, _: Mail) -> SendOutcome {
        SendOutcome::failed("there is no mail server")
    }
}

pub(crate) struct TestFacts {
    pub(crate) settings: Mutex<String>,
    pub(crate) facts: Mutex<OrgFacts>,
}

#[async_trait]
impl FactSource for TestFacts {
    async fn orgs(&self) -> gam_notify::Result<Vec<NotifyOrg>> {
        let settings = Configuration::parse_stored(&self.settings.lock().unwrap()).unwrap().notify;
        Ok(vec![NotifyOrg { key: ORG.to_owned(), settings, time_zone: TimeZone::UTC }])
    }

    async fn facts(&self, _: &str) -> gam_notify::Result<OrgFacts> {
        Ok(self.facts.lock().unwrap().clone())
    }
}

struct TestSecrets;

#[async_trait]
impl SecretSource for TestSecrets {
    async fn secrets(&self, channel: &ChannelSettings) -> Result<ChannelSecrets, NoSecret> {
        let value = |name: &str| match name {
            "NOTIFY_KEY" => format!("whsec_{}", "QUFB".repeat(8)),
            _ => format!("https://{}.example.com/", channel.name),
        };
        Ok(channel
            .secret_names()
            .into_iter()
            .map(|it| (it.as_str().to_owned(), value(it.as_str()).into()))
            .collect())
    }
}

/// Returns a store in which a process dies at one commit, before or after its effect, and whether it has died.
pub(crate) fn dying_at(
    inner: Arc<MemoryStore>,
    commit: usize,
    has_effect: bool,
) -> (FaultyRecords, Arc<AtomicBool>) {
    let (commits, has_died) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let died = has_died.clone();
    let fault = move || {
        if commits.fetch_add(1, Ordering::SeqCst) != commit {
            return CommitFault::None;
        }
        died.store(true, Ordering::SeqCst);
        if has_effect { CommitFault::CrashAfter } else { CommitFault::CrashBefore }
    };
    (FaultyRecords { inner, fault: Box::new(fault) }, has_died)
}

/// Numbers of digests.
#[derive(Default)]
pub(crate) struct TestDigests {
    /// How often they were read.
    pub(crate) reads: AtomicUsize,
    /// Whether they cannot be read.
    pub(crate) fails: AtomicBool,
}

#[async_trait]
impl DigestSource for TestDigests {
    async fn numbers(
        &self,
        request: &DigestRequest,
    ) -> gam_notify::Result<(Vec<DigestNumber>, Vec<DigestNote>)> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(NotifyError::Facts { what: "the store is busy".to_owned() });
        }
        let number = DigestNumber {
            metric: "commits".to_owned(),
            subject: None,
            value: Some(3.0),
            previous: None,
            is_hours: false,
            link: format!("/orgs/{}?since={}&until={}", request.org, request.since, request.until),
        };
        Ok((vec![number], Vec::new()))
    }
}

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: TestClock,
    pub(crate) log: Arc<TestLog>,
    pub(crate) services: Arc<Services>,
    pub(crate) facts: Arc<TestFacts>,
    pub(crate) digests: Arc<TestDigests>,
}

impl World {
    /// `settings` are those of `[notify]`, with names of tables as in a configuration.
    pub(crate) fn new(settings: &str) -> Self {
        let store = Arc::new(MemoryStore::default());
        let clock = TestClock(Arc::new(Mutex::new("2026-03-02T12:00:00Z".parse().unwrap())));
        let log = Arc::new(TestLog { records: store.clone(), segments: Mutex::default() });
        let facts =
            Arc::new(TestFacts { settings: Mutex::new(settings.to_owned()), facts: Mutex::default() });
        World { store, clock, log, services: Arc::default(), facts, digests: Arc::default() }
    }

    pub(crate) fn notifier(&self) -> Notifier {
        self.notifier_in(self.store.clone())
    }

    pub(crate) fn notifier_in(&self, records: Arc<dyn RecordStore>) -> Notifier {
        let ports = NotifyPorts {
            records,
            clock: Arc::new(self.clock.clone()),
            log: Some(self.log.clone()),
            facts: self.facts.clone(),
            digests: Some(self.digests.clone()),
            pictures: None,
            secrets: Arc::new(TestSecrets),
            approval_links: None,
        };
        Notifier::new(ports, self.services.clone())
    }

    /// Commits audit rows of failed actions, with ids from `first` on.
    pub(crate) async fn fail_actions(&self, first: usize, count: usize) {
        let ids: Vec<usize> = (first..first + count).collect();
        for chunk in ids.chunks(90) {
            let mut commit = RecordCommit::new(RecordCommitId::random());
            for id in chunk {
                let row = AuditRow::new(
                    format!("action:{id}:failed"),
                    Some(ORG),
                    self.clock.now(),
                    "service",
                    AuditKind::ActionFailed,
                    format!("action {id}"),
                );
                commit = row.add_to(commit).unwrap();
            }
            self.store.commit(&commit, self.clock.now()).await.unwrap();
        }
    }

    /// Begins to read the log, with nothing to send.
    pub(crate) async fn run_alone(&self, notifier: &Notifier) {
        notifier.run_once().await.unwrap();
    }

    /// Runs once each minute.
    pub(crate) async fn run_hours(&self, notifier: &Notifier, hours: i64) {
        for _ in 0..hours * 60 {
            notifier.run_once().await.unwrap();
            self.clock.advance(60);
        }
    }

    /// Runs once each five seconds.
    pub(crate) async fn run(&self, notifier: &Notifier, seconds: i64) {
        for _ in 0..seconds / 5 {
            notifier.run_once().await.unwrap();
            self.clock.advance(5);
        }
    }
}

/// Returns the settings of webhooks with these names.
pub(crate) fn webhooks(names: &[&str], rest: &str) -> String {
    let channel = |name: &&str| {
        format!(
            "[[notify.channels]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"NOTIFY_URL\"\nsigning_secrets = \
             [\"NOTIFY_KEY\"]\n{rest}\n"
        )
    };
    names.iter().map(channel).collect()
}

/// Returns the number of notifications of a kind in messages.
pub(crate) fn count(taken: &[Taken], kind: &str) -> u64 {
    taken.iter().map(|taken| taken.body["data"]["counts"][kind].as_u64().unwrap_or_default()).sum()
}
