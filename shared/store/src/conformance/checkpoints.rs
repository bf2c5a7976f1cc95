//! Checkpoints.

use std::sync::Arc;

use super::{NEIGHBOURS, ORG, ORG_SPELLED_OTHERWISE, at_once, odd_bodies};
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

/// Saves what must not meet a conflict.
async fn saved<S: CheckpointStore>(
    store: &S,
    key: &CheckpointKey,
    body: &str,
    expected: Option<Revision>,
) -> StoredCheckpoint {
    match save(store, key, body, expected).await {
        SaveOutcome::Saved(revision) => StoredCheckpoint { revision, body: body.to_owned() },
        SaveOutcome::Conflict => panic!("saving {key:?} as it was read met a conflict"),
    }
}

pub(super) async fn are_saved_as_expected<S: CheckpointStore>(store: &S) {
    for key in [org(ORG), repo(ORG, 1)] {
        assert_eq!(load(store, &key).await, None, "an empty store");
        let absent = save(store, &key, "a", Some(Revision(1))).await;
        assert_eq!(absent, SaveOutcome::Conflict, "a checkpoint that is absent is at no revision");
        assert_eq!(load(store, &key).await, None, "a conflict saves nothing");

        let first = saved(store, &key, "a", None).await;
        assert_eq!(load(store, &key).await, Some(first.clone()), "a checkpoint comes back at its revision");
        assert_eq!(
            save(store, &key, "b", None).await,
            SaveOutcome::Conflict,
            "present where absent was expected"
        );
        let second = saved(store, &key, "b", Some(first.revision)).await;
        assert_ne!(second.revision, first.revision, "every save has a revision of its own");
        let stale = save(store, &key, "c", Some(first.revision)).await;
        assert_eq!(stale, SaveOutcome::Conflict, "a stale revision");
        assert_eq!(load(store, &key).await, Some(second.clone()), "a conflict changes nothing");
        let same = saved(store, &key, "b", Some(second.revision)).await;
        assert_ne!(same.revision, second.revision, "the same content is a save as well");
        assert_eq!(load(store, &key).await, Some(same), "the last save");
    }
}

pub(super) async fn are_kept_apart<S: CheckpointStore>(store: &S) {
    assert_eq!(store.load_repos(ORG).await.expect("load_repos"), [], "an empty store");
    for neighbour in NEIGHBOURS {
        saved(store, &org(neighbour), neighbour, None).await;
        saved(store, &repo(neighbour, 12), neighbour, None).await;
    }
    assert_eq!(load(store, &org(ORG)).await, None, "another organization's checkpoint");
    assert_eq!(store.load_repos(ORG).await.expect("load_repos"), [], "other organizations' checkpoints");

    saved(store, &org(ORG), "of the organization", None).await;
    let mut expected = Vec::new();
    for id in [100, 9, 12, 1, 9_007_199_254_740_993] {
        let spelled = if id % 2 == 0 { ORG } else { ORG_SPELLED_OTHERWISE };
        expected.push((id, saved(store, &repo(spelled, id), &format!("of {id}"), None).await));
    }
    expected.sort_by_key(|(id, _)| *id);
    for spelled in [ORG, ORG_SPELLED_OTHERWISE] {
        let found = store.load_repos(spelled).await.expect("load_repos");
        assert_eq!(found, expected, "the repositories' checkpoints of {spelled}, by id");
        for (id, checkpoint) in &expected {
            let found = load(store, &repo(spelled, *id)).await;
            assert_eq!(found.as_ref(), Some(checkpoint), "repository {id} of {spelled}");
        }
        let found = load(store, &org(spelled)).await.map(|checkpoint| checkpoint.body);
        assert_eq!(found.as_deref(), Some("of the organization"), "{spelled} itself");
    }
    for neighbour in NEIGHBOURS {
        let found = load(store, &repo(neighbour, 12)).await.map(|checkpoint| checkpoint.body);
        assert_eq!(found.as_deref(), Some(neighbour), "the checkpoint of {neighbour}");
    }
}

pub(super) async fn keep_odd_bodies<S: CheckpointStore>(store: &S) {
    let mut revision = None;
    for body in odd_bodies() {
        let checkpoint = saved(store, &org(ORG), &body, revision).await;
        revision = Some(checkpoint.revision);
        assert_eq!(load(store, &org(ORG)).await, Some(checkpoint), "a checkpoint comes back as it was saved");
    }
}

pub(super) async fn race<S: CheckpointStore + 'static>(store: S) {
    const TASKS: u64 = 6;
    const TURNS: u64 = 5;
    let (store, key) = (Arc::new(store), repo(ORG, 1));

    let firsts = at_once((0..TASKS).map(|_| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { save(&*store, &key, "0", None).await }
    }))
    .await;
    let winners = firsts.iter().filter(|outcome| **outcome != SaveOutcome::Conflict).count();
    assert_eq!(winners, 1, "of many first saves at once exactly one is done: {firsts:?}");
    let first = load(&*store, &key).await.expect("the first checkpoint").revision.0;

    // A counter that loses no turn: each task adds one to what it read, until its save is done.
    at_once((0..TASKS).map(|_| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            for _ in 0..TURNS {
                loop {
                    let read = load(&*store, &key).await.expect("a checkpoint");
                    let count: u64 = read.body.parse().expect("a count");
                    let next = (count + 1).to_string();
                    if save(&*store, &key, &next, Some(read.revision)).await != SaveOutcome::Conflict {
                        break;
                    }
                }
            }
        }
    }))
    .await;
    let last = load(&*store, &key).await.expect("a checkpoint after a race");
    let count: u64 = last.body.parse().expect("a count");
    // Where an answer is lost on the way and somebody else saves before the question is repeated, a save that
    // was done is taken for refused, and its turn is taken again.
    assert!(count >= TASKS * TURNS, "no save that was done is lost: {count}");
    assert_eq!(last.revision.0, first + count, "every save that was done counts once");
}
