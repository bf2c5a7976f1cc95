//! The conformance suite of the port [`ObjectStore`], which each adapter runs in its tests.
//!
//! The functions panic if a store violates the port's contract. They need a tokio runtime, best one with
//! several threads, so that the writers really race.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Events;
use crate::object_store::{ETag, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};

/// The size of an object that takes long enough to write for a reader to see a partial write.
pub const LARGE_BYTES: usize = 300_000;

const RACING_TASKS: u64 = 12;
const ROUNDS: u64 = 4;
const READS_DURING_WRITES: usize = 30;

type Store = Arc<dyn ObjectStore>;

/// Runs all cases. Calls `new_store` for each case, which must return an empty store.
///
/// # Panics
/// If the store violates the contract.
pub async fn run(new_store: impl AsyncFn() -> Store) {
    missing_objects_are_not_found(&*new_store().await).await;
    reads_return_what_was_written(&*new_store().await).await;
    put_if_absent_does_not_replace(&*new_store().await).await;
    put_if_match_replaces_only_the_expected_content(&*new_store().await).await;
    lists_are_filtered_and_sorted(&*new_store().await).await;
    tails_return_the_last_bytes(&*new_store().await).await;
    deletes_are_idempotent(&*new_store().await).await;
    let store = new_store().await;
    run_shared(Arc::clone(&store), store).await;
}

/// Runs the cases of racing writers and readers. `one` and `two` are handles on the same empty store, like
/// those of two processes.
///
/// # Panics
/// If the store violates the contract.
pub async fn run_shared(one: Store, two: Store) {
    only_one_of_several_creates_succeeds(&one, &two).await;
    only_one_of_several_replaces_succeeds(&one, &two).await;
    concurrent_increments_are_not_lost(&one, &two).await;
    partial_writes_are_never_visible(&one, &two).await;
}

fn object(name: &str) -> ObjectPath {
    paths::inbox::<Events>("acme", name)
}

async fn create(store: &dyn ObjectStore, path: &ObjectPath, bytes: impl Into<Bytes>) -> ETag {
    match store.put_if_absent(path, bytes.into(), &[("generation", "1".to_owned())]).await {
        Ok(PutIfAbsent::Written(etag)) => etag,
        other => panic!("{path} did not exist, but creating it returned {other:?}"),
    }
}

async fn replace(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    bytes: impl Into<Bytes>,
    etag: &ETag,
) -> PutIfMatch {
    let metadata = [("generation", "2".to_owned())];
    store.put_if_match(path, bytes.into(), etag, &metadata).await.expect("replacing an object")
}

async fn read(store: &dyn ObjectStore, path: &ObjectPath) -> (Bytes, ETag) {
    let object = store.get(path).await.expect("reading an object").expect("the object is there");
    (object.bytes, object.etag)
}

async fn list(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let objects = store.list(prefix).await.expect("listing objects");
    objects.into_iter().map(|object| object.path.to_string()).collect()
}

async fn missing_objects_are_not_found(store: &dyn ObjectStore) {
    let path = object("missing");
    assert_eq!(store.get(&path).await.expect("reading a missing object"), None);
    assert_eq!(store.get_tail(&path, 8).await.expect("reading a missing object"), None);
    assert_eq!(list(store, "").await, Vec::<String>::new());
    assert_eq!(list(store, "inbox/org=acme/").await, Vec::<String>::new());
    store.delete(&path).await.expect("deleting a missing object");
    let outcome = replace(store, &path, "new", &ETag("never".to_owned())).await;
    assert_eq!(outcome, PutIfMatch::Changed, "there is nothing to replace");
    assert_eq!(
        store.get(&path).await.expect("reading a missing object"),
        None,
        "a rejected write writes nothing"
    );
}

async fn reads_return_what_was_written(store: &dyn ObjectStore) {
    let large: Vec<u8> = (0..LARGE_BYTES).map(|i| (i % 251) as u8).collect();
    for (name, bytes) in [("small", b"x".to_vec()), ("large", large)] {
        let path = object(name);
        let etag = create(store, &path, bytes.clone()).await;
        let (read_bytes, read_etag) = read(store, &path).await;
        assert!(read_bytes == bytes, "{name}: the bytes differ");
        assert_eq!(read_etag, etag, "{name}: the etag differs");
        let metas = store.list(path.as_str()).await.expect("listing an object");
        assert_eq!(metas.len(), 1);
        assert_eq!((&metas[0].path, metas[0].size), (&path, bytes.len() as u64));
    }
}

