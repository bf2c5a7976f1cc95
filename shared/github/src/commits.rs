//! Commits: pages of the history of a tip, commits by object id, and the difference between two tips.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Member;
use serde_json::{Value, json};

use crate::by_id::{FetchedById, IdAnswer, fetch_in_groups};
use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::{AttemptError, Error};
use crate::page::PageSize;
use crate::partial_page::{PartialPage, affects_single_entry};
use crate::queries::{COMMITS, commits_by_oid};
use crate::repo_ref::RepoRef;
use crate::rest::{ComparisonPage, RestCommit};
use crate::retry::RetryPolicy;
use crate::wire::{Commit, Node};

/// The path of a history's commits in the response.
const COMMITS_PATH: &[&str] = &["node", "object", "history", "nodes"];
/// How many commits are fetched by object id in one request at most.
const MAX_COMMITS_BY_OID: u32 = 100;
/// How often a page may shrink before its commits are fetched without line counts.
const MAX_SHRINKS_WITH_LINES: u32 = 1;
/// After how many failures that may be due to it the commits of a span are no longer counted.
const MAX_COUNT_FAILURES: u32 = 2;
/// What comparing two tips fetches, for messages.
const NEW_COMMITS: &str = "the new commits";

/// A commit as a comparison of two tips returns it: without line counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedCommit {
    /// The object id.
    pub sha: String,
    /// The committer date, UTC.
    pub committed_at: DateTime<Utc>,
    /// The number of parents.
    pub parents: usize,
    /// The author.
    pub member: Member,
}

impl From<RestCommit> for ComparedCommit {
    fn from(commit: RestCommit) -> Self {
        let account = commit.author.and_then(|author| Some((author.login?, author.id, author.kind)));
        let member = match account {
            Some((login, id, kind)) => Member::account(&login, id, kind.as_deref() == Some("Bot")),
            None => commit.commit.author.map_or_else(Member::ghost, |author| author.member()),
        };
        ComparedCommit {
            sha: commit.sha,
            committed_at: commit.commit.committer.date,
            parents: commit.parents.len(),
            member,
        }
    }
}

/// The commits that are reachable from one tip (the head) but not from another (the base).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The commits reachable from the head only.
    pub commits: Vec<ComparedCommit>,
    /// The number of commits reachable from the base only. Greater than 0 after a force-push.
    pub behind_by: i64,
}

/// The number of commits in a span of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitCounts {
    /// Commits that listing the span returns. The list stops at the first commit older than the span,
    /// although ancestors of that commit may be newer if somebody's clock was wrong.
    pub listed: i64,
    /// Commits whose committer date lies in the span.
    pub in_span: i64,
    /// Commits up to the end of the span, however old.
    pub up_to: i64,
}

/// A page of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitPage {
    /// The page's commits, newest first.
    pub entries: Vec<Commit>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
    /// How many commits the span has. `None` if counts were not requested, the span has no start, or GitHub
    /// had no time to count.
    pub counts: Option<CommitCounts>,
}

/// A span of committer dates: first and last, both included, UTC. `None` leaves that end open.
pub type CommitterDateSpan = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

