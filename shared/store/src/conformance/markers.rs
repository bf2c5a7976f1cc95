//! Checks of markers.

use std::sync::Arc;

use super::{EPOCH, NEIGHBOURS, ORG, ORG_OTHER_CASE, OTHER_EPOCHS, month, run_concurrently, shuffled};
use crate::port::{AdvanceOutcome, FoldScope, Marker, RollupStore};

pub(super) async fn check_advance<S: RollupStore>(store: &S) {
    let may = month("2024-05");
    let steps = [
        ("a partial fold of a month without a marker", 1, FoldScope::Affected),
        ("a full fold of a month without a marker, at any generation", 4, FoldScope::Month),
        ("the same full fold again", 4, FoldScope::Month),
        ("a partial fold at the same generation", 4, FoldScope::Affected),
        ("a partial fold at the next generation, which keeps the floor", 5, FoldScope::Affected),
        ("the same partial fold again", 5, FoldScope::Affected),
        ("a partial fold that skips a generation", 7, FoldScope::Affected),
        ("a partial fold of an older generation", 4, FoldScope::Affected),
        ("a full fold of an older generation", 4, FoldScope::Month),
        ("a full fold at the same generation, which raises the floor", 5, FoldScope::Month),
        ("a full fold that skips generations", 9, FoldScope::Month),
        ("a full fold at a generation beyond 32 bits", 9 << 40, FoldScope::Month),
        ("a greater number, which is smaller as text", 10 << 40, FoldScope::Month),
        ("a smaller number, which is greater as text", 9 << 40, FoldScope::Month),
    ];
    let mut expected: Option<Marker> = None;
    for (step, generation, scope) in steps {
        let next = Marker::advanced(expected.as_ref(), may, generation, scope);
        let outcome = store.advance(ORG, EPOCH, may, generation, scope).await.expect("advance");
        let allowed = if next.is_some() { AdvanceOutcome::Advanced } else { AdvanceOutcome::Refused };
        assert_eq!(outcome, allowed, "advance: {step}");
        expected = next.or(expected);
        assert_eq!(store.marker(ORG, EPOCH, may).await.expect("marker"), expected, "marker after {step}");
    }
    for epoch in OTHER_EPOCHS {
        let partial = store.advance(ORG, epoch, may, 11 << 40, FoldScope::Affected).await.expect("advance");
        assert_eq!(partial, AdvanceOutcome::Refused, "the month has no marker in {epoch:?}");
        let full = store.advance(ORG, epoch, may, 2, FoldScope::Month).await.expect("advance");
        assert_eq!(full, AdvanceOutcome::Advanced, "the first full fold in {epoch:?}");
        let marker = Marker { month: may, generation: 2, floor: 2 };
        assert_eq!(store.marker(ORG, epoch, may).await.expect("marker"), Some(marker), "in {epoch:?}");
    }
    let own = store.marker(ORG, EPOCH, may).await.expect("marker");
    assert_eq!(own, expected, "a marker does not move with those of other epochs");
}

pub(super) async fn check_listing<S: RollupStore>(store: &S) {
    let markers = async |org, epoch| store.markers(org, epoch).await.expect("markers");
    assert_eq!(markers(ORG, EPOCH).await, [], "markers of an empty store");
    let absent = store.marker(ORG, EPOCH, month("2024-05")).await.expect("marker");
    assert_eq!(absent, None, "marker of an empty store");
    let neighbours = NEIGHBOURS.map(|org| (org, EPOCH));
    for (org, epoch) in neighbours.into_iter().chain(OTHER_EPOCHS.map(|epoch| (ORG, epoch))) {
        let first = store.advance(org, epoch, month("2024-05"), 77, FoldScope::Month).await.expect("advance");
        assert_eq!(first, AdvanceOutcome::Advanced, "the first marker of {org} in {epoch:?}");
    }
    for (text, generation) in [("2024-10", 3), ("2024-02", 1), ("1999-12", 2), ("2023-11", 5)] {
        store
            .advance(ORG_OTHER_CASE, EPOCH, month(text), generation, FoldScope::Month)
            .await
            .expect("advance");
    }
    let expected = [("1999-12", 2), ("2023-11", 5), ("2024-02", 1), ("2024-10", 3)]
        .map(|(text, generation)| Marker { month: month(text), generation, floor: generation });
    assert_eq!(markers(ORG, EPOCH).await, expected, "the organization's markers of the epoch, in order");
    let absent = store.marker(ORG, EPOCH, month("2024-05")).await.expect("marker");
    assert_eq!(absent, None, "the marker of another organization or epoch");
    for epoch in OTHER_EPOCHS {
        let marker = Marker { month: month("2024-05"), generation: 77, floor: 77 };
        assert_eq!(markers(ORG, epoch).await, [marker], "the markers of {epoch:?}");
    }
}

/// Many tasks advance one marker. Whatever their order, only legal steps may succeed.
pub(super) async fn check_concurrent_advances<S: RollupStore + 'static>(store: S) {
    let (store, may) = (Arc::new(store), month("2024-05"));
    let first = store.advance(ORG, EPOCH, may, 1, FoldScope::Month).await.expect("advance");
    assert_eq!(first, AdvanceOutcome::Advanced, "the first full fold");

    let steps = run_concurrently((0..8).map(|task| {
        let store = Arc::clone(&store);
        async move {
            let mut advanced = Vec::new();
            for generation in shuffled(10, task) {
                let full = (generation + task) % 5 == 0;
                let scope = if full { FoldScope::Month } else { FoldScope::Affected };
                let outcome = store.advance(ORG, EPOCH, may, generation, scope).await.expect("advance");
                if outcome == AdvanceOutcome::Refused {
                    continue;
                }
                advanced.push((generation, full));
                let now = store.marker(ORG, EPOCH, may).await.expect("marker").expect("a marker");
                assert!(
                    now.generation >= generation,
                    "the marker {now:?} is behind an advance to {generation}"
                );
            }
            advanced
        }
    }))
    .await;

    let mut advanced = steps.concat();
    advanced.push((1, true));
    for &(generation, full) in &advanced {
        let precedes = |&&(g, _): &&(u64, bool)| g + 1 == generation || g == generation;
        // A step also precedes itself.
        assert!(
            full || advanced.iter().filter(precedes).count() > 1,
            "a partial fold at {generation} succeeded without a fold that it continues: {advanced:?}"
        );
    }
    let marker = store.marker(ORG, EPOCH, may).await.expect("marker").expect("a marker after a race");
    let newest = advanced.iter().map(|step| step.0).max();
    assert_eq!(Some(marker.generation), newest, "the newest generation stays: {advanced:?}");
    let floor = advanced.iter().filter(|step| step.1).map(|step| step.0).max();
    assert_eq!(Some(marker.floor), floor, "the floor is the newest full fold: {advanced:?}");
}
