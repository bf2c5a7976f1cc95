//! Reading commits: what is new is the ancestors of the new tip less those of the old one.
//!
//! A walk by date, or one that stops at the old tip, would lose commits that land late. The reverse
//! difference is what a force-push took away.

mod moves;
mod walk;
mod windows;

use chrono::{DateTime, Utc};
use gam_github::wire::Commit;
use gam_github::{Client, Error};
use gam_model::{CommitVersion, Event};
use tokio::sync::mpsc::Sender;

use super::plan::{Span, Stop, Target};
use super::writer::{PageRead, Update};
use crate::checkpoint::{CommitWalk, CommitsCheckpoint, CoveredCommits};

const WHAT: &str = "commits";

/// Whether there is anything to read.
pub(super) fn is_due(from: &CommitsCheckpoint, tip: &str, span: Span, now: Option<DateTime<Utc>>) -> bool {
    match &from.covered {
        _ if from.uncounted.is_due(now) => true,
        _ if from.walk.is_some() || from.moving.is_some() => true,
        None => true,
        Some(covered) => covered.tip != tip || widening(covered, span).next().is_some(),
    }
}

/// The spans of committer dates that are asked for and not covered.
fn widening(covered: &CoveredCommits, span: Span) -> impl Iterator<Item = CommitWalk> {
    let since = span.since(Some(covered.since));
    let earlier = (since < covered.since)
        .then(|| CommitWalk::new(CoveredCommits { since, ..covered.clone() }, since, Some(covered.since)));
    let later = covered.until.filter(|until| span.until.is_none_or(|asked| asked > *until));
    let later = later.map(|until| {
        CommitWalk::new(CoveredCommits { until: span.until, ..covered.clone() }, until, span.until)
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
    if !reading.checkpoint.version.is_set() {
        reading.checkpoint.version = CommitVersion::initial(target.pushed_at);
    }
    if let Some(walk) = reading.checkpoint.walk.take() {
        reading.resume(walk).await?;
    }
    if let (Some(covered), Some(moving)) =
        (reading.checkpoint.covered.clone(), reading.checkpoint.moving.clone())
    {
        reading.finish_move(covered, moving, tip).await?;
    }
    match reading.checkpoint.covered.clone() {
        None => {
            let since = target.span.since(None);
            let covers = CoveredCommits { tip: tip.to_owned(), since, until: target.span.until };
            reading.walk(CommitWalk::new(covers, since, target.span.until)).await?;
        }
        Some(covered) if covered.tip != tip => reading.move_tip(covered, tip).await?,
        Some(_) => {}
    }
    while let Some(walk) =
        reading.checkpoint.covered.as_ref().and_then(|covered| widening(covered, target.span).next())
    {
        reading.walk(walk).await?;
    }
    if reading.checkpoint.uncounted.is_due(target.read_at) {
        reading.count_again().await?;
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

    /// The events of commits that are on the branch. Those that GitHub did not count are remembered.
    fn events<'c>(&mut self, commits: impl IntoIterator<Item = &'c Commit>) -> Vec<Event> {
        let version = self.checkpoint.version;
        let told = commits.into_iter().map(|commit| {
            self.checkpoint.uncounted.note(&commit.oid, commit.has_line_counts());
            self.target.origin.commit(commit, version)
        });
        told.collect()
    }

    /// Asks again for commits whose lines GitHub refused to count.
    async fn count_again(&mut self) -> Result<(), Stop> {
        let oids = self.checkpoint.uncounted.ask(self.target.read_at);
        let commits = match self.github.find_commits_by_id(&self.target.repo, &oids).await {
            Ok(commits) => commits,
            // They are asked for again another day.
            Err(Error::Unavailable { .. } | Error::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        // One that is not shown may be pushed away, or shown by another server: it is asked for again too.
        let counted: Vec<Commit> = commits.into_iter().flatten().filter(Commit::has_line_counts).collect();
        let events = self.events(&counted);
        self.hand_over(events, true).await
    }
}
