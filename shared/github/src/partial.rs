//! Pages of which GitHub could not tell every entry whole. What is whole is used; the rest is asked for
//! again by itself, because asking for the whole page again would cost, and perhaps fail, as much.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::Query;
use crate::wire::{Connection, Nodes};

/// An entry of a list that can be asked for by itself.
pub(crate) trait Listed: DeserializeOwned {
    /// Where the list's entries are in the answer. Beside the list its `ids` are, whatever becomes of it.
    const ENTRIES: &'static [&'static str];
    /// Asks for entries by node id.
    const BY_ID: Query;
    /// The node id.
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
struct Id {
    #[serde(alias = "oid")]
    id: String,
}

/// Something that was listed is not shown under its id.
pub(crate) fn not_told(what: &str) -> Error {
    Error::Unavailable { what: what.to_owned(), why: "what was listed is not shown by its id".to_owned() }
}

/// Whether an error leaves all entries of the list usable but those that it names.
pub(crate) fn spares_the_rest(error: &GraphQlError, entries: &[&str]) -> bool {
    error.is_too_heavy() && error.entry_below(entries).is_some()
}

/// A list as it came.
pub(crate) struct Came<T> {
    /// Its entries, but for those that are not whole.
    pub(crate) entries: Vec<Option<T>>,
    /// The ids of all its entries.
    pub(crate) ids: Vec<String>,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

impl<T: DeserializeOwned> Came<T> {
    /// Reads an answer, in which errors name the entries that are not whole; nothing where what the list
    /// belongs to is gone.
    pub(crate) fn read(what: &str, reply: Reply<Value>, entries: &[&str]) -> Result<Option<Self>, Error> {
        let broken: BTreeSet<usize> =
            reply.errors.iter().filter_map(|error| error.entry_below(entries)).collect();
        let [path @ .., list, _] = entries else { unreachable!("a list has a place") };
        let at = path.iter().fold(&reply.data, |at, name| &at[*name]);
        if at.is_null() {
            return Ok(None);
        }
        let misread = |error: serde_json::Error| {
            Error::Invalid(format!(
                "GitHub's answer to {what} is not understood ({error}): please report it, with the server's version"
            ))
        };
        let found = Connection::<Value>::deserialize(&at[*list]).map_err(misread)?;
        let ids = Connection::<Id>::deserialize(&at["ids"]).map_err(misread)?.entries();
        let next = found.page_info.clone().next();
        let nodes = found.nodes.unwrap_or_default().into_iter().enumerate();
        let whole = nodes.map(|(at, node)| node.filter(|_| !broken.contains(&at)));
        let whole = whole.map(|node| node.map(serde_json::from_value::<T>).transpose());
        let entries = whole.collect::<Result<Vec<_>, _>>().map_err(misread)?;
        Ok(Some(Came { entries, ids: ids.into_iter().map(|id| id.id).collect(), next }))
    }

    /// The page, with the entries that are there.
    fn into_page(self) -> Page<T> {
        Page { entries: self.entries.into_iter().flatten().collect(), next: self.next }
    }

    /// The ids of the entries that are not whole; nothing where it is not known which they are.
    pub(crate) fn missing(&self) -> Option<Vec<String>> {
        let known = self.ids.len() == self.entries.len();
        let missing = self.entries.iter().zip(&self.ids).filter(|(entry, _)| entry.is_none());
        known.then(|| missing.map(|(_, id)| id.clone()).collect())
    }
}

impl Client {
    /// A page of a list, every entry whole; `None` where what the list belongs to is gone.
    pub(crate) async fn list<T: Listed>(
        &self,
        query: &Query,
        variables: Value,
        size: &mut PageSize,
    ) -> Result<Option<Page<T>>, Error> {
        let spares = |error: &GraphQlError| spares_the_rest(error, T::ENTRIES);
        let reply = self.query(query, variables.clone(), Some(size), spares).await?;
        let is_whole = reply.errors.is_empty();
        let Some(came) = Came::<T>::read(query.what, reply, T::ENTRIES)? else { return Ok(None) };
        if is_whole {
            return Ok(Some(came.into_page()));
        }
        if let Some(missing) = came.missing().filter(|missing| missing.len() * 2 <= came.ids.len()) {
            tracing::debug!(
                what = query.what,
                missing = missing.len(),
                "asking again for what was not whole"
            );
            if missing.len() * 4 > came.ids.len() {
                size.shrink();
            }
            if let Some(rest) = self.by_ids::<T>(&missing).await? {
                let mut rest: HashMap<String, T> =
                    rest.into_iter().map(|entry| (entry.id().to_owned(), entry)).collect();
                let ids = came.ids.into_iter();
                let entries = came
                    .entries
                    .into_iter()
                    .zip(ids)
                    .filter_map(|(entry, id)| entry.or_else(|| rest.remove(&id)));
                return Ok(Some(Page { entries: entries.collect(), next: came.next }));
            }
        }
        // Most of it is missing, or cannot be asked for by itself: the whole page again.
        let reply = self.query(query, variables, Some(size), |_| false).await?;
        let came = Came::<T>::read(query.what, reply, T::ENTRIES)?;
        Ok(came.map(Came::into_page))
    }

    /// Entries by node id, those that are gone left out; `None` where GitHub does not tell one.
    pub(crate) async fn by_ids<T: Listed>(&self, ids: &[String]) -> Result<Option<Vec<T>>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        let mut size = PageSize::new(50);
        let mut rest = ids;
        while !rest.is_empty() {
            let text = T::BY_ID.text();
            let reply = self
                .persist(T::BY_ID.what, Some(&mut size), async |first| {
                    let now = &rest[..rest.len().min(first as usize)];
                    let body = json!({ "query": text, "variables": { "ids": now } });
                    let tolerated = |error: &GraphQlError| error.is_not_found();
                    self.ask::<Nodes<T>>(T::BY_ID.what, T::BY_ID.points, &body, tolerated).await
                })
                .await?;
            let (now, gone) = (reply.data.nodes, reply.errors.len());
            if now.is_empty() || now.iter().filter(|node| node.is_none()).count() > gone {
                return Ok(None);
            }
            rest = &rest[now.len().min(rest.len())..];
            found.extend(now.into_iter().flatten());
        }
        Ok(Some(found))
    }
}
