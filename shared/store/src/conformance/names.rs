//! The registry of names.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{NEIGHBOURS, ODD_NAMES, ORG, ORG_SPELLED_OTHERWISE, at_once, logic, month, shuffled};
use crate::port::{FoldScope, NameEntry, NameKind, NameStore, RollupStore};

fn entry(kind: NameKind, id: i64, name: &str, as_of_us: i64) -> NameEntry {
    let as_of: DateTime<Utc> = DateTime::from_timestamp_micros(as_of_us).expect("a time");
    NameEntry { kind, id, name: name.to_owned(), as_of }
}

async fn put<S: NameStore>(store: &S, org: &str, entries: &[NameEntry]) {
    store.put_names(org, entries).await.expect("put_names");
}

async fn names<S: RollupStore + NameStore>(store: &S, kind: NameKind) -> Vec<NameEntry> {
    store.names(ORG, kind).await.expect("names")
}

pub(super) async fn keep_the_newest<S: RollupStore + NameStore>(store: &S) {
    assert_eq!(names(store, NameKind::Repo).await, [], "an empty store");
    put(store, ORG, &[]).await;

    // Every order of three: the newest wins, and of the equally new the one with the greater name.
    let repo = |id, name, as_of_us| entry(NameKind::Repo, id, name, as_of_us);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut expected = Vec::new();
    for (id, order) in (5_000_000_000..).zip(orders) {
        let three = [repo(id, "zeta", 1_000_000), repo(id, "Beta", 2_000_000), repo(id, "beta", 2_000_000)];
        expected.push(three[2].clone());
        if id % 2 == 0 {
            put(store, ORG, &order.map(|n| three[n].clone())).await;
        } else {
            for n in order {
                put(store, ORG_SPELLED_OTHERWISE, &[three[n].clone()]).await;
            }
        }
    }
    assert_eq!(names(store, NameKind::Repo).await, expected, "the newest name in every order");

    // Whole milliseconds are kept and compared: here the earlier microsecond has the greater name.
    put(store, ORG, &[repo(10, "b", 7_000_100), repo(10, "a", 7_000_900)]).await;
    put(store, ORG, &[repo(9, "nine", -1_000), repo(100, "hundred", 1_700_000_000_123_000)]).await;
    let low =
        [repo(9, "nine", -1_000), repo(10, "b", 7_000_000), repo(100, "hundred", 1_700_000_000_123_000)];
    assert_eq!(names(store, NameKind::Repo).await[..3], low, "names ordered by id, times in milliseconds");

    for org in NEIGHBOURS {
        put(store, org, &[entry(NameKind::Member, 1, org, 9_000_000)]).await;
    }
    assert_eq!(names(store, NameKind::Member).await, [], "a kind, and other organizations, are kept apart");
    let odd: Vec<_> =
        (1..).zip(ODD_NAMES).map(|(id, name)| entry(NameKind::Member, id, name, 1_000_000)).collect();
    put(store, ORG, &odd).await;
    assert_eq!(names(store, NameKind::Member).await, odd, "odd names come back as they were written");
    assert_eq!(names(store, NameKind::Repo).await.len(), expected.len() + 3, "other kinds stay as they were");
}

pub(super) async fn spell_organizations<S: RollupStore + NameStore>(store: &S) {
    let orgs = async || store.orgs().await.expect("orgs");
    assert_eq!(orgs().await, [""; 0], "an empty store");
    put(store, "Zeta-Org", &[entry(NameKind::Repo, 1, "repo", 1_000_000)]).await;
    assert_eq!(orgs().await, ["zeta-org"], "in lower case until its spelling is known");
    store.advance("Beta", month("2024-05"), &logic(1), 1, FoldScope::Month).await.expect("advance");
    assert_eq!(orgs().await, ["beta", "zeta-org"], "a marker suffices");
    put(store, "zeta-org", &[entry(NameKind::Org, 0, "ZETA-Org", 1_000_000)]).await;
    put(
        store,
        "ACME",
        &[entry(NameKind::Org, 0, "acme", 2_000_000), entry(NameKind::Org, 0, "Acme", 3_000_000)],
    )
    .await;
    put(store, "acme", &[entry(NameKind::Org, 0, "aCME", 1_000_000)]).await;
    store.advance("acme", month("2024-05"), &logic(1), 1, FoldScope::Month).await.expect("advance");
    store.advance("acme", month("2024-06"), &logic(1), 1, FoldScope::Month).await.expect("advance");
    assert_eq!(orgs().await, ["Acme", "beta", "ZETA-Org"], "each once, as last spelled, whatever the case");
}

pub(super) async fn race<S: RollupStore + NameStore + 'static>(store: S) {
    const NEWEST: u64 = 8;
    let named = |id, n: u64| entry(NameKind::Repo, id, &format!("name-{n}"), n as i64 * 1_000);
    let store = Arc::new(store);
    at_once((0..6).map(|task| {
        let store = Arc::clone(&store);
        async move {
            for n in shuffled(NEWEST, task) {
                put(&*store, ORG, &[named(1, n), named(2, n)]).await;
            }
        }
    }))
    .await;
    let expected = [named(1, NEWEST), named(2, NEWEST)];
    assert_eq!(names(&*store, NameKind::Repo).await, expected, "the newest names stay after a race");
}
