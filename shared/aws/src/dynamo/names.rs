//! Names, and the list of organizations, in DynamoDB.

use std::collections::HashMap;

use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use gam_store::error::Result;
use gam_store::keys::org_key;
use gam_store::port::{NameEntry, NameKind};

use super::item::{Item, number, text};
use super::keys::{self, TableKey};
use super::{DynamoStore, MAX_CONCURRENT_REQUESTS};

fn parse_name(kind: NameKind, item: &Item) -> Result<NameEntry> {
    let id = keys::parse_id(item.text("sk")?).ok_or_else(|| item.damaged("id"))?;
    let as_of = DateTime::from_timestamp_millis(item.number("as_of_ms")?);
    let as_of = as_of.ok_or_else(|| item.damaged("as_of_ms"))?;
    Ok(NameEntry { kind, id, name: item.text("name")?.to_owned(), as_of })
}

impl DynamoStore {
    pub(super) async fn write_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        // A collection writes the organization's own name first, and only once, so each such write registers it.
        if entries.iter().any(|entry| entry.kind == NameKind::Org) {
            self.register(&org_key(org)).await?;
        } else {
            self.register_once(&org_key(org)).await?;
        }
        let writes: Vec<_> = entries.iter().map(|entry| self.write_name(org, entry)).collect();
        futures::stream::iter(writes).buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect().await
    }

    /// Writes a name unless a newer one is stored. DynamoDB compares texts byte by byte, as Rust does.
    async fn write_name(&self, org: &str, new: &NameEntry) -> Result<()> {
        let as_of_ms = new.as_of.timestamp_millis();
        let item = Item::new(&TableKey::name(org, new.kind, new.id))
            .with_text("name", &new.name)
            .with_number("as_of_ms", as_of_ms);
        let request = self
            .put_request(item)
            .condition_expression(
                "attribute_not_exists(pk) OR as_of_ms < :as_of OR (as_of_ms = :as_of AND #name < :name)",
            )
            .expression_attribute_names("#name", "name")
            .expression_attribute_values(":as_of", number(as_of_ms))
            .expression_attribute_values(":name", text(&new.name));
        self.put_conditionally("writing a name", request).await.map(drop)
    }

    pub(super) async fn read_names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        let items = self.query_prefix("reading names", &TableKey::names(org, kind)).await?;
        items.iter().map(|item| parse_name(kind, item)).collect()
    }

    pub(super) async fn read_orgs(&self) -> Result<Vec<String>> {
        let registered = self.query_prefix("reading organizations", &TableKey::all_registered()).await?;
        let org = |item| keys::parse_org(Item::text(item, "sk")?).ok_or_else(|| Item::damaged(item, "sk"));
        let orgs: Vec<&str> = registered.iter().map(org).collect::<Result<_>>()?;
        let mut display_names = HashMap::new();
        let keys = orgs.iter().map(|org| TableKey::name(org, NameKind::Org, 0));
        for item in self.batch_get("reading organizations' names", keys).await? {
            display_names.insert(item.text("pk")?.to_owned(), item.text("name")?.to_owned());
        }
        let display_name = |org: &str| {
            let pk = TableKey::name(org, NameKind::Org, 0).pk;
            display_names.get(&pk).cloned().unwrap_or_else(|| org.to_owned())
        };
        Ok(orgs.into_iter().map(display_name).collect())
    }

    /// Returns the display name of a registered organization, or `None` if it is not registered.
    pub(super) async fn read_org(&self, org: &str) -> Result<Option<String>> {
        let (registered, name) = (TableKey::registered(org), TableKey::name(org, NameKind::Org, 0));
        let items = self.batch_get("reading an organization", [registered.clone(), name.clone()]).await?;
        let find = |key: &TableKey| {
            items.iter().find(|item| {
                item.text("pk").is_ok_and(|pk| pk == key.pk) && item.text("sk").is_ok_and(|sk| sk == key.sk)
            })
        };
        if find(&registered).is_none() {
            return Ok(None);
        }
        Ok(Some(match find(&name) {
            Some(item) => item.text("name")?.to_owned(),
            None => org_key(org),
        }))
    }
}
