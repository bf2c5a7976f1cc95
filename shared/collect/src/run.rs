//! A run: what there is to read in the repositories in scope, and reading it.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::{Client, RepoProbe, RepoState};
use gam_store::{GapsByRepo, NameKind, OrgCheckpoint};

use crate::context::{RepoContext, Warnings};
use crate::coverage::{ReadRepos, resolve_window, save_coverage, save_read_again};
use crate::execution::{TaskResults, run_tasks};
use crate::gaps::{Obstacle, ReportedGap, repo_gaps, unreadable_gaps};
use crate::org::OrgRef;
use crate::reconcile::{ShortList, compare_short_lists};
use crate::scope::Scope;
use crate::task::{self, ReadTask};
use crate::window::{CollectionWindow, RequestedDays};
use crate::writer::{Checkpoints, Writer};
use crate::{
    CollectError, CollectObserver, CollectPorts, CollectProgress, CollectReport, CollectWarning, RepoFailure,
    WorkItem, WorkPlan, WorkReport, deployments, releases,
};

/// Why a repository fails that two runs read at the same time.
const CONFLICT: &str = "another run saved the progress of the same list meanwhile: what both have read is saved, and \
                        the next run continues";

/// The repositories in scope, and what there is to read in them.
pub(crate) struct CollectRun<'a> {
    ports: &'a CollectPorts,
    scope: Scope,
    window: CollectionWindow,
    /// The window that is read again; `None` if nothing is.
    again: Option<CollectionWindow>,
    writer: Writer<'a>,
    /// Ids of repositories that an earlier run has read.
    read_before: BTreeSet<i64>,
    tasks: Vec<ReadTask>,
    warnings: Warnings,
    /// Repositories whose remembered deployments or drafts GitHub did not return, by id.
    failed: BTreeMap<i64, RepoFailure>,
}

