//! Checks of markers.

use std::sync::Arc;

use super::{NEIGHBOURS, ORG, ORG_OTHER_CASE, logic, month, run_concurrently, shuffled};
use crate::port::{AdvanceOutcome, FoldScope, Logic, Marker, RollupStore};

pub(super) async fn check_advance<S: RollupStore>(store: &S) {
    let may = month("2024-05");
    let other = Logic { version: 2, identity: "another".to_owned() };
    let steps = [
        ("a partial fold of a month without a marker", logic(1), 1, FoldScope::Affected),
        ("a full fold of a month without a marker, at any generation", logic(1), 4, FoldScope::Month),
        ("the same full fold again", logic(1), 4, FoldScope::Month),
        ("a partial fold at the same generation", logic(1), 4, FoldScope::Affected),
        ("a partial fold at the next generation, which keeps the floor", logic(1), 5, FoldScope::Affected),
        ("a partial fold that skips a generation", logic(1), 7, FoldScope::Affected),
        ("a partial fold of an older generation", logic(1), 4, FoldScope::Affected),
        ("a full fold of an older generation", logic(1), 4, FoldScope::Month),
        ("a full fold that skips generations, which raises the floor", logic(1), 9, FoldScope::Month),
        ("a partial fold by newer logic", logic(2), 10, FoldScope::Affected),
        ("a full fold by newer logic", logic(2), 9, FoldScope::Month),
        ("a full fold by older logic", logic(1), 10, FoldScope::Month),
        ("a partial fold by another identity", other.clone(), 10, FoldScope::Affected),
        ("a full fold by another identity", other.clone(), 9, FoldScope::Month),
        ("a partial fold by the previous identity", logic(2), 10, FoldScope::Affected),
        ("a partial fold at the next generation again", other, 10, FoldScope::Affected),
        ("a full fold at a generation beyond 32 bits", logic(10), 1 << 40, FoldScope::Month),
    ];
    let mut expected: Option<Marker> = None;
    for (step, logic, generation, scope) in steps {
        let next = Marker::advanced(expected.as_ref(), may, &logic, generation, scope);
        let outcome = store.advance(ORG, may, &logic, generation, scope).await.expect("advance");
        let allowed = if next.is_some() { AdvanceOutcome::Advanced } else { AdvanceOutcome::Refused };
        assert_eq!(outcome, allowed, "advance: {step}");
        expected = next.or(expected);
        assert_eq!(store.marker(ORG, may).await.expect("marker"), expected, "marker after {step}");
    }
}

pub(super) async fn check_listing<S: RollupStore>(store: &S) {
    assert_eq!(store.markers(ORG).await.expect("markers"), [], "markers of an empty store");
    assert_eq!(store.marker(ORG, month("2024-05")).await.expect("marker"), None, "marker of an empty store");
    for org in NEIGHBOURS {
        let outcome =
            store.advance(org, month("2024-05"), &logic(1), 77, FoldScope::Month).await.expect("advance");
        assert_eq!(outcome, AdvanceOutcome::Advanced, "the first marker of {org}");
    }
    for (month, generation) in [("2024-10", 3), ("2024-02", 1), ("1999-12", 2), ("2023-11", 5)].map(dated) {
        store.advance(ORG_OTHER_CASE, month, &logic(1), generation, FoldScope::Month).await.expect("advance");
    }
    let expected = [("1999-12", 2), ("2023-11", 5), ("2024-02", 1), ("2024-10", 3)]
        .map(dated)
        .map(|(month, generation)| Marker { month, logic: logic(1), generation, floor: generation });
    assert_eq!(store.markers(ORG).await.expect("markers"), expected, "the organization's markers, in order");
    let absent = store.marker(ORG, month("2024-05")).await.expect("marker");
    assert_eq!(absent, None, "the marker of another organization");
}

fn dated((text, generation): (&str, u64)) -> (gam_model::Month, u64) {
    (month(text), generation)
}

/// Many tasks advance one marker. Whatever their order, only legal steps may succeed.
pub(super) async fn check_concurrent_advances<S: RollupStore + 'static>(store: S) {
    let (store, may) = (Arc::new(store), month("2024-05"));
    let first = store.advance(ORG, may, &logic(1), 1, FoldScope::Month).await.expect("advance");
    assert_eq!(first, AdvanceOutcome::Advanced, "the first full fold");

    let steps = run_concurrently((0..8).map(|task| {
        let store = Arc::clone(&store);
        async move {
            let version = 1 + task as u32 / 6;
            let mut advanced = Vec::new();
            for generation in shuffled(10, task) {
                let full = (generation + task) % 5 == 0;
                let scope = if full { FoldScope::Month } else { FoldScope::Affected };
                if store.advance(ORG, may, &logic(version), generation, scope).await.expect("advance")
                    == AdvanceOutcome::Refused
                {
                    continue;
                }
                advanced.push((generation, version, full));
                let now = store.marker(ORG, may).await.expect("marker").expect("a marker after an advance");
                assert!(
                    now.generation >= generation && now.logic.version >= version,
                    "the marker {now:?} is behind an advance to {generation} by logic {version}"
                );
            }
            advanced
        }
    }))
    .await;

    let mut advanced = steps.concat();
    advanced.push((1, 1, true));
    for &(generation, version, full) in &advanced {
        let precedes =
            |&(g, v, _): &(u64, u32, bool)| v == version && (g + 1 == generation || g == generation);
        // A step also precedes itself.
        assert!(
            full || advanced.iter().filter(|step| precedes(step)).count() > 1,
            "a partial fold at {generation} succeeded without a fold that it continues: {advanced:?}"
        );
    }
    let marker = store.marker(ORG, may).await.expect("marker").expect("a marker after a race");
    let newest = |of: fn(&(u64, u32, bool)) -> Option<u64>| advanced.iter().filter_map(of).max();
    assert_eq!(
        Some(marker.generation),
        newest(|step| Some(step.0)),
        "the newest generation stays: {advanced:?}"
    );
    assert_eq!(
        Some(u64::from(marker.logic.version)),
        newest(|step| Some(step.1.into())),
        "the newest logic stays: {advanced:?}"
    );
    assert_eq!(
        Some(marker.floor),
        newest(|step| step.2.then_some(step.0)),
        "the floor is the newest full fold: {advanced:?}"
    );
}
