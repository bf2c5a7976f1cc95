//! A run: what there is to read in the repositories in scope, and reading it.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::{Client, RepoProbe, RepoState};
use gam_store::NameKind;

use crate::context::RepoContext;
use crate::coverage::{ReadRepos, resolve_window, save_coverage};
use crate::execution::{TaskResults, run_tasks};
use crate::reconcile::{ShortList, compare_short_lists};
use crate::scope::Scope;
use crate::task::{self, ReadTask};
use crate::window::{CollectionWindow, RequestedDays};
use crate::writer::{Checkpoints, Writer};
use crate::{
    CollectError, CollectObserver, CollectPorts, CollectProgress, CollectReport, RepoFailure, WorkItem,
    WorkPlan, WorkReport, deployments, releases,
};

/// The repositories in scope, and what there is to read in them.
pub(crate) struct CollectRun<'a> {
    ports: &'a CollectPorts,
    scope: Scope,
    window: CollectionWindow,
    writer: Writer<'a>,
    /// Ids of repositories that an earlier run has read.
    read_before: BTreeSet<i64>,
    tasks: Vec<ReadTask>,
    /// Repositories whose remembered deployments or drafts GitHub did not return, by id.
    failed: BTreeMap<i64, RepoFailure>,
}

impl<'a> CollectRun<'a> {
    /// Finds out what there is to read. `deploy_workflows` are the files of the workflows whose runs count as
    /// deployments. Callers must load `checkpoints` before they probe GitHub: otherwise
    /// what another run reads in between looks unread.
    ///
    /// # Errors
    /// If the store fails, the limits are used up, or GitHub rejects the token.
    pub(crate) async fn prepare(
        ports: &'a CollectPorts,
        github: &Client,
        checkpoints: Checkpoints,
        scope: Scope,
        days: &RequestedDays,
        deploy_workflows: &[String],
    ) -> Result<Self, CollectError> {
        let Scope { probe, repos, .. } = &scope;
        let writer = Writer::new(ports, &probe.login, checkpoints);
        let window = resolve_window(ports, &probe.login, days, scope.is_entire_org).await?;
        let now = ports.clock.now();
        let (checkpoints, read_before) = (writer.checkpoints(), writer.read_before());
        let unsettled = deployments::check_unsettled(github, repos, &checkpoints).await?;
        let drafts = releases::check_drafts(github, repos, &checkpoints).await?;
        let mut tasks = Vec::new();
        for repo in repos {
            let context = RepoContext::new(probe, repo, window, now);
            let checkpoint = checkpoints.get(&repo.id).cloned().unwrap_or_default();
            let answers = unsettled.answers.get(&repo.id).cloned().unwrap_or_default();
            let has_published_draft = drafts.published.contains(&repo.id);
            tasks.extend(task::tasks(
                &context,
                repo,
                checkpoint,
                answers,
                has_published_draft,
                deploy_workflows,
            ));
        }
        let failed = unsettled.failed.into_iter().chain(drafts.failed).collect();
        Ok(CollectRun { ports, scope, window, writer, read_before, tasks, failed })
    }

    /// Returns the ids of repositories that have something to read.
    fn changed(&self) -> BTreeSet<i64> {
        self.tasks.iter().map(|task| task.repo().id).collect()
    }

    /// Returns the progress to report before anything is read.
    pub(crate) fn listed(&self) -> CollectProgress {
        CollectProgress::Listed {
            org: self.scope.probe.login.clone(),
            repos: self.scope.repos.len(),
            changed: self.changed().len(),
        }
    }

