//! Fetches entries by id, in groups. A group that GitHub cannot return is split and requested again in parts.
//! So the entries for which GitHub always fails are found, and the others are fetched.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::{GraphQlError, unparsable};
use crate::error::Error;
use crate::page::PageSize;
use crate::partial_page::ListEntry;
use crate::retry::RetryPolicy;
use crate::wire::Nodes;

/// Into how many parts a group is split.
const PARTS_PER_SPLIT: usize = 5;
/// How many groups are requested in parallel.
const MAX_PARALLEL_GROUPS: usize = 5;
/// If this many groups fail and none succeeds, GitHub fails in general, not for single entries.
const MIN_FAILED_GROUPS_OF_OUTAGE: usize = 3;
/// How long to wait before the last attempt to fetch entries that have failed alone.
const LAST_ATTEMPT_PAUSE: Duration = Duration::from_secs(3);
/// How many entries get a last attempt.
const MAX_LAST_ATTEMPTS: usize = 5;

/// What GitHub answered for one of the requested ids.
pub(crate) enum IdAnswer<T> {
    Found(T),
    /// The entry does not exist, or the token cannot see it.
    Gone,
    /// GitHub did not return the entry, for this reason.
    Failed(String),
}

/// What became of entries that were requested by id. Entries that are gone are in neither map.
pub(crate) struct FetchedById<T> {
    /// The entries that GitHub returned, by id.
    pub(crate) entries: HashMap<String, T>,
    /// What GitHub answered instead of an entry, by id.
    pub(crate) unanswered: BTreeMap<String, String>,
}

impl<T> FetchedById<T> {
    fn add(&mut self, id: &str, answer: IdAnswer<T>) {
        self.unanswered.remove(id);
        match answer {
            IdAnswer::Found(entry) => {
                self.entries.insert(id.to_owned(), entry);
            }
            IdAnswer::Gone => {}
            IdAnswer::Failed(why) => {
                self.unanswered.insert(id.to_owned(), why);
            }
        }
    }
}

