//! Commits: pages of a history pinned to a tip, commits by id, and the difference of two tips.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Member;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::{Error, Failure};
use crate::page::PageSize;
use crate::partial::{Came, spares_the_rest};
use crate::queries::{COMMITS, commits_by_oid};
use crate::rest::Compared;
use crate::wire::{Commit, Node};

/// Where a history's commits are in the answer.
const COMMITS_LISTED: &[&str] = &["node", "object", "history", "nodes"];

/// A commit as a comparison of two tips shows it: without line counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedCommit {
    /// The object id.
    pub sha: String,
    /// The committer date, UTC.
    pub committed_at: DateTime<Utc>,
    /// How many parents it has.
    pub parents: usize,
    /// The author.
    pub member: Member,
}

/// What one tip has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The ancestors of the head less those of the base.
    pub commits: Vec<ComparedCommit>,
    /// How many ancestors the base has that the head has not: more than none after a force-push.
    pub behind_by: i64,
}

/// How many commits a history holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How many the list of the span shows. It stops at a commit that is older than the span, and what lies
    /// behind may be younger where somebody's clock was wrong.
    pub listed: i64,
    /// How many there are in the span.
    pub in_span: i64,
    /// How many there are up to the end of the span.
    pub up_to: i64,
}

/// A page of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitPage {
    /// The commits.
    pub entries: Vec<Commit>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
    /// How many commits there are, where that was asked for of a span with a beginning, and GitHub had the time
    /// to count them.
    pub counted: Option<Counted>,
}

/// A span of committer dates; both ends belong to it.
pub type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

impl Client {
    /// A page of the commits reachable from `tip` whose committer dates lie in the span, both ends
    /// included; with how many there are, where that is asked for and GitHub has the time to count them. A
    /// commit whose lines GitHub refuses to count comes without counts.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or the tip is gone; others where GitHub does not answer.
    pub async fn commits(
        &self,
        repo: &RepoRef,
        tip: &str,
        span: Span,
        cursor: Option<&str>,
        counted: bool,
        size: &mut PageSize,
    ) -> Result<CommitPage, Error> {
        let tolerated =
            |error: &GraphQlError| error.is_lines_unavailable() || spares_the_rest(error, COMMITS_LISTED);
        let (text, heavy) = (COMMITS.text(), Cell::new(0));
        let reply = self
            .persist(COMMITS.what, Some(size), async |first| {
                // Counting a very long history may be too much, whatever the size of the page.
                let total = counted && span.0.is_some() && heavy.get() < 2;
                let variables = json!({
                    "repo": repo.node_id, "oid": tip, "since": span.0, "until": span.1, "first": first,
                    "after": cursor, "lines": true, "total": total, "before": span.0.map(just_before),
                });
                let body = json!({ "query": text, "variables": variables });
                let reply = self.ask(COMMITS.what, COMMITS.points, &body, &tolerated).await;
                heavy.set(match &reply {
                    Err(Failure::TooHeavy(_)) => 2,
                    Err(Failure::Heavy(_)) => heavy.get() + 1,
                    _ => heavy.get(),
                });
                reply
            })
            .await?;
        let counted = count_of(&reply.data);
        let came = Came::<Commit>::read(COMMITS.what, reply, COMMITS_LISTED)?.ok_or_else(|| gone(repo))?;
        // A commit whose lines GitHub refuses to count, or has no time for, is not there at all.
        let missing = came.missing().ok_or_else(|| Error::Unavailable {
            what: COMMITS.what.to_owned(),
            why: "the answer does not name all commits".to_owned(),
        })?;
        let mut rest = self.commits_by_id(repo, &missing).await?.into_iter();
        // Both are in one order, so each gap takes the next one.
        let entries = came.entries.into_iter().filter_map(|commit| commit.or_else(|| rest.next()));
        Ok(CommitPage { entries: entries.collect(), next: came.next, counted })
    }

