//! Read tasks: one kind of data to read from one repository. A task follows from the probe and the
//! repository's checkpoint.

use gam_github::queries::{COMMITS, DEPLOYMENTS, ISSUES, PULL_REQUESTS, RELEASES};
use gam_github::wire::Release;
use gam_github::{Client, ListSummary, RepoProbe, RepoRef};
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{
    CommitsCheckpoint, DeploymentsCheckpoint, ReleasesCheckpoint, RepoCheckpoint, ThreadsCheckpoint,
    WorkflowCheckpoint,
};
use crate::context::{ReadError, RepoContext};
use crate::deployments::SettlementAnswers;
use crate::window::CollectionWindow;
use crate::writer::PageRead;
use crate::{commits, deployments, releases, threads, workflow_runs};

/// One kind of data to read from one repository.
pub(crate) struct ReadTask {
    context: RepoContext,
    kind: TaskKind,
}

/// What a task reads, and where it resumes.
enum TaskKind {
    Commits { tip: String, checkpoint: CommitsCheckpoint },
    Pulls { newest: ListSummary, checkpoint: ThreadsCheckpoint },
    Issues { newest: ListSummary, checkpoint: ThreadsCheckpoint },
    Releases { newest: ListSummary, checkpoint: ReleasesCheckpoint, published_drafts: Vec<Release> },
    Deployments { newest: ListSummary, checkpoint: DeploymentsCheckpoint, answers: SettlementAnswers },
    Workflow { file: String, branch: String, tip: String, checkpoint: WorkflowCheckpoint },
}

/// An upper estimate of what a read task costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEstimate {
    /// What is read: `commits`, `pull_requests`, `issues`, `releases`, `deployments` or `workflow_runs`.
    pub what: &'static str,
    /// Number of requests.
    pub requests: u64,
    /// Points of GitHub's rate limits.
    pub points: u64,
}

impl ReadTask {
    pub(crate) fn repo(&self) -> &RepoRef {
        &self.context.repo
    }

    /// What the task reads: `commits`, `pull_requests`, `issues`, `releases` or `deployments`.
    pub(crate) fn list(&self) -> &'static str {
        match &self.kind {
            TaskKind::Commits { .. } => "commits",
            TaskKind::Pulls { .. } => "pull_requests",
            TaskKind::Issues { .. } => "issues",
            TaskKind::Releases { .. } => "releases",
            TaskKind::Deployments { .. } => "deployments",
            TaskKind::Workflow { .. } => "workflow_runs",
        }
    }

    /// Estimates the cost of the task. How much is new since the last run is unknown, so that counts as one
    /// page. `commits` is how many commits a walk from the start of the window would find, if one is due.
    pub(crate) fn estimate(&self, commits: Option<i64>) -> TaskEstimate {
        let window = self.context.window;
        let (what, requests, points) = match &self.kind {
            TaskKind::Commits { .. } => {
                ("commits", commits.map_or(2, |commits| pages(commits, 100)), COMMITS.points)
            }
            TaskKind::Pulls { newest, checkpoint } => {
                // The first page has 50 entries.
                ("pull_requests", thread_pages(checkpoint, *newest, window, 50), PULL_REQUESTS.points)
            }
            TaskKind::Issues { newest, checkpoint } => {
                ("issues", thread_pages(checkpoint, *newest, window, 100), ISSUES.points)
            }
            TaskKind::Releases { newest, .. } => ("releases", pages(newest.total, 100), RELEASES.points),
            TaskKind::Deployments { newest, checkpoint, .. } => {
                let is_covered = window.is_covered(checkpoint.covered_from);
                ("deployments", if is_covered { 1 } else { pages(newest.total, 100) }, DEPLOYMENTS.points)
            }
            // How many runs there are is unknown.
            TaskKind::Workflow { .. } => ("workflow_runs", 1, 1),
        };
        TaskEstimate { what, requests, points: requests * points }
    }

    /// Reads to the end, and sends each page to the writer.
    ///
    /// # Errors
    /// If GitHub refuses or fails, or the writer has failed. The pages sent before are saved.
    pub(crate) async fn run(self, github: &Client, pages: &Sender<PageRead>) -> Result<(), ReadError> {
        let context = &self.context;
        match self.kind {
            TaskKind::Commits { tip, checkpoint } => {
                commits::read(github, context, &tip, checkpoint, pages).await
            }
            TaskKind::Pulls { newest, checkpoint } => {
                threads::read_pulls(github, context, newest, checkpoint, pages).await
            }
            TaskKind::Issues { newest, checkpoint } => {
                threads::read_issues(github, context, newest, checkpoint, pages).await
            }
            TaskKind::Releases { newest, checkpoint, published_drafts } => {
                releases::read(github, context, newest, checkpoint, published_drafts, pages).await
            }
            TaskKind::Deployments { newest, checkpoint, answers } => {
                deployments::read(github, context, newest, checkpoint, answers, pages).await
            }
            TaskKind::Workflow { file, branch, tip, checkpoint } => {
                workflow_runs::read(github, context, &file, (&branch, &tip), checkpoint, pages).await
            }
        }
    }
}

