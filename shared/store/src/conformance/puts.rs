//! Guarded writes.

use std::sync::Arc;

use gam_model::Grain;

use super::{ORG, at_once, day, key, odd_bodies, rollup, shuffled, stored};
use crate::keys::{RollupKey, Subject, SubjectKind};
use crate::port::{Logic, PutOutcome, RollupStore, StoredRollup};

const NOTHING_REFUSED: PutOutcome = PutOutcome { refused: 0, newest_generation: 0, newer_logic: false };

async fn put<S: RollupStore>(store: &S, rollups: &[(RollupKey, StoredRollup)]) -> PutOutcome {
    store.put(ORG, rollups).await.expect("put")
}

pub(super) async fn are_guarded<S: RollupStore>(store: &S) {
    let refused = |newest_generation, newer_logic| PutOutcome { refused: 1, newest_generation, newer_logic };
    let other_identity = StoredRollup {
        logic: Logic { version: 1, identity: "another".to_owned() },
        ..rollup(1, 3, "other identity")
    };
    let steps = [
        ("the first write is taken", rollup(1, 3, "a"), NOTHING_REFUSED),
        ("the same once more is taken", rollup(1, 3, "a"), NOTHING_REFUSED),
        ("the same generation replaces", rollup(1, 3, "b"), NOTHING_REFUSED),
        ("so it does under another identity", other_identity, NOTHING_REFUSED),
        ("a newer generation replaces", rollup(1, 5, "c"), NOTHING_REFUSED),
        ("a newer generation is taken with the same content", rollup(1, 6, "c"), NOTHING_REFUSED),
        ("an older generation is refused", rollup(1, 5, "d"), refused(6, false)),
        ("a much older one too", rollup(1, 0, "e"), refused(6, false)),
        ("newer logic does not excuse an older generation", rollup(2, 5, "f"), refused(6, false)),
        ("newer logic replaces at the same generation", rollup(2, 6, "g"), NOTHING_REFUSED),
        ("older logic is refused at the same generation", rollup(1, 6, "h"), refused(6, true)),
        ("older logic is refused at a newer generation", rollup(1, 9, "i"), refused(6, true)),
        ("older logic is refused at an older generation", rollup(1, 2, "j"), refused(6, true)),
        ("newer logic replaces at a newer generation", rollup(3, 8, "k"), NOTHING_REFUSED),
        ("a generation beyond 32 bits is taken", rollup(3, 1 << 40, "l"), NOTHING_REFUSED),
        ("numbers are not compared as text", rollup(10, 10 << 40, "m"), NOTHING_REFUSED),
        ("nor here", rollup(9, 9 << 40, "n"), refused(10 << 40, true)),
    ];
    let key = key(Subject::member("ann"), Grain::Day, "2024-05-17");
    let mut kept = None;
    for (rule, new, outcome) in steps {
        assert_eq!(put(store, &[(key.clone(), new.clone())]).await, outcome, "put: {rule}");
        if outcome == NOTHING_REFUSED {
            kept = Some(new);
        }
        assert_eq!(stored(store, ORG, &key).await, kept, "stored after put: {rule}");
    }
}

pub(super) async fn refuse_one_by_one<S: RollupStore>(store: &S) {
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
    assert_eq!(outcome, expected, "two of five are refused, one by generation and one by logic");
    for (n, body) in [(1, "new 1"), (2, "old"), (3, "old"), (4, "new 4"), (5, "new 5")] {
        let found = stored(store, ORG, &key(n)).await.map(|rollup| rollup.body);
        assert_eq!(found.as_deref(), Some(body), "repository {n} beside refused ones");
    }

    let twice = [(key(6), rollup(1, 2, "newer")), (key(6), rollup(1, 1, "older"))];
    put(store, &twice).await;
    put(store, &[twice[1].clone(), twice[0].clone()]).await;
    let found = stored(store, ORG, &key(6)).await;
    assert_eq!(found, Some(rollup(1, 2, "newer")), "of one key twice in a call the newer stays");
}

/// More rollups than fit into one request or statement of any database.
pub(super) async fn may_be_many<S: RollupStore>(store: &S) {
    let key = |n: i64| key(Subject::Repo(n), Grain::Month, "2024-05-01");
    let ahead: Vec<_> = (0..2_500).step_by(7).map(|n| (key(n), rollup(1, 10 + n as u64, "ahead"))).collect();
    assert_eq!(put(store, &ahead).await, NOTHING_REFUSED, "many new ones");
    let all: Vec<_> = (0..2_500).map(|n| (key(n), rollup(1, 10, format!("all {n}")))).collect();
    // The first one ahead is of generation 10 as well, and gives way.
    let expected = PutOutcome {
        refused: ahead.len() as u64 - 1,
        newest_generation: ahead[ahead.len() - 1].1.generation,
        newer_logic: false,
    };
    assert_eq!(put(store, &all).await, expected, "every seventh of many is refused");

    let mut found = store
        .range_of_kind(ORG, SubjectKind::Repo, Grain::Month, day("2024-05-01"), day("2024-06-01"))
        .await
        .expect("across");
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), all.len(), "all of many are there");
    for (n, (found_key, found)) in (0..).zip(found) {
        let kept = n % 7 == 0 && n > 0;
        let expected =
            if kept { rollup(1, 10 + n as u64, "ahead") } else { rollup(1, 10, format!("all {n}")) };
        assert_eq!((found_key, found), (key(n), expected), "one of many");
    }
}

pub(super) async fn keep_odd_bodies<S: RollupStore>(store: &S) {
    let key = key(Subject::Org, Grain::Day, "2024-05-17");
    for (generation, body) in (1..).zip(odd_bodies()) {
        let odd = StoredRollup {
            logic: Logic { version: u32::MAX, identity: body.chars().take(40).collect() },
            generation,
            body,
        };
        put(store, &[(key.clone(), odd.clone())]).await;
        assert_eq!(stored(store, ORG, &key).await, Some(odd), "a rollup comes back as it was written");
    }
}

/// Many writers of the same keys, each with every generation in an order of its own.
pub(super) async fn race<S: RollupStore + 'static>(store: S) {
    const NEWEST: u64 = 8;
    let store = Arc::new(store);
    let keys: Arc<Vec<_>> =
        Arc::new((1..=5).map(|n| key(Subject::Repo(n), Grain::Day, "2024-05-17")).collect());
    at_once((0..8).map(|task| {
        let (store, keys) = (Arc::clone(&store), Arc::clone(&keys));
        async move {
            for generation in shuffled(NEWEST, task) {
                let new = |key: &RollupKey| (key.clone(), rollup(1, generation, generation.to_string()));
                let outcome = put(&*store, &keys.iter().map(new).collect::<Vec<_>>()).await;
                assert!(
                    outcome.refused == 0 || outcome.newest_generation > generation,
                    "{outcome:?} names no newer generation than the {generation} it refused"
                );
                for key in &*keys {
                    let found = stored(&*store, ORG, key).await.expect("a rollup after its put");
                    assert!(
                        found.generation >= generation,
                        "generation {} is stored after a put of {generation}",
                        found.generation
                    );
                }
            }
        }
    }))
    .await;
    for key in &*keys {
        let found = stored(&*store, ORG, key).await;
        assert_eq!(found, Some(rollup(1, NEWEST, NEWEST.to_string())), "the newest stays after a race");
    }
}
