//! Connections to the server: signing in, encryption, restarts, locks, cancelled calls.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gam_model::Month;
use gam_store::keys::CheckpointKey;
use gam_store::{CheckpointStore, PutOutcome, RollupStore, SaveOutcome};
use gam_store_sql::{PostgresAddress, PostgresStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::adapter::{EPOCH, fatal_error, items, keys};
use super::server::{PASSWORD, PostgresServer, runtime};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Postgres];

async fn open(url: &str) -> gam_store::Result<PostgresStore> {
    PostgresStore::open(&PostgresAddress::parse(url).expect("an address")).await
}

fn refusals_name_the_cause_and_no_password() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let url = server.url("admin", "postgres");
        let text = fatal_error(open(&url.replace("hunter2", "hunter3")).await);
        assert!(
            text.contains("check the user and the password") && text.contains("admin@127.0.0.1"),
            "{text}"
        );
        let text = fatal_error(open(&server.url("admin", "nowhere")).await);
        assert!(text.contains("/nowhere does not exist"), "{text}");

        server.stop("fast");
        let error = open(&url).await.expect_err("the server is stopped");
        assert!(error.is_retryable() && error.to_string().contains("check that the server runs"), "{error}");
        assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    });
}

fn the_servers_socket_works_like_its_port() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        store.put("acme", EPOCH, &items(10)).await.expect("put");
        let by_socket = open(&server.socket_url(&database)).await.expect("the store opens");
        assert_eq!(by_socket.get("acme", EPOCH, &keys(10)).await.expect("get").len(), 10);
    });
}

fn connections_can_be_encrypted_and_the_server_checked() {
    let server = PostgresServer::start();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-new",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    openssl.args(["-keyout", "data/server.key", "-out", "data/server.crt"]);
    server.run_command(openssl);
    server.stop("fast");
    server.launch(&["ssl=on"]);
    runtime().block_on(async {
        let database = server.create_database().await;
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'github-metrics'";
        let by_name = server.url("admin", &database).replace("127.0.0.1", "localhost");
        let certificate = server.path("data/server.crt").display().to_string();
        for parameters in
            ["sslmode=require".to_owned(), format!("sslmode=verify-full&sslrootcert={certificate}")]
        {
            let store = open(&format!("{by_name}?{parameters}")).await.expect("the store opens");
            store.put("acme", EPOCH, &items(1)).await.expect("put");
            let all: Option<bool> = sqlx::query_scalar(encrypted)
                .fetch_one(&mut server.connect(&database).await)
                .await
                .expect("the list of connections");
            assert_eq!(all, Some(true), "{parameters}");
            store.close().await;
        }
        let unknown = fatal_error(open(&format!("{by_name}?sslmode=verify-full")).await);
        assert!(unknown.contains("sslrootcert=FILE") && unknown.contains("sslmode=require"), "{unknown}");
        let by_address = server.url("admin", &database);
        let other_name = open(&format!("{by_address}?sslmode=verify-full&sslrootcert={certificate}")).await;
        assert!(fatal_error(other_name).contains("sslrootcert=FILE"));
    });
}

/// The server crashes again and again while a task writes. No call fails, and what was confirmed is there.
fn calls_survive_restarts_of_the_server() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        let is_done = Arc::new(AtomicBool::new(false));
        let (writer, done) = (store.clone(), Arc::clone(&is_done));
        let writes = tokio::spawn(async move {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let outcome = writer.put("acme", EPOCH, &items(3_000)).await.expect("put");
                assert_eq!(outcome, PutOutcome::default());
                let key = CheckpointKey::Repo("acme".to_owned(), rounds);
                // If the answer to the first attempt was lost, the second one finds the saved checkpoint.
                writer.save(&key, "{}", None).await.expect("save");
                assert!(writer.load(&key).await.expect("load").is_some());
                rounds += 1;
            }
            rounds
        });
        for mode in ["immediate", "fast", "immediate"] {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tokio::task::block_in_place(|| {
                server.stop(mode);
                server.launch(&[]);
            });
        }
        is_done.store(true, Ordering::Relaxed);
        let rounds = writes.await.expect("no call fails");
        assert!(rounds > 0);
        let again = server.open(&database).await;
        assert_eq!(again.load_repos("acme").await.expect("load_repos").len() as i64, rounds);
        assert_eq!(again.get("acme", EPOCH, &keys(3_000)).await.expect("get").len(), 3_000);
    });
}

