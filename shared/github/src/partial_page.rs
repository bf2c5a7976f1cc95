//! Pages for which GitHub could not return every entry. The complete entries are used, and the missing ones
//! are fetched by id: fetching the entire page again would cost as much as before, and might fail again.
//!
//! For some entries GitHub fails whenever their expensive fields are requested. Such an entry is found by
//! requesting the entries of its page by id. It is returned as far as a basic query shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::by_id::{FetchedById, fetch_in_groups};
use crate::client::Client;
use crate::envelope::{GraphQlError, GraphQlReply, unparsable};
use crate::error::Error;
use crate::page::{Page, PageSize, UnansweredEntry};
use crate::queries::Query;
use crate::retry::RetryPolicy;
use crate::wire::Connection;

/// How many entries are fetched by id in one request at first.
const ENTRIES_BY_ID: usize = 50;
/// How often a page may shrink before the entry that is to blame is looked for.
const MAX_SHRINKS_BEFORE_SEARCH: u32 = 1;
/// How many pauses a basic query makes.
const MAX_PAUSES_OF_BASIC_QUERY: usize = 2;

/// Entries for which GitHub failed before, by node id, with what it answered.
pub type KnownUnanswered = BTreeMap<String, String>;

/// An entry of a list that can also be fetched by id.
pub(crate) trait ListEntry: DeserializeOwned {
    /// The path of the list's entries in the response. The query also selects the list as `ids`, with ids
    /// alone, which arrive even if an entry fails.
    const ENTRIES_PATH: &'static [&'static str];
    /// Fetches entries by node id.
    const BY_ID: Query;
    /// Fetches the same page of the list, with only the fields that cost GitHub little.
    const BASIC: Query;
    /// The node id.
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
struct EntryId {
    #[serde(alias = "oid")]
    id: String,
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
    /// Reads the page from a response whose errors name the incomplete entries. An entry of an unknown shape
    /// counts as incomplete. Returns `None` if the object that holds the list is gone.
    ///
    /// # Errors
    /// If the list has an unknown shape.
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
        let nodes = connection.nodes.unwrap_or_default();
        let (count, mut misreads) = (nodes.len(), Vec::new());
        let mut entries = Vec::with_capacity(count);
        for (at, node) in nodes.into_iter().enumerate() {
            let node = node.filter(|_| !incomplete.contains(&at));
            entries.push(match node.map(serde_json::from_value::<T>).transpose() {
                Ok(entry) => entry,
                Err(error) => {
                    misreads.push(error);
                    None
                }
            });
        }
        // If no entry can be parsed, the list itself has changed.
        if let Some(error) = misreads.pop().filter(|_| misreads.len() + 1 == count) {
            return Err(misread(error));
        }
        Ok(Some(PartialPage { entries, ids: ids.into_iter().map(|id| id.id).collect(), next }))
    }

    /// Whether no entry is missing.
    fn is_complete(&self) -> bool {
        self.entries.iter().all(Option::is_some)
    }

    /// The page with its complete entries only.
    fn into_page(self) -> Page<T> {
        Page {
            entries: self.entries.into_iter().flatten().collect(),
            unanswered: Vec::new(),
            next: self.next,
        }
    }

    /// The ids of the incomplete entries; `None` if ids and entries do not correspond.
    pub(crate) fn missing_ids(&self) -> Option<Vec<String>> {
        let corresponds = self.ids.len() == self.entries.len();
        let missing = self.entries.iter().zip(&self.ids).filter(|(entry, _)| entry.is_none());
        corresponds.then(|| missing.map(|(_, id)| id.clone()).collect())
    }
}

