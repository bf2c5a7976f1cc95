//! Checks of change tokens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::DateTime;

use super::{EPOCH, ORG, days_of_repo, item, month};
use crate::keys::CheckpointKey;
use crate::port::{
    ChangeToken, CheckpointStore, FoldScope, NameEntry, NameKind, NameStore, Revision, RollupStore,
    SaveOutcome,
};

/// Number of checkpoints that are saved while others read.
const CONCURRENT_SAVES: u64 = 60;

/// Saves a number as the checkpoint of the organization. Returns the new revision.
async fn save_number<S: CheckpointStore>(store: &S, expected: Option<Revision>, number: u64) -> Revision {
    let key = CheckpointKey::Org(ORG.to_owned());
    match store.save(&key, &number.to_string(), expected).await.expect("save") {
        SaveOutcome::Saved(revision) => revision,
        SaveOutcome::Conflict => panic!("nobody else saves this checkpoint"),
    }
}

/// Checks the tokens that `reader` returns while `writer`, another handle of the same store or the same one, writes.
pub(super) async fn check_every_write<W, R>(writer: &W, reader: &R)
where
    W: RollupStore + NameStore + CheckpointStore,
    R: RollupStore + NameStore + CheckpointStore,
{
    let Some(first) = reader.change_token() else { return };
    let mut earlier = HashSet::from([first]);
    let mut expect_change = |what: &str| {
        let token = reader.change_token().expect("a store with tokens always has one");
        assert!(earlier.insert(token), "the token changes after {what}");
        assert_eq!(reader.change_token(), Some(token), "it stays while nothing is written");
    };
    let key = days_of_repo(1);
    writer.put(ORG, EPOCH, &[(key.clone(), item(1, "one"))]).await.expect("put");
    expect_change("a new item");
    writer.put(ORG, EPOCH, &[(key.clone(), item(1, "two"))]).await.expect("put");
    expect_change("an item that is replaced");
    writer.advance(ORG, EPOCH, month("2024-05"), 1, FoldScope::Month).await.expect("advance");
    expect_change("a new marker");
    writer.advance(ORG, EPOCH, month("2024-05"), 2, FoldScope::Affected).await.expect("advance");
    expect_change("a marker that advances");
    let name = NameEntry { kind: NameKind::Repo, id: 1, name: "one".to_owned(), as_of: DateTime::UNIX_EPOCH };
    writer.put_names(ORG, &[name]).await.expect("put_names");
    expect_change("a name");
    let revision = save_number(writer, None, 1).await;
    expect_change("a new checkpoint");
    save_number(writer, Some(revision), 2).await;
    expect_change("a checkpoint that is replaced");
    writer.delete(ORG, EPOCH, &[key]).await.expect("delete");
    expect_change("deleting an item");
    writer.delete_markers(ORG, EPOCH, &[month("2024-05")]).await.expect("delete_markers");
    expect_change("deleting a marker");

    let token = reader.change_token();
    let key = CheckpointKey::Org(ORG.to_owned());
    reader.load(&key).await.expect("load");
    reader.markers(ORG, EPOCH).await.expect("markers");
    assert_eq!(reader.change_token(), token, "reads change no token");
}

/// Reads between two equal tokens, while another task writes, always see the same content for the same token.
pub(super) async fn check_concurrent_reads<S>(store: S)
where
    S: RollupStore + CheckpointStore + 'static,
{
    if store.change_token().is_none() {
        return;
    }
    let store = Arc::new(store);
    let writer = Arc::clone(&store);
    let writes = tokio::spawn(async move {
        let mut revision = None;
        for number in 0..CONCURRENT_SAVES {
            revision = Some(save_number(&*writer, revision, number).await);
        }
    });
    let key = CheckpointKey::Org(ORG.to_owned());
    let mut contents: HashMap<ChangeToken, Option<String>> = HashMap::new();
    loop {
        let is_last = writes.is_finished();
        let before = store.change_token();
        let content = store.load(&key).await.expect("load").map(|checkpoint| checkpoint.body);
        if let (Some(token), true) = (before, store.change_token() == before) {
            let same = contents.entry(token).or_insert_with(|| content.clone());
            assert_eq!(*same, content, "one token stands for one content");
        }
        if is_last {
            let last = Some((CONCURRENT_SAVES - 1).to_string());
            assert_eq!(content, last, "the last read is after the last write");
            break;
        }
    }
    writes.await.expect("the writes succeed");
}
