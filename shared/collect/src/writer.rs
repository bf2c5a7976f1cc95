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

/// What a page changes in the repository's checkpoint.
#[derive(Debug)]
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
}

impl<'a> Writer<'a> {
    pub(crate) fn new(ports: &'a CollectPorts, org: &str, checkpoints: Checkpoints) -> Self {
        let events_by_repo = BTreeMap::new();
        Writer { ports, org: org.to_owned(), checkpoints, events: 0, events_by_repo, batches: 0 }
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
    /// If the store fails, or another run saves the same checkpoint.
    pub(crate) async fn settle_count(
        &mut self,
        repo: &RepoProbe,
        kind: ThreadKind,
    ) -> Result<(), CollectError> {
        let checkpoint = self.checkpoints.entry(repo.id).or_default();
        match kind {
            ThreadKind::PullRequests => checkpoint.value.pulls.settle_count(repo.pulls.total),
            ThreadKind::Issues => checkpoint.value.issues.settle_count(repo.issues.total),
        }
        let key = CheckpointKey::Repo(self.org.clone(), repo.id);
        if checkpoint.save(&*self.ports.checkpoints, &key).await? {
            Ok(())
        } else {
            Err(CollectError::Concurrent(self.org.clone()))
        }
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

    /// Returns how many batches were written.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Saves for each repository why nothing new may come from it. `listed` are all repositories that GitHub
    /// shows, or `None` if some may be hidden. Returns the repositories that are gone now and were not before.
    ///
    /// # Errors
    /// If the store fails, or another run saves the same checkpoint.
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
            checkpoint.value.state = state;
            let key = CheckpointKey::Repo(self.org.clone(), *id);
            if !checkpoint.save(&*self.ports.checkpoints, &key).await? {
                return Err(CollectError::Concurrent(self.org.clone()));
            }
        }
        Ok(gone)
    }

    /// Writes pages until all senders are gone. Pages that arrive during a write are written together.
    ///
    /// # Errors
    /// If the lake or the store fails, or another run saves the same checkpoint.
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
        let mut changed = BTreeSet::new();
        for page in pages {
            let Some(update) = page.update else { continue };
            update.apply_to(&mut self.checkpoints.entry(page.repo_id).or_default().value);
            changed.insert(page.repo_id);
        }
        for repo_id in changed {
            let key = CheckpointKey::Repo(self.org.clone(), repo_id);
            let checkpoint = self.checkpoints.entry(repo_id).or_default();
            if !checkpoint.save(&*self.ports.checkpoints, &key).await? {
                return Err(CollectError::Concurrent(self.org.clone()));
            }
        }
        progress.into_iter().for_each(|progress| observer.notice(progress));
        Ok(())
    }
}
