//! Counts and states of threads (pull requests and issues), without fetching the threads.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{ISSUE_REST, ISSUES_LIGHT, PULL_REQUEST_REST, PULL_REQUESTS_LIGHT, Query, TOTALS};
use crate::repo_ref::RepoRef;
use crate::wire::{Connection, Node, Nodes, TotalCount};

/// How many repositories one request counts.
const REPOSITORIES_PER_REQUEST: usize = 20;

/// The number of pull requests and issues in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadTotals {
    /// Pull requests: open, closed without a merge, merged.
    pub pulls: [i64; 3],
    /// Issues: open, closed.
    pub issues: [i64; 2],
}

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

#[derive(Deserialize)]
struct WithStates {
    list: Connection<ThreadState>,
}

#[derive(Deserialize)]
struct WithThread {
    #[serde(alias = "pullRequest", alias = "issue")]
    thread: Option<IgnoredAny>,
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
    /// Counts the threads of each repository. Returns the totals by node id, without repositories that are
    /// gone or whose threads the token may not read.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn thread_totals(&self, node_ids: &[String]) -> Result<HashMap<String, ThreadTotals>, Error> {
        let mut totals = HashMap::new();
        for ids in node_ids.chunks(REPOSITORIES_PER_REQUEST) {
            let reply = self
                .query::<Nodes<Value>>(&TOTALS, json!({ "ids": ids }), None, |error| {
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

    /// Returns whether the repository has a thread of that kind and number.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn has_thread(&self, repo: &RepoRef, kind: ThreadKind, number: i64) -> Result<bool, Error> {
        let mut variables = json!({ "repo": repo.node_id, "number": number });
        let query = match kind {
            ThreadKind::Issues => &ISSUE_REST,
            ThreadKind::PullRequests => {
                variables["reviews"] = false.into();
                variables["closings"] = true.into();
                &PULL_REQUEST_REST
            }
        };
        // If the repository itself is not found, nothing is known about the thread.
        let is_missing = |error: &GraphQlError| error.is_not_found() && error.is_below(&["node"]);
        let reply = self.query::<Node<WithThread>>(query, variables, None, is_missing).await?;
        Ok(reply.data.node.ok_or_else(|| repo.not_found())?.thread.is_some())
    }
}