impl<'a> CollectRun<'a> {
    /// Finds out what there is to read. `deploy_workflows` are the files of the workflows whose runs count as
    /// deployments. With `again`, the requested days are read again, whatever the checkpoints say. Callers must load `checkpoints` before they probe GitHub: otherwise
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
        again: bool,
        deploy_workflows: &[String],
    ) -> Result<Self, CollectError> {
        let Scope { key, probe, repos, .. } = &scope;
        let writer = Writer::new(ports, key, checkpoints);
        let windows = resolve_window(ports, key, days, scope.is_entire_org).await?;
        let (window, again) = (windows.window, again.then_some(windows.again));
        // All names in the lake and in the store are as of GitHub's clock, so that the latest one wins.
        let now = probe.read_at.unwrap_or_else(|| ports.clock.now());
        let (checkpoints, read_before) = (writer.checkpoints(), writer.read_before());
        let unsettled = deployments::check_unsettled(github, repos, &checkpoints).await?;
        let drafts = releases::check_drafts(github, repos, &checkpoints).await?;
        let (mut tasks, warnings) = (Vec::new(), Warnings::default());
        for repo in repos {
            let context = RepoContext::new(key, probe, repo, window, now, &warnings);
            let checkpoint = checkpoints.get(&repo.id).cloned().unwrap_or_default();
            let answers = unsettled.answers.get(&repo.id).cloned().unwrap_or_default();
            let published = drafts.published.get(&repo.id).cloned().unwrap_or_default();
            if let Some(again) = again.filter(|_| read_before.contains(&repo.id)) {
                let context = context.clone().again(again);
                tasks.extend(task::tasks_again(&context, repo, &checkpoint, deploy_workflows));
            }
            tasks.extend(task::tasks(&context, repo, checkpoint, answers, published, deploy_workflows));
        }
        let failed = unsettled.failed.into_iter().chain(drafts.failed).collect();
        Ok(CollectRun { ports, scope, window, again, writer, read_before, tasks, warnings, failed })
    }

    /// Adds a warning to the report.
    pub(crate) fn warn(&self, warning: Option<CollectWarning>) {
        warning.into_iter().for_each(|warning| self.warnings.add(warning));
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
        let results = TaskResults { failed: std::mem::take(&mut self.failed), ..TaskResults::default() };
        // What is missing of the changed repositories is known once they are read.
        self.save_coverage(&results, &changed).await?;
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
            failed: self.scope.failures(&results.failed),
            warnings: self.warnings.take(),
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
            results.fail(repo, failure);
        }
        self.find_gone_threads(github, &mut results).await?;
        for repo_id in self.writer.conflicts() {
            results.fail(*repo_id, RepoFailure::transient(CONFLICT.to_owned()));
        }
        let gaps = self.save_coverage(&results, &BTreeSet::new()).await?;
        if let Some(again) = &self.again
            && self.scope.lists_all()
            && results.unfinished().is_empty()
        {
            save_read_again(self.ports, &self.scope.key, again).await?;
        }
        for repo in &self.scope.repos {
            if let Some(failure) = results.failed.get(&repo.id) {
                let (repo, why) = (repo.name.clone(), failure.why.clone());
                observer.notice(CollectProgress::RepoFailed { repo, why });
            }
        }
        let gone = self.save_states(&results.blocked).await?;
        Ok(self.report(github, results, gone, gaps))
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
        let org = OrgRef { key: &self.scope.key, login: &self.scope.probe.login };
        let checkpoints = self.writer.loaded();
        let probed_at = self.scope.probe.read_at.unwrap_or_else(|| self.ports.clock.now());
        let report = compare_short_lists(self.ports, github, org, checkpoints, &lists, probed_at).await?;
        self.writer.count_repairs(&report);
        if let Some(limited) = report.limited {
            // The lists stay short, so the next run compares them.
            lists.iter().for_each(|list| results.stop(list.repo.id, limited.clone()));
            return Ok(());
        }
        for ShortList { repo, kind } in &lists {
            match report.failed.iter().find(|(name, _)| *name == repo.name) {
                Some((_, why)) => {
                    results.fail(repo.id, RepoFailure::transient(why.clone()));
                }
                None => self.writer.settle_count(repo, *kind).await?,
            }
        }
        Ok(())
    }

    fn report(
        &self,
        github: &Client,
        results: TaskResults,
        gone: Vec<String>,
        gaps: Vec<ReportedGap>,
    ) -> WorkReport {
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
            gaps,
            warnings: self.warnings.take(),
            read_at: probe.read_at,
            limited: results.limited,
        };
        WorkReport { report, stopped: results.stopped, failed: results.failed }
    }

    /// Saves until when repositories were read, except for those that are unfinished or `unread`, and what is
    /// missing of them. Returns what is missing.
    async fn save_coverage(
        &self,
        results: &TaskResults,
        unread: &BTreeSet<i64>,
    ) -> Result<Vec<ReportedGap>, CollectError> {
        let unfinished = results.unfinished();
        let is_complete = |id: &i64| !unfinished.contains(id) && !unread.contains(id);
        let read = ReadRepos {
            complete: self.scope.repos.iter().map(|repo| repo.id).filter(is_complete).collect(),
            read_before: self.read_before.clone(),
            window: self.window,
            is_entire_org: self.scope.is_entire_org,
        };
        let checkpoints = self.writer.checkpoints();
        let find_gaps = |before: &OrgCheckpoint| {
            let known = self.scope.repos.iter().filter(|repo| !unread.contains(&repo.id));
            let gaps_of = |repo: &RepoProbe| {
                let was_read = self.read_before.contains(&repo.id);
                let complete_until = before.repo_complete_until(repo.id).filter(|_| was_read);
                let obstacle = Obstacle {
                    failure: results.failed.get(&repo.id),
                    blocked: results.blocked.get(&repo.id).map(String::as_str),
                };
                repo_gaps(repo, checkpoints.get(&repo.id), self.window, obstacle, complete_until)
            };
            let mut gaps: GapsByRepo = known.map(|repo| (repo.id, gaps_of(repo))).collect();
            if self.scope.is_entire_org {
                gaps.insert(0, unreadable_gaps(&self.scope.probe.unreadable));
            }
            gaps
        };
        save_coverage(self.ports, &self.scope.key, &self.scope.probe, &read, &find_gaps).await
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
        let names = self.ports.names.names(&self.scope.key, NameKind::Repo).await?;
        Ok(names.into_iter().filter(|entry| gone.contains(&entry.id)).map(|entry| entry.name).collect())
    }
}
