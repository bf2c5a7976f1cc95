//! Items of rollups in DynamoDB.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::Select;
use futures::{StreamExt, TryStreamExt};
use gam_model::Month;
use gam_store::error::Result;
use gam_store::{
    AdvanceOutcome, Epoch, FoldScope, ItemClass, ItemKey, Marker, NameEntry, NameKind, NameStore, PutOutcome,
    RollupStore, StoredItem,
};

use super::item::{Item, number, text};
use super::keys::{self, TableKey};
use super::parts::BodyParts;
use super::{ConditionalPut, DynamoStore, MAX_CONCURRENT_REQUESTS};
use crate::service_error::ServiceError;

/// The guard of a write: an item is stored only if it is not older than the stored one.
const GUARD: &str = "attribute_not_exists(pk) OR generation <= :generation";

/// The guard, and the stored item has no parts.
const GUARD_WITHOUT_PARTS: &str =
    "attribute_not_exists(pk) OR (generation <= :generation AND attribute_not_exists(parts_id))";

fn table_item(org: &str, epoch: Epoch, key: &ItemKey, new: &StoredItem, parts: Option<&BodyParts>) -> Item {
    let item = Item::new(&TableKey::item(org, epoch, key)).with_number("generation", new.generation);
    match parts {
        Some(parts) => parts.add_to(item),
        None => item.with_bytes(&new.body),
    }
}

/// Returns the key and the generation of an item.
pub(super) fn parse_item(item: &Item) -> Result<(ItemKey, u64)> {
    let key = keys::parse_item(item.text("pk")?, item.text("sk")?).ok_or_else(|| item.damaged("key"))?;
    Ok((key, item.number("generation")?))
}

impl DynamoStore {
    /// Writes an item under its guard, and deletes the parts of older ones.
    async fn put_item(&self, org: &str, epoch: Epoch, key: &ItemKey, new: &StoredItem) -> Result<PutOutcome> {
        let parts = BodyParts::new(new);
        if let Some(parts) = &parts {
            self.write_parts(org, epoch, key, parts, &new.body).await?;
        }
        let item = table_item(org, epoch, key, new, parts.as_ref());
        let mut has_old_parts = parts.is_some();
        let mut put = if has_old_parts {
            self.put_guarded(&item, new.generation, GUARD).await?
        } else {
            self.put_guarded(&item, new.generation, GUARD_WITHOUT_PARTS).await?
        };
        if let ConditionalPut::ConditionFailed(stored) = &put
            && stored.number::<u64>("generation")? <= new.generation
        {
            has_old_parts = true;
            put = self.put_guarded(&item, new.generation, GUARD).await?;
        }
        let mut outcome = PutOutcome::default();
        if let ConditionalPut::ConditionFailed(stored) = put {
            outcome.record_if_refused(stored.number("generation")?, new);
            if let Some(parts) = parts {
                self.delete_parts(org, epoch, key, &parts).await?;
            }
        } else if has_old_parts {
            self.delete_older_parts(org, epoch, key, new.generation).await?;
        }
        Ok(outcome)
    }

    /// Writes items in any order.
    async fn put_items(
        &self,
        org: &str,
        epoch: Epoch,
        items: &[&(ItemKey, StoredItem)],
    ) -> Result<PutOutcome> {
        let writes: Vec<_> = items.iter().map(|(key, item)| self.put_item(org, epoch, key, item)).collect();
        futures::stream::iter(writes)
            .buffer_unordered(MAX_CONCURRENT_REQUESTS)
            .try_fold(PutOutcome::default(), async |mut total, outcome| {
                total.merge(outcome);
                Ok(total)
            })
            .await
    }

    async fn put_guarded(&self, item: &Item, generation: u64, guard: &str) -> Result<ConditionalPut> {
        let request = self
            .put_request(item.clone())
            .condition_expression(guard)
            .expression_attribute_values(":generation", number(generation));
        self.put_conditionally("writing a rollup", request).await
    }

    /// Returns the keys of all items of an epoch. The names of their partitions contain subjects, which nothing lists, so
    /// this reads the complete table.
    async fn scan_item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        const ACTION: &str = "listing rollups";
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .select(Select::SpecificAttributes)
            .projection_expression("pk, sk")
            .filter_expression("begins_with(pk, :epoch)")
            .expression_attribute_values(":epoch", text(keys::item_partitions(org, epoch)));
        let mut found = scan.into_paginator().items().send();
        let mut item_keys = Vec::new();
        while let Some(item) = found.next().await {
            let item = match item {
                Ok(item) => Item(item),
                // A stack that was deployed before roles had this permission. What is left costs only space.
                Err(error) if ServiceError::new(&error).is_access_denied() => {
                    tracing::warn!(
                        org,
                        epoch = epoch.0,
                        "cannot look for items that no list names: deploy again"
                    );
                    return Ok(Vec::new());
                }
                Err(error) => return Err(self.error(ACTION, &error)),
            };
            let key = keys::parse_item(item.text("pk")?, item.text("sk")?);
            item_keys.push(key.ok_or_else(|| item.damaged("key"))?);
        }
        Ok(item_keys)
    }

    /// Returns the stored items that items of the table hold or name the parts of, in the same order.
    async fn complete_all(
        &self,
        org: &str,
        epoch: Epoch,
        items: Vec<Item>,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        // Only few items have parts, and only they are waited for.
        let reads: Vec<_> = items.into_iter().map(|item| self.complete(org, epoch, item)).collect();
        let completed: Vec<Option<_>> =
            futures::stream::iter(reads).buffered(MAX_CONCURRENT_REQUESTS).try_collect().await?;
        Ok(completed.into_iter().flatten().collect())
    }
}

