//! Tests of the SQLite store: the conformance suite, and what only a file can get wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Month;
use gam_store::keys::CheckpointKey;
use gam_store::{
    AdvanceOutcome, CheckpointStore, CommitOutcome, Epoch, Error, Expectation, FoldScope, ItemClass, ItemKey,
    KeyPart, NameEntry, NameKind, NameStore, PutOutcome, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordRange, RecordStore, Revision, RollupStore, SaveOutcome, StoredItem, Subject, conformance,
};
use gam_store_sql::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

/// Returns a new directory, and the path of a store in subdirectories that do not exist yet.
fn new_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/store.sqlite");
    (directory, path)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

/// Returns the message of the error of opening the file, which must not be retryable.
async fn open_error(path: &Path) -> String {
    fatal_error(SqliteStore::open(path).await.map(drop))
}

/// Returns the message of an error that must not be retryable.
fn fatal_error<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    error.to_string()
}

/// Opens another connection to the file, next to those of the store.
async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

const EPOCH: Epoch = Epoch(1);

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

fn may() -> Month {
    month("2024-05")
}

fn days_of_repo(id: i64) -> ItemClass {
    ItemClass::Days(Subject::Repo(id))
}

fn items(count: i64) -> Vec<(ItemKey, StoredItem)> {
    let item = |n| StoredItem { generation: 1, body: format!("body of {n}").into_bytes() };
    (0..count).map(|n| (ItemKey::new(days_of_repo(n), may()), item(n))).collect()
}

fn keys(count: i64) -> Vec<ItemKey> {
    items(count).into_iter().map(|(key, _)| key).collect()
}

fn now() -> DateTime<Utc> {
    "2024-05-17T10:00:00Z".parse().unwrap()
}

fn claim(number: u64) -> RecordKey {
    RecordKey::new(Some("acme"), RecordKind::Claim, &[KeyPart::Number(number)]).unwrap()
}

fn claims() -> RecordRange {
    RecordRange::new(Some("acme"), RecordKind::Claim, &[]).unwrap()
}

fn new_commit() -> RecordCommit {
    RecordCommit::new(RecordCommitId::random())
}

async fn commit(store: &SqliteStore, commit: RecordCommit) {
    assert_eq!(store.commit(&commit, now()).await.unwrap(), CommitOutcome::Committed);
}

/// Returns everything that the ports return for the organization `acme`.
async fn contents(store: &SqliteStore) -> String {
    let mut items = RollupStore::get(store, "acme", EPOCH, &keys(300)).await.unwrap();
    items.sort_by(|a, b| a.0.cmp(&b.0));
    format!(
        "{:?} {items:?} {:?} {:?} {:?} {:?}",
        store.orgs().await.unwrap(),
        store.markers("acme", EPOCH).await.unwrap(),
        store.names("acme", NameKind::Repo).await.unwrap(),
        store.load_repos("acme").await.unwrap(),
        RecordStore::range(store, &claims(), 10, now()).await.unwrap(),
    )
}

async fn fill(store: &SqliteStore, count: i64) {
    store.put("acme", EPOCH, &items(count)).await.unwrap();
    let advanced = store.advance("acme", EPOCH, may(), 1, FoldScope::Month).await.unwrap();
    assert_eq!(advanced, AdvanceOutcome::Advanced);
    let as_of = "2024-05-17T10:00:00Z".parse().unwrap();
    let name = NameEntry { kind: NameKind::Repo, id: 1, name: "one".to_owned(), as_of };
    store.put_names("acme", &[name]).await.unwrap();
    let saved = store.save(&CheckpointKey::Repo("acme".to_owned(), 1), "{}", None).await.unwrap();
    assert!(matches!(saved, SaveOutcome::Saved(_)));
    commit(store, new_commit().put(claim(1), "{}", Expectation::Absent)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_the_conformance_suite() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicU64::new(0);
    conformance::run(async || {
        let n = made.fetch_add(1, Ordering::Relaxed);
        open(&directory.path().join(format!("{n}.sqlite"))).await
    })
    .await;
}

#[tokio::test]
async fn content_survives_a_close_and_a_kill() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 300).await;
    let before = contents(&store).await;
    // A copy of the open files is what a killed process leaves behind.
    let killed = path.with_file_name("killed.sqlite");
    std::fs::copy(&path, &killed).unwrap();
    std::fs::copy(path.with_file_name("store.sqlite-wal"), path.with_file_name("killed.sqlite-wal")).unwrap();
    store.close().await;

    for path in [path, killed] {
        let store = open(&path).await;
        assert_eq!(contents(&store).await, before);
        store.close().await;
        assert!(!path.with_extension("sqlite-wal").exists(), "closing moves the log into the file");
    }
}

