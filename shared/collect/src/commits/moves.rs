//! Moves from the covered tip to another.
//!
//! After a force-push, all events have a greater version than before. The retractions of the removed commits
//! have a version in between.

use chrono::DateTime;
use gam_github::{Comparison, Error, PageSize};
use gam_model::Event;

use super::CommitReader;
use crate::checkpoint::{CommitWalk, CoveredCommits, MoveStep, PendingLineCounts, TipMove};
use crate::context::{ReadError, is_cursor_rejected};

/// How many commits are requested by object id, and saved, together.
const COMMITS_PER_REQUEST: usize = 100;

impl CommitReader<'_> {
    /// Moves from the covered tip to another.
    pub(super) async fn move_tip(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), ReadError> {
        let forward = match self.github.compare(&self.context.repo, &covered.tip, tip).await {
            Ok(forward) => forward,
            Err(error) => return self.replace_uncomparable(covered, tip.to_owned(), error).await,
        };
        if forward.behind_by > 0 {
            if forward.commits.is_empty() && self.current_tip().await?.as_deref() != Some(tip) {
                return Err(self.tip_not_shown(tip).into());
            }
            self.start_version();
        }
        let step = MoveStep::Compare { commits_read: 0 };
        self.checkpoint.tip_move = Some(TipMove { to: tip.to_owned(), step });
        // Once events of the move may be in the lake, the move must be finished. So it is saved first.
        self.save().await?;
        self.read_difference(covered, tip.to_owned(), forward, 0).await
    }

    /// Finishes a move that an earlier run began. `tip` is the current tip of the branch.
    pub(super) async fn finish_move(
        &mut self,
        covered: CoveredCommits,
        unfinished: TipMove,
        tip: &str,
    ) -> Result<(), ReadError> {
        let TipMove { to, step } = unfinished;
        match step {
            MoveStep::Compare { commits_read } => {
                match self.github.compare(&self.context.repo, &covered.tip, &to).await {
                    Ok(forward) => return self.read_difference(covered, to, forward, commits_read).await,
                    Err(error) => {
                        if self.are_uncomparable(&covered.tip, &to, error).await? {
                            self.start_version();
                            return self.replace(covered, to).await;
                        }
                    }
                }
            }
            MoveStep::Replace { old, cursor } if covered.tip == to => {
                return self.retract_history(old, to, cursor).await;
            }
            MoveStep::Replace { .. } => {}
        }
        self.abandon_move(covered, tip).await
    }

    /// Abandons a move whose tip is gone. The move may have retracted commits that are on the branch. So the
    /// covered history is read again from the current tip, with a version that beats those retractions.
    async fn abandon_move(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), ReadError> {
        if !self.github.has_commit(&self.context.repo, tip).await? {
            return Err(self.tip_not_shown(tip).into());
        }
        self.context.warn(
            "the tip of an unfinished move is gone, so the history is read again; commits that only that tip had \
             stay counted until the next reconcile",
        );
        self.start_version();
        if covered.tip == tip {
            self.checkpoint.tip_move = None;
            return self.read_covered_history(covered).await;
        }
        self.replace(covered, tip.to_owned()).await
    }

    fn start_version(&mut self) {
        self.checkpoint.version = self.checkpoint.version.after_force_push(self.context.pushed_at);
    }

    /// Returns whether two tips cannot be compared, although GitHub can be reached: they have no common
    /// ancestor, their difference is too large for GitHub, or the old tip is gone. Returns false if GitHub
    /// does not show the new tip. `error` is the error of the comparison.
    async fn are_uncomparable(&self, old: &str, new: &str, error: Error) -> Result<bool, ReadError> {
        if !matches!(error, Error::NotFound(_)) && !error.is_transient() {
            return Err(error.into());
        }
        let is_shown = self.github.has_commit(&self.context.repo, new).await?;
        let repo = &self.context.repo.name;
        tracing::info!(repo, old, new, why = %error, is_shown, "two tips cannot be compared");
        Ok(is_shown)
    }

    /// Moves to a tip whose comparison with the old one failed with `error`.
    async fn replace_uncomparable(
        &mut self,
        covered: CoveredCommits,
        to: String,
        error: Error,
    ) -> Result<(), ReadError> {
        if !self.are_uncomparable(&covered.tip, &to, error).await? {
            return Err(self.tip_not_shown(&to).into());
        }
        self.start_version();
        self.replace(covered, to).await
    }

    /// Returns the tip that GitHub shows at the moment.
    async fn current_tip(&self) -> Result<Option<String>, ReadError> {
        let repo = &self.context.repo;
        let probe = self.github.probe_repos(&repo.owner, std::slice::from_ref(&repo.node_id)).await?;
        Ok(probe.repos.into_iter().find_map(|probe| probe.tip))
    }

    /// The error for a tip that the probe showed and another server of GitHub does not show (yet). It is
    /// transient.
    fn tip_not_shown(&self, tip: &str) -> Error {
        let why = format!("it listed {tip} as the tip of {} but no longer shows it", self.context.repo.name);
        Error::unanswered("the new commits", &why)
    }

    /// Reads the commits that only the new tip has, and retracts those that only the old one has.
    /// `commits_read` is how many of the former an earlier run has read.
    async fn read_difference(
        &mut self,
        covered: CoveredCommits,
        to: String,
        forward: Comparison,
        commits_read: usize,
    ) -> Result<(), ReadError> {
        let (github, repo) = (self.github, &self.context.repo);
        if forward.behind_by > 0 && commits_read == 0 {
            let backward = match github.compare(repo, &to, &covered.tip).await {
                Ok(backward) => backward,
                Err(error) => return self.replace_uncomparable(covered, to, error).await,
            };
            let version = self.checkpoint.version.retraction();
            let mut retractions = Vec::new();
            for removed in &backward.commits {
                self.checkpoint.pending_line_counts.remove(&removed.sha);
                self.checkpoint.unanswered.remove(&removed.sha);
                retractions.push(self.context.event_builder.retracted_commit(removed, version));
            }
            self.send_events_only(retractions).await?;
        }
        let new: Vec<String> = forward
            .commits
            .into_iter()
            .filter(|commit| commit.committed_at >= covered.since)
            .map(|commit| commit.sha)
            .collect();
        for (index, oids) in new.chunks(COMMITS_PER_REQUEST).enumerate() {
            let start = index * COMMITS_PER_REQUEST;
            if start < commits_read {
                continue;
            }
            let commits = github.commits_by_id(repo, oids).await?;
            let events = self.events(&commits);
            let step = MoveStep::Compare { commits_read: start + oids.len() };
            self.checkpoint.tip_move = Some(TipMove { to: to.clone(), step });
            self.send(events).await?;
        }
        self.checkpoint.tip_move = None;
        self.checkpoint.covered = Some(CoveredCommits { tip: to, ..covered });
        self.save().await
    }

    /// Reads the history of the new tip, then retracts that of the old one. Commits in both histories have a
    /// greater version by then, so no commit is missing at any time.
    async fn replace(&mut self, covered: CoveredCommits, to: String) -> Result<(), ReadError> {
        let step = MoveStep::Replace { old: covered.clone(), cursor: None };
        self.checkpoint.tip_move = Some(TipMove { to: to.clone(), step });
        self.read_covered_history(CoveredCommits { tip: to.clone(), ..covered.clone() }).await?;
        self.retract_history(covered, to, None).await
    }

    /// Walks through all that is to be covered of a history.
    async fn read_covered_history(&mut self, covers: CoveredCommits) -> Result<(), ReadError> {
        // Retracted commits must not be requested again. The walk adds those that stay.
        self.checkpoint.pending_line_counts = PendingLineCounts::default();
        let (since, until) = (covers.since, covers.until);
        let walk = CommitWalk::new(covers, since, until);
        self.checkpoint.walk = Some(walk.clone());
        self.save().await?;
        self.walk(walk).await
    }

    /// Retracts the history of the old tip, page by page. If the list of its covered span misses commits, they
    /// are looked for in the complete history.
    async fn retract_history(
        &mut self,
        mut old: CoveredCommits,
        to: String,
        mut cursor: Option<String>,
    ) -> Result<(), ReadError> {
        let mut size = PageSize::new(100).resume(self.checkpoint.page_size);
        let mut has_saved_cursor = cursor.is_some();
        loop {
            let span = (Some(old.since), None);
            let with_counts = cursor.is_none() && old.since > DateTime::UNIX_EPOCH;
            let page = match self
                .github
                .commits(&self.context.repo, &old.tip, span, cursor.as_deref(), with_counts, &mut size)
                .await
            {
                Ok(page) if self.search_for_hidden(&page).is_some() => {
                    old.since = DateTime::UNIX_EPOCH;
                    continue;
                }
                Ok(page) => page,
                Err(error) if is_cursor_rejected(&error) && std::mem::take(&mut has_saved_cursor) => {
                    cursor = None;
                    continue;
                }
                Err(error @ Error::NotFound(_)) => {
                    // If it is the repository that GitHub does not show, `has_commit` fails with its own error.
                    if self.github.has_commit(&self.context.repo, &old.tip).await? {
                        return Err(error.into());
                    }
                    self.context.warn(format!(
                        "GitHub has forgotten the tip from before a force-push, so the removed commits stay \
                         counted until the next reconcile ({error})"
                    ));
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            has_saved_cursor = false;
            let version = self.checkpoint.version.retraction();
            // The complete history has commits that were never collected.
            let collected_from = self.checkpoint.covered.as_ref().map_or(old.since, |covered| covered.since);
            let collected = page.entries.iter().filter(|commit| commit.committed_date >= collected_from);
            let retractions = collected.map(|commit| {
                let event = self.context.event_builder.commit(commit, version);
                Event { retracted: true, ..event }
            });
            let retractions = retractions.collect();
            cursor = page.next;
            if cursor.is_none() {
                self.send_events_only(retractions).await?;
                break;
            }
            let step = MoveStep::Replace { old: old.clone(), cursor: cursor.clone() };
            self.checkpoint.tip_move = Some(TipMove { to: to.clone(), step });
            self.send(retractions).await?;
        }
        self.checkpoint.tip_move = None;
        self.save().await
    }
}