/// Forwards connections to the server. While `loses_answer` is set, it ends the next connection whose answer says that a
/// row was saved, instead of passing the answer on. Returns its port.
async fn lossy_proxy(server_port: u16, loses_answer: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let loses_answer = Arc::clone(&loses_answer);
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.expect("the server");
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let requests = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                });
                let mut answer = vec![0; 64 << 10];
                while let Ok(length @ 1..) = from_server.read(&mut answer).await {
                    let text = String::from_utf8_lossy(&answer[..length]);
                    let is_saved = text.contains("INSERT 0 1") || text.contains("UPDATE 1");
                    if is_saved && loses_answer.swap(false, Ordering::Relaxed) {
                        break;
                    }
                    if to_client.write_all(&answer[..length]).await.is_err() {
                        break;
                    }
                }
                requests.abort();
            });
        }
    });
    port
}

fn a_save_whose_answer_is_lost_is_no_conflict() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let database = server.create_database().await;
        let loses_answer = Arc::new(AtomicBool::new(false));
        let port = lossy_proxy(server.port(), Arc::clone(&loses_answer)).await;
        let url = server.url("admin", &database).replace(&server.port().to_string(), &port.to_string());
        let store = open(&format!("{url}?sslmode=disable")).await.expect("the store opens");
        let key = CheckpointKey::Org("acme".to_owned());
        let mut expected = None;
        for body in ["first", "second", "third"] {
            loses_answer.store(true, Ordering::Relaxed);
            let saved = store.save(&key, body, expected).await.expect("save");
            assert!(!loses_answer.load(Ordering::Relaxed), "no answer was lost");
            let SaveOutcome::Saved(revision) = saved else { panic!("{body}: {saved:?}") };
            let stored = store.load(&key).await.expect("load").expect("a checkpoint");
            assert_eq!((stored.revision, stored.body.as_str()), (revision, body));
            let again = store.save(&key, body, expected).await.expect("save");
            assert_eq!(again, SaveOutcome::Conflict, "another save of the same content");
            expected = Some(revision);
        }
    });
}

/// Another program deletes the class of an item while the item is written.
fn an_item_outlives_the_deletion_of_its_class() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        store.put("acme", EPOCH, &items(1)).await.expect("put");
        let mut other = server.connect(&database).await;
        let sql =
            "BEGIN; SELECT id FROM github_metrics.item_classes FOR UPDATE; DELETE FROM github_metrics.items;
            DELETE FROM github_metrics.item_classes";
        sqlx::raw_sql(sql).execute(&mut other).await.expect("the statements");
        let writer = store.clone();
        let write = tokio::spawn(async move { writer.put("acme", EPOCH, &items(1)).await });
        wait_for_lock(&server, &database).await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("the statement");
        assert_eq!(write.await.expect("no panic").expect("it is repeated"), PutOutcome::default());
        assert_eq!(store.get("acme", EPOCH, &keys(1)).await.expect("get"), items(1));
    });
}

/// Another program writes an item of the next month while the class's only item is deleted.
fn a_class_outlives_the_deletion_of_its_last_item() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        store.put("acme", EPOCH, &items(1)).await.expect("put");
        let mut other = server.connect(&database).await;
        let sql = "BEGIN; SELECT id FROM github_metrics.item_classes FOR KEY SHARE;
            INSERT INTO github_metrics.items (class_id, generation, week, month, body)
            SELECT class_id, 1, week, '2024-06', body FROM github_metrics.items";
        sqlx::raw_sql(sql).execute(&mut other).await.expect("the statements");
        let deleter = store.clone();
        let delete = tokio::spawn(async move { deleter.delete("acme", EPOCH, &keys(1)).await });
        wait_for_lock(&server, &database).await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("the statement");
        delete.await.expect("no panic").expect("delete");
        let key = &keys(1)[0];
        let june = Month::parse("2024-06").expect("a month");
        let left = store.range("acme", EPOCH, &key.class, key.month, june).await.expect("range");
        assert_eq!(left.into_iter().map(|(key, _)| key.month).collect::<Vec<_>>(), [june]);
    });
}