#[tokio::test]
async fn a_closed_store_refuses_reads_and_writes() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    store.close().await;
    store.close().await;
    assert!(store.orgs().await.unwrap_err().to_string().contains("has been closed"));
    assert!(store.put("acme", EPOCH, &items(1)).await.is_err());
}

#[tokio::test]
async fn special_file_names_are_plain_files() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let inside = directory.path().file_name().map(PathBuf::from).unwrap();
    for name in ["file:x?mode=memory", ":memory:", "ü %20 #?.sqlite"] {
        let path = inside.join(name);
        open(&path).await.close().await;
        assert!(path.is_file(), "{name}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_not_touched() {
    let (_directory, path) = new_path();
    open(&path).await.close().await;
    let mut connection = connect(&path).await;
    execute(&mut connection, "PRAGMA user_version = 99").await;
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();

    let text = open_error(&path).await;
    assert!(
        text.contains("newer") && text.contains("99") && text.contains("upgrade github-metrics"),
        "{text}"
    );
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn another_programs_database_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("tables", "CREATE TABLE cookies (name TEXT)"),
        ("marked", "PRAGMA application_id = 7"),
        ("versioned", "PRAGMA user_version = 1"),
    ] {
        let path = directory.path().join(name);
        let mut connection = connect(&path).await;
        execute(&mut connection, sql).await;
        connection.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let text = open_error(&path).await;
        assert!(text.contains("another program") && text.contains("--store"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_reported_with_a_fix() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for content in ["x".repeat(10), "no database\n".repeat(1_000)] {
        std::fs::write(&path, &content).unwrap();
        let text = open_error(&path).await;
        assert!(text.contains(&path.display().to_string()) && text.contains("not a database"), "{text}");
        assert!(
            text.contains("move it away") && text.contains("github-metrics aggregate --rebuild"),
            "{text}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_reported_with_a_fix() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 3_000).await;
    store.close().await;
    let complete = std::fs::read(&path).unwrap();
    let names_the_fix = |text: &str| text.contains("move it away") && text.contains("aggregate --rebuild");

    for length in [complete.len() / 2, 5_000, 50] {
        std::fs::write(&path, &complete[..length]).unwrap();
        let text = open_error(&path).await;
        assert!(names_the_fix(&text) && text.contains(&path.display().to_string()), "{length} bytes: {text}");
    }

    // Damage behind the first pages is noticed when they are read or written.
    let mut torn = complete;
    torn[8_192 * 9..].fill(0xee);
    std::fs::write(&path, &torn).unwrap();
    let store = open(&path).await;
    let text = fatal_error(store.put("acme", EPOCH, &items(3_000)).await);
    assert!(names_the_fix(&text), "{text}");
    assert!(names_the_fix(&fatal_error(RollupStore::get(&store, "acme", EPOCH, &keys(3_000)).await)));
}

#[tokio::test]
async fn invalid_rows_are_errors_not_panics() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 1).await;
    let mut connection = connect(&path).await;
    execute(
        &mut connection,
        "INSERT INTO month_items VALUES (2024 * 12 << 35 | (1 << 3) | 7, 1, x'00');
         INSERT INTO item_classes VALUES (2, 'acme', 1, 'days', 'repo', '2');
         INSERT INTO month_items VALUES (2024 * 12 << 35 | (2 << 3), -1, x'00');
         INSERT INTO markers VALUES ('acme', 1, '2024-13', 1, 1);
         INSERT INTO names VALUES ('acme', 'repo', 2, 'two', 9223372036854775807);
         INSERT INTO checkpoints VALUES ('acme', 'repo/x', 1, '');
         UPDATE records SET revision = 'x' WHERE kind = 'claim';",
    )
    .await;
    for id in [0, 2] {
        let text = fatal_error(
            RollupStore::range(&store, "acme", EPOCH, &days_of_repo(id), month("2024-01"), may()).await,
        );
        assert!(text.contains("move it away"), "{text}");
    }
    fatal_error(store.markers("acme", EPOCH).await);
    fatal_error(store.names("acme", NameKind::Repo).await);
    fatal_error(store.load_repos("acme").await);
    fatal_error(RecordStore::get(&store, &claim(1), now()).await);
    fatal_error(store.commit(&new_commit().delete(claim(1), Expectation::Any), now()).await);

    execute(&mut connection, "DROP TABLE markers").await;
    let text = fatal_error(store.markers("acme", EPOCH).await);
    assert!(text.contains("no such table") && text.contains("move it away"), "{text}");
    let huge = StoredItem { generation: u64::MAX, body: Vec::new() };
    let text = fatal_error(store.put("acme", EPOCH, &[(keys(1).remove(0), huge)]).await);
    assert!(text.contains("number"), "{text}");
    let text = fatal_error(
        RollupStore::range(&store, "acme", Epoch(u64::MAX), &days_of_repo(1), may(), may()).await,
    );
    assert!(text.contains("number"), "{text}");
}

/// An administrator may write to a read-only directory, so the obstacle is a regular file.
#[tokio::test]
async fn an_unwritable_path_is_reported_with_a_fix() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("store.sqlite"), file.join("deep/store.sqlite"), directory.path().to_path_buf()] {
        let text = open_error(&path).await;
        assert!(text.contains(&path.display().to_string()) && text.contains("--store sqlite:FILE"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_opens_create_one_store() {
    for _ in 0..5 {
        let (_directory, path) = new_path();
        let path = Arc::new(path);
        let tasks: tokio::task::JoinSet<_> = (0..8)
            .map(|n| {
                let path = Arc::clone(&path);
                async move {
                    let store = SqliteStore::open(&path).await.unwrap();
                    let key = CheckpointKey::Repo("acme".to_owned(), n);
                    assert!(matches!(store.save(&key, "{}", None).await.unwrap(), SaveOutcome::Saved(_)));
                    store
                }
            })
            .collect();
        for store in tasks.join_all().await {
            assert_eq!(store.load_repos("acme").await.unwrap().len(), 8);
        }
    }
}

#[tokio::test]
async fn repeated_keys_in_a_call_are_written_in_order() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    let key = keys(1).remove(0);
    let written = |generation: u64| (key.clone(), StoredItem { generation, body: vec![generation as u8] });
    let outcome = store.put("acme", EPOCH, &[1, 3, 2, 3, 1].map(written)).await.unwrap();
    assert_eq!(outcome, PutOutcome { refused: 2, newest_generation: 3 });
    assert_eq!(
        RollupStore::get(&store, "acme", EPOCH, std::slice::from_ref(&key)).await.unwrap(),
        [written(3)]
    );
}

/// Nothing is left of an epoch whose items were deleted, so that years of epochs do not fill the file.
#[tokio::test]
async fn deleted_items_leave_no_rows() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 150).await;
    let june = (ItemKey::new(days_of_repo(0), month("2024-06")), items(1).remove(0).1);
    store.put("acme", EPOCH, std::slice::from_ref(&june)).await.unwrap();
    let mut connection = connect(&path).await;
    let mut rows = async |table: &str| -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    };
    assert_eq!((rows("month_items").await, rows("item_classes").await), (151, 150));
    store.delete("acme", EPOCH, &keys(150)).await.unwrap();
    store.delete_markers("acme", EPOCH, &[may()]).await.unwrap();
    assert_eq!(
        (rows("month_items").await, rows("item_classes").await),
        (1, 1),
        "one class still has an item"
    );
    store.delete("acme", EPOCH, &[june.0]).await.unwrap();
    store.delete_markers("acme", EPOCH, &[month("2024-06")]).await.unwrap();
    assert_eq!((rows("month_items").await, rows("item_classes").await), (0, 0));
}

/// A caller cancels a write, as a server does when its client disconnects.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancelled_write_leaves_the_store_usable() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    let all = Arc::new(items(20_000));
    for delay_ms in 0..20 {
        let (writer, items) = (store.clone(), Arc::clone(&all));
        let write = tokio::spawn(async move { writer.put("acme", EPOCH, &items).await.map(drop) });
        tokio::time::sleep(std::time::Duration::from_millis(delay_ms)).await;
        write.abort();
        store.put("acme", EPOCH, &all[..1]).await.unwrap();
    }
    let outcome = store.put("acme", EPOCH, &all).await.unwrap();
    assert_eq!(outcome, PutOutcome::default());
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 10).await;
    let before = contents(&store).await;
    let mut other = connect(&path).await;
    execute(&mut other, "BEGIN IMMEDIATE; DELETE FROM month_items").await;
    assert_eq!(contents(&store).await, before);
    let again = open(&path).await;
    assert_eq!(contents(&again).await, before);
    execute(&mut other, "ROLLBACK").await;
}

