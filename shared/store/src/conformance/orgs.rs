//! Checks of removing an organization.

use chrono::DateTime;
use gam_model::WeekOfMonth;

use super::{EPOCH, NEIGHBOURS, ORG, ORG_OTHER_CASE, OTHER_EPOCHS, item, month, put, stored};
use crate::keys::{CheckpointKey, ItemClass, ItemKey, KeyPart, RecordKey, RecordKind, Subject, SubjectKind};
use crate::port::{
    CheckpointStore, FoldScope, NameEntry, NameKind, NameStore, OrgStore, RollupStore, SaveOutcome,
};
use crate::record::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, RecordStore};

/// Returns a key of each class.
fn keys() -> [ItemKey; 3] {
    let may = month("2024-05");
    [
        ItemKey::new(ItemClass::Days(Subject::Org), may),
        ItemKey::new(ItemClass::List(SubjectKind::Repo), may),
        ItemKey::breakdown(Subject::member("ann#day"), may, WeekOfMonth::FIRST),
    ]
}

fn checkpoints(org: &str) -> [CheckpointKey; 3] {
    let org = || org.to_owned();
    [CheckpointKey::Org(org()), CheckpointKey::Head(org()), CheckpointKey::Repo(org(), 7)]
}

fn record(org: Option<&str>, kind: RecordKind) -> RecordKey {
    RecordKey::new(org, kind, &[KeyPart::Text("a")]).expect("a key")
}

fn records(org: Option<&str>) -> [RecordKey; 2] {
    [RecordKind::Claim, RecordKind::AuditRow].map(|kind| record(org, kind))
}

async fn fill<S>(store: &S, org: &str)
where
    S: RollupStore + NameStore + CheckpointStore + RecordStore,
{
    // One is so large that an adapter stores it in parts.
    let items: Vec<_> =
        keys().into_iter().zip([5, 800_000, 5]).map(|(key, size)| (key, item(9, vec![7; size]))).collect();
    for epoch in [EPOCH, OTHER_EPOCHS[0]] {
        put(store, org, epoch, &items).await;
        store.advance(org, epoch, month("2024-05"), 9, FoldScope::Month).await.expect("advance");
    }
    let names = [NameKind::Org, NameKind::Repo, NameKind::Member].map(|kind| NameEntry {
        kind,
        id: if kind == NameKind::Org { 0 } else { 7 },
        name: org.to_uppercase(),
        as_of: DateTime::UNIX_EPOCH,
    });
    store.put_names(org, &names).await.expect("names");
    for key in checkpoints(org) {
        let saved = store.save(&key, "{}", None).await.expect("save");
        assert!(matches!(saved, SaveOutcome::Saved(_)), "{key:?} is absent before");
    }
    commit(store, &records(Some(org))).await;
}

async fn commit<S: RecordStore>(store: &S, keys: &[RecordKey]) {
    let mut commit = RecordCommit::new(RecordCommitId::random());
    for key in keys {
        commit = commit.put(key.clone(), "x", Expectation::Absent);
    }
    let outcome = store.commit(&commit, DateTime::UNIX_EPOCH).await.expect("commit");
    assert_eq!(outcome, CommitOutcome::Committed, "{keys:?} are absent before");
}

/// Returns how much is stored about an organization.
async fn size<S>(store: &S, org: &str) -> usize
where
    S: RollupStore + NameStore + CheckpointStore + RecordStore,
{
    let mut size = 0;
    for epoch in [EPOCH, OTHER_EPOCHS[0]] {
        for key in keys() {
            size += usize::from(stored(store, org, epoch, &key).await.is_some());
        }
        size += store.markers(org, epoch).await.expect("markers").len();
    }
    for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
        size += store.names(org, kind).await.expect("names").len();
    }
    for key in checkpoints(org) {
        size += usize::from(store.load(&key).await.expect("load").is_some());
    }
    size += store.load_repos(org).await.expect("load").len();
    for key in records(Some(org)) {
        size +=
            usize::from(RecordStore::get(store, &key, DateTime::UNIX_EPOCH).await.expect("get").is_some());
    }
    size + usize::from(store.org(org).await.expect("org").is_some())
}

pub(super) async fn check_delete<S>(store: &S)
where
    S: RollupStore + NameStore + CheckpointStore + RecordStore + OrgStore,
{
    store.delete_org(ORG).await.expect("delete of an organization that does not exist");
    for org in NEIGHBOURS.into_iter().chain([ORG]) {
        fill(store, org).await;
    }
    let of_none = records(None);
    commit(store, &of_none).await;
    let filled = size(store, ORG).await;
    assert_eq!(filled, 18, "everything was written");

    store.delete_org(ORG_OTHER_CASE).await.expect("delete");
    assert_eq!(size(store, ORG).await, 0, "nothing is left");
    store.delete_org(ORG).await.expect("delete again");
    for org in NEIGHBOURS {
        assert_eq!(size(store, org).await, filled, "{org} is another organization");
    }
    let orgs = store.orgs().await.expect("orgs");
    assert_eq!(orgs.len(), NEIGHBOURS.len(), "{orgs:?}");
    for key in of_none {
        assert!(
            RecordStore::get(store, &key, DateTime::UNIX_EPOCH).await.expect("get").is_some(),
            "{key:?} is of no organization"
        );
    }

    fill(store, ORG).await;
    assert_eq!(size(store, ORG).await, filled, "it can be collected again");
}
