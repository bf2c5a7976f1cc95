//! Checks of deleting items and markers.

use std::collections::BTreeSet;

use gam_model::WeekOfMonth;

use super::{EPOCH, NEIGHBOURS, ORG, ORG_OTHER_CASE, OTHER_EPOCHS, item, month, put, stored};
use crate::head::Epoch;
use crate::keys::{ItemClass, ItemKey, Subject, SubjectKind};
use crate::port::{FoldScope, RollupStore};

pub(super) async fn check_items<S: RollupStore>(store: &S) {
    let may = month("2024-05");
    let days = |n| ItemKey::new(ItemClass::Days(Subject::Repo(n)), may);
    let week = |n| ItemKey::breakdown(Subject::Repo(n), may, WeekOfMonth::FIRST);
    let list = ItemKey::new(ItemClass::List(SubjectKind::Repo), may);
    let other_month = ItemKey::new(ItemClass::Days(Subject::Repo(1)), month("2024-06"));
    let mut keys: Vec<_> = (1..=130).flat_map(|n| [days(n), week(n)]).collect();
    keys.extend([list.clone(), other_month.clone()]);
    // Some are so large that an adapter stores them in parts.
    let body = |n: usize| if n.is_multiple_of(100) { vec![n as u8; 800_000] } else { vec![n as u8; 5] };
    let items: Vec<_> = keys.iter().enumerate().map(|(n, key)| (key.clone(), item(9, body(n)))).collect();
    put(store, ORG, EPOCH, &items).await;
    put(store, ORG, OTHER_EPOCHS[0], &items).await;
    put(store, NEIGHBOURS[0], EPOCH, &items[..1]).await;

    for (epoch, expected) in [(EPOCH, keys.len()), (OTHER_EPOCHS[0], keys.len()), (OTHER_EPOCHS[1], 0)] {
        let listed = listed_keys(store, epoch).await;
        assert_eq!(listed.len(), expected, "all items of epoch {epoch:?} are listed once");
        assert!(expected == 0 || listed.iter().eq(keys.iter().collect::<BTreeSet<_>>()), "by their keys");
    }

    store.delete(ORG, EPOCH, &[]).await.expect("delete");
    let absent = [days(1_000), ItemKey::new(ItemClass::Days(Subject::Repo(1)), month("2023-05"))];
    store.delete(ORG, EPOCH, &absent).await.expect("delete of items that do not exist");
    assert_eq!(count(store, EPOCH, &keys).await, keys.len(), "nothing is deleted but what was named");

    let mut deleted: Vec<_> =
        keys.iter().filter(|key| **key != other_month && **key != week(2)).cloned().collect();
    // A key that is named twice, and one that does not exist.
    deleted.extend([days(1), days(1_000)]);
    store.delete(ORG_OTHER_CASE, EPOCH, &deleted).await.expect("delete");
    store.delete(ORG, EPOCH, &deleted).await.expect("delete again");
    assert_eq!(count(store, EPOCH, &keys).await, 2, "everything is deleted that was named");
    assert_eq!(listed_keys(store, EPOCH).await, sorted(vec![other_month.clone(), week(2)]), "two are left");
    for key in [&other_month, &week(2)] {
        let n = keys.iter().position(|of| of == key).expect("a written key");
        assert_eq!(stored(store, ORG, EPOCH, key).await, Some(item(9, body(n))), "{key:?} was not named");
    }
    assert_eq!(count(store, OTHER_EPOCHS[0], &keys).await, keys.len(), "items of another epoch stay");
    let neighbour = stored(store, NEIGHBOURS[0], EPOCH, &keys[0]).await;
    assert_eq!(neighbour, Some(item(9, body(0))), "an item of another organization stays");

    let outcome = put(store, ORG, EPOCH, &[(days(1), item(1, "again"))]).await;
    assert_eq!(outcome.refused, 0, "a deleted item has no generation");
    assert_eq!(stored(store, ORG, EPOCH, &days(1)).await, Some(item(1, "again")), "a write after a deletion");
    assert_eq!(stored(store, ORG, EPOCH, &days(3)).await, None, "a write brings no other deleted item back");
}

fn sorted(mut keys: Vec<ItemKey>) -> Vec<ItemKey> {
    keys.sort();
    keys
}

/// Returns the keys of all items of an epoch, in order.
async fn listed_keys<S: RollupStore>(store: &S, epoch: Epoch) -> Vec<ItemKey> {
    sorted(store.item_keys(ORG_OTHER_CASE, epoch).await.expect("item_keys"))
}

/// Returns the number of the keys that have an item.
async fn count<S: RollupStore>(store: &S, epoch: Epoch, keys: &[ItemKey]) -> usize {
    store.get(ORG, epoch, keys).await.expect("get").len()
}

pub(super) async fn check_markers<S: RollupStore>(store: &S) {
    let months = ["2024-04", "2024-05", "2024-06"].map(month);
    for (org, epoch) in [(ORG, EPOCH), (ORG, OTHER_EPOCHS[1]), (NEIGHBOURS[0], EPOCH)] {
        for month in months {
            store.advance(org, epoch, month, 3, FoldScope::Month).await.expect("advance");
        }
    }
    let listed = async |org, epoch| {
        let markers = store.markers(org, epoch).await.expect("markers");
        markers.into_iter().map(|marker| marker.month).collect::<Vec<_>>()
    };
    store.delete_markers(ORG, EPOCH, &[]).await.expect("delete_markers");
    store
        .delete_markers(ORG, EPOCH, &[month("2020-01")])
        .await
        .expect("delete of a marker that does not exist");
    assert_eq!(listed(ORG, EPOCH).await, months, "no marker is deleted but what was named");
    let named = [months[0], months[2], months[2], month("2020-01")];
    store.delete_markers(ORG_OTHER_CASE, EPOCH, &named).await.expect("delete_markers");
    assert_eq!(listed(ORG, EPOCH).await, [months[1]], "the markers that were named are deleted");
    assert_eq!(store.marker(ORG, EPOCH, months[0]).await.expect("marker"), None, "a deleted marker");
    assert_eq!(listed(ORG, OTHER_EPOCHS[1]).await, months, "the markers of another epoch stay");
    assert_eq!(listed(NEIGHBOURS[0], EPOCH).await, months, "the markers of another organization stay");
    let many: Vec<_> = (1970..2090).map(|year| month(&format!("{year}-01"))).collect();
    for month in &many {
        store.advance(ORG, EPOCH, *month, 1, FoldScope::Month).await.expect("advance");
    }
    store.delete_markers(ORG, EPOCH, &many).await.expect("delete of many markers");
    assert_eq!(listed(ORG, EPOCH).await, [months[1]], "many markers are deleted");
}
