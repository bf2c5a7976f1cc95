//! What a collection has found to read, and the reading of it.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use gam_github::{Client, OrgProbe, RepoProbe, RepoState};
use gam_store::NameKind;
use tokio::time::Instant;

use crate::completeness::{Completeness, note_since, save_completeness};
use crate::cost::Costs;
use crate::plan::{self, Reading, Span, Stop};
use crate::writer::{Checkpoints, Writer};
use crate::{
    CollectError, CollectReport, Limited, Refusal, WorkItem, WorkPlan, WorkReport, deployments, releases,
};
use crate::{CollectObserver, CollectPorts, CollectProgress};

/// Repositories at a moment, and what there is to read of them.
pub(crate) struct Survey<'a> {
    ports: &'a CollectPorts,
    probe: OrgProbe,
    repos: Vec<RepoProbe>,
    span: Span,
    /// Whether all of the organization is in question.
    everything: bool,
    writer: Writer<'a>,
    /// Repositories that were ever read.
    known: BTreeSet<i64>,
    readings: Vec<Reading>,
    /// Repositories of which it could not be found out.
    failed: BTreeMap<i64, Refusal>,
}

impl Refusal {
    pub(crate) fn of(error: &gam_github::Error) -> Self {
        Refusal {
            why: error.to_string(),
            is_transient: matches!(error, gam_github::Error::Unavailable { .. }),
        }
    }

    /// The same, with what could not be done before the reason.
    pub(crate) fn about(self, what: &str) -> Self {
        Refusal { why: format!("{what}: {}", self.why), ..self }
    }
}

impl<'a> Survey<'a> {
    /// Of repositories that the probe shows. Their checkpoints were loaded before it was made: else what
    /// another run has read since would be taken for undone.
    pub(crate) async fn of(
        ports: &'a CollectPorts,
        github: &Client,
        checkpoints: Checkpoints,
        probe: OrgProbe,
        repos: Vec<RepoProbe>,
        span: Span,
        everything: bool,
    ) -> Result<Self, CollectError> {
        let writer = Writer::new(ports, &probe.login, checkpoints);
        let span = note_since(ports, &probe.login, span, everything).await?;
        let now = ports.clock.now();
        let (checkpoints, known) = (writer.checkpoints(), writer.known());
        let unsettled = deployments::ask_unsettled(github, &repos, &checkpoints).await?;
        let drafts = releases::ask_drafts(github, &repos, &checkpoints).await?;
        let mut readings: Vec<Reading> = Vec::new();
        for repo in &repos {
            let checkpoint = checkpoints.get(&repo.id).cloned().unwrap_or_default();
            let is_published = drafts.published.contains(&repo.id);
            readings.extend(plan::readings(
                &probe,
                repo,
                checkpoint,
                span,
                &unsettled.asked,
                is_published,
                now,
            ));
        }
        let failed = unsettled.failed.into_iter().chain(drafts.failed).collect();
        Ok(Survey { ports, probe, repos, span, everything, writer, known, readings, failed })
    }

    fn changed(&self) -> BTreeSet<i64> {
        self.readings.iter().map(|reading| reading.repo().id).collect()
    }

    /// What is to be told of it.
    pub(crate) fn listed(&self) -> CollectProgress {
        CollectProgress::Listed {
            org: self.probe.login.clone(),
            repos: self.repos.len(),
            changed: self.changed().len(),
        }
    }

    /// Keeps up to when those repositories were read that are not undone.
    async fn save_completeness(&self, undone: &BTreeSet<i64>) -> Result<(), CollectError> {
        let read = self.repos.iter().map(|repo| repo.id).filter(|id| !undone.contains(id)).collect();
        let (known, span, everything) = (self.known.clone(), self.span, self.everything);
        let now = Completeness { read, known, span, everything };
        save_completeness(self.ports, &self.probe, &now).await
    }

    /// The repositories that cannot be read, by name.
    fn failures(&self, failed: &BTreeMap<i64, Refusal>) -> Vec<(String, String)> {
        let unreadable = self.everything.then_some(&self.probe.unreadable).into_iter().flatten().cloned();
        let of_repo = |repo: &RepoProbe| Some((repo.name.clone(), failed.get(&repo.id)?.why.clone()));
        unreadable.chain(self.repos.iter().filter_map(of_repo)).collect()
    }

