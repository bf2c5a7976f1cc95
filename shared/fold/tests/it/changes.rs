//! Folding what changed events affect gives the same items as folding the complete month. Aggregation relies on this.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use gam_fold::{COMMON_CLASSES, CommonItems, fold, fold_changes};
use gam_model::{Event, Identity, ItemClass, ItemKey};
use proptest::prelude::*;

use crate::support::{any_events, any_identity, fold_items, hour, january, rows};

type StoredItems = BTreeMap<ItemKey, Vec<u8>>;

fn stored_items(events: &[Event], identity: &Identity) -> StoredItems {
    fold(january(), &rows(events), identity).unwrap().items().into_iter().collect()
}

/// Returns the items that all events affect.
fn common(items: &StoredItems) -> CommonItems {
    let keys = COMMON_CLASSES.map(|class| ItemKey::new(class, january()));
    CommonItems::decode(keys.each_ref().map(|key| items.get(key).map_or(&[][..], Vec::as_slice))).unwrap()
}

/// Replaces the items that a change affects, as a store does. Returns all that are not empty.
fn changed_items(
    mut items: StoredItems,
    after: &[Event],
    changed: &[Event],
    uses_before: bool,
    identity: &Identity,
) -> StoredItems {
    let before = uses_before.then(|| common(&items));
    // Several batches, so that commits of one SHA lie in different ones.
    let batches: Vec<RecordBatch> =
        rows(after).iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1))).collect();
    let affected = fold_changes(january(), &batches[..], changed, before, identity).unwrap();
    let is_list = |key: &ItemKey| matches!(key.class, ItemClass::List(_));
    assert!(
        affected.is_sorted_by(|a, b| (!is_list(&a.0), &a.0) < (!is_list(&b.0), &b.0)),
        "lists come first"
    );
    items.extend(affected);
    items.retain(|_, body| !body.is_empty());
    items
}

/// What happens to an event of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It stays.
    None,
    /// It is added.
    Add,
    /// It is retracted.
    Retract,
    /// It moves to another day and member.
    Replace,
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::None),
        1 => Just(Change::Add),
        1 => Just(Change::Retract),
        1 => Just(Change::Replace),
    ]
}

/// Returns the event after the change.
fn after_change(event: &Event, change: Change) -> Event {
    let mut after = event.clone();
    match change {
        Change::None | Change::Add => {}
        Change::Retract => after.retracted = true,
        Change::Replace => {
            after.member.name = "cy".into();
            after.occurred_at = hour(24 * (event.occurred_at.timestamp() / 3_600 % 31));
            after.facts.additions = None;
        }
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn changed_items_equal_the_complete_fold(
        events in any_events(24),
        changes in prop::collection::vec(any_change(), 24),
        identity in any_identity(),
    ) {
        let events: Vec<(&Event, Change)> = events.iter().zip(changes).collect();
        let before: Vec<Event> =
            events.iter().filter(|(_, change)| *change != Change::Add).map(|(event, _)| (*event).clone()).collect();
        let after: Vec<Event> = events.iter().map(|(event, change)| after_change(event, *change)).collect();
        let changed = events.iter().zip(&after).filter(|((_, change), _)| *change != Change::None);
        let changed: Vec<Event> = changed
            .flat_map(|((event, change), after)| {
                let loser = (*change != Change::Add).then(|| (*event).clone());
                std::iter::once(after.clone()).chain(loser)
            })
            .collect();
        let stored = stored_items(&before, &identity);
        let expected = stored_items(&after, &identity);
        for uses_before in [true, false] {
            let items = changed_items(stored.clone(), &after, &changed, uses_before, &identity);
            prop_assert_eq!(&items, &expected, "with the items before: {}", uses_before);
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(events in any_events(32), identity in any_identity()) {
        let reversed: Vec<RecordBatch> =
            events.iter().rev().flat_map(|event| rows(std::slice::from_ref(event))).collect();
        prop_assert_eq!(fold_items(&rows(&events), &identity), fold_items(&reversed, &identity));
    }
}

#[test]
fn a_change_of_a_few_rows_keeps_all_other_entries() {
    let at = |number: i64| hour(number * 7 % 744);
    let commit = |number: i64| {
        crate::support::commit(
            1 + number % 5,
            &format!("{number:040x}"),
            &format!("m{}", number % 11),
            at(number),
        )
    };
    let after: Vec<Event> = (0..200).map(commit).collect();
    let identity = Identity::default();
    let stored = stored_items(&after[..199], &identity);
    let affected =
        fold_changes(january(), &rows(&after)[..], &after[199..], Some(common(&stored)), &identity);
    // Three common items, and the days and a week of a repository and a member.
    assert_eq!(affected.unwrap().len(), 7);
    let items = changed_items(stored, &after, &after[199..], true, &identity);
    assert_eq!(items, stored_items(&after, &identity));
}
