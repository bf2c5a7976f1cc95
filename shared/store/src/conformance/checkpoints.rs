//! Checks of checkpoints.

use std::sync::Arc;

use super::{NEIGHBOURS, ORG, ORG_OTHER_CASE, run_concurrently, unusual_bodies};
use crate::keys::CheckpointKey;
use crate::port::{CheckpointStore, Revision, SaveOutcome, StoredCheckpoint};

fn org(org: &str) -> CheckpointKey {
    CheckpointKey::Org(org.to_owned())
}

fn repo(org: &str, id: i64) -> CheckpointKey {
    CheckpointKey::Repo(org.to_owned(), id)
}

async fn load<S: CheckpointStore>(store: &S, key: &CheckpointKey) -> Option<StoredCheckpoint> {
    store.load(key).await.expect("load")
}

async fn save<S: CheckpointStore>(
    store: &S,
    key: &CheckpointKey,
    body: &str,
    expected: Option<Revision>,
) -> SaveOutcome {
    store.save(key, body, expected).await.expect("save")
}

/// Saves a checkpoint, and panics on a conflict.
async fn save_without_conflict<S: CheckpointStore>(
    store: &S,
    key: &CheckpointKey,
    body: &str,
    expected: Option<Revision>,
) -> StoredCheckpoint {
    match save(store, key, body, expected).await {
        SaveOutcome::Saved(revision) => StoredCheckpoint { revision, body: body.to_owned() },
        SaveOutcome::Conflict => panic!("a save of {key:?} at its current revision is a conflict"),
    }
}

pub(super) async fn check_compare_and_swap<S: CheckpointStore>(store: &S) {
    for key in [org(ORG), repo(ORG, 1)] {
        assert_eq!(load(store, &key).await, None, "an empty store");
        let absent = save(store, &key, "a", Some(Revision(1))).await;
        assert_eq!(absent, SaveOutcome::Conflict, "an absent checkpoint has no revision to match");
        assert_eq!(load(store, &key).await, None, "a conflict saves nothing");

        let first = save_without_conflict(store, &key, "a", None).await;
        assert_eq!(
            load(store, &key).await,
            Some(first.clone()),
            "a checkpoint is read at the revision it was saved as"
        );
        assert_eq!(
            save(store, &key, "b", None).await,
            SaveOutcome::Conflict,
            "a checkpoint exists but was expected to be absent"
        );
        let second = save_without_conflict(store, &key, "b", Some(first.revision)).await;
        assert_ne!(second.revision, first.revision, "every save has a new revision");
        let stale = save(store, &key, "c", Some(first.revision)).await;
        assert_eq!(stale, SaveOutcome::Conflict, "a stale revision");
        assert_eq!(load(store, &key).await, Some(second.clone()), "a conflict changes nothing");
        let same = save_without_conflict(store, &key, "b", Some(second.revision)).await;
        assert_ne!(same.revision, second.revision, "saving the same content again has a new revision");
        assert_eq!(load(store, &key).await, Some(same), "the last save");
    }
}

pub(super) async fn check_keys_are_separate<S: CheckpointStore>(store: &S) {
    assert_eq!(store.load_repos(ORG).await.expect("load_repos"), [], "an empty store");
    for neighbour in NEIGHBOURS {
        save_without_conflict(store, &org(neighbour), neighbour, None).await;
        save_without_conflict(store, &repo(neighbour, 12), neighbour, None).await;
    }
    assert_eq!(load(store, &org(ORG)).await, None, "another organization's checkpoint");
    assert_eq!(store.load_repos(ORG).await.expect("load_repos"), [], "other organizations' checkpoints");

    save_without_conflict(store, &org(ORG), "of the organization", None).await;
    let mut expected = Vec::new();
    for id in [100, 9, 12, 1, 9_007_199_254_740_993] {
        let login = if id % 2 == 0 { ORG } else { ORG_OTHER_CASE };
        expected.push((id, save_without_conflict(store, &repo(login, id), &format!("of {id}"), None).await));
    }
    expected.sort_by_key(|(id, _)| *id);
    for login in [ORG, ORG_OTHER_CASE] {
        let loaded = store.load_repos(login).await.expect("load_repos");
        assert_eq!(loaded, expected, "the repositories' checkpoints of {login}, by id");
        for (id, checkpoint) in &expected {
            let loaded = load(store, &repo(login, *id)).await;
            assert_eq!(loaded.as_ref(), Some(checkpoint), "repository {id} of {login}");
        }
        let body = load(store, &org(login)).await.map(|checkpoint| checkpoint.body);
        assert_eq!(body.as_deref(), Some("of the organization"), "the checkpoint of {login}");
    }
    for neighbour in NEIGHBOURS {
        let body = load(store, &repo(neighbour, 12)).await.map(|checkpoint| checkpoint.body);
        assert_eq!(body.as_deref(), Some(neighbour), "the checkpoint of {neighbour}");
    }
}

pub(super) async fn check_unusual_bodies<S: CheckpointStore>(store: &S) {
    let mut revision = None;
    for body in unusual_bodies() {
        let checkpoint = save_without_conflict(store, &org(ORG), &body, revision).await;
        revision = Some(checkpoint.revision);
        assert_eq!(load(store, &org(ORG)).await, Some(checkpoint), "a checkpoint is read as it was saved");
    }
}

pub(super) async fn check_concurrent_saves<S: CheckpointStore + 'static>(store: S) {
    const TASKS: u64 = 6;
    const SAVES: u64 = 5;
    let (store, key) = (Arc::new(store), repo(ORG, 1));

    let outcomes = run_concurrently((0..TASKS).map(|_| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { save(&*store, &key, "0", None).await }
    }))
    .await;
    let winners = outcomes.iter().filter(|outcome| **outcome != SaveOutcome::Conflict).count();
    assert_eq!(winners, 1, "exactly one of many concurrent first saves succeeds: {outcomes:?}");
    let first = load(&*store, &key).await.expect("the first checkpoint").revision.0;

    // A counter that must not lose an increment: each task adds one to what it read until its save succeeds.
    run_concurrently((0..TASKS).map(|_| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            for _ in 0..SAVES {
                loop {
                    let current = load(&*store, &key).await.expect("a checkpoint");
                    let count: u64 = current.body.parse().expect("a count");
                    let next = (count + 1).to_string();
                    if save(&*store, &key, &next, Some(current.revision)).await != SaveOutcome::Conflict {
                        break;
                    }
                }
            }
        }
    }))
    .await;
    let last = load(&*store, &key).await.expect("a checkpoint after a race");
    let count: u64 = last.body.parse().expect("a count");
    // If a response is lost and another task saves before the request is repeated, a successful save is reported
    // as a conflict, and its task saves again. So the count may be greater.
    assert!(count >= TASKS * SAVES, "no successful save is lost: {count}");
    assert_eq!(last.revision.0, first + count, "every successful save counts once");
}