#[async_trait]
impl RollupStore for DynamoStore {
    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome> {
        let is_list = |(key, _): &&(ItemKey, StoredItem)| matches!(key.class, ItemClass::List(_));
        let (lists, others): (Vec<_>, Vec<_>) = items.iter().partition(is_list);
        let mut outcome = self.put_items(org, epoch, &lists).await?;
        outcome.merge(self.put_items(org, epoch, &others).await?);
        Ok(outcome)
    }

    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>> {
        // DynamoDB rejects inverted bounds.
        if first > last {
            return Ok(Vec::new());
        }
        let (from, to) = keys::item_bounds(first, last);
        let request = self.between_query(&keys::item_partition(org, epoch, class), &from, &to);
        let items = self.query_all_pages("reading rollups", request).await?;
        self.complete_all(org, epoch, items).await
    }

    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>> {
        let keys = keys.iter().map(|key| TableKey::item(org, epoch, key));
        let items = self.batch_get("reading rollups", keys).await?;
        self.complete_all(org, epoch, items).await
    }

    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>> {
        self.scan_item_keys(org, epoch).await
    }

    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()> {
        let items = keys.iter().map(|key| TableKey::item(org, epoch, key));
        self.batch_delete("deleting rollups", items).await?;
        self.delete_all_parts(org, epoch, keys).await
    }

    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        self.read_marker(org, epoch, month).await
    }

    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        self.read_markers(org, epoch).await
    }

    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        self.advance_marker(org, epoch, month, generation, scope).await
    }

    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()> {
        let markers = months.iter().map(|month| TableKey::marker(org, epoch, *month));
        self.batch_delete("deleting markers", markers).await
    }
}

#[async_trait]
impl NameStore for DynamoStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.write_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.read_names(org, kind).await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.read_orgs().await
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        self.read_org(org).await
    }
}

#[cfg(test)]
mod tests {
    use gam_store::Subject;

    use super::super::parts::MAX_BODY_BYTES;
    use super::*;

    const EPOCH: Epoch = Epoch(12);

    fn store() -> DynamoStore {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .build();
        DynamoStore::new(&config, "table")
    }

    fn key() -> ItemKey {
        ItemKey::new(ItemClass::Days(Subject::member("Ann")), Month::parse("2024-02").unwrap())
    }

    fn lines(item: &Item) -> String {
        let mut lines: Vec<String> =
            item.0.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        lines.join("\n")
    }

    /// Tables that exist hold items of this form.
    #[test]
    fn the_attributes_of_an_item_never_change() {
        let small = StoredItem { generation: 2, body: b"body".to_vec() };
        let empty = StoredItem { generation: 3, body: Vec::new() };
        let large = StoredItem { generation: 4, body: vec![7; MAX_BODY_BYTES + 1] };
        let mut parts = BodyParts::new(&large).unwrap();
        parts.key.id = "00ff".to_owned();
        let items = [
            table_item("Acme", EPOCH, &key(), &small, None),
            table_item("Acme", EPOCH, &key(), &empty, None),
            table_item("Acme", EPOCH, &key(), &large, Some(&parts)),
        ];
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_items", items.each_ref().map(lines).join("\n\n"));
        });
        for (item, stored) in items.iter().zip([small, empty]) {
            assert_eq!(parse_item(item).unwrap(), (key(), stored.generation));
            assert_eq!(item.bytes().unwrap(), stored.body);
            assert_eq!(BodyParts::parse(item).unwrap(), None);
        }
        assert_eq!(BodyParts::parse(&items[2]).unwrap(), Some(parts));
    }

    #[tokio::test]
    async fn an_inverted_range_and_no_keys_send_no_request() {
        let (store, month) = (store(), |text| Month::parse(text).unwrap());
        let range = store.range("acme", EPOCH, &key().class, month("2024-03"), month("2024-02")).await;
        assert_eq!(range.unwrap(), []);
        assert_eq!(store.get("acme", EPOCH, &[]).await.unwrap(), []);
        store.delete("acme", EPOCH, &[]).await.unwrap();
        store.delete_markers("acme", EPOCH, &[]).await.unwrap();
    }
}