impl Client {
    /// Fetches a page of a list. Entries that GitHub cannot return are in `unanswered`, as far as a basic query
    /// shows them; those in `known` are not requested again. Returns `None` if the object that holds the list is
    /// gone.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub(crate) async fn fetch_page<T: ListEntry>(
        &self,
        query: &Query,
        variables: Value,
        known: &KnownUnanswered,
        size: &mut PageSize,
    ) -> Result<Option<Page<T>>, Error> {
        let before = *size;
        let max_shrinks = if known.is_empty() { MAX_SHRINKS_BEFORE_SEARCH } else { 0 };
        let policy = RetryPolicy { max_shrinks: Some(max_shrinks), ..self.retry_policy() };
        let is_tolerated = |error: &GraphQlError| affects_single_entry(error, T::ENTRIES_PATH);
        let reply = self.query_with_policy(&policy, query, variables.clone(), Some(size), is_tolerated).await;
        let failure = match reply {
            Ok(reply) => {
                let page = PartialPage::<T>::from_reply(query.what, reply, T::ENTRIES_PATH)?;
                match page {
                    None => return Ok(None),
                    Some(page) if page.is_complete() => return Ok(Some(page.into_page())),
                    Some(page) => {
                        let missing = page.missing_ids().filter(|ids| ids.len() * 2 <= page.ids.len());
                        if let Some(missing) = missing {
                            return self.complete_page(query, variables, page, missing, size).await.map(Some);
                        }
                        size.shrink();
                        Error::unanswered(query.what, "it returned less than half of a page")
                    }
                }
            }
            Err(failure @ Error::Unanswered { .. }) => failure,
            Err(failure) => return Err(failure),
        };
        tracing::debug!(what = query.what, why = %failure, "requesting the entries of the page by id");
        match self.fetch_entry_by_entry::<T>(variables.clone(), known, *size).await {
            Ok(page) => {
                if page.as_ref().is_some_and(|page| !page.unanswered.is_empty()) {
                    // An entry was to blame, not the size of the page.
                    *size = before;
                } else if *size == before {
                    size.shrink();
                }
                Ok(page)
            }
            // Not single entries fail, so it is an outage, or the list ends here.
            Err(Error::Unanswered { .. }) => {
                let reply = self.query(query, variables, Some(size), |_| false).await?;
                let page = PartialPage::<T>::from_reply(query.what, reply, T::ENTRIES_PATH)?;
                Ok(page.map(PartialPage::into_page))
            }
            Err(error) => Err(error),
        }
    }

    /// Completes a page of which some entries are missing.
    async fn complete_page<T: ListEntry>(
        &self,
        query: &Query,
        variables: Value,
        partial: PartialPage<T>,
        missing: Vec<String>,
        size: &mut PageSize,
    ) -> Result<Page<T>, Error> {
        tracing::debug!(
            what = query.what,
            missing = missing.len(),
            "the page is incomplete; fetching the missing entries by id"
        );
        let first = *size;
        if missing.len() * 4 > partial.ids.len() {
            size.shrink();
        }
        let FetchedById { mut entries, unanswered } = self.fetch_by_ids::<T>(&missing).await?;
        let basic = if unanswered.is_empty() { None } else { self.basic_page::<T>(variables, first).await? };
        let basic = basic.into_iter().flat_map(|(entries, _)| entries);
        let complete = partial.entries.into_iter().zip(partial.ids);
        Ok(Page {
            entries: complete.filter_map(|(entry, id)| entry.or_else(|| entries.remove(&id))).collect(),
            unanswered: with_reasons(basic, &unanswered),
            next: partial.next,
        })
    }

    /// Fetches a page that GitHub does not return as a whole: its basic fields first, then its entries by id.
    async fn fetch_entry_by_entry<T: ListEntry>(
        &self,
        variables: Value,
        known: &KnownUnanswered,
        size: PageSize,
    ) -> Result<Option<Page<T>>, Error> {
        let Some((basic, next)) = self.basic_page::<T>(variables, size).await? else { return Ok(None) };
        let ids: Vec<String> =
            basic.iter().map(|entry| entry.id().to_owned()).filter(|id| !known.contains_key(id)).collect();
        let FetchedById { mut entries, mut unanswered } = self.fetch_by_ids::<T>(&ids).await?;
        let order: Vec<String> = basic.iter().map(|entry| entry.id().to_owned()).collect();
        unanswered.extend(known.clone());
        Ok(Some(Page {
            entries: order.iter().filter_map(|id| entries.remove(id)).collect(),
            unanswered: with_reasons(basic.into_iter(), &unanswered),
            next,
        }))
    }

    /// Fetches the basic fields of a page, and the cursor of the next one. Returns `None` if the object that
    /// holds the list is gone.
    async fn basic_page<T: ListEntry>(
        &self,
        variables: Value,
        mut size: PageSize,
    ) -> Result<Option<(Vec<T>, Option<String>)>, Error> {
        let policy = RetryPolicy { max_pauses: MAX_PAUSES_OF_BASIC_QUERY, ..self.policy_without_shrinking() };
        let reply = self
            .query_with_policy::<Value>(&policy, &T::BASIC, variables, Some(&mut size), |_| false)
            .await?;
        let [list_path @ .., _] = T::ENTRIES_PATH else { unreachable!("a list is a field of an object") };
        let list = list_path.iter().fold(&reply.data, |value, name| &value[*name]);
        if list.is_null() {
            return Ok(None);
        }
        let list = Connection::<T>::deserialize(list).map_err(|error| unparsable(T::BASIC.what, &error))?;
        let next = list.page_info.clone().next();
        Ok(Some((list.entries(), next)))
    }

    /// Fetches entries by node id, without those that are gone.
    ///
    /// # Errors
    /// If GitHub cannot be read, or returns none of several groups of entries.
    pub(crate) async fn fetch_by_ids<T: ListEntry>(&self, ids: &[String]) -> Result<FetchedById<T>, Error> {
        fetch_in_groups(ids, ENTRIES_BY_ID, async |group: &[String]| self.fetch_nodes::<T>(group).await).await
    }
}

/// Returns the entries for which there is a reason, with the reason.
fn with_reasons<T: ListEntry>(
    basic: impl Iterator<Item = T>,
    reasons: &BTreeMap<String, String>,
) -> Vec<UnansweredEntry<T>> {
    basic
        .filter_map(|entry| {
            let why = reasons.get(entry.id())?.clone();
            Some(UnansweredEntry { entry, why })
        })
        .collect()
}
