//! Pages for which GitHub could not return every entry. The complete entries are used, and the missing ones
//! are fetched by id: fetching the entire page again would cost as much as before, and might fail again.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::{GraphQlError, GraphQlReply, unparsable};
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::Query;
use crate::wire::{Connection, Nodes};

/// How many entries are fetched by id in one request at first.
const ENTRIES_BY_ID: u32 = 50;

/// An entry of a list that can also be fetched by id.
pub(crate) trait ListEntry: DeserializeOwned {
    /// The path of the list's entries in the response. The query also selects the list as `ids`, with ids
    /// alone, which arrive even if an entry fails.
    const ENTRIES_PATH: &'static [&'static str];
    /// Fetches entries by node id.
    const BY_ID: Query;
    /// The node id.
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
struct EntryId {
    #[serde(alias = "oid")]
    id: String,
}

/// The error for entries that a list contains but that cannot be fetched by id.
pub(crate) fn missing_by_id(what: &str) -> Error {
    Error::unavailable(what, "an entry that was listed cannot be fetched by its id")
}

/// Whether the error affects a single entry of the list, so that all others are usable.
pub(crate) fn affects_single_entry(error: &GraphQlError, entries_path: &[&str]) -> bool {
    error.is_too_heavy() && error.entry_below(entries_path).is_some()
}

/// A page whose entries may be incomplete.
pub(crate) struct PartialPage<T> {
    /// The entries in the list's order; `None` for each one that is incomplete.
    pub(crate) entries: Vec<Option<T>>,
    /// The ids of all entries.
    pub(crate) ids: Vec<String>,
    /// The cursor of the next page; `None` on the last page.
    pub(crate) next: Option<String>,
}

impl<T: DeserializeOwned> PartialPage<T> {
    /// Reads the page from a response whose errors name the incomplete entries. Returns `None` if the object
    /// that holds the list is gone.
    ///
    /// # Errors
    /// If the response has an unknown shape.
    pub(crate) fn from_reply(
        what: &str,
        reply: GraphQlReply<Value>,
        entries_path: &[&str],
    ) -> Result<Option<Self>, Error> {
        let incomplete: BTreeSet<usize> =
            reply.errors.iter().filter_map(|error| error.entry_below(entries_path)).collect();
        let [parent_path @ .., list, _] = entries_path else {
            unreachable!("a list is a field of an object")
        };
        let parent = parent_path.iter().fold(&reply.data, |value, name| &value[*name]);
        if parent.is_null() {
            return Ok(None);
        }
        let misread = |error: serde_json::Error| unparsable(what, &error);
        let connection = Connection::<Value>::deserialize(&parent[*list]).map_err(misread)?;
        let ids = Connection::<EntryId>::deserialize(&parent["ids"]).map_err(misread)?.entries();
        let next = connection.page_info.clone().next();
        let nodes = connection.nodes.unwrap_or_default().into_iter().enumerate();
        let complete = nodes.map(|(at, node)| node.filter(|_| !incomplete.contains(&at)));
        let parsed = complete.map(|node| node.map(serde_json::from_value::<T>).transpose());
        let entries = parsed.collect::<Result<Vec<_>, _>>().map_err(misread)?;
        Ok(Some(PartialPage { entries, ids: ids.into_iter().map(|id| id.id).collect(), next }))
    }

    /// The page with its complete entries only.
    fn into_page(self) -> Page<T> {
        Page { entries: self.entries.into_iter().flatten().collect(), next: self.next }
    }

    /// The ids of the incomplete entries; `None` if ids and entries do not correspond.
    pub(crate) fn missing_ids(&self) -> Option<Vec<String>> {
        let corresponds = self.ids.len() == self.entries.len();
        let missing = self.entries.iter().zip(&self.ids).filter(|(entry, _)| entry.is_none());
        corresponds.then(|| missing.map(|(_, id)| id.clone()).collect())
    }
}

impl Client {
    /// Fetches a page of a list, with every entry complete. Returns `None` if the object that holds the list
    /// is gone.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub(crate) async fn fetch_page<T: ListEntry>(
        &self,
        query: &Query,
        variables: Value,
        size: &mut PageSize,
    ) -> Result<Option<Page<T>>, Error> {
        let is_tolerated = |error: &GraphQlError| affects_single_entry(error, T::ENTRIES_PATH);
        let reply = self.query(query, variables.clone(), Some(size), is_tolerated).await?;
        let is_complete = reply.errors.is_empty();
        let Some(partial) = PartialPage::<T>::from_reply(query.what, reply, T::ENTRIES_PATH)? else {
            return Ok(None);
        };
        if is_complete {
            return Ok(Some(partial.into_page()));
        }
        if let Some(missing) = partial.missing_ids().filter(|missing| missing.len() * 2 <= partial.ids.len())
        {
            tracing::debug!(
                what = query.what,
                missing = missing.len(),
                "the page is incomplete; fetching the missing entries by id"
            );
            if missing.len() * 4 > partial.ids.len() {
                size.shrink();
            }
            if let Some(fetched) = self.fetch_by_ids::<T>(&missing).await? {
                let mut fetched: HashMap<String, T> =
                    fetched.into_iter().map(|entry| (entry.id().to_owned(), entry)).collect();
                let entries = partial
                    .entries
                    .into_iter()
                    .zip(partial.ids)
                    .filter_map(|(entry, id)| entry.or_else(|| fetched.remove(&id)));
                return Ok(Some(Page { entries: entries.collect(), next: partial.next }));
            }
        }
        // Most entries are missing, or one cannot be fetched by id: fetch the entire page again.
        let reply = self.query(query, variables, Some(size), |_| false).await?;
        let partial = PartialPage::<T>::from_reply(query.what, reply, T::ENTRIES_PATH)?;
        Ok(partial.map(PartialPage::into_page))
    }

    /// Fetches entries by node id, without those that are gone. Returns `None` if GitHub does not return one
    /// that exists.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub(crate) async fn fetch_by_ids<T: ListEntry>(&self, ids: &[String]) -> Result<Option<Vec<T>>, Error> {
        let mut entries = Vec::with_capacity(ids.len());
        let mut size = PageSize::new(ENTRIES_BY_ID);
        let mut rest = ids;
        while !rest.is_empty() {
            let text = T::BY_ID.text();
            let reply = self
                .retry(T::BY_ID.what, Some(&mut size), async |first| {
                    let batch = &rest[..rest.len().min(first as usize)];
                    let body = json!({ "query": text, "variables": { "ids": batch } });
                    let is_tolerated = |error: &GraphQlError| error.is_not_found();
                    self.send_query::<Nodes<T>>(T::BY_ID.what, T::BY_ID.points, &body, is_tolerated).await
                })
                .await?;
            let (nodes, gone) = (reply.data.nodes, reply.errors.len());
            if nodes.is_empty() || nodes.iter().filter(|node| node.is_none()).count() > gone {
                return Ok(None);
            }
            rest = &rest[nodes.len().min(rest.len())..];
            entries.extend(nodes.into_iter().flatten());
        }
        Ok(Some(entries))
    }
}
