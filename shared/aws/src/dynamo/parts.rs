//! Bodies that are too large for one item of the table, in parts.
//!
//! The parts are written first, under keys that no other write uses. The item that names them is written last, under
//! its guard, so that it becomes visible at once. Then the parts of older generations are deleted: the guard refuses
//! the items that name them from then on. Parts of the same generation stay until the next one, because a repeated
//! request may store the item that names them again. A reader that misses a part reads the item again.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use futures::{StreamExt, TryStreamExt};
use gam_model::Month;
use gam_store::error::{Error, Result};
use gam_store::{Epoch, ItemKey, StoredItem};
use sha2::{Digest, Sha256};

use super::item::Item;
use super::keys::{self, PartsKey, TableKey};
use super::rollups::parse_item;
use super::{DynamoStore, MAX_CONCURRENT_REQUESTS};

/// Number of bytes of a body, or of a part of one, in an item of the table. DynamoDB's limit is 400 KB with keys and
/// names of attributes.
pub(super) const MAX_BODY_BYTES: usize = 350_000;

/// Number of times that a reader reads an item whose parts others replace at the same time.
const MAX_READ_ATTEMPTS: usize = 20;

/// The attribute that only items with parts have.
const PARTS_ID: &str = "parts_id";

const DELETING: &str = "deleting parts of rollups";

/// The parts of an item's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BodyParts {
    pub(super) key: PartsKey,
    /// Number of parts.
    pub(super) count: usize,
    /// The start of the SHA-256 of the complete body, in hexadecimal digits.
    pub(super) hash: String,
}

impl BodyParts {
    /// Returns the parts that a new write of the item has, or `None` if its body fits into one item.
    pub(super) fn new(item: &StoredItem) -> Option<Self> {
        (item.body.len() > MAX_BODY_BYTES).then(|| BodyParts {
            key: PartsKey { generation: item.generation, id: format!("{:032x}", fastrand::u128(..)) },
            count: item.body.len().div_ceil(MAX_BODY_BYTES),
            hash: hash(&item.body),
        })
    }

    /// Reads the parts that an item of the table names; `None` if it holds its body.
    pub(super) fn parse(item: &Item) -> Result<Option<Self>> {
        let Some(id) = item.optional_text(PARTS_ID)? else { return Ok(None) };
        let key = PartsKey { generation: item.number("generation")?, id: id.to_owned() };
        Ok(Some(BodyParts { key, count: item.number("parts")?, hash: item.text("hash")?.to_owned() }))
    }

    /// Adds what names the parts to an item of the table.
    pub(super) fn add_to(&self, item: Item) -> Item {
        item.with_text(PARTS_ID, &self.key.id).with_number("parts", self.count).with_text("hash", &self.hash)
    }

    fn table_keys(&self, org: &str, epoch: Epoch, key: &ItemKey) -> Vec<TableKey> {
        (0..self.count).map(|number| TableKey::part(org, epoch, key, &self.key, number)).collect()
    }

    /// Returns the items of the table that hold the parts of a body.
    fn items(&self, org: &str, epoch: Epoch, key: &ItemKey, body: &[u8]) -> Vec<Item> {
        let keys = self.table_keys(org, epoch, key);
        let part = |(key, bytes)| Item::new(key).with_bytes(bytes);
        keys.iter().zip(body.chunks(MAX_BODY_BYTES)).map(part).collect()
    }

    /// Puts the body together; `None` if a part is missing.
    fn join(&self, keys: &[TableKey], parts: &[Item]) -> Result<Option<Vec<u8>>> {
        let by_sk: HashMap<&str, &Item> =
            parts.iter().map(|part| Ok((part.text("sk")?, part))).collect::<Result<_>>()?;
        let mut body = Vec::new();
        for key in keys {
            let Some(part) = by_sk.get(&*key.sk) else { return Ok(None) };
            body.extend_from_slice(part.bytes()?);
        }
        match parts.first() {
            Some(part) if hash(&body) != self.hash => Err(part.damaged("body")),
            _ => Ok(Some(body)),
        }
    }
}

fn hash(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body)[..16])
}

impl DynamoStore {
    /// Writes the parts of a body. Nobody reads them before an item names them.
    pub(super) async fn write_parts(
        &self,
        org: &str,
        epoch: Epoch,
        key: &ItemKey,
        parts: &BodyParts,
        body: &[u8],
    ) -> Result<()> {
        const ACTION: &str = "writing a rollup";
        let items = parts.items(org, epoch, key, body);
        let writes: Vec<_> = items.into_iter().map(|part| self.put_request(part).send()).collect();
        futures::stream::iter(writes)
            .buffer_unordered(MAX_CONCURRENT_REQUESTS)
            .map(|response| response.map(drop).map_err(|error| self.error(ACTION, &error)))
            .try_collect()
            .await
    }

    /// Deletes the parts of a write that was refused.
    pub(super) async fn delete_parts(
        &self,
        org: &str,
        epoch: Epoch,
        key: &ItemKey,
        parts: &BodyParts,
    ) -> Result<()> {
        self.batch_delete(DELETING, parts.table_keys(org, epoch, key)).await
    }

    /// Deletes the item's parts of generations before this one, also those that a stopped writer left behind.
    pub(super) async fn delete_older_parts(
        &self,
        org: &str,
        epoch: Epoch,
        key: &ItemKey,
        generation: u64,
    ) -> Result<()> {
        let (from, to) = keys::older_part_bounds(key, generation);
        let partition = TableKey::parts(org, epoch, key.month).pk;
        let parts = self.query_part_keys(self.between_query(&partition, &from, &to)).await?;
        self.batch_delete(DELETING, parts).await
    }