    /// Whether GitHub shows the commit.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn shows(&self, repo: &RepoRef, oid: &str) -> Result<bool, Error> {
        let (objects, _) = self.objects(repo, &[oid.to_owned()], false, &mut PageSize::new(1)).await?;
        Ok(objects.into_values().any(|commit| commit.is_some()))
    }

    /// Commits by object id, any number of them, in the order asked for.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer, or does
    /// not show one of the commits, as a replica that lags behind does for a while.
    pub async fn commits_by_id(&self, repo: &RepoRef, oids: &[String]) -> Result<Vec<Commit>, Error> {
        let found = self.commits_if_shown(repo, oids).await?.into_iter().zip(oids);
        found.map(|(commit, oid)| commit.ok_or_else(|| not_shown(repo, oid))).collect()
    }

    /// Commits by object id, any number of them, in the order asked for; nothing in the place of one that
    /// GitHub does not show.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn commits_if_shown(
        &self,
        repo: &RepoRef,
        oids: &[String],
    ) -> Result<Vec<Option<Commit>>, Error> {
        let mut found = Vec::with_capacity(oids.len());
        let mut size = PageSize::new(100);
        let mut rest = oids;
        while !rest.is_empty() {
            let (objects, asked) = self.objects(repo, rest, true, &mut size).await?;
            let (now, later) = rest.split_at(asked);
            rest = later;
            let shown = |i: usize| objects.get(&format!("c{i}")).cloned().flatten();
            let refused: Vec<String> =
                (0..asked).filter(|i| shown(*i).is_none()).map(|i| now[i].clone()).collect();
            let mut uncounted = self.uncounted(repo, &refused).await?.into_iter();
            // Both are in the order of `now`, so each gap takes the next one.
            found.extend((0..asked).map(|i| shown(i).or_else(|| uncounted.next().flatten())));
        }
        Ok(found)
    }

    /// Commits without line counts, up to 100 of them, in the order asked for; nothing in the place of one
    /// that GitHub does not show.
    async fn uncounted(&self, repo: &RepoRef, oids: &[String]) -> Result<Vec<Option<Commit>>, Error> {
        let mut found = Vec::with_capacity(oids.len());
        let mut size = PageSize::new(100);
        let mut rest = oids;
        while !rest.is_empty() {
            let (mut objects, asked) = self.objects(repo, rest, false, &mut size).await?;
            found.extend((0..asked).map(|i| objects.remove(&format!("c{i}")).flatten()));
            rest = &rest[asked..];
        }
        Ok(found)
    }

    /// Asks for the first commits of the list, as many as the page size allows; and how many that were.
    async fn objects(
        &self,
        repo: &RepoRef,
        oids: &[String],
        with_lines: bool,
        size: &mut PageSize,
    ) -> Result<(BTreeMap<String, Option<Commit>>, usize), Error> {
        let asked = Cell::new(0);
        let reply = self
            .query_sized::<Node<BTreeMap<String, Option<Commit>>>>(
                "commits",
                2,
                json!({ "repo": repo.node_id, "lines": with_lines }),
                size,
                |first| {
                    let now = &oids[..oids.len().min(first as usize)];
                    asked.set(now.len());
                    commits_by_oid(now)
                },
                |error| error.is_lines_unavailable() || error.is_not_found(),
            )
            .await?;
        Ok((reply.data.node.ok_or_else(|| gone(repo))?, asked.get()))
    }

    /// The ancestors of `head` less those of `base`, which may be many pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository or a tip is gone, as a tip may be some time after it
    /// was pushed over; [`Error::Unavailable`] where the pages end before all was told; others where GitHub
    /// does not answer.
    pub async fn compare(&self, repo: &RepoRef, base: &str, head: &str) -> Result<Comparison, Error> {
        let mut path =
            format!("/repos/{}/{}/compare/{base}...{head}?per_page=100&page=1", repo.owner, repo.name);
        let mut commits = Vec::new();
        loop {
            let (page, response) = self.get::<Compared>("the new commits", &path).await?;
            commits.extend(page.commits.into_iter().map(ComparedCommit::from));
            match response.link.as_deref().and_then(next_link).and_then(|link| self.path_of_link(link)) {
                Some(next) => path = next,
                None if (commits.len() as i64) < page.total_commits => {
                    let (told, total) = (commits.len(), page.total_commits);
                    return Err(Error::Unavailable {
                        what: "the new commits".to_owned(),
                        why: format!(
                            "the comparison of {base} and {head} in {} ended after {told} of {total} commits",
                            repo.name
                        ),
                    });
                }
                None => return Ok(Comparison { commits, behind_by: page.behind_by }),
            }
        }
    }
}

/// The last second before a span; GitHub tells whole seconds.
pub(crate) fn just_before(since: DateTime<Utc>) -> DateTime<Utc> {
    since - TimeDelta::seconds(1)
}

/// What an answer counts.
fn count_of(data: &serde_json::Value) -> Option<Counted> {
    let count = |name: &str| data["node"]["object"][name]["totalCount"].as_i64();
    let up_to = count("upTo")?;
    Some(Counted { listed: count("history")?, in_span: up_to - count("before")?, up_to })
}

fn not_shown(repo: &RepoRef, oid: &str) -> Error {
    Error::Unavailable {
        what: "commits".to_owned(),
        why: format!("commit {oid} of {}, which was listed, is not shown", repo.name),
    }
}

pub(crate) fn gone(repo: &RepoRef) -> Error {
    Error::NotFound(format!("GitHub no longer shows {}/{} to this token", repo.owner, repo.name))
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
