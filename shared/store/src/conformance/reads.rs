//! Checks of reads: ranges of a class, and many keys at once.

use std::collections::BTreeMap;

use gam_model::{Month, WeekOfMonth};

use super::{EPOCH, NEIGHBOURS, ORG, ORG_OTHER_CASE, OTHER_EPOCHS, UNUSUAL_NAMES, item, month, put, stored};
use crate::head::Epoch;
use crate::keys::{ItemClass, ItemKey, Subject, SubjectKind};
use crate::port::{RollupStore, StoredItem};

/// Writes items whose bodies name their organization, epoch and key.
async fn put_keys<S: RollupStore>(store: &S, org: &str, epoch: Epoch, keys: &[ItemKey]) {
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), named_after(org, epoch, key))).collect();
    assert_eq!(put(store, org, epoch, &items).await.refused, 0, "nothing newer is stored");
}

fn named_after(org: &str, epoch: Epoch, key: &ItemKey) -> StoredItem {
    item(1, format!("{org} {epoch:?} {key:?}"))
}

/// Returns the keys in a range of [`EPOCH`], after checking that each body belongs to its key.
async fn keys_in<S: RollupStore>(store: &S, class: &ItemClass, first: Month, last: Month) -> Vec<ItemKey> {
    let items = store.range(ORG, EPOCH, class, first, last).await.expect("range");
    for (key, item) in &items {
        assert_eq!(*item, named_after(ORG, EPOCH, key), "the body of {key:?}");
    }
    items.into_iter().map(|(key, _)| key).collect()
}

fn first_and_last_month() -> (Month, Month) {
    (Month::of(gam_model::period::FIRST_DAY), Month::of(gam_model::period::LAST_DAY))
}

pub(super) async fn check_bounds<S: RollupStore>(store: &S) {
    let class = ItemClass::Days(Subject::member("ann"));
    let (first, last) = first_and_last_month();
    assert_eq!(keys_in(store, &class, first, last).await, [], "an empty store");

    let months = ["1999-12", "2023-12", "2024-01", "2024-02", "2024-10", "2025-01"].map(month);
    let keys = months.map(|month| ItemKey::new(class.clone(), month));
    let mut reversed = keys.to_vec();
    reversed.reverse();
    put_keys(store, ORG, EPOCH, &reversed).await;
    for (from, to, expected, rule) in [
        (first, last, &keys[..], "every month, in order"),
        (months[2], months[4], &keys[2..5], "a range includes its first and its last month"),
        (month("2024-03"), month("2024-09"), &[], "a range between two items"),
        (month("2024-03"), month("2024-12"), &keys[4..5], "bounds without items"),
        (months[3], months[3], &keys[3..4], "a range of one month"),
        (months[4], months[3], &[], "an inverted range"),
        (month("2025-02"), last, &[], "a range after the last item"),
        (first, month("1999-11"), &[], "a range before the first item"),
    ] {
        assert_eq!(keys_in(store, &class, from, to).await, expected, "{rule}");
    }
}

pub(super) async fn check_weeks<S: RollupStore>(store: &S) {
    let class = ItemClass::Breakdown(Subject::Repo(42));
    let months = ["2023-12", "2024-01", "2024-02", "2024-03"].map(month);
    let week = |month, n| ItemKey::breakdown(Subject::Repo(42), month, WeekOfMonth::new(n).expect("a week"));
    // February has no second week.
    let weeks = |month| (0..5).filter(move |n| month != months[2] || *n != 1).map(move |n| week(month, n));
    let keys: Vec<_> = months.into_iter().flat_map(weeks).collect();
    let mut shuffled = keys.clone();
    shuffled.rotate_left(7);
    shuffled.reverse();
    put_keys(store, ORG, EPOCH, &shuffled).await;
    let (first, last) = first_and_last_month();
    assert_eq!(keys_in(store, &class, first, last).await, keys, "months and their weeks, in order");
    assert_eq!(
        keys_in(store, &class, months[1], months[2]).await,
        keys[5..14],
        "a range includes every week of its first and its last month"
    );
    assert_eq!(keys_in(store, &class, months[3], months[3]).await, keys[14..], "the weeks of one month");
    for key in &keys {
        assert_eq!(stored(store, ORG, EPOCH, key).await, Some(named_after(ORG, EPOCH, key)), "{key:?}");
    }
    let absent = week(months[2], 1);
    assert_eq!(stored(store, ORG, EPOCH, &absent).await, None, "a week without an item");
}

