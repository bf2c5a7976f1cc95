//! Removing an organization from the table.

use std::sync::PoisonError;

use async_trait::async_trait;
use gam_store::error::Result;
use gam_store::keys::org_key;
use gam_store::{CheckpointKey, OrgStore};

use super::DynamoStore;
use super::item::{Item, text};
use super::keys::{OrgPartitions, TableKey};

/// Number of keys that are deleted together.
const MAX_PENDING_KEYS: usize = 1_000;

#[async_trait]
impl OrgStore for DynamoStore {
    async fn delete_org(&self, org: &str) -> Result<()> {
        let action = "removing an organization";
        let org = org_key(org);
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).remove(&org);
        let head = TableKey::checkpoint(&CheckpointKey::Head(org.clone()));
        self.batch_delete(action, [TableKey::registered(&org), head]).await?;
        self.delete_partitions(action, &OrgPartitions::new(&org)).await
    }
}

impl DynamoStore {
    /// Deletes the items of all partitions of an organization. The names of its partitions contain those of its
    /// members, which nothing lists, so this reads the complete table.
    async fn delete_partitions(&self, action: &str, partitions: &OrgPartitions) -> Result<()> {
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .projection_expression("pk, sk")
            .filter_expression(partitions.condition());
        for (name, value) in partitions.values() {
            scan = scan.expression_attribute_values(name, text(value));
        }
        let mut found = scan.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = found.next().await {
            let item = Item(item.map_err(|error| self.error(action, &error))?);
            keys.push(TableKey { pk: item.text("pk")?.to_owned(), sk: item.text("sk")?.to_owned() });
            if keys.len() == MAX_PENDING_KEYS {
                self.batch_delete(action, std::mem::take(&mut keys)).await?;
            }
        }
        self.batch_delete(action, keys).await
    }
}
