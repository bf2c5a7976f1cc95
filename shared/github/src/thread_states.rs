//! Counts and states of threads (pull requests and issues), without fetching the threads.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{ISSUES_LIGHT, PULL_REQUESTS_LIGHT, Query, TOTALS, threads_by_number};
use crate::repo_ref::RepoRef;
use crate::wire::{Connection, Node, Nodes, TotalCount};

/// How many repositories one request counts.
const REPOSITORIES_PER_REQUEST: usize = 20;
/// How many threads one request looks up by number.
const NUMBERS_PER_REQUEST: usize = 100;

/// The number of pull requests in each state, and of issues that changed since a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadTotals {
    /// Pull requests: open, closed without a merge, merged.
    pub pulls: [i64; 3],
    /// Issues that changed since the requested time: open, closed.
    pub issues: [i64; 2],
}

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadKind {
    /// Pull requests.
    PullRequests,
    /// Issues.
    Issues,
}

impl ThreadKind {
    fn states_query(self) -> &'static Query {
        match self {
            ThreadKind::PullRequests => &PULL_REQUESTS_LIGHT,
            ThreadKind::Issues => &ISSUES_LIGHT,
        }
    }
}

/// The state of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadState {
    /// The GraphQL node id.
    pub id: String,
    /// The number within the repository.
    pub number: i64,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub state: String,
    /// When the thread last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// Pull requests: the reviews that were submitted.
    reviews: Option<TotalCount>,
}

impl ThreadState {
    /// The number of submitted reviews of a pull request; `None` for an issue.
    pub fn review_count(&self) -> Option<i64> {
        self.reviews.as_ref().map(|reviews| reviews.total_count)
    }
}

#[derive(Deserialize)]
struct WithStates {
    list: Connection<ThreadState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryTotals {
    id: String,
    pulls_open: TotalCount,
    pulls_closed: TotalCount,
    pulls_merged: TotalCount,
    issues_open: TotalCount,
    issues_closed: TotalCount,
}

impl Client {
    /// Counts the threads of each repository: its pull requests, and its issues that changed at or after
    /// `issues_since` (all issues if `None`). Returns the totals by node id, without repositories that are gone
    /// or whose threads the token may not read.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn thread_totals(
        &self,
        node_ids: &[String],
        issues_since: Option<DateTime<Utc>>,
    ) -> Result<HashMap<String, ThreadTotals>, Error> {
        let mut totals = HashMap::new();
        for ids in node_ids.chunks(REPOSITORIES_PER_REQUEST) {
            let reply = self
                .query::<Nodes<Value>>(&TOTALS, json!({ "ids": ids, "since": issues_since }), None, |error| {
                    error.is_not_found() || error.is_permission_denied()
                })
                .await?;
            for node in reply.data.nodes.into_iter().flatten() {
                let Ok(repo) = serde_json::from_value::<RepositoryTotals>(node) else { continue };
                let pulls =
                    [repo.pulls_open, repo.pulls_closed, repo.pulls_merged].map(|total| total.total_count);
                let issues = [repo.issues_open, repo.issues_closed].map(|total| total.total_count);
                totals.insert(repo.id, ThreadTotals { pulls, issues });
            }
        }
        Ok(totals)
    }

    /// Fetches a page of the states of threads, the last changed one first.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn thread_states(
        &self,
        repo: &RepoRef,
        kind: ThreadKind,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<ThreadState>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let reply =
            self.query::<Node<WithStates>>(kind.states_query(), variables, Some(size), |_| false).await?;
        let list = reply.data.node.ok_or_else(|| repo.not_found())?.list;
        let next = list.page_info.clone().next();
        Ok(Page { entries: list.entries(), unanswered: Vec::new(), next })
    }

    /// Returns those of the numbers that are threads of that kind in the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn existing_threads(
        &self,
        repo: &RepoRef,
        kind: ThreadKind,
        numbers: &[i64],
    ) -> Result<BTreeSet<i64>, Error> {
        let (what, field) = match kind {
            ThreadKind::PullRequests => (PULL_REQUESTS_LIGHT.what, "pullRequest"),
            ThreadKind::Issues => (ISSUES_LIGHT.what, "issue"),
        };
        // If the repository itself is not found, nothing is known about its threads.
        let is_missing = |error: &GraphQlError| error.is_not_found() && error.is_below(&["node"]);
        let mut existing = BTreeSet::new();
        for numbers in numbers.chunks(NUMBERS_PER_REQUEST) {
            let reply = self
                .query_with_sized_text::<Node<HashMap<String, Option<ThreadNumber>>>>(
                    what,
                    1,
                    json!({ "repo": repo.node_id }),
                    &mut PageSize::new(1),
                    |_| threads_by_number(field, numbers),
                    is_missing,
                )
                .await?;
            let threads = reply.data.node.ok_or_else(|| repo.not_found())?;
            existing.extend(threads.into_values().flatten().map(|thread| thread.number));
        }
        Ok(existing)
    }
}

#[derive(Deserialize)]
struct ThreadNumber {
    number: i64,
}
