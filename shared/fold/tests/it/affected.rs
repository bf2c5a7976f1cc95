//! An item depends only on the events that affect it. Aggregation relies on this and rewrites no other item.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use gam_fold::{affected_by_shared_commits, affected_keys};
use gam_model::{EventKind, ItemKey};
use proptest::prelude::*;

use crate::support::{any_events, any_identity, fold_items, rows};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_event_changes_only_affected_items(events in any_events(16), identity in any_identity()) {
        let with = fold_items(&rows(&events), &identity).0;
        for (n, event) in events.iter().enumerate() {
            let mut others = events.clone();
            others.remove(n);
            let without = fold_items(&rows(&others), &identity).0;
            let mut affected: BTreeSet<ItemKey> = affected_keys(event, &identity).collect();
            let shas = event.facts.sha.iter().filter(|_| event.kind == EventKind::Commit).cloned().collect();
            affected.extend(affected_by_shared_commits(&rows(&others)[..], &shas, &identity).unwrap());
            for key in with.keys().chain(without.keys()).filter(|key| !affected.contains(*key)) {
                prop_assert_eq!(with.get(key), without.get(key), "{:?} by {:?}", key, event);
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(events in any_events(32), identity in any_identity()) {
        let reversed: Vec<RecordBatch> =
            events.iter().rev().flat_map(|event| rows(std::slice::from_ref(event))).collect();
        prop_assert_eq!(fold_items(&rows(&events), &identity), fold_items(&reversed, &identity));
    }
}
