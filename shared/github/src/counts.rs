//! How much there is of something, and which states it is in, without reading it whole.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::{Span, gone};
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{
    COMMIT_COUNTS, HISTORY_LIGHT, HISTORY_TOTAL, ISSUE_REST, ISSUES_LIGHT, PULL_REQUEST_REST,
    PULL_REQUESTS_LIGHT, Query, TOTALS, history_counts,
};
use crate::wire::{Connection, Node, Nodes, Total};

/// How many pull requests and issues of each state a repository has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pull requests that are open, closed and merged.
    pub pulls: [i64; 3],
    /// Issues that are open and closed.
    pub issues: [i64; 2],
}

/// A list of which only the states are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatesOf {
    /// Pull requests.
    Pulls,
    /// Issues.
    Issues,
}

impl StatesOf {
    fn query(self) -> &'static Query {
        match self {
            StatesOf::Pulls => &PULL_REQUESTS_LIGHT,
            StatesOf::Issues => &ISSUES_LIGHT,
        }
    }
}

/// The state of a pull request or an issue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryState {
    /// The GraphQL node id.
    pub id: String,
    /// The number.
    pub number: i64,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub state: String,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct HasList {
    list: Connection<EntryState>,
}

#[derive(Deserialize)]
struct HasEntry {
    #[serde(alias = "pullRequest", alias = "issue")]
    entry: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct HasObject<T> {
    object: Option<T>,
}

#[derive(Deserialize)]
struct History<T> {
    history: T,
}

#[derive(Deserialize)]
struct Oid {
    oid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryTotals {
    id: String,
    pulls_open: Total,
    pulls_closed: Total,
    pulls_merged: Total,
    issues_open: Total,
    issues_closed: Total,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    id: String,
    default_branch_ref: Option<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    history: Option<Total>,
}

impl Client {
    /// How many commits of a span of committer dates each repository has on its default branch, by node
    /// id; a repository that is empty or gone is left out.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn commit_counts(
        &self,
        node_ids: &[String],
        since: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Result<HashMap<String, i64>, Error> {
        let mut counts = HashMap::new();
        // Counting a long history takes GitHub some time.
        for ids in node_ids.chunks(20) {
            let variables = json!({ "ids": ids, "since": since, "until": until });
            let reply = self
                .query::<Nodes<Repository>>(&COMMIT_COUNTS, variables, None, |error| {
                    error.is_not_found() || error.is_refusal()
                })
                .await?;
            counts.extend(reply.data.nodes.into_iter().flatten().filter_map(|repo| {
                let history = repo.default_branch_ref?.target?.history?;
                Some((repo.id, history.total_count))
            }));
        }
        Ok(counts)
    }

    /// How many pull requests and issues of each state each repository has, by node id; one that is
    /// gone, or of which the token may not know it, is left out.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn totals(&self, node_ids: &[String]) -> Result<HashMap<String, Totals>, Error> {
        let mut totals = HashMap::new();
        for ids in node_ids.chunks(20) {
            let reply = self
                .query::<Nodes<serde_json::Value>>(&TOTALS, json!({ "ids": ids }), None, |error| {
                    error.is_not_found() || error.is_refusal()
                })
                .await?;
            for node in reply.data.nodes.into_iter().flatten() {
                let Ok(it) = serde_json::from_value::<RepositoryTotals>(node) else { continue };
                let pulls = [it.pulls_open, it.pulls_closed, it.pulls_merged].map(|total| total.total_count);
                let issues = [it.issues_open, it.issues_closed].map(|total| total.total_count);
                totals.insert(it.id, Totals { pulls, issues });
            }
        }
        Ok(totals)
    }

    /// A page of the states of a list, the entry that changed last first.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn states(
        &self,
        repo: &RepoRef,
        of: StatesOf,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<EntryState>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let reply = self.query::<Node<HasList>>(of.query(), variables, Some(size), |_| false).await?;
        let list = reply.data.node.ok_or_else(|| gone(repo))?.list;
        Ok(Page { next: list.page_info.clone().next(), total: list.total_count, entries: list.entries() })
    }

    /// Whether the repository has a pull request, or an issue, of that number.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn has(&self, repo: &RepoRef, of: StatesOf, number: i64) -> Result<bool, Error> {
        let mut variables = json!({ "repo": repo.node_id, "number": number });
        let query = match of {
            StatesOf::Issues => &ISSUE_REST,
            StatesOf::Pulls => {
                variables["reviews"] = false.into();
                variables["closings"] = true.into();
                &PULL_REQUEST_REST
            }
        };
        match self.query::<Node<HasEntry>>(query, variables, None, |_| false).await {
            Ok(reply) => Ok(reply.data.node.ok_or_else(|| gone(repo))?.entry.is_some()),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many commits of the span are reachable from `tip`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or the tip is gone; others where GitHub does not answer.
    pub async fn history_total(&self, repo: &RepoRef, tip: &str, span: Span) -> Result<i64, Error> {
        let variables = json!({ "repo": repo.node_id, "oid": tip, "since": span.0, "until": span.1 });
        let reply =
            self.query::<Node<HasObject<History<Total>>>>(&HISTORY_TOTAL, variables, None, |_| false).await?;
        let object = reply.data.node.and_then(|node| node.object).ok_or_else(|| gone(repo))?;
        Ok(object.history.total_count)
    }

    /// How many commits are reachable from `tip` in each of the spans of committer dates, whose both ends
    /// belong to them.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or the tip is gone; others where GitHub does not answer.
    pub async fn history_counts(
        &self,
        repo: &RepoRef,
        tip: &str,
        spans: &[(DateTime<Utc>, DateTime<Utc>)],
    ) -> Result<Vec<i64>, Error> {
        let what = "how many commits there are";
        let body = json!({
            "query": history_counts(spans), "variables": { "repo": repo.node_id, "oid": tip },
        });
        // Whoever asks can do without, and rather than wait for long.
        let reply = self
            .persist_for(1, what, None, async |_| {
                self.ask::<Node<HasObject<BTreeMap<String, Total>>>>(what, 1, &body, |_| false).await
            })
            .await?;
        let told = reply.data.node.and_then(|node| node.object).ok_or_else(|| gone(repo))?;
        let of_span = |i: usize| told.get(&format!("s{i}")).map(|total| total.total_count);
        let counts: Option<Vec<i64>> = (0..spans.len()).map(of_span).collect();
        counts.ok_or_else(|| Error::Unavailable {
            what: what.to_owned(),
            why: "the answer lacks some of the counts".to_owned(),
        })
    }

    /// The object ids of all commits of the span that are reachable from `tip`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or the tip is gone; others where GitHub does not answer.
    pub async fn history_ids(&self, repo: &RepoRef, tip: &str, span: Span) -> Result<Vec<String>, Error> {
        let (mut ids, mut cursor, mut size) = (Vec::new(), None::<String>, PageSize::new(100));
        loop {
            let variables = json!({
                "repo": repo.node_id, "oid": tip, "since": span.0, "until": span.1, "after": cursor,
            });
            let reply = self
                .query::<Node<HasObject<History<Connection<Oid>>>>>(
                    &HISTORY_LIGHT,
                    variables,
                    Some(&mut size),
                    |_| false,
                )
                .await?;
            let object = reply.data.node.and_then(|node| node.object).ok_or_else(|| gone(repo))?;
            cursor = object.history.page_info.clone().next();
            ids.extend(object.history.entries().into_iter().map(|commit| commit.oid));
            if cursor.is_none() {
                return Ok(ids);
            }
        }
    }
}
