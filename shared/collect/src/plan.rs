//! What there is to read: from the probe and the checkpoint to readings.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::EventBuilder;
use gam_github::queries::{COMMITS, DEPLOYMENTS, ISSUES, PULL_REQUESTS, RELEASES};
use gam_github::wire::Deployment;
use gam_github::{Client, Error, ListSummary, OrgProbe, RepoProbe, RepoRef};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{
    ChangesCheckpoint, CommitsCheckpoint, DeploymentsCheckpoint, ReleasesCheckpoint, RepoCheckpoint,
};
use crate::writer::{PageRead, Update};
use crate::{changes, commits, deployments, releases};

/// Why a reading ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    GitHub(Error),
    /// The writer has failed; its own error tells why.
    WriterGone,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::GitHub(error)
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// From when on, where it was said.
    pub(crate) since: Option<DateTime<Utc>>,
    /// From when on a repository is read for the first time: from the earliest day that was ever asked for.
    pub(crate) first_since: DateTime<Utc>,
    /// The earliest day that was asked for of all repositories before.
    pub(crate) before: Option<DateTime<Utc>>,
    /// Up to when, where it was said.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Span {
    /// The same where so much was asked for before.
    pub(crate) fn widened(self, before: Option<DateTime<Utc>>) -> Self {
        let first_since = before.into_iter().chain(self.since).min().unwrap_or(self.first_since);
        Span { first_since, before, ..self }
    }

    /// Whether everything from the first day asked for on was read before, given from when on it was.
    pub(crate) fn is_known(&self, known: Option<DateTime<Utc>>) -> bool {
        known.is_some_and(|at| at <= self.since(known))
    }

    /// From when on to read, given from when on was read before.
    pub(crate) fn since(&self, known: Option<DateTime<Utc>>) -> DateTime<Utc> {
        match (known, self.since) {
            (Some(_), Some(since)) => since,
            // A run that asked for more, of all repositories, may have been stopped before it came to this one.
            (Some(known), None) => self.before.map_or(known, |before| known.min(before)),
            (None, _) => self.first_since,
        }
    }
}

/// GitHub tells whole seconds: while one is not over, more can change within it.
pub(crate) const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What a reading knows of its repository.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) repo: RepoRef,
    pub(crate) origin: EventBuilder,
    pub(crate) span: Span,
    /// When the probe was answered, by GitHub's clock.
    pub(crate) read_at: Option<DateTime<Utc>>,
    /// The latest activity that the probe shows.
    pub(crate) active_at: Option<DateTime<Utc>>,
    pub(crate) pushed_at: Option<DateTime<Utc>>,
}

impl Target {
    /// The watermark to keep for a list whose newest entry changed at `newest`. Within the `doubt` after
    /// that moment more may have changed than was shown: where it is not over, it is read again.
    pub(crate) fn watermark(&self, newest: Option<DateTime<Utc>>, doubt: TimeDelta) -> Option<DateTime<Utc>> {
        newest.map(|at| match self.read_at {
            Some(read_at) if at + doubt < read_at => at,
            _ => at - doubt,
        })
    }

    /// Hands a page over to the writer.
    pub(crate) async fn hand_over(
        &self,
        sink: &Sender<PageRead>,
        what: &'static str,
        events: Vec<Event>,
        update: Option<Update>,
    ) -> Result<(), Stop> {
        let page = PageRead { repo_id: self.repo.id, repo: self.repo.name.clone(), what, events, update };
        sink.send(page).await.map_err(|_| Stop::WriterGone)
    }
}

enum Kind {
    Commits { tip: String, from: CommitsCheckpoint },
    Pulls { newest: ListSummary, from: ChangesCheckpoint },
    Issues { newest: ListSummary, from: ChangesCheckpoint },
    Releases { newest: ListSummary, from: ReleasesCheckpoint },
    Deployments { newest: ListSummary, from: DeploymentsCheckpoint, asked: HashMap<i64, Option<Deployment>> },
}