impl Client {
    /// Fetches a page of the commits reachable from `tip` whose committer dates lie in the span. Counts them
    /// too if `with_counts` is set and GitHub has the time. A commit whose lines GitHub refuses to count
    /// comes without line counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository or the tip is gone; other errors if GitHub cannot be read.
    pub async fn commits(
        &self,
        repo: &RepoRef,
        tip: &str,
        span: CommitterDateSpan,
        cursor: Option<&str>,
        with_counts: bool,
        size: &mut PageSize,
    ) -> Result<CommitPage, Error> {
        let is_tolerated =
            |error: &GraphQlError| error.is_lines_unavailable() || affects_single_entry(error, COMMITS_PATH);
        let (since, until) = span;
        let (text, count_failures) = (COMMITS.text(), Cell::new(0));
        let fetch = async |first: u32, with_lines: bool| {
            // Counting a very long history may be too heavy, whatever the page size.
            let total = with_counts && since.is_some() && count_failures.get() < MAX_COUNT_FAILURES;
            let variables = json!({
                "repo": repo.node_id, "oid": tip, "since": since, "until": until, "first": first,
                "after": cursor, "lines": with_lines, "total": total, "before": since.map(second_before),
            });
            let body = json!({ "query": text, "variables": variables });
            let reply = self.send_query(COMMITS.what, COMMITS.points, &body, &is_tolerated).await;
            count_failures.set(match &reply {
                Err(AttemptError::TooHeavy(_)) => MAX_COUNT_FAILURES,
                Err(AttemptError::MaybeTooHeavy(_)) => count_failures.get() + 1,
                _ => count_failures.get(),
            });
            reply
        };
        let before = *size;
        let policy = RetryPolicy { max_shrinks: Some(MAX_SHRINKS_WITH_LINES), ..self.retry_policy() };
        let reply = policy.run(COMMITS.what, Some(size), async |first| fetch(first, true).await).await;
        let (reply, has_lines) = match reply {
            Ok(reply) => (reply, true),
            // The commits themselves are cheap: only counting the lines of one of them may be too heavy.
            Err(Error::Unanswered { .. }) => {
                (self.retry(COMMITS.what, Some(size), async |first| fetch(first, false).await).await?, false)
            }
            Err(error) => return Err(error),
        };
        let counts = read_counts(&reply.data);
        let page = PartialPage::<Commit>::from_reply(COMMITS.what, reply, COMMITS_PATH)?
            .ok_or_else(|| repo.not_found())?;
        let next = page.next.clone();
        if !has_lines {
            let commits: Vec<Commit> = page.entries.into_iter().flatten().collect();
            let oids: Vec<String> = commits.iter().map(|commit| commit.oid.clone()).collect();
            let mut counted = self.fetch_with_lines(repo, &oids).await?;
            if !counted.unanswered.is_empty() {
                // A commit was to blame, not the size of the page.
                *size = before;
            }
            let entries = commits.into_iter().map(|commit| match counted.entries.remove(&commit.oid) {
                Some(counted) => counted,
                None => Commit { unanswered: counted.unanswered.remove(&commit.oid), ..commit },
            });
            return Ok(CommitPage { entries: entries.collect(), next, counts });
        }
        // GitHub returns null for a commit whose lines it refuses, or has no time, to count.
        let missing = page
            .missing_ids()
            .ok_or_else(|| Error::unanswered(COMMITS.what, "its answer does not name all commits"))?;
        let mut fetched = self.commits_by_id(repo, &missing).await?.into_iter();
        // Both are in the same order, so each gap takes the next fetched commit.
        let entries = page.entries.into_iter().filter_map(|commit| commit.or_else(|| fetched.next()));
        Ok(CommitPage { entries: entries.collect(), next, counts })
    }

