//! Tokens on the stores of one machine. Each rule is checked with two handles on one store, as of two processes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{
    AccessError, ApproverName, AuditKind, AuditRow, NewToken, RepoName, Role, Scope, TokenLookup,
    TokenSecret, Tokens,
};
use gam_model::Clock;
use gam_store::conformance::{CommitFault, FaultyRecords};
use gam_store::{MemoryStore, RecordKind, RecordRange, RecordStore};
use gam_store_sql::SqliteStore;

/// A clock that tests set.
struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(TestClock(Mutex::new("2026-03-01T10:00:00Z".parse().unwrap())))
    }

    fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

fn viewer(name: &str) -> NewToken {
    NewToken {
        name: name.to_owned(),
        role: Role::Viewer,
        scope: Scope::Orgs(vec!["acme".to_owned()]),
        member: None,
        expires_at: None,
    }
}

async fn audit_rows(records: &dyn RecordStore, now: DateTime<Utc>) -> Vec<AuditRow> {
    let range = RecordRange::new(None, RecordKind::AuditRow, &[]).unwrap();
    let rows = records.range(&range, 100, now).await.unwrap();
    rows.into_iter().map(|(_, record)| serde_json::from_str(&record.body).unwrap()).collect()
}

fn message(error: AccessError) -> String {
    assert!(matches!(error, AccessError::Invalid(_)), "{error:?}");
    error.to_string()
}

/// Checks the life of tokens through two handles on one store.
async fn check_tokens(here: Arc<dyn RecordStore>, there: Arc<dyn RecordStore>) {
    let clock = TestClock::new();
    let (first, second) =
        (Tokens::new(here.clone(), clock.clone()), Tokens::new(there.clone(), clock.clone()));
    assert!(!second.is_in_use().await.unwrap());
    assert_eq!(second.list().await.unwrap(), []);

    let (secret, token) = first.create(viewer("ci"), "local").await.unwrap();
    assert!(second.is_in_use().await.unwrap());
    assert_eq!(second.find(&secret).await.unwrap(), TokenLookup::Valid(token.clone()));
    assert_eq!(second.find(&TokenSecret::random()).await.unwrap(), TokenLookup::Unknown);
    let hash_as_secret = TokenSecret::parse(&secret.hash()).unwrap();
    assert_eq!(second.find(&hash_as_secret).await.unwrap(), TokenLookup::Unknown, "a hash lets nobody in");
    assert!(message(second.create(viewer("ci"), "local").await.unwrap_err()).contains("token revoke ci"));

    clock.advance(TimeDelta::seconds(1));
    let repos = Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: "site".to_owned() }]);
    let expires_at = Some(clock.now() + TimeDelta::hours(1));
    let member = Some("ann".to_owned());
    let short = NewToken { role: Role::Worker, scope: repos, member, expires_at, ..viewer("a-worker") };
    let (worker_secret, worker) = second.create(short, "token:1").await.unwrap();
    assert_eq!(first.list().await.unwrap(), [worker.clone(), token.clone()], "in order of their names");
    clock.advance(TimeDelta::minutes(59));
    assert_eq!(first.find(&worker_secret).await.unwrap(), TokenLookup::Valid(worker.clone()));
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(first.find(&worker_secret).await.unwrap(), TokenLookup::Expired(worker.clone()));
    assert!(first.list().await.unwrap().contains(&worker), "an expired token is listed until it is revoked");

    assert_eq!(second.revoke("ci", "token:1").await.unwrap(), token);
    assert_eq!(
        first.find(&secret).await.unwrap(),
        TokenLookup::Unknown,
        "revoked at once, for every process"
    );
    for name in ["ci", "unknown"] {
        assert!(message(first.revoke(name, "local").await.unwrap_err()).contains("token list"), "{name}");
    }
    let (new_secret, new) = first.create(viewer("ci"), "local").await.unwrap();
    assert_ne!(new.id, token.id);
    assert_eq!(second.find(&new_secret).await.unwrap(), TokenLookup::Valid(new));
    assert_eq!(
        second.find(&secret).await.unwrap(),
        TokenLookup::Unknown,
        "a new token of the name is another one"
    );
    for name in ["ci", "a-worker"] {
        second.revoke(name, "local").await.unwrap();
    }
    assert_eq!(first.list().await.unwrap(), []);
    assert!(first.is_in_use().await.unwrap(), "the store remembers that it had tokens");

    let rows = audit_rows(&*there, clock.now()).await;
    let kinds: Vec<AuditKind> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == AuditKind::TokenCreated).count(), 3);
    assert_eq!(kinds.iter().filter(|kind| **kind == AuditKind::TokenRevoked).count(), 3);
    assert_eq!((rows[0].kind, rows[0].principal.as_str()), (AuditKind::TokenCreated, "local"));
    assert!(rows[0].subject.contains(&token.id) && rows[0].subject.contains("ci viewer"), "{:?}", rows[0]);
    let names_member = |row: &AuditRow| row.subject.ends_with("a-worker worker of ann");
    assert_eq!(rows.iter().filter(|row| names_member(row)).count(), 2, "who sessions are credited to");
    let text = format!("{rows:?}");
    assert!(
        !text.contains(secret.expose()) && !text.contains(&secret.hash()),
        "a row holds no secret: {text}"
    );
}

