//! Reading commits: what is new is the ancestors of the new tip less those of the old one.
//!
//! A walk by date, or one that stops at the old tip, would lose commits that land late. The reverse
//! difference is what a force-push took away.

use chrono::{DateTime, Utc};
use gam_github::{Client, Error, PageSize};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use super::plan::{Span, Stop, Target};
use super::writer::{PageRead, Update};
use crate::checkpoint::{CommitWalk, CommitsCheckpoint, CoveredCommits};

const WHAT: &str = "commits";

/// Whether there is anything to read.
pub(super) fn is_due(from: &CommitsCheckpoint, tip: &str, span: Span) -> bool {
    match &from.covered {
        _ if from.walk.is_some() => true,
        None => true,
        Some(covered) => covered.tip != tip || widening(covered, span).next().is_some(),
    }
}

/// The spans of committer dates that are asked for and not covered.
fn widening(covered: &CoveredCommits, span: Span) -> impl Iterator<Item = CommitWalk> {
    let earlier = span.since.filter(|since| *since < covered.since).map(|since| CommitWalk {
        covers: CoveredCommits { since, ..covered.clone() },
        since,
        until: Some(covered.since),
        cursor: None,
    });
    let later = covered.until.filter(|until| span.until.is_none_or(|asked| asked > *until));
    let later = later.map(|until| CommitWalk {
        covers: CoveredCommits { until: span.until, ..covered.clone() },
        since: until,
        until: span.until,
        cursor: None,
    });
    // One at a time: the second starts from what the first has covered.
    earlier.or(later).into_iter()
}

pub(super) async fn read(
    github: &Client,
    target: &Target,
    tip: &str,
    from: CommitsCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let mut reading = Commits { github, target, sink, checkpoint: from };
    reading.checkpoint.version = reading.checkpoint.version.max(1);
    if let Some(walk) = reading.checkpoint.walk.take() {
        match reading.walk(walk).await {
            // The tip it was pinned to has been pushed over and forgotten: start again.
            Err(Stop::GitHub(Error::NotFound(_))) => reading.checkpoint.walk = None,
            done => done?,
        }
    }
    match reading.checkpoint.covered.clone() {
        None => {
            let since = target.span.since(None);
            let covers = CoveredCommits { tip: tip.to_owned(), since, until: target.span.until };
            let until = target.span.until;
            reading.walk(CommitWalk { covers, since, until, cursor: None }).await?;
        }
        Some(covered) if covered.tip != tip => reading.move_tip(covered, tip).await?,
        Some(_) => {}
    }
    while let Some(walk) =
        reading.checkpoint.covered.as_ref().and_then(|covered| widening(covered, target.span).next())
    {
        reading.walk(walk).await?;
    }
    Ok(())
}

struct Commits<'a> {
    github: &'a Client,
    target: &'a Target,
    sink: &'a Sender<PageRead>,
    checkpoint: CommitsCheckpoint,
}

impl Commits<'_> {
    async fn hand_over(&self, events: Vec<Event>, save: bool) -> Result<(), Stop> {
        let update = save.then(|| Update::Commits(self.checkpoint.clone()));
        self.target.hand_over(self.sink, WHAT, events, update).await
    }

    /// Walks a span of the history of a pinned tip, page by page.
    async fn walk(&mut self, mut walk: CommitWalk) -> Result<(), Stop> {
        let mut size = PageSize::new(100);
        loop {
            let span = (Some(walk.since), walk.until);
            let page = self
                .github
                .commits(&self.target.repo, &walk.covers.tip, span, walk.cursor.as_deref(), &mut size)
                .await?;
            let version = self.checkpoint.version;
            let events = page.entries.iter().map(|commit| self.target.origin.commit(commit, version));
            let events = events.collect();
            walk.cursor = page.next;
            let more = walk.cursor.is_some();
            if more {
                self.checkpoint.walk = Some(walk.clone());
            } else {
                self.checkpoint.walk = None;
                self.checkpoint.covered = Some(walk.covers.clone());
            }
            self.hand_over(events, true).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Reads what the new tip has and the old one has not, and takes back what it is the other way.
    async fn move_tip(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), Stop> {
        let (github, repo) = (self.github, &self.target.repo);
        let forward = match github.compare(repo, &covered.tip, tip).await {
            Ok(forward) => forward,
            Err(Error::NotFound(why)) => {
                tracing::warn!(
                    repo = repo.name,
                    why,
                    "the old tip is gone, so what a force-push took away cannot be told; reading the history anew"
                );
                let (since, until) = (covered.since, covered.until);
                let covers = CoveredCommits { tip: tip.to_owned(), ..covered };
                return self.walk(CommitWalk { covers, since, until, cursor: None }).await;
            }
            Err(error) => return Err(error.into()),
        };
        if forward.behind_by > 0 {
            self.take_back(&covered, tip).await?;
        }
        let new: Vec<String> = forward
            .commits
            .into_iter()
            .filter(|commit| commit.committed_at >= covered.since)
            .map(|commit| commit.sha)
            .collect();
        for shas in new.chunks(100) {
            let commits = github.commits_by_id(repo, shas).await?;
            let version = self.checkpoint.version;
            let events = commits.iter().map(|commit| self.target.origin.commit(commit, version)).collect();
            self.hand_over(events, false).await?;
        }
        self.checkpoint.covered = Some(CoveredCommits { tip: tip.to_owned(), ..covered });
        self.hand_over(Vec::new(), true).await
    }

    /// Takes back what a force-push took away. Its version lies between those of the commits written
    /// before and after it.
    async fn take_back(&mut self, covered: &CoveredCommits, tip: &str) -> Result<(), Stop> {
        let backward = self.github.compare(&self.target.repo, tip, &covered.tip).await?;
        let pushed_at = self.target.pushed_at.map_or(0, |at: DateTime<Utc>| at.timestamp());
        self.checkpoint.version = (self.checkpoint.version + 2).max(pushed_at);
        let version = self.checkpoint.version - 1;
        let gone = backward.commits.iter().map(|commit| self.target.origin.commit_gone(commit, version));
        let gone = gone.collect();
        self.hand_over(gone, false).await
    }
}
