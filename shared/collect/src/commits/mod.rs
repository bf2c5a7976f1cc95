//! Reads commits. New commits are those reachable from the new tip and not from the old one.
//!
//! A walk by date, or one that stops at the old tip, would miss commits that were made long before they were
//! merged. Commits reachable from the old tip only were removed by a force-push.

mod moves;
mod walk;
mod windows;

use chrono::{DateTime, Utc};
use gam_github::wire::Commit;
use gam_github::{Client, Error};
use gam_model::{CommitVersion, Event};
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{CommitWalk, CommitsCheckpoint, CoveredCommits, UnansweredItem};
use crate::context::{ReadError, RepoContext};
use crate::window::CollectionWindow;
use crate::writer::{CheckpointUpdate, PageRead};

const KIND: &str = "commits";

/// Returns whether there is anything to read. `now` is the time of GitHub's clock.
pub(super) fn is_due(
    checkpoint: &CommitsCheckpoint,
    tip: &str,
    window: CollectionWindow,
    now: Option<DateTime<Utc>>,
) -> bool {
    if checkpoint.pending_line_counts.is_due(now) || checkpoint.is_in_progress() {
        return true;
    }
    let covered = checkpoint.covered.as_ref();
    covered.is_none_or(|covered| covered.tip != tip || next_extension(covered, window).is_some())
}

/// Returns the next walk that extends what is covered to the window: first to earlier dates, then to later
/// ones. `None` if the window is covered.
fn next_extension(covered: &CoveredCommits, window: CollectionWindow) -> Option<CommitWalk> {
    let since = window.start_for(Some(covered.since));
    if since < covered.since {
        let covers = CoveredCommits { since, ..covered.clone() };
        return Some(CommitWalk::new(covers, since, Some(covered.since)));
    }
    let until = covered.until.filter(|until| window.until().is_none_or(|end| end > *until))?;
    let covers = CoveredCommits { until: window.until(), ..covered.clone() };
    Some(CommitWalk::new(covers, until, window.until()))
}

pub(super) async fn read(
    github: &Client,
    context: &RepoContext,
    tip: &str,
    checkpoint: CommitsCheckpoint,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let mut reader = CommitReader { github, context, pages, checkpoint };
    if !reader.checkpoint.version.is_set() {
        reader.checkpoint.version = CommitVersion::initial(context.pushed_at);
    }
    if let Some(walk) = reader.checkpoint.walk.take() {
        reader.resume(walk).await?;
    }
    if let (Some(covered), Some(unfinished)) =
        (reader.checkpoint.covered.clone(), reader.checkpoint.tip_move.clone())
    {
        reader.finish_move(covered, unfinished, tip).await?;
    }
    match reader.checkpoint.covered.clone() {
        None => {
            let (since, until) = (context.window.start_for(None), context.window.until());
            let covers = CoveredCommits { tip: tip.to_owned(), since, until };
            reader.walk(CommitWalk::new(covers, since, until)).await?;
        }
        Some(covered) if covered.tip != tip => reader.move_tip(covered, tip).await?,
        Some(_) => {}
    }
    while let Some(walk) =
        reader.checkpoint.covered.as_ref().and_then(|covered| next_extension(covered, context.window))
    {
        reader.walk(walk).await?;
    }
    if reader.checkpoint.pending_line_counts.is_due(context.probed_at) {
        reader.retry_line_counts().await?;
    }
    Ok(())
}

/// Reads the commits of one repository.
struct CommitReader<'a> {
    github: &'a Client,
    context: &'a RepoContext,
    pages: &'a Sender<PageRead>,
    checkpoint: CommitsCheckpoint,
}

impl CommitReader<'_> {
    /// Sends events to the writer, together with the checkpoint as it is now.
    async fn send(&self, events: Vec<Event>) -> Result<(), ReadError> {
        let update = Some(CheckpointUpdate::Commits(self.checkpoint.clone()));
        self.context.send_page(self.pages, KIND, events, update).await
    }

    /// Sends events to the writer. The saved checkpoint stays as it is.
    async fn send_events_only(&self, events: Vec<Event>) -> Result<(), ReadError> {
        self.context.send_page(self.pages, KIND, events, None).await
    }

    /// Saves the checkpoint as it is now.
    async fn save(&self) -> Result<(), ReadError> {
        self.send(Vec::new()).await
    }

    /// Returns the events of commits on the branch, and remembers those that GitHub did not count.
    fn events<'c>(&mut self, commits: impl IntoIterator<Item = &'c Commit>) -> Vec<Event> {
        let CommitsCheckpoint { version, pending_line_counts: pending, unanswered, .. } =
            &mut self.checkpoint;
        let version = *version;
        let events = commits.into_iter().map(|commit| {
            if commit.has_line_counts() {
                pending.remove(&commit.oid);
                unanswered.remove(&commit.oid);
            } else {
                pending.add(&commit.oid);
            }
            if let Some(why) = commit.unanswered.clone() {
                let at = commit.committed_date;
                let item = UnansweredItem { number: None, created_at: at, changed_at: at, retries: 0, why };
                unanswered.add(&commit.oid, item, self.context.probed_at);
            }
            self.context.event_builder.commit(commit, version)
        });
        events.collect()
    }

    /// Requests again the commits whose changed lines GitHub refused to count.
    async fn retry_line_counts(&mut self) -> Result<(), ReadError> {
        let oids = self.checkpoint.pending_line_counts.start_retry(self.context.probed_at);
        let commits = match self.github.find_commits_by_id(&self.context.repo, &oids).await {
            Ok(commits) => commits,
            // They are requested again another day.
            Err(error) if error.is_transient() || matches!(error, Error::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        // A commit that GitHub does not return stays pending: only one of its servers may lack it.
        let counted: Vec<Commit> = commits.into_iter().flatten().filter(Commit::has_line_counts).collect();
        let events = self.events(&counted);
        self.send(events).await
    }
}
