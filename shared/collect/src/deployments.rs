//! Reads deployments. GitHub orders them by creation only, but what counts are their statuses, which come
//! later. So the checkpoint remembers deployments that may still succeed or fail, and each run requests them by
//! id, until one of them was read 90 days after its creation or later. If there are too many to remember, the
//! list is read again instead. If there is something new, the last 14 days of the list are read again.
//!
//! A deployment that was deleted stays as it was read.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::{DeploymentOutcome, SETTLED_AFTER};
use gam_github::wire::Deployment;
use gam_github::{Client, DeploymentLookup, Error, ListSummary, PageSize, RepoProbe, UnansweredEntry};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::RepoFailure;
use crate::checkpoint::{
    DeploymentsCheckpoint, DeploymentsWalk, RepoCheckpoint, UnansweredItem, UnsettledDeployment,
};
use crate::context::{ReadError, RepoContext, is_cursor_rejected};
use crate::window::CollectionWindow;
use crate::writer::{CheckpointUpdate, PageRead};

const KIND: &str = "deployments";
/// How long before the repository's latest activity deployments are read again, and how long before the
/// start of the window they are read: a deployment counts when it succeeds, which may be long after its
/// creation.
pub(crate) const SETTLING_PERIOD: TimeDelta = TimeDelta::days(14);
/// How many unsettled deployments are requested together at most.
const MAX_DEPLOYMENTS_PER_REQUEST: usize = 100;

/// A repository's unsettled deployments as GitHub shows them now, by numeric id; `None` if GitHub does not
/// show the deployment.
pub(crate) type SettlementAnswers = HashMap<i64, Option<Deployment>>;

/// The result of requesting the unsettled deployments.
#[derive(Default)]
pub(crate) struct SettlementCheck {
    /// The answers, by repository id.
    pub(crate) answers: HashMap<i64, SettlementAnswers>,
    /// Repositories whose deployments GitHub did not return, by id.
    pub(crate) failed: BTreeMap<i64, RepoFailure>,
}

/// Requests the unsettled deployments of all repositories. If GitHub does not answer, the deployments stay
/// unsettled and their repositories count as failed.
///
/// # Errors
/// If no other request can succeed either: the limits are used up, or GitHub rejects the token.
pub(crate) async fn check_unsettled(
    github: &Client,
    repos: &[RepoProbe],
    checkpoints: &BTreeMap<i64, RepoCheckpoint>,
) -> Result<SettlementCheck, Error> {
    let mut unsettled = Vec::new();
    for repo in repos {
        let Some(RepoCheckpoint { deployments, .. }) = checkpoints.get(&repo.id) else { continue };
        // The list will be read from then on.
        let is_listed = |at: DateTime<Utc>| deployments.read_again_from.is_some_and(|from| at >= from);
        let of_repo = deployments.unsettled.iter().filter(|(_, it)| !is_listed(it.created_at));
        unsettled.extend(of_repo.map(|(id, deployment)| (repo.id, *id, deployment.node_id.clone())));
    }
    let mut check = SettlementCheck::default();
    let mut size = PageSize::new(100);
    let mut rest = unsettled.as_slice();
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(MAX_DEPLOYMENTS_PER_REQUEST)];
        let node_ids: Vec<String> = chunk.iter().map(|(_, _, node_id)| node_id.clone()).collect();
        let returned = match github.deployments_by_id(&node_ids, &mut size).await {
            Ok(returned) => returned,
            Err(error) => {
                let failure =
                    RepoFailure::unless_fatal(error, "cannot check deployments that may still succeed")?;
                check.failed.extend(chunk.iter().map(|(repo, ..)| (*repo, failure.clone())));
                rest = &rest[chunk.len()..];
                continue;
            }
        };
        // GitHub may answer for fewer than requested. At least one counts as answered, so that the loop ends.
        rest = &rest[returned.len().clamp(1, rest.len())..];
        for ((repo, id, _), answer) in chunk.iter().zip(returned) {
            let deployment = match answer {
                DeploymentLookup::Found(deployment) => {
                    Some(*deployment).filter(|it| it.database_id == Some(*id))
                }
                DeploymentLookup::Gone => None,
                DeploymentLookup::Refused => continue,
            };
            check.answers.entry(*repo).or_default().insert(*id, deployment);
        }
    }
    Ok(check)
}

