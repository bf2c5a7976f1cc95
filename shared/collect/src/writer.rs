//! The only writer of a run. It writes the events of a page first and saves its checkpoint after. A page without
//! events announces later ones, so its checkpoint is saved before them.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::{RepoProbe, RepoState, ThreadKind};
use gam_lake::inbox;
use gam_model::{Event, EventBatch};
use gam_store::Checkpoint;
use gam_store::keys::CheckpointKey;
use tokio::sync::mpsc::Receiver;

use crate::checkpoint::{
    CommitsCheckpoint, DeploymentsCheckpoint, ReleasesCheckpoint, RepoCheckpoint, ThreadsCheckpoint,
    WorkflowCheckpoint,
};
use crate::reconcile::ReconcileReport;
use crate::{CollectError, CollectObserver, CollectPorts, CollectProgress};

/// How many pages are written together at most.
const MAX_PAGES_PER_BATCH: usize = 32;

/// How often saving a checkpoint is tried while other processes save it too.
const MAX_SAVE_ATTEMPTS: u32 = 5;

/// The part of a repository's checkpoint that belongs to one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CheckpointPart {
    Commits,
    Pulls,
    Issues,
    Releases,
    Deployments,
    Workflows,
}

impl CheckpointPart {
    const ALL: [CheckpointPart; 6] = [
        CheckpointPart::Commits,
        CheckpointPart::Pulls,
        CheckpointPart::Issues,
        CheckpointPart::Releases,
        CheckpointPart::Deployments,
        CheckpointPart::Workflows,
    ];

    fn differs(self, a: &RepoCheckpoint, b: &RepoCheckpoint) -> bool {
        match self {
            CheckpointPart::Commits => a.commits != b.commits,
            CheckpointPart::Pulls => a.pulls != b.pulls,
            CheckpointPart::Issues => a.issues != b.issues,
            CheckpointPart::Releases => a.releases != b.releases,
            CheckpointPart::Deployments => a.deployments != b.deployments,
            CheckpointPart::Workflows => a.workflows != b.workflows,
        }
    }
}

/// What a page changes in the repository's checkpoint.
#[derive(Debug, Clone)]
pub(crate) enum CheckpointUpdate {
    Commits(CommitsCheckpoint),
    Pulls(ThreadsCheckpoint),
    Issues(ThreadsCheckpoint),
    Releases(ReleasesCheckpoint),
    Deployments(DeploymentsCheckpoint),
    /// Of the workflow in this file.
    Workflow(String, Box<WorkflowCheckpoint>),
}

impl CheckpointUpdate {
    fn part(&self) -> CheckpointPart {
        match self {
            CheckpointUpdate::Commits(_) => CheckpointPart::Commits,
            CheckpointUpdate::Pulls(_) => CheckpointPart::Pulls,
            CheckpointUpdate::Issues(_) => CheckpointPart::Issues,
            CheckpointUpdate::Releases(_) => CheckpointPart::Releases,
            CheckpointUpdate::Deployments(_) => CheckpointPart::Deployments,
            CheckpointUpdate::Workflow(..) => CheckpointPart::Workflows,
        }
    }

    fn apply_to(self, checkpoint: &mut RepoCheckpoint) {
        match self {
            CheckpointUpdate::Commits(commits) => checkpoint.commits = commits,
            CheckpointUpdate::Pulls(pulls) => checkpoint.pulls = pulls,
            CheckpointUpdate::Issues(issues) => checkpoint.issues = issues,
            CheckpointUpdate::Releases(releases) => checkpoint.releases = releases,
            CheckpointUpdate::Deployments(deployments) => checkpoint.deployments = deployments,
            CheckpointUpdate::Workflow(file, workflow) => {
                checkpoint.workflows.insert(file, *workflow);
            }
        }
    }
}

/// A page that a read task has read.
#[derive(Debug)]
pub(crate) struct PageRead {
    pub(crate) repo_id: i64,
    pub(crate) repo: String,
    /// What was read, for progress reports.
    pub(crate) kind: &'static str,
    pub(crate) events: Vec<Event>,
    /// The checkpoint that holds once the events are saved; `None` if it stays as it is.
    pub(crate) update: Option<CheckpointUpdate>,
}

/// Checkpoints by repository id, with the revisions they were loaded at.
pub(crate) type Checkpoints = BTreeMap<i64, Checkpoint<RepoCheckpoint>>;

/// Loads the checkpoints of some repositories of an organization.
///
/// # Errors
/// If the store fails.
pub(crate) async fn load_checkpoints(
    ports: &CollectPorts,
    org: &str,
    repo_ids: impl Iterator<Item = i64>,
) -> Result<Checkpoints, CollectError> {
    let mut checkpoints = BTreeMap::new();
    for repo_id in repo_ids {
        let key = CheckpointKey::Repo(org.to_owned(), repo_id);
        checkpoints.insert(repo_id, Checkpoint::load(&*ports.checkpoints, &key).await?);
    }
    Ok(checkpoints)
}

