//! Names, and which organizations there are.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use gam_store::error::{Error, Result};
use gam_store::keys::org_key;
use gam_store::port::{NameEntry, NameKind};

use super::entry::{Entry, number, text};
use super::keys::{self, Key};
use super::{DynamoStore, IN_FLIGHT};

/// How many items DynamoDB reads in one request.
const BATCH: usize = 100;
/// How often it is asked for what it has left out.
const BATCH_TRIES: usize = 10;

fn name_of(kind: NameKind, entry: &Entry) -> Result<NameEntry> {
    let id = keys::id_of(entry.text("sk")?).ok_or_else(|| entry.damaged("id"))?;
    let as_of = DateTime::from_timestamp_millis(entry.number("as_of_ms")?);
    let as_of = as_of.ok_or_else(|| entry.damaged("as_of_ms"))?;
    Ok(NameEntry { kind, id, name: entry.text("name")?.to_owned(), as_of })
}

impl DynamoStore {
    pub(super) async fn keep_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.register(&org_key(org)).await?;
        let writes: Vec<_> = entries.iter().map(|entry| self.keep_name(org, entry)).collect();
        futures::stream::iter(writes).buffer_unordered(IN_FLIGHT).try_collect().await
    }

    /// Keeps a name, unless a newer one is kept already. Texts are compared byte by byte here and there.
    async fn keep_name(&self, org: &str, new: &NameEntry) -> Result<()> {
        let as_of_ms = new.as_of.timestamp_millis();
        let entry = Entry::at(&Key::name(org, new.kind, new.id))
            .with_text("name", &new.name)
            .with_number("as_of_ms", as_of_ms);
        let request = self
            .put_request(entry)
            .condition_expression(
                "attribute_not_exists(pk) OR as_of_ms < :as_of OR (as_of_ms = :as_of AND #name < :name)",
            )
            .expression_attribute_names("#name", "name")
            .expression_attribute_values(":as_of", number(as_of_ms))
            .expression_attribute_values(":name", text(&new.name));
        self.put_if("keeping a name", request).await.map(drop)
    }

    pub(super) async fn read_names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        let found = self.all("reading names", &Key::names(org, kind)).await?;
        found.iter().map(|entry| name_of(kind, entry)).collect()
    }

    pub(super) async fn read_orgs(&self) -> Result<Vec<String>> {
        let registered = self.all("reading organizations", &Key::all_registered()).await?;
        let org = |entry| keys::org_of(Entry::text(entry, "sk")?).ok_or_else(|| Entry::damaged(entry, "sk"));
        let orgs: Vec<&str> = registered.iter().map(org).collect::<Result<_>>()?;
        let mut spelled = HashMap::new();
        for chunk in orgs.chunks(BATCH) {
            let wanted = chunk.iter().map(|org| Key::name(org, NameKind::Org, 0)).collect();
            for entry in self.get_all("reading organizations' names", wanted).await? {
                spelled.insert(entry.text("pk")?.to_owned(), entry.text("name")?.to_owned());
            }
        }
        let spell = |org: &str| {
            let own = Key::name(org, NameKind::Org, 0).pk;
            spelled.get(&own).cloned().unwrap_or_else(|| org.to_owned())
        };
        Ok(orgs.into_iter().map(spell).collect())
    }

    /// Those of the items that are there, in any order; [`BATCH`] at most.
    async fn get_all(&self, doing: &str, wanted: Vec<Key>) -> Result<Vec<Entry>> {
        let build = |keys| KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let mut open = Some(wanted.iter().map(Key::attributes).collect::<Vec<_>>());
        let mut found = Vec::new();
        for _ in 0..BATCH_TRIES {
            let Some(wanted) = open.take().filter(|keys| !keys.is_empty()) else { return Ok(found) };
            let wanted = build(wanted).map_err(|error| Error::unusable(doing.to_owned(), error))?;
            let request = self.client.batch_get_item().request_items(&self.table, wanted);
            let answer = request.send().await.map_err(|error| self.error(doing, &error))?;
            found.extend(answer.responses.into_iter().flatten().flat_map(|(_, items)| items).map(Entry));
            open = answer.unprocessed_keys.into_iter().flatten().map(|(_, left)| left.keys).next();
        }
        Err(Error::Unavailable { what: format!("{doing}: the table is too busy"), source: None })
    }
}
