//! What every [`ObjectStore`] must do: the suite that each adapter runs in its tests.
//!
//! The functions panic where a store breaks a promise. They need a tokio runtime; one with several
//! threads makes the races real.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::object_store::{ETag, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};

/// The size in bytes of objects that are large enough to be caught half written.
pub const LARGE_BYTES: usize = 300_000;

const RACERS: u64 = 12;
const STEPS: u64 = 4;
const READINGS: usize = 30;

type Store = Arc<dyn ObjectStore>;

/// Runs every case, each on an empty store of its own that `make` returns.
///
/// # Panics
/// Where the store breaks a promise of the port.
pub async fn run(make: impl AsyncFn() -> Store) {
    absent_objects_are_absent(&*make().await).await;
    what_is_put_is_got(&*make().await).await;
    put_if_absent_replaces_nothing(&*make().await).await;
    put_if_match_replaces_what_was_read(&*make().await).await;
    lists_are_by_prefix_and_ordered(&*make().await).await;
    tails_are_tails(&*make().await).await;
    deleting_is_idempotent(&*make().await).await;
    let store = make().await;
    run_shared(Arc::clone(&store), store).await;
}

/// Runs the cases of racing writers and readers, through two handles on one empty store, such as two
/// processes would hold.
///
/// # Panics
/// Where the store breaks a promise of the port.
pub async fn run_shared(one: Store, two: Store) {
    one_creator_wins(&one, &two).await;
    one_replacer_wins(&one, &two).await;
    no_increment_is_lost(&one, &two).await;
    objects_are_seen_whole(&one, &two).await;
}

fn object(name: &str) -> ObjectPath {
    paths::inbox("acme", name)
}

async fn create(store: &dyn ObjectStore, path: &ObjectPath, bytes: impl Into<Bytes>) -> ETag {
    match store.put_if_absent(path, bytes.into(), &[("generation", "1".to_owned())]).await {
        Ok(PutIfAbsent::Written(etag)) => etag,
        other => panic!("{path} was absent, but writing it ended with {other:?}"),
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

async fn listed(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let objects = store.list(prefix).await.expect("listing objects");
    objects.into_iter().map(|object| object.path.to_string()).collect()
}

async fn absent_objects_are_absent(store: &dyn ObjectStore) {
    let path = object("absent");
    assert_eq!(store.get(&path).await.expect("reading nothing"), None);
    assert_eq!(store.get_tail(&path, 8).await.expect("reading nothing"), None);
    assert_eq!(listed(store, "").await, Vec::<String>::new());
    assert_eq!(listed(store, "inbox/org=acme/").await, Vec::<String>::new());
    store.delete(&path).await.expect("deleting nothing");
    let changed = replace(store, &path, "new", &ETag("never".to_owned())).await;
    assert_eq!(changed, PutIfMatch::Changed, "there is nothing to replace");
    assert_eq!(store.get(&path).await.expect("reading nothing"), None, "a refused write writes nothing");
}

async fn what_is_put_is_got(store: &dyn ObjectStore) {
    let large: Vec<u8> = (0..LARGE_BYTES).map(|i| (i % 251) as u8).collect();
    for (name, bytes) in [("small", b"x".to_vec()), ("large", large)] {
        let path = object(name);
        let etag = create(store, &path, bytes.clone()).await;
        let (got, got_etag) = read(store, &path).await;
        assert!(got == bytes, "{name}: other bytes came back");
        assert_eq!(got_etag, etag, "{name}: reading names the writing it read");
        let metas = store.list(path.as_str()).await.expect("listing an object");
        assert_eq!(metas.len(), 1);
        assert_eq!((&metas[0].path, metas[0].size), (&path, bytes.len() as u64));
    }
}

async fn put_if_absent_replaces_nothing(store: &dyn ObjectStore) {
    let path = object("a");
    let etag = create(store, &path, "first").await;
    let second = store.put_if_absent(&path, Bytes::from_static(b"second"), &[]).await;
    assert_eq!(second.expect("writing over an object"), PutIfAbsent::Exists);
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"first"), etag));
}