/// Creates a file of version 1 with rollups, a marker, names and checkpoints.
async fn create_version_1(path: &Path) {
    let mut connection = connect(path).await;
    execute(&mut connection, "PRAGMA journal_mode = WAL").await;
    execute(&mut connection, include_str!("data/version_1.sql")).await;
    execute(
        &mut connection,
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
         INSERT INTO rollups SELECT 'acme', 'repo', n, 'day', '2024-05-17', '2024-05', 4, 'identity', 3,
                                    '{\"commits\":12,\"additions\":345}' FROM n;
         INSERT INTO markers VALUES ('acme', '2024-05', 4, 'identity', 3, 3);
         INSERT INTO names VALUES ('acme', 'org', 0, 'Acme', 1715940000000);
         INSERT INTO names VALUES ('acme', 'repo', 1, 'one', 1715940000000);
         INSERT INTO checkpoints VALUES ('acme', 'org', 7, '{\"a\":1}');
         INSERT INTO checkpoints VALUES ('acme', 'repo/1', 9, '{\"b\":2}');",
    )
    .await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_of_version_1_is_migrated_and_keeps_names_and_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    create_version_1(&path).await;
    let length = || std::fs::metadata(&path).unwrap().len();
    let before = length();
    let store = open(&path).await;
    assert_eq!(store.org("ACME").await.unwrap().as_deref(), Some("Acme"));
    assert_eq!(store.names("acme", NameKind::Repo).await.unwrap()[0].name, "one");
    let org = store.load(&CheckpointKey::Org("acme".to_owned())).await.unwrap().unwrap();
    assert_eq!((org.revision, org.body.as_str()), (Revision(7), "{\"a\":1}"));
    let repos = store.load_repos("acme").await.unwrap();
    assert_eq!((repos.len(), repos[0].0, repos[0].1.revision), (1, 1, Revision(9)));
    assert_eq!(store.markers("acme", Epoch(0)).await.unwrap(), []);
    assert_eq!(store.load(&CheckpointKey::Head("acme".to_owned())).await.unwrap(), None);
    store.put("acme", EPOCH, &items(10)).await.unwrap();
    assert_eq!(RollupStore::get(&store, "acme", EPOCH, &keys(10)).await.unwrap().len(), 10);
    store.close().await;
    assert!(length() < before / 10, "{} bytes are left of {before}", length());
    let again = open(&path).await;
    assert_eq!(
        RollupStore::get(&again, "acme", EPOCH, &keys(10)).await.unwrap(),
        items(10),
        "it is migrated once"
    );
    again.close().await;
}