    /// Hands out what there is to read.
    pub(crate) async fn hand_out(mut self) -> Result<WorkPlan, CollectError> {
        let changed = self.changed();
        self.save_completeness(&changed.iter().chain(self.failed.keys()).copied().collect()).await?;
        self.mark(&Outcome::default()).await?;
        let item = |repo: &RepoProbe| WorkItem {
            repo: repo.name.clone(),
            repo_id: repo.id,
            node_id: repo.node_id.clone(),
        };
        Ok(WorkPlan {
            org: self.probe.login.clone(),
            repos: self.repos.len(),
            items: self.repos.iter().filter(|repo| changed.contains(&repo.id)).map(item).collect(),
            failed: self.failures(&self.failed),
            requests: 0,
        })
    }

    /// Reads it all, and tells what became of it.
    pub(crate) async fn read(
        self,
        github: &Client,
        parallelism: usize,
        observer: &dyn CollectObserver,
    ) -> Result<CollectReport, CollectError> {
        Ok(self.work(github, parallelism, observer).await?.report)
    }

    /// Reads it all, and tells what became of each repository.
    pub(crate) async fn work(
        mut self,
        github: &Client,
        parallelism: usize,
        observer: &dyn CollectObserver,
    ) -> Result<WorkReport, CollectError> {
        let readings = std::mem::take(&mut self.readings);
        let mut outcome = run(github, readings, &mut self.writer, parallelism, observer).await?;
        for (repo, why) in std::mem::take(&mut self.failed) {
            outcome.failed.entry(repo).or_insert(why);
        }
        self.save_completeness(&outcome.undone()).await?;
        for repo in &self.repos {
            if let Some(refusal) = outcome.failed.get(&repo.id) {
                observer.notice(CollectProgress::RepoFailed {
                    repo: repo.name.clone(),
                    why: refusal.why.clone(),
                });
            }
        }
        let gone = self.mark(&outcome).await?;
        let blocked = |repo: &RepoProbe| Some((repo.name.clone(), outcome.blocked.get(&repo.id)?.clone()));
        let report = CollectReport {
            org: self.probe.login.clone(),
            repos: self.repos.len(),
            events: self.writer.events(),
            batches: self.writer.batches(),
            requests: github.requests(),
            usage: github.usage(),
            costs: std::mem::take(&mut outcome.costs).into_repos(self.writer.events_of()),
            gone,
            blocked: self.repos.iter().filter_map(blocked).collect(),
            failed: self.failures(&outcome.failed),
            limited: outcome.limited,
        };
        Ok(WorkReport { report, stopped: outcome.stopped, failed: outcome.failed })
    }

    /// Keeps why nothing new may come from repositories; gives back the names of those that GitHub shows
    /// no more.
    async fn mark(&mut self, outcome: &Outcome) -> Result<Vec<String>, CollectError> {
        let is_blocked = |repo: &RepoProbe| outcome.blocked.contains_key(&repo.id);
        let state = |repo: &RepoProbe| if is_blocked(repo) { Some(RepoState::Blocked) } else { repo.state };
        let states = self.repos.iter().map(|repo| (repo.id, state(repo))).collect();
        let shown: BTreeSet<i64> = self.probe.repos.iter().map(|repo| repo.id).collect();
        // Which of the others are hidden and which are gone is not known where some cannot be read.
        let shows_all = self.everything && self.probe.unreadable.is_empty();
        let gone = self.writer.mark(&states, shows_all.then_some(&shown)).await?;
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.ports.names.names(&self.probe.login, NameKind::Repo).await?;
        Ok(names.into_iter().filter(|entry| gone.contains(&entry.id)).map(|entry| entry.name).collect())
    }
}

/// What became of the readings.
#[derive(Default)]
struct Outcome {
    /// Why a repository failed.
    failed: BTreeMap<i64, Refusal>,
    /// Repositories whose reading the limits stopped.
    stopped: BTreeSet<i64>,
    /// Where the limits stopped any: the one that lasts longest.
    limited: Option<Limited>,
    /// Why GitHub blocks a repository.
    blocked: BTreeMap<i64, String>,
    costs: Costs,
}

impl Outcome {
    /// Repositories of which there is more to read. Of one that GitHub blocks there is nothing, as of one that
    /// is gone: it must not keep the organization incomplete for ever. Its checkpoint stays where it was, so
    /// that it is read from there on when it is back.
    fn undone(&self) -> BTreeSet<i64> {
        self.failed.keys().chain(&self.stopped).copied().collect()
    }
}

