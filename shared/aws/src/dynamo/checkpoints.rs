//! Checkpoints.

use async_trait::async_trait;
use gam_store::error::Result;
use gam_store::keys::CheckpointKey;
use gam_store::port::{CheckpointStore, Revision, SaveOutcome, StoredCheckpoint};

use super::entry::{Entry, number};
use super::keys::{self, Key};
use super::{DynamoStore, Put};

fn checkpoint_of(entry: &Entry) -> Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { revision: Revision(entry.number("revision")?), body: entry.body()? })
}

#[async_trait]
impl CheckpointStore for DynamoStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        let found = self.get("reading a checkpoint", &Key::checkpoint(key)).await?;
        found.as_ref().map(checkpoint_of).transpose()
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        let found = self.all("reading checkpoints", &Key::repo_checkpoints(org)).await?;
        let repo = |entry: &Entry| {
            let id = keys::id_of(entry.text("sk")?).ok_or_else(|| entry.damaged("id"))?;
            Ok((id, checkpoint_of(entry)?))
        };
        found.iter().map(repo).collect()
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        let revision = expected.map_or(1, |revision| revision.0 + 1);
        // Tells this very save from another of the same content.
        let save = format!("{:032x}", fastrand::u128(..));
        let entry = Entry::at(&Key::checkpoint(key))
            .with_number("revision", revision)
            .with_text("save", &save)
            .with_body(body);
        let request = self.put_request(entry);
        let request = match expected {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(expected) => request
                .condition_expression("revision = :expected")
                .expression_attribute_values(":expected", number(expected.0)),
        };
        Ok(match self.put_if("saving a checkpoint", request).await? {
            Put::Done => SaveOutcome::Saved(Revision(revision)),
            // The answer to the first sending was lost, and the second has met what the first has done.
            Put::Refused(stored) if stored.text("save").is_ok_and(|stored| stored == save) => {
                SaveOutcome::Saved(Revision(revision))
            }
            Put::Refused(_) => SaveOutcome::Conflict,
        })
    }
}
