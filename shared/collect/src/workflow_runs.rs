//! Reads runs of GitHub Actions workflows that count as deployments: those of the workflows that the request
//! names, on the default branch.
//!
//! GitHub does not say when a run last changed, and its list is ordered by creation. So the newest runs are
//! requested in each run, with the tag of the last answer: if they are the same, that costs no points. The
//! checkpoint remembers runs that may still succeed, because they are under way or may be started again. The list
//! is read down to the oldest of them, until one of them was read 90 days after its creation or later.

use chrono::{DateTime, Utc};
use gam_github::events::{SETTLED_AFTER, WorkflowRunOutcome};
use gam_github::rest::WorkflowRun;
use gam_github::{Client, Error, WorkflowRunQuery, WorkflowRuns};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{UnsettledRun, WorkflowCheckpoint, WorkflowRunWalk};
use crate::context::{ReadError, RepoContext, SECOND};
use crate::writer::{CheckpointUpdate, PageRead};

const KIND: &str = "workflow_runs";

/// Returns whether a workflow has to be requested. It does not if the repository had none at its present tip.
pub(crate) fn is_due(checkpoint: Option<&WorkflowCheckpoint>, tip: &str) -> bool {
    checkpoint.and_then(|checkpoint| checkpoint.absent_at.as_deref()) != Some(tip)
}

pub(crate) async fn read(
    github: &Client,
    context: &RepoContext,
    workflow: &str,
    (branch, tip): (&str, &str),
    checkpoint: WorkflowCheckpoint,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let mut reader = WorkflowReader { github, context, workflow, branch, pages, checkpoint };
    match reader.read().await {
        // There is no such workflow here, or Actions are switched off.
        Err(ReadError::GitHub(Error::NotFound(why))) => {
            if !github.has_commit(&context.repo, tip).await? {
                return Err(Error::NotFound(why).into());
            }
            reader.checkpoint.absent_at = Some(tip.to_owned());
            reader.send(Vec::new()).await
        }
        result => result,
    }
}

/// Reads the runs of one workflow of a repository.
struct WorkflowReader<'a> {
    github: &'a Client,
    context: &'a RepoContext,
    workflow: &'a str,
    branch: &'a str,
    pages: &'a Sender<PageRead>,
    checkpoint: WorkflowCheckpoint,
}