    /// Returns whether GitHub can find the commit.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn has_commit(&self, repo: &RepoRef, oid: &str) -> Result<bool, Error> {
        let (policy, mut size) = (self.retry_policy(), PageSize::new(1));
        let (objects, _) = self.fetch_objects(&policy, repo, &[oid.to_owned()], false, &mut size).await?;
        Ok(objects.into_values().any(|commit| commit.is_some()))
    }

    /// Fetches any number of commits by object id, in the order of `oids`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read or cannot find
    /// one of the commits, which a lagging replica may miss for a while.
    pub async fn commits_by_id(&self, repo: &RepoRef, oids: &[String]) -> Result<Vec<Commit>, Error> {
        let commits = self.find_commits_by_id(repo, oids).await?.into_iter().zip(oids);
        commits.map(|(commit, oid)| commit.ok_or_else(|| commit_not_found(repo, oid))).collect()
    }

    /// Fetches any number of commits by object id, in the order of `oids`; `None` for each one that GitHub
    /// cannot find.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn find_commits_by_id(
        &self,
        repo: &RepoRef,
        oids: &[String],
    ) -> Result<Vec<Option<Commit>>, Error> {
        let FetchedById { entries: mut with_lines, mut unanswered } =
            self.fetch_with_lines(repo, oids).await?;
        let missing: Vec<String> =
            oids.iter().filter(|oid| !with_lines.contains_key(*oid)).cloned().collect();
        let mut without_lines = self.find_commits_without_lines(repo, &missing).await?.into_iter();
        // Both are in the order of `oids`, so each gap takes the next commit.
        let commits = oids.iter().map(|oid| match with_lines.remove(oid) {
            Some(commit) => Some(commit),
            None => {
                let commit = without_lines.next().flatten()?;
                Some(Commit { unanswered: unanswered.remove(oid), ..commit })
            }
        });
        Ok(commits.collect())
    }

    /// Fetches commits with line counts by object id. Those that GitHub cannot find, or whose lines it refuses or
    /// fails to count, are not in `entries`.
    async fn fetch_with_lines(&self, repo: &RepoRef, oids: &[String]) -> Result<FetchedById<Commit>, Error> {
        let policy = self.policy_without_shrinking();
        let fetch = async |group: &[String]| {
            // The size lets the policy notice that the request is too heavy.
            let mut size = PageSize::new(group.len() as u32);
            let (mut objects, _) = self.fetch_objects(&policy, repo, group, true, &mut size).await?;
            let answer = |alias| match objects.remove(&format!("c{alias}")).flatten() {
                Some(commit) => IdAnswer::Found(commit),
                None => IdAnswer::Gone,
            };
            Ok((0..group.len()).map(answer).collect())
        };
        fetch_in_groups(oids, MAX_COMMITS_BY_OID as usize, fetch).await
    }

    /// Like [`Client::find_commits_by_id`], but without line counts.
    async fn find_commits_without_lines(
        &self,
        repo: &RepoRef,
        oids: &[String],
    ) -> Result<Vec<Option<Commit>>, Error> {
        let mut commits = Vec::with_capacity(oids.len());
        let mut size = PageSize::new(MAX_COMMITS_BY_OID);
        let mut rest = oids;
        while !rest.is_empty() {
            let policy = self.retry_policy();
            let (mut objects, requested) = self.fetch_objects(&policy, repo, rest, false, &mut size).await?;
            commits.extend((0..requested).map(|i| objects.remove(&format!("c{i}")).flatten()));
            rest = &rest[requested..];
        }
        Ok(commits)
    }

    /// Fetches the first commits of the list, as many as the page size allows. Returns them by alias (`c0`,
    /// `c1`, ...), and how many were requested.
    async fn fetch_objects(
        &self,
        policy: &RetryPolicy<'_>,
        repo: &RepoRef,
        oids: &[String],
        with_lines: bool,
        size: &mut PageSize,
    ) -> Result<(BTreeMap<String, Option<Commit>>, usize), Error> {
        let requested = Cell::new(0);
        let reply = policy
            .run(COMMITS.what, Some(size), async |first| {
                let batch = &oids[..oids.len().min(first as usize)];
                requested.set(batch.len());
                let variables = json!({ "repo": repo.node_id, "lines": with_lines });
                let body = json!({ "query": commits_by_oid(batch), "variables": variables });
                self.send_query::<Node<BTreeMap<String, Option<Commit>>>>(
                    COMMITS.what,
                    COMMITS.points,
                    &body,
                    |error| error.is_lines_unavailable() || error.is_not_found(),
                )
                .await
            })
            .await?;
        Ok((reply.data.node.ok_or_else(|| repo.not_found())?, requested.get()))
    }

    /// Fetches the commits that are reachable from `head` but not from `base`, on as many pages as there are.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository or a tip is gone, which may happen some time after a force-push
    /// replaced the tip; [`Error::Unanswered`] if the pages end before all commits were listed; other errors
    /// if GitHub cannot be read.
    pub async fn compare(&self, repo: &RepoRef, base: &str, head: &str) -> Result<Comparison, Error> {
        let mut path =
            format!("/repos/{}/{}/compare/{base}...{head}?per_page=100&page=1", repo.owner, repo.name);
        let mut commits = Vec::new();
        loop {
            let (page, response) = self.get::<ComparisonPage>(NEW_COMMITS, &path).await?;
            commits.extend(page.commits.into_iter().map(ComparedCommit::from));
            match response.link.as_deref().and_then(next_link).and_then(|link| self.path_from_link(link)) {
                Some(next) => path = next,
                None if (commits.len() as i64) < page.total_commits => {
                    let (listed, total) = (commits.len(), page.total_commits);
                    let why = format!(
                        "the comparison of {base} and {head} in {} ended after {listed} of {total} commits",
                        repo.name
                    );
                    return Err(Error::unanswered(NEW_COMMITS, &why));
                }
                None => return Ok(Comparison { commits, behind_by: page.behind_by }),
            }
        }
    }
}

/// The last moment before a span that starts at `since`. GitHub's times are in whole seconds.
pub(crate) fn second_before(since: DateTime<Utc>) -> DateTime<Utc> {
    since - TimeDelta::seconds(1)
}

/// The counts in a response to [`COMMITS`]; `None` if it has none.
fn read_counts(data: &Value) -> Option<CommitCounts> {
    let count = |name: &str| data["node"]["object"][name]["totalCount"].as_i64();
    let up_to = count("upTo")?;
    Some(CommitCounts { listed: count("history")?, in_span: up_to - count("before")?, up_to })
}

fn commit_not_found(repo: &RepoRef, oid: &str) -> Error {
    let why = format!("commit {oid} of {}, which was listed, cannot be found", repo.name);
    Error::unanswered(COMMITS.what, &why)
}

/// The address of the `rel="next"` link.
fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (address, relation) = link.split_once(';')?;
        relation.contains("rel=\"next\"").then(|| address.trim().trim_matches(['<', '>']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let header = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\", <https://h/a?page=9>; rel=\"last\"";
        assert_eq!(next_link(header), Some("https://h/a?page=3"));
        assert_eq!(next_link("<https://h/a?page=1>; rel=\"last\""), None);
    }
}
