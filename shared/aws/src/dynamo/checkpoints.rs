//! Checkpoints in DynamoDB.

use async_trait::async_trait;
use gam_store::error::Result;
use gam_store::keys::{CheckpointKey, org_key};
use gam_store::port::{CheckpointStore, Revision, SaveOutcome, StoredCheckpoint};

use super::item::{Item, number};
use super::keys::{self, TableKey};
use super::{ConditionalPut, DynamoStore};

fn parse_checkpoint(item: &Item) -> Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { revision: Revision(item.number("revision")?), body: item.body()? })
}

#[async_trait]
impl CheckpointStore for DynamoStore {
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>> {
        let item = self.get_item("reading a checkpoint", &TableKey::checkpoint(key)).await?;
        item.as_ref().map(parse_checkpoint).transpose()
    }

    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>> {
        let items = self.query_prefix("reading checkpoints", &TableKey::repo_checkpoints(org)).await?;
        let repo = |item: &Item| {
            let id = keys::parse_id(item.text("sk")?).ok_or_else(|| item.damaged("id"))?;
            Ok((id, parse_checkpoint(item)?))
        };
        items.iter().map(repo).collect()
    }

    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome> {
        let revision = expected.map_or(1, |revision| revision.0 + 1);
        if let (CheckpointKey::Head(org), None) = (key, expected) {
            self.register(&org_key(org)).await?;
        }
        // Distinguishes this save from another one of the same content.
        let save_id = format!("{:032x}", fastrand::u128(..));
        let item = Item::new(&TableKey::checkpoint(key))
            .with_number("revision", revision)
            .with_text("save", &save_id)
            .with_body(body);
        let request = self.put_request(item);
        let request = match expected {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(expected) => request
                .condition_expression("revision = :expected")
                .expression_attribute_values(":expected", number(expected.0)),
        };
        Ok(match self.put_conditionally("saving a checkpoint", request).await? {
            ConditionalPut::Written => SaveOutcome::Saved(Revision(revision)),
            // The response to the first attempt was lost, and the second attempt found what the first had written.
            ConditionalPut::ConditionFailed(stored) if stored.text("save").is_ok_and(|id| id == save_id) => {
                SaveOutcome::Saved(Revision(revision))
            }
            ConditionalPut::ConditionFailed(_) => SaveOutcome::Conflict,
        })
    }
}
