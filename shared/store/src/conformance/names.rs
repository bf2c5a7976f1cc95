//! Checks of names.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{NEIGHBOURS, ORG, ORG_OTHER_CASE, UNUSUAL_NAMES, run_concurrently, shuffled};
use crate::keys::CheckpointKey;
use crate::port::{CheckpointStore, NameEntry, NameKind, NameStore};

fn entry(kind: NameKind, id: i64, name: &str, as_of_us: i64) -> NameEntry {
    let as_of: DateTime<Utc> = DateTime::from_timestamp_micros(as_of_us).expect("a time");
    NameEntry { kind, id, name: name.to_owned(), as_of }
}

async fn put<S: NameStore>(store: &S, org: &str, entries: &[NameEntry]) {
    store.put_names(org, entries).await.expect("put_names");
}

async fn save_head<S: CheckpointStore>(store: &S, org: &str) {
    store.save(&CheckpointKey::Head(org.to_owned()), "{}", None).await.expect("save");
}

async fn names<S: NameStore>(store: &S, kind: NameKind) -> Vec<NameEntry> {
    store.names(ORG, kind).await.expect("names")
}

pub(super) async fn check_newest_name_stays<S: NameStore>(store: &S) {
    assert_eq!(names(store, NameKind::Repo).await, [], "an empty store");
    put(store, ORG, &[]).await;

    // Three entries in every order: the newest one stays; of two equally new ones, the one with the greater name.
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
                put(store, ORG_OTHER_CASE, &[three[n].clone()]).await;
            }
        }
    }
    assert_eq!(names(store, NameKind::Repo).await, expected, "the newest name in every order");

    // Times are compared in whole milliseconds: the entry of the earlier microsecond has the greater name.
    put(store, ORG, &[repo(10, "b", 7_000_100), repo(10, "a", 7_000_900)]).await;
    put(store, ORG, &[repo(9, "nine", -1_000), repo(100, "hundred", 1_700_000_000_123_000)]).await;
    let low =
        [repo(9, "nine", -1_000), repo(10, "b", 7_000_000), repo(100, "hundred", 1_700_000_000_123_000)];
    assert_eq!(names(store, NameKind::Repo).await[..3], low, "names ordered by id, times in milliseconds");

    for org in NEIGHBOURS {
        put(store, org, &[entry(NameKind::Member, 1, org, 9_000_000)]).await;
    }
    assert_eq!(
        names(store, NameKind::Member).await,
        [],
        "names of another kind and of other organizations are separate"
    );
    let unusual: Vec<_> =
        (1..).zip(UNUSUAL_NAMES).map(|(id, name)| entry(NameKind::Member, id, name, 1_000_000)).collect();
    put(store, ORG, &unusual).await;
    assert_eq!(names(store, NameKind::Member).await, unusual, "unusual names are read as they were written");
    assert_eq!(
        names(store, NameKind::Repo).await.len(),
        expected.len() + 3,
        "names of other kinds do not change"
    );
}

pub(super) async fn check_orgs<S: NameStore + CheckpointStore>(store: &S) {
    let orgs = async || store.orgs().await.expect("orgs");
    assert_eq!(orgs().await, [""; 0], "an empty store");
    put(store, "Zeta-Org", &[entry(NameKind::Repo, 1, "repo", 1_000_000)]).await;
    assert_eq!(orgs().await, ["zeta-org"], "in lower case until the display name is known");
    save_head(store, "Beta").await;
    assert_eq!(orgs().await, ["beta", "zeta-org"], "an organization with only a head is listed");
    put(store, "zeta-org", &[entry(NameKind::Org, 0, "ZETA-Org", 1_000_000)]).await;
    put(
        store,
        "ACME",
        &[entry(NameKind::Org, 0, "acme", 2_000_000), entry(NameKind::Org, 0, "Acme", 3_000_000)],
    )
    .await;
    put(store, "acme", &[entry(NameKind::Org, 0, "aCME", 1_000_000)]).await;
    save_head(store, "acme").await;
    assert_eq!(
        orgs().await,
        ["Acme", "beta", "ZETA-Org"],
        "each organization once, by its latest display name"
    );
    let org = async |name: &str| store.org(name).await.expect("org");
    for (name, expected) in [
        ("aCmE", Some("Acme")),
        ("Beta", Some("beta")),
        ("zeta-org", Some("ZETA-Org")),
        ("acm", None),
        ("acme2", None),
        ("", None),
        ("a' OR 1=1", None),
    ] {
        assert_eq!(org(name).await.as_deref(), expected, "one organization: {name:?}");
    }
}

pub(super) async fn check_concurrent_writers<S: NameStore + 'static>(store: S) {
    const NEWEST: u64 = 8;
    let numbered = |id, n: u64| entry(NameKind::Repo, id, &format!("name-{n}"), n as i64 * 1_000);
    let store = Arc::new(store);
    run_concurrently((0..6).map(|task| {
        let store = Arc::clone(&store);
        async move {
            for n in shuffled(NEWEST, task) {
                put(&*store, ORG, &[numbered(1, n), numbered(2, n)]).await;
            }
        }
    }))
    .await;
    let expected = [numbered(1, NEWEST), numbered(2, NEWEST)];
    assert_eq!(
        names(&*store, NameKind::Repo).await,
        expected,
        "the newest names stay after concurrent writes"
    );
}
