//! The adapter passes the conformance suites of its ports, and treats its tables with care.

use std::sync::Arc;

use gam_model::Month;
use gam_store::keys::CheckpointKey;
use gam_store::{
    AdvanceOutcome, CheckpointStore, CommitOutcome, Epoch, Error, Expectation, FoldScope, ItemClass, ItemKey,
    KeyPart, NameEntry, NameKind, NameStore, PutOutcome, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordStore, RollupStore, SaveOutcome, StoredItem, Subject, conformance,
};
use gam_store_sql::PostgresStore;
use sqlx::AssertSqlSafe;

use super::server::{PASSWORD, PostgresServer, runtime};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Postgres];

pub(super) const EPOCH: Epoch = Epoch(1);

fn may() -> Month {
    Month::parse("2024-05").expect("a month")
}

fn days_of_repo(id: i64) -> ItemClass {
    ItemClass::Days(Subject::Repo(id))
}

pub(super) fn items(count: i64) -> Vec<(ItemKey, StoredItem)> {
    let item = |n| StoredItem { generation: 1, body: format!("body of {n}").into_bytes() };
    (0..count).map(|n| (ItemKey::new(days_of_repo(n), may()), item(n))).collect()
}

pub(super) fn keys(count: i64) -> Vec<ItemKey> {
    items(count).into_iter().map(|(key, _)| key).collect()
}

/// Returns the message of an error that must not be retryable, and must not contain the password.
#[track_caller]
pub(super) fn fatal_error<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.expect_err("an error");
    assert!(!error.is_retryable(), "{error}");
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    error.to_string()
}

async fn fill(store: &PostgresStore) {
    store.put("acme", EPOCH, &items(300)).await.expect("put");
    let advanced = store.advance("acme", EPOCH, may(), 1, FoldScope::Month).await.expect("advance");
    assert_eq!(advanced, AdvanceOutcome::Advanced);
    let as_of = "2024-05-17T10:00:00Z".parse().expect("a time");
    let name = NameEntry { kind: NameKind::Repo, id: 1, name: "one".to_owned(), as_of };
    store.put_names("acme", &[name]).await.expect("put_names");
    let saved = store.save(&CheckpointKey::Repo("acme".to_owned(), 1), "{}", None).await.expect("save");
    assert!(matches!(saved, SaveOutcome::Saved(_)));
}

/// Returns everything that the ports return for the organization `acme`.
async fn contents(store: &PostgresStore) -> String {
    let mut items = RollupStore::get(store, "acme", EPOCH, &keys(300)).await.expect("get");
    items.sort_by(|a, b| a.0.cmp(&b.0));
    format!(
        "{:?} {items:?} {:?} {:?} {:?}",
        store.orgs().await.expect("orgs"),
        store.markers("acme", EPOCH).await.expect("markers"),
        store.names("acme", NameKind::Repo).await.expect("names"),
        store.load_repos("acme").await.expect("load_repos"),
    )
}

async fn count_rows(server: &PostgresServer, database: &str, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM github_metrics.{table}"));
    sqlx::query_scalar(sql).fetch_one(&mut server.connect(database).await).await.expect("a count")
}

fn postgres_gives_each_task_to_one_worker() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, first) = server.create_store().await;
        let second = server.open(&database).await;
        let connections: [Arc<dyn RecordStore>; 2] = [Arc::new(first), Arc::new(second)];
        crate::claims::check(&connections).await;
    });
}

fn postgres_passes_the_store_suites() {
    let server = PostgresServer::start();
    runtime().block_on(conformance::run(async || server.create_store().await.1));
}

/// Databases whose defaults differ from those that the adapter needs.
fn defaults_of_the_database_do_not_matter() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let make = async || {
            let database = server.create_database().await;
            let settings = "default_transaction_isolation = 'serializable', synchronous_commit = off, \
                            bytea_output = escape, lock_timeout = '1ms'";
            for setting in settings.split(", ") {
                server.execute("postgres", &format!("ALTER DATABASE {database} SET {setting}")).await;
            }
            server.open(&database).await
        };
        conformance::run_rollups(make).await;
        conformance::run_checkpoints(make).await;
        conformance::run_records(make).await;
    });
}

fn repeated_keys_in_a_call_are_written_in_order() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (_, store) = server.create_store().await;
        let key = keys(1).remove(0);
        let written =
            |generation: u64| (key.clone(), StoredItem { generation, body: vec![generation as u8] });
        let outcome = store.put("acme", EPOCH, &[1, 3, 2, 3, 1].map(written)).await.expect("put");
        assert_eq!(outcome, PutOutcome { refused: 2, newest_generation: 3 });
        let stored = RollupStore::get(&store, "acme", EPOCH, std::slice::from_ref(&key)).await.expect("get");
        assert_eq!(stored, [written(3)]);
    });
}

