//! Checks of guarded writes.

use std::sync::Arc;

use super::{EPOCH, ORG, OTHER_EPOCHS, days_of_repo, item, month, put, run_concurrently, shuffled, stored};
use crate::keys::{ItemClass, ItemKey, Subject};
use crate::port::{PutOutcome, RollupStore, StoredItem};

const NOTHING_REFUSED: PutOutcome = PutOutcome { refused: 0, newest_generation: 0 };

pub(super) async fn check_guard<S: RollupStore>(store: &S) {
    let refused = |newest_generation| PutOutcome { refused: 1, newest_generation };
    let steps = [
        ("the first write is accepted", item(3, "a"), NOTHING_REFUSED),
        ("the same write again is accepted", item(3, "a"), NOTHING_REFUSED),
        ("the same generation replaces", item(3, "b"), NOTHING_REFUSED),
        ("a newer generation replaces", item(5, "c"), NOTHING_REFUSED),
        ("a newer generation with the same content is accepted", item(6, "c"), NOTHING_REFUSED),
        ("an older generation is refused", item(5, "d"), refused(6)),
        ("an older generation with the same content is refused", item(5, "c"), refused(6)),
        ("generation 0 is refused", item(0, "e"), refused(6)),
        ("an empty body replaces", item(7, ""), NOTHING_REFUSED),
        ("an empty body refuses like any other", item(6, "f"), refused(7)),
        ("an older empty body is refused", item(2, ""), refused(7)),
        ("a generation beyond 32 bits is accepted", item(9 << 40, "g"), NOTHING_REFUSED),
        ("greater numbers are compared as numbers, not as text", item(10 << 40, "h"), NOTHING_REFUSED),
        ("smaller numbers are compared as numbers, not as text", item(9 << 40, "i"), refused(10 << 40)),
    ];
    let key = ItemKey::new(ItemClass::Days(Subject::member("ann")), month("2024-05"));
    let mut expected = None;
    for (rule, new, outcome) in steps {
        assert_eq!(put(store, ORG, EPOCH, &[(key.clone(), new.clone())]).await, outcome, "put: {rule}");
        if outcome == NOTHING_REFUSED {
            expected = Some(new);
        }
        assert_eq!(stored(store, ORG, EPOCH, &key).await, expected, "stored after put: {rule}");
    }
    for epoch in OTHER_EPOCHS {
        let outcome = put(store, ORG, epoch, &[(key.clone(), item(1, "other"))]).await;
        assert_eq!(outcome, NOTHING_REFUSED, "the guard does not compare with the item of another epoch");
    }
    assert_eq!(stored(store, ORG, EPOCH, &key).await, expected, "stored after puts in other epochs");
}

pub(super) async fn check_partial_refusal<S: RollupStore>(store: &S) {
    let put = async |items: &[(ItemKey, StoredItem)]| put(store, ORG, EPOCH, items).await;
    assert_eq!(put(&[]).await, NOTHING_REFUSED, "writing nothing");
    let key = days_of_repo;
    put(&[(key(1), item(7, "old")), (key(2), item(9, "old")), (key(3), item(11, "old"))]).await;
    let outcome = put(&(1..=5).map(|n| (key(n), item(8, format!("new {n}")))).collect::<Vec<_>>()).await;
    let expected = PutOutcome { refused: 2, newest_generation: 11 };
    assert_eq!(outcome, expected, "two of five are refused");
    for (n, body) in [(1, "new 1"), (2, "old"), (3, "old"), (4, "new 4"), (5, "new 5")] {
        let stored_body = stored(store, ORG, EPOCH, &key(n)).await.map(|item| item.body);
        let expected = Some(body.as_bytes().to_vec());
        assert_eq!(stored_body, expected, "repository {n} in a batch with refused writes");
    }

    let twice = [(key(6), item(2, "newer")), (key(6), item(1, "older"))];
    put(&twice).await;
    put(&[twice[1].clone(), twice[0].clone()]).await;
    let newest = stored(store, ORG, EPOCH, &key(6)).await;
    assert_eq!(newest, Some(item(2, "newer")), "if a call writes a key twice, the newer item stays");
}

/// Writes more items than any database accepts in one request or statement.
pub(super) async fn check_large_batch<S: RollupStore>(store: &S) {
    const COUNT: u64 = 2_500;
    let key = |n: u64| {
        let year = 1970 + n;
        ItemKey::new(ItemClass::Days(Subject::member("ann")), month(&format!("{year:04}-05")))
    };
    let ahead: Vec<_> = (0..COUNT).step_by(7).map(|n| (key(n), item(10 + n, "ahead"))).collect();
    assert_eq!(put(store, ORG, EPOCH, &ahead).await, NOTHING_REFUSED, "many new items");
    let all: Vec<_> = (0..COUNT).map(|n| (key(n), item(10, format!("all {n}")))).collect();
    // The first item in `ahead` has generation 10 as well, so it is replaced.
    let newest_generation = ahead[ahead.len() - 1].1.generation;
    let expected = PutOutcome { refused: ahead.len() as u64 - 1, newest_generation };
    assert_eq!(put(store, ORG, EPOCH, &all).await, expected, "every seventh of many is refused");

    let class = &all[0].0.class;
    let listed = store.range(ORG, EPOCH, class, month("1970-01"), month("9999-12")).await.expect("range");
    assert_eq!(listed.len(), all.len(), "every item of a large batch is listed");
    for (n, (listed_key, listed_item)) in (0..).zip(listed) {
        let is_ahead = n % 7 == 0 && n > 0;
        let expected = if is_ahead { item(10 + n, "ahead") } else { item(10, format!("all {n}")) };
        assert_eq!((listed_key, listed_item), (key(n), expected), "item {n} of a large batch");
    }
}

/// Many writers of the same keys write every generation, each in its own order.
pub(super) async fn check_concurrent_writers<S: RollupStore + 'static>(store: S) {
    const NEWEST: u64 = 8;
    let store = Arc::new(store);
    let keys: Arc<Vec<_>> = Arc::new((1..=5).map(days_of_repo).collect());
    run_concurrently((0..8).map(|task| {
        let (store, keys) = (Arc::clone(&store), Arc::clone(&keys));
        async move {
            for generation in shuffled(NEWEST, task) {
                let new = |key: &ItemKey| (key.clone(), item(generation, generation.to_string()));
                let items: Vec<_> = keys.iter().map(new).collect();
                let outcome = put(&*store, ORG, EPOCH, &items).await;
                assert!(
                    outcome.refused == 0 || outcome.newest_generation > generation,
                    "{outcome:?} refused generation {generation} but has no newer one"
                );
                let current = store.get(ORG, EPOCH, &keys).await.expect("get");
                assert_eq!(current.len(), keys.len(), "every key has an item after its put");
                for (key, current) in current {
                    assert!(
                        current.generation >= generation,
                        "generation {} of {key:?} is stored after a put of {generation}",
                        current.generation
                    );
                }
            }
        }
    }))
    .await;
    for key in &*keys {
        let newest = stored(&*store, ORG, EPOCH, key).await;
        let expected = item(NEWEST, NEWEST.to_string());
        assert_eq!(newest, Some(expected), "the newest item stays after concurrent writes");
    }
}
