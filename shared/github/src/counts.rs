//! How much there is of something, and which states it is in, without reading it whole.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::{Span, gone, just_before};
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{
    COMMIT_COUNTS, HISTORY_LIGHT, HistoryEnd, ISSUE_REST, ISSUES_LIGHT, PULL_REQUEST_REST,
    PULL_REQUESTS_LIGHT, Query, TOTALS, history_counts, history_ends,
};
use crate::wire::{Connection, Node, Nodes, Total};

/// How many histories are counted at once: counting a long one takes GitHub some time.
const HISTORIES: u32 = 20;

/// The ends of a span: what is up to the second and not up to the first is in it.
fn ends((repo, tip, span): &(RepoRef, String, Span)) -> impl Iterator<Item = HistoryEnd<'_>> {
    let end = |until| HistoryEnd { node_id: &repo.node_id, tip, until };
    std::iter::once(end(span.1)).chain(span.0.map(|since| end(Some(just_before(since)))))
}

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
#[serde(rename_all = "camelCase")]
struct Dated {
    oid: String,
    committed_date: DateTime<Utc>,
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
        Ok(Page { next: list.page_info.clone().next(), entries: list.entries() })
    }

    /// Whether the repository has a pull request, or an issue, of that number.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
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
        // Nothing is known of the entry where it is the repository that is not shown.
        let lacks_it = |error: &GraphQlError| error.is_not_found() && error.is_below(&["node"]);
        let reply = self.query::<Node<HasEntry>>(query, variables, None, lacks_it).await?;
        Ok(reply.data.node.ok_or_else(|| gone(repo))?.entry.is_some())
    }

    /// How many commits are reachable from tips, each in a span of committer dates, by repository id; a
    /// repository or tip that is gone is left out. The counts are exact, even where a list of the span would
    /// stop at a commit with a wrong date.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn history_totals(
        &self,
        asked: &[(RepoRef, String, Span)],
    ) -> Result<HashMap<i64, i64>, Error> {
        let mut totals = HashMap::new();
        let mut size = PageSize::new(HISTORIES);
        let mut rest = asked;
        while !rest.is_empty() {
            let taken = Cell::new(0);
            let asked = self
                .query_sized::<HashMap<String, Option<HasObject<History<Total>>>>>(
                    "how many commits there are",
                    1,
                    json!({}),
                    &mut size,
                    |first| {
                        taken.set(rest.len().min(first as usize));
                        history_ends(&rest[..taken.get()].iter().flat_map(ends).collect::<Vec<_>>())
                    },
                    |error| error.is_not_found() || error.is_refusal(),
                )
                .await;
            let reply = match asked {
                // This one alone is too much for GitHub; the others may do.
                Err(Error::Unavailable { .. }) if size.get() == 1 && rest.len() > 1 => {
                    rest = &rest[1..];
                    continue;
                }
                reply => reply?,
            };
            let count = |alias: usize| {
                let told = reply.data.get(&format!("h{alias}"))?.as_ref()?.object.as_ref()?;
                Some(told.history.total_count)
            };
            let mut alias = 0;
            let (now, later) = rest.split_at(taken.get());
            for (repo, _, span) in now {
                let before = if span.0.is_some() { count(alias + 1) } else { Some(0) };
                if let (Some(up_to), Some(before)) = (count(alias), before) {
                    totals.insert(repo.id, up_to - before);
                }
                alias += 1 + usize::from(span.0.is_some());
            }
            rest = later;
        }
        Ok(totals)
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

    /// The object ids of the commits that the list of the span shows, with their committer dates, UTC. Nothing
    /// where they are more than so many.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or the tip is gone; others where GitHub does not answer.
    pub async fn history_ids(
        &self,
        repo: &RepoRef,
        tip: &str,
        span: Span,
        most: usize,
    ) -> Result<Option<Vec<(String, DateTime<Utc>)>>, Error> {
        let (mut ids, mut cursor, mut size) = (Vec::new(), None::<String>, PageSize::new(100));
        loop {
            let variables = json!({
                "repo": repo.node_id, "oid": tip, "since": span.0, "until": span.1, "after": cursor,
            });
            let reply = self
                .query::<Node<HasObject<History<Connection<Dated>>>>>(
                    &HISTORY_LIGHT,
                    variables,
                    Some(&mut size),
                    |_| false,
                )
                .await?;
            let object = reply.data.node.and_then(|node| node.object).ok_or_else(|| gone(repo))?;
            cursor = object.history.page_info.clone().next();
            let found = object.history.entries().into_iter();
            ids.extend(found.map(|commit| (commit.oid, commit.committed_date)));
            if ids.len() > most {
                return Ok(None);
            }
            if cursor.is_none() {
                return Ok(Some(ids));
            }
        }
    }
}