    async fn query_part_keys(&self, request: QueryFluentBuilder) -> Result<Vec<TableKey>> {
        let parts = self.query_all_pages(DELETING, request.projection_expression("pk, sk")).await?;
        let key =
            |part: &Item| Ok(TableKey { pk: part.text("pk")?.to_owned(), sk: part.text("sk")?.to_owned() });
        parts.iter().map(key).collect()
    }

    /// Deletes all parts of items.
    pub(super) async fn delete_all_parts(&self, org: &str, epoch: Epoch, items: &[ItemKey]) -> Result<()> {
        let owners: HashSet<(Month, String)> =
            items.iter().map(|key| (key.month, keys::part_owner(key))).collect();
        let months: HashSet<Month> = items.iter().map(|key| key.month).collect();
        for month in months {
            let parts = self.query_part_keys(self.prefix_query(&TableKey::parts(org, epoch, month))).await?;
            let is_owned = |part: &TableKey| {
                keys::parse_part_owner(&part.sk)
                    .is_some_and(|owner| owners.contains(&(month, owner.to_owned())))
            };
            self.batch_delete(DELETING, parts.into_iter().filter(is_owned)).await?;
        }
        Ok(())
    }

    /// Returns the stored item that an item of the table holds or names the parts of. `None` if it has been deleted.
    pub(super) async fn complete(
        &self,
        org: &str,
        epoch: Epoch,
        mut item: Item,
    ) -> Result<Option<(ItemKey, StoredItem)>> {
        const ACTION: &str = "reading rollups";
        let mut missing: Option<BodyParts> = None;
        for _ in 0..MAX_READ_ATTEMPTS {
            let (key, generation) = parse_item(&item)?;
            let Some(parts) = BodyParts::parse(&item)? else {
                return Ok(Some((key, StoredItem { generation, body: item.bytes()?.to_vec() })));
            };
            if missing.as_ref() == Some(&parts) {
                // Nobody has replaced the item, so its parts are lost.
                return Err(item.damaged("parts"));
            }
            let keys = parts.table_keys(org, epoch, &key);
            let read = self.batch_get(ACTION, keys.iter().cloned()).await?;
            if let Some(body) = parts.join(&keys, &read)? {
                return Ok(Some((key, StoredItem { generation, body })));
            }
            missing = Some(parts);
            match self.get_item(ACTION, &TableKey::item(org, epoch, &key)).await? {
                Some(again) => item = again,
                None => return Ok(None),
            }
        }
        let what = format!("{ACTION}: other writers keep replacing an item of {org}");
        Err(Error::Unavailable { what, source: None })
    }
}

#[cfg(test)]
mod tests {
    use gam_store::{ItemClass, Subject};

    use super::*;

    fn item(length: usize) -> StoredItem {
        StoredItem { generation: 7, body: (0..length).map(|n| (n / 1_000) as u8).collect() }
    }

    fn key() -> ItemKey {
        ItemKey::new(ItemClass::Days(Subject::Org), gam_model::Month::parse("2024-05").unwrap())
    }

    #[test]
    fn a_body_is_split_only_if_it_is_too_large() {
        for (length, count) in [
            (0, None),
            (MAX_BODY_BYTES, None),
            (MAX_BODY_BYTES + 1, Some(2)),
            (2 * MAX_BODY_BYTES, Some(2)),
            (2 * MAX_BODY_BYTES + 1, Some(3)),
        ] {
            assert_eq!(BodyParts::new(&item(length)).map(|parts| parts.count), count, "{length} bytes");
        }
    }

    #[test]
    fn parts_survive_a_round_trip_in_any_order() {
        let new = item(2 * MAX_BODY_BYTES + 10);
        let parts = BodyParts::new(&new).unwrap();
        let named = parts.add_to(Item::default().with_number("generation", 7));
        assert_eq!(BodyParts::parse(&named).unwrap(), Some(parts.clone()));
        assert_eq!(BodyParts::parse(&Item::default().with_bytes(b"x")).unwrap(), None);

        let (keys, mut items) =
            (parts.table_keys("acme", Epoch(1), &key()), parts.items("acme", Epoch(1), &key(), &new.body));
        assert!(items.iter().all(|item| item.bytes().unwrap().len() <= MAX_BODY_BYTES));
        items.reverse();
        assert_eq!(parts.join(&keys, &items).unwrap(), Some(new.body));
        items.remove(1);
        assert_eq!(parts.join(&keys, &items).unwrap(), None, "a part is missing");
        assert_eq!(parts.join(&keys, &[]).unwrap(), None, "all parts are missing");
    }

    #[test]
    fn parts_of_another_body_are_damage() {
        let new = item(MAX_BODY_BYTES + 10);
        let parts = BodyParts::new(&new).unwrap();
        let keys = parts.table_keys("acme", Epoch(1), &key());
        let mut other = new.body;
        other[5] ^= 1;
        let items = parts.items("acme", Epoch(1), &key(), &other);
        assert!(parts.join(&keys, &items).unwrap_err().to_string().contains("aggregate --rebuild"));
    }

    #[test]
    fn no_two_writes_share_a_part() {
        let new = item(MAX_BODY_BYTES + 1);
        let keys = || BodyParts::new(&new).unwrap().table_keys("acme", Epoch(1), &key());
        let (first, second) = (keys(), keys());
        assert!(first.iter().all(|key| !second.contains(key)));
    }
}
