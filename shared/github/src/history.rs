//! Counts and object ids of the commits in spans of a history, without fetching the commits.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::commits::{CommitPage, CommitterDateSpan, second_before};
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{COMMIT_COUNTS, HISTORY_LIGHT, HistoryEnd, history_counts, history_ends};
use crate::repo_ref::RepoRef;
use crate::retry::RetryPolicy;
use crate::wire::{Connection, Node, Nodes, TotalCount};

/// How many histories one request counts at most. Counting a long history takes GitHub some time.
const MAX_HISTORIES_PER_REQUEST: u32 = 20;
/// The points that a query of counts costs at most.
const COUNT_POINTS: u64 = 1;

/// The ends up to which to count: a span holds what lies up to its end but not before its start.
fn span_ends(
    (repo, tip, (since, until)): &(RepoRef, String, CommitterDateSpan),
) -> impl Iterator<Item = HistoryEnd<'_>> {
    let end = |until| HistoryEnd { node_id: &repo.node_id, tip, until };
    std::iter::once(end(*until)).chain(since.map(|since| end(Some(second_before(since)))))
}

#[derive(Deserialize)]
struct WithObject<T> {
    object: Option<T>,
}

#[derive(Deserialize)]
struct WithHistory<T> {
    history: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitDate {
    oid: String,
    committed_date: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountedRepository {
    id: String,
    default_branch_ref: Option<CountedBranch>,
}

#[derive(Deserialize)]
struct CountedBranch {
    target: Option<CountedTip>,
}

#[derive(Deserialize)]
struct CountedTip {
    history: Option<TotalCount>,
}

impl Client {
    /// Counts the commits on the default branch of each repository whose committer dates lie in a span, both
    /// ends included. Returns the counts by node id, without repositories that are empty or gone.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn count_default_branch_commits(
        &self,
        node_ids: &[String],
        since: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Result<HashMap<String, i64>, Error> {
        let mut counts = HashMap::new();
        for ids in node_ids.chunks(MAX_HISTORIES_PER_REQUEST as usize) {
            let variables = json!({ "ids": ids, "since": since, "until": until });
            let reply = self
                .query::<Nodes<CountedRepository>>(&COMMIT_COUNTS, variables, None, |error| {
                    error.is_not_found() || error.is_permission_denied()
                })
                .await?;
            counts.extend(reply.data.nodes.into_iter().flatten().filter_map(|repo| {
                let history = repo.default_branch_ref?.target?.history?;
                Some((repo.id, history.total_count))
            }));
        }
        Ok(counts)
    }

    /// Counts the commits reachable from a tip of each repository whose committer dates lie in a span.
    /// Returns the counts by repository id, without repositories and tips that are gone. The counts are exact
    /// even if listing the span would stop early at a commit with a wrong date.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn count_commits_by_repo(
        &self,
        histories: &[(RepoRef, String, CommitterDateSpan)],
    ) -> Result<HashMap<i64, i64>, Error> {
        let mut totals = HashMap::new();
        let mut size = PageSize::new(MAX_HISTORIES_PER_REQUEST);
        let mut rest = histories;
        while !rest.is_empty() {
            let requested = Cell::new(0);
            let result = self
                .query_with_sized_text::<HashMap<String, Option<WithObject<WithHistory<TotalCount>>>>>(
                    COMMIT_COUNTS.what,
                    COUNT_POINTS,
                    json!({}),
                    &mut size,
                    |first| {
                        requested.set(rest.len().min(first as usize));
                        let batch = &rest[..requested.get()];
                        history_ends(&batch.iter().flat_map(span_ends).collect::<Vec<_>>())
                    },
                    |error| error.is_not_found() || error.is_permission_denied(),
                )
                .await;
            let reply = match result {
                // This history alone is too long for GitHub to count; the others may not be.
                Err(Error::Unanswered { .. }) if size.get() == 1 && rest.len() > 1 => {
                    rest = &rest[1..];
                    continue;
                }
                result => result?,
            };
            let count = |alias: usize| {
                let commit = reply.data.get(&format!("h{alias}"))?.as_ref()?.object.as_ref()?;
                Some(commit.history.total_count)
            };
            let mut alias = 0;
            let (batch, later) = rest.split_at(requested.get());
            for (repo, _, (since, _)) in batch {
                let before_span = if since.is_some() { count(alias + 1) } else { Some(0) };
                if let (Some(up_to), Some(before_span)) = (count(alias), before_span) {
                    totals.insert(repo.id, up_to - before_span);
                }
                alias += 1 + usize::from(since.is_some());
            }
            rest = later;
        }
        Ok(totals)
    }

    /// Counts the commits reachable from `tip` in each span of committer dates, both ends included. Returns
    /// the counts in the order of the spans. Retries only once: callers can do without the counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository or the tip is gone; other errors if GitHub cannot be read.
    pub async fn count_commits_by_span(
        &self,
        repo: &RepoRef,
        tip: &str,
        spans: &[(DateTime<Utc>, DateTime<Utc>)],
    ) -> Result<Vec<i64>, Error> {
        let what = COMMIT_COUNTS.what;
        let body = json!({
            "query": history_counts(spans), "variables": { "repo": repo.node_id, "oid": tip },
        });
        let policy = RetryPolicy { max_pauses: 1, ..self.retry_policy() };
        let reply = policy
            .run(what, None, async |_| {
                self.send_query::<Node<WithObject<BTreeMap<String, TotalCount>>>>(
                    what,
                    COUNT_POINTS,
                    &body,
                    |_| false,
                )
                .await
            })
            .await?;
        let by_alias = reply.data.node.and_then(|node| node.object).ok_or_else(|| repo.not_found())?;
        let count = |i: usize| by_alias.get(&format!("s{i}")).map(|total| total.total_count);
        let counts: Option<Vec<i64>> = (0..spans.len()).map(count).collect();
        counts.ok_or_else(|| Error::unanswered(what, "its answer lacks some of the counts"))
    }

    /// Fetches a page of the complete history of `tip`, up to `until`, and the commits of that page that are not
    /// older than `since`. A history is read in this way if listing a span would stop early at a commit with a
    /// wrong date.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository or the tip is gone; other errors if GitHub cannot be read.
    pub async fn commits_since(
        &self,
        repo: &RepoRef,
        tip: &str,
        since: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<CommitPage, Error> {
        let page = self.commit_dates(repo, tip, (None, until), cursor, size).await?;
        let in_span = page.entries.into_iter().filter(|commit| commit.committed_date >= since);
        let oids: Vec<String> = in_span.map(|commit| commit.oid).collect();
        let entries = self.commits_by_id(repo, &oids).await?;
        Ok(CommitPage { entries, next: page.next, counts: None })
    }

    /// Fetches a page of the commits reachable from `tip` in a span: their object ids and committer dates.
    async fn commit_dates(
        &self,
        repo: &RepoRef,
        tip: &str,
        (since, until): CommitterDateSpan,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<CommitDate>, Error> {
        let variables = json!({
            "repo": repo.node_id, "oid": tip, "since": since, "until": until, "after": cursor,
        });
        let reply = self
            .query::<Node<WithObject<WithHistory<Connection<CommitDate>>>>>(
                &HISTORY_LIGHT,
                variables,
                Some(size),
                |_| false,
            )
            .await?;
        let tip_commit = reply.data.node.and_then(|node| node.object).ok_or_else(|| repo.not_found())?;
        let next = tip_commit.history.page_info.clone().next();
        Ok(Page { entries: tip_commit.history.entries(), unanswered: Vec::new(), next })
    }

    /// Lists the commits reachable from `tip` in a span: their object ids and committer dates, UTC. Returns
    /// `None` if there are more than `max`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository or the tip is gone; other errors if GitHub cannot be read.
    pub async fn list_commit_ids(
        &self,
        repo: &RepoRef,
        tip: &str,
        span: CommitterDateSpan,
        max: usize,
    ) -> Result<Option<Vec<(String, DateTime<Utc>)>>, Error> {
        let (mut ids, mut cursor, mut size) = (Vec::new(), None::<String>, PageSize::new(100));
        loop {
            let page = self.commit_dates(repo, tip, span, cursor.as_deref(), &mut size).await?;
            ids.extend(page.entries.into_iter().map(|commit| (commit.oid, commit.committed_date)));
            if ids.len() > max {
                return Ok(None);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(Some(ids));
            }
        }
    }
}