/// Checks that of concurrent creations of one name, one succeeds, and only it writes an audit row.
async fn check_concurrent_names(stores: [Arc<dyn RecordStore>; 2]) {
    let clock = TestClock::new();
    let attempts = (0..8).map(|n| {
        let tokens = Tokens::new(stores[n % 2].clone(), clock.clone());
        tokio::spawn(async move { tokens.create(viewer("one"), "local").await })
    });
    let mut created = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        created.extend(attempt.await.unwrap().ok());
    }
    let [(secret, token)] = created.as_slice() else { panic!("{} tokens have one name", created.len()) };
    let tokens = Tokens::new(stores[0].clone(), clock.clone());
    assert_eq!(tokens.find(secret).await.unwrap(), TokenLookup::Valid(token.clone()));
    assert_eq!(tokens.list().await.unwrap().len(), 1);
    assert_eq!(audit_rows(&*stores[1], clock.now()).await.len(), 1);
}

async fn sqlite(path: &Path) -> Arc<dyn RecordStore> {
    Arc::new(SqliteStore::open(path).await.unwrap())
}

#[tokio::test]
async fn tokens_in_memory() {
    let store = Arc::new(MemoryStore::default());
    check_tokens(store.clone(), store.clone()).await;
    let store = Arc::new(MemoryStore::default());
    check_concurrent_names([store.clone(), store]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_in_a_file_of_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a.sqlite"), directory.path().join("b.sqlite"));
    check_tokens(sqlite(&a).await, sqlite(&a).await).await;
    check_concurrent_names([sqlite(&b).await, sqlite(&b).await]).await;
}

/// A server that only reads sees a token that another process creates and revokes.
#[tokio::test]
async fn a_reader_sees_each_change_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let clock = TestClock::new();
    let writer = Tokens::new(sqlite(&path).await, clock.clone());
    let reader = Arc::new(SqliteStore::open_read_only(&path).await.unwrap());
    let reader = Tokens::new(reader, clock);
    assert!(!reader.is_in_use().await.unwrap());
    let (secret, token) = writer.create(viewer("ci"), "local").await.unwrap();
    assert!(reader.is_in_use().await.unwrap());
    assert_eq!(reader.find(&secret).await.unwrap(), TokenLookup::Valid(token));
    writer.revoke("ci", "local").await.unwrap();
    assert_eq!(reader.find(&secret).await.unwrap(), TokenLookup::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_failure() {
    let is_repeated = AtomicBool::new(false);
    // The answer of each first attempt of a commit is lost.
    let fault = Box::new(move || match is_repeated.fetch_xor(true, Ordering::Relaxed) {
        false => CommitFault::AnswerLost,
        true => CommitFault::None,
    });
    let store = Arc::new(FaultyRecords { inner: Arc::new(MemoryStore::default()), fault });
    let clock = TestClock::new();
    let tokens = Tokens::new(store.clone(), clock.clone());
    let (secret, token) = tokens.create(viewer("ci"), "local").await.unwrap();
    assert_eq!(tokens.find(&secret).await.unwrap(), TokenLookup::Valid(token));
    tokens.revoke("ci", "local").await.unwrap();
    assert_eq!(tokens.find(&secret).await.unwrap(), TokenLookup::Unknown);
    assert_eq!(audit_rows(&*store, clock.now()).await.len(), 2);
}

#[tokio::test]
async fn invalid_tokens_are_refused() {
    let clock = TestClock::new();
    let tokens = Tokens::new(Arc::new(MemoryStore::default()), clock.clone());
    for name in ["", "a b", "-x", "ä", "a/b", &"x".repeat(65)] {
        let text = message(tokens.create(viewer(name), "local").await.unwrap_err());
        assert!(text.contains("letters, digits"), "{name}: {text}");
    }
    let expired = NewToken { expires_at: Some(clock.now()), ..viewer("ci") };
    assert!(message(tokens.create(expired, "local").await.unwrap_err()).contains("later time"));
    assert!(!tokens.is_in_use().await.unwrap());
}

#[tokio::test]
async fn an_approver_has_a_valid_token_with_role_and_scope() {
    let clock = TestClock::new();
    let tokens = Tokens::new(Arc::new(MemoryStore::default()), clock.clone());
    let site = ("acme", "Site");
    let create = async |name: &str, role: Role, scope: Scope, expires_at: Option<DateTime<Utc>>| {
        let new = NewToken { name: name.to_owned(), role, scope, member: None, expires_at };
        tokens.create(new, "local").await.unwrap().1
    };
    let repo = |repo: &str| Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: repo.to_owned() }]);
    let ann = create("ann", Role::Approver, repo("site"), None).await;
    create("admin", Role::Admin, Scope::All, None).await;
    create("operator", Role::Operator, Scope::All, None).await;
    create("elsewhere", Role::Approver, Scope::Orgs(vec!["other".to_owned()]), None).await;
    create("of-tools", Role::Approver, repo("tools"), None).await;
    create("short", Role::Approver, Scope::All, Some(clock.now() + TimeDelta::hours(1))).await;
    let ids = async |names: &[&str]| {
        let mut allowed = Vec::new();
        for name in names {
            allowed.push(tokens.approver(ApproverName::Token(name), site).await.unwrap().is_some());
        }
        allowed
    };
    let names = ["ann", "admin", "short", "operator", "elsewhere", "of-tools", "nobody"];
    assert_eq!(ids(&names).await, [true, true, true, false, false, false, false]);
    clock.advance(TimeDelta::hours(1));
    assert_eq!(ids(&["ann", "short"]).await, [true, false], "an expired token");

    let id = format!("token:{}", ann.id);
    let by_id = async || tokens.approver(ApproverName::Principal(&id), site).await.unwrap();
    assert_eq!(by_id().await.map(|approver| approver.id), Some(id.clone()));
    tokens.revoke("ann", "local").await.unwrap();
    assert_eq!((by_id().await, ids(&["ann"]).await), (None, vec![false]), "a revoked token");
    create("ann", Role::Approver, Scope::All, None).await;
    assert_eq!((by_id().await, ids(&["ann"]).await), (None, vec![true]), "another token of the same name");
}