fn readers_do_not_wait_for_a_writer() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (database, store) = server.create_store().await;
        store.put("acme", EPOCH, &items(10)).await.expect("put");
        let mut other = server.connect(&database).await;
        let sql = "BEGIN; DELETE FROM github_metrics.items; DELETE FROM github_metrics.item_classes";
        sqlx::raw_sql(sql).execute(&mut other).await.expect("the statements");
        assert_eq!(store.get("acme", EPOCH, &keys(10)).await.expect("get").len(), 10);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("the statement");
    });
}

/// Another program locks the rows of a write in the opposite order. The server ends one of the two transactions.
fn a_deadlock_is_repeated() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let database = server.create_database().await;
        // The server looks for a deadlock once in each wait, after this time.
        let timeout = format!("ALTER DATABASE {database} SET deadlock_timeout = '4s'");
        server.execute("postgres", &timeout).await;
        let store = server.open(&database).await;
        store.put("acme", EPOCH, &items(2)).await.expect("put");
        let lock = |name| {
            let classes = "SELECT id FROM github_metrics.item_classes WHERE name";
            format!("UPDATE github_metrics.items SET week = week WHERE class_id = ({classes} = '{name}')")
        };
        let mut other = server.connect(&database).await;
        let begin = format!("BEGIN; SET LOCAL deadlock_timeout = '60s'; {}", lock("1"));
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut other).await.expect("the statements");
        let writer = store.clone();
        let write = tokio::spawn(async move { writer.put("acme", EPOCH, &items(2)).await });
        wait_for_lock(&server, &database).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock("0")))
            .execute(&mut other)
            .await
            .expect("the other one goes on");
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("the statement");
        assert_eq!(write.await.expect("no panic").expect("it is repeated"), PutOutcome::default());
        assert!(server.log().contains("deadlock detected"));
    });
}

/// Waits until a connection of the store waits for a lock.
async fn wait_for_lock(server: &PostgresServer, database: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'github-metrics' AND wait_event_type = 'Lock'";
    let mut connection = server.connect(database).await;
    loop {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut connection).await.expect("a count");
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A caller cancels a write, as a server does when its client disconnects.
fn a_cancelled_write_leaves_the_store_usable() {
    let server = PostgresServer::start();
    runtime().block_on(async {
        let (_, store) = server.create_store().await;
        let all = Arc::new(items(5_000));
        for delay_ms in 0..20 {
            let (writer, items) = (store.clone(), Arc::clone(&all));
            let write = tokio::spawn(async move { writer.put("acme", EPOCH, &items).await.map(drop) });
            tokio::time::sleep(Duration::from_millis(delay_ms * 3)).await;
            write.abort();
            store.put("acme", EPOCH, &all[..1]).await.expect("put");
        }
        assert_eq!(store.put("acme", EPOCH, &all).await.expect("put"), PutOutcome::default());
        let key = CheckpointKey::Org("acme".to_owned());
        assert!(matches!(store.save(&key, "{}", None).await.expect("save"), SaveOutcome::Saved(_)));
        store.close().await;
        assert!(store.load(&key).await.expect_err("an error").to_string().contains("has been closed"));
    });
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, refusals_name_the_cause_and_no_password),
        external_test!(NEEDS, the_servers_socket_works_like_its_port),
        external_test!(NEEDS, connections_can_be_encrypted_and_the_server_checked),
        external_test!(NEEDS, calls_survive_restarts_of_the_server),
        external_test!(NEEDS, a_save_whose_answer_is_lost_is_no_conflict),
        external_test!(NEEDS, an_item_outlives_the_deletion_of_its_class),
        external_test!(NEEDS, a_class_outlives_the_deletion_of_its_last_item),
        external_test!(NEEDS, readers_do_not_wait_for_a_writer),
        external_test!(NEEDS, a_deadlock_is_repeated),
        external_test!(NEEDS, a_cancelled_write_leaves_the_store_usable),
    ]
}
