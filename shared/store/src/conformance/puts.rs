//! Checks of guarded writes.

use std::sync::Arc;

use gam_model::Grain;

use super::{ORG, day, key, rollup, run_concurrently, shuffled, stored, unusual_bodies};
use crate::keys::{RollupKey, Subject, SubjectKind};
use crate::port::{Logic, PutOutcome, RollupStore, StoredRollup};

const NOTHING_REFUSED: PutOutcome = PutOutcome { refused: 0, newest_generation: 0, newer_logic: false };

async fn put<S: RollupStore>(store: &S, rollups: &[(RollupKey, StoredRollup)]) -> PutOutcome {
    store.put(ORG, rollups).await.expect("put")
}

pub(super) async fn check_guard<S: RollupStore>(store: &S) {
    let refused = |newest_generation, newer_logic| PutOutcome { refused: 1, newest_generation, newer_logic };
    let other_identity = StoredRollup {
        logic: Logic { version: 1, identity: "another".to_owned() },
        ..rollup(1, 3, "other identity")
    };
    let steps = [
        ("the first write is accepted", rollup(1, 3, "a"), NOTHING_REFUSED),
        ("the same write again is accepted", rollup(1, 3, "a"), NOTHING_REFUSED),
        ("the same generation replaces", rollup(1, 3, "b"), NOTHING_REFUSED),
        ("the same generation replaces under another identity", other_identity, NOTHING_REFUSED),
        ("a newer generation replaces", rollup(1, 5, "c"), NOTHING_REFUSED),
        ("a newer generation with the same content is accepted", rollup(1, 6, "c"), NOTHING_REFUSED),
        ("an older generation is refused", rollup(1, 5, "d"), refused(6, false)),
        ("a much older generation is refused", rollup(1, 0, "e"), refused(6, false)),
        ("newer logic at an older generation is refused", rollup(2, 5, "f"), refused(6, false)),
        ("newer logic replaces at the same generation", rollup(2, 6, "g"), NOTHING_REFUSED),
        ("older logic is refused at the same generation", rollup(1, 6, "h"), refused(6, true)),
        ("older logic is refused at a newer generation", rollup(1, 9, "i"), refused(6, true)),
        ("older logic is refused at an older generation", rollup(1, 2, "j"), refused(6, true)),
        ("newer logic replaces at a newer generation", rollup(3, 8, "k"), NOTHING_REFUSED),
        ("a generation beyond 32 bits is accepted", rollup(3, 1 << 40, "l"), NOTHING_REFUSED),
        ("greater numbers are compared as numbers, not as text", rollup(10, 10 << 40, "m"), NOTHING_REFUSED),
        (
            "smaller numbers are compared as numbers, not as text",
            rollup(9, 9 << 40, "n"),
            refused(10 << 40, true),
        ),
    ];
    let key = key(Subject::member("ann"), Grain::Day, "2024-05-17");
    let mut expected = None;
    for (rule, new, outcome) in steps {
        assert_eq!(put(store, &[(key.clone(), new.clone())]).await, outcome, "put: {rule}");
        if outcome == NOTHING_REFUSED {
            expected = Some(new);
        }
        assert_eq!(stored(store, ORG, &key).await, expected, "stored after put: {rule}");
    }
}

pub(super) async fn check_partial_refusal<S: RollupStore>(store: &S) {
    assert_eq!(put(store, &[]).await, NOTHING_REFUSED, "writing nothing");
    let key = |n: i64| key(Subject::Repo(n), Grain::Week, "2024-05-13");
    put(
        store,
        &[(key(1), rollup(1, 7, "old")), (key(2), rollup(1, 9, "old")), (key(3), rollup(2, 4, "old"))],
    )
    .await;
    let outcome =
        put(store, &(1..=5).map(|n| (key(n), rollup(1, 8, format!("new {n}")))).collect::<Vec<_>>()).await;
    let expected = PutOutcome { refused: 2, newest_generation: 9, newer_logic: true };
    assert_eq!(outcome, expected, "two of five are refused, one for its generation and one for its logic");
    for (n, body) in [(1, "new 1"), (2, "old"), (3, "old"), (4, "new 4"), (5, "new 5")] {
        let stored_body = stored(store, ORG, &key(n)).await.map(|rollup| rollup.body);
        assert_eq!(stored_body.as_deref(), Some(body), "repository {n} in a batch with refused writes");
    }

    let twice = [(key(6), rollup(1, 2, "newer")), (key(6), rollup(1, 1, "older"))];
    put(store, &twice).await;
    put(store, &[twice[1].clone(), twice[0].clone()]).await;
    let newest = stored(store, ORG, &key(6)).await;
    assert_eq!(newest, Some(rollup(1, 2, "newer")), "if a call writes a key twice, the newer rollup stays");
}