/// Fetches entries by id. `fetch` requests one group, and returns the answers in the order of its ids.
///
/// # Errors
/// If GitHub cannot be read, or returns none of several groups.
pub(crate) async fn fetch_in_groups<T>(
    ids: &[String],
    group_size: usize,
    fetch: impl AsyncFn(&[String]) -> Result<Vec<IdAnswer<T>>, Error>,
) -> Result<FetchedById<T>, Error> {
    let mut fetched = FetchedById { entries: HashMap::new(), unanswered: BTreeMap::new() };
    let (mut has_succeeded, mut failed_groups) = (false, 0);
    let mut groups: Vec<&[String]> = ids.chunks(group_size).collect();
    while !groups.is_empty() {
        let mut answers = futures::stream::iter(groups)
            .map(|group| {
                let answer = fetch(group);
                async move { (group, answer.await) }
            })
            .buffered(MAX_PARALLEL_GROUPS);
        let (mut parts, mut failure) = (Vec::new(), None);
        while let Some((group, result)) = answers.next().await {
            match result {
                Ok(answers) => {
                    has_succeeded = true;
                    let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
                    for (id, answer) in group.chunks(1).zip(answers) {
                        match answer {
                            Some(answer @ (IdAnswer::Found(_) | IdAnswer::Gone)) => {
                                fetched.add(&id[0], answer);
                            }
                            Some(answer) if group.len() == 1 => fetched.add(&id[0], answer),
                            _ => parts.push(id),
                        }
                    }
                }
                Err(Error::Unanswered { what, why }) => {
                    failed_groups += 1;
                    if let [id] = group {
                        fetched.add(id, IdAnswer::Failed(why.clone()));
                    } else {
                        parts.extend(group.chunks(group.len().div_ceil(PARTS_PER_SPLIT)));
                    }
                    failure = Some(Error::Unanswered { what, why });
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) =
            failure.filter(|_| !has_succeeded && failed_groups >= MIN_FAILED_GROUPS_OF_OUTAGE)
        {
            return Err(error);
        }
        groups = parts;
    }
    try_once_more(&mut fetched, fetch).await?;
    Ok(fetched)
}

/// Requests again what failed alone: it may have been a short disturbance.
async fn try_once_more<T>(
    fetched: &mut FetchedById<T>,
    fetch: impl AsyncFn(&[String]) -> Result<Vec<IdAnswer<T>>, Error>,
) -> Result<(), Error> {
    if fetched.unanswered.is_empty() || fetched.unanswered.len() > MAX_LAST_ATTEMPTS {
        return Ok(());
    }
    tokio::time::sleep(LAST_ATTEMPT_PAUSE).await;
    let ids: Vec<String> = fetched.unanswered.keys().cloned().collect();
    for id in ids.chunks(1) {
        match fetch(id).await {
            Ok(answers) => answers.into_iter().take(1).for_each(|answer| fetched.add(&id[0], answer)),
            Err(Error::Unanswered { why, .. }) => fetched.add(&id[0], IdAnswer::Failed(why)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Client {
    /// A policy for requests that the caller splits if they are too heavy.
    pub(crate) fn policy_without_shrinking(&self) -> RetryPolicy<'_> {
        RetryPolicy { max_shrinks: Some(0), ..self.retry_policy() }
    }

    /// Requests entries by node id, up to 100.
    ///
    /// # Errors
    /// [`Error::Unanswered`] if GitHub does not answer for these entries together; other errors if GitHub cannot
    /// be read.
    pub(crate) async fn fetch_nodes<T: ListEntry>(&self, ids: &[String]) -> Result<Vec<IdAnswer<T>>, Error> {
        let (what, points) = (T::BY_ID.what, T::BY_ID.points);
        let body = json!({ "query": T::BY_ID.text(), "variables": { "ids": ids } });
        let is_tolerated =
            |error: &GraphQlError| error.is_not_found() || error.entry_below(&["nodes"]).is_some();
        // The size lets the policy notice that the request is too heavy.
        let mut size = PageSize::new(ids.len() as u32);
        let reply = self
            .policy_without_shrinking()
            .run(what, Some(&mut size), async |_| {
                self.send_query::<Nodes<Value>>(what, points, &body, is_tolerated).await
            })
            .await?;
        let error_at =
            |at: usize| reply.errors.iter().find(|error| error.entry_below(&["nodes"]) == Some(at));
        // An error for a missing node does not always say at which position it is.
        let without_position = reply.errors.iter().filter(|error| error.entry_below(&["nodes"]).is_none());
        let unexplained = |(at, node): &(usize, &Option<Value>)| node.is_none() && error_at(*at).is_none();
        let are_gone =
            reply.data.nodes.iter().enumerate().filter(unexplained).count() <= without_position.count();
        let answer = |at: usize, node: &Option<Value>| match (node, error_at(at)) {
            (_, Some(error)) if error.is_not_found() => IdAnswer::Gone,
            (_, Some(error)) => IdAnswer::Failed(format!("it answered {:?}", error.message)),
            (None, None) if are_gone => IdAnswer::Gone,
            (None, None) => IdAnswer::Failed("it lists the entry, but does not return it by id".to_owned()),
            (Some(node), None) => match serde_json::from_value::<T>(node.clone()) {
                Ok(entry) => IdAnswer::Found(entry),
                Err(error) => IdAnswer::Failed(unparsable(what, &error).to_string()),
            },
        };
        Ok(reply.data.nodes.iter().enumerate().map(|(at, node)| answer(at, node)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    fn unanswered() -> Error {
        Error::unanswered("issues", "it answered with status 502")
    }

    #[tokio::test(start_paused = true)]
    async fn one_failing_entry_does_not_cost_the_others() {
        let requests = Cell::new(0);
        let fetched = fetch_in_groups(&ids(100), 50, async |group: &[String]| {
            requests.set(requests.get() + 1);
            if group.contains(&"77".to_owned()) {
                return Err(unanswered());
            }
            Ok(group.iter().map(|id| IdAnswer::Found(id.clone())).collect())
        })
        .await
        .unwrap();
        assert_eq!(fetched.entries.len(), 99);
        assert_eq!(fetched.unanswered.keys().collect::<Vec<_>>(), ["77"]);
        // Both halves, then fifths of the failing half, of 10 and of 2, and one last attempt.
        assert_eq!(requests.get(), 2 + 5 + 5 + 2 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_recover_are_fetched() {
        let failures = Cell::new(2);
        let fetched = fetch_in_groups(&ids(1), 50, async |group: &[String]| {
            failures.set(failures.get() - 1);
            if failures.get() > 0 { Err(unanswered()) } else { Ok(vec![IdAnswer::Found(group[0].clone())]) }
        })
        .await
        .unwrap();
        assert_eq!((fetched.entries.len(), fetched.unanswered.len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn if_every_group_fails_it_is_an_outage() {
        let requests = Cell::new(0);
        let result = fetch_in_groups::<String>(&ids(40), 50, async |_: &[String]| {
            requests.set(requests.get() + 1);
            Err(unanswered())
        })
        .await;
        assert_eq!(result.err(), Some(unanswered()));
        assert_eq!(requests.get(), 1 + 5);
    }
}