/// Runs the readings side by side, and the writer beside them.
async fn run(
    github: &Client,
    readings: Vec<Reading>,
    writer: &mut Writer<'_>,
    parallelism: usize,
    observer: &dyn CollectObserver,
) -> Result<Outcome, CollectError> {
    let (sink, pages) = tokio::sync::mpsc::channel(parallelism * 2);
    let mut left: BTreeMap<i64, usize> = BTreeMap::new();
    for reading in &readings {
        *left.entry(reading.repo().id).or_default() += 1;
    }
    let reading = async move {
        let mut outcome = Outcome::default();
        let mut fatal = None;
        let mut silence = Silence::default();
        let mut done = futures::stream::iter(readings)
            .map(|reading| {
                let sink = sink.clone();
                async move {
                    let (repo, begun, github) = (reading.repo().clone(), Instant::now(), github.metered());
                    let result = reading.run(&github, &sink).await;
                    (repo, result, github.usage(), begun)
                }
            })
            .buffer_unordered(parallelism * 2);
        while let Some((repo, result, usage, begun)) = done.next().await {
            outcome.costs.add(repo.id, &repo.name, usage, begun);
            match result {
                Ok(()) => {}
                Err(Stop::WriterGone) => break,
                Err(Stop::GitHub(gam_github::Error::Limited { until, why })) => {
                    if outcome.limited.as_ref().is_none_or(|known| known.until < until) {
                        outcome.limited = Some(Limited { until, why });
                    }
                    outcome.stopped.insert(repo.id);
                }
                Err(Stop::GitHub(gam_github::Error::Blocked(why))) => {
                    outcome.blocked.insert(repo.id, why);
                }
                Err(Stop::GitHub(error @ gam_github::Error::Unauthorized(_))) => {
                    fatal = Some(error);
                    break;
                }
                Err(Stop::GitHub(error)) => {
                    outcome.failed.entry(repo.id).or_insert_with(|| Refusal::of(&error));
                    if silence.grows(&error, github.successful_responses()) {
                        // Every other reading would wait as long for the same.
                        for open in left.keys() {
                            outcome.failed.entry(*open).or_insert_with(|| Refusal::of(&error));
                        }
                        break;
                    }
                }
            }
            let open = left.entry(repo.id).or_default();
            *open = open.saturating_sub(1);
            let is_done = *open == 0;
            if is_done {
                left.remove(&repo.id);
            }
            if is_done && !outcome.failed.contains_key(&repo.id) && !outcome.stopped.contains(&repo.id) {
                observer.notice(CollectProgress::RepoDone { repo: repo.name });
            }
        }
        fatal.map_or(Ok(outcome), Err)
    };
    let (outcome, written) = tokio::join!(reading, writer.run(pages, observer));
    written?;
    Ok(outcome?)
}

/// Readings in a row that came to an end because GitHub does not answer, and no answer at all between them.
#[derive(Default)]
struct Silence {
    readings: u32,
    answers: u64,
}

impl Silence {
    /// After so many it is the network, or all of GitHub.
    const MOST: u32 = 5;

    /// A reading has failed, when so many answers had come; whether there is no use in others.
    fn grows(&mut self, error: &gam_github::Error, answers: u64) -> bool {
        if !matches!(error, gam_github::Error::Unavailable { .. }) {
            return false;
        }
        let before = if self.answers == answers { self.readings } else { 0 };
        *self = Silence { readings: before + 1, answers };
        self.readings >= Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_that_fail_without_any_answer_between_them_are_enough_to_know() {
        let silent = gam_github::Error::Unavailable { what: "commits".into(), why: "status 503".into() };
        let mut silence = Silence::default();
        assert!((0..4).all(|_| !silence.grows(&silent, 7)));
        assert!(!silence.grows(&gam_github::Error::NotFound("gone".into()), 7));
        assert!(!silence.grows(&silent, 8), "an answer came");
        assert!((0..3).all(|_| !silence.grows(&silent, 8)));
        assert!(silence.grows(&silent, 8));
    }

    #[test]
    fn of_what_github_blocks_there_is_nothing_to_read() {
        let refusal = Refusal { why: "GitHub does not answer".into(), is_transient: true };
        let outcome = Outcome {
            failed: BTreeMap::from([(1, refusal)]),
            stopped: BTreeSet::from([2, 4]),
            blocked: BTreeMap::from([(3, "for a claim".into()), (4, "for a claim".into())]),
            ..Outcome::default()
        };
        assert_eq!(outcome.undone(), BTreeSet::from([1, 2, 4]));
    }
}