pub(super) async fn check_classes_are_separate<S: RollupStore>(store: &S) {
    let repos = [1, 12, 123, 2, 9_007_199_254_740_993, i64::MAX].map(Subject::Repo);
    // A member whose name is the id of a repository.
    let members = UNUSUAL_NAMES.into_iter().chain(["12", "repo"]).map(Subject::member);
    let subjects: Vec<_> = [Subject::Org].into_iter().chain(repos).chain(members).collect();
    let mut classes: Vec<_> = SubjectKind::ALL.map(ItemClass::List).to_vec();
    for subject in subjects {
        classes.extend([ItemClass::Days(subject.clone()), ItemClass::Breakdown(subject)]);
    }
    let keys_of =
        |class: &ItemClass| ["2024-01", "2024-02"].map(|text| ItemKey::new(class.clone(), month(text)));
    let all: Vec<_> = classes.iter().flat_map(keys_of).collect();
    put_keys(store, ORG, EPOCH, &all).await;

    let (first, last) = first_and_last_month();
    for class in &classes {
        assert_eq!(keys_in(store, class, first, last).await, keys_of(class), "all items of {class:?}");
        assert_eq!(
            keys_in(store, class, month("2024-02"), last).await,
            keys_of(class)[1..],
            "some items of {class:?}"
        );
    }
    for absent in [
        ItemClass::Days(Subject::Repo(3)),
        ItemClass::Breakdown(Subject::Repo(3)),
        ItemClass::Days(Subject::member("")),
        ItemClass::Days(Subject::member("ann/")),
        ItemClass::Days(Subject::member("ann#days#2024-01")),
    ] {
        assert_eq!(keys_in(store, &absent, first, last).await, [], "{absent:?} has no items");
    }
}

pub(super) async fn check_epochs_are_separate<S: RollupStore>(store: &S) {
    let class = ItemClass::Breakdown(Subject::member("ann"));
    let key = ItemKey::breakdown(Subject::member("ann"), month("2024-01"), WeekOfMonth::FIRST);
    for epoch in OTHER_EPOCHS {
        put_keys(store, ORG, epoch, std::slice::from_ref(&key)).await;
    }
    assert_eq!(stored(store, ORG, EPOCH, &key).await, None, "an item of another epoch");
    put_keys(store, ORG, EPOCH, std::slice::from_ref(&key)).await;
    for epoch in OTHER_EPOCHS.into_iter().chain([EPOCH]) {
        let (first, last) = first_and_last_month();
        let items = store.range(ORG, epoch, &class, first, last).await.expect("range");
        assert_eq!(items, [(key.clone(), named_after(ORG, epoch, &key))], "the items of {epoch:?}");
    }
}

pub(super) async fn check_orgs_are_separate<S: RollupStore>(store: &S) {
    let key = ItemKey::new(ItemClass::Days(Subject::Org), month("2024-01"));
    for org in NEIGHBOURS {
        put_keys(store, org, EPOCH, std::slice::from_ref(&key)).await;
    }
    assert_eq!(stored(store, ORG, EPOCH, &key).await, None, "another organization's item");

    put_keys(store, ORG_OTHER_CASE, EPOCH, std::slice::from_ref(&key)).await;
    let own = named_after(ORG_OTHER_CASE, EPOCH, &key);
    for org in [ORG, ORG_OTHER_CASE] {
        assert_eq!(stored(store, org, EPOCH, &key).await, Some(own.clone()), "the case of the organization");
    }
    let older = put(store, ORG, EPOCH, &[(key.clone(), item(0, "older"))]).await;
    assert_eq!(older.refused, 1, "the guard ignores the case of the organization's login");
    for org in NEIGHBOURS {
        assert_eq!(stored(store, org, EPOCH, &key).await, Some(named_after(org, EPOCH, &key)), "{org}");
    }
}

/// Reads more keys than any database accepts in one request or statement.
pub(super) async fn check_get_of_many_keys<S: RollupStore>(store: &S) {
    let may = month("2024-05");
    assert_eq!(store.get(ORG, EPOCH, &[]).await.expect("get"), [], "no keys");
    let keys_of = |n: i64| {
        let subject = Subject::member(&format!("member-{n}"));
        let week = WeekOfMonth::new((n % 5) as u8).expect("a week");
        [ItemKey::new(ItemClass::Days(subject.clone()), may), ItemKey::breakdown(subject, may, week)]
    };
    let all: Vec<_> = (0..330).flat_map(keys_of).collect();
    assert_eq!(store.get(ORG, EPOCH, &all).await.expect("get"), [], "many keys of an empty store");
    // Every third key has no item.
    let written: Vec<_> =
        all.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, key)| key.clone()).collect();
    put_keys(store, ORG, EPOCH, &written).await;
    put_keys(store, NEIGHBOURS[0], EPOCH, &all[..30]).await;
    let mut requested = all;
    requested.rotate_left(100);
    let read = store.get(ORG, EPOCH, &requested).await.expect("get");
    assert_eq!(read.len(), written.len(), "one item for each key that has one");
    let read: BTreeMap<_, _> = read.into_iter().collect();
    let expected: BTreeMap<_, _> =
        written.iter().map(|key| (key.clone(), named_after(ORG, EPOCH, key))).collect();
    assert_eq!(read, expected, "the items of many keys, without those that do not exist");
}