/// Writes the events and checkpoints of one organization.
pub(crate) struct Writer<'a> {
    ports: &'a CollectPorts,
    org: String,
    checkpoints: Checkpoints,
    events: usize,
    events_by_repo: BTreeMap<i64, usize>,
    batches: usize,
    /// Parts of checkpoints, by repository id, that another process has changed during this run.
    changed_elsewhere: BTreeSet<(i64, CheckpointPart)>,
    /// Ids of repositories of which another process has read the same list at the same time.
    conflicts: BTreeSet<i64>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(ports: &'a CollectPorts, org: &str, checkpoints: Checkpoints) -> Self {
        let events_by_repo = BTreeMap::new();
        Writer {
            ports,
            org: org.to_owned(),
            checkpoints,
            events: 0,
            events_by_repo,
            batches: 0,
            changed_elsewhere: BTreeSet::new(),
            conflicts: BTreeSet::new(),
        }
    }

    pub(crate) fn checkpoints(&self) -> BTreeMap<i64, RepoCheckpoint> {
        self.checkpoints.iter().map(|(id, checkpoint)| (*id, checkpoint.value.clone())).collect()
    }

    /// Returns the checkpoints as they are now, with their revisions.
    pub(crate) fn loaded(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Returns the lists of a repository in which GitHub shows fewer threads than were counted.
    pub(crate) fn short_lists(&self, repo_id: i64) -> Vec<ThreadKind> {
        let Some(checkpoint) = self.checkpoints.get(&repo_id).map(|checkpoint| &checkpoint.value) else {
            return Vec::new();
        };
        let lists = [
            (ThreadKind::PullRequests, checkpoint.pulls.is_short),
            (ThreadKind::Issues, checkpoint.issues.is_short),
        ];
        lists.into_iter().filter(|(_, is_short)| *is_short).map(|(kind, _)| kind).collect()
    }

    /// Saves that a list has no more threads that are gone. `repo` is the probe that counted them.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn settle_count(
        &mut self,
        repo: &RepoProbe,
        kind: ThreadKind,
    ) -> Result<(), CollectError> {
        let checkpoint = &self.checkpoints.entry(repo.id).or_default().value;
        let update = match kind {
            ThreadKind::PullRequests => {
                let mut pulls = checkpoint.pulls.clone();
                pulls.settle_count(repo.pulls.total);
                CheckpointUpdate::Pulls(pulls)
            }
            ThreadKind::Issues => {
                let mut issues = checkpoint.issues.clone();
                issues.settle_count(repo.issues.total);
                CheckpointUpdate::Issues(issues)
            }
        };
        self.save(repo.id, &[update]).await
    }

    /// Counts the events and batches of a comparison with GitHub.
    pub(crate) fn count_repairs(&mut self, report: &ReconcileReport) {
        self.events += report.events;
        self.batches += report.differences.len();
    }

    /// Returns the ids of the repositories that an earlier run has read.
    pub(crate) fn read_before(&self) -> BTreeSet<i64> {
        let saved = self.checkpoints.iter().filter(|(_, checkpoint)| checkpoint.is_saved());
        saved.map(|(id, _)| *id).collect()
    }

    /// Returns how many events were written.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Returns how many events each repository had, by id.
    pub(crate) fn events_by_repo(&self) -> &BTreeMap<i64, usize> {
        &self.events_by_repo
    }

    /// Returns the ids of repositories of which another process has read the same list at the same time. Their
    /// events are written, but their checkpoints are those of the other process.
    pub(crate) fn conflicts(&self) -> &BTreeSet<i64> {
        &self.conflicts
    }

    /// Returns how many batches were written.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Saves for each repository why nothing new may come from it. `listed` are all repositories that GitHub
    /// shows, or `None` if some may be hidden. Returns the repositories that are gone now and were not before.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn save_states(
        &mut self,
        states: &BTreeMap<i64, Option<RepoState>>,
        listed: Option<&BTreeSet<i64>>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let mut gone = BTreeSet::new();
        for (id, checkpoint) in self.checkpoints.iter_mut().filter(|(_, checkpoint)| checkpoint.is_saved()) {
            let state = match states.get(id) {
                Some(state) => *state,
                None if listed.is_some_and(|listed| !listed.contains(id)) => Some(RepoState::Gone),
                None => continue,
            };
            if checkpoint.value.state == state {
                continue;
            }
            if state == Some(RepoState::Gone) {
                gone.insert(*id);
            }
            let key = CheckpointKey::Repo(self.org.clone(), *id);
            for _ in 0..MAX_SAVE_ATTEMPTS {
                checkpoint.value.state = state;
                if checkpoint.save(&*self.ports.checkpoints, &key).await? {
                    break;
                }
                // The next run saves the state if others keep saving the checkpoint.
                *checkpoint = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
            }
        }
        Ok(gone)
    }

    /// Writes pages until all senders are gone. Pages that arrive during a write are written together.
    ///
    /// # Errors
    /// If the lake or the store fails.
    pub(crate) async fn run(
        &mut self,
        mut pages: Receiver<PageRead>,
        observer: &dyn CollectObserver,
    ) -> Result<(), CollectError> {
        let mut ready = Vec::new();
        while pages.recv_many(&mut ready, MAX_PAGES_PER_BATCH).await > 0 {
            // A page with a checkpoint and no events announces the events that follow.
            let is_checkpoint_only = |page: &PageRead| page.update.is_some() && page.events.is_empty();
            while !ready.is_empty() {
                let end = ready.iter().position(is_checkpoint_only).map_or(ready.len(), |at| at + 1);
                let rest = ready.split_off(end);
                self.write(std::mem::replace(&mut ready, rest), observer).await?;
            }
        }
        Ok(())
    }

    /// Writes the events of some pages as one batch, then saves their checkpoints.
    async fn write(
        &mut self,
        mut pages: Vec<PageRead>,
        observer: &dyn CollectObserver,
    ) -> Result<(), CollectError> {
        let progress = |page: &PageRead| CollectProgress::Page {
            repo: page.repo.clone(),
            what: page.kind,
            events: page.events.len(),
        };
        let progress: Vec<CollectProgress> = pages.iter().map(progress).collect();
        for page in &pages {
            *self.events_by_repo.entry(page.repo_id).or_default() += page.events.len();
        }
        let events: Vec<Event> = pages.iter_mut().flat_map(|page| page.events.drain(..)).collect();
        let count = events.len();
        if inbox::put(&*self.ports.objects, &EventBatch::new(&self.org, events)).await?.is_some() {
            self.events += count;
            self.batches += 1;
        }
        let mut updates: BTreeMap<i64, Vec<CheckpointUpdate>> = BTreeMap::new();
        for page in pages {
            updates.entry(page.repo_id).or_default().extend(page.update);
        }
        for (repo_id, updates) in updates {
            if !updates.is_empty() && !self.conflicts.contains(&repo_id) {
                self.save(repo_id, &updates).await?;
            }
        }
        progress.into_iter().for_each(|progress| observer.notice(progress));
        Ok(())
    }

    /// Saves changes of a repository's checkpoint. If another process has saved it, both sets of changes are kept as
    /// long as they concern different lists.
    async fn save(&mut self, repo_id: i64, updates: &[CheckpointUpdate]) -> Result<(), CollectError> {
        let key = CheckpointKey::Repo(self.org.clone(), repo_id);
        for _ in 0..MAX_SAVE_ATTEMPTS {
            let is_changed_elsewhere =
                |update: &CheckpointUpdate| self.changed_elsewhere.contains(&(repo_id, update.part()));
            if updates.iter().any(is_changed_elsewhere) {
                break;
            }
            let checkpoint = self.checkpoints.entry(repo_id).or_default();
            let before = checkpoint.value.clone();
            updates.iter().for_each(|update| update.clone().apply_to(&mut checkpoint.value));
            if checkpoint.save(&*self.ports.checkpoints, &key).await? {
                return Ok(());
            }
            *checkpoint = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
            let changed =
                CheckpointPart::ALL.into_iter().filter(|part| part.differs(&before, &checkpoint.value));
            self.changed_elsewhere.extend(changed.map(|part| (repo_id, part)));
        }
        self.conflicts.insert(repo_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::tests::memory_ports;

    fn pulls(total: i64) -> CheckpointUpdate {
        CheckpointUpdate::Pulls(ThreadsCheckpoint { total, ..ThreadsCheckpoint::default() })
    }

    fn issues(total: i64) -> CheckpointUpdate {
        CheckpointUpdate::Issues(ThreadsCheckpoint { total, ..ThreadsCheckpoint::default() })
    }

    #[tokio::test]
    async fn two_runs_that_read_different_lists_keep_both_checkpoints() {
        let ports = memory_ports();
        let mut first = Writer::new(&ports, "acme", Checkpoints::new());
        let mut second = Writer::new(&ports, "acme", Checkpoints::new());
        first.save(7, &[pulls(1)]).await.unwrap();
        second.save(7, &[issues(2)]).await.unwrap();
        first.save(7, &[pulls(3)]).await.unwrap();
        assert!(first.conflicts().is_empty() && second.conflicts().is_empty());
        let stored = load_checkpoints(&ports, "acme", [7].into_iter()).await.unwrap();
        let stored = &stored[&7].value;
        assert_eq!((stored.pulls.total, stored.issues.total), (3, 2));
    }

    #[tokio::test]
    async fn two_runs_that_read_the_same_list_conflict_in_that_repository_only() {
        let ports = memory_ports();
        let mut first = Writer::new(&ports, "acme", Checkpoints::new());
        let mut second = Writer::new(&ports, "acme", Checkpoints::new());
        first.save(7, &[pulls(1)]).await.unwrap();
        second.save(7, &[pulls(2)]).await.unwrap();
        second.save(8, &[pulls(5)]).await.unwrap();
        assert_eq!(second.conflicts(), &BTreeSet::from([7]));
        let stored = load_checkpoints(&ports, "acme", [7, 8].into_iter()).await.unwrap();
        assert_eq!((stored[&7].value.pulls.total, stored[&8].value.pulls.total), (1, 5));
    }
}