/// Returns whether there is anything to read, or to save in the checkpoint. `answers` are the unsettled
/// deployments as GitHub shows them now. `read_at` is the time of the run by GitHub's clock.
pub(crate) fn is_due(
    checkpoint: &DeploymentsCheckpoint,
    newest: ListSummary,
    window: CollectionWindow,
    answers: &SettlementAnswers,
    read_at: Option<DateTime<Utc>>,
) -> bool {
    checkpoint.walk.is_some()
        || checkpoint.read_again_from.is_some()
        || !window.is_covered(checkpoint.covered_from)
        || checkpoint.total != newest.total
        || checkpoint.watermark != newest.at
        || answers.iter().any(|(id, answer)| is_news(checkpoint, *id, answer.as_ref(), read_at))
        || answers.values().flatten().any(|it| checkpoint.unanswered.entries.contains_key(&it.id))
}

/// Returns whether a deployment that was read at `read_at` can neither succeed nor fail any more.
fn is_over(created_at: DateTime<Utc>, read_at: Option<DateTime<Utc>>) -> bool {
    read_at.is_some_and(|at| at >= created_at + SETTLED_AFTER)
}

/// Returns whether an answer changes what the checkpoint remembers of an unsettled deployment.
fn is_news(
    checkpoint: &DeploymentsCheckpoint,
    id: i64,
    answer: Option<&Deployment>,
    read_at: Option<DateTime<Utc>>,
) -> bool {
    let Some(unsettled) = checkpoint.unsettled.get(&id) else { return false };
    let has_outcome = answer.map(DeploymentOutcome::of).is_some_and(|outcome| {
        outcome.success.is_some() || outcome.failure.is_some() != unsettled.has_failed
    });
    has_outcome || is_over(unsettled.created_at, read_at)
}

pub(crate) async fn read(
    github: &Client,
    context: &RepoContext,
    newest: ListSummary,
    checkpoint: DeploymentsCheckpoint,
    answers: SettlementAnswers,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let mut reader = DeploymentReader { github, context, pages, checkpoint };
    reader.take_answers(answers).await?;
    if let Some(walk) = reader.checkpoint.walk.take() {
        reader.resume(walk).await?;
    }
    if let Some(lower_bound) = reader.lower_bound(newest) {
        // What the walk finds unsettled is remembered again.
        reader.checkpoint.read_again_from = None;
        let walk = DeploymentsWalk {
            watermark: newest.at,
            active_at: context.active_at,
            lower_bound,
            total: newest.total,
            cursor: None,
        };
        reader.walk(walk).await?;
    } else if reader.checkpoint.covered_from.is_none() || newest.total == 0 {
        let covered_from = reader.checkpoint.covered_from;
        let start = context.window.start_for(covered_from);
        reader.checkpoint.covered_from = Some(covered_from.map_or(start, |at| at.min(start)));
        reader.checkpoint.total = newest.total;
        reader.checkpoint.watermark = newest.at;
        reader.checkpoint.active_at = context.active_at;
        reader.checkpoint.read_again_from = None;
        reader.send(Vec::new()).await?;
    }
    Ok(())
}

/// Reads the deployments of one repository.
struct DeploymentReader<'a> {
    github: &'a Client,
    context: &'a RepoContext,
    pages: &'a Sender<PageRead>,
    checkpoint: DeploymentsCheckpoint,
}

