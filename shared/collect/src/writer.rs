//! The one writer of a collection: events first, checkpoints after.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::RepoState;
use gam_lake::inbox;
use gam_model::{Event, EventBatch};
use gam_store::Checkpoint;
use gam_store::keys::CheckpointKey;
use tokio::sync::mpsc::Receiver;

use crate::CollectError;
use crate::checkpoint::{
    ChangesCheckpoint, CommitsCheckpoint, DeploymentsCheckpoint, ReleasesCheckpoint, RepoCheckpoint,
};
use crate::{CollectObserver, CollectPorts, CollectProgress};

/// How many pages are written together at most.
const PAGES: usize = 32;

/// What a page changes in the repository's checkpoint.
#[derive(Debug)]
pub(crate) enum Update {
    Commits(CommitsCheckpoint),
    Pulls(ChangesCheckpoint),
    Issues(ChangesCheckpoint),
    Releases(ReleasesCheckpoint),
    Deployments(DeploymentsCheckpoint),
}

/// A page that was read.
#[derive(Debug)]
pub(crate) struct PageRead {
    pub(crate) repo_id: i64,
    pub(crate) repo: String,
    pub(crate) what: &'static str,
    pub(crate) events: Vec<Event>,
    /// The checkpoint that holds once the events are saved.
    pub(crate) update: Option<Update>,
}

pub(crate) struct Writer<'a> {
    ports: &'a CollectPorts,
    org: String,
    held: Checkpoints,
    events: usize,
    events_of: BTreeMap<i64, usize>,
    batches: usize,
}

/// The repositories' checkpoints, by id, with the revisions they were loaded at.
pub(crate) type Checkpoints = BTreeMap<i64, Checkpoint<RepoCheckpoint>>;

/// Loads the checkpoints of these repositories alone.
pub(crate) async fn checkpoints_of(
    ports: &CollectPorts,
    org: &str,
    repos: impl Iterator<Item = i64>,
) -> Result<Checkpoints, CollectError> {
    let mut held = BTreeMap::new();
    for repo in repos {
        let key = CheckpointKey::Repo(org.to_owned(), repo);
        held.insert(repo, Checkpoint::load(&*ports.checkpoints, &key).await?);
    }
    Ok(held)
}

impl<'a> Writer<'a> {
    /// A writer for the organization's repositories.
    pub(crate) fn new(ports: &'a CollectPorts, org: &str, held: Checkpoints) -> Self {
        Writer { ports, org: org.to_owned(), held, events: 0, events_of: BTreeMap::new(), batches: 0 }
    }

    pub(crate) fn checkpoints(&self) -> BTreeMap<i64, RepoCheckpoint> {
        self.held.iter().map(|(id, held)| (*id, held.value.clone())).collect()
    }

    /// The repositories that were ever read.
    pub(crate) fn known(&self) -> BTreeSet<i64> {
        self.held.iter().filter(|(_, held)| held.is_saved()).map(|(id, _)| *id).collect()
    }

    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// How many events came of each repository, by id.
    pub(crate) fn events_of(&self) -> &BTreeMap<i64, usize> {
        &self.events_of
    }

    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Keeps of each repository why nothing new may come from it. `shown` are all those that GitHub
    /// shows, where it shows all; gives back those that are gone now and were not before.
    pub(crate) async fn mark(
        &mut self,
        states: &BTreeMap<i64, Option<RepoState>>,
        shown: Option<&BTreeSet<i64>>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let mut gone = BTreeSet::new();
        for (id, held) in self.held.iter_mut().filter(|(_, held)| held.is_saved()) {
            let state = match states.get(id) {
                Some(state) => *state,
                None if shown.is_some_and(|shown| !shown.contains(id)) => Some(RepoState::Gone),
                None => continue,
            };
            if held.value.state == state {
                continue;
            }
            if state == Some(RepoState::Gone) {
                gone.insert(*id);
            }
            held.value.state = state;
            let key = CheckpointKey::Repo(self.org.clone(), *id);
            if !held.save(&*self.ports.checkpoints, &key).await? {
                return Err(CollectError::Concurrent(self.org.clone()));
            }
        }
        Ok(gone)
    }

    /// Writes what comes until no more can. Pages that arrive while others are being written are
    /// written together.
    pub(crate) async fn run(
        &mut self,
        mut pages: Receiver<PageRead>,
        observer: &dyn CollectObserver,
    ) -> Result<(), CollectError> {
        let mut ready = Vec::new();
        while pages.recv_many(&mut ready, PAGES).await > 0 {
            // What follows a checkpoint without events relies on its being saved.
            let is_alone = |page: &PageRead| page.update.is_some() && page.events.is_empty();
            while !ready.is_empty() {
                let end = ready.iter().position(is_alone).map_or(ready.len(), |at| at + 1);
                let rest = ready.split_off(end);
                self.write(&mut ready, observer).await?;
                ready = rest;
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        ready: &mut Vec<PageRead>,
        observer: &dyn CollectObserver,
    ) -> Result<(), CollectError> {
        let told: Vec<CollectProgress> = ready
            .iter()
            .map(|page| CollectProgress::Page {
                repo: page.repo.clone(),
                what: page.what,
                events: page.events.len(),
            })
            .collect();
        for page in ready.iter() {
            *self.events_of.entry(page.repo_id).or_default() += page.events.len();
        }
        let events: Vec<Event> = ready.iter_mut().flat_map(|page| page.events.drain(..)).collect();
        let count = events.len();
        if inbox::put(&*self.ports.objects, &EventBatch::new(&self.org, events)).await?.is_some() {
            self.events += count;
            self.batches += 1;
        }
        let mut touched = BTreeSet::new();
        for page in ready.drain(..) {
            let Some(update) = page.update else { continue };
            let checkpoint = &mut self.held.entry(page.repo_id).or_default().value;
            match update {
                Update::Commits(commits) => checkpoint.commits = commits,
                Update::Pulls(pulls) => checkpoint.pulls = pulls,
                Update::Issues(issues) => checkpoint.issues = issues,
                Update::Releases(releases) => checkpoint.releases = releases,
                Update::Deployments(deployments) => checkpoint.deployments = deployments,
            }
            touched.insert(page.repo_id);
        }
        for repo_id in touched {
            let key = CheckpointKey::Repo(self.org.clone(), repo_id);
            let held = self.held.entry(repo_id).or_default();
            if !held.save(&*self.ports.checkpoints, &key).await? {
                return Err(CollectError::Concurrent(self.org.clone()));
            }
        }
        told.into_iter().for_each(|progress| observer.notice(progress));
        Ok(())
    }
}
