//! Reading deployments. They are ordered by creation only, while what matters, their statuses, comes
//! later: those that may still succeed are remembered and asked for by id, and where there is
//! something new the last 14 days are read anew. What failed and was deleted since is taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::DeploymentOutcome;
use gam_github::wire::Deployment;
use gam_github::{Client, DeploymentLookup, Error, ListSummary, PageSize, RepoProbe};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::Refusal;
use crate::checkpoint::{DeploymentsCheckpoint, DeploymentsWalk, RepoCheckpoint, Unsettled};
use crate::plan::{Span, Stop, Target};
use crate::writer::{PageRead, Update};

const WHAT: &str = "deployments";
/// How long before the latest activity deployments are read anew, and how long before the first day
/// asked for they are read: a deployment counts when it succeeds, which may be long after its creation.
const READ_ANEW: TimeDelta = TimeDelta::days(14);

/// The answers for a repository's deployments, by numeric id; `None` where GitHub shows none.
pub(crate) type Asked = HashMap<i64, Option<Deployment>>;

/// What was asked for by id, by repository; and the repositories of which it could not be, with why.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) asked: HashMap<i64, Asked>,
    pub(crate) failed: BTreeMap<i64, Refusal>,
}

/// Asks for the deployments that may still succeed, of all repositories together. Where GitHub does not
/// answer, they stay remembered and their repositories count as failed.
///
/// # Errors
/// Where no other question can fare better: the limits are used up, or the token is refused.
pub(crate) async fn ask_unsettled(
    github: &Client,
    repos: &[RepoProbe],
    checkpoints: &BTreeMap<i64, RepoCheckpoint>,
) -> Result<Answers, Error> {
    let mut unsettled = Vec::new();
    for repo in repos {
        let known = checkpoints.get(&repo.id).into_iter().flat_map(|c| &c.deployments.unsettled);
        unsettled.extend(known.map(|(id, deployment)| (repo.id, *id, deployment.node_id.clone())));
    }
    let mut answers = Answers::default();
    let mut size = PageSize::new(100);
    let mut rest = unsettled.as_slice();
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(100)];
        let node_ids: Vec<String> = chunk.iter().map(|(_, _, node_id)| node_id.clone()).collect();
        let shown = match github.deployments_by_id(&node_ids, &mut size).await {
            Ok(shown) => shown,
            Err(error @ (Error::Limited { .. } | Error::Unauthorized(_))) => return Err(error),
            Err(error) => {
                let refusal =
                    Refusal::of(&error).about("deployments that may still succeed could not be asked for");
                answers.failed.extend(chunk.iter().map(|(repo, ..)| (*repo, refusal.clone())));
                rest = &rest[chunk.len()..];
                continue;
            }
        };
        // An answer without a node would go round for ever.
        rest = &rest[shown.len().clamp(1, rest.len())..];
        for ((repo, id, _), shown) in chunk.iter().zip(shown) {
            let found = match shown {
                DeploymentLookup::Found(found) => Some(*found).filter(|found| found.database_id == Some(*id)),
                DeploymentLookup::Gone => None,
                DeploymentLookup::Refused => continue,
            };
            answers.asked.entry(*repo).or_default().insert(*id, found);
        }
    }
    Ok(answers)
}

/// Whether there is anything to read, or to remember, beside what was asked for by id.
pub(crate) fn is_due(from: &DeploymentsCheckpoint, newest: ListSummary, span: Span) -> bool {
    from.walk.is_some()
        || !span.is_known(from.since)
        || from.total != newest.total
        || from.watermark != newest.at
}

pub(crate) async fn read(
    github: &Client,
    target: &Target,
    newest: ListSummary,
    from: DeploymentsCheckpoint,
    asked: Asked,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let mut reading =
        Deployments { github, target, sink, checkpoint: from, seen: BTreeSet::new(), walked: None };
    let looked_for = reading.take_answers(asked).await?;
    if let Some(walk) = reading.checkpoint.walk.take() {
        match reading.walk(walk.clone()).await {
            // The place in the list is not known any more: begin the walk anew.
            Err(Stop::GitHub(Error::Invalid(_))) if walk.cursor.is_some() => {
                reading.walk(DeploymentsWalk { cursor: None, ..walk }).await?;
            }
            done => done?,
        }
    }
    if let Some(floor) = reading.floor(newest, &looked_for) {
        let walk = DeploymentsWalk {
            watermark: newest.at,
            active_at: target.active_at,
            floor,
            total: newest.total,
            cursor: None,
        };
        reading.walk(walk).await?;
    } else if reading.checkpoint.since.is_none() || newest.total == 0 {
        let (known, asked) = (reading.checkpoint.since, target.span.since(reading.checkpoint.since));
        reading.checkpoint.since = Some(known.map_or(asked, |known| known.min(asked)));
        reading.checkpoint.total = newest.total;
        reading.checkpoint.watermark = newest.at;
        reading.checkpoint.active_at = target.active_at;
        reading.hand_over(Vec::new()).await?;
    }
    reading.forget(newest, &looked_for).await
}