/// Nothing is left of an epoch whose items were deleted, so that years of epochs do not fill the disk.
fn deleted_items_leave_no_rows() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        fill(&store).await;
        let june = ItemKey::new(days_of_repo(0), Month::parse("2024-06").expect("a month"));
        let item = items(1).remove(0).1;
        store.put("acme", EPOCH, &[(june.clone(), item)]).await.expect("put");
        let rows = async || {
            (
                count_rows(&server, &database, "items").await,
                count_rows(&server, &database, "item_classes").await,
            )
        };
        assert_eq!(rows().await, (301, 300));
        store.delete("acme", EPOCH, &keys(300)).await.expect("delete");
        assert_eq!(rows().await, (1, 1), "one class still has an item");
        store.delete("acme", EPOCH, &[june]).await.expect("delete");
        assert_eq!(rows().await, (0, 0));
    });
}

fn invalid_rows_are_errors_not_panics() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        fill(&store).await;
        let sql = "INSERT INTO github_metrics.items (class_id, generation, week, month, body)
                SELECT id, 1, 7, '2024-05', '' FROM github_metrics.item_classes WHERE name = '0';
            UPDATE github_metrics.items SET generation = -1
                WHERE class_id = (SELECT id FROM github_metrics.item_classes WHERE name = '2');
            INSERT INTO github_metrics.markers VALUES ('acme', 1, '2024-13', 1, 1);
            INSERT INTO github_metrics.names VALUES ('acme', 'repo', 2, 'two', 9223372036854775807);
            INSERT INTO github_metrics.checkpoints VALUES ('acme', 'repo/x', 1, '')";
        server.execute(&database, sql).await;
        for id in [0, 2] {
            let class = days_of_repo(id);
            let range = RollupStore::range(&store, "acme", EPOCH, &class, may(), may());
            let text = fatal_error(range.await);
            assert!(text.contains("drop the schema") && text.contains(&database), "{text}");
        }
        fatal_error(store.markers("acme", EPOCH).await);
        fatal_error(store.names("acme", NameKind::Repo).await);
        fatal_error(store.load_repos("acme").await);
        let huge = StoredItem { generation: u64::MAX, body: Vec::new() };
        let text = fatal_error(store.put("acme", EPOCH, &[(keys(1).remove(0), huge)]).await);
        assert!(text.contains("number"), "{text}");
        let text = fatal_error(store.save(&CheckpointKey::Org("acme".to_owned()), "a\0b", None).await);
        assert!(text.contains("zero byte"), "{text}");
        server.execute(&database, "DROP TABLE github_metrics.markers").await;
        let text = fatal_error(store.markers("acme", EPOCH).await);
        assert!(text.contains("does not exist") && text.contains("drop the schema"), "{text}");
    });
}

/// The tables of version 1 are those without records and without ids of saves.
fn tables_of_an_older_version_are_migrated_once() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        fill(&store).await;
        let before = contents(&store).await;
        store.close().await;
        let sql =
            "DROP TABLE github_metrics.records; ALTER TABLE github_metrics.checkpoints DROP COLUMN save_id;
            DELETE FROM github_metrics.schema_versions WHERE version > 1";
        server.execute(&database, sql).await;
        let address = server.address("admin", &database);
        let refused = fatal_error(PostgresStore::open_read_only(&address).await);
        assert!(
            refused.contains("older version") && refused.contains("github-metrics aggregate"),
            "{refused}"
        );

        let opens = (0..4).map(|_| {
            let address = address.clone();
            tokio::spawn(async move { PostgresStore::open(&address).await })
        });
        for store in opens.collect::<Vec<_>>() {
            let store = store.await.expect("no panic").expect("the store opens");
            assert_eq!(contents(&store).await, before);
            let key = RecordKey::new(None, RecordKind::Token, &[KeyPart::Text("a")]).expect("a key");
            let put = RecordCommit::new(RecordCommitId::random()).put(key, "{}", Expectation::Any);
            let now = "2026-01-02T12:00:00Z".parse().expect("a time");
            assert_eq!(store.commit(&put, now).await.expect("commit"), CommitOutcome::Committed);
        }
        assert_eq!(count_rows(&server, &database, "schema_versions").await, 3);
    });
}

/// A snapshot of the tables: a change needs a migration.
fn the_tables_never_change() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, _store) = server.create_store().await;
        let sql = "SELECT format('%s.%s %s%s', table_name, column_name, data_type,
                CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END)
            FROM information_schema.columns WHERE table_schema = 'github_metrics'
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'github_metrics' ORDER BY 1";
        let lines: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(&mut server.connect(&database).await)
            .await
            .expect("the tables");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("postgres_schema", lines.join("\n"));
        });
    });
}