    /// Returns the repositories that have something to read, for other runs to read them. The others count as
    /// read.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn hand_out(mut self) -> Result<WorkPlan, CollectError> {
        let changed = self.changed();
        self.save_coverage(&changed.iter().chain(self.failed.keys()).copied().collect()).await?;
        self.save_states(&BTreeMap::new()).await?;
        let item = |repo: &RepoProbe| WorkItem {
            repo: repo.name.clone(),
            repo_id: repo.id,
            node_id: repo.node_id.clone(),
        };
        let Scope { probe, repos, .. } = &self.scope;
        Ok(WorkPlan {
            org: probe.login.clone(),
            repos: repos.len(),
            items: repos.iter().filter(|repo| changed.contains(&repo.id)).map(item).collect(),
            failed: self.scope.failures(&self.failed),
            requests: 0,
        })
    }

    /// Reads everything there is to read.
    ///
    /// # Errors
    /// If the lake or the store fails, or GitHub rejects the token. Failures of single repositories are in the
    /// report.
    pub(crate) async fn read(
        mut self,
        github: &Client,
        parallelism: usize,
        observer: &dyn CollectObserver,
    ) -> Result<WorkReport, CollectError> {
        let tasks = std::mem::take(&mut self.tasks);
        let mut results = run_tasks(github, tasks, &mut self.writer, parallelism, observer).await?;
        for (repo, failure) in std::mem::take(&mut self.failed) {
            results.failed.entry(repo).or_insert(failure);
        }
        self.find_gone_threads(github, &mut results).await?;
        self.save_coverage(&results.unfinished()).await?;
        for repo in &self.scope.repos {
            if let Some(failure) = results.failed.get(&repo.id) {
                let (repo, why) = (repo.name.clone(), failure.why.clone());
                observer.notice(CollectProgress::RepoFailed { repo, why });
            }
        }
        let gone = self.save_states(&results.blocked).await?;
        Ok(self.report(github, results, gone))
    }

    /// Finds what is gone from the lists in which GitHub shows fewer threads than were counted: it was deleted
    /// or transferred, which GitHub does not list as a change.
    async fn find_gone_threads(
        &mut self,
        github: &Client,
        results: &mut TaskResults,
    ) -> Result<(), CollectError> {
        let unread = results.unfinished();
        let is_read = |id: i64| !unread.contains(&id) && !results.blocked.contains_key(&id);
        let mut lists = Vec::new();
        for repo in self.scope.repos.iter().filter(|repo| is_read(repo.id)) {
            let kinds = self.writer.short_lists(repo.id);
            lists.extend(kinds.into_iter().map(|kind| ShortList { repo: repo.clone(), kind }));
        }
        if lists.is_empty() {
            return Ok(());
        }
        let (org, checkpoints) = (&self.scope.probe.login, self.writer.loaded());
        let report = compare_short_lists(self.ports, github, org, checkpoints, &lists).await?;
        self.writer.count_repairs(&report);
        if let Some(limited) = report.limited {
            // The lists stay short, so the next run compares them.
            lists.iter().for_each(|list| results.stop(list.repo.id, limited.clone()));
            return Ok(());
        }
        for ShortList { repo, kind } in &lists {
            match report.failed.iter().find(|(name, _)| *name == repo.name) {
                Some((_, why)) => {
                    let failure = RepoFailure { why: why.clone(), is_transient: true };
                    results.failed.entry(repo.id).or_insert(failure);
                }
                None => self.writer.settle_count(repo, *kind).await?,
            }
        }
        Ok(())
    }

    fn report(&self, github: &Client, results: TaskResults, gone: Vec<String>) -> WorkReport {
        let Scope { probe, repos, .. } = &self.scope;
        let blocked = |repo: &RepoProbe| Some((repo.name.clone(), results.blocked.get(&repo.id)?.clone()));
        let report = CollectReport {
            org: probe.login.clone(),
            repos: repos.len(),
            events: self.writer.events(),
            batches: self.writer.batches(),
            requests: github.requests(),
            usage: github.usage(),
            costs: results.costs.into_repos(self.writer.events_by_repo()),
            gone,
            blocked: repos.iter().filter_map(blocked).collect(),
            failed: self.scope.failures(&results.failed),
            limited: results.limited,
        };
        WorkReport { report, stopped: results.stopped, failed: results.failed }
    }

    /// Saves until when repositories were read, except for those that are `unfinished`.
    async fn save_coverage(&self, unfinished: &BTreeSet<i64>) -> Result<(), CollectError> {
        let repos = self.scope.repos.iter().map(|repo| repo.id);
        let read = ReadRepos {
            complete: repos.filter(|id| !unfinished.contains(id)).collect(),
            read_before: self.read_before.clone(),
            window: self.window,
            is_entire_org: self.scope.is_entire_org,
        };
        save_coverage(self.ports, &self.scope.probe, &read).await
    }

    /// Saves why nothing new may come from repositories. `blocked` are those that GitHub blocks, by id.
    /// Returns the names of repositories that GitHub no longer shows.
    async fn save_states(&mut self, blocked: &BTreeMap<i64, String>) -> Result<Vec<String>, CollectError> {
        let state = |repo: &RepoProbe| {
            if blocked.contains_key(&repo.id) { Some(RepoState::Blocked) } else { repo.state }
        };
        let states = self.scope.repos.iter().map(|repo| (repo.id, state(repo))).collect();
        let listed = self.scope.lists_all().then(|| self.scope.listed());
        let gone = self.writer.save_states(&states, listed.as_ref()).await?;
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.ports.names.names(&self.scope.probe.login, NameKind::Repo).await?;
        Ok(names.into_iter().filter(|entry| gone.contains(&entry.id)).map(|entry| entry.name).collect())
    }
}