impl WorkflowReader<'_> {
    /// Sends events to the writer, together with the checkpoint as it is now.
    async fn send(&self, events: Vec<Event>) -> Result<(), ReadError> {
        let update = CheckpointUpdate::Workflow(self.workflow.to_owned(), Box::new(self.checkpoint.clone()));
        self.context.send_page(self.pages, KIND, events, Some(update)).await
    }

    async fn read(&mut self) -> Result<(), ReadError> {
        if let Some(walk) = self.checkpoint.walk.take() {
            self.walk(walk, None).await?;
        }
        let can_skip = self.is_covered() && self.checkpoint.read_again_from.is_none();
        let etag = self.checkpoint.etag.clone().filter(|_| can_skip);
        let newest = self.fetch(None, 1, etag.as_deref()).await?;
        let lower_bound = self.lower_bound(newest.is_some());
        // If the newest runs are the same, only unsettled runs that are not among them are left.
        let answered_from = self.checkpoint.answered_from;
        let Some(newest) = newest else {
            return match (lower_bound, answered_from) {
                (Some(lower_bound), Some(answered_from)) if lower_bound < answered_from => {
                    let (watermark, reached, recheck_from) = (None, answered_from, None);
                    let walk = WorkflowRunWalk { watermark, lower_bound, reached, recheck_from };
                    self.walk(walk, None).await
                }
                _ => self.forget_settled().await,
            };
        };
        let oldest = newest.runs.last().map(|run| run.created_at);
        self.checkpoint.absent_at = None;
        self.checkpoint.etag.clone_from(&newest.etag);
        self.checkpoint.answered_from = oldest.filter(|_| newest.has_more);
        let watermark = newest.runs.first().map(|run| run.created_at);
        let lower_bound = lower_bound.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let reached = self.context.probed_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        // What the walk finds unsettled is remembered again.
        let recheck_from = self.checkpoint.read_again_from.take();
        let walk = WorkflowRunWalk { watermark, lower_bound, reached, recheck_from };
        self.walk(walk, Some(newest)).await
    }

    fn is_covered(&self) -> bool {
        self.context.window.is_covered(self.checkpoint.covered_from)
    }

    /// Returns down to which creation the list has to be read. `has_changed` says whether the newest runs are
    /// other ones than before.
    fn lower_bound(&self, has_changed: bool) -> Option<DateTime<Utc>> {
        if !self.is_covered() {
            return Some(self.context.window.start_for(self.checkpoint.covered_from));
        }
        let new_from = self.checkpoint.watermark.or(self.checkpoint.covered_from).filter(|_| has_changed);
        new_from.into_iter().chain(self.checkpoint.oldest_unsettled()).min()
    }

    async fn fetch(
        &self,
        created: Option<(DateTime<Utc>, DateTime<Utc>)>,
        page: usize,
        etag: Option<&str>,
    ) -> Result<Option<WorkflowRuns>, Error> {
        let query = WorkflowRunQuery { workflow: self.workflow, branch: self.branch, created, page };
        self.github.workflow_runs(&self.context.repo, &query, etag).await
    }

    /// Reads down to the lower bound, each request up to the creation of the run that was read last: GitHub returns
    /// 1,000 runs of a query at most, and the list may shift meanwhile. `first` are the newest runs, if they were
    /// requested already.
    async fn walk(
        &mut self,
        mut walk: WorkflowRunWalk,
        mut first: Option<WorkflowRuns>,
    ) -> Result<(), ReadError> {
        let mut page = 1;
        loop {
            let lower_bound = walk.lower_bound.min(walk.reached);
            let answer = match first.take() {
                Some(newest) => newest,
                None => {
                    let answer = self.fetch(Some((lower_bound, walk.reached)), page, None).await?;
                    answer.unwrap_or(WorkflowRuns { runs: Vec::new(), has_more: false, etag: None })
                }
            };
            let mut events = Vec::new();
            for run in &answer.runs {
                events.extend(self.take(run, walk.recheck_from).await?);
            }
            let oldest = answer.runs.last().map(|run| run.created_at);
            let is_done = !answer.has_more || oldest.is_none_or(|at| at < walk.lower_bound);
            // More runs were created in one second than a page holds.
            page = if oldest == Some(walk.reached) { page + 1 } else { 1 };
            walk.reached = oldest.unwrap_or(walk.reached);
            if is_done {
                self.finish(&walk);
            } else {
                self.checkpoint.walk = Some(walk.clone());
            }
            self.send(events).await?;
            if is_done {
                return Ok(());
            }
        }
    }

    fn finish(&mut self, walk: &WorkflowRunWalk) {
        let start = self.context.window.start_for(self.checkpoint.covered_from);
        let checkpoint = &mut self.checkpoint;
        checkpoint.walk = None;
        checkpoint.watermark = checkpoint.watermark.max(walk.watermark.map(|at| at - SECOND));
        let from = if walk.lower_bound <= start { Some(start) } else { None };
        checkpoint.covered_from = checkpoint.covered_from.into_iter().chain(from).min();
        self.forget_deleted(walk.lower_bound);
    }

    /// Forgets runs that are over, among them those that GitHub no longer lists.
    fn forget_deleted(&mut self, lower_bound: DateTime<Utc>) {
        let read_at = self.context.probed_at;
        let checkpoint = &mut self.checkpoint;
        checkpoint
            .unsettled
            .retain(|_, run| run.created_at < lower_bound || !is_over(run.created_at, read_at));
    }

    /// Forgets runs of an unchanged list that are over.
    async fn forget_settled(&mut self) -> Result<(), ReadError> {
        let before = self.checkpoint.unsettled.len();
        self.forget_deleted(DateTime::<Utc>::MIN_UTC);
        if self.checkpoint.unsettled.len() == before { Ok(()) } else { self.send(Vec::new()).await }
    }

    /// Returns the events of a run, and remembers it as long as it may still succeed or fail. Runs that were
    /// created from `recheck_from` on may be unsettled although they are not remembered.
    async fn take(
        &mut self,
        run: &WorkflowRun,
        recheck_from: Option<DateTime<Utc>>,
    ) -> Result<Vec<Event>, ReadError> {
        let is_of_branch = run.head_repository.as_ref().is_some_and(|repo| repo.id == self.context.repo.id)
            && !run.event.starts_with("pull_request");
        if !is_of_branch {
            return Ok(Vec::new());
        }
        let known = self.checkpoint.unsettled.get(&run.id);
        let is_settled = known.is_none()
            && self.is_covered()
            && self.checkpoint.watermark.is_some_and(|at| run.created_at < at)
            && recheck_from.is_none_or(|from| run.created_at < from);
        let attempts = run.run_attempt.unwrap_or(1);
        let ended = if run.conclusion.is_some() { attempts } else { attempts - 1 };
        let is_over = is_over(run.created_at, self.context.probed_at);
        if is_settled || (known.is_some_and(|known| known.attempts == ended) && !is_over) {
            return Ok(Vec::new());
        }
        let mut outcome = WorkflowRunOutcome::default();
        for attempt in 1..attempts {
            let earlier = self.github.workflow_run_attempt(&self.context.repo, run.id, attempt).await?;
            earlier.iter().for_each(|earlier| outcome.add(earlier));
            if outcome.success.is_some() {
                break;
            }
        }
        outcome.add(run);
        if outcome.success.is_some() || is_over {
            self.checkpoint.unsettled.remove(&run.id);
        } else {
            let unsettled = UnsettledRun { created_at: run.created_at, attempts: ended };
            self.checkpoint.remember(run.id, unsettled);
        }
        Ok(self.context.event_builder.workflow_run(self.workflow, run, outcome))
    }
}

/// Returns whether a run that was read at `read_at` can neither succeed nor fail any more.
fn is_over(created_at: DateTime<Utc>, read_at: Option<DateTime<Utc>>) -> bool {
    read_at.is_some_and(|at| at >= created_at + SETTLED_AFTER)
}