fn newer_and_foreign_tables_are_not_touched() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (newer, store) = server.create_store().await;
        store.close().await;
        server.execute(&newer, "INSERT INTO github_metrics.schema_versions VALUES (99)").await;
        let foreign = server.create_database().await;
        let sql = "CREATE SCHEMA github_metrics; CREATE TABLE github_metrics.cookies (name text)";
        server.execute(&foreign, sql).await;
        for (database, words) in
            [(newer, ["99", "upgrade github-metrics"]), (foreign, ["another program", "--store"])]
        {
            let address = server.address("admin", &database);
            let opened = [PostgresStore::open(&address).await, PostgresStore::open_read_only(&address).await];
            for text in opened.map(fatal_error) {
                assert!(words.iter().all(|word| text.contains(word)) && text.contains(&database), "{text}");
            }
        }
    });
}

fn concurrent_opens_create_one_store() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let database = server.create_database().await;
        let tasks: tokio::task::JoinSet<_> = (0..8)
            .map(|n| {
                let address = server.address("admin", &database);
                async move {
                    let store = PostgresStore::open(&address).await.expect("the store opens");
                    let key = CheckpointKey::Repo("acme".to_owned(), n);
                    let saved = store.save(&key, "{}", None).await.expect("save");
                    assert!(matches!(saved, SaveOutcome::Saved(_)));
                    store
                }
            })
            .collect();
        for store in tasks.join_all().await {
            assert_eq!(store.load_repos("acme").await.expect("load_repos").len(), 8);
            store.close().await;
        }
    });
}

/// A user who may only read can open a store that exists, and change nothing in it.
fn a_store_can_be_read_without_permission_to_write() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, writer) = server.create_store().await;
        fill(&writer).await;
        server.execute(&database, &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")).await;
        let address = server.address("reader", &database);
        let text = fatal_error(PostgresStore::open_read_only(&address).await);
        assert!(text.contains("USAGE on the schema") && text.contains("SELECT"), "{text}");

        let grants = "GRANT USAGE ON SCHEMA github_metrics TO reader;
            GRANT SELECT ON ALL TABLES IN SCHEMA github_metrics TO reader";
        server.execute(&database, grants).await;
        let reader = PostgresStore::open_read_only(&address).await.expect("the store opens");
        assert_eq!(contents(&reader).await, contents(&writer).await);
        let refused = fatal_error(reader.put("acme", EPOCH, &items(1)).await);
        assert!(refused.contains("reader"), "{refused}");

        let reader =
            PostgresStore::open_read_only(&server.address("admin", &database)).await.expect("it opens");
        let refused = fatal_error(reader.put("acme", EPOCH, &items(1)).await);
        assert!(refused.contains("for reading only"), "{refused}");

        let empty = server.address("reader", &server.create_database().await);
        assert!(!PostgresStore::exists(&empty).await.expect("the server answers"));
        assert!(fatal_error(PostgresStore::open_read_only(&empty).await).contains("no store"));
        let refused = fatal_error(PostgresStore::open(&empty).await);
        assert!(refused.contains("grant CREATE on the database"), "{refused}");
    });
}

/// An administrator prepares the schema for a user who may not create one.
fn an_empty_schema_of_the_user_is_used() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let database = server.create_database().await;
        server.execute(&database, &format!("CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}'")).await;
        server.execute(&database, "CREATE SCHEMA github_metrics AUTHORIZATION owner").await;
        let address = server.address("owner", &database);
        assert!(!PostgresStore::exists(&address).await.expect("the server answers"));
        fill(&PostgresStore::open(&address).await.expect("the store opens")).await;
        assert!(PostgresStore::exists(&address).await.expect("the server answers"));
    });
}

fn databases_that_cannot_store_all_names_are_refused() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let sql = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
        server.execute("postgres", sql).await;
        let text = fatal_error(PostgresStore::open(&server.address("admin", "latin")).await);
        assert!(text.contains("LATIN1") && text.contains("--encoding=UTF8"), "{text}");
    });
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, postgres_passes_the_store_suites),
        external_test!(NEEDS, postgres_gives_each_task_to_one_worker),
        external_test!(NEEDS, defaults_of_the_database_do_not_matter),
        external_test!(NEEDS, repeated_keys_in_a_call_are_written_in_order),
        external_test!(NEEDS, deleted_items_leave_no_rows),
        external_test!(NEEDS, invalid_rows_are_errors_not_panics),
        external_test!(NEEDS, tables_of_an_older_version_are_migrated_once),
        external_test!(NEEDS, the_tables_never_change),
        external_test!(NEEDS, newer_and_foreign_tables_are_not_touched),
        external_test!(NEEDS, concurrent_opens_create_one_store),
        external_test!(NEEDS, a_store_can_be_read_without_permission_to_write),
        external_test!(NEEDS, an_empty_schema_of_the_user_is_used),
        external_test!(NEEDS, databases_that_cannot_store_all_names_are_refused),
    ]
}