#[tokio::test]
async fn a_file_of_version_2_is_migrated_and_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let mut connection = connect(&path).await;
    execute(&mut connection, include_str!("data/version_2.sql")).await;
    execute(
        &mut connection,
        "INSERT INTO item_classes VALUES (1, 'acme', 1, 'days', 'repo', '0');
         INSERT INTO item_classes VALUES (70000, 'acme', 1, 'breakdown', 'member', 'ann');
         INSERT INTO items VALUES (1 << 20 | ((2024 * 12 + 4) << 3), 5, x'01');
         INSERT INTO items VALUES (1 << 20 | ((2024 * 12 + 5) << 3), 6, x'02');
         INSERT INTO items VALUES (70000 << 20 | ((2024 * 12 + 4) << 3), 7, x'03');
         INSERT INTO items VALUES (70000 << 20 | ((2024 * 12 + 4) << 3) | 4, 8, x'04');
         INSERT INTO markers VALUES ('acme', 1, '2024-05', 8, 5);",
    )
    .await;
    connection.close().await.unwrap();

    let store = open(&path).await;
    let read = async |class: ItemClass, last: &str| {
        let items =
            RollupStore::range(&store, "acme", EPOCH, &class, month("2023-01"), month(last)).await.unwrap();
        items
            .into_iter()
            .map(|(key, item)| (key.month, key.week.number(), item.generation, item.body[0]))
            .collect::<Vec<_>>()
    };
    let (may, june) = (may(), month("2024-06"));
    assert_eq!(read(days_of_repo(0), "2024-12").await, [(may, 0, 5, 1), (june, 0, 6, 2)]);
    assert_eq!(read(days_of_repo(0), "2024-05").await, [(may, 0, 5, 1)]);
    let ann = ItemClass::Breakdown(Subject::Member("ann".to_owned()));
    assert_eq!(read(ann, "2024-12").await, [(may, 0, 7, 3), (may, 4, 8, 4)]);
    assert_eq!(store.markers("acme", EPOCH).await.unwrap().len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_file_of_version_1_is_not_read_without_a_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    create_version_1(&path).await;
    let before = std::fs::read(&path).unwrap();
    let text = fatal_error(SqliteStore::open_read_only(&path).await.map(drop));
    assert!(text.contains("older version") && text.contains("github-metrics aggregate"), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// A reader that another process keeps open does not stop a migration, only the return of the free pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_opens_migrate_a_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    create_version_1(&path).await;
    let mut reader = connect(&path).await;
    execute(&mut reader, "BEGIN; SELECT count(*) FROM names").await;
    let opens = (0..4).map(|_| {
        let path = path.clone();
        tokio::spawn(async move { SqliteStore::open(&path).await.unwrap() })
    });
    for store in opens.collect::<Vec<_>>() {
        let store = store.await.unwrap();
        assert_eq!(store.load_repos("acme").await.unwrap().len(), 1);
        store.put("acme", EPOCH, &items(10)).await.unwrap();
    }
    execute(&mut reader, "COMMIT").await;
}

/// Files of earlier versions have no table of records.
#[tokio::test]
async fn a_store_without_records_is_read_and_gets_them() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    fill(&store, 10).await;
    let filled = contents(&store).await;
    store.close().await;
    let mut connection = connect(&path).await;
    execute(&mut connection, "DROP TABLE records").await;
    connection.close().await.unwrap();

    let reader = SqliteStore::open_read_only(&path).await.unwrap();
    assert_eq!(RecordStore::get(&reader, &claim(1), now()).await.unwrap(), None);
    let old = contents(&reader).await;
    assert!(old.ends_with("[]") && filled.starts_with(old.strip_suffix("[]").unwrap()), "{old}");
    let writer = open(&path).await;
    assert_eq!(contents(&writer).await, old);
    commit(&writer, new_commit().put(claim(1), "{}", Expectation::Absent)).await;
    assert_eq!(RecordStore::get(&reader, &claim(1), now()).await.unwrap().unwrap().body, "{}");
    reader.close().await;
    writer.close().await;
}

