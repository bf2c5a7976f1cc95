//! Compares commits: the number that GitHub counts with that in the lake, and the commits themselves if the
//! numbers differ.

use std::collections::{BTreeSet, HashMap};

use gam_github::Error;
use gam_model::{CommitVersion, Event};
use gam_store::Checkpoint;
use gam_store::keys::CheckpointKey;

use super::repairs::CommitRows;
use super::{Reconciliation, RepoComparison, write_repair};
use crate::CollectError;
use crate::checkpoint::{CommitsCheckpoint, CoveredCommits, RepoCheckpoint};

/// How many commits of a repository are listed at most, if their number differs.
const MAX_LISTED_COMMITS: usize = 100_000;
/// How many stored commits that GitHub does not list are looked up one by one at most.
const MAX_UNLISTED_COMMITS: usize = 100;

impl RepoComparison<'_> {
    /// Compares the number of commits reachable from the covered tip, and lists the commits if it differs.
    /// `total` is GitHub's number of them.
    pub(super) async fn compare_commits(
        &mut self,
        checkpoint: &CommitsCheckpoint,
        total: i64,
    ) -> Result<(), CollectError> {
        let Some(covered) = &checkpoint.covered else { return Ok(()) };
        let stored = self.stored.count_commits(covered.since, covered.until);
        if total == stored {
            return Ok(());
        }
        match self.list_commits(covered, total).await? {
            Some(listed) => self.pending.add_commits(self.repo.id, covered.clone(), listed),
            None => {
                let why = format!(
                    "{stored} commits are stored and GitHub has {total}, but there are too many to compare them \
                     one by one: collect the repository again"
                );
                self.report.failed.push((self.repo.name.clone(), why));
            }
        }
        Ok(())
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
}

impl Reconciliation<'_> {
    /// Repairs the commits of a repository: adds those that the lake lacks, and retracts those that cannot be
    /// reached from the covered tip.
    pub(super) async fn repair_commits(
        &mut self,
        repo_id: i64,
        covered: &CoveredCommits,
        listed: &BTreeSet<String>,
        rows: CommitRows,
    ) -> Result<(), CollectError> {
        let repo = self.repos[&repo_id].clone();
        let reference = self.reference(&repo);
        let missing: Vec<String> = listed.iter().filter(|oid| !rows.listed.contains(*oid)).cloned().collect();
        let gone = self.not_on_branch(repo_id, &covered.tip, rows.unlisted).await?;
        let entries = missing.len() + gone.len();
        let version = if gone.is_empty() {
            Some(self.checkpoints[&repo_id].value.commits.version)
        } else {
            self.start_version(repo_id, covered, &gone).await?
        };
        let Some(version) = version else {
            let repo = &repo.name;
            tracing::info!(repo, "a collection has moved on meanwhile: the next comparison repairs it");
            return Ok(());
        };
        let commits = self.github.commits_by_id(&reference, &missing).await?;
        let event_builder = self.comparison(&repo, Default::default()).event_builder;
        let mut events: Vec<Event> =
            commits.iter().map(|commit| event_builder.commit(commit, version)).collect();
        let retraction = version.retraction().event_version(false);
        events.extend(gone.into_iter().map(|event| Event { version: retraction, retracted: true, ..event }));
        write_repair(self.ports, &self.key, &mut self.report, &repo.name, "commits", entries, events).await
    }

    /// Returns those of the commits that cannot be reached from the tip. The list of a span misses commits
    /// behind one with an earlier date, so each commit is looked up by itself.
    async fn not_on_branch(
        &mut self,
        repo_id: i64,
        tip: &str,
        unlisted: HashMap<String, Event>,
    ) -> Result<Vec<Event>, CollectError> {
        let repo = self.reference(&self.repos[&repo_id]);
        if unlisted.len() > MAX_UNLISTED_COMMITS {
            let why = format!(
                "GitHub does not list {} of the stored commits, but they are too many to look up: they stay",
                unlisted.len()
            );
            self.report.failed.push((repo.name, why));
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for (oid, event) in unlisted {
            let is_on_branch = match self.github.compare(&repo, tip, &oid).await {
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
        repo_id: i64,
        compared: &CoveredCommits,
        gone: &[Event],
    ) -> Result<Option<CommitVersion>, CollectError> {
        let key = CheckpointKey::Repo(self.key.clone(), repo_id);
        let mut stored: Checkpoint<RepoCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let commits = &mut stored.value.commits;
        if commits.covered.as_ref() != Some(compared) || commits.is_in_progress() {
            return Ok(None);
        }
        let gone = gone.iter().filter_map(|event| event.facts.sha.as_deref());
        gone.for_each(|oid| commits.pending_line_counts.remove(oid));
        commits.version = commits.version.after_force_push(self.repos[&repo_id].pushed_at);
        let version = commits.version;
        if stored.save(&*self.ports.checkpoints, &key).await? {
            Ok(Some(version))
        } else {
            Err(CollectError::Concurrent(self.report.org.clone()))
        }
    }
}