/// Returns how many pages a list of `entries` fills, if its first page has `first` entries and the others 100.
/// An empty list takes one request.
fn pages(entries: i64, first: i64) -> u64 {
    1 + (entries - first).max(0).unsigned_abs().div_ceil(100)
}

/// Returns how many pages of a list of threads are read at most. How many of its threads changed within the
/// window is unknown.
fn thread_pages(
    checkpoint: &ThreadsCheckpoint,
    newest: ListSummary,
    window: CollectionWindow,
    first: i64,
) -> u64 {
    if window.is_covered(checkpoint.covered_from) {
        return 1;
    }
    // If nothing has changed within the window, the probe shows it, and nothing is read.
    let is_idle = newest.at.is_none_or(|at| at < window.start_for(checkpoint.covered_from));
    if is_idle && checkpoint.walk.is_none() { 0 } else { pages(newest.total, first) }
}

/// Returns the tasks of a repository that have something to read. `answers` are its unsettled deployments as
/// GitHub shows them now. `published_drafts` are known drafts of releases that were published.
/// `deploy_workflows` are the files of the workflows whose runs count as deployments.
pub(crate) fn tasks(
    context: &RepoContext,
    repo: &RepoProbe,
    checkpoint: RepoCheckpoint,
    answers: SettlementAnswers,
    published_drafts: Vec<Release>,
    deploy_workflows: &[String],
) -> Vec<ReadTask> {
    let window = context.window;
    let RepoCheckpoint { commits, pulls, issues, releases, deployments, mut workflows, .. } = checkpoint;
    let mut kinds = Vec::new();
    if let Some(tip) = repo.tip.clone()
        && commits::is_due(&commits, &tip, window, context.probed_at)
    {
        kinds.push(TaskKind::Commits { tip, checkpoint: commits });
    }
    if threads::is_due(&pulls, repo.pulls, window, context.probed_at) {
        kinds.push(TaskKind::Pulls { newest: repo.pulls, checkpoint: pulls });
    }
    if threads::is_due(&issues, repo.issues, window, context.probed_at) {
        kinds.push(TaskKind::Issues { newest: repo.issues, checkpoint: issues });
    }
    if deployments::is_due(&deployments, repo.deployments, window, &answers, context.probed_at) {
        kinds.push(TaskKind::Deployments { newest: repo.deployments, checkpoint: deployments, answers });
    }
    if !published_drafts.is_empty() || releases::is_due(&releases, repo.releases, context) {
        let newest = repo.releases;
        kinds.push(TaskKind::Releases { newest, checkpoint: releases, published_drafts });
    }
    if let (Some(branch), Some(tip)) = (&repo.default_branch, &repo.tip) {
        for file in deploy_workflows {
            let checkpoint = workflows.remove(file);
            if !workflow_runs::is_due(checkpoint.as_ref(), tip) {
                continue;
            }
            let checkpoint = checkpoint.unwrap_or_default();
            let (file, branch, tip) = (file.clone(), branch.clone(), tip.clone());
            kinds.push(TaskKind::Workflow { file, branch, tip, checkpoint });
        }
    }
    kinds.into_iter().map(|kind| ReadTask { context: context.clone(), kind }).collect()
}

/// Returns the tasks that read the window of the context again. The repository's checkpoint only gives the version
/// of its commits.
pub(crate) fn tasks_again(
    context: &RepoContext,
    repo: &RepoProbe,
    checkpoint: &RepoCheckpoint,
    deploy_workflows: &[String],
) -> Vec<ReadTask> {
    let commits = CommitsCheckpoint { version: checkpoint.commits.version, ..CommitsCheckpoint::default() };
    let unread = RepoCheckpoint { commits, ..RepoCheckpoint::default() };
    tasks(context, repo, unread, SettlementAnswers::new(), Vec::new(), deploy_workflows)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::window::tests::window;

    #[test]
    fn a_list_is_read_completely_unless_it_is_covered_or_idle() {
        let at = |day: i64| DateTime::from_timestamp(day * 86_400, 0);
        let newest = |day: i64, total: i64| ListSummary { total, id: None, at: at(day) };
        let (unread, covered) = (
            ThreadsCheckpoint::default(),
            ThreadsCheckpoint { covered_from: at(90), watermark: at(100), total: 120, ..Default::default() },
        );
        let pages = |checkpoint, day, total, since| {
            thread_pages(checkpoint, newest(day, total), window(since, None), 50)
        };
        assert_eq!(pages(&unread, 100, 50, None), 1);
        assert_eq!(pages(&unread, 100, 150, None), 2);
        assert_eq!(pages(&unread, 100, 151, None), 3);
        assert_eq!(pages(&unread, 89, 151, None), 0, "nothing has changed since day 90");
        assert_eq!(pages(&unread, 89, 151, Some(80)), 3);
        assert_eq!(pages(&covered, 110, 151, None), 1, "what is new");
        assert_eq!(pages(&covered, 110, 151, Some(80)), 3, "what is missing since day 80");
        assert_eq!(thread_pages(&unread, ListSummary::default(), window(None, None), 50), 0);
    }
}