#[tokio::test]
async fn a_commit_deletes_what_has_expired() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    let past = now() - TimeDelta::seconds(1);
    let records = new_commit().put_until(claim(1), "{}", now(), Expectation::Any).put_until(
        claim(2),
        "{}",
        now() + TimeDelta::seconds(1),
        Expectation::Any,
    );
    assert_eq!(store.commit(&records, past).await.unwrap(), CommitOutcome::Committed);
    let mut connection = connect(&path).await;
    let mut stored = async || -> Vec<String> {
        let sql = "SELECT ltrim(sort, '0') FROM records WHERE kind = 'claim' ORDER BY sort";
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    };
    assert_eq!(stored().await, ["1", "2"]);
    commit(&store, new_commit()).await;
    assert_eq!(stored().await, ["2"]);
    assert_eq!(
        store.commit(&records, past).await.unwrap(),
        CommitOutcome::Committed,
        "its receipt is stored"
    );
}

/// A file of this version is opened by every later one.
#[tokio::test]
async fn the_tables_never_change() {
    let (_directory, path) = new_path();
    open(&path).await.close().await;
    let mut connection = connect(&path).await;
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name";
    let mut lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    for pragma in ["application_id", "user_version"] {
        let query = AssertSqlSafe(format!("PRAGMA {pragma}"));
        let value: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
        lines.push(format!("PRAGMA {pragma} = {value}"));
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("sqlite_schema", lines.join(";\n"));
    });
}