/// Writes more rollups than any database accepts in one request or statement.
pub(super) async fn check_large_batch<S: RollupStore>(store: &S) {
    let key = |n: i64| key(Subject::Repo(n), Grain::Month, "2024-05-01");
    let ahead: Vec<_> = (0..2_500).step_by(7).map(|n| (key(n), rollup(1, 10 + n as u64, "ahead"))).collect();
    assert_eq!(put(store, &ahead).await, NOTHING_REFUSED, "many new rollups");
    let all: Vec<_> = (0..2_500).map(|n| (key(n), rollup(1, 10, format!("all {n}")))).collect();
    // The first rollup in `ahead` has generation 10 as well, so it is replaced.
    let expected = PutOutcome {
        refused: ahead.len() as u64 - 1,
        newest_generation: ahead[ahead.len() - 1].1.generation,
        newer_logic: false,
    };
    assert_eq!(put(store, &all).await, expected, "every seventh of many is refused");

    let mut listed = store
        .range_of_kind(ORG, SubjectKind::Repo, Grain::Month, day("2024-05-01"), day("2024-06-01"))
        .await
        .expect("range_of_kind");
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(listed.len(), all.len(), "every rollup of a large batch is listed");
    for (n, (listed_key, listed_rollup)) in (0..).zip(listed) {
        let is_ahead = n % 7 == 0 && n > 0;
        let expected =
            if is_ahead { rollup(1, 10 + n as u64, "ahead") } else { rollup(1, 10, format!("all {n}")) };
        assert_eq!((listed_key, listed_rollup), (key(n), expected), "rollup {n} of a large batch");
    }
}

pub(super) async fn check_unusual_bodies<S: RollupStore>(store: &S) {
    let key = key(Subject::Org, Grain::Day, "2024-05-17");
    for (generation, body) in (1..).zip(unusual_bodies()) {
        let unusual = StoredRollup {
            logic: Logic { version: u32::MAX, identity: body.chars().take(40).collect() },
            generation,
            body,
        };
        put(store, &[(key.clone(), unusual.clone())]).await;
        assert_eq!(stored(store, ORG, &key).await, Some(unusual), "a rollup is read as it was written");
    }
}

/// Many writers of the same keys write every generation, each in its own order.
pub(super) async fn check_concurrent_writers<S: RollupStore + 'static>(store: S) {
    const NEWEST: u64 = 8;
    let store = Arc::new(store);
    let keys: Arc<Vec<_>> =
        Arc::new((1..=5).map(|n| key(Subject::Repo(n), Grain::Day, "2024-05-17")).collect());
    run_concurrently((0..8).map(|task| {
        let (store, keys) = (Arc::clone(&store), Arc::clone(&keys));
        async move {
            for generation in shuffled(NEWEST, task) {
                let new = |key: &RollupKey| (key.clone(), rollup(1, generation, generation.to_string()));
                let outcome = put(&*store, &keys.iter().map(new).collect::<Vec<_>>()).await;
                assert!(
                    outcome.refused == 0 || outcome.newest_generation > generation,
                    "{outcome:?} refused generation {generation} but has no newer one"
                );
                for key in &*keys {
                    let current = stored(&*store, ORG, key).await.expect("a rollup after its put");
                    assert!(
                        current.generation >= generation,
                        "generation {} is stored after a put of {generation}",
                        current.generation
                    );
                }
            }
        }
    }))
    .await;
    for key in &*keys {
        let newest = stored(&*store, ORG, key).await;
        let expected = rollup(1, NEWEST, NEWEST.to_string());
        assert_eq!(newest, Some(expected), "the newest rollup stays after concurrent writes");
    }
}
