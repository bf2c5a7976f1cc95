//! An organization whose items are made from cells: what a member did in a repository on a day.

pub(crate) mod items;
pub(crate) mod watched_store;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::metric::Metric;
use gam_model::{Clock, Identity, MemberKind, Month, OrgRegistry, Range};
use gam_query::{BotFilter, ListRequest, ListSort, Listing, QueryPorts, SortDirection};
use gam_store::{
    Checkpoint, CheckpointKey, Epoch, EpochRules, FoldScope, Head, Logic, MemoryStore, NameEntry, NameKind,
    NameStore, RollupStore, StoredItem,
};

pub(crate) const ORG: &str = "acme";
/// The repositories: id and name.
pub(crate) const REPOS: [(i64, &str); 3] = [(1, "Site"), (2, "tools"), (3, "docs")];
/// The members: key, display name and kind.
pub(crate) const MEMBERS: [(&str, &str, MemberKind); 4] = [
    ("ann", "Ann", MemberKind::User),
    ("bob", "bob", MemberKind::User),
    ("ci[bot]", "ci[bot]", MemberKind::Bot),
    ("~0123456789ab", "~0123456789ab", MemberKind::Unlinked),
];

/// What a member did in a repository on a day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// The UTC month of the snapshot. In some time zones it has the day before it, or the day after it.
    pub(crate) month: Month,
    pub(crate) date: NaiveDate,
    /// The index in [`MEMBERS`].
    pub(crate) member: usize,
    /// The index in [`REPOS`].
    pub(crate) repo: usize,
    pub(crate) commits: u64,
}

impl Cell {
    /// Creates a cell in the month of its day.
    pub(crate) fn new(date: &str, member: usize, repo: usize, commits: u64) -> Self {
        let date = day(date);
        Cell { month: Month::of(date), date, member, repo, commits }
    }

    pub(crate) fn is_bot(&self) -> bool {
        MEMBERS[self.member].2 == MemberKind::Bot
    }
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

pub(crate) fn range(since: &str, until: &str) -> Range {
    Range::new(day(since), day(until)).expect("a range")
}

pub(crate) fn logic(revision: u32) -> Logic {
    let identity = format!("hash of revision {revision}");
    Logic {
        version: 5,
        revision,
        identity,
        time_zone: "UTC".to_owned(),
        time_zones: "2026a".to_owned(),
        session_retention_days: None,
    }
}

struct FixedClock(DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Returns the ports of queries, with the rollups of `rollups` and everything else of `store`.
pub(crate) fn ports(store: &MemoryStore, rollups: Arc<dyn RollupStore>) -> QueryPorts {
    QueryPorts {
        rollups,
        names: Arc::new(store.clone()),
        checkpoints: Arc::new(store.clone()),
        clock: Arc::new(FixedClock("2024-03-10T12:00:00Z".parse().expect("a time"))),
        identities: Arc::new(Identity::default()),
        registry: Arc::new(OrgRegistry::default()),
    }
}

/// Stores the names of the organization and its repositories.
pub(crate) async fn put_names(store: &MemoryStore) {
    let org = (NameKind::Org, 0, "Acme");
    let repos = REPOS.map(|(id, name)| (NameKind::Repo, id, name));
    let entries = [org].into_iter().chain(repos).map(|(kind, id, name)| NameEntry {
        kind,
        id,
        name: name.to_owned(),
        as_of: DateTime::UNIX_EPOCH,
    });
    store.put_names(ORG, &entries.collect::<Vec<_>>()).await.expect("the names are stored");
}

/// Stores the items of the cells in an epoch, with their markers, at this generation.
pub(crate) async fn put_items(store: &MemoryStore, epoch: Epoch, cells: &[Cell], generation: u64) {
    let months: BTreeSet<Month> = cells.iter().map(|cell| cell.month).collect();
    for month in months {
        let items = items::items_of(month, cells).into_iter();
        let items: Vec<_> = items.map(|(key, body)| (key, StoredItem { generation, body })).collect();
        store.put(ORG, epoch, &items).await.expect("the items are stored");
        store.advance(ORG, epoch, month, generation, FoldScope::Month).await.expect("the marker is set");
    }
}

/// Replaces the head.
pub(crate) async fn set_head(store: &MemoryStore, active: Option<(u64, u32)>, target: Option<(u64, u32)>) {
    let key = CheckpointKey::Head(ORG.to_owned());
    let mut head: Checkpoint<Head> = Checkpoint::load(store, &key).await.expect("the head is loaded");
    let rules = |(epoch, revision)| EpochRules { epoch: Epoch(epoch), logic: logic(revision) };
    head.value = Head { active: active.map(rules), target: target.map(rules), retired: Vec::new() };
    assert!(head.save(store, &key).await.expect("the head is saved"));
}

/// Returns a store with the cells in epoch 1, which is active.
pub(crate) async fn store_of(cells: &[Cell]) -> MemoryStore {
    let store = MemoryStore::default();
    put_names(&store).await;
    put_items(&store, Epoch(1), cells, 1).await;
    set_head(&store, Some((1, 1)), None).await;
    store
}

pub(crate) fn metric(name: &str) -> &'static Metric {
    Metric::named(name).expect("the metric is in the catalogue")
}

/// Returns a request for a complete listing, by commits.
pub(crate) fn list_request(listing: Listing, range: Range, bots: BotFilter) -> ListRequest {
    ListRequest {
        listing,
        range,
        has_default_since: false,
        has_default_until: false,
        bots,
        sort: ListSort::Metric(metric("commits")),
        direction: SortDirection::Desc,
        name_filter: None,
        limit: 100,
        cursor: None,
        compare: false,
    }
}
