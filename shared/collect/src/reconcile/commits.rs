//! Compares commits: the number that GitHub counts with that in the snapshots, and the commits themselves if
//! the numbers differ.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use gam_github::Error;
use gam_model::{CommitVersion, Event, EventKind};
use gam_store::Checkpoint;
use gam_store::keys::CheckpointKey;

use super::RepoComparison;
use super::snapshots::for_each_event;
use crate::CollectError;
use crate::checkpoint::{CommitsCheckpoint, CoveredCommits, RepoCheckpoint};

/// How many commits of a repository are listed at most, if their number differs.
const MAX_LISTED_COMMITS: usize = 100_000;
/// How many stored commits that GitHub does not list are looked up one by one at most.
const MAX_UNLISTED_COMMITS: usize = 100;

impl RepoComparison<'_> {
    /// Compares the commits reachable from the covered tip, and repairs the differences. `total` is GitHub's
    /// number of them.
    pub(super) async fn compare_commits(
        &mut self,
        checkpoint: &CommitsCheckpoint,
        total: i64,
    ) -> Result<(), CollectError> {
        let Some(covered) = &checkpoint.covered else { return Ok(()) };
        if total == self.stored.count_commits(covered.since, covered.until) {
            return Ok(());
        }
        let Some(listed) = self.list_commits(covered, total).await? else {
            self.warn(format!(
                "the number of commits differs from GitHub's, but {total} are too many to compare one by one"
            ));
            return Ok(());
        };
        let mut stored = self.stored_commits(covered).await?;
        let missing: Vec<String> = listed.iter().filter(|oid| !stored.contains_key(*oid)).cloned().collect();
        stored.retain(|oid, _| !listed.contains(oid));
        let gone = self.not_on_branch(&covered.tip, stored).await?;
        let entries = missing.len() + gone.len();
        let version = if gone.is_empty() {
            Some(checkpoint.version)
        } else {
            self.start_version(covered, &gone).await?
        };
        let Some(version) = version else {
            let repo = &self.repo.name;
            tracing::info!(repo, "a collection has moved on meanwhile: the next comparison repairs it");
            return Ok(());
        };
        let commits = self.github.commits_by_id(&self.repo, &missing).await?;
        let mut events: Vec<Event> =
            commits.iter().map(|commit| self.event_builder.commit(commit, version)).collect();
        let retraction = version.retraction().event_version(false);
        events.extend(gone.into_iter().map(|event| Event { version: retraction, retracted: true, ..event }));
        self.repair("commits", entries, events).await
    }

    /// Returns the object ids of all commits that should have been read; `None` if they are too many. `total`
    /// is GitHub's number of them. The list of a span misses commits behind one with an earlier date. If it
    /// does, the complete history is listed.
    async fn list_commits(
        &self,
        covered: &CoveredCommits,
        total: i64,
    ) -> Result<Option<BTreeSet<String>>, CollectError> {
        for since in [Some(covered.since), None] {
            let span = (since, covered.until);
            let history =
                self.github.list_commit_ids(&self.repo, &covered.tip, span, MAX_LISTED_COMMITS).await?;
            let Some(history) = history else { return Ok(None) };
            let in_span = history.into_iter().filter(|(_, at)| *at >= covered.since);
            let oids: BTreeSet<String> = in_span.map(|(oid, _)| oid).collect();
            if since.is_none() || oids.len() as i64 >= total {
                return Ok(Some(oids));
            }
        }
        Ok(None)
    }

    /// Returns the covered commits in the snapshots, by object id.
    async fn stored_commits(&self, covered: &CoveredCommits) -> Result<HashMap<String, Event>, CollectError> {
        let is_covered =
            |at: DateTime<Utc>| at >= covered.since && covered.until.is_none_or(|until| at <= until);
        let mut stored = HashMap::new();
        for_each_event(self.ports, &self.event_builder.org, |event| {
            if event.repo_id == self.repo.id
                && event.kind == EventKind::Commit
                && !event.retracted
                && is_covered(event.occurred_at)
                && let Some(oid) = event.facts.sha.clone()
            {
                stored.insert(oid, event);
            }
        })
        .await?;
        Ok(stored)
    }

    /// Returns those of the commits that cannot be reached from the tip. The list of a span misses commits
    /// behind one with an earlier date, so each commit is looked up by itself.
    async fn not_on_branch(
        &mut self,
        tip: &str,
        unlisted: HashMap<String, Event>,
    ) -> Result<Vec<Event>, CollectError> {
        if unlisted.len() > MAX_UNLISTED_COMMITS {
            self.warn(format!(
                "GitHub does not list {} commits that were collected, but they are too many to look up: they stay \
                 counted",
                unlisted.len()
            ));
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for (oid, event) in unlisted {
            let is_on_branch = match self.github.compare(&self.repo, tip, &oid).await {
                Ok(comparison) => comparison.commits.is_empty(),
                Err(Error::NotFound(_)) => false,
                Err(error) => return Err(error.into()),
            };
            if !is_on_branch {
                gone.push(event);
            }
        }
        Ok(gone)
    }

    /// Starts a new version of the repository's commits, as a force-push does. `gone` are the commits that
    /// will be retracted: their line counts are not requested again, since GitHub may still show them.
    /// Returns `None` if a collection has moved on from what was compared.
    async fn start_version(
        &self,
        compared: &CoveredCommits,
        gone: &[Event],
    ) -> Result<Option<CommitVersion>, CollectError> {
        let org = &self.event_builder.org;
        let key = CheckpointKey::Repo(org.clone(), self.repo.id);
        let mut stored: Checkpoint<RepoCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let commits = &mut stored.value.commits;
        if commits.covered.as_ref() != Some(compared) || commits.is_in_progress() {
            return Ok(None);
        }
        let gone = gone.iter().filter_map(|event| event.facts.sha.as_deref());
        gone.for_each(|oid| commits.pending_line_counts.remove(oid));
        commits.version = commits.version.after_force_push(self.pushed_at);
        let version = commits.version;
        if stored.save(&*self.ports.checkpoints, &key).await? {
            Ok(Some(version))
        } else {
            Err(CollectError::Concurrent(org.clone()))
        }
    }
}