/// About what a reading takes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// What is read: `commits`, `pull_requests`, `issues`, `releases` or `deployments`.
    pub what: &'static str,
    /// Requests.
    pub requests: u64,
    /// Points of GitHub's limits.
    pub points: u64,
}

/// How many pages so many entries fill. An empty list is asked for too.
fn pages(entries: i64, first: i64) -> u64 {
    1 + (entries - first).max(0).unsigned_abs().div_ceil(100)
}

/// How many pages of a list ordered by change are read at most. It is not known how many of its entries
/// have changed since the first day asked for.
fn changes_pages(from: &ChangesCheckpoint, newest: ListSummary, span: Span, first: i64) -> u64 {
    if span.is_known(from.since) {
        return 1;
    }
    // Where nothing has, that is known without reading.
    let is_idle = newest.at.is_none_or(|at| at < span.since(from.since));
    if is_idle && from.walk.is_none() { 0 } else { pages(newest.total, first) }
}

/// One kind of one repository, to be read.
pub(crate) struct Reading {
    target: Target,
    kind: Kind,
}

impl Reading {
    pub(crate) fn repo(&self) -> &RepoRef {
        &self.target.repo
    }

    /// About what it takes at most: of what is new since the last time nothing is known but that there is
    /// some. `commits` is how many a walk from the first day on would find, where one is due.
    pub(crate) fn estimate(&self, commits: Option<i64>) -> Estimate {
        let span = self.target.span;
        let (what, requests, points) = match &self.kind {
            Kind::Commits { .. } => {
                ("commits", commits.map_or(2, |commits| pages(commits, 100)), COMMITS.points)
            }
            // A first page is of 50.
            Kind::Pulls { newest, from } => {
                ("pull_requests", changes_pages(from, *newest, span, 50), PULL_REQUESTS.points)
            }
            Kind::Issues { newest, from } => {
                ("issues", changes_pages(from, *newest, span, 100), ISSUES.points)
            }
            Kind::Releases { newest, .. } => ("releases", pages(newest.total, 100), RELEASES.points),
            Kind::Deployments { newest, from, .. } => {
                let is_whole = !span.is_known(from.since) && newest.total > 0;
                ("deployments", if is_whole { pages(newest.total, 100) } else { 1 }, DEPLOYMENTS.points)
            }
        };
        Estimate { what, requests, points: requests * points }
    }

    /// Reads to the end, handing every page over.
    pub(crate) async fn run(self, github: &Client, sink: &Sender<PageRead>) -> Result<(), Stop> {
        let target = &self.target;
        match self.kind {
            Kind::Commits { tip, from } => commits::read(github, target, &tip, from, sink).await,
            Kind::Pulls { newest, from } => changes::read_pulls(github, target, newest, from, sink).await,
            Kind::Issues { newest, from } => changes::read_issues(github, target, newest, from, sink).await,
            Kind::Releases { newest, from } => releases::read(github, target, newest, from, sink).await,
            Kind::Deployments { newest, from, asked } => {
                deployments::read(github, target, newest, from, asked, sink).await
            }
        }
    }
}