struct Deployments<'a> {
    github: &'a Client,
    target: &'a Target,
    sink: &'a Sender<PageRead>,
    checkpoint: DeploymentsCheckpoint,
    /// What GitHub has shown in this reading, by numeric id.
    seen: BTreeSet<i64>,
    /// Down to when the list was walked in this reading, from its beginning on.
    walked: Option<DateTime<Utc>>,
}

impl Deployments<'_> {
    async fn hand_over(&self, events: Vec<Event>) -> Result<(), Stop> {
        let update = Some(Update::Deployments(self.checkpoint.clone()));
        self.target.hand_over(self.sink, WHAT, events, update).await
    }

    /// Takes what was asked for by id; gives back those that GitHub did not show under their id.
    async fn take_answers(&mut self, asked: Asked) -> Result<BTreeMap<i64, DateTime<Utc>>, Stop> {
        let mut looked_for = BTreeMap::new();
        let mut events = Vec::new();
        let before = self.checkpoint.unsettled.clone();
        for (id, found) in asked {
            match (found, self.checkpoint.unsettled.get(&id)) {
                (Some(found), _) => events.extend(self.note(&found)),
                (None, Some(unsettled)) => {
                    looked_for.insert(id, unsettled.created_at);
                }
                (None, None) => {}
            }
        }
        if self.checkpoint.unsettled != before {
            self.hand_over(events).await?;
        }
        Ok(looked_for)
    }

    /// Remembers the deployment as long as it may still succeed; what it tells now.
    fn note(&mut self, deployment: &Deployment) -> Vec<Event> {
        if let Some(id) = deployment.database_id {
            let outcome = DeploymentOutcome::of(deployment);
            if outcome.success.is_some() {
                self.checkpoint.unsettled.remove(&id);
            } else {
                let node_id = deployment.id.clone();
                let (created_at, failed_at) = (deployment.created_at, outcome.failure);
                self.checkpoint.unsettled.insert(id, Unsettled { node_id, created_at, failed_at });
            }
            self.seen.insert(id);
        }
        self.target.origin.deployment(deployment)
    }

    /// Down to where there is something to read.
    fn floor(&self, newest: ListSummary, looked_for: &BTreeMap<i64, DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let from = &self.checkpoint;
        newest.at?;
        let asked = self.target.span.since(from.since);
        let Some(known) = from.since.filter(|known| *known <= asked) else {
            return Some(asked - READ_ANEW);
        };
        let Some(watermark) = from.watermark else { return Some(known - READ_ANEW) };
        let anew = from.active_at.map_or(watermark, |active| watermark.min(active - READ_ANEW));
        let changed = newest.total != from.total || newest.at != from.watermark;
        (changed || looked_for.values().any(|created| *created >= anew)).then_some(anew)
    }

    async fn walk(&mut self, mut walk: DeploymentsWalk) -> Result<(), Stop> {
        let mut size = PageSize::new(100).resume(self.checkpoint.size);
        let is_from_the_beginning = walk.cursor.is_none();
        loop {
            let page = self.github.deployments(&self.target.repo, walk.cursor.as_deref(), &mut size).await?;
            self.checkpoint.size = size.to_save();
            let at_floor = page.entries.iter().any(|deployment| deployment.created_at < walk.floor);
            let events = page.entries.iter().flat_map(|deployment| self.note(deployment)).collect();
            walk.cursor = page.next.filter(|_| !at_floor);
            let more = walk.cursor.is_some();
            if more {
                self.checkpoint.walk = Some(walk.clone());
            } else {
                let checkpoint = &mut self.checkpoint;
                let from = walk.floor + READ_ANEW;
                checkpoint.walk = None;
                checkpoint.since = Some(checkpoint.since.map_or(from, |since| since.min(from)));
                checkpoint.watermark = walk.watermark;
                checkpoint.active_at = walk.active_at;
                checkpoint.total = walk.total;
                self.walked = is_from_the_beginning.then_some(walk.floor);
            }
            self.hand_over(events).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Forgets those that GitHub shows neither under their id nor in the list: where the list is empty or was
    /// walked past them, and then their failures are taken back, because a backfill would not find them; or
    /// where they are too old for the list to be walked again for them.
    async fn forget(
        &mut self,
        newest: ListSummary,
        looked_for: &BTreeMap<i64, DateTime<Utc>>,
    ) -> Result<(), Stop> {
        let before = self.checkpoint.unsettled.len();
        let anew = self.checkpoint.active_at.map(|active| active - READ_ANEW);
        let mut events = Vec::new();
        for (id, created) in looked_for.iter().filter(|(id, _)| !self.seen.contains(id)) {
            let is_gone = newest.total == 0 || self.walked.is_some_and(|floor| *created >= floor);
            if !is_gone && anew.is_none_or(|anew| *created >= anew) {
                continue;
            }
            let failed_at = self.checkpoint.unsettled.remove(id).and_then(|unsettled| unsettled.failed_at);
            let taken_back = failed_at.filter(|_| is_gone);
            events.extend(taken_back.map(|at| self.target.origin.retracted_deployment_failure(*id, at)));
        }
        if self.checkpoint.unsettled.len() == before {
            return Ok(());
        }
        self.hand_over(events).await
    }
}