async fn put_if_match_replaces_what_was_read(store: &dyn ObjectStore) {
    let path = paths::snapshot("acme", gam_model::Month::parse("2026-03").expect("a month"));
    let first = create(store, &path, "first").await;
    let PutIfMatch::Written(second) = replace(store, &path, "second", &first).await else {
        panic!("the object had not changed");
    };
    assert_ne!(first, second, "another content has another etag");
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"second"), second.clone()));
    assert_eq!(replace(store, &path, "third", &first).await, PutIfMatch::Changed);
    assert_eq!(read(store, &path).await, (Bytes::from_static(b"second"), second.clone()));
    store.delete(&path).await.expect("deleting an object");
    assert_eq!(replace(store, &path, "third", &second).await, PutIfMatch::Changed);
    assert_eq!(store.get(&path).await.expect("reading nothing"), None);
}

async fn lists_are_by_prefix_and_ordered(store: &dyn ObjectStore) {
    let month = gam_model::Month::parse("2026-03").expect("a month");
    let mut all = vec![
        paths::inbox("ac", "2"),
        paths::inbox("ac", "1"),
        paths::inbox("ac-me", "1"),
        paths::inbox("acme", "1"),
        paths::snapshot("ac", month),
        paths::rejected("ac", "1.parquet"),
    ];
    for path in &all {
        create(store, path, path.as_str().to_owned()).await;
    }
    all.sort();
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    let starting = |prefix: &str| -> Vec<String> {
        all.iter().filter(|path| path.starts_with(prefix)).cloned().collect()
    };
    let ours = paths::inbox_prefix("ac");
    for prefix in ["", "inbox/", "inbox/org=ac", &ours, "events/", "inbox/org=ac/1", "inb", "nothing/", "../"]
    {
        assert_eq!(listed(store, prefix).await, starting(prefix), "listing {prefix:?}");
    }
    assert_eq!(listed(store, &ours).await.len(), 2);
}

async fn tails_are_tails(store: &dyn ObjectStore) {
    let path = object("a");
    let etag = create(store, &path, "0123456789").await;
    for (length, expected) in
        [(1, "9"), (4, "6789"), (10, "0123456789"), (11, "0123456789"), (1 << 40, "0123456789")]
    {
        let tail = store.get_tail(&path, length).await.expect("reading a tail").expect("the object is there");
        assert_eq!(tail.bytes, expected, "the last {length} bytes");
        assert_eq!(tail.etag, etag);
    }
}

async fn deleting_is_idempotent(store: &dyn ObjectStore) {
    let (path, other) = (object("a"), object("b"));
    create(store, &path, "first").await;
    create(store, &other, "other").await;
    for _ in 0..2 {
        store.delete(&path).await.expect("deleting an object");
        assert_eq!(store.get(&path).await.expect("reading nothing"), None);
        assert_eq!(listed(store, "").await, [other.to_string()]);
    }
    create(store, &path, "second").await;
    assert_eq!(read(store, &path).await.0, "second");
}

fn handles<'a>(one: &'a Store, two: &'a Store) -> impl Iterator<Item = (u64, Store)> + 'a {
    (0..RACERS).map(move |racer| (racer, Arc::clone(if racer % 2 == 0 { one } else { two })))
}

async fn one_creator_wins(one: &Store, two: &Store) {
    for round in 0..STEPS {
        let path = object(&format!("created-{round}"));
        let mut racers = JoinSet::new();
        for (racer, store) in handles(one, two) {
            let path = path.clone();
            racers.spawn(async move {
                let written = store.put_if_absent(&path, Bytes::from(racer.to_string()), &[]).await;
                (racer, written.expect("racing to create"))
            });
        }
        let outcomes = racers.join_all().await;
        let mut winners = outcomes.into_iter().filter_map(|(racer, outcome)| match outcome {
            PutIfAbsent::Written(etag) => Some((Bytes::from(racer.to_string()), etag)),
            PutIfAbsent::Exists => None,
        });
        let winner = winners.next().expect("somebody creates the object");
        assert_eq!(winners.next(), None, "only one creates the object");
        assert_eq!(read(&**one, &path).await, winner);
    }
}