impl DeploymentReader<'_> {
    /// Sends events to the writer, together with the checkpoint as it is now.
    async fn send(&self, events: Vec<Event>) -> Result<(), ReadError> {
        let update = Some(CheckpointUpdate::Deployments(self.checkpoint.clone()));
        self.context.send_page(self.pages, KIND, events, update).await
    }

    /// Takes the unsettled deployments that GitHub returned by id. One that GitHub does not show may be hidden
    /// for a while, so it is forgotten only when it can neither succeed nor fail any more.
    async fn take_answers(&mut self, answers: SettlementAnswers) -> Result<(), ReadError> {
        let read_at = self.context.probed_at;
        let mut events = Vec::new();
        let mut has_changed = false;
        for (id, answer) in answers {
            if !is_news(&self.checkpoint, id, answer.as_ref(), read_at) {
                continue;
            }
            has_changed = true;
            match answer {
                Some(deployment) => events.extend(self.take(&deployment)),
                None => {
                    self.checkpoint.unsettled.remove(&id);
                }
            }
        }
        if has_changed { self.send(events).await } else { Ok(()) }
    }

    /// Returns the events of a deployment, and remembers it as long as it may still succeed or fail.
    fn take(&mut self, deployment: &Deployment) -> Vec<Event> {
        self.checkpoint.unanswered.remove(&deployment.id);
        if let Some(id) = deployment.database_id {
            let outcome = DeploymentOutcome::of(deployment);
            if outcome.success.is_some() || is_over(deployment.created_at, self.context.probed_at) {
                self.checkpoint.unsettled.remove(&id);
            } else {
                let unsettled = UnsettledDeployment {
                    node_id: deployment.id.clone(),
                    created_at: deployment.created_at,
                    has_failed: outcome.failure.is_some(),
                };
                self.checkpoint.remember(id, unsettled);
            }
        }
        self.context.event_builder.deployment(deployment)
    }

    /// Returns down to which creation a walk has to read; `None` if there is nothing to read.
    fn lower_bound(&self, newest: ListSummary) -> Option<DateTime<Utc>> {
        newest.at?;
        let checkpoint = &self.checkpoint;
        let start = self.context.window.start_for(checkpoint.covered_from);
        let Some(covered_from) = checkpoint.covered_from.filter(|at| *at <= start) else {
            return Some(start - SETTLING_PERIOD);
        };
        let Some(watermark) = checkpoint.watermark else { return Some(covered_from - SETTLING_PERIOD) };
        let active_at = checkpoint.active_at;
        let recent = active_at.map_or(watermark, |active| watermark.min(active - SETTLING_PERIOD));
        let has_changed = newest.total != checkpoint.total || newest.at != checkpoint.watermark;
        has_changed.then_some(recent).into_iter().chain(checkpoint.read_again_from).min()
    }

    /// Resumes the walk of an earlier run; starts it over if GitHub has forgotten its cursor.
    async fn resume(&mut self, walk: DeploymentsWalk) -> Result<(), ReadError> {
        match self.walk(walk.clone()).await {
            Err(ReadError::GitHub(error)) if walk.cursor.is_some() && is_cursor_rejected(&error) => {
                self.walk(DeploymentsWalk { cursor: None, ..walk }).await
            }
            result => result,
        }
    }

    async fn walk(&mut self, mut walk: DeploymentsWalk) -> Result<(), ReadError> {
        let mut size = PageSize::new(100).resume(self.checkpoint.page_size);
        loop {
            let page = self.github.deployments(&self.context.repo, walk.cursor.as_deref(), &mut size).await?;
            self.checkpoint.page_size = size.to_save();
            let is_at_bound = page.entries.iter().any(|deployment| deployment.created_at < walk.lower_bound);
            for UnansweredEntry { entry, why } in &page.unanswered {
                let item = UnansweredItem {
                    number: entry.database_id,
                    created_at: entry.created_at,
                    changed_at: entry.created_at,
                    retries: 0,
                    why: why.clone(),
                };
                self.checkpoint.unanswered.add(&entry.id, item, self.context.probed_at);
                if let Some(id) = entry.database_id {
                    // It is requested again by id, as long as it may succeed.
                    let (node_id, created_at) = (entry.id.clone(), entry.created_at);
                    let unsettled = UnsettledDeployment { node_id, created_at, has_failed: false };
                    if !self.checkpoint.unsettled.contains_key(&id) {
                        self.checkpoint.remember(id, unsettled);
                    }
                }
            }
            let events = page.entries.iter().flat_map(|deployment| self.take(deployment)).collect();
            walk.cursor = page.next.filter(|_| !is_at_bound);
            let is_done = walk.cursor.is_none();
            if is_done {
                let checkpoint = &mut self.checkpoint;
                let from = walk.lower_bound + SETTLING_PERIOD;
                checkpoint.walk = None;
                checkpoint.covered_from = Some(checkpoint.covered_from.map_or(from, |at| at.min(from)));
                checkpoint.watermark = walk.watermark;
                checkpoint.active_at = walk.active_at;
                checkpoint.total = walk.total;
            } else {
                self.checkpoint.walk = Some(walk.clone());
            }
            self.send(events).await?;
            if is_done {
                return Ok(());
            }
        }
    }
}
