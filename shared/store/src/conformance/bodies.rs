//! Checks of unusual and large bodies. An adapter may store a large one in parts.

use std::sync::Arc;

use super::{EPOCH, ORG, days_of_repo, item, month, put, run_concurrently, shuffled, stored};
use crate::keys::{ItemClass, ItemKey, Subject, SubjectKind};
use crate::port::{PutOutcome, RollupStore};

/// Lengths in bytes around the limits of databases: DynamoDB's items have at most 400 KB.
const LENGTHS: [usize; 9] = [1_200_000, 10, 350_000, 350_001, 0, 409_600, 3, 2_500_000, 1_048_576];

/// Returns bytes that hardly repeat and differ for each `seed`, so that mixed-up parts are noticed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Checks the stored item without printing its body.
async fn assert_stored<S: RollupStore>(store: &S, key: &ItemKey, generation: u64, body: &[u8], rule: &str) {
    let item = stored(store, ORG, EPOCH, key).await.expect("an item after its put");
    assert_eq!((item.generation, item.body.len()), (generation, body.len()), "{rule}");
    assert!(item.body == body, "{rule}: the bytes are those that were written");
}

pub(super) async fn check_unusual_bodies<S: RollupStore>(store: &S) {
    let key = ItemKey::new(ItemClass::Days(Subject::Org), month("2024-05"));
    let all_bytes: Vec<u8> = (0..=255).collect();
    let bodies: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\0\0end",
        b"\xff\xfe\xc3\x28 no UTF-8",
        &all_bytes,
        b"'quoted' \"and\" \\ % ? :1",
        b"",
    ];
    for (generation, body) in (1..).zip(bodies) {
        put(store, ORG, EPOCH, &[(key.clone(), item(generation, body))]).await;
        assert_stored(store, &key, generation, body, "an item is read as it was written").await;
    }
}

pub(super) async fn check_large_bodies<S: RollupStore>(store: &S) {
    // Neighbours in each order of keys, so that parts of one are not taken for the other.
    let weeks = ItemKey::breakdown(Subject::Repo(1), month("2024-05"), gam_model::WeekOfMonth::FIRST);
    let keys = [
        ItemKey::new(ItemClass::Days(Subject::member("ann")), month("2024-05")),
        ItemKey::new(ItemClass::Days(Subject::member("ann#1")), month("2024-05")),
        ItemKey::new(ItemClass::List(SubjectKind::Member), month("2024-06")),
        weeks,
    ];
    for (step, length) in LENGTHS.into_iter().enumerate() {
        let generation = 1 + step as u64;
        let body = |n: usize| noise(generation * 10 + n as u64, length);
        let items: Vec<_> =
            keys.iter().enumerate().map(|(n, key)| (key.clone(), item(generation, body(n)))).collect();
        assert_eq!(put(store, ORG, EPOCH, &items).await, PutOutcome::default(), "{length} bytes");
        for (n, key) in keys.iter().enumerate() {
            assert_stored(store, key, generation, &body(n), &format!("{length} bytes")).await;
        }
    }
    let (key, again) = (&keys[0], noise(99, 800_000));
    let newest = LENGTHS.len() as u64;
    for body in [&again, &again, &noise(98, 800_000)] {
        put(store, ORG, EPOCH, &[(key.clone(), item(newest, body.clone()))]).await;
        assert_stored(store, key, newest, body, "a large body of the same generation replaces").await;
    }

    // More than one answer of a database holds.
    let months: Vec<_> = (1..=12).map(|n| month(&format!("2024-{n:02}"))).collect();
    let class = ItemClass::Days(Subject::Org);
    let body = |n: usize| noise(n as u64, 300_000 + 40_000 * n);
    for (n, month) in months.iter().enumerate() {
        put(store, ORG, EPOCH, &[(ItemKey::new(class.clone(), *month), item(1, body(n)))]).await;
    }
    let read = store.range(ORG, EPOCH, &class, months[0], months[11]).await.expect("range");
    assert_eq!(read.iter().map(|(key, _)| key.month).collect::<Vec<_>>(), months, "large bodies in order");
    for (n, (key, item)) in read.iter().enumerate() {
        assert!(item.body == body(n), "the large body of {} in a range", key.month);
    }
}

pub(super) async fn check_refused_large_bodies<S: RollupStore>(store: &S) {
    let refused = PutOutcome { refused: 1, newest_generation: 5 };
    for (n, stored_length) in [(1, 1_000_000), (2, 5)] {
        let (key, body) = (days_of_repo(n), noise(1, stored_length));
        put(store, ORG, EPOCH, &[(key.clone(), item(5, body.clone()))]).await;
        for (generation, length) in [(4, 1_100_000), (4, 3), (0, 0), (1, 1_000_000)] {
            let older = [(key.clone(), item(generation, noise(2, length)))];
            assert_eq!(
                put(store, ORG, EPOCH, &older).await,
                refused,
                "{length} bytes of an older generation"
            );
            assert_stored(store, &key, 5, &body, "a refused write leaves the stored item complete").await;
        }
    }
}

/// Writers of one key alternate between large and small bodies, while readers expect a complete one.
pub(super) async fn check_concurrent_large_bodies<S: RollupStore + 'static>(store: S) {
    const NEWEST: u64 = 5;
    let (store, key) = (Arc::new(store), days_of_repo(1));
    // The length and the bytes follow from the generation.
    let body = |generation: u64| noise(generation, if generation % 2 == 1 { 720_000 } else { 20 });
    run_concurrently((0..6).map(|task| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            for generation in shuffled(NEWEST, task) {
                // Half of the tasks only read.
                if task % 2 == 0 {
                    put(&*store, ORG, EPOCH, &[(key.clone(), item(generation, body(generation)))]).await;
                }
                let read = store.get(ORG, EPOCH, std::slice::from_ref(&key)).await.expect("get");
                for (_, current) in read {
                    let expected = body(current.generation);
                    assert!(
                        current.body == expected,
                        "an item of generation {} was read in a mixture",
                        current.generation
                    );
                }
            }
        }
    }))
    .await;
    assert_stored(&*store, &key, NEWEST, &body(NEWEST), "the newest item stays after concurrent writes")
        .await;
}