async fn one_replacer_wins(one: &Store, two: &Store) {
    let path = object("replaced");
    let mut etag = create(&**one, &path, "start").await;
    for round in 0..STEPS {
        let mut racers = JoinSet::new();
        for (racer, store) in handles(one, two) {
            let (path, etag) = (path.clone(), etag.clone());
            racers.spawn(async move {
                let content = format!("{round}/{racer}");
                let outcome = replace(&*store, &path, content.clone(), &etag).await;
                (Bytes::from(content), outcome)
            });
        }
        let outcomes = racers.join_all().await;
        let mut winners = outcomes.into_iter().filter_map(|(content, outcome)| match outcome {
            PutIfMatch::Written(etag) => Some((content, etag)),
            PutIfMatch::Changed => None,
        });
        let winner = winners.next().expect("somebody replaces the object");
        assert_eq!(winners.next(), None, "only one replaces the object");
        assert_eq!(read(&**two, &path).await, winner);
        etag = winner.1;
    }
}

/// Adds one to the number that the object holds as text, trying until nobody else was faster.
///
/// # Panics
/// Where the object is missing or holds no number, or the store fails.
pub async fn increment(store: &dyn ObjectStore, path: &ObjectPath) {
    loop {
        let (bytes, etag) = read(store, path).await;
        let number: u64 = String::from_utf8_lossy(&bytes).parse().expect("the object holds a number");
        match replace(store, path, (number + 1).to_string(), &etag).await {
            PutIfMatch::Written(_) => return,
            PutIfMatch::Changed => tokio::task::yield_now().await,
        }
    }
}

async fn no_increment_is_lost(one: &Store, two: &Store) {
    let path = object("counted");
    create(&**one, &path, "0").await;
    let mut racers = JoinSet::new();
    for (_, store) in handles(one, two) {
        let path = path.clone();
        racers.spawn(async move {
            for _ in 0..STEPS {
                increment(&*store, &path).await;
            }
        });
    }
    racers.join_all().await;
    assert_eq!(read(&**two, &path).await.0, (RACERS * STEPS).to_string());
}

fn of_one_byte(byte: u64) -> Bytes {
    Bytes::from(vec![(byte % 256) as u8; LARGE_BYTES])
}

async fn objects_are_seen_whole(one: &Store, two: &Store) {
    let prefix = paths::inbox_prefix("whole");
    let replaced = paths::inbox("whole", "replaced");
    create(&**one, &replaced, of_one_byte(0)).await;
    let mut writers = JoinSet::new();
    for (writer, store) in handles(one, two).take(2) {
        let replaced = replaced.clone();
        writers.spawn(async move {
            for step in 0.. {
                let byte = writer * 100 + step;
                create(&*store, &paths::inbox("whole", &format!("{writer}-{step}")), of_one_byte(byte)).await;
                let (_, etag) = read(&*store, &replaced).await;
                replace(&*store, &replaced, of_one_byte(byte), &etag).await;
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..READINGS {
        for listed in two.list(&prefix).await.expect("listing objects") {
            assert_eq!(listed.size, LARGE_BYTES as u64, "{} is listed half written", listed.path);
        }
        let (bytes, _) = read(&**two, &replaced).await;
        let whole = bytes.len() == LARGE_BYTES && bytes.iter().all(|byte| *byte == bytes[0]);
        assert!(whole, "an object is read half replaced");
        tokio::task::yield_now().await;
    }
    writers.shutdown().await;
}