/// What there is to read of a repository. `asked` are the answers for its unsettled deployments, and
/// `is_published` says that a draft of a release was published.
pub(crate) fn readings(
    probe: &OrgProbe,
    repo: &RepoProbe,
    checkpoint: RepoCheckpoint,
    span: Span,
    asked: &HashMap<i64, HashMap<i64, Option<Deployment>>>,
    is_published: bool,
    now: DateTime<Utc>,
) -> Vec<Reading> {
    let newest = [repo.pulls.at, repo.issues.at, repo.releases.at, repo.deployments.at, repo.pushed_at];
    let target = Target {
        repo: RepoRef {
            owner: probe.login.clone(),
            name: repo.name.clone(),
            node_id: repo.node_id.clone(),
            id: repo.id,
        },
        origin: EventBuilder {
            org: probe.login.clone(),
            repo: repo.name.clone(),
            repo_id: repo.id,
            collected_at: now,
        },
        span,
        read_at: probe.read_at,
        active_at: newest.into_iter().max().flatten(),
        pushed_at: repo.pushed_at,
    };
    let RepoCheckpoint { commits, pulls, issues, releases, deployments, .. } = checkpoint;
    let mut kinds = Vec::new();
    if let Some(tip) = repo.tip.clone()
        && commits::is_due(&commits, &tip, span, probe.read_at)
    {
        kinds.push(Kind::Commits { tip, from: commits });
    }
    if changes::is_due(&pulls, repo.pulls, span) {
        kinds.push(Kind::Pulls { newest: repo.pulls, from: pulls });
    }
    if changes::is_due(&issues, repo.issues, span) {
        kinds.push(Kind::Issues { newest: repo.issues, from: issues });
    }
    let asked = asked.get(&repo.id).cloned().unwrap_or_default();
    if !asked.is_empty() || deployments::is_due(&deployments, repo.deployments, span) {
        kinds.push(Kind::Deployments { newest: repo.deployments, from: deployments, asked });
    }
    if is_published || releases::is_due(&releases, repo.releases, &target) {
        kinds.push(Kind::Releases { newest: repo.releases, from: releases });
    }
    kinds.into_iter().map(|kind| Reading { target: target.clone(), kind }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_as_many_pages_as_it_has_unless_it_was_read_or_is_idle() {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0);
        let span = |since: Option<i64>| {
            let first_since = at(90).expect("a time");
            Span { since: since.and_then(at), first_since, before: None, until: None }.widened(None)
        };
        let newest = |day: i64, total: i64| ListSummary { total, id: None, at: at(day) };
        let (unread, walked) = (
            ChangesCheckpoint::default(),
            ChangesCheckpoint { since: at(90), watermark: at(100), total: 120, ..Default::default() },
        );
        let pages = |from, day, total, since| changes_pages(from, newest(day, total), span(since), 50);
        assert_eq!(pages(&unread, 100, 50, None), 1);
        assert_eq!(pages(&unread, 100, 150, None), 2);
        assert_eq!(pages(&unread, 100, 151, None), 3);
        assert_eq!(pages(&unread, 89, 151, None), 0, "nothing has changed since day 90");
        assert_eq!(pages(&unread, 89, 151, Some(80)), 3);
        assert_eq!(pages(&walked, 110, 151, None), 1, "what is new");
        assert_eq!(pages(&walked, 110, 151, Some(80)), 3, "what is missing since day 80");
        assert_eq!(changes_pages(&unread, ListSummary::default(), span(None), 50), 0);
    }

    #[test]
    fn what_was_never_read_is_read_from_the_earliest_day_that_was_asked_for() {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0).expect("a time");
        let span = |since: Option<i64>, before: Option<i64>| {
            Span { since: since.map(at), first_since: at(90), before: None, until: None }
                .widened(before.map(at))
        };
        assert_eq!(span(None, None).since(None), at(90));
        assert_eq!(span(Some(60), None).since(None), at(60));
        assert_eq!(span(Some(60), Some(10)).since(None), at(10));
        assert_eq!(span(Some(5), Some(10)).since(None), at(5));
        assert_eq!(span(None, Some(10)).since(None), at(10));
        assert_eq!(span(Some(60), Some(10)).since(Some(at(20))), at(60), "that has been read from day 20 on");
        assert_eq!(span(None, Some(10)).since(Some(at(20))), at(10), "more was asked for, and not read here");
        assert_eq!(span(None, Some(20)).since(Some(at(10))), at(10));
        assert_eq!(span(None, None).since(Some(at(95))), at(95), "it was asked for alone");
    }
}