async fn put_if_absent_does_not_replace(store: &dyn ObjectStore) {
    let path = object("a");
    let etag = create(store, &path, "first").await;
    let second = store.put_if_absent(&path, Bytes::from_static(b"second"), &[]).await;
    assert_eq!(second.expect("writing over an object"), PutIfAbsent::Exists);
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"first"), etag));
}

async fn put_if_match_replaces_only_the_expected_content(store: &dyn ObjectStore) {
    let path = paths::snapshot::<Events>("acme", gam_model::Month::parse("2026-03").expect("a month"));
    let first = create(store, &path, "first").await;
    let PutIfMatch::Written(second) = replace(store, &path, "second", &first).await else {
        panic!("the object had not changed");
    };
    assert_ne!(first, second, "different content has a different etag");
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"second"), second.clone()));
    assert_eq!(replace(store, &path, "third", &first).await, PutIfMatch::Changed);
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"second"), second.clone()));
    store.delete(&path).await.expect("deleting an object");
    assert_eq!(replace(store, &path, "third", &second).await, PutIfMatch::Changed);
    assert_eq!(store.get(&path).await.expect("reading a missing object"), None);
}

async fn lists_are_filtered_and_sorted(store: &dyn ObjectStore) {
    let month = gam_model::Month::parse("2026-03").expect("a month");
    let mut all = vec![
        paths::inbox::<Events>("ac", "2"),
        paths::inbox::<Events>("ac", "1"),
        paths::inbox::<Events>("ac-me", "1"),
        paths::inbox::<Events>("acme", "1"),
        paths::snapshot::<Events>("ac", month),
        paths::rejected::<Events>("ac", "1.parquet"),
    ];
    for path in &all {
        create(store, path, path.as_str().to_owned()).await;
    }
    all.sort();
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    let with_prefix = |prefix: &str| -> Vec<String> {
        all.iter().filter(|path| path.starts_with(prefix)).cloned().collect()
    };
    let inbox_prefix = paths::inbox_prefix::<Events>("ac");
    for prefix in
        ["", "inbox/", "inbox/org=ac", &inbox_prefix, "events/", "inbox/org=ac/1", "inb", "nothing/", "../"]
    {
        assert_eq!(list(store, prefix).await, with_prefix(prefix), "listing {prefix:?}");
    }
    assert_eq!(list(store, &inbox_prefix).await.len(), 2);
}

async fn tails_return_the_last_bytes(store: &dyn ObjectStore) {
    let path = object("a");
    create(store, &path, "0123456789").await;
    for (length, expected) in
        [(1, "9"), (4, "6789"), (10, "0123456789"), (11, "0123456789"), (1 << 40, "0123456789")]
    {
        let tail = store.get_tail(&path, length).await.expect("reading a tail").expect("the object is there");
        assert_eq!(tail, expected, "the last {length} bytes");
    }
}

async fn deletes_are_idempotent(store: &dyn ObjectStore) {
    let (path, other) = (object("a"), object("b"));
    create(store, &path, "first").await;
    create(store, &other, "other").await;
    for _ in 0..2 {
        store.delete(&path).await.expect("deleting an object");
        assert_eq!(store.get(&path).await.expect("reading a missing object"), None);
        assert_eq!(list(store, "").await, [other.to_string()]);
    }
    create(store, &path, "second").await;
    assert_eq!(read(store, &path).await.0, "second");
}

fn racing_handles<'a>(one: &'a Store, two: &'a Store) -> impl Iterator<Item = (u64, Store)> + 'a {
    (0..RACING_TASKS).map(move |task| (task, Arc::clone(if task % 2 == 0 { one } else { two })))
}