/// Clones, other handles and handles for reading notice what any of them writes.
#[tokio::test]
async fn change_tokens_notice_the_writes_of_every_handle() {
    let (_directory, path) = new_path();
    for (number, (writer, reader)) in [(0, 0), (0, 3), (0, 1), (1, 0), (0, 2)].into_iter().enumerate() {
        let path = path.with_file_name(format!("{number}.sqlite"));
        let first = open(&path).await;
        let handles =
            [first.clone(), open(&path).await, SqliteStore::open_read_only(&path).await.unwrap(), first];
        conformance::run_changes(&handles[writer], &handles[reader]).await;
        for handle in [&handles[2], &handles[1], &handles[0]] {
            handle.close().await;
            assert_eq!(handle.change_token(), None, "a closed store has no token");
        }
        assert!(!path.with_extension("sqlite-wal").exists(), "closing moves the log into the file");
    }
}

/// Set for a test that runs in another process: the path of the store that it writes.
const STORE_OF_OTHER_PROCESS: &str = "GAM_TEST_STORE";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the variable says that this is the other process")]
async fn change_tokens_notice_the_writes_of_another_process() {
    if let Some(path) = std::env::var_os(STORE_OF_OTHER_PROCESS) {
        let store = open(Path::new(&path)).await;
        fill(&store, 3).await;
        return store.close().await;
    }
    let (_directory, path) = new_path();
    let (writer, reader) = (open(&path).await, SqliteStore::open_read_only(&path).await.unwrap());
    let tokens = || [writer.change_token().unwrap(), reader.change_token().unwrap()];
    let before = tokens();
    let program = std::env::current_exe().unwrap();
    let other_process = std::process::Command::new(program)
        .args(["--exact", "change_tokens_notice_the_writes_of_another_process"])
        .env(STORE_OF_OTHER_PROCESS, &path)
        .output()
        .unwrap();
    assert!(other_process.status.success(), "{other_process:?}");
    assert_eq!(reader.markers("acme", EPOCH).await.unwrap().len(), 1, "it has written");
    let after = tokens();
    assert!(before[0] != after[0] && before[1] != after[1], "{before:?} {after:?}");
    assert_eq!(tokens(), after);
}

/// Connections to the old file would never notice a change of the new one.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_replaced_has_no_change_tokens() {
    let (_directory, path) = new_path();
    let store = open(&path).await;
    assert!(store.change_token().is_some());
    std::fs::rename(&path, path.with_file_name("old.sqlite")).unwrap();
    assert_eq!(store.change_token(), None);
    std::fs::copy(path.with_file_name("old.sqlite"), &path).unwrap();
    assert_eq!(store.change_token(), None);
}