async fn only_one_of_several_creates_succeeds(one: &Store, two: &Store) {
    for round in 0..ROUNDS {
        let path = object(&format!("created-{round}"));
        let mut tasks = JoinSet::new();
        for (task, store) in racing_handles(one, two) {
            let path = path.clone();
            tasks.spawn(async move {
                let outcome = store.put_if_absent(&path, Bytes::from(task.to_string()), &[]).await;
                (task, outcome.expect("creating an object"))
            });
        }
        let outcomes = tasks.join_all().await;
        let mut winners = outcomes.into_iter().filter_map(|(task, outcome)| match outcome {
            PutIfAbsent::Written(etag) => Some((Bytes::from(task.to_string()), etag)),
            PutIfAbsent::Exists => None,
        });
        let winner = winners.next().expect("one task creates the object");
        assert_eq!(winners.next(), None, "only one task creates the object");
        assert_eq!(read(&**one, &path).await, winner);
    }
}

async fn only_one_of_several_replaces_succeeds(one: &Store, two: &Store) {
    let path = object("replaced");
    let mut etag = create(&**one, &path, "start").await;
    for round in 0..ROUNDS {
        let mut tasks = JoinSet::new();
        for (task, store) in racing_handles(one, two) {
            let (path, etag) = (path.clone(), etag.clone());
            tasks.spawn(async move {
                let content = format!("{round}/{task}");
                let outcome = replace(&*store, &path, content.clone(), &etag).await;
                (Bytes::from(content), outcome)
            });
        }
        let outcomes = tasks.join_all().await;
        let mut winners = outcomes.into_iter().filter_map(|(content, outcome)| match outcome {
            PutIfMatch::Written(etag) => Some((content, etag)),
            PutIfMatch::Changed => None,
        });
        let winner = winners.next().expect("one task replaces the object");
        assert_eq!(winners.next(), None, "only one task replaces the object");
        assert_eq!(read(&**two, &path).await, winner);
        etag = winner.1;
    }
}

/// Increments the decimal number in the object by compare-and-swap. Retries until no other writer is faster.
///
/// # Panics
/// If the object does not exist or is not a number, or if the store fails.
pub async fn increment(store: &dyn ObjectStore, path: &ObjectPath) {
    loop {
        let (bytes, etag) = read(store, path).await;
        let number: u64 = String::from_utf8_lossy(&bytes).parse().expect("the object is a number");
        match replace(store, path, (number + 1).to_string(), &etag).await {
            PutIfMatch::Written(_) => return,
            PutIfMatch::Changed => tokio::task::yield_now().await,
        }
    }
}

async fn concurrent_increments_are_not_lost(one: &Store, two: &Store) {
    let path = object("counted");
    create(&**one, &path, "0").await;
    let mut tasks = JoinSet::new();
    for (_, store) in racing_handles(one, two) {
        let path = path.clone();
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                increment(&*store, &path).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(read(&**two, &path).await.0, (RACING_TASKS * ROUNDS).to_string());
}

fn repeated_byte(byte: u64) -> Bytes {
    Bytes::from(vec![(byte % 256) as u8; LARGE_BYTES])
}

async fn partial_writes_are_never_visible(one: &Store, two: &Store) {
    let prefix = paths::inbox_prefix::<Events>("partial");
    let replaced = paths::inbox::<Events>("partial", "replaced");
    create(&**one, &replaced, repeated_byte(0)).await;
    let mut writers = JoinSet::new();
    for (writer, store) in racing_handles(one, two).take(2) {
        let replaced = replaced.clone();
        writers.spawn(async move {
            for step in 0.. {
                let byte = writer * 100 + step;
                create(
                    &*store,
                    &paths::inbox::<Events>("partial", &format!("{writer}-{step}")),
                    repeated_byte(byte),
                )
                .await;
                let (_, etag) = read(&*store, &replaced).await;
                replace(&*store, &replaced, repeated_byte(byte), &etag).await;
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..READS_DURING_WRITES {
        for listed in two.list(&prefix).await.expect("listing objects") {
            assert_eq!(listed.size, LARGE_BYTES as u64, "{} is listed with a partial size", listed.path);
        }
        let (bytes, _) = read(&**two, &replaced).await;
        let is_complete = bytes.len() == LARGE_BYTES && bytes.iter().all(|byte| *byte == bytes[0]);
        assert!(is_complete, "a read returns a partially replaced object");
        tokio::task::yield_now().await;
    }
    writers.shutdown().await;
}
